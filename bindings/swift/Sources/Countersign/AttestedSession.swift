import CountersignBindings
import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Sends requests through a `URLSession`, each with a proof of its own. It answers an API's wish for a nonce, fresh
/// evidence or the instance key, once per request, and never sends proofs or tokens to a host that was not configured:
/// such a request is not sent, and a redirect there takes nothing along.
///
/// The access token is the app's: it stands in the request as `Authorization: DPoP …`, or an API key in `X-API-Key`.
public struct AttestedSession: Sendable {
    /// Answers authentication challenges of the connection: an app's own pinning, or client certificates.
    public typealias ChallengeHandler = @Sendable (
        URLAuthenticationChallenge,
        @escaping @Sendable (URLSession.AuthChallengeDisposition, URLCredential?) -> Void
    ) -> Void

    private let countersign: Countersign
    private let client: HTTPClient

    /// Sends through a `URLSession` of this configuration. Credentials belong into requests: those in
    /// `httpAdditionalHeaders` would go wherever a redirect leads, so none is followed then.
    public init(
        _ countersign: Countersign,
        configuration: URLSessionConfiguration = .default,
        challenge: ChallengeHandler? = nil
    ) {
        self.countersign = countersign
        let redirects = RedirectGuard(countersign, for: configuration)
        client = HTTPClient(configuration, challenge: challenge) { redirects.instead(of: $1, after: $0) }
    }

    /// Sends a request with its `httpBody`; enrols first if that was not done before. A request whose body is a stream
    /// is proven without its body, and not sent a second time.
    ///
    /// Throws `CountersignError` if there is no proof, in which case nothing was sent; `URLError`; `CancellationError`.
    public func data(for request: URLRequest) async throws -> (Data, HTTPURLResponse) {
        let first = try await send(countersign.sign(request))
        let answer = (first.body, first.response)
        let advice = countersign.observe(ApiAnswer(first.response), from: first.response.url ?? request.target)
        // Of a request that was redirected the first copy was carried out, and only the last hop was refused.
        guard request.httpBodyStream == nil, request.isIdempotent || !first.wasRedirected,
            let again = try await countersign.sign(request, following: advice)
        else { return answer }
        let second = try await send(again)
        // The nonce of this answer serves the next request; what it advises was done.
        _ = countersign.observe(ApiAnswer(second.response), from: second.response.url ?? request.target)
        return (second.body, second.response)
    }

    /// As `data(for:)`, for a request to `url`.
    public func data(from url: URL) async throws -> (Data, HTTPURLResponse) {
        try await data(for: URLRequest(url: url))
    }

    /// As `data(for:)`, with this body.
    public func upload(for request: URLRequest, from body: Data) async throws -> (Data, HTTPURLResponse) {
        var request = request
        request.httpBody = body
        return try await data(for: request)
    }

    private func send(_ request: URLRequest) async throws -> HTTPClient.Answer {
        guard let answer = try await client.send(request) else { throw URLError(.dataLengthExceedsMaximum) }
        return answer
    }
}

extension Countersign {
    /// The request with a proof of its own, for HTTP clients other than `URLSession`: those send it as it is, without
    /// following redirects by themselves, and hand the answer to `observe`. Throws as `prove`.
    public nonisolated func sign(_ request: URLRequest) async throws -> URLRequest {
        request.with(try await prove(ApiRequest(request)))
    }

    /// The request to send a second time, where `advice` says so; nil where the first answer is to be taken.
    nonisolated func sign(_ request: URLRequest, following advice: Advice) async throws -> URLRequest? {
        switch advice {
        case .accept:
            return nil
        case .proveAgain:
            return try await sign(request)
        case .proveAgainIfIdempotent:
            return request.isIdempotent ? try await sign(request) : nil
        case .refreshAndProveAgain:
            do {
                try await refresh()
            } catch is CountersignError {
                return nil
            }
            return try await sign(request)
        case .proveWithInstanceKey:
            return request.with(try await proveWithInstanceKey(ApiRequest(request)))
        }
    }
}
