import Foundation
import Testing

@testable import Countersign

/// The app of examples/ios-app without its screen: `Demo.swift` here is a link to its model.
@Suite(.enabled(if: World.isThere, World.isMissing)) struct ExampleApp {
    private func demo(_ countersign: Countersign, api: String = World.api) throws -> Demo {
        Demo(countersign: countersign, api: try #require(URL(string: api)))
    }

    @Test func itEnrolsCallsAndShowsWhoItIs() async throws {
        let countersign = try await World.installation()
        let demo = try demo(countersign)
        let enrolled = await demo.enrol()
        #expect(enrolled.verdict == "Enrolled: warning", "a development key never makes affirming")
        let instance = try #require(countersign.standing.instance)
        #expect(enrolled.details.first == "Installation \(instance)")
        let called = await demo.call()
        #expect(called.verdict == "The API answered")
        #expect(called.details.first?.contains(instance) == true)
    }

    @Test func itTellsWhatIsToBeRegistered() async throws {
        let demo = try demo(try await World.installation())
        #expect(demo.registration()?.hasPrefix("countersign development-keys add ") == true)
    }

    @Test func aRefusalIsShownWithItsReference() async throws {
        let stranger = try demo(Countersign(development: World.configuration(), folder: World.newFolder()))
        for shown in [await stranger.enrol(), await stranger.call()] {
            #expect(shown.verdict == "The service refuses this installation")
            #expect(shown.reference?.count == 8)
        }
    }

    @Test func aServiceThatIsNotThereIsSaidInWords() async throws {
        let configuration = World.configuration(service: "http://127.0.0.1:9")
        let lost = try demo(Countersign(development: configuration, folder: World.newFolder()))
        #expect(await lost.enrol() == Shown(verdict: "The service cannot be reached"))
    }
}
