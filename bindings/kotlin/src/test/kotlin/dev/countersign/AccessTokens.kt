package dev.countersign

import java.security.KeyPairGenerator
import java.security.MessageDigest
import java.security.Signature

/** Stands for an authorization server: issues access tokens that are bound to an instance key. */
internal class AccessTokens(private val issuer: String, private val resource: String) {
    private val keys = KeyPairGenerator.getInstance("Ed25519").generateKeyPair()

    fun jwks(): String {
        // The last 32 bytes of the SubjectPublicKeyInfo are the key (RFC 8410).
        val x = base64url(keys.public.encoded.takeLast(32).toByteArray())
        return """{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"login","x":"$x"}]}"""
    }

    /** A token for the installation whose client attestation this is. */
    fun boundTo(clientAttestation: String): String {
        val claims = String(java.util.Base64.getUrlDecoder().decode(clientAttestation.split('.')[1]))
        val member = { name: String -> checkNotNull(Regex("\"$name\":\"([^\"]+)\"").find(claims)) { claims }.groupValues[1] }
        val jwk = """{"crv":"P-256","kty":"EC","x":"${member("x")}","y":"${member("y")}"}"""
        val thumbprint = base64url(MessageDigest.getInstance("SHA-256").digest(jwk.toByteArray()))
        val now = System.currentTimeMillis() / 1000
        return signed(
            """{"iss":"$issuer","aud":"$resource","sub":"alice","client_id":"mobile-app","jti":"$now","scope":"read",""" +
                """"iat":$now,"exp":${now + 600},"cnf":{"jkt":"$thumbprint"}}""",
        )
    }

    private fun signed(claims: String): String {
        val header = """{"typ":"at+jwt","alg":"EdDSA","kid":"login"}"""
        val input = "${base64url(header.toByteArray())}.${base64url(claims.toByteArray())}"
        val signature = Signature.getInstance("Ed25519").run {
            initSign(keys.private)
            update(input.toByteArray())
            sign()
        }
        return "$input.${base64url(signature)}"
    }
}
