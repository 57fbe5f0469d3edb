import Foundation
import Testing

@testable import Countersign
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Against a real attestation service, and a real nginx in front of an API.
@Suite(.enabled(if: World.isThere, World.isMissing)) struct EndToEnd {
    @Test func withoutAProofNginxRefuses() async throws {
        let (_, response) = try await URLSession.shared.data(from: World.url("/hello"))
        #expect((response as? HTTPURLResponse)?.statusCode == 401)
    }

    @Test func anInstallationEnrolsAndCallsAnApiBehindNginx() async throws {
        let countersign = try await World.installation()
        #expect(countersign.standing.instance == nil, "nothing is done before it is needed")
        let (body, response) = try await AttestedSession(countersign).data(from: World.url("/hello?page=2"))
        #expect(response.statusCode == 200)
        let standing = countersign.standing
        let instance = try #require(standing.instance)
        #expect(String(decoding: body, as: UTF8.self).hasPrefix("instance \(instance) of \(World.client), "))
        #expect(standing.protection == .software)
        #expect(try #require(standing.expiresAt) > UInt64(Date().timeIntervalSince1970))
    }

    @Test func theBodyIsProven() async throws {
        let session = AttestedSession(try await World.installation())
        var request = URLRequest(url: try World.url("/hello"))
        request.httpMethod = "POST"
        let (body, response) = try await session.upload(for: request, from: Data("body".utf8))
        #expect(response.statusCode == 200)
        // SHA-256 of `body`, as the edge read it in the proof.
        #expect(String(decoding: body, as: UTF8.self).contains("content Iw2DWNyOiJC0xY3utikS7i8gNXrpKlzIYbmOaP4xrLU"))
    }

    @Test func aProofIsGoodOnce() async throws {
        let countersign = try await World.installation()
        let signed = try await countersign.sign(URLRequest(url: World.url("/hello")))
        for status in [200, 401] {
            let (_, response) = try await URLSession.shared.data(for: signed)
            #expect((response as? HTTPURLResponse)?.statusCode == status)
        }
    }

    @Test func aNonceIsAnsweredWithoutTheApp() async throws {
        let session = AttestedSession(try await World.installation())
        #expect(try await session.data(from: World.url("/nonce")).1.statusCode == 200)
        var request = URLRequest(url: try World.url("/nonce"))
        request.httpMethod = "POST"
        #expect(try await session.upload(for: request, from: Data("1".utf8)).1.statusCode == 200)
    }

    @Test func aRouteThatDemandsHardwareGetsTheInstanceKey() async throws {
        let session = AttestedSession(try await World.installation())
        #expect(try await session.data(from: World.url("/hardware")).1.statusCode == 200)
    }

    @Test func theCredentialIsProven() async throws {
        let countersign = try await World.installation()
        var request = URLRequest(url: try World.url("/key"))
        #expect(try await AttestedSession(countersign).data(for: request).1.statusCode == 401)
        request.setValue(World.apiKey, forHTTPHeaderField: "X-API-Key")
        #expect(try await AttestedSession(countersign).data(for: request).1.statusCode == 200)
        // Signed without it, and sent with it.
        var stolen = try await countersign.sign(URLRequest(url: World.url("/key")))
        stolen.setValue(World.apiKey, forHTTPHeaderField: "X-API-Key")
        let (_, response) = try await URLSession.shared.data(for: stolen)
        #expect((response as? HTTPURLResponse)?.statusCode == 401)
    }

    @Test func aThousandFirstCallsCauseOneEnrolment() async throws {
        let transport = CountingTransport()
        let countersign = try await World.installation(over: transport)
        let request = ApiRequest(URLRequest(url: try World.url("/hello")))
        try await withThrowingTaskGroup(of: Proof.self) { group in
            for _ in 0..<1_000 { group.addTask { try await countersign.prove(request) } }
            for try await proof in group { #expect(proof.fields.count == 2) }
        }
        #expect(transport.calls(to: "/v1/challenge") == 1)
        #expect(transport.calls(to: "/v1/instances") == 1)
    }

    @Test func whoGoesAwayDoesNotTakeTheEnrolmentAlong() async throws {
        let transport = CountingTransport()
        let countersign = try await World.installation(over: transport)
        let request = ApiRequest(URLRequest(url: try World.url("/hello")))
        transport.hold(true)
        let cancelled = Task { try await countersign.prove(request) }
        try await until { transport.calls(to: "/v1/challenge") > 0 }
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        transport.hold(false)
        _ = try await countersign.prove(request)
        #expect(transport.calls(to: "/v1/challenge") == 1)
        #expect(transport.calls(to: "/v1/instances") == 1)
    }

    @Test func whoIsCancelledBeforehandIsToldAtOnce() async throws {
        let countersign = try await World.installation()
        let request = ApiRequest(URLRequest(url: try World.url("/hello")))
        let cancelled = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await countersign.prove(request)
        }
        await #expect(throws: CancellationError.self) { try await cancelled.value }
    }

    @Test func aNewStartGoesOnWithTheSameInstance() async throws {
        let folder = World.newFolder()
        let first = try await World.installation(in: folder)
        try await first.refresh()
        let transport = CountingTransport()
        let second = try await World.installation(in: folder, over: transport)
        try await second.refresh()
        #expect(second.standing.instance == first.standing.instance)
        #expect(transport.calls(to: "/v1/instances") == 0)
    }

    @Test func twoOfOneFolderShareAnInstance() async throws {
        let folder = World.newFolder()
        let (one, other) = (try await World.installation(in: folder), try await World.installation(in: folder))
        async let first: Void = one.refresh()
        async let second: Void = other.refresh()
        _ = try await (first, second)
        #expect(one.standing.instance != nil)
        #expect(one.standing.instance == other.standing.instance)
    }

    @Test func damagedFilesCostAnEnrolmentAndNothingElse() async throws {
        let folder = World.newFolder()
        let first = try await World.installation(in: folder)
        try await first.refresh()
        let files = try #require(FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil))
        var damaged = 0
        for case let file as URL in files where !file.hasDirectoryPath && file.pathExtension != "lock" {
            try Data("damage".utf8).write(to: file)
            damaged += 1
        }
        #expect(damaged >= 3, "state and two keys")
        let second = try await World.installation(in: folder)
        try await second.refresh()
        #expect(second.standing.instance != first.standing.instance)
    }

    @Test func aKeyThatNobodyRegisteredIsRefusedWithAReference() async throws {
        let countersign = try Countersign(development: World.configuration(), folder: World.newFolder())
        let request = ApiRequest(URLRequest(url: try World.url("/hello")))
        let error = await failure { _ = try await countersign.prove(request) }
        guard case .refused(let reference?) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reference.count == 8)
        #expect(error?.reference == reference)
    }

    @Test func theAuthorizationServerIsShownTheInstanceKey() async throws {
        let countersign = try await World.installation()
        let pop = try await countersign.authenticateClient(.pop(issuer: "https://login.example", challenge: nil))
        #expect(pop.fields.map(\.name) == ["oauth-client-attestation", "oauth-client-attestation-pop"])
        let dpop = try await countersign.authenticateClient(
            .dpop(endpoint: "https://login.example/token", nonce: "n"))
        #expect(dpop.fields.map(\.name) == ["oauth-client-attestation", "dpop"])
        #expect(countersign.clientAttestation == pop.fields.first?.value)
        await #expect(throws: CountersignError.self) {
            try await countersign.authenticateClient(.pop(issuer: "http://login.example", challenge: nil))
        }
    }
}
