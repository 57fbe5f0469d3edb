package dev.countersign

import android.content.Context
import dev.countersign.ffi.ApiResource
import dev.countersign.ffi.ExpectedApp
import dev.countersign.ffi.PinnedKey
import dev.countersign.internal.Device
import dev.countersign.internal.Origins
import dev.countersign.internal.Settings
import java.io.File
import okhttp3.OkHttpClient

/** What an app configures once. Nothing is checked and nothing done before the first proof, which fails by name. */
public class CountersignBuilder internal constructor(private val issuer: String, private val clientId: String) {
    private val apis = mutableListOf<ApiResource>()
    private val pinnedKeys = mutableListOf<PinnedKey>()
    private var appVersion = ""
    private var expectedApp: ExpectedApp? = null
    private var device: Device? = null
    private var httpClient: OkHttpClient? = null
    private var plaintext = false

    /**
     * Names an API; its host gets proofs, and no host that was not named does.
     *
     * @param origin `https://host[:port]`.
     * @param identifier what the API calls itself in tokens (RFC 9728).
     */
    @JvmOverloads
    public fun api(origin: String, identifier: String = origin): CountersignBuilder = apply {
        apis += ApiResource(origin, identifier)
    }

    /** The app's version, as the service shall see it. */
    public fun appVersion(version: String): CountersignBuilder = apply { appVersion = version }

    /**
     * What the developer expects of the app, so that a copy of another name, signature or origin tells the service. A
     * difference is a signal for its policy, and no error. On Android alone.
     *
     * @param packageName of the app.
     * @param signingDigests SHA-256 of each certificate that may sign, as 64 hexadecimal digits, with colons or without;
     *   with Play App Signing, Google's.
     * @param stores packages of stores that may install it, beside Google Play and those that come with phones.
     */
    @JvmOverloads
    public fun expectedApp(
        packageName: String,
        signingDigests: List<String>,
        stores: List<String> = emptyList(),
    ): CountersignBuilder = apply {
        expectedApp = ExpectedApp(
            identifier = packageName,
            signingDigests = signingDigests.toList(),
            installers = stores.toList(),
        )
    }

    /**
     * Pins a key of the service, in place of fetching them; once for each key in use and to come.
     *
     * @param keyId the `kid` of the service's JWKS.
     * @param x of the Ed25519 JWK: base64url of 32 bytes.
     */
    public fun pinnedKey(keyId: String, x: String): CountersignBuilder = apply { pinnedKeys += PinnedKey(keyId, x) }

    /**
     * On Android: the key store's keys vouch for the device.
     *
     * @param context any; the application's is kept.
     * @param playIntegrity Google's tokens beside them, where the app's policy wants them.
     */
    @JvmOverloads
    public fun android(context: Context, playIntegrity: PlayIntegrityProvider? = null): CountersignBuilder = apply {
        device = Device.Android(context, playIntegrity)
    }

    /**
     * On emulators, developers' machines and in tests: a key in a file vouches, once [Countersign.developmentKey] was
     * registered with the service. Production policies refuse it.
     *
     * @param folder for keys and state, of this app alone.
     */
    public fun development(folder: File): CountersignBuilder = apply { device = Device.Development(folder) }

    /**
     * The client whose connections, proxy, name resolution and trust are used to reach the service. Its interceptors,
     * cookies, cache and authenticator are not.
     */
    public fun httpClient(client: OkHttpClient): CountersignBuilder = apply { httpClient = client }

    /** Permits plain HTTP beyond loopback, for emulators that reach their host by another address. */
    public fun dangerPlaintext(): CountersignBuilder = apply { plaintext = true }

    /**
     * The configuration, ended.
     *
     * @throws CountersignException.Configuration if neither [android] nor [development] was called.
     */
    public fun build(): Countersign = Countersign(
        Settings(
            issuer = issuer,
            clientId = clientId,
            resources = apis.toList(),
            origins = Origins(apis.map { it.origin }),
            appVersion = appVersion,
            expectedApp = expectedApp,
            device = device ?: throw CountersignException.Configuration("config_device"),
            pinnedKeys = pinnedKeys.toList().ifEmpty { null },
            httpClient = httpClient,
            plaintext = plaintext,
        ),
    )
}
