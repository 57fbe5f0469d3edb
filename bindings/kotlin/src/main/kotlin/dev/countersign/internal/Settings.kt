package dev.countersign.internal

import dev.countersign.PlayIntegrityProvider
import dev.countersign.ffi.ApiResource
import dev.countersign.ffi.Attester
import dev.countersign.ffi.Configuration
import dev.countersign.ffi.ExpectedApp
import dev.countersign.ffi.PinnedKey
import dev.countersign.ffi.Timer
import dev.countersign.ffi.Transport
import java.io.File
import okhttp3.HttpUrl
import okhttp3.HttpUrl.Companion.toHttpUrlOrNull
import okhttp3.OkHttpClient

/** What the builder was told. */
internal class Settings(
    val issuer: String,
    val clientId: String,
    val resources: List<ApiResource>,
    val origins: Origins,
    val appVersion: String,
    val expectedApp: ExpectedApp?,
    val device: Device,
    val pinnedKeys: List<PinnedKey>?,
    val httpClient: OkHttpClient?,
    val plaintext: Boolean,
)

/** Where keys and evidence come from. */
internal sealed interface Device {
    /** `context` is an `android.content.Context`: naming the type here would load it on other hosts. */
    class Android(val context: Any, val playIntegrity: PlayIntegrityProvider?) : Device

    class Development(val folder: File) : Device

    /** Ports of a test. */
    class Custom(val make: (Configuration, Transport, Timer) -> Attester) : Device
}

/**
 * The hosts that were named: what is asked before a body is read for a proof. The library asks again; both must agree.
 */
internal class Origins(origins: List<String>) {
    // One that is no URL is never met; the library says so.
    private val named = origins.mapNotNull { it.toHttpUrlOrNull() }.map(::originOf).toSet()

    operator fun contains(url: HttpUrl): Boolean = originOf(url) in named

    operator fun contains(url: String): Boolean = url.toHttpUrlOrNull()?.let { it in this } ?: false

    /** Whether both go to the same host; false for what is no URL. */
    fun same(one: String, other: String): Boolean {
        val origins = listOf(one, other).map { it.toHttpUrlOrNull()?.let(::originOf) }
        return origins[0] != null && origins[0] == origins[1]
    }

    private fun originOf(url: HttpUrl) = Triple(url.scheme, url.host, url.port)
}
