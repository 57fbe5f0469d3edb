package dev.countersign

/**
 * Header fields for one request: good for it only, and once. A client that follows redirects by itself must not carry
 * them to another host.
 *
 * @property fields names in lower case, and values.
 */
public class Proof internal constructor(public val fields: Map<String, String>) {
    /** Names without values: these pass for the request while they live. */
    override fun toString(): String = "Proof(${fields.keys.joinToString()})"
}
