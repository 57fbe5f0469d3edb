import Foundation

/// Waits for `operation`, or for the caller's cancellation: then it throws `CancellationError` at once. The operation
/// itself goes on: what it does is for others, too.
func untilCancelled<Value: Sendable>(
    _ operation: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    let outcome = FirstOutcome<Value>()
    return try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { continuation in
            outcome.waits(continuation)
            Task {
                do {
                    outcome.comes(.success(try await operation()))
                } catch {
                    outcome.comes(.failure(error))
                }
            }
        }
    } onCancel: {
        outcome.comes(.failure(CancellationError()))
    }
}

/// Resumes whoever waits with what comes first, once.
private final class FirstOutcome<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var waiting: CheckedContinuation<Value, any Error>?
    private var first: Result<Value, any Error>?

    func waits(_ continuation: CheckedContinuation<Value, any Error>) {
        let outcome = lock.withLock {
            if first == nil { waiting = continuation }
            return first
        }
        if let outcome { continuation.resume(with: outcome) }
    }

    func comes(_ outcome: Result<Value, any Error>) {
        let continuation = lock.withLock {
            if first == nil { first = outcome }
            defer { waiting = nil }
            return waiting
        }
        continuation?.resume(with: outcome)
    }
}
