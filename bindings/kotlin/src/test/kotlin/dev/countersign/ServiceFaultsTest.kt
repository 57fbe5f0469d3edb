package dev.countersign

import dev.countersign.ffi.ServiceCall
import dev.countersign.ffi.TransportException
import dev.countersign.internal.ServiceTransport
import dev.countersign.okhttp.countersign
import java.io.IOException
import java.net.InetAddress
import java.net.ServerSocket
import java.net.Socket
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicReference
import javax.net.SocketFactory
import kotlin.concurrent.thread
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.runBlocking
import okhttp3.OkHttpClient
import okhttp3.mockwebserver.MockResponse
import okhttp3.mockwebserver.SocketPolicy
import okio.Buffer
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertInstanceOf
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

/** A service that does harm, or nothing: typed errors, and no crash. */
class ServiceFaultsTest {
    private val open = mutableListOf<AutoCloseable>()

    @AfterEach
    fun close() = open.forEach(AutoCloseable::close)

    private fun device() = RealService.device().api("https://api.example").build().also(open::add)

    private fun failureWith(fault: (String, () -> MockResponse) -> MockResponse): Throwable? =
        RealService.relay.with(fault) { runCatching { runBlocking { device().refresh() } }.exceptionOrNull() }

    @Test
    fun `a redirect of the service is not followed`() {
        val elsewhere = Api(answer(200)).also(open::add)
        for (status in listOf(301, 302, 307, 308)) {
            val failure = failureWith { path, _ -> redirect(status, "${elsewhere.origin}$path") }
            assertInstanceOf(CountersignException::class.java, failure, "$status")
        }
        elsewhere.requests(0)
    }

    @Test
    fun `an answer that is too long is no answer`() {
        val failure = failureWith { _, _ -> answer(200).setBody(Buffer().write(ByteArray(8 shl 20))) }
        assertInstanceOf(CountersignException.Unreachable::class.java, failure)
    }

    @Test
    fun `an answer without an end is no answer`() {
        val endless = ServerSocket(0, 8, InetAddress.getByName("127.0.0.1")).also(open::add)
        val cut = CountDownLatch(1)
        thread(isDaemon = true) {
            while (!endless.isClosed) {
                try {
                    endless.accept().use { socket ->
                        val out = socket.getOutputStream()
                        out.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".toByteArray())
                        while (true) out.write(ByteArray(1 shl 16))
                    }
                } catch (_: IOException) {
                    // The reader has gone: that is what this waits for.
                    cut.countDown()
                }
            }
        }
        val device = Countersign.builder("http://127.0.0.1:${endless.localPort}", RealService.CLIENT)
            .api("https://api.example").appVersion("1.0").development(RealService.deviceFolder()).build().also(open::add)
        val failure = runCatching { runBlocking { device.refresh() } }.exceptionOrNull()
        assertInstanceOf(CountersignException.Unreachable::class.java, failure)
        assertTrue(cut.await(10, TimeUnit.SECONDS))
    }

    @Test
    fun `a service that answers 503 is unavailable`() {
        assertInstanceOf(CountersignException.Unavailable::class.java, failureWith { _, _ -> answer(503) })
    }

    @Test
    fun `a service that hangs up is unreachable`() {
        val failure = failureWith { _, _ -> MockResponse().setSocketPolicy(SocketPolicy.DISCONNECT_AT_START) }
        assertInstanceOf(CountersignException.Unreachable::class.java, failure)
    }

    @Test
    fun `a result that was changed on the way is not trusted`() {
        val failure = failureWith { path, forward ->
            val answer = forward()
            if (path != "/v1/instances") return@failureWith answer
            // The last characters of the result are its signature's.
            val text = answer.getBody()!!.readUtf8()
            val changed = Regex("(\"result\":\"[^\"]{40})(.)").replace(text) { match ->
                match.groupValues[1] + if (match.groupValues[2] == "A") "B" else "A"
            }
            check(changed != text) { text }
            answer.setBody(changed)
        }
        assertInstanceOf(CountersignException.UntrustedAnswer::class.java, failure)
    }

    @Test
    fun `a result for another key is not trusted`() {
        var first: MockResponse? = null
        val failures = RealService.relay.with({ path, forward ->
            if (path != "/v1/instances") forward() else (first ?: forward().also { first = it }).clone()
        }) {
            List(2) { runCatching { runBlocking { device().refresh() } }.exceptionOrNull() }
        }
        assertEquals(null, failures[0])
        assertInstanceOf(CountersignException.UntrustedAnswer::class.java, failures[1])
    }

    @Test
    fun `what is no answer of a service is not trusted`() {
        for (body in listOf("", "{}", "<html>", "null", "{\"attestation_challenge\":7}")) {
            assertInstanceOf(CountersignException::class.java, failureWith { _, _ -> answer(200).setBody(body) }, body)
        }
    }

    @Test
    fun `a device recovers as soon as the service does`() {
        val device = device()
        RealService.relay.with({ _, _ -> answer(200).setBody("{}") }) {
            assertThrows<CountersignException> { runBlocking { device.refresh() } }
        }
        RealService.device().api("https://api.example").build().use { runBlocking { it.refresh() } }
    }

    /** The service takes the first call and says nothing until the test ends. */
    private fun <T> whileServiceHangs(work: (waitsThere: CountDownLatch) -> T): T {
        val (waits, end) = CountDownLatch(1) to CountDownLatch(1)
        return RealService.relay.with({ _, forward ->
            waits.countDown()
            end.await()
            forward()
        }) {
            try {
                work(waits)
            } finally {
                end.countDown()
            }
        }
    }

    @Test
    fun `a coroutine that is cancelled stops waiting for a service that hangs`() = whileServiceHangs { waitsThere ->
        runBlocking {
            val device = device()
            val waiting = async(Dispatchers.Default) { device.refresh() }
            waitsThere.await()
            waiting.cancel()
            assertThrows<CancellationException> { runBlocking { waiting.await() } }
        }
        Unit
    }

    @Test
    fun `a call that is cancelled stops waiting for a service that hangs`() = whileServiceHangs { waitsThere ->
        val api = Api(answer(200)).also(open::add)
        val device = RealService.device().api(api.origin).build().also(open::add)
        val call = OkHttpClient.Builder().countersign(device).build().newCall(api.request().build())
        val ended = CountDownLatch(1)
        var failure: Throwable? = null
        thread {
            failure = runCatching { call.execute() }.exceptionOrNull()
            ended.countDown()
        }
        waitsThere.await()
        call.cancel()
        assertTrue(ended.await(10, TimeUnit.SECONDS))
        assertInstanceOf(IOException::class.java, failure)
        api.requests(0)
        Unit
    }

    @Test
    fun `a thread that is interrupted stops waiting for a service that hangs, and ends no app`() = whileServiceHangs { waitsThere ->
        val api = Api(answer(200)).also(open::add)
        val device = RealService.device().api(api.origin).build().also(open::add)
        val call = OkHttpClient.Builder().countersign(device).build().newCall(api.request().build())
        var failure: Throwable? = null
        var staysInterrupted = false
        val caller = thread {
            failure = runCatching { call.execute() }.exceptionOrNull()
            staysInterrupted = Thread.interrupted()
        }
        waitsThere.await()
        caller.interrupt()
        caller.join(10_000)
        assertInstanceOf(IOException::class.java, failure)
        assertTrue(staysInterrupted)
        api.requests(0)
        Unit
    }

    @Test
    fun `sockets that may not be made are no answer, and end no app`() {
        val caller = AtomicReference<Thread>()
        val sockets = object : SocketFactory() {
            override fun createSocket(): Socket {
                caller.set(Thread.currentThread())
                throw SecurityException("no permission")
            }
            override fun createSocket(host: String?, port: Int) = createSocket()
            override fun createSocket(host: String?, port: Int, local: InetAddress?, localPort: Int) = createSocket()
            override fun createSocket(host: InetAddress?, port: Int) = createSocket()
            override fun createSocket(host: InetAddress?, port: Int, local: InetAddress?, localPort: Int) = createSocket()
        }
        val transport = ServiceTransport(OkHttpClient.Builder().socketFactory(sockets).build())
        val uncaught = AtomicReference<Throwable>()
        val before = Thread.getDefaultUncaughtExceptionHandler()
        Thread.setDefaultUncaughtExceptionHandler { _, thrown -> uncaught.set(thrown) }
        try {
            val call = ServiceCall(true, "http://127.0.0.1:1/v1/challenge", null, ByteArray(0), 64u)
            assertThrows<TransportException.Unreached> { runBlocking { transport.call(call) } }
            // It throws once more when the call has been told, and ends with it.
            caller.get().join(10_000)
        } finally {
            Thread.setDefaultUncaughtExceptionHandler(before)
        }
        assertNull(uncaught.get())
    }

    @Test
    fun `an attester that is closed ends what is under way, by name`() = whileServiceHangs { waitsThere ->
        runBlocking {
            val device = device()
            val waiting = async(Dispatchers.Default) { runCatching { device.refresh() } }
            waitsThere.await()
            device.close()
            assertInstanceOf(CountersignException.Closed::class.java, waiting.await().exceptionOrNull())
            assertThrows<CountersignException.Closed> {
                runBlocking { device.prove(ApiRequest("GET", "https://api.example/")) }
            }
        }
        Unit
    }
}
