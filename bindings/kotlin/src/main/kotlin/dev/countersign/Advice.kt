package dev.countersign

/** What to do about an API's answer, at most once per request. The interceptors do it by themselves. */
public enum class Advice {
    /** Nothing. */
    ACCEPT,

    /** Prove anew and send again. */
    PROVE_AGAIN,

    /** As [PROVE_AGAIN], for idempotent methods only: the first copy may have been carried out. */
    PROVE_AGAIN_IF_IDEMPOTENT,

    /** [Countersign.refresh], prove anew and send again. */
    REFRESH_AND_PROVE_AGAIN,

    /** Prove with the instance key and send again. */
    PROVE_WITH_INSTANCE_KEY;

    /**
     * Whether a request may be sent again.
     *
     * @param replayable the body can be written a second time.
     */
    internal fun permits(method: String, replayable: Boolean): Boolean = when (this) {
        ACCEPT -> false
        PROVE_AGAIN_IF_IDEMPOTENT -> replayable && method in IDEMPOTENT
        else -> replayable
    }

    private companion object {
        /** RFC 9110 section 9.2.2. */
        val IDEMPOTENT = setOf("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")
    }
}
