package dev.countersign

/** What proves to an authorization server that this installation holds the attested key. */
public class ClientProof private constructor(internal val kind: Kind, internal val target: String, internal val nonce: String?) {
    internal enum class Kind { POP, DPOP }

    /** Which it is. */
    override fun toString(): String = "ClientProof($kind)"

    public companion object {
        /**
         * `OAuth-Client-Attestation-PoP`.
         *
         * @param issuer of the authorization server, byte-exact.
         * @param challenge its latest `OAuth-Client-Attestation-Challenge`.
         */
        @JvmStatic
        @JvmOverloads
        public fun pop(issuer: String, challenge: String? = null): ClientProof = ClientProof(Kind.POP, issuer, challenge)

        /**
         * `DPoP`: binds the tokens to this installation's key, and authenticates by itself in the combined mode.
         *
         * @param endpoint URL of the token endpoint.
         * @param nonce the server's latest `DPoP-Nonce`.
         */
        @JvmStatic
        @JvmOverloads
        public fun dpop(endpoint: String, nonce: String? = null): ClientProof = ClientProof(Kind.DPOP, endpoint, nonce)
    }
}
