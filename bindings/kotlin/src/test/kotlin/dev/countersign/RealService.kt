package dev.countersign

import java.io.File
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.ServerSocket
import java.net.Socket
import java.nio.file.Files
import java.util.Base64
import java.util.concurrent.TimeUnit

/** The repository. */
internal val repository = File(System.getProperty("countersign.root")).canonicalFile

/** A folder that is gone when the tests end. */
internal fun temporaryFolder(): File = Files.createTempDirectory("countersign-kotlin").toFile().also { folder ->
    Runtime.getRuntime().addShutdownHook(Thread { folder.deleteRecursively() })
}

/**
 * A real `countersign serve` with its edge, the same for all tests of a run, behind a [Relay] that can do it harm. It
 * knows one app in development, and one development key.
 */
internal object RealService {
    const val CLIENT = RealServiceNames.CLIENT
    const val RESOURCE_NAME = "api"

    private val folder = temporaryFolder()
    private val program = System.getProperty("countersign.program")

    /** Of the forward-auth listener, for nginx. */
    val edge = freePort()
    private val admin = freePort()
    private val public = freePort()

    /** What nginx listens on, and where the API of the edge is. */
    val gateway = freePort()
    val api = "http://127.0.0.1:$gateway"

    val relay = Relay(public)
    val issuer: String = relay.url
    val tokens = AccessTokens("https://login.example", api)
    private val developmentKey: ByteArray

    init {
        File(folder, "policy.toml").writeText("id = 'kotlin/1'\n[[app]]\nclient_id = '$CLIENT'\nmode = 'development'\n")
        File(folder, "login.jwks").writeText(tokens.jwks())
        File(folder, "countersign.toml").writeText(
            """
            issuer = "$issuer"
            policy = "policy.toml"
            [listen]
            public = "127.0.0.1:$public"
            edge = "127.0.0.1:$edge"
            admin = "127.0.0.1:$admin"
            gateway = "nginx"
            [[resource]]
            name = "$RESOURCE_NAME"
            identifier = "$api"
            [[resource.authorization_server]]
            issuer = "https://login.example"
            jwks = "login.jwks"
            clients = { "$CLIENT" = ["mobile-app"] }
            [[resource.route]]
            path = "/"
            tier = "warning"
            [[resource.route]]
            path = "/hello"
            tier = "warning"
            credentials = []
            [[resource.route]]
            path = "/nonce"
            tier = "warning"
            credentials = []
            nonce = "required"
            [[resource.route]]
            path = "/hardware"
            tier = "warning"
            credentials = []
            assurance = "hardware"
            """.trimIndent(),
        )
        val service = ProcessBuilder(program, "serve", "--settings", "countersign.toml").directory(folder)
            .redirectErrorStream(true).redirectOutput(File(folder, "log")).start()
        endsWithTests(service)
        awaitListener(public, service) { File(folder, "log").readText() }

        val first = temporaryFolder()
        developmentKey = Countersign.builder(issuer, CLIENT).api(api).appVersion("1.0").development(first).build().use {
            val key = checkNotNull(it.futures().developmentKey().get())
            register(key)
            File(first, "countersign/development.key").readBytes()
        }
    }

    /** A folder in which the registered development key lies already, as on a developer's machine. */
    fun deviceFolder(): File = temporaryFolder().also { folder ->
        val inner = File(folder, "countersign")
        check(inner.mkdir())
        File(inner, "development.key").writeBytes(developmentKey)
    }

    /** A builder with everything but the APIs. */
    fun device(folder: File = deviceFolder()): CountersignBuilder =
        Countersign.builder(issuer, CLIENT).appVersion("1.0").development(folder)

    private fun register(key: DevelopmentKey) {
        val point = Base64.getUrlDecoder().decode(key.publicKey)
        val coordinate = { from: Int -> base64url(point.copyOfRange(from, from + 32)) }
        val jwk = """{"kty":"EC","crv":"P-256","x":"${coordinate(1)}","y":"${coordinate(33)}"}"""
        File(folder, "key.jwk").writeText(jwk)
        val words = listOf("development-keys", "add", key.keyId, "key.jwk", "--client", CLIENT, "--expires", "1d")
        val adding = ProcessBuilder(listOf(program) + words).directory(folder).redirectErrorStream(true).start()
        val said = adding.inputStream.bufferedReader().readText()
        check(adding.waitFor() == 0) { said }
    }
}

internal fun base64url(bytes: ByteArray): String = Base64.getUrlEncoder().withoutPadding().encodeToString(bytes)

private var nextPort = 20_000 + (ProcessHandle.current().pid() * 97 % 12_000).toInt()

/** A port that nobody listens on, below those that the system hands out by itself. */
internal fun freePort(): Int {
    while (true) {
        nextPort = 20_000 + (nextPort + 1) % 12_000
        val isFree = runCatching { ServerSocket(nextPort, 1, InetAddress.getLoopbackAddress()).close() }.isSuccess
        if (isFree) return nextPort
    }
}

internal fun endsWithTests(process: Process) {
    Runtime.getRuntime().addShutdownHook(
        Thread {
            process.destroy()
            if (!process.waitFor(5, TimeUnit.SECONDS)) process.destroyForcibly()
        },
    )
}

/** Waits until something listens; a process that has ended says why. */
internal fun awaitListener(port: Int, process: Process, log: () -> String) {
    val deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60)
    while (true) {
        check(process.isAlive) { "it ended: ${log()}" }
        check(System.nanoTime() < deadline) { "nothing listens on $port: ${log()}" }
        val connected = runCatching {
            Socket().use { it.connect(InetSocketAddress(InetAddress.getLoopbackAddress(), port), 1_000) }
        }
        if (connected.isSuccess) return
        Thread.sleep(10)
    }
}
