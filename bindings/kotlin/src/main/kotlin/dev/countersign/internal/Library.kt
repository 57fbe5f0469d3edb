package dev.countersign.internal

import dev.countersign.CountersignException
import dev.countersign.PlayIntegrityProvider
import dev.countersign.ffi.Attester
import dev.countersign.ffi.Configuration
import dev.countersign.ffi.DevicePlatform
import dev.countersign.ffi.EvidenceException
import dev.countersign.ffi.Timer
import dev.countersign.ffi.requireLibraryVersion
import kotlin.coroutines.cancellation.CancellationException
import kotlinx.coroutines.delay
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock

/** The version of this code, which the library's must be. */
internal const val VERSION = "0.1.0"

/** The native library's attester, made when it is first wanted. */
internal class Library(private val settings: Settings) : AutoCloseable {
    private val making = Mutex()

    @Volatile
    private var attester: Attester? = null

    @Volatile
    private var closed = false

    /** Loads the library if that was not done; a failure is tried again by whoever comes next. */
    suspend fun attester(): Attester = attester ?: making.withLock {
        attester ?: typed { settings.device.attester() }.also {
            attester = it
            // Closed while it was made: whoever closed did not see it.
            if (closed) it.close()
        }
    }

    fun attesterOrNull(): Attester? = attester

    override fun close() {
        closed = true
        attester?.close()
    }

    private fun Device.attester(): Attester {
        val transport = ServiceTransport(settings.httpClient)
        if (this is Device.Android) NativeLibrary.load(context)
        requireLibraryVersion(VERSION)
        return when (this) {
            is Device.Android -> Attester.android(
                // Which evidence there is, the library sees for itself.
                configuration(DevicePlatform.Android(playIntegrity != null)),
                transport,
                CoroutineTimer,
                playIntegrity?.let(::PlayIntegrityOfApp),
            )
            is Device.Development ->
                Attester.development(configuration(DevicePlatform.Development), folder.path, transport, CoroutineTimer)
            is Device.Custom -> make(configuration(DevicePlatform.Development), transport, CoroutineTimer)
        }
    }

    private fun configuration(platform: DevicePlatform) = Configuration(
        issuer = settings.issuer,
        clientId = settings.clientId,
        resources = settings.resources,
        appVersion = settings.appVersion,
        platform = platform,
        pinnedKeys = settings.pinnedKeys,
        expectedApp = settings.expectedApp,
        dangerPlaintext = settings.plaintext,
    )
}

/** Waits without a thread. */
internal object CoroutineTimer : Timer {
    override suspend fun sleep(millis: ULong) = delay(millis.coerceAtMost(Long.MAX_VALUE.toULong()).toLong())
}

/** The app's call of Google: whatever it throws means that there is no token this time. */
private class PlayIntegrityOfApp(private val app: PlayIntegrityProvider) : dev.countersign.ffi.PlayIntegrityProvider {
    override suspend fun token(requestHash: String): String = try {
        app.token(requestHash)
    } catch (cancelled: CancellationException) {
        throw cancelled
    } catch (_: Throwable) {
        // Not even an error of the virtual machine may end the coroutine that Rust waits for.
        throw EvidenceException.Other()
    }
}

/** Runs what calls the library; whatever it throws becomes an exception for apps. */
internal inline fun <T> typed(call: () -> T): T = try {
    call()
} catch (failed: dev.countersign.ffi.CountersignException) {
    throw failed.forApp()
} catch (failed: dev.countersign.ffi.InternalException) {
    throw CountersignException.LibraryUnusable("library_failed", failed)
} catch (destroyed: IllegalStateException) {
    // Said of an object that was closed; a cancelled coroutine is one too, and goes its way.
    if (destroyed is CancellationException) throw destroyed
    throw CountersignException.Closed()
} catch (unlinked: LinkageError) {
    throw CountersignException.LibraryUnusable(reasonOf(unlinked), unlinked)
}

/**
 * Why the library cannot be used: `library_version` where checksums do not agree or functions are missing, for then it was
 * built from other code than this. Said once by the virtual machine, and remembered: the second attempt fails without a
 * cause.
 */
internal fun reasonOf(unlinked: LinkageError): String {
    firstReason?.let { return it }
    val causes = generateSequence<Throwable>(unlinked) { it.cause }.take(8).toList()
    val said = causes.mapNotNull { it.message }
    val reason = when {
        said.any { "mismatch" in it || "Error looking up function" in it } -> "library_version"
        causes.any { it is UnsatisfiedLinkError } -> "library_missing"
        else -> "library_failed"
    }
    return reason.also { firstReason = it }
}

@Volatile
private var firstReason: String? = null
