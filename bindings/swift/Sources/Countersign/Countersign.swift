import CountersignBindings
import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Proves the requests of this installation. One for the whole app; every method may be called from anywhere, and
/// nothing is done on the caller's actor. Making one reads nothing and calls nobody: the first `refresh` or `prove` does,
/// so it is cheap at the start of an app.
public actor Countersign {
    private nonisolated let attester: Attester
    /// The renewal in the background, while there is one.
    private var renewal: Task<Void, Never>?

    init(_ make: (any Transport, any CountersignBindings.Timer) throws -> Attester, over transport: any Transport) throws {
        guard libraryIsOfThisVersion() else { throw CountersignError.libraryMismatch }
        do {
            attester = try make(transport, TaskTimer())
        } catch let error as CountersignBindings.CountersignError {
            throw CountersignError(error)
        }
    }

    /// Makes the header fields for one request; enrols or renews first if there is no result. However many wait, one
    /// enrolment is under way, and it goes on when the tasks that wait for it are cancelled. A result that nears its
    /// end is renewed in the background. Right after a start, while the service is away, it proves with the instance key, as
    /// long as the last result still vouches for it.
    ///
    /// Throws `CountersignError`: `unknownOrigin` for a host that was not configured, or why there is no result; and
    /// `CancellationError`.
    public nonisolated func prove(_ request: ApiRequest) async throws -> Proof {
        // With a result at hand this takes tens of microseconds, on whichever executor the caller is.
        do {
            return noted(try attester.prove(request: request))
        } catch CountersignBindings.CountersignError.NoResult {
            return noted(try await waiting { try await $0.proveWhenReady(request: request) })
        } catch let error as CountersignBindings.CountersignError {
            throw CountersignError(error)
        }
    }

    /// The request with a proof by the result at hand; nil if there is none.
    nonisolated func signAtOnce(_ request: URLRequest) -> URLRequest? {
        guard let proof = try? attester.prove(request: ApiRequest(request)) else { return nil }
        return request.with(noted(proof))
    }

    /// Makes the header fields of the JWT flavour with the instance key, for routes that demand hardware: as slow as the
    /// device's key store. Throws as `prove`.
    public nonisolated func proveWithInstanceKey(_ request: ApiRequest) async throws -> Proof {
        try await waiting { try await $0.proveWithInstanceKey(request: request) }
    }

    /// Makes the header fields with which the app authenticates one request to its authorization server, with the
    /// instance key. Throws as `prove`; hosts need not be configured for this.
    public nonisolated func authenticateClient(_ proof: ClientProof) async throws -> Proof {
        try await waiting { try await $0.authenticateClient(proof: proof) }
    }

    /// Obtains a result, or renews the one that is due; returns at once if it is not. Called in the background after the
    /// first start, it spares the first request the wait. Throws as `prove`.
    public nonisolated func refresh() async throws {
        try await waiting { try await $0.refresh() }
    }

    /// Takes in the answer of an API and says what to do about it, at most once per request. `AttestedSession` does.
    public nonisolated func observe(_ answer: ApiAnswer, from url: URL) -> Advice {
        attester.observe(uri: url.absoluteString, answer: answer)
    }

    /// What is known of this installation, for support; nothing in it is secret.
    public nonisolated var standing: Standing {
        attester.standing()
    }

    /// The key that vouches for a simulator or a developer's machine, for whoever registers it; nil on devices.
    public nonisolated func developmentKey() throws -> DevelopmentKey? {
        do {
            return try attester.developmentKey()
        } catch let error as CountersignBindings.CountersignError {
            throw CountersignError(error)
        }
    }

    /// The client attestation for the authorization server; nil without a current result.
    public nonisolated var clientAttestation: String? {
        attester.clientAttestation()
    }

    private nonisolated func noted(_ proof: Proof) -> Proof {
        if proof.refreshDue {
            Task(priority: .utility) { await renewInBackground() }
        }
        return proof
    }

    private func renewInBackground() {
        guard renewal == nil else { return }
        renewal = Task(priority: .utility) {
            // Whoever needs a result that could not be renewed is told why.
            try? await refresh()
            renewal = nil
        }
    }

    private nonisolated func waiting<Value: Sendable>(
        _ operation: @escaping @Sendable (Attester) async throws -> Value
    ) async throws -> Value {
        try await untilCancelled { [attester] in
            do {
                return try await operation(attester)
            } catch let error as CountersignBindings.CountersignError {
                throw CountersignError(error)
            }
        }
    }
}
