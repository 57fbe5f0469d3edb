package dev.countersign.internal

import okhttp3.Headers

/** Header fields that are looked at, or taken away. */
internal object Fields {
    /** Good for one request to one host. */
    val PROOF = listOf("Attestation-Result", "Attestation-Proof")

    /** What an OAuth client shows: at an API in place of [PROOF], or to its authorization server. */
    val CLIENT = listOf("OAuth-Client-Attestation", "OAuth-Client-Attestation-PoP", "DPoP")

    /** Meant for whom the app has addressed: HTTP clients keep `Authorization` from another host, and not these. */
    val ADDRESSED = CLIENT + "X-API-Key"
}

/** What a proof covers as the credential. */
internal object Credential {
    /** What API keys of ours begin with: a field of the same name may be the API's own affair. */
    private const val API_KEY = "csk_"

    /** The characters behind the scheme of `Authorization`, or else an API key. */
    fun of(headers: Headers): String? = of(headers["Authorization"], headers["X-API-Key"])

    fun of(authorization: String?, apiKey: String?): String? = when (authorization) {
        null -> apiKey?.takeIf { it.startsWith(API_KEY) }
        else -> authorization.substringAfter(' ', missingDelimiterValue = "").ifEmpty { null }
    }
}
