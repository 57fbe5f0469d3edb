package dev.countersign

import java.io.IOException

/**
 * What went wrong, as a type. [reason] is a stable name that may be shown and logged; [reference] is for support.
 *
 * It is an [IOException], because HTTP clients let nothing else through without ending the app.
 */
public sealed class CountersignException(
    public val reason: String,
    public val reference: String? = null,
    cause: Throwable? = null,
) : IOException(if (reference == null) reason else "$reason ($reference)", cause) {
    /** The configuration is wrong: a mistake of the developer. */
    public class Configuration internal constructor(reason: String) : CountersignException(reason)

    /** The request goes to a host that was not named: it gets no token. */
    public class UnknownOrigin internal constructor() : CountersignException("unknown_origin")

    /** The request's method or URI has no single reading. */
    public class InvalidRequest internal constructor(reason: String) : CountersignException(reason)

    /** There is no result, or it has expired. */
    public class NoResult internal constructor() : CountersignException("no_result")

    /** The service cannot be reached; the next call tries again. */
    public class Unreachable internal constructor() : CountersignException("service_unreachable")

    /** The service cannot serve now; the next call tries again. */
    public class Unavailable internal constructor(reference: String?) :
        CountersignException("service_unavailable", reference)

    /** The service refuses this installation. */
    public class Refused internal constructor(reference: String?) : CountersignException("refused", reference)

    /** Only another version of the app can pass. */
    public class UpdateRequired internal constructor(reference: String?) :
        CountersignException("update_required", reference)

    /** The service's answer is not authentic, or not for this device. */
    public class UntrustedAnswer internal constructor(reason: String) : CountersignException(reason)

    /** The key store or the platform's evidence service fails for now; the next call tries again. */
    public class PlatformUnavailable internal constructor() : CountersignException("platform_unavailable")

    /** The phone is out of attestation keys, and gets others from Google when it is online. */
    public class NoAttestationKeys internal constructor() : CountersignException("no_attestation_keys")

    /** The device cannot make the keys or the evidence. */
    public class DeviceUnsupported internal constructor() : CountersignException("device_unsupported")

    /** The native library is not there, is of another version than this code, or failed. */
    public class LibraryUnusable internal constructor(reason: String, cause: Throwable? = null) :
        CountersignException(reason, cause = cause)

    /** [Countersign.close] was called. */
    public class Closed internal constructor() : CountersignException("closed")
}
