//! Why evidence could not be verified.

use super::play_integrity::PlayIntegrityError;
use crate::chain::ChainError;
use crate::revocation::CertificateStatus;

/// Why evidence could not be verified: it is not authentic, not fresh, or not readable. Never a matter of taste.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvidenceError {
    /// Longer than evidence of this kind can be.
    TooLong,
    /// Not the CBOR that belongs here: wrong type, a key twice, a member missing, bytes after the end.
    MalformedCbor,
    /// `fmt` is not `apple-appattest`.
    UnknownFormat,
    /// The authenticator data do not have their fixed layout.
    MalformedAuthenticatorData,
    /// The extension map behind the authenticator data is not one, or a known member has another type.
    MalformedAuthenticatorExtensions,
    /// The certificate chain was not accepted.
    Chain(ChainError),
    /// The leaf has no nonce extension.
    MissingNonce,
    /// The nonce extension does not have its fixed layout.
    MalformedNonce,
    /// The nonce is of other authenticator data or other client data.
    NonceMismatch,
    /// The key identifier is not the hash of the leaf's key.
    KeyIdMismatch,
    /// The credential identifier is not the key identifier.
    CredentialIdMismatch,
    /// The COSE key in the authenticator data is not the leaf's key.
    CredentialKeyMismatch,
    /// The counter of a new key is not zero.
    CounterNotZero,
    /// The counter of an assertion did not grow.
    CounterNotGreater {
        /// The counter stored for this key.
        previous: u32,
        /// The counter in the assertion.
        received: u32,
    },
    /// The signature does not verify.
    InvalidSignature,
    /// A development key that nobody registered, or that is no longer registered.
    UnknownDevelopmentKey,
    /// The key in the leaf is not a key of the kind that it says it is.
    MalformedKey,
    /// A key of another kind than this evidence has.
    UnsupportedKey,
    /// No certificate carries a KeyDescription.
    MissingKeyDescription,
    /// A certificate above the leaf carries a KeyDescription: the chain was extended with a key that an app
    /// controls, or its leaf is not the attested key.
    MisplacedKeyDescription {
        /// Which certificate, counted from the leaf, which is 0.
        index: usize,
    },
    /// A certificate above the leaf is that of an attestation key which an app made (purpose ATTEST_KEY): genuine, but
    /// chains of such keys are not accepted.
    AttestKeyChain {
        /// Which certificate, counted from the leaf, which is 0.
        index: usize,
    },
    /// A ProvisioningInfo stands elsewhere than directly above the leaf: somebody issued certificates below a key
    /// that was provisioned to sign leaves only.
    MisplacedProvisioningInfo {
        /// Which certificate, counted from the leaf, which is 0.
        index: usize,
    },
    /// The KeyDescription is not DER of its schema.
    MalformedKeyDescription,
    /// The tags of an authorization list do not ascend, or one stands twice.
    UnorderedKeyDescription,
    /// The attestation challenge is another one.
    ChallengeMismatch,
    /// No challenge to compare with: an empty one would prove nothing.
    EmptyChallenge,
    /// A certificate of the chain is on the status list.
    Revoked {
        /// Which certificate, counted from the leaf, which is 0.
        index: usize,
        /// What the list says.
        status: CertificateStatus,
    },
    /// The Play Integrity token was not accepted.
    PlayIntegrity(PlayIntegrityError),
}

impl EvidenceError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "evidence_too_long",
            Self::MalformedCbor => "evidence_malformed_cbor",
            Self::UnknownFormat => "evidence_unknown_format",
            Self::MalformedAuthenticatorData => "evidence_malformed_authenticator_data",
            Self::MalformedAuthenticatorExtensions => "evidence_malformed_authenticator_extensions",
            Self::Chain(error) => error.reason(),
            Self::MissingNonce => "evidence_missing_nonce",
            Self::MalformedNonce => "evidence_malformed_nonce",
            Self::NonceMismatch => "evidence_nonce_mismatch",
            Self::KeyIdMismatch => "evidence_key_id_mismatch",
            Self::CredentialIdMismatch => "evidence_credential_id_mismatch",
            Self::CredentialKeyMismatch => "evidence_credential_key_mismatch",
            Self::CounterNotZero => "evidence_counter_not_zero",
            Self::CounterNotGreater { .. } => "evidence_counter_not_greater",
            Self::InvalidSignature => "evidence_invalid_signature",
            Self::UnknownDevelopmentKey => "evidence_unknown_development_key",
            Self::MalformedKey => "evidence_malformed_key",
            Self::UnsupportedKey => "evidence_unsupported_key",
            Self::MissingKeyDescription => "evidence_missing_key_description",
            Self::MisplacedKeyDescription { .. } => "evidence_misplaced_key_description",
            Self::AttestKeyChain { .. } => "evidence_attest_key_chain",
            Self::MisplacedProvisioningInfo { .. } => "evidence_misplaced_provisioning_info",
            Self::MalformedKeyDescription => "evidence_malformed_key_description",
            Self::UnorderedKeyDescription => "evidence_unordered_key_description",
            Self::ChallengeMismatch => "evidence_challenge_mismatch",
            Self::EmptyChallenge => "evidence_empty_challenge",
            Self::Revoked { .. } => "evidence_revoked",
            Self::PlayIntegrity(error) => error.reason(),
        }
    }

    /// One sentence for a person.
    pub fn explanation(self) -> String {
        match self {
            Self::TooLong => "The evidence is longer than evidence of this kind can be.".to_owned(),
            Self::MalformedCbor => "The evidence is not the CBOR that belongs here.".to_owned(),
            Self::UnknownFormat => "The format is not apple-appattest.".to_owned(),
            Self::MalformedAuthenticatorData => "The authenticator data are malformed.".to_owned(),
            Self::MalformedAuthenticatorExtensions => {
                "The extensions behind the authenticator data are malformed.".to_owned()
            }
            Self::Chain(error) => explain_chain(error),
            Self::MissingNonce => "The leaf certificate carries no nonce.".to_owned(),
            Self::MalformedNonce => "The nonce extension of the leaf is malformed.".to_owned(),
            Self::NonceMismatch => "The nonce belongs to another challenge or other data.".to_owned(),
            Self::KeyIdMismatch => "The key id is not the hash of the attested key.".to_owned(),
            Self::CredentialIdMismatch => "The credential id is not the key id.".to_owned(),
            Self::CredentialKeyMismatch => {
                "The key in the authenticator data is not the key of the leaf certificate.".to_owned()
            }
            Self::CounterNotZero => "The counter of a new key is not zero.".to_owned(),
            Self::CounterNotGreater { previous, received } => {
                format!("The counter {received} is not greater than the stored {previous}: a replay.")
            }
            Self::InvalidSignature => "The signature does not verify.".to_owned(),
            Self::UnknownDevelopmentKey => "The development key is not registered.".to_owned(),
            Self::MalformedKey => "The attested key is no point of its curve.".to_owned(),
            Self::UnsupportedKey => "The attested key is of another kind than this evidence has.".to_owned(),
            Self::MissingKeyDescription => "The leaf certificate carries no key description.".to_owned(),
            Self::MisplacedKeyDescription { index } => {
                format!("Certificate {index} carries a key description; only the leaf may.")
            }
            Self::AttestKeyChain { index } => {
                format!(
                    "Certificate {index} is of an attestation key that an app made; such chains are not accepted."
                )
            }
            Self::MisplacedProvisioningInfo { index } => {
                format!("Certificate {index} carries provisioning info; only the one above the leaf may.")
            }
            Self::MalformedKeyDescription => "The key description is malformed.".to_owned(),
            Self::UnorderedKeyDescription => {
                "The tags of an authorization list are out of order or stand twice.".to_owned()
            }
            Self::ChallengeMismatch => "The attestation challenge is another one.".to_owned(),
            Self::EmptyChallenge => "The expected challenge is empty and would prove nothing.".to_owned(),
            Self::Revoked { index, status } => {
                format!("Certificate {index} is on the status list: {status:?}.")
            }
            Self::PlayIntegrity(error) => error.explanation().to_owned(),
        }
    }
}

impl From<ChainError> for EvidenceError {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
    }
}

impl From<PlayIntegrityError> for EvidenceError {
    fn from(error: PlayIntegrityError) -> Self {
        Self::PlayIntegrity(error)
    }
}

impl From<minicbor::decode::Error> for EvidenceError {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::MalformedCbor
    }
}

fn explain_chain(error: ChainError) -> String {
    match error {
        ChainError::Length => "The chain has too few or too many certificates.".to_owned(),
        ChainError::MalformedCertificate { index } => format!("Certificate {index} is malformed."),
        ChainError::UnknownRoot => "The chain does not end in the key of a trusted root.".to_owned(),
        ChainError::MisplacedAnchor { index } => {
            format!(
                "Certificate {index} holds the key of a trusted root, which belongs at the end of the chain."
            )
        }
        ChainError::NameMismatch { index } => {
            format!("The issuer of certificate {index} is not the subject of the next.")
        }
        ChainError::Signature { index, error } => {
            format!("The signature of certificate {index} was not accepted: {}.", error.reason())
        }
        ChainError::NotYetValid { index } => format!("Certificate {index} is not valid yet."),
        ChainError::Expired { index } => format!("Certificate {index} has expired."),
        ChainError::NotAuthority { index } => format!("Certificate {index} may not issue certificates."),
        ChainError::PathLength { index } => {
            format!("More certificates stand below certificate {index} than it allows.")
        }
        ChainError::UnknownCriticalExtension { index } => {
            format!("Certificate {index} has a critical extension that is not known here.")
        }
        ChainError::MlDsa { index } => {
            format!("Certificate {index} is signed with ML-DSA, which this version does not verify.")
        }
        ChainError::LeafIsAuthority => "The leaf is marked as a certification authority.".to_owned(),
    }
}
