package dev.countersign

import java.net.InetAddress
import java.util.concurrent.ConcurrentLinkedQueue
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody.Companion.toRequestBody
import okhttp3.mockwebserver.Dispatcher
import okhttp3.mockwebserver.MockResponse
import okhttp3.mockwebserver.MockWebServer
import okhttp3.mockwebserver.RecordedRequest
import okio.Buffer

/** Stands between devices and the service: counts, and answers otherwise where a test wants that. */
internal class Relay(private val port: Int) {
    private val server = MockWebServer()
    private val client = OkHttpClient.Builder().followRedirects(false).build()

    /** The paths that were asked for. */
    val paths = ConcurrentLinkedQueue<String>()

    /** What to answer, in place of the service's answer, which can be had. */
    @Volatile
    private var fault: ((String, () -> MockResponse) -> MockResponse)? = null

    val url: String

    init {
        server.dispatcher = object : Dispatcher() {
            override fun dispatch(request: RecordedRequest): MockResponse {
                val path = request.path.orEmpty()
                paths += path
                val forward = { forward(request) }
                return fault?.invoke(path, forward) ?: forward()
            }
        }
        server.start(InetAddress.getByName("127.0.0.1"), 0)
        url = "http://127.0.0.1:${server.port}"
    }

    /** How many installations were enrolled while [work] ran. */
    fun enrolmentsDuring(work: () -> Unit): Int = pathsDuring(work).count { it == "/v1/instances" }

    /** How many results were renewed while [work] ran. */
    fun renewalsDuring(work: () -> Unit): Int = pathsDuring(work).count { it.startsWith("/v1/instances/") }

    private fun pathsDuring(work: () -> Unit): List<String> {
        paths.clear()
        work()
        return paths.toList()
    }

    /** Runs [work] while the service answers as [fault] says. */
    fun <T> with(fault: (path: String, forward: () -> MockResponse) -> MockResponse, work: () -> T): T {
        this.fault = fault
        try {
            return work()
        } finally {
            this.fault = null
        }
    }

    private fun forward(request: RecordedRequest): MockResponse {
        val body = request.body.readByteArray().takeIf { request.method == "POST" }
        val asked = Request.Builder().url("http://127.0.0.1:$port${request.path}").method(request.method!!, body?.toRequestBody())
        request.getHeader("Content-Type")?.let { asked.header("Content-Type", it) }
        return client.newCall(asked.build()).execute().use { answer ->
            MockResponse().setResponseCode(answer.code).setBody(Buffer().write(answer.body!!.bytes())).apply {
                answer.header("Retry-After")?.let { setHeader("Retry-After", it) }
                answer.header("Content-Type")?.let { setHeader("Content-Type", it) }
            }
        }
    }
}
