package dev.countersign

import com.sun.jna.Platform
import dev.countersign.okhttp.countersign
import java.io.File
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.runBlocking
import okhttp3.OkHttpClient
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertInstanceOf
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

private const val API = "https://api.example"

/** What an installation goes through, with the real library and the real service. */
class LifecycleTest {
    private val open = mutableListOf<AutoCloseable>()

    @AfterEach
    fun close() = open.forEach(AutoCloseable::close)

    private fun device(folder: File = RealService.deviceFolder()) =
        RealService.device(folder).api(API).build().also(open::add)

    private val request = ApiRequest("GET", "$API/orders", "token", null)

    private fun stateIn(folder: File): File =
        File(folder, "countersign").listFiles()!!.single { it.name.startsWith("state-") && !it.name.contains('.') }

    @Test
    fun `making it does nothing`() {
        val folder = temporaryFolder()
        val enrolments = RealService.relay.enrolmentsDuring {
            RealService.device(folder).api(API).build().close()
        }
        assertEquals(0, enrolments)
        assertEquals(0, folder.list()!!.size)
    }

    @Test
    fun `the first proof enrols, and the next does not`() = runBlocking {
        val device = device()
        assertNull(device.standing().instance)
        val enrolments = RealService.relay.enrolmentsDuring {
            runBlocking { repeat(2) { assertEquals(2, device.prove(request).fields.size) } }
        }
        assertEquals(1, enrolments)
        val standing = device.standing()
        assertNotNull(standing.instance)
        assertEquals("software", standing.protection)
        assertTrue(standing.expiresAt!! > System.currentTimeMillis() / 1000)
    }

    @Test
    fun `a thousand first calls are one enrolment`() {
        val device = device()
        val enrolments = RealService.relay.enrolmentsDuring {
            runBlocking { List(1000) { async(Dispatchers.Default) { device.prove(request) } }.awaitAll() }
        }
        assertEquals(1, enrolments)
    }

    @Test
    fun `an enrolment goes on when the one who wanted it gives up`() {
        val device = device()
        val enrolments = RealService.relay.enrolmentsDuring {
            runBlocking {
                val impatient = async(Dispatchers.Default) { device.refresh() }
                val patient = async(Dispatchers.Default) { device.refresh() }
                impatient.cancel()
                patient.await()
                device.prove(request)
            }
        }
        assertEquals(1, enrolments)
    }

    @Test
    fun `an installation outlives the process`() {
        val folder = RealService.deviceFolder()
        val first = runBlocking { device(folder).run { refresh().let { standing().instance } } }
        val enrolments = RealService.relay.enrolmentsDuring {
            val second = runBlocking { device(folder).run { refresh().let { standing().instance } } }
            assertEquals(first, second)
        }
        // Renewed, for the session key is not stored; the instance stays.
        assertEquals(0, enrolments)
    }

    @Test
    fun `a damaged state costs an enrolment, and no crash`() {
        val folder = RealService.deviceFolder()
        runBlocking { device(folder).use { it.refresh() } }
        for (damage in listOf(ByteArray(0), ByteArray(100) { -1 }, ByteArray(1 shl 20))) {
            stateIn(folder).writeBytes(damage)
            runBlocking { device(folder).use { assertEquals(2, it.prove(request).fields.size) } }
        }
    }

    @Test
    fun `a folder that cannot be written to is a typed error`() {
        // Below a file there is no folder, not even for root.
        val file = File.createTempFile("countersign", null).also { it.deleteOnExit() }
        assertThrows<CountersignException.PlatformUnavailable> {
            runBlocking { device(File(file, "below")).refresh() }
        }
    }

    @Test
    fun `a disk that takes no more is a typed error`() {
        // No file of this process may grow.
        val full = listOf("sh", "-c", "ulimit -f 0; exec \"\$@\"", "sh")
        // JNA would unpack its own library.
        val unpacked = File(temporaryFolder(), "libjnidispatch.so")
        val packed = "/com/sun/jna/${Platform.RESOURCE_PREFIX}/libjnidispatch.so"
        Platform::class.java.getResourceAsStream(packed)!!.use { from -> unpacked.outputStream().use(from::copyTo) }
        val process = child(
            EnrolMain::class.java.name,
            RealService.issuer,
            RealService.deviceFolder().path,
            options = listOf("-Djna.boot.library.path=${unpacked.parent}"),
            shell = full,
        )
        assertEquals("platform_unavailable", process.inputStream.bufferedReader().readText().trim())
        assertEquals(0, process.waitFor())
    }

    @Test
    fun `two processes with one folder are one installation`() {
        val folder = RealService.deviceFolder()
        val instances = List(2) { child(EnrolMain::class.java.name, RealService.issuer, folder.path) }
            .map { it.inputStream.bufferedReader().readText().trim() to it.waitFor() }
        assertTrue(instances.all { (_, status) -> status == 0 }, "$instances")
        assertEquals(1, instances.map { (instance, _) -> instance }.toSet().size, "$instances")
    }

    @Test
    fun `mistakes of the developer are typed errors`() {
        val mistakes = listOf(
            RealService.device().api("no origin"),
            RealService.device(),
            RealService.device().api("http://plain.example"),
            RealService.device().api(API).api(API),
            RealService.device().api(API).pinnedKey("kid", "no key"),
            Countersign.builder("no issuer", "app").api(API).development(temporaryFolder()),
        )
        for (mistake in mistakes) {
            mistake.build().use { device ->
                val failure = runCatching { runBlocking { device.refresh() } }.exceptionOrNull()
                assertInstanceOf(CountersignException.Configuration::class.java, failure)
            }
        }
        assertThrows<CountersignException.Configuration> { Countersign.builder("https://attest.example", "app").build() }
    }

    @Test
    fun `an app that the service does not know is refused`() {
        Countersign.builder(RealService.issuer, "com.example.other").api(API).appVersion("1.0")
            .development(RealService.deviceFolder()).build().use { device ->
                val failure = assertThrows<CountersignException.Refused> { runBlocking { device.refresh() } }
                assertNotNull(failure.reference)
                assertTrue(failure.message!!.contains(failure.reference!!))
                val standing = runBlocking { device.standing() }
                assertEquals("refused", standing.failure)
                assertEquals(failure.reference, standing.reference)
                assertTrue(standing.retryAfter!! > 0)
            }
    }

    @Test
    fun `what is expected of the app reaches the library, which reads it`() {
        val digest = "ab".repeat(32)
        fun refreshed(signer: String) = RealService.device().api(API).expectedApp("com.example.app", listOf(signer)).build().use {
            runCatching { runBlocking { it.refresh() } }.exceptionOrNull()
        }
        assertNull(refreshed(digest))
        val failure = assertInstanceOf(CountersignException.Configuration::class.java, refreshed("no digest"))
        assertEquals("config_signing_digest", failure.reason)
    }

    @Test
    fun `a host that was not named gets no token, by whatever call`() = runBlocking {
        val device = device()
        for (uri in listOf("https://api.example.evil/", "https://api.example:8443/", "http://api.example/", "https://evil.example/")) {
            assertThrows<CountersignException.UnknownOrigin> { runBlocking { device.prove(ApiRequest("GET", uri)) } }
            assertThrows<CountersignException.UnknownOrigin> {
                runBlocking { device.proveWithInstanceKey(ApiRequest("GET", uri)) }
            }
        }
    }

    @Test
    fun `an OAuth client is authenticated with the instance key`() = runBlocking {
        val device = device()
        val pop = device.authenticateClient(ClientProof.pop("https://login.example", "challenge"))
        assertEquals(setOf("oauth-client-attestation", "oauth-client-attestation-pop"), pop.fields.keys)
        val dpop = device.authenticateClient(ClientProof.dpop("https://login.example/token"))
        assertEquals(setOf("oauth-client-attestation", "dpop"), dpop.fields.keys)
        assertThrows<CountersignException.InvalidRequest> {
            runBlocking { device.authenticateClient(ClientProof.dpop("http://login.example/token")) }
        }
        Unit
    }

    @Test
    fun `nothing that is printed holds a secret`() = runBlocking {
        val device = device()
        val proof = device.prove(request)
        val client = device.authenticateClient(ClientProof.dpop("https://login.example/token", "nonce"))
        val secrets = proof.fields.values + client.fields.values + listOf("token", "body")
        val printed = listOf(
            proof, client, device, device.futures(), device.standing(), ClientProof.pop("https://login.example", "challenge"),
            ApiRequest("POST", "$API/?token", "token", "body".toByteArray()),
        ).joinToString()
        for (secret in secrets) assertFalse(secret in printed, printed)
        val failure = runCatching { device.prove(ApiRequest("GET", "https://evil.example/?token", "token")) }.exceptionOrNull()
        assertFalse("token" in failure!!.stackTraceToString().replace("tokens", ""), failure.stackTraceToString())
    }

    @Test
    fun `what an app logs of a request holds no token`() {
        val api = Api(answer(200)).also(open::add)
        val device = RealService.device().api(api.origin).build().also(open::add)
        val logged = StringBuilder()
        // An interceptor of the app, beside ours: it sees the request as the app made it.
        val client = OkHttpClient.Builder().addInterceptor { chain ->
            logged.append(chain.request()).append(chain.request().headers)
            chain.proceed(chain.request()).also { logged.append(it).append(it.headers) }
        }.countersign(device).build()
        client.send(api.request())
        val sent = api.requests(1).single()
        for (name in listOf(RESULT, PROOF)) assertFalse(sent.getHeader(name)!! in logged, name)
    }

    @Test
    fun `proofs differ from each other`() = runBlocking {
        val device = device()
        assertNotEquals(device.prove(request).fields, device.prove(request).fields)
    }

    @Test
    fun `this code is of the version that the project has`() {
        val pom = File(repository, "bindings/kotlin/pom.xml").readText()
        assertTrue("<artifactId>countersign</artifactId>\n  <version>${dev.countersign.internal.VERSION}</version>" in pom)
    }
}
