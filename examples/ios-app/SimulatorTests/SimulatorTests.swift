import XCTest

@testable import Countersign

/// What only a simulator can show: it has no App Attest, and says so by falling back to a development key.
final class SimulatorTests: XCTestCase {
    func testASimulatorFallsBackToADevelopmentKey() throws {
        let countersign = try Countersign(
            Countersign.Configuration(
                issuer: "https://attest.example", clientID: "app", apis: [Countersign.API("https://api.example")],
                appAttest: .development))
        let key = try XCTUnwrap(try countersign.developmentKey())
        XCTAssertTrue(key.command.hasPrefix("countersign development-keys add "))
    }

    func testAnInstallationWithoutACallKnowsNothing() throws {
        let countersign = try Countersign(
            Countersign.Configuration(
                issuer: "https://attest.example", clientID: "app", apis: [Countersign.API("https://api.example")]))
        XCTAssertNil(countersign.standing.instance)
        XCTAssertNil(countersign.clientAttestation)
    }
}
