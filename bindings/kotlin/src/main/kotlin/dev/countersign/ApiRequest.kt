package dev.countersign

/**
 * A request that is to be proven, as it will be sent.
 *
 * @property method the method, case-sensitive.
 * @property uri the absolute URI, with its query and without fragment.
 * @property credential the access token or API key, without the scheme before it.
 * @property content the body before any content coding, if it is in memory; up to 1 MiB of it are covered by the proof.
 */
public class ApiRequest @JvmOverloads constructor(
    public val method: String,
    public val uri: String,
    public val credential: String? = null,
    public val content: ByteArray? = null,
) {
    /** Without the query, the credential and the body, which may be anybody's secret. */
    override fun toString(): String = "ApiRequest($method)"
}
