import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Decides about redirects of one request, since `URLSession` takes a request's header fields along to wherever the
/// answer points:
///
/// * Within the origin, a redirect that is fetched with GET or HEAD is followed with a proof of its own.
/// * To another origin, a fetch is followed by a request that has nothing of the first but how it wants its answer.
/// * Anything else is not followed: the app gets the redirect as its answer. That is from https to http, what would send
///   a body again, and where the session itself adds credentials to whatever it sends.
struct RedirectGuard: Sendable {
    /// What goes to another origin.
    private static let harmless = ["Accept", "Accept-Language", "Accept-Encoding", "User-Agent", "Range"]
    private static let credentials = ["authorization", "proxy-authorization", "x-api-key", "cookie"]
    private let countersign: Countersign
    private let addsCredentials: Bool

    init(_ countersign: Countersign, for configuration: URLSessionConfiguration) {
        self.countersign = countersign
        let added = (configuration.httpAdditionalHeaders ?? [:]).keys
        addsCredentials = added.contains { Self.credentials.contains("\($0)".lowercased()) }
    }

    /// What to send to where `response` points, in place of `request`; nil for nothing.
    func instead(of request: URLRequest, after response: HTTPURLResponse) -> URLRequest? {
        guard let from = response.url, let to = request.url, !addsCredentials else { return nil }
        switch Self.verdict(from: from, to: to, method: request.method) {
        case .stop: return nil
        case .leave: return Self.bare(request)
        case .follow: return countersign.signAtOnce(request)
        }
    }

    enum Verdict { case follow, leave, stop }

    static func verdict(from: URL, to: URL, method: String) -> Verdict {
        guard let origin = WebOrigin(from), let target = WebOrigin(to), ["GET", "HEAD"].contains(method) else {
            return .stop
        }
        if origin == target { return .follow }
        return origin.scheme == "https" && target.scheme != "https" ? .stop : .leave
    }

    private static func bare(_ request: URLRequest) -> URLRequest? {
        guard let url = request.url else { return nil }
        var bare = URLRequest(url: url, cachePolicy: request.cachePolicy, timeoutInterval: request.timeoutInterval)
        bare.httpMethod = request.method
        for name in harmless {
            bare.setValue(request.value(forHTTPHeaderField: name), forHTTPHeaderField: name)
        }
        return bare
    }
}

/// Scheme, host and port (RFC 6454).
private struct WebOrigin: Equatable {
    let scheme: String
    let host: String
    let port: Int

    init?(_ url: URL) {
        guard let scheme = url.scheme?.lowercased(), let host = url.host?.lowercased(), !host.isEmpty,
            let usual = ["http": 80, "https": 443][scheme]
        else { return nil }
        self.scheme = scheme
        self.host = host
        port = url.port ?? usual
    }
}
