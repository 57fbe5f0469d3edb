package dev.countersign

import java.util.function.Function
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.runInterruptible

/**
 * Where Play Integrity tokens come from: Google's call, made by the app. It never holds up an enrolment: what it throws,
 * or does not answer in time, is left out.
 */
public fun interface PlayIntegrityProvider {
    /** The token of a standard request for [requestHash]. */
    public suspend fun token(requestHash: String): String

    public companion object {
        /** For Java: a function that may block; it is called on a thread where that does no harm. */
        @JvmStatic
        public fun blocking(token: Function<String, String>): PlayIntegrityProvider = PlayIntegrityProvider { requestHash ->
            runInterruptible(Dispatchers.IO) { token.apply(requestHash) }
        }
    }
}
