import CountersignBindings
import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// HTTP to the attestation service: over TLS, no redirect followed, no cookie kept, nothing cached, and an answer is
/// read no further than it may be long.
final class ServiceTransport: Transport, Sendable {
    private let session: URLSession
    private let answers = Answers()
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
        session = URLSession(configuration: configuration, delegate: answers, delegateQueue: nil)
        self.timeout = timeout
    }

    deinit {
        // The session holds on to its delegate until it is told that no more calls come.
        session.finishTasksAndInvalidate()
    }

    func call(call: ServiceCall) async throws -> ServiceAnswer {
        guard let url = URL(string: call.url) else { throw TransportError.Unreached }
        var request = URLRequest(url: url, cachePolicy: .reloadIgnoringLocalCacheData, timeoutInterval: timeout)
        request.httpMethod = call.post ? "POST" : "GET"
        request.httpShouldHandleCookies = false
        if call.post { request.httpBody = call.body }
        if let type = call.contentType { request.setValue(type, forHTTPHeaderField: "Content-Type") }
        let task = session.dataTask(with: request)
        // Not every URLSession limits the time of a whole answer; one that comes byte by byte would hold on for ever.
        let alarm = Task { [timeout] in
            try await Task.sleep(nanoseconds: UInt64(timeout * 1_000_000_000))
            task.cancel()
        }
        defer { alarm.cancel() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                answers.expect(task, atMost: Int(call.maxAnswer), continuation)
                task.resume()
            }
        } onCancel: {
            task.cancel()
        }
    }
}

/// Collects the answers of calls under way.
private final class Answers: NSObject, URLSessionDataDelegate, @unchecked Sendable {
    private struct Expected {
        let most: Int
        let continuation: CheckedContinuation<ServiceAnswer, any Error>
        var body = Data()
        var isTooLong = false
    }

    private let lock = NSLock()
    private var expected: [Int: Expected] = [:]

    func expect(_ task: URLSessionTask, atMost most: Int, _ continuation: CheckedContinuation<ServiceAnswer, any Error>) {
        lock.withLock { expected[task.taskIdentifier] = Expected(most: most, continuation: continuation) }
    }

    func urlSession(
        _: URLSession,
        task _: URLSessionTask,
        willPerformHTTPRedirection _: HTTPURLResponse,
        newRequest _: URLRequest,
        completionHandler: @escaping @Sendable (URLRequest?) -> Void
    ) {
        // The redirect itself is the answer, and no good one.
        completionHandler(nil)
    }

    func urlSession(_: URLSession, dataTask task: URLSessionDataTask, didReceive data: Data) {
        let isTooLong = lock.withLock {
            guard var answer = expected[task.taskIdentifier] else { return true }
            answer.isTooLong = answer.isTooLong || answer.body.count + data.count > answer.most
            if answer.isTooLong { answer.body = Data() } else { answer.body.append(data) }
            expected[task.taskIdentifier] = answer
            return answer.isTooLong
        }
        if isTooLong { task.cancel() }
    }

    func urlSession(_: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        guard let answer = lock.withLock({ expected.removeValue(forKey: task.taskIdentifier) }) else { return }
        guard error == nil, !answer.isTooLong, let response = task.response as? HTTPURLResponse else {
            return answer.continuation.resume(throwing: TransportError.Unreached)
        }
        answer.continuation.resume(
            returning: ServiceAnswer(
                status: UInt16(clamping: response.statusCode),
                retryAfter: response.value(forHTTPHeaderField: "Retry-After").flatMap { UInt64($0) },
                body: answer.body
            )
        )
    }
}
