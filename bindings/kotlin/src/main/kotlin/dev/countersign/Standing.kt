package dev.countersign

/**
 * What is known of this installation, for support; nothing in it is secret.
 *
 * @property instance the client instance, base64url; null before the first enrolment.
 * @property protection where the instance key lives: `software`, `tee`, `strongbox`; null before the first enrolment.
 * @property affirming whether the current result is affirming; null without one.
 * @property expiresAt when the current result expires: seconds since the epoch, by the service's clock.
 * @property failure why the last attempt failed: a stable name; null after a success.
 * @property reference the service's reference for that, where it gave one.
 * @property retryAfter seconds before which nothing is tried again; null if nothing is waited for.
 */
@ConsistentCopyVisibility
public data class Standing internal constructor(
    public val instance: String?,
    public val protection: String?,
    public val affirming: Boolean?,
    public val expiresAt: Long?,
    public val failure: String?,
    public val reference: String?,
    public val retryAfter: Long?,
)

/**
 * A key that vouches for this installation in development, as it is to be registered; nothing in it is secret.
 *
 * @property keyId what evidence names it by.
 * @property publicKey the uncompressed point (65 bytes), base64url.
 * @property command what to type at the service.
 */
@ConsistentCopyVisibility
public data class DevelopmentKey internal constructor(
    public val keyId: String,
    public val publicKey: String,
    public val command: String,
)
