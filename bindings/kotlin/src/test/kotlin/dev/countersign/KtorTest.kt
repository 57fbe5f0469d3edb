package dev.countersign

import dev.countersign.ktor.CountersignPlugin
import io.ktor.client.HttpClient
import io.ktor.client.engine.cio.CIO
import io.ktor.client.plugins.HttpRedirect
import io.ktor.client.request.get
import io.ktor.client.request.header
import io.ktor.client.request.post
import io.ktor.client.request.setBody
import io.ktor.utils.io.ByteReadChannel
import kotlinx.coroutines.runBlocking
import okhttp3.mockwebserver.MockResponse
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

/** The Ktor plugin follows the same rules as the interceptors. */
class KtorTest {
    private val open = mutableListOf<AutoCloseable>()

    @AfterEach
    fun close() = open.forEach(AutoCloseable::close)

    private fun api(vararg answers: MockResponse) = Api(*answers).also(open::add)

    private fun client(vararg apis: Api): HttpClient {
        val device = apis.fold(RealService.device()) { device, api -> device.api(api.origin) }.build().also(open::add)
        return HttpClient(CIO) {
            install(HttpRedirect) { checkHttpMethod = false }
            install(CountersignPlugin) { countersign = device }
        }.also(open::add)
    }

    @Test
    fun `a request to a named host is proven`() = runBlocking {
        val api = api(answer(200))
        assertEquals(200, client(api).get("${api.origin}/orders?page=2#top").status.value)
        assertNotNull(api.requests(1).single().getHeader(PROOF))
    }

    @Test
    fun `a host that was not named gets no token`() = runBlocking {
        val (named, other) = api() to api(answer(200))
        client(named).get(other.origin)
        assertNull(other.requests(1).single().getHeader(PROOF))
    }

    @Test
    fun `a redirect to a host that was not named carries no token`() = runBlocking {
        for (status in listOf(302, 307, 308)) {
            val stranger = api(answer(200))
            val api = api(redirect(status, "${stranger.origin}/stolen"))
            assertEquals(200, client(api).get(api.origin) { header("DPoP-Own", "kept") }.status.value)
            assertNotNull(api.requests(1).single().getHeader(PROOF))
            val request = stranger.requests(1).single()
            assertNull(request.getHeader(RESULT), "$status")
            assertNull(request.getHeader(PROOF), "$status")
        }
    }

    @Test
    fun `fields that the app has set by hand do not follow a redirect to another host`() = runBlocking {
        val stranger = api(answer(200))
        val api = api(redirect(302, stranger.origin))
        val fields = listOf(RESULT, PROOF, "OAuth-Client-Attestation", "DPoP", "X-API-Key")
        client(api).get(api.origin) { for (name in fields) header(name, "secret") }
        val got = stranger.requests(1).single()
        for (name in fields) assertNull(got.getHeader(name), name)
    }

    @Test
    fun `a redirect to another named host is proven anew`() = runBlocking {
        val second = api(answer(200))
        val first = api(redirect(307, "${second.origin}/there"))
        client(first, second).get(first.origin)
        assertNotEquals(first.requests(1).single().getHeader(PROOF), second.requests(1).single().getHeader(PROOF)!!)
    }

    @Test
    fun `a nonce that the edge demands is used, once`() = runBlocking {
        val api = api(nonceWanted(), answer(200))
        assertEquals(200, client(api).post(api.origin) { setBody("two") }.status.value)
        val (one, other) = api.requests(2)
        assertTrue(other.getHeader(PROOF)!!.length > one.getHeader(PROOF)!!.length)
        assertEquals("two", other.body.readUtf8())
    }

    @Test
    fun `an edge that is never content gets two requests`() = runBlocking {
        val api = api(nonceWanted(), nonceWanted(), answer(200))
        assertEquals(401, client(api).get(api.origin).status.value)
        api.requests(2)
        Unit
    }

    @Test
    fun `a stream is never sent again`() = runBlocking {
        val api = api(nonceWanted(), answer(200))
        assertEquals(401, client(api).post(api.origin) { setBody(ByteReadChannel("once")) }.status.value)
        assertEquals("once", api.requests(1).single().body.readUtf8())
    }

    @Test
    fun `a copy that may have been carried out is sent again only if that does no harm`() = runBlocking {
        val get = api(replayed(), answer(200))
        assertEquals(200, client(get).get(get.origin).status.value)
        val post = api(replayed(), answer(200))
        assertEquals(401, client(post).post(post.origin).status.value)
    }

    @Test
    fun `a route that demands hardware gets a proof by the instance key`() = runBlocking {
        val api = api(hardwareWanted(), answer(200))
        assertEquals(200, client(api).get(api.origin).status.value)
        val (_, other) = api.requests(2)
        assertNull(other.getHeader(PROOF))
        assertNotNull(other.getHeader("DPoP"))
    }

    @Test
    fun `why there is no proof is what the app sees`() {
        val api = api(answer(200))
        RealService.relay.with({ _, _ -> answer(503) }) {
            assertThrows<CountersignException.Unavailable> { runBlocking { client(api).get(api.origin) } }
        }
        api.requests(0)
    }

    @Test
    fun `a plugin without an attester is refused when it is installed`() {
        assertThrows<IllegalArgumentException> { HttpClient(CIO) { install(CountersignPlugin) } }
    }
}
