import CountersignBindings
import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Where proofs stand. A request has those of one flavour, so the others go.
let proofFields = ["attestation-result", "attestation-proof", "oauth-client-attestation", "dpop"]

extension URLRequest {
    /// The URL without its fragment, which never reaches a server.
    var target: URL {
        guard let url, url.fragment != nil, var parts = URLComponents(url: url, resolvingAgainstBaseURL: true) else {
            // A request without URL is refused as one that cannot be read.
            return self.url?.absoluteURL ?? URL(fileURLWithPath: "/")
        }
        parts.percentEncodedFragment = nil
        return parts.url ?? url
    }

    /// The request's method, which is GET where none was set.
    var method: String { httpMethod ?? "GET" }

    /// RFC 9110 section 9.2.2.
    var isIdempotent: Bool {
        ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"].contains(method)
    }

    /// This request with these header fields, and none of another proof.
    func with(_ proof: Proof) -> URLRequest {
        var request = self
        for name in proofFields { request.setValue(nil, forHTTPHeaderField: name) }
        for field in proof.fields { request.setValue(field.value, forHTTPHeaderField: field.name) }
        return request
    }

    /// The access token behind `Authorization`'s scheme, or the API key.
    fileprivate var credential: String? {
        if let authorization = value(forHTTPHeaderField: "Authorization") {
            let parts = authorization.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
            return parts.count == 2 ? String(parts[1]).trimmingCharacters(in: .whitespaces) : nil
        }
        // Only what API keys of ours begin with: a field of the same name may be the API's own affair.
        return value(forHTTPHeaderField: "X-API-Key").flatMap { $0.hasPrefix("csk_") ? $0 : nil }
    }
}

extension ApiRequest {
    /// What is proven of a request.
    public init(_ request: URLRequest) {
        let content = request.httpBody.flatMap { $0.isEmpty ? nil : $0 }
        self.init(
            method: request.method,
            uri: request.target.absoluteString,
            credential: request.credential,
            content: content
        )
    }
}

extension ApiAnswer {
    /// What matters of a response.
    public init(_ response: HTTPURLResponse) {
        let challenge = response.value(forHTTPHeaderField: "OAuth-Client-Attestation-Challenge")
        self.init(
            status: UInt16(clamping: response.statusCode),
            challenge: challenge ?? response.value(forHTTPHeaderField: "DPoP-Nonce"),
            wwwAuthenticate: response.value(forHTTPHeaderField: "WWW-Authenticate").map { [$0] } ?? []
        )
    }
}
