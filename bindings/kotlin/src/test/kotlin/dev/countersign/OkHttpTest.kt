package dev.countersign

import dev.countersign.okhttp.countersign
import okhttp3.MediaType
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody
import okhttp3.RequestBody.Companion.toRequestBody
import okio.BufferedSink
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The interceptors, before hosts that answer what they like. */
class OkHttpTest {
    private val open = mutableListOf<AutoCloseable>()

    @AfterEach
    fun close() = open.forEach(AutoCloseable::close)

    private fun api(vararg answers: okhttp3.mockwebserver.MockResponse) = Api(*answers).also(open::add)

    private fun client(vararg apis: Api, change: OkHttpClient.Builder.() -> Unit = {}): OkHttpClient {
        val countersign = apis.fold(RealService.device()) { device, api -> device.api(api.origin) }.build().also(open::add)
        return OkHttpClient.Builder().apply(change).countersign(countersign).build()
    }

    @Test
    fun `a request to a named host is proven`() {
        val api = api(answer(200))
        assertEquals(200, client(api).send(api.request()).code)
        val request = api.requests(1).single()
        assertNotNull(request.getHeader(RESULT))
        assertNotNull(request.getHeader(PROOF))
    }

    @Test
    fun `each request has a proof of its own`() {
        val api = api(answer(200), answer(200))
        val client = client(api)
        repeat(2) { client.send(api.request()) }
        val (one, other) = api.requests(2)
        assertEquals(one.getHeader(RESULT), other.getHeader(RESULT))
        assertNotEquals(one.getHeader(PROOF), other.getHeader(PROOF))
    }

    @Test
    fun `a host that was not named gets no token, and is not asked about`() {
        val (named, other) = api() to api(answer(200))
        val enrolments = RealService.relay.enrolmentsDuring { client(named).send(other.request()) }
        val request = other.requests(1).single()
        assertNull(request.getHeader(RESULT))
        assertNull(request.getHeader(PROOF))
        assertEquals(0, enrolments)
    }

    @Test
    fun `the named host under another scheme or port is another host`() {
        val named = api()
        val countersign = RealService.device().api(named.origin).build().also(open::add)
        assertTrue(named.origin in countersign.origins)
        for (other in listOf(named.origin.replace("http:", "https:"), "http://127.0.0.1:1", "${named.origin}1", "")) {
            assertTrue(other !in countersign.origins, other)
        }
    }

    @Test
    fun `a redirect to a host that was not named carries no token`() {
        for (status in listOf(302, 307, 308)) {
            val stranger = api(answer(200))
            val api = api(redirect(status, "${stranger.origin}/stolen"))
            assertEquals(200, client(api).send(api.request()).code)
            assertNotNull(api.requests(1).single().getHeader(PROOF))
            val request = stranger.requests(1).single()
            assertNull(request.getHeader(RESULT), "$status")
            assertNull(request.getHeader(PROOF), "$status")
        }
    }

    @Test
    fun `a redirect to another named host is proven anew, for that host`() {
        val second = api(answer(200))
        val first = api(redirect(307, "${second.origin}/there"))
        client(first, second).send(first.request())
        val (one, other) = first.requests(1).single() to second.requests(1).single()
        assertNotNull(other.getHeader(PROOF))
        assertNotEquals(one.getHeader(PROOF), other.getHeader(PROOF))
    }

    @Test
    fun `fields that the app has set by hand do not follow a redirect to another host`() {
        val stranger = api(answer(200))
        val api = api(redirect(302, stranger.origin))
        val fields = listOf(RESULT, PROOF, "OAuth-Client-Attestation", "OAuth-Client-Attestation-PoP", "DPoP", "X-API-Key")
        val request = fields.fold(api.request()) { request, name -> request.header(name, "secret") }
        client(api).send(request)
        val got = stranger.requests(1).single()
        for (name in fields) assertNull(got.getHeader(name), name)
    }

    @Test
    fun `an API key does not follow a redirect to another host, named or not`() {
        val second = api(answer(200), answer(200))
        for (named in listOf(false, true)) {
            val first = api(redirect(307, second.origin))
            val client = if (named) client(first, second) else client(first)
            client.send(first.request().header("X-API-Key", "csk_0123456789ab_secret"))
            assertNotNull(first.requests(1).single().getHeader("X-API-Key"))
        }
        second.requests(2).forEach { assertNull(it.getHeader("X-API-Key")) }
    }

    @Test
    fun `a request that authenticates the client itself is not proven a second time`() {
        val api = api(answer(200))
        client(api).send(api.request().header("DPoP", "own"))
        val request = api.requests(1).single()
        assertEquals("own", request.getHeader("DPoP"))
        assertNull(request.getHeader(PROOF))
    }

    @Test
    fun `a nonce that the edge demands is used, once`() {
        val api = api(nonceWanted(), answer(200))
        assertEquals(200, client(api).send(api.request()).code)
        val (one, other) = api.requests(2)
        assertNotEquals(one.getHeader(PROOF), other.getHeader(PROOF))
        // With the nonce it is longer.
        assertTrue(other.getHeader(PROOF)!!.length > one.getHeader(PROOF)!!.length)
    }

    @Test
    fun `an edge that is never content gets two requests`() {
        val api = api(nonceWanted(), nonceWanted(), answer(200))
        assertEquals(401, client(api).send(api.request()).code)
        api.requests(2)
    }

    @Test
    fun `a body in memory is sent again as it was`() {
        val api = api(nonceWanted(), answer(200))
        client(api).send(api.request().post("two".toRequestBody()))
        assertEquals(listOf("two", "two"), api.requests(2).map { it.body.readUtf8() })
    }

    @Test
    fun `a body that can be written once only is not written for the proof, and not sent again`() {
        var written = 0
        val once = object : RequestBody() {
            override fun contentType(): MediaType? = null
            override fun isOneShot() = true
            override fun writeTo(sink: BufferedSink) {
                written++
                sink.writeUtf8("once")
            }
        }
        val api = api(nonceWanted(), answer(200))
        assertEquals(401, client(api).send(api.request().post(once)).code)
        assertEquals("once", api.requests(1).single().body.readUtf8())
        assertEquals(1, written)
    }

    @Test
    fun `what was hashed is what is sent, even if the body is written otherwise a second time`() {
        var written = 0
        val changing = object : RequestBody() {
            override fun contentType(): MediaType? = null
            override fun writeTo(sink: BufferedSink) {
                sink.writeUtf8("${++written}")
            }
        }
        val api = api(answer(200))
        client(api).send(api.request().post(changing))
        assertEquals("1", api.requests(1).single().body.readUtf8())
    }

    @Test
    fun `a body that is too long to be hashed is sent all the same`() {
        val api = api(answer(200))
        val long = object : RequestBody() {
            override fun contentType(): MediaType? = null
            override fun writeTo(sink: BufferedSink) {
                repeat(3) { sink.write(ByteArray(1 shl 19)) }
            }
        }
        client(api).send(api.request().post(long))
        assertEquals(3L shl 19, api.requests(1).single().bodySize)
    }

    @Test
    fun `a copy that may have been carried out is sent again only if that does no harm`() {
        val get = api(replayed(), answer(200))
        assertEquals(200, client(get).send(get.request()).code)
        val post = api(replayed(), answer(200))
        assertEquals(401, client(post).send(post.request().post("pay".toRequestBody())).code)
        post.requests(1)
    }

    @Test
    fun `after a redirect the last hop alone is sent again`() {
        val second = api(nonceWanted(), answer(200))
        val first = api(redirect(303, "${second.origin}/receipt"))
        assertEquals(200, client(first, second).send(first.request().post("pay".toRequestBody())).code)
        first.requests(1)
        assertEquals(listOf("GET", "GET"), second.requests(2).map { it.method })
    }

    @Test
    fun `a wish for a fresh result is followed by a renewal, and an edge that is never content by no other`() {
        val api = api(answer(200), freshWanted(), answer(200), freshWanted(), freshWanted())
        val client = client(api)
        client.send(api.request())
        val renewals = RealService.relay.renewalsDuring {
            assertEquals(200, client.send(api.request()).code)
            assertEquals(401, client.send(api.request()).code)
        }
        assertEquals(1, renewals)
        val results = api.requests(5).map { it.getHeader(RESULT) }
        assertEquals(results[0], results[1])
        assertNotEquals(results[1], results[2])
    }

    @Test
    fun `a route that demands hardware gets a proof by the instance key`() {
        val api = api(hardwareWanted(), answer(200))
        assertEquals(200, client(api).send(api.request()).code)
        val (one, other) = api.requests(2)
        assertNotNull(one.getHeader(PROOF))
        assertNull(other.getHeader(PROOF))
        assertNotNull(other.getHeader("DPoP"))
        assertNotNull(other.getHeader("OAuth-Client-Attestation"))
    }

    @Test
    fun `other refusals are the app's`() {
        for (status in listOf(401, 403, 404, 429, 500, 503)) {
            val api = api(answer(status), answer(200))
            assertEquals(status, client(api) { retryOnConnectionFailure(false) }.send(api.request()).code)
            api.requests(1)
        }
    }

    @Test
    fun `the credential is the one that leaves, whoever added it`() {
        // The authenticator of the app answers the first refusal; each hop has a proof of its own.
        val api = api(answer(401).setHeader("WWW-Authenticate", "Bearer"), answer(200))
        val client = client(api) { authenticator { _, response -> response.request.withToken() } }
        assertEquals(200, client.send(api.request()).code)
        val (one, other) = api.requests(2)
        assertNull(one.getHeader("Authorization"))
        // The hash of the token makes it longer.
        assertTrue(other.getHeader(PROOF)!!.length > one.getHeader(PROOF)!!.length)
    }

    private fun Request.withToken() = newBuilder().header("Authorization", "Bearer abc").build()

    @Test
    fun `a fragment and a user stay here`() {
        val api = api(answer(200))
        client(api).send(Request.Builder().url("${api.origin.replace("//", "//user:word@")}/a?b#c"))
        assertNotNull(api.requests(1).single().getHeader(PROOF))
    }

    @Test
    fun `after a restart, while the service is away, the instance key proves what it can`() {
        val folder = RealService.deviceFolder()
        val api = api(answer(200))
        RealService.device(folder).api(api.origin).build().use { before -> kotlinx.coroutines.runBlocking { before.refresh() } }
        val after = RealService.device(folder).api(api.origin).build().also(open::add)
        RealService.relay.with({ _, _ -> answer(503) }) {
            assertEquals(200, OkHttpClient.Builder().countersign(after).build().send(api.request()).code)
        }
        assertNotNull(api.requests(1).single().getHeader("OAuth-Client-Attestation"))
    }

    @Test
    fun `a request whose target servers read in two ways is refused here`() {
        val api = api(answer(200))
        val failure = runCatching { client(api).send(api.request("/a%2fb")) }.exceptionOrNull()
        assertTrue(failure is CountersignException.InvalidRequest, "$failure")
        api.requests(0)
    }
}
