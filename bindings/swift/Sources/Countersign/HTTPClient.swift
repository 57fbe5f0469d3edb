import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// One `URLSession` whose redirects are decided here. A session's own delegate is asked about each of them on every
/// system; a delegate of one task is not asked on Linux, where a request's header fields then go wherever the answer points.
final class HTTPClient: Sendable {
    /// What came, and whether a redirect led there: then the request itself was carried out.
    typealias Answer = (body: Data, response: HTTPURLResponse, wasRedirected: Bool)

    private let session: URLSession
    private let exchanges: Exchanges

    /// `redirect` says what to send to where an answer points; nil makes that answer the end.
    init(
        _ configuration: URLSessionConfiguration,
        challenge: AttestedSession.ChallengeHandler? = nil,
        redirect: @escaping @Sendable (HTTPURLResponse, URLRequest) -> URLRequest?
    ) {
        exchanges = Exchanges(challenge: challenge, redirect: redirect)
        session = URLSession(configuration: configuration, delegate: exchanges, delegateQueue: nil)
    }

    deinit {
        // The session holds on to its delegate until it is told that no more requests come.
        session.finishTasksAndInvalidate()
    }

    /// Sends a request and takes in an answer of at most so many bytes; nil for a longer one. Throws `URLError`, or
    /// `CancellationError` when the task that waits is cancelled.
    func send(_ request: URLRequest, atMost most: Int = .max) async throws -> Answer? {
        try Task.checkCancellation()
        let task = session.dataTask(with: request)
        do {
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    exchanges.expect(task, atMost: most, continuation)
                    task.resume()
                }
            } onCancel: {
                task.cancel()
            }
        } catch {
            // What the system says of a cancelled request is no news to whoever cancelled it.
            try Task.checkCancellation()
            throw error
        }
    }
}

private typealias Waiting = CheckedContinuation<HTTPClient.Answer?, any Error>

/// Collects the answers of requests under way.
private final class Exchanges: NSObject, URLSessionDataDelegate, @unchecked Sendable {
    private struct Expected {
        let most: Int
        let continuation: Waiting
        var body = Data()
        var isTooLong = false
        var wasRedirected = false
    }

    private let challenge: AttestedSession.ChallengeHandler?
    private let redirect: @Sendable (HTTPURLResponse, URLRequest) -> URLRequest?
    private let lock = NSLock()
    private var expected: [Int: Expected] = [:]
    /// Requests that were cancelled before their answer was expected.
    private var ended: [Int: any Error] = [:]

    init(
        challenge: AttestedSession.ChallengeHandler?,
        redirect: @escaping @Sendable (HTTPURLResponse, URLRequest) -> URLRequest?
    ) {
        self.challenge = challenge
        self.redirect = redirect
    }

    func expect(_ task: URLSessionTask, atMost most: Int, _ continuation: Waiting) {
        let error = lock.withLock {
            let error = ended.removeValue(forKey: task.taskIdentifier)
            if error == nil { expected[task.taskIdentifier] = Expected(most: most, continuation: continuation) }
            return error
        }
        if let error { continuation.resume(throwing: error) }
    }

    func urlSession(
        _: URLSession,
        task: URLSessionTask,
        willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest,
        completionHandler: @escaping @Sendable (URLRequest?) -> Void
    ) {
        // At once: a request that is cancelled meanwhile must not be answered any more.
        let instead = redirect(response, request)
        if instead != nil { lock.withLock { expected[task.taskIdentifier]?.wasRedirected = true } }
        completionHandler(instead)
    }

    func urlSession(
        _: URLSession,
        task _: URLSessionTask,
        didReceive challenge: URLAuthenticationChallenge,
        completionHandler: @escaping @Sendable (URLSession.AuthChallengeDisposition, URLCredential?) -> Void
    ) {
        guard let handler = self.challenge else { return completionHandler(.performDefaultHandling, nil) }
        handler(challenge, completionHandler)
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
        let answer = lock.withLock {
            let answer = expected.removeValue(forKey: task.taskIdentifier)
            if answer == nil { ended[task.taskIdentifier] = error ?? URLError(.cancelled) }
            return answer
        }
        guard let answer else { return }
        if answer.isTooLong {
            answer.continuation.resume(returning: nil)
        } else if let error {
            answer.continuation.resume(throwing: error)
        } else if let response = task.response as? HTTPURLResponse {
            answer.continuation.resume(returning: (answer.body, response, answer.wasRedirected))
        } else {
            answer.continuation.resume(throwing: URLError(.badServerResponse))
        }
    }
}
