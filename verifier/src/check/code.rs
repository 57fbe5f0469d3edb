//! What a client is told of a refusal: one public code for many reasons.

/// What the client is told (`error` of `WWW-Authenticate`), with its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// 400 `invalid_request`.
    InvalidRequest,
    /// 401 without an error: bare challenges.
    NoCredential,
    /// 403, where the route takes client certificates alone: HTTP has no challenge for TLS, and a 401 needs one (RFC
    /// 9110 section 15.5.2).
    NoClientCertificate,
    /// 401 `invalid_token`.
    InvalidToken,
    /// 401 `invalid_client_attestation`.
    InvalidClientAttestation,
    /// 401 `invalid_dpop_proof`.
    InvalidDpopProof,
    /// 401 `use_attestation_challenge`, with a fresh nonce.
    UseAttestationChallenge,
    /// 401 `use_dpop_nonce`, with a fresh nonce.
    UseDpopNonce,
    /// 401 `use_fresh_attestation`.
    UseFreshAttestation,
    /// 401 `insufficient_user_authentication` (RFC 9470 section 3).
    InsufficientUserAuthentication,
    /// 403 `insufficient_scope`.
    InsufficientScope,
    /// 404: nothing of the resource is here.
    NotFound,
    /// 413.
    ContentTooLarge,
    /// 429.
    RateLimited,
    /// 503: our own trouble.
    Unavailable,
}

impl Code {
    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::NoCredential
            | Self::InvalidToken
            | Self::InvalidClientAttestation
            | Self::InvalidDpopProof
            | Self::UseAttestationChallenge
            | Self::UseDpopNonce
            | Self::UseFreshAttestation
            | Self::InsufficientUserAuthentication => 401,
            Self::NoClientCertificate | Self::InsufficientScope => 403,
            Self::NotFound => 404,
            Self::ContentTooLarge => 413,
            Self::RateLimited => 429,
            Self::Unavailable => 503,
        }
    }

    /// The value of `error`, where there is one.
    pub const fn error(self) -> Option<&'static str> {
        match self {
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
            Self::InvalidClientAttestation => Some("invalid_client_attestation"),
            Self::InvalidDpopProof => Some("invalid_dpop_proof"),
            Self::UseAttestationChallenge => Some("use_attestation_challenge"),
            Self::UseDpopNonce => Some("use_dpop_nonce"),
            Self::UseFreshAttestation => Some("use_fresh_attestation"),
            Self::InsufficientUserAuthentication => Some("insufficient_user_authentication"),
            Self::InsufficientScope => Some("insufficient_scope"),
            Self::NoCredential
            | Self::NoClientCertificate
            | Self::NotFound
            | Self::ContentTooLarge
            | Self::RateLimited
            | Self::Unavailable => None,
        }
    }
}
