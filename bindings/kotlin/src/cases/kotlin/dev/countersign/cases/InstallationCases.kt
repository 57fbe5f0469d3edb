package dev.countersign.cases

import dev.countersign.ApiRequest
import dev.countersign.ClientProof
import dev.countersign.Countersign
import dev.countersign.CountersignException
import dev.countersign.okhttp.countersign
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.runBlocking
import okhttp3.OkHttpClient
import okhttp3.Request

/**
 * What an installation must do wherever it runs: on a JVM in `cargo xtask kotlin`, and on an emulator in the
 * instrumented tests of `examples/android-app`. Needs a service that knows the installation, and an API behind a gateway
 * with the routes `/hello`, `/nonce` and `/hardware`.
 *
 * @param api origin of the API.
 * @param newInstallation an installation without state, whose API is [api].
 */
public class InstallationCases(private val api: String, private val newInstallation: () -> Countersign) {
    /** Every case by its name. */
    public val all: Map<String, () -> Unit> = linkedMapOf(
        "nothing is known before the first call" to ::nothingIsKnown,
        "the first call enrols, and the API learns who called" to ::theFirstCallEnrols,
        "a request without a proof is refused" to ::withoutProof,
        "a proof passes once" to ::aProofPassesOnce,
        "a nonce is answered without the app" to ::aNonceIsAnswered,
        "a route that demands the instance key gets it" to ::theInstanceKeySigns,
        "a thousand first calls are one installation" to ::aThousandCalls,
        "a host that was not named gets no token" to ::noOtherHost,
        "an authorization server is shown the instance key" to ::anOAuthClient,
    )

    private fun nothingIsKnown() = newInstallation().use { device ->
        check(runBlocking { device.standing() }.instance == null) { "an instance, without a call" }
    }

    private fun theFirstCallEnrols() = newInstallation().use { device ->
        val (status, said) = get("/hello", device.client())
        val instance = checkNotNull(runBlocking { device.standing() }.instance)
        check(status == 200 && "instance $instance of" in said) { "$status $said" }
    }

    private fun withoutProof() {
        val (status, _) = get("/hello", OkHttpClient())
        check(status == 401) { status }
    }

    private fun aProofPassesOnce() = newInstallation().use { device ->
        val proof = runBlocking { device.prove(ApiRequest("GET", "$api/hello")) }
        val request = Request.Builder().url("$api/hello")
        proof.fields.forEach { (name, value) -> request.header(name, value) }
        val statuses = List(2) { OkHttpClient().newCall(request.build()).execute().use { it.code } }
        check(statuses == listOf(200, 401)) { statuses }
    }

    private fun aNonceIsAnswered() = newInstallation().use { device ->
        val (status, said) = get("/nonce", device.client())
        check(status == 200) { "$status $said" }
    }

    private fun theInstanceKeySigns() = newInstallation().use { device ->
        val (status, said) = get("/hardware", device.client())
        check(status == 200) { "$status $said" }
    }

    private fun aThousandCalls() = newInstallation().use { device ->
        val request = ApiRequest("GET", "$api/hello")
        val proofs = runBlocking { List(1000) { async(Dispatchers.Default) { device.prove(request) } }.awaitAll() }
        // The result names the instance: one result, one installation.
        check(proofs.map { it.fields["attestation-result"] }.toSet().size == 1) { "more than one result" }
        check(proofs.map { it.fields["attestation-proof"] }.toSet().size == 1000) { "a proof that came twice" }
    }

    private fun noOtherHost() = newInstallation().use { device ->
        for (uri in listOf("$api.example/", "https://other.example/", "$api@other.example/")) {
            val failure = runCatching { runBlocking { device.prove(ApiRequest("GET", uri)) } }.exceptionOrNull()
            check(failure is CountersignException.UnknownOrigin || failure is CountersignException.InvalidRequest) {
                "$uri: $failure"
            }
        }
    }

    private fun anOAuthClient() = newInstallation().use { device ->
        val dpop = runBlocking { device.authenticateClient(ClientProof.dpop("https://login.example/token")) }
        check(dpop.fields.keys == setOf("oauth-client-attestation", "dpop")) { dpop.fields.keys }
    }

    private fun Countersign.client() = OkHttpClient.Builder().countersign(this).build()

    private fun get(path: String, client: OkHttpClient): Pair<Int, String> =
        client.newCall(Request.Builder().url("$api$path").build()).execute().use { it.code to it.body!!.string() }
}
