package dev.countersign.internal

import dev.countersign.ffi.ServiceAnswer
import dev.countersign.ffi.ServiceCall
import dev.countersign.ffi.Transport
import dev.countersign.ffi.TransportException
import java.io.IOException
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import kotlin.coroutines.resume
import kotlin.coroutines.resumeWithException
import kotlinx.coroutines.suspendCancellableCoroutine
import okhttp3.Authenticator
import okhttp3.Call
import okhttp3.Callback
import okhttp3.CookieJar
import okhttp3.Dispatcher
import okhttp3.EventListener
import okhttp3.MediaType.Companion.toMediaType
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.RequestBody.Companion.toRequestBody
import okhttp3.Response

/**
 * HTTP to the service: no redirect followed, no cookie kept, nothing of the app's client in between, and an end to every
 * answer in bytes and time.
 */
internal class ServiceTransport(base: OkHttpClient?) : Transport {
    private val client by lazy {
        (base ?: OkHttpClient()).newBuilder()
            .apply {
                interceptors().clear()
                networkInterceptors().clear()
            }
            .eventListenerFactory { EventListener.NONE }
            .dispatcher(Dispatcher(threads()))
            .followRedirects(false)
            .followSslRedirects(false)
            .cookieJar(CookieJar.NO_COOKIES)
            .authenticator(Authenticator.NONE)
            .cache(null)
            .connectTimeout(CONNECT_SECONDS, TimeUnit.SECONDS)
            .callTimeout(CALL_SECONDS, TimeUnit.SECONDS)
            .build()
    }

    override suspend fun call(call: ServiceCall): ServiceAnswer {
        val started = try {
            client.newCall(call.toRequest())
        } catch (_: IllegalArgumentException) {
            throw TransportException.Unreached()
        }
        return suspendCancellableCoroutine { waiting ->
            waiting.invokeOnCancellation { started.cancel() }
            started.enqueue(object : Callback {
                override fun onFailure(call: Call, e: IOException) {
                    waiting.resumeWithException(TransportException.Unreached())
                }

                override fun onResponse(call: Call, response: Response) {
                    val answer = try {
                        response.use { it.read(mostBytes) }
                    } catch (_: IOException) {
                        null
                    }
                    if (answer == null) waiting.resumeWithException(TransportException.Unreached()) else waiting.resume(answer)
                }

                private val mostBytes = call.maxAnswer.toLong()
            })
        }
    }

    private fun ServiceCall.toRequest(): Request {
        val body = if (post) body.toRequestBody(contentType?.toMediaType()) else null
        // Bytes are counted as they come: nothing that grows while it is unpacked.
        return Request.Builder().url(url).header("Accept-Encoding", "identity")
            .method(if (post) "POST" else "GET", body).build()
    }

    /** Null for an answer that is longer. */
    private fun Response.read(mostBytes: Long): ServiceAnswer? {
        val source = body?.source() ?: return null
        if (source.request(mostBytes + 1)) return null
        val retryAfter = header("Retry-After")?.toULongOrNull()
        return ServiceAnswer(code.toUShort(), retryAfter, source.readByteArray())
    }

    private companion object {
        /**
         * Threads that keep no program from ending, and none of which waits behind the app's own calls. What the app's
         * name resolution or sockets throw ends the call; OkHttp throws it once more, which must not end the app.
         */
        fun threads(): ExecutorService = Executors.newCachedThreadPool { work ->
            Thread(work, "countersign").apply {
                isDaemon = true
                setUncaughtExceptionHandler { _, _ -> }
            }
        }

        const val CONNECT_SECONDS = 10L
        const val CALL_SECONDS = 30L
    }
}
