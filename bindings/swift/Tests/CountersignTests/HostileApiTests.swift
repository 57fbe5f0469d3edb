import Foundation
import Testing

@testable import Countersign
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// An installation with a genuine result, and an API of our own that answers as no good one does.
@Suite(.enabled(if: World.isThere, World.isMissing)) struct HostileApi {
    /// 42 bytes, of which the first is the version.
    static let nonce = Data([1] + Array(repeating: 7, count: 41)).base64URL
    static let wantsNonce = [
        "WWW-Authenticate": "DPoP error=\"use_attestation_challenge\"",
        "OAuth-Client-Attestation-Challenge": nonce,
    ]
    static let replayed = ["WWW-Authenticate": "DPoP error=\"invalid_client_attestation\", reason=\"replayed\""]
    static let wantsFreshEvidence = ["WWW-Authenticate": "DPoP error=\"use_fresh_attestation\""]

    /// Everything of a request that must not go to another host.
    static func request(_ url: URL, _ method: String = "GET") -> URLRequest {
        var request = URLRequest(url: url)
        request.httpMethod = method
        request.setValue("DPoP access-token", forHTTPHeaderField: "Authorization")
        request.setValue("secret=1", forHTTPHeaderField: "Cookie")
        request.setValue("of-the-app", forHTTPHeaderField: "X-Session")
        request.setValue("text/plain", forHTTPHeaderField: "Accept")
        return request
    }

    @Test func aHostThatWasNotNamedGetsNothing() async throws {
        let elsewhere = try LoopbackServer { _, _ in .answer(200) }
        let countersign = try await World.installation()
        try await countersign.refresh()
        let session = AttestedSession(countersign)
        for request in [Self.request(elsewhere.url("/")), Self.request(try Self.url("https://api.example"))] {
            #expect(await failure { _ = try await session.data(for: request) } == .unknownOrigin)
            #expect(await failure { _ = try await countersign.sign(request) } == .unknownOrigin)
        }
        #expect(elsewhere.requests.isEmpty)
    }

    @Test func nothingIsObtainedForAHostThatWasNotNamed() async throws {
        let transport = CountingTransport()
        let countersign = try await World.installation(over: transport)
        let request = Self.request(try Self.url("https://evil.example"))
        #expect(await failure { _ = try await countersign.sign(request) } == .unknownOrigin)
        #expect(transport.calls(to: "/v1/challenge") == 0)
    }

    @Test func urlsThatServersReadInTwoWaysAreNotSent() async throws {
        let api = try LoopbackServer { _, _ in .answer(200) }
        let session = AttestedSession(try await World.installation(apis: [api.origin]))
        for path in ["/a/%2e%2e/b", "/a%2fb", "/a;b", "/%2541"] {
            let error = await failure { _ = try await session.data(from: api.url(path)) }
            #expect(error == .invalidRequest(reason: "request_ambiguous_path"), "\(path)")
        }
        #expect(api.requests.isEmpty)
    }

    @Test func aFragmentStaysOnTheDevice() async throws {
        let api = try LoopbackServer { _, _ in .answer(200) }
        let session = AttestedSession(try await World.installation(apis: [api.origin]))
        #expect(try await session.data(from: api.url("/a?b#c")).1.statusCode == 200)
        #expect(api.requests.map(\.target) == ["/a?b"])
    }

    @Test(arguments: [301, 302, 303, 307, 308])
    func aRedirectToAnotherHostTakesNothingAlong(status: Int) async throws {
        let elsewhere = try LoopbackServer { _, _ in .answer(200, [:], Data("elsewhere".utf8)) }
        let target = elsewhere.origin
        let api = try LoopbackServer { _, _ in .answer(status, ["Location": target + "/there"]) }
        let session = AttestedSession(try await World.installation(apis: [api.origin]))
        let (body, response) = try await session.data(for: Self.request(api.url("/")))
        #expect(response.statusCode == 200)
        #expect(String(decoding: body, as: UTF8.self) == "elsewhere")
        let names = Set(try #require(elsewhere.requests.first).fields.keys)
        let secrets = Set(proofFields + ["authorization", "cookie", "x-session", "x-api-key"])
        #expect(names.isDisjoint(with: secrets), "\(names)")
        #expect(elsewhere.requests.first?.fields["accept"] == "text/plain")
        #expect(api.requests.count == 1)
    }

    @Test(arguments: [307, 308]) func aRedirectNeverSendsABodyOn(status: Int) async throws {
        let elsewhere = try LoopbackServer { _, _ in .answer(200) }
        let target = elsewhere.origin
        let api = try LoopbackServer { request, _ in
            .answer(status, ["Location": request.target == "/there" ? target : "/here"])
        }
        let session = AttestedSession(try await World.installation(apis: [api.origin]))
        for path in ["/", "/there"] {
            let request = Self.request(api.url(path), "POST")
            let (_, response) = try await session.upload(for: request, from: Data("body".utf8))
            #expect(response.statusCode == status)
        }
        #expect(elsewhere.requests.isEmpty)
        #expect(api.requests.count == 2)
    }

    @Test func aRedirectWithinTheApiIsProvenAnew() async throws {
        let api = try LoopbackServer { request, _ in
            request.target == "/old" ? .answer(302, ["Location": "/new"]) : .answer(200)
        }
        let session = AttestedSession(try await World.installation(apis: [api.origin]))
        #expect(try await session.data(for: Self.request(api.url("/old"))).1.statusCode == 200)
        #expect(api.requests.map(\.target) == ["/old", "/new"])
        let proofs = api.requests.map { $0.fields["attestation-proof"] }
        #expect(proofs.allSatisfy { $0 != nil } && proofs[0] != proofs[1])
        #expect(api.requests.allSatisfy { $0.fields["authorization"] == "DPoP access-token" })
    }

    @Test func redirectsThatNeverEndAreEnded() async throws {
        let api = try LoopbackServer { _, number in .answer(302, ["Location": "/\(number)"]) }
        let session = AttestedSession(try await World.installation(apis: [api.origin]))
        await #expect(throws: URLError.self) { try await session.data(from: api.url("/")) }
        #expect(api.requests.count < 30)
    }

    @Test func aSessionThatAddsCredentialsFollowsNoRedirect() async throws {
        let elsewhere = try LoopbackServer { _, _ in .answer(200) }
        let target = elsewhere.origin
        let api = try LoopbackServer { _, _ in .answer(302, ["Location": target]) }
        let configuration = URLSessionConfiguration.ephemeral
        configuration.httpAdditionalHeaders = ["authorization": "DPoP access-token"]
        let countersign = try await World.installation(apis: [api.origin])
        let session = AttestedSession(countersign, configuration: configuration)
        #expect(try await session.data(from: api.url("/")).1.statusCode == 302)
        #expect(elsewhere.requests.isEmpty)
    }

    @Test func downgradesAndOtherSchemesAreNotFollowed() throws {
        let verdict = { RedirectGuard.verdict(from: try Self.url($0), to: try Self.url($1), method: $2) }
        #expect(try verdict("https://a.example/1", "https://a.example:443/2", "GET") == .follow)
        #expect(try verdict("https://a.example/1", "https://A.EXAMPLE/2", "HEAD") == .follow)
        #expect(try verdict("https://a.example", "https://a.example:8443", "GET") == .leave)
        #expect(try verdict("https://a.example", "https://b.example", "GET") == .leave)
        #expect(try verdict("https://a.example", "http://a.example", "GET") == .stop)
        #expect(try verdict("https://a.example", "file:///etc/passwd", "GET") == .stop)
        #expect(try verdict("https://a.example/1", "https://a.example/2", "POST") == .stop)
    }

    @Test func aNonceIsAnsweredOnce() async throws {
        let api = try LoopbackServer { _, number in number == 0 ? .answer(401, Self.wantsNonce) : .answer(200) }
        let session = AttestedSession(try await World.installation(apis: [api.origin]))
        let (_, response) = try await session.upload(for: Self.request(api.url("/"), "POST"), from: Data("1".utf8))
        #expect(response.statusCode == 200)
        #expect(api.requests.map(\.body) == [Data("1".utf8), Data("1".utf8)])
        let proofs = try api.requests.map { try #require(Data(base64URL: $0.fields["attestation-proof"] ?? "")) }
        let nonce = try #require(Data(base64URL: Self.nonce))
        #expect(proofs[0].range(of: nonce) == nil && proofs[1].range(of: nonce) != nil)
        // It serves the next request, too.
        _ = try await session.data(from: api.url("/"))
        #expect(try #require(Data(base64URL: api.requests[2].fields["attestation-proof"] ?? "")).range(of: nonce) != nil)
    }

    @Test(arguments: [wantsNonce, replayed]) func anApiThatIsNeverContentIsAskedTwice(demand: [String: String]) async throws {
        let api = try LoopbackServer { _, _ in .answer(401, demand) }
        let session = AttestedSession(try await World.installation(apis: [api.origin]))
        #expect(try await session.data(for: Self.request(api.url("/"))).1.statusCode == 401)
        #expect(api.requests.count == 2)
    }

    @Test func whatMayHaveBeenCarriedOutIsNotSentAgain() async throws {
        let api = try LoopbackServer { _, _ in .answer(401, Self.replayed) }
        let session = AttestedSession(try await World.installation(apis: [api.origin]))
        for (method, times) in [("POST", 1), ("PATCH", 1), ("GET", 2), ("PUT", 2), ("DELETE", 2)] {
            let before = api.requests.count
            _ = try await session.data(for: Self.request(api.url("/"), method))
            #expect(api.requests.count - before == times, "\(method)")
        }
    }

    @Test func whatWasCarriedOutBeforeARedirectIsNotSentAgain() async throws {
        let api = try LoopbackServer { request, _ in
            request.method == "POST" ? .answer(303, ["Location": "/orders"]) : .answer(401, Self.wantsNonce)
        }
        let session = AttestedSession(try await World.installation(apis: [api.origin]))
        let request = Self.request(api.url("/orders"), "POST")
        let (_, response) = try await session.upload(for: request, from: Data("one".utf8))
        #expect(response.statusCode == 401)
        #expect(api.requests.map(\.method) == ["POST", "GET"])
    }

    @Test func aStreamIsNotSentAgain() async throws {
        let api = try LoopbackServer { _, _ in .answer(401, Self.wantsNonce) }
        let session = AttestedSession(try await World.installation(apis: [api.origin]))
        var request = Self.request(api.url("/"), "POST")
        request.httpBodyStream = InputStream(data: Data("body".utf8))
        request.setValue("4", forHTTPHeaderField: "Content-Length")
        #expect(try await session.data(for: request).1.statusCode == 401)
        #expect(api.requests.count == 1)
    }

    @Test func aWishForFreshEvidenceIsFollowedOnceAMinute() async throws {
        let api = try LoopbackServer { _, _ in .answer(401, Self.wantsFreshEvidence) }
        let transport = CountingTransport()
        let countersign = try await World.installation(apis: [api.origin], over: transport)
        try await countersign.refresh()
        let instance = try #require(countersign.standing.instance)
        let session = AttestedSession(countersign)
        _ = try await session.data(from: api.url("/"))
        #expect(api.requests.count == 2)
        // The next one is taken for an echo of the first.
        _ = try await session.data(from: api.url("/"))
        #expect(api.requests.count <= 4)
        #expect(transport.calls(to: "/v1/instances/\(instance)/results") == 1)
        let results = api.requests.map { $0.fields["attestation-result"] }
        #expect(results[0] != results[1] && results[1...].allSatisfy { $0 == results[1] })
    }

    @Test func anotherHostsDemandsMeanNothing() async throws {
        let elsewhere = try LoopbackServer { _, _ in .answer(401, Self.wantsNonce) }
        let target = elsewhere.origin
        let api = try LoopbackServer { _, _ in .answer(302, ["Location": target]) }
        let session = AttestedSession(try await World.installation(apis: [api.origin]))
        #expect(try await session.data(from: api.url("/")).1.statusCode == 401)
        #expect(api.requests.count == 1 && elsewhere.requests.count == 1)
    }

    @Test func anotherProofInARequestIsReplaced() async throws {
        let countersign = try await World.installation()
        var request = URLRequest(url: try World.url("/hello"))
        for name in proofFields { request.setValue("old", forHTTPHeaderField: name) }
        let signed = try await countersign.sign(request)
        #expect(signed.value(forHTTPHeaderField: "DPoP") == nil)
        #expect(signed.value(forHTTPHeaderField: "OAuth-Client-Attestation") == nil)
        #expect(signed.value(forHTTPHeaderField: "Attestation-Proof") != "old")
    }

    @Test func aRequestThatIsCancelledEnds() async throws {
        let api = try LoopbackServer { _, _ in .silence }
        let session = AttestedSession(try await World.installation(apis: [api.origin]))
        let request = Task { try await session.data(from: api.url("/")) }
        try await until { !api.requests.isEmpty }
        request.cancel()
        await #expect(throws: CancellationError.self) { try await request.value }
    }

    @Test func requestsThatAreCancelledAtAnyMomentEnd() async throws {
        let api = try LoopbackServer { _, _ in .silence }
        let countersign = try await World.installation(apis: [api.origin])
        try await countersign.refresh()
        let session = AttestedSession(countersign)
        let requests = (0..<60).map { number in
            let request = Task { _ = try await session.data(from: api.url("/")) }
            if number.isMultiple(of: 3) { request.cancel() }
            return request
        }
        for (number, request) in requests.enumerated() {
            if number.isMultiple(of: 2) { try await Task.sleep(nanoseconds: 500_000) }
            request.cancel()
            await #expect(throws: CancellationError.self) { try await request.value }
        }
    }

    private static func url(_ text: String) throws -> URL { try #require(URL(string: text)) }
}
