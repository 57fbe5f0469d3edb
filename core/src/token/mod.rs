//! The two tokens of the device, result and proof, in both flavours, and the keys they name.

pub mod client_attestation;
pub mod cose;
pub mod dpop;
pub mod jose;
pub mod keys;
pub mod proof;
pub mod result;
pub mod trust_vector;

/// Header fields of the compact flavour and of the OAuth draft
/// (draft-ietf-oauth-attestation-based-client-auth), in lower case.
pub mod field {
    /// The result, base64url of a COSE_Sign1.
    pub const ATTESTATION_RESULT: &str = "attestation-result";
    /// The proof, base64url of a COSE_Sign1.
    pub const ATTESTATION_PROOF: &str = "attestation-proof";
    /// The client attestation JWT.
    pub const CLIENT_ATTESTATION: &str = "oauth-client-attestation";
    /// The proof-of-possession JWT of the OAuth draft.
    pub const CLIENT_ATTESTATION_POP: &str = "oauth-client-attestation-pop";
    /// A fresh nonce for the next proof.
    pub const CLIENT_ATTESTATION_CHALLENGE: &str = "oauth-client-attestation-challenge";
    /// The DPoP proof (RFC 9449).
    pub const DPOP: &str = "dpop";
    /// A fresh nonce for the next DPoP proof.
    pub const DPOP_NONCE: &str = "dpop-nonce";
}

/// Longest value of a compact header field, in characters.
pub const MAX_COMPACT_FIELD: usize = 4096;
/// Longest value of a JWT header field, in characters.
pub const MAX_JWT_FIELD: usize = 8192;
