package dev.countersign

import dev.countersign.okhttp.countersign
import java.io.File
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
    private fun get(path: String) = Request.Builder().url("${RealService.api}$path")

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
        RealService.device().api(RealService.api).build().use { thief ->
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
        private lateinit var nginx: Process
        private lateinit var device: Countersign
        private lateinit var client: OkHttpClient
        private lateinit var token: String

        @BeforeAll
        @JvmStatic
        fun start() {
            nginx = startNginx()
            device = RealService.device().api(RealService.api).build()
            client = OkHttpClient.Builder().countersign(device).build()
            val attestation = runBlocking { device.authenticateClient(ClientProof.dpop("https://login.example/token")) }
            token = RealService.tokens.boundTo(attestation.fields.getValue("oauth-client-attestation"))
        }

        @AfterAll
        @JvmStatic
        fun end() {
            device.close()
            nginx.destroy()
        }

        /** The configuration of examples/nginx, with the addresses of this test. */
        private fun startNginx(): Process {
            val example = File(repository, "examples/nginx")
            val folder = temporaryFolder()
            val stand = freePort()
            val addresses = mapOf(8000 to RealService.gateway, 8001 to stand, 8081 to RealService.edge)
            val included = checkNotNull(File(example, "countersign").list()).map { "countersign/$it" }
            for (name in included + "nginx.conf") {
                val text = Regex("127\\.0\\.0\\.1:(\\d+)").replace(File(example, name).readText()) { match ->
                    "127.0.0.1:${addresses[match.groupValues[1].toInt()] ?: match.groupValues[1]}"
                }
                File(folder, name).apply { parentFile.mkdirs() }.writeText(text)
            }
            val log = File(folder, "log")
            val program = listOf("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx").first { File(it).canExecute() }
            val words = listOf("-p", folder.path, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;")
            val process = ProcessBuilder(listOf(program) + words).directory(folder).redirectErrorStream(true)
                .redirectOutput(log).start()
            endsWithTests(process)
            awaitListener(RealService.gateway, process) { log.readText() }
            return process
        }
    }
}
