package dev.countersign

import dev.countersign.okhttp.countersign
import kotlinx.coroutines.runBlocking
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody.Companion.toRequestBody
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test

/** A program that enrols through the real library with a real service, and calls an API behind a real nginx. */
class NginxTest {
    private fun get(path: String) = Request.Builder().url("${Nginx.api}$path")

    private fun Request.Builder.answered(by: OkHttpClient = client) =
        by.newCall(build()).execute().use { it.code to it.body!!.string() }

    @Test
    fun `an API behind nginx learns which installation calls`() {
        val (status, said) = get("/hello").answered()
        assertEquals(200, status)
        val instance = runBlocking { device.standing().instance }
        assertTrue(said.startsWith("instance $instance of ${RealService.CLIENT}, "), said)
    }

    @Test
    fun `the same request without a proof is refused`() {
        assertEquals(401, get("/hello").answered(OkHttpClient()).first)
    }

    @Test
    fun `an access token that is bound to the installation is accepted with its proof`() {
        val (status, said) = get("/orders?page=2").header("Authorization", "DPoP $token").answered()
        assertEquals(200, status, said)
    }

    @Test
    fun `an access token of another installation is refused`() {
        RealService.device().api(Nginx.api).build().use { thief ->
            val stolen = OkHttpClient.Builder().countersign(thief).build()
            assertEquals(401, get("/orders").header("Authorization", "DPoP $token").answered(stolen).first)
        }
    }

    @Test
    fun `a body in memory is covered, and the API can compare`() {
        val (status, _) = get("/orders").header("Authorization", "DPoP $token").post("order".toRequestBody()).answered()
        assertEquals(200, status)
    }

    @Test
    fun `a nonce that the edge demands is fetched and used`() {
        assertEquals(200, get("/nonce").answered().first)
    }

    @Test
    fun `a route that demands hardware gets a proof by the instance key`() {
        assertEquals(200, get("/hardware").answered().first)
    }

    companion object {
        private lateinit var device: Countersign
        private lateinit var client: OkHttpClient
        private lateinit var token: String

        @BeforeAll
        @JvmStatic
        fun start() {
            device = RealService.device().api(Nginx.api).build()
            client = OkHttpClient.Builder().countersign(device).build()
            val attestation = runBlocking { device.authenticateClient(ClientProof.dpop("https://login.example/token")) }
            token = RealService.tokens.boundTo(attestation.fields.getValue("oauth-client-attestation"))
        }

        @AfterAll
        @JvmStatic
        fun end() {
            device.close()
        }
    }
}
