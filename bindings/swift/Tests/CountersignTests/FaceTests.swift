import Foundation
import Testing

@testable import Countersign
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// What the face is by itself, without a service.
@Suite struct Face {
    private let configuration = Countersign.Configuration(
        issuer: "https://attest.example", clientID: "app", apis: [Countersign.API("https://api.example")])

    @Test func aWrongConfigurationIsRefusedByItsRule() {
        let reason = { (change: (inout Countersign.Configuration) -> Void) -> String? in
            var changed = configuration
            change(&changed)
            do {
                _ = try Countersign(development: changed, folder: World.newFolder())
                return nil
            } catch CountersignError.configuration(let reason) {
                return reason
            } catch {
                return "\(error)"
            }
        }
        #expect(reason { _ in } == nil)
        #expect(reason { $0.issuer = "http://attest.example" } == "config_plaintext")
        #expect(reason { $0.issuer = "attest.example" } == "config_issuer")
        #expect(reason { $0.apis = [] } == "config_resources")
        #expect(reason { $0.apis.append($0.apis[0]) } == "config_resources")
        #expect(reason { $0.apis = [Countersign.API("https://api.example/path")] } == "request_authority")
        #expect(reason { $0.clientID = "" } == "config_name")
        #expect(reason { $0.pinnedKeys = [PinnedKey(keyId: "a", x: "AA")] } == "config_pinned_keys")
    }

    #if !canImport(Darwin)
    @Test func elsewhereThanOnApplesSystemsThereIsNoAppAttest() {
        #expect(throws: CountersignError.deviceUnsupported) { try Countersign(configuration) }
    }
    #endif

    @Test func makingOneReadsAndWritesNothing() throws {
        let folder = World.newFolder()
        let countersign = try Countersign(development: configuration, folder: folder)
        #expect(!FileManager.default.fileExists(atPath: folder.path))
        #expect(countersign.standing.instance == nil)
        #expect(countersign.clientAttestation == nil)
    }

    @Test func aFolderThatCannotBeWrittenIsATypedError() async throws {
        let file = World.newFolder()
        try Data().write(to: file)
        let countersign = try Countersign(development: configuration, folder: file.appendingPathComponent("within"))
        #expect(throws: CountersignError.platformUnavailable) { try countersign.developmentKey() }
    }

    @Test func theDevelopmentKeyIsTheSameEverAfter() throws {
        let folder = World.newFolder()
        let keys = try (0..<2).map { _ in
            try Countersign(development: configuration, folder: folder).developmentKey()
        }
        #expect(keys[0] != nil && keys[0] == keys[1])
        #expect(keys[0]?.command.contains("--client 'app'") == true)
    }

    @Test func secretsAreInNoDescription() {
        let secret = "s3cret-value"
        let field = HeaderField(name: "attestation-proof", value: secret)
        let request = ApiRequest(
            method: "GET", uri: "https://api.example/?q=\(secret)", credential: secret, content: Data(secret.utf8))
        let values: [Any] = [
            field, Proof(fields: [field], refreshDue: false), request,
            ApiAnswer(status: 401, challenge: secret, wwwAuthenticate: [secret]),
            ClientProof.dpop(endpoint: secret, nonce: secret), ClientProof.pop(issuer: secret, challenge: secret),
        ]
        for value in values {
            var dumped = ""
            dump(value, to: &dumped)
            dump([value], to: &dumped)
            let texts = [String(describing: value), String(reflecting: value), "\(value)", "\([value])", dumped]
            for text in texts { #expect(!text.contains(secret) && !text.isEmpty, "\(type(of: value))") }
        }
        #expect(String(describing: field) == "HeaderField(attestation-proof)")
    }

    @Test func anInstallationShowsNothingOfItself() throws {
        let countersign = try Countersign(development: configuration, folder: World.newFolder())
        var dumped = ""
        dump(countersign, to: &dumped)
        dump(AttestedSession(countersign), to: &dumped)
        for text in [String(describing: countersign), String(reflecting: countersign), dumped] {
            #expect(!text.contains("attest.example"))
        }
    }

    @Test func theCredentialIsReadAsItStands() throws {
        let url = try #require(URL(string: "https://api.example/a?b#c"))
        let credential = { (fields: [String: String]) in
            var request = URLRequest(url: url)
            for (name, value) in fields { request.setValue(value, forHTTPHeaderField: name) }
            return ApiRequest(request).credential
        }
        #expect(credential([:]) == nil)
        #expect(credential(["Authorization": "DPoP abc"]) == "abc")
        #expect(credential(["authorization": "Bearer  abc"]) == "abc")
        #expect(credential(["Authorization": "abc"]) == nil)
        #expect(credential(["X-API-Key": "csk_1"]) == "csk_1")
        #expect(credential(["X-API-Key": "of-the-api-itself"]) == nil)
        #expect(credential(["X-API-Key": "csk_1", "Authorization": "DPoP abc"]) == "abc")
    }

    @Test func aRequestIsProvenAsItIsSent() throws {
        let url = try #require(URL(string: "https://api.example/a%20b?c=d%26e&f#g"))
        var request = URLRequest(url: url)
        #expect(ApiRequest(request).uri == "https://api.example/a%20b?c=d%26e&f")
        #expect(ApiRequest(request).method == "GET" && ApiRequest(request).content == nil)
        request.httpMethod = "PUT"
        request.httpBody = Data("body".utf8)
        #expect(ApiRequest(request).method == "PUT" && ApiRequest(request).content == Data("body".utf8))
        request.url = nil
        #expect(ApiRequest(request).uri.hasPrefix("file:"), "and is refused for it")
    }

    @Test func onlyIdempotentMethodsAreIdempotent() throws {
        var request = URLRequest(url: try #require(URL(string: "https://api.example")))
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
            request.httpMethod = method
            #expect(request.isIdempotent, "\(method)")
        }
        for method in ["POST", "PATCH", "QUERY"] {
            request.httpMethod = method
            #expect(!request.isIdempotent, "\(method)")
        }
    }

    @Test func whoIsCancelledDoesNotWait() async throws {
        let waiting = Task {
            try await untilCancelled { try await Task.sleep(nanoseconds: 3_600_000_000_000) }
        }
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        #expect(try await untilCancelled { 1 } == 1)
        await #expect(throws: CountersignError.noResult) { try await untilCancelled { throw CountersignError.noResult } }
    }

    @Test func everythingMayCrossTasks() {
        func sendable<T: Sendable>(_: T.Type) {}
        sendable(Countersign.self)
        sendable(AttestedSession.self)
        sendable(CountersignError.self)
        sendable(Proof.self)
        sendable(ApiRequest.self)
        sendable(Countersign.Configuration.self)
    }

    @Test func aTimerPausesAndGivesUpWithWhoWaits() async {
        await TaskTimer().sleep(millis: 1)
        let endless = Task { await TaskTimer().sleep(millis: .max) }
        endless.cancel()
        await endless.value
    }
}
