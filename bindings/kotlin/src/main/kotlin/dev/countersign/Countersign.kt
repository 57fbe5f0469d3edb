package dev.countersign

import dev.countersign.ffi.ApiAnswer
import dev.countersign.internal.Library
import dev.countersign.internal.Origins
import dev.countersign.internal.Settings
import dev.countersign.internal.forApp
import dev.countersign.internal.forLibrary
import dev.countersign.internal.typed
import java.util.concurrent.atomic.AtomicBoolean
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.async
import kotlinx.coroutines.cancel
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.launch

/**
 * Proves the requests of this installation. One for the whole app, which may be called from any thread.
 *
 * Making it does nothing: the native library is loaded, and the device enrolled, off the caller's thread when the first
 * proof is wanted, or [refresh] is called. However many wait, one enrolment is under way, and it goes on if they give up.
 */
public class Countersign internal constructor(private val settings: Settings) : AutoCloseable {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.IO)
    private val library = Library(settings)
    private val renewing = AtomicBoolean()

    @Volatile
    private var closed = false

    /** Whether a result was at hand before: the first wait of an interceptor comes before it holds a connection. */
    @Volatile
    internal var wasReady: Boolean = false
        private set

    /** The hosts that were named. */
    internal val origins: Origins get() = settings.origins

    /**
     * The header fields for [request]; enrols or renews first if there is no result. With one it takes some tens of
     * microseconds, and does not leave the thread.
     *
     * @throws CountersignException.UnknownOrigin for a host that was not named.
     * @throws CountersignException why there is no proof.
     */
    public suspend fun prove(request: ApiRequest): Proof {
        attesterOrNull()?.let { attester ->
            try {
                return proveWith(attester, request)
            } catch (_: CountersignException.NoResult) {
                // Obtained below.
            }
        }
        return detached {
            val attester = library.attester()
            // Where the service is away, the library may have another way than a fresh result.
            accept(typed { attester.proveWhenReady(request.forLibrary()) })
        }
    }

    /**
     * As [prove], with the instance key: for routes that demand hardware. As slow as the device's key store.
     *
     * @throws CountersignException why there is no proof.
     */
    public suspend fun proveWithInstanceKey(request: ApiRequest): Proof = detached {
        val attester = library.attester()
        typed { attester.proveWithInstanceKey(request.forLibrary()) }.forApp()
    }

    /**
     * Obtains a result, or renews the one that is due; returns at once if it is not. An app may call it in the
     * background when it starts; nothing depends on it.
     *
     * @throws CountersignException why there is none.
     */
    public suspend fun refresh(): Unit = detached {
        val attester = library.attester()
        typed { attester.refresh() }
        wasReady = true
    }

    /**
     * The header fields with which the app authenticates one request to its authorization server. As slow as the
     * device's key store. Send them with redirects off.
     *
     * @throws CountersignException why there are none.
     */
    public suspend fun authenticateClient(proof: ClientProof): Proof = detached {
        val attester = library.attester()
        typed { attester.authenticateClient(proof.forLibrary()) }.forApp()
    }

    /**
     * Takes in an API's answer, for HTTP clients that have no interceptor here, and says what to do about it.
     *
     * @param challenge the value of `OAuth-Client-Attestation-Challenge` or of `DPoP-Nonce`.
     * @param wwwAuthenticate each value of `WWW-Authenticate`.
     */
    public fun observe(uri: String, status: Int, challenge: String?, wwwAuthenticate: List<String>): Advice {
        // What was not proven by this library has nothing to say to it.
        val attester = attesterOrNull() ?: return Advice.ACCEPT
        return typed { attester.observe(uri, ApiAnswer(status.toUShort(), challenge, wwwAuthenticate)) }.forApp()
    }

    /** What is known of this installation, for support. */
    public suspend fun standing(): Standing = detached {
        val attester = library.attester()
        typed { attester.standing() }.forApp()
    }

    /** The development key that is to be registered with the service; null where none vouches. */
    public suspend fun developmentKey(): DevelopmentKey? = detached {
        val attester = library.attester()
        typed { attester.developmentKey() }?.let { DevelopmentKey(it.keyId, it.publicKey, it.command) }
    }

    /** The same for Java, as futures. */
    public fun futures(): CountersignFutures = CountersignFutures(this)

    /** Ends what is under way and frees the library's memory. What is called afterwards fails as [CountersignException.Closed]. */
    override fun close() {
        closed = true
        scope.cancel()
        library.close()
    }

    /** Nothing of what it holds. */
    override fun toString(): String = "Countersign(${settings.clientId})"

    /** A proof with the result at hand. */
    private fun proveWith(attester: dev.countersign.ffi.Attester, request: ApiRequest): Proof =
        accept(typed { attester.prove(request.forLibrary()) })

    private fun accept(proof: dev.countersign.ffi.Proof): Proof {
        wasReady = true
        if (proof.refreshDue) renewInBackground()
        return proof.forApp()
    }

    private fun attesterOrNull(): dev.countersign.ffi.Attester? {
        if (closed) throw CountersignException.Closed()
        return library.attesterOrNull()
    }

    /** This proof is good all the same: nobody waits for the renewal, and its failure shows when it is needed. */
    private fun renewInBackground() {
        if (!renewing.compareAndSet(false, true)) return
        scope.launch {
            try {
                library.attester().refresh()
            } catch (cancelled: CancellationException) {
                throw cancelled
            } catch (_: Exception) {
                // The library spaces its attempts itself.
            } finally {
                renewing.set(false)
            }
        }
    }

    /** Work that goes on when its caller gives up: others may wait for the same enrolment. */
    internal suspend fun <T> detached(work: suspend () -> T): T {
        if (closed) throw CountersignException.Closed()
        val task = scope.async { work() }
        try {
            return task.await()
        } catch (cancelled: CancellationException) {
            currentCoroutineContext().ensureActive()
            // It is not the caller who was cancelled.
            throw CountersignException.Closed()
        }
    }

    public companion object {
        /**
         * Begins the configuration.
         *
         * @param issuer URL of the attestation service, byte-exact.
         * @param clientId the OAuth `client_id` of the app.
         */
        @JvmStatic
        public fun builder(issuer: String, clientId: String): CountersignBuilder = CountersignBuilder(issuer, clientId)
    }
}
