package dev.countersign.okhttp

import dev.countersign.Advice
import dev.countersign.ApiRequest
import dev.countersign.Countersign
import dev.countersign.CountersignException
import java.io.InterruptedIOException
import kotlinx.coroutines.async
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull
import okhttp3.Call
import okhttp3.HttpUrl
import okhttp3.Interceptor
import okhttp3.Request
import okhttp3.Response
import okio.IOException

/** What the two interceptors tell each other about one call. */
internal class Attempt(val begunAt: HttpUrl) {
    /** About the last hop. */
    @Volatile
    var advice: Advice = Advice.ACCEPT

    /** Where the instance key shall prove. */
    @Volatile
    var instanceKeyFor: HttpUrl? = null
}

/** Sends again, once, what an edge has asked to be proven in another way. */
internal class Resend(private val countersign: Countersign) : Interceptor {
    override fun intercept(chain: Interceptor.Chain): Response {
        val url = chain.request().url
        val attempt = Attempt(url)
        // The first enrolment takes its time: before there is a connection that would wait for it.
        if (url in countersign.origins && !countersign.wasReady) {
            val sample = ApiRequest(chain.request().method, url.asSent())
            chain.call().blocking { countersign.prove(sample) }
        }
        val response = chain.proceed(chain.request().newBuilder().tag(Attempt::class.java, attempt).build())

        // Of a call that was redirected, the last hop alone: the first may have been carried out.
        val hop = response.request
        val advice = attempt.advice
        if (!advice.permits(hop.method, hop.isReplayable()) || !isReady(advice, chain.call())) return response
        if (advice == Advice.PROVE_WITH_INSTANCE_KEY) attempt.instanceKeyFor = hop.url
        response.close()
        return chain.proceed(hop)
    }

    /** Without a fresh result the API's answer stands. */
    private fun isReady(advice: Advice, call: Call): Boolean {
        if (advice != Advice.REFRESH_AND_PROVE_AGAIN) return true
        return try {
            call.blocking { countersign.refresh() }
            true
        } catch (_: CountersignException) {
            false
        }
    }
}

private fun Request.isReplayable(): Boolean = body?.let { !it.isOneShot() && !it.isDuplex() } ?: true

/** How often a thread that waits looks whether its call was cancelled: OkHttp tells nobody. */
private const val LOOK_AGAIN_MILLIS = 100L

/** Waits on this thread, until the call is cancelled, or the thread interrupted. */
internal fun <T> Call.blocking(work: suspend () -> T): T = try {
    runBlocking {
        val task = async { work() }
        while (withTimeoutOrNull(LOOK_AGAIN_MILLIS) { task.join() } == null) {
            if (isCanceled()) {
                task.cancel()
                throw IOException("Canceled")
            }
        }
        task.await()
    }
} catch (_: InterruptedException) {
    // OkHttp lets nothing but an `IOException` through without ending the app.
    Thread.currentThread().interrupt()
    throw InterruptedIOException("interrupted")
}
