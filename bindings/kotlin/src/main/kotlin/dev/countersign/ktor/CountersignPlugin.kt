package dev.countersign.ktor

import dev.countersign.Advice
import dev.countersign.ApiRequest
import dev.countersign.Countersign
import dev.countersign.CountersignException
import dev.countersign.internal.Credential
import dev.countersign.internal.Fields
import io.ktor.client.call.HttpClientCall
import io.ktor.client.plugins.api.ClientPlugin
import io.ktor.client.plugins.api.Send
import io.ktor.client.plugins.api.createClientPlugin
import io.ktor.client.request.HttpRequestBuilder
import io.ktor.client.statement.HttpResponse
import io.ktor.client.statement.bodyAsChannel
import io.ktor.http.URLBuilder
import io.ktor.http.content.OutgoingContent
import io.ktor.http.takeFrom
import io.ktor.util.AttributeKey

/** What [CountersignPlugin] is installed with. */
public class CountersignPluginConfig {
    /** The app's. */
    public var countersign: Countersign? = null
}

/**
 * Proves a Ktor client's requests to the APIs that were named, and answers what their edges ask for, once for each
 * request. Requests to other hosts pass as they are, and each hop of a redirect is proven for its own host or not at all.
 *
 * Install it last: the credential is the one that the plugins before it have set. Bodies in memory are covered by the
 * proof, up to 1 MiB; streams are not, and are never sent again.
 */
public val CountersignPlugin: ClientPlugin<CountersignPluginConfig> =
    createClientPlugin("Countersign", ::CountersignPluginConfig) {
        val countersign = requireNotNull(pluginConfig.countersign) { "install(CountersignPlugin) { countersign = … }" }
        on(Send) { request ->
            val begunAt = request.attributes.computeIfAbsent(BEGUN_AT) { request.asSent() }
            request.takeAwayWhatIsNotForIt(countersign, begunAt)
            if (request.asSent() !in countersign.origins || request.authenticatesItself()) return@on proceed(request)

            val call = request.proven(countersign, byInstanceKey = false) { proceed(request) }
            val advice = countersign.observe(call.response, request.asSent())
            val again = advice.permits(request.method.value, request.isReplayable()) && isReady(advice, countersign)
            if (!again) return@on call
            call.response.bodyAsChannel().cancel(null)
            val second = request.proven(countersign, advice == Advice.PROVE_WITH_INSTANCE_KEY) { proceed(request) }
            countersign.observe(second.response, request.asSent())
            second
        }
    }

/** Where a request was sent first: the same for all its hops. */
private val BEGUN_AT = AttributeKey<String>("CountersignBegunAt")

private const val MOST_BYTES = 1 shl 20

/** Fields that are good for another request, or another host. */
private fun HttpRequestBuilder.takeAwayWhatIsNotForIt(countersign: Countersign, begunAt: String) {
    Fields.PROOF.forEach(headers::remove)
    // The app may send these to whom it likes, and they to no host that one redirects to.
    if (!countersign.origins.same(begunAt, asSent())) Fields.ADDRESSED.forEach(headers::remove)
}

/** Whether the app has put an OAuth client's fields there itself: a second proof would be one too many. */
private fun HttpRequestBuilder.authenticatesItself() = Fields.CLIENT.any(headers::contains)

/** Sends with the fields of a proof, which are gone again before another plugin sends the request elsewhere. */
private suspend fun HttpRequestBuilder.proven(
    countersign: Countersign,
    byInstanceKey: Boolean,
    send: suspend () -> HttpClientCall,
): HttpClientCall {
    val described = ApiRequest(
        method.value,
        asSent(),
        Credential.of(headers["Authorization"], headers["X-API-Key"]),
        (body as? OutgoingContent.ByteArrayContent)
            ?.takeIf { headers["Content-Encoding"] == null }
            ?.bytes()
            ?.takeIf { it.size <= MOST_BYTES },
    )
    val proof = if (byInstanceKey) countersign.proveWithInstanceKey(described) else countersign.prove(described)
    try {
        proof.fields.forEach { (name, value) -> headers[name] = value }
        return send()
    } finally {
        proof.fields.keys.forEach(headers::remove)
    }
}

private fun HttpRequestBuilder.asSent(): String = URLBuilder().takeFrom(url).apply {
    fragment = ""
    user = null
    password = null
}.buildString()

private fun HttpRequestBuilder.isReplayable() = body is OutgoingContent.ByteArrayContent || body is OutgoingContent.NoContent

private fun Countersign.observe(response: HttpResponse, uri: String): Advice {
    val challenge = response.headers["OAuth-Client-Attestation-Challenge"] ?: response.headers["DPoP-Nonce"]
    if (response.status.value != 401 && challenge == null) return Advice.ACCEPT
    return observe(uri, response.status.value, challenge, response.headers.getAll("WWW-Authenticate").orEmpty())
}

/** Without a fresh result the API's answer stands. */
private suspend fun isReady(advice: Advice, countersign: Countersign): Boolean {
    if (advice != Advice.REFRESH_AND_PROVE_AGAIN) return true
    return try {
        countersign.refresh()
        true
    } catch (_: CountersignException) {
        false
    }
}
