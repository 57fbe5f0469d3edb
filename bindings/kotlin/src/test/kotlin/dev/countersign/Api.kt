package dev.countersign

import java.net.InetAddress
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.Response
import okhttp3.mockwebserver.MockResponse
import okhttp3.mockwebserver.MockWebServer
import okhttp3.mockwebserver.RecordedRequest

internal const val RESULT = "Attestation-Result"
internal const val PROOF = "Attestation-Proof"

/** A host that answers what a test tells it. */
internal class Api(vararg answers: MockResponse) : AutoCloseable {
    private val server = MockWebServer().apply {
        answers.forEach(::enqueue)
        start(InetAddress.getByName("127.0.0.1"), 0)
    }
    val origin = "http://127.0.0.1:${server.port}"

    fun request(path: String = "/orders?page=2"): Request.Builder = Request.Builder().url("$origin$path")

    /** The requests that came, which must be so many. */
    fun requests(expected: Int): List<RecordedRequest> {
        check(server.requestCount == expected) { "${server.requestCount} requests instead of $expected" }
        return List(expected) { server.takeRequest() }
    }

    override fun close() = server.close()
}

internal fun answer(status: Int): MockResponse = MockResponse().setResponseCode(status)

internal fun redirect(status: Int, to: String): MockResponse = answer(status).setHeader("Location", to)

/** What has the form of a nonce: a version, and 41 bytes. With the refusal that hands it out. */
internal val NONCE = base64url(ByteArray(42) { 1 })

internal fun nonceWanted(): MockResponse = answer(401)
    .setHeader("WWW-Authenticate", "DPoP algs=\"ES256\", error=\"use_attestation_challenge\"")
    .setHeader("OAuth-Client-Attestation-Challenge", NONCE)

internal fun replayed(): MockResponse = answer(401)
    .setHeader("WWW-Authenticate", "DPoP error=\"invalid_client_attestation\", reason=\"replayed\"")

internal fun freshWanted(): MockResponse =
    answer(401).setHeader("WWW-Authenticate", "DPoP error=\"use_fresh_attestation\"")

internal fun hardwareWanted(): MockResponse =
    answer(401).setHeader("WWW-Authenticate", "DPoP error=\"use_fresh_attestation\", assurance=\"hardware\"")

internal fun OkHttpClient.send(request: Request.Builder): Response = newCall(request.build()).execute().also { it.close() }
