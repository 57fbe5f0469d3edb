//! Why a Play Integrity token could not be verified.

use countersign_core::token::jose::JwsError;

/// Why a Play Integrity token could not be opened, read or accepted as fresh and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlayIntegrityError {
    /// Longer than [`MAX_TOKEN`](super::MAX_TOKEN) or [`MAX_DECODE_ANSWER`](super::MAX_DECODE_ANSWER).
    TooLong,
    /// Not the five parts of a compact JWE, or one of them is empty.
    Parts,
    /// A part of the JWE is not unpadded base64url.
    Base64,
    /// The JWE's header is not one JSON object.
    Header,
    /// The JWE's header has a member twice.
    DuplicateHeaderMember,
    /// `alg` is not `A256KW`.
    KeyManagement,
    /// `enc` is not `A256GCM`.
    ContentEncryption,
    /// `zip` is present: nothing is decompressed here.
    Compressed,
    /// `crit` is present: no extension is understood (RFC 7516 section 4.1.13).
    Critical,
    /// The header has a parameter of another key management or a key of its own (`p2c`, `epk`, `jwk`, …).
    ForeignParameter,
    /// Encrypted key, initialization vector or tag do not have the length that the algorithms give them.
    Length,
    /// The content encryption key was not wrapped with our key.
    WrongKey,
    /// The ciphertext or what it is bound to was altered.
    Decryption,
    /// What was encrypted is not a strict compact JWS.
    Jws(JwsError),
    /// The JWS is not signed with ES256.
    SignatureAlgorithm,
    /// The JWS is not signed by Google's key for this app.
    Signature,
    /// A payload, or an answer of Google, that is not one JSON object without duplicate members.
    Json(JwsError),
    /// Google's answer has no `tokenPayloadExternal`.
    NoPayload,
    /// Google refused to decode it as a token of this app.
    Rejected,
    /// There is no `requestDetails`, or it lacks package or time.
    MissingRequestDetails,
    /// A member of the payload has another type than Google gives it, or holds more than it ever does.
    MalformedPayload,
    /// Google says that this is a response for testing.
    TestingResponse,
    /// Neither `requestHash` nor `nonce`: the token is bound to nothing.
    Unbound,
    /// `requestHash` or `nonce` is of other keys or another challenge.
    BindingMismatch,
    /// The token was made longer ago than [`MAX_AGE`](super::MAX_AGE).
    TooOld,
    /// The token was made later than now, by more than [`MAX_AHEAD`](super::MAX_AHEAD).
    FromTheFuture,
}

impl PlayIntegrityError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "play_integrity_too_long",
            Self::Parts => "play_integrity_jwe_parts",
            Self::Base64 => "play_integrity_jwe_base64",
            Self::Header => "play_integrity_jwe_header",
            Self::DuplicateHeaderMember => "play_integrity_jwe_duplicate_member",
            Self::KeyManagement => "play_integrity_jwe_alg",
            Self::ContentEncryption => "play_integrity_jwe_enc",
            Self::Compressed => "play_integrity_jwe_zip",
            Self::Critical => "play_integrity_jwe_crit",
            Self::ForeignParameter => "play_integrity_jwe_parameter",
            Self::Length => "play_integrity_jwe_length",
            Self::WrongKey => "play_integrity_wrong_key",
            Self::Decryption => "play_integrity_decryption",
            Self::Jws(error) | Self::Json(error) => error.reason(),
            Self::SignatureAlgorithm => "play_integrity_jws_alg",
            Self::Signature => "play_integrity_signature",
            Self::NoPayload => "play_integrity_no_payload",
            Self::Rejected => "play_integrity_rejected",
            Self::MissingRequestDetails => "play_integrity_missing_request_details",
            Self::MalformedPayload => "play_integrity_malformed_payload",
            Self::TestingResponse => "play_integrity_testing_response",
            Self::Unbound => "play_integrity_unbound",
            Self::BindingMismatch => "play_integrity_binding_mismatch",
            Self::TooOld => "play_integrity_too_old",
            Self::FromTheFuture => "play_integrity_from_the_future",
        }
    }

    /// One sentence for a person.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::TooLong => "The Play Integrity token is longer than one can be.",
            Self::Parts => "The Play Integrity token is not a compact JWE of five parts.",
            Self::Base64 => "A part of the Play Integrity token is not unpadded base64url.",
            Self::Header => "The header of the Play Integrity token is not one JSON object.",
            Self::DuplicateHeaderMember => "The header of the Play Integrity token has a member twice.",
            Self::KeyManagement => "The Play Integrity token is not wrapped with A256KW.",
            Self::ContentEncryption => "The Play Integrity token is not encrypted with A256GCM.",
            Self::Compressed => "The Play Integrity token is compressed, which Google's are not.",
            Self::Critical => "The Play Integrity token asks for an extension that is not known here.",
            Self::ForeignParameter => {
                "The header of the Play Integrity token has a parameter of another algorithm."
            }
            Self::Length => "A part of the Play Integrity token does not have the length it must have.",
            Self::WrongKey => "The Play Integrity token was encrypted for another key.",
            Self::Decryption => "The Play Integrity token was altered.",
            Self::Jws(_) => "What the Play Integrity token encrypts is not a strict JWS.",
            Self::SignatureAlgorithm => "The Play Integrity verdict is not signed with ES256.",
            Self::Signature => "The Play Integrity verdict is not signed by Google's key for this app.",
            Self::Json(_) => "The Play Integrity verdict is not strict JSON.",
            Self::NoPayload => "Google's answer holds no payload.",
            Self::Rejected => "Google refuses to decode the Play Integrity token as one of this app.",
            Self::MissingRequestDetails => "The Play Integrity verdict does not say what was requested.",
            Self::MalformedPayload => "A member of the Play Integrity verdict is malformed.",
            Self::TestingResponse => "The Play Integrity verdict is a response for testing.",
            Self::Unbound => "The Play Integrity verdict has neither a request hash nor a nonce.",
            Self::BindingMismatch => "The Play Integrity verdict is of other keys or another challenge.",
            Self::TooOld => "The Play Integrity verdict is too old.",
            Self::FromTheFuture => "The Play Integrity verdict is of a time to come.",
        }
    }
}
