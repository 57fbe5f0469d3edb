package dev.countersign.internal

import dev.countersign.Advice
import dev.countersign.ApiRequest
import dev.countersign.ClientProof
import dev.countersign.CountersignException
import dev.countersign.Proof
import dev.countersign.Standing
import dev.countersign.ffi.Advice as FfiAdvice
import dev.countersign.ffi.ApiRequest as FfiApiRequest
import dev.countersign.ffi.ClientProof as FfiClientProof
import dev.countersign.ffi.CountersignException as FfiException
import dev.countersign.ffi.Proof as FfiProof
import dev.countersign.ffi.Standing as FfiStanding

// What apps see never prints a token; what is generated prints everything, and stays inside.

internal fun ApiRequest.forLibrary() = FfiApiRequest(method, uri, credential, content)

internal fun ClientProof.forLibrary(): FfiClientProof = when (kind) {
    ClientProof.Kind.POP -> FfiClientProof.Pop(target, nonce)
    ClientProof.Kind.DPOP -> FfiClientProof.Dpop(target, nonce)
}

internal fun FfiProof.forApp() = Proof(fields.associate { it.name to it.value })

internal fun FfiStanding.forApp() =
    Standing(
        instance,
        protection?.name?.lowercase(),
        affirming,
        expiresAt?.toLong(),
        failure,
        reference,
        retryAfter?.toLong(),
    )

internal fun FfiAdvice.forApp(): Advice = when (this) {
    FfiAdvice.ACCEPT -> Advice.ACCEPT
    FfiAdvice.PROVE_AGAIN -> Advice.PROVE_AGAIN
    FfiAdvice.PROVE_AGAIN_IF_IDEMPOTENT -> Advice.PROVE_AGAIN_IF_IDEMPOTENT
    FfiAdvice.REFRESH_AND_PROVE_AGAIN -> Advice.REFRESH_AND_PROVE_AGAIN
    FfiAdvice.PROVE_WITH_INSTANCE_KEY -> Advice.PROVE_WITH_INSTANCE_KEY
}

internal fun FfiException.forApp(): CountersignException = when (this) {
    is FfiException.Configuration -> CountersignException.Configuration(reason)
    is FfiException.UnknownOrigin -> CountersignException.UnknownOrigin()
    is FfiException.InvalidRequest -> CountersignException.InvalidRequest(reason)
    is FfiException.NoResult -> CountersignException.NoResult()
    is FfiException.Unreachable -> CountersignException.Unreachable()
    is FfiException.Unavailable -> CountersignException.Unavailable(reference)
    is FfiException.Refused -> CountersignException.Refused(reference)
    is FfiException.UpdateRequired -> CountersignException.UpdateRequired(reference)
    is FfiException.UntrustedAnswer -> CountersignException.UntrustedAnswer(reason)
    is FfiException.PlatformUnavailable -> CountersignException.PlatformUnavailable()
    is FfiException.NoAttestationKeys -> CountersignException.NoAttestationKeys()
    is FfiException.DeviceUnsupported -> CountersignException.DeviceUnsupported()
    is FfiException.LibraryMismatch -> CountersignException.LibraryUnusable("library_version", this)
}
