import struct CountersignBindings.ServiceCall
import enum CountersignBindings.TransportError
import Foundation
import Testing

@testable import Countersign
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// A service that is none: every way ends in a typed error, soon, and with little taken in.
@Suite struct HostileService {
    /// What an app sees of a first start.
    private func firstStart(_ service: LoopbackServer, timeout: TimeInterval = 10) async throws -> CountersignError? {
        let configuration = Countersign.Configuration(
            issuer: service.origin, clientID: "app", apis: [Countersign.API("https://api.example")])
        let countersign = try Countersign(
            development: configuration, folder: World.newFolder(), over: ServiceTransport(timeout: timeout))
        return await failure { try await countersign.refresh() }
    }

    /// Calls for a challenge: the service's keys are fetched meanwhile.
    private static func challenges(_ service: LoopbackServer) -> Int {
        service.requests.filter { $0.target == "/v1/challenge" }.count
    }

    @Test func anOverlongAnswerIsNoAnswer() async throws {
        let service = try LoopbackServer { _, _ in .answer(200, [:], Data(repeating: 0x20, count: 4 << 20)) }
        #expect(try await firstStart(service) == .unreachable)
    }

    @Test func anEndlessAnswerIsCut() async throws {
        let service = try LoopbackServer { _, _ in .endless }
        #expect(try await firstStart(service) == .unreachable)
        // What is on the way when the limit is reached is in buffers of the system.
        #expect(service.endlessBytes < LoopbackServer.enough)
    }

    @Test func aRedirectIsNotFollowed() async throws {
        let elsewhere = try LoopbackServer { _, _ in .answer(200) }
        let target = elsewhere.origin
        let service = try LoopbackServer { request, _ in .answer(307, ["Location": target + request.target]) }
        #expect(try await firstStart(service) == .unreachable)
        #expect(elsewhere.requests.isEmpty)
    }

    @Test func silenceEnds() async throws {
        let service = try LoopbackServer { _, _ in .silence }
        #expect(try await firstStart(service, timeout: 1) == .unreachable)
    }

    @Test func whatIsNoServiceIsTyped() async throws {
        for body in ["", "<html>", "{}", "{\"attestation_challenge\":1}"] {
            let service = try LoopbackServer { _, _ in .answer(200, [:], Data(body.utf8)) }
            let error = try await firstStart(service)
            #expect([.unreachable, .untrustedAnswer(reason: "answer_format")].contains(error), "\(body): \(String(describing: error))")
        }
    }

    @Test func anOutageCarriesItsReference() async throws {
        let problem = Data(
            "{\"type\":\"urn:x\",\"status\":503,\"title\":\"No.\",\"reference\":\"AB12CD34\"}".utf8)
        let fields = ["Content-Type": "application/problem+json", "Retry-After": "60"]
        let service = try LoopbackServer { _, _ in .answer(503, fields, problem) }
        #expect(try await firstStart(service) == .unavailable(reference: "AB12CD34"))
        #expect(Self.challenges(service) == 1, "it asked for a minute")
    }

    @Test func noCookieIsKept() async throws {
        let service = try LoopbackServer { _, _ in .answer(500, ["Set-Cookie": "followed=1; Path=/"]) }
        _ = try await firstStart(service)
        #expect(Self.challenges(service) == 2, "once, and once again")
        #expect(service.requests.allSatisfy { $0.fields["cookie"] == nil })
    }

    @Test func nobodyListening() async throws {
        let configuration = Countersign.Configuration(
            issuer: "http://127.0.0.1:1", clientID: "app", apis: [Countersign.API("https://api.example")])
        let countersign = try Countersign(development: configuration, folder: World.newFolder())
        #expect(await failure { try await countersign.refresh() } == .unreachable)
    }

    @Test func aTransportGivesUpWithWhoWaits() async throws {
        let service = try LoopbackServer { _, _ in .silence }
        let transport = ServiceTransport()
        let call = ServiceCall(post: false, url: service.origin, contentType: nil, body: Data(), maxAnswer: 10)
        let waiting = Task { try await transport.call(call: call) }
        try await until { !service.requests.isEmpty }
        waiting.cancel()
        await #expect(throws: TransportError.self) { try await waiting.value }
    }

    @Test func anAnswerMayBeAsLongAsItsLimit() async throws {
        let service = try LoopbackServer { request, _ in
            .answer(418, ["Retry-After": "7"], Data(repeating: 1, count: request.target == "/10" ? 10 : 11))
        }
        let transport = ServiceTransport()
        let call = { ServiceCall(post: true, url: service.origin + $0, contentType: "a/b", body: Data([5]), maxAnswer: 10) }
        let answer = try await transport.call(call: call("/10"))
        #expect(answer.status == 418 && answer.retryAfter == 7 && answer.body.count == 10)
        #expect(service.requests.first?.method == "POST" && service.requests.first?.body == Data([5]))
        #expect(service.requests.first?.fields["content-type"] == "a/b")
        await #expect(throws: TransportError.self) { try await transport.call(call: call("/11")) }
    }
}
