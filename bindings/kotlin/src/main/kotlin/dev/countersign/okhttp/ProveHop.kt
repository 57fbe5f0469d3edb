package dev.countersign.okhttp

import dev.countersign.Advice
import dev.countersign.ApiRequest
import dev.countersign.Countersign
import dev.countersign.internal.Credential
import dev.countersign.internal.Fields
import okhttp3.Headers
import okhttp3.HttpUrl
import okhttp3.Interceptor
import okhttp3.MediaType
import okhttp3.Request
import okhttp3.RequestBody
import okhttp3.RequestBody.Companion.toRequestBody
import okhttp3.Response
import okio.Buffer
import okio.BufferedSink
import okio.ForwardingSink
import okio.IOException
import okio.buffer

/** Proves one hop, as it leaves, to a host that was named; from every other it takes what must not get there. */
internal class ProveHop(private val countersign: Countersign) : Interceptor {
    override fun intercept(chain: Interceptor.Chain): Response {
        val request = chain.request()
        val attempt = request.tag(Attempt::class.java)
        attempt?.advice = Advice.ACCEPT
        val bare = request.withoutProof(attempt)
        val authenticatesItself = Fields.CLIENT.any { bare.header(it) != null }
        if (request.url !in countersign.origins || authenticatesItself) return chain.proceed(bare)

        val body = request.body
        val bytes = body?.takeIf { request.header("Content-Encoding") == null }?.inMemory()
        val described = ApiRequest(request.method, request.url.asSent(), Credential.of(bare.headers), bytes)
        val byInstanceKey = attempt?.instanceKeyFor == request.url
        val proof = chain.call().blocking {
            if (byInstanceKey) countersign.proveWithInstanceKey(described) else countersign.prove(described)
        }
        val proven = bare.newBuilder()
        proof.fields.forEach { (name, value) -> proven.header(name, value) }
        // What was hashed is what is sent, even if the body would be written otherwise a second time.
        if (bytes != null) proven.method(request.method, SameBytes(bytes, body.contentType()))
        val response = chain.proceed(proven.build())
        attempt?.advice = countersign.observe(request.url, response)
        return response
    }

    /** Without fields that are good for another request, or another host. */
    private fun Request.withoutProof(attempt: Attempt?): Request {
        val builder = newBuilder()
        Fields.PROOF.forEach(builder::removeHeader)
        // The app may send these to whom it likes, and they to no host that one redirects to.
        if (attempt != null && !attempt.begunAt.isSameOrigin(url)) Fields.ADDRESSED.forEach(builder::removeHeader)
        return builder.build()
    }

    private fun Countersign.observe(url: HttpUrl, response: Response): Advice {
        val headers: Headers = response.headers
        val challenge = headers["OAuth-Client-Attestation-Challenge"] ?: headers["DPoP-Nonce"]
        // Nothing else concerns the library, and most answers end here.
        if (response.code != 401 && challenge == null) return Advice.ACCEPT
        return observe(url.asSent(), response.code, challenge, headers.values("WWW-Authenticate"))
    }
}

/** The body of a request whose fields were made already: OkHttp wrote its length before. */
private class SameBytes(private val bytes: ByteArray, private val type: MediaType?) : RequestBody() {
    override fun contentType(): MediaType? = type
    override fun contentLength(): Long = bytes.size.toLong()
    override fun writeTo(sink: BufferedSink) {
        sink.write(bytes)
    }
}

private const val MOST_BYTES = 1L shl 20

/** The bytes of a body that can be written more than once, and is not too long to be hashed. */
private fun RequestBody.inMemory(): ByteArray? {
    if (isOneShot() || isDuplex() || contentLength() > MOST_BYTES) return null
    val written = Buffer()
    val bounded = object : ForwardingSink(written) {
        override fun write(source: Buffer, byteCount: Long) {
            if (written.size + byteCount > MOST_BYTES) throw TooLong()
            super.write(source, byteCount)
        }
    }.buffer()
    return try {
        writeTo(bounded)
        bounded.flush()
        written.readByteArray()
    } catch (_: TooLong) {
        null
    }
}

private class TooLong : IOException()

/** As on the wire: OkHttp sends neither fragment nor user. */
internal fun HttpUrl.asSent(): String =
    if (fragment == null && username.isEmpty() && password.isEmpty()) toString()
    else newBuilder().fragment(null).username("").password("").build().toString()

internal fun HttpUrl.isSameOrigin(other: HttpUrl): Boolean =
    scheme == other.scheme && host == other.host && port == other.port
