import CountersignBindings
import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// HTTP to the attestation service: over TLS, no redirect followed, no cookie kept, nothing cached, and an answer is
/// read no further than it may be long.
final class ServiceTransport: Transport, Sendable {
    private let client: HTTPClient
    private let timeout: TimeInterval

    /// `timeout` is for one call from its start to the last byte of its answer, in seconds.
    init(timeout: TimeInterval = 30) {
        let configuration = URLSessionConfiguration.ephemeral
        configuration.httpCookieStorage = nil
        configuration.httpShouldSetCookies = false
        configuration.urlCache = nil
        configuration.urlCredentialStorage = nil
        configuration.timeoutIntervalForRequest = timeout
        configuration.timeoutIntervalForResource = timeout
        // A redirect itself is the answer, and no good one.
        client = HTTPClient(configuration) { _, _ in nil }
        self.timeout = timeout
    }

    func call(call: ServiceCall) async throws -> ServiceAnswer {
        guard let url = URL(string: call.url) else { throw TransportError.Unreached }
        var request = URLRequest(url: url, cachePolicy: .reloadIgnoringLocalCacheData, timeoutInterval: timeout)
        request.httpMethod = call.post ? "POST" : "GET"
        request.httpShouldHandleCookies = false
        if call.post { request.httpBody = call.body }
        if let type = call.contentType { request.setValue(type, forHTTPHeaderField: "Content-Type") }
        let answer = await answer(to: request, atMost: Int(call.maxAnswer))
        guard let (body, response, _) = answer else { throw TransportError.Unreached }
        return ServiceAnswer(
            status: UInt16(clamping: response.statusCode),
            retryAfter: response.value(forHTTPHeaderField: "Retry-After").flatMap { UInt64($0) },
            body: body
        )
    }

    /// Not every URLSession limits the time of a whole answer; one that comes byte by byte would hold on for ever.
    private func answer(to request: URLRequest, atMost most: Int) async -> HTTPClient.Answer? {
        await withTaskGroup(of: Optional<HTTPClient.Answer>.self) { group in
            group.addTask { [client] in (try? await client.send(request, atMost: most)) ?? nil }
            group.addTask { [timeout] in
                try? await Task.sleep(nanoseconds: UInt64(timeout * 1_000_000_000))
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }
}
