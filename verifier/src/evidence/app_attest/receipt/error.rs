//! Why a receipt was not accepted.

use crate::chain::ChainError;

/// Why a receipt was not accepted. It says nothing about the attestation that it came with: receipts are signed
/// on their own, and nothing of the attestation covers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The attestation object carries no receipt.
    Missing,
    /// Longer than [`MAX_RECEIPT_LENGTH`](super::MAX_RECEIPT_LENGTH).
    TooLong,
    /// Not CMS SignedData of the one form that receipts have (RFC 5652 section 5).
    MalformedEnvelope,
    /// A digest other than SHA-256, or a signature other than ECDSA with it.
    UnsupportedAlgorithm,
    /// None or several signers; receipts have one.
    SignerCount,
    /// The signer's certificate is not among the certificates.
    UnknownSigner,
    /// A certificate that is not part of the signer's chain.
    SuperfluousCertificate,
    /// The signer's chain was not accepted.
    Chain(ChainError),
    /// The signer's certificate is not one for receipts. Apple's root has issued certificates to many others.
    NotAReceiptSigner,
    /// The signed attributes are not those of RFC 5652 section 11: type and digest of the content, each once.
    MalformedSignedAttributes,
    /// The digest in the signed attributes is of other content.
    DigestMismatch,
    /// The signature does not verify.
    InvalidSignature,
    /// The payload is not a SET of numbered fields, or a known field is missing, repeated or of another form.
    MalformedPayload,
    /// Of the other type: one for a new key, one from an exchange.
    OtherType,
    /// For another app.
    OtherApp,
    /// For another key.
    OtherKey,
    /// From another environment.
    OtherEnvironment,
    /// Made too long ago to be used for the first time.
    NotFresh,
    /// Made in the future.
    CreatedInFuture,
    /// Expired.
    Expired,
}

impl ReceiptError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "receipt_missing",
            Self::TooLong => "receipt_too_long",
            Self::MalformedEnvelope => "receipt_malformed_envelope",
            Self::UnsupportedAlgorithm => "receipt_unsupported_algorithm",
            Self::SignerCount => "receipt_signer_count",
            Self::UnknownSigner => "receipt_unknown_signer",
            Self::SuperfluousCertificate => "receipt_superfluous_certificate",
            Self::Chain(error) => error.reason(),
            Self::NotAReceiptSigner => "receipt_signer_of_another_purpose",
            Self::MalformedSignedAttributes => "receipt_malformed_signed_attributes",
            Self::DigestMismatch => "receipt_digest_mismatch",
            Self::InvalidSignature => "receipt_invalid_signature",
            Self::MalformedPayload => "receipt_malformed_payload",
            Self::OtherType => "receipt_other_type",
            Self::OtherApp => "receipt_other_app",
            Self::OtherKey => "receipt_other_key",
            Self::OtherEnvironment => "receipt_other_environment",
            Self::NotFresh => "receipt_not_fresh",
            Self::CreatedInFuture => "receipt_created_in_future",
            Self::Expired => "receipt_expired",
        }
    }

    /// One sentence for a person.
    pub fn explanation(self) -> String {
        match self {
            Self::Missing => "There is no receipt.",
            Self::TooLong => "The receipt is longer than a receipt can be.",
            Self::MalformedEnvelope => "The receipt is not CMS SignedData in the form of receipts.",
            Self::UnsupportedAlgorithm => "The receipt is signed with another algorithm than receipts are.",
            Self::SignerCount => "The receipt does not have exactly one signer.",
            Self::UnknownSigner => "The certificate of the receipt's signer is missing.",
            Self::SuperfluousCertificate => "The receipt carries a certificate that is not its signer's.",
            Self::Chain(error) => {
                return format!("The chain of the receipt's signer was not accepted: {}.", error.reason());
            }
            Self::NotAReceiptSigner => "The signer's certificate is not one for receipts.",
            Self::MalformedSignedAttributes => "The signed attributes of the receipt are malformed.",
            Self::DigestMismatch => "The signed attributes of the receipt are of other content.",
            Self::InvalidSignature => "The signature of the receipt does not verify.",
            Self::MalformedPayload => "The content of the receipt is malformed.",
            Self::OtherType => "The receipt is of the other type.",
            Self::OtherApp => "The receipt is for another app.",
            Self::OtherKey => "The receipt is for another key.",
            Self::OtherEnvironment => "The receipt is from another environment.",
            Self::NotFresh => "The receipt was made too long ago.",
            Self::CreatedInFuture => "The receipt was made in the future.",
            Self::Expired => "The receipt has expired.",
        }
        .to_owned()
    }
}

impl From<ChainError> for ReceiptError {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
    }
}
