//! Why an envelope is not admitted, and what a device can do about it.

use countersign_core::cbor::CborError;
use countersign_core::challenge::ChallengeError;
use countersign_core::enrolment::Cure;

use crate::evidence::EvidenceError;
use crate::evidence::play_integrity::PlayIntegrityError;

/// Why an envelope is not admitted, apart from what the policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnrolmentError {
    /// Not deterministic CBOR of its shape.
    Encoding(CborError),
    /// Meant for another service.
    Issuer,
    /// The challenge is not one of ours, or no longer good.
    Challenge(ChallengeError),
    /// The instance key did not sign the envelope.
    Signature,
    /// The session key did not sign its possession.
    Possession,
    /// No app is registered under the client identifier, or none any more.
    UnknownClient,
    /// No such instance.
    UnknownInstance,
    /// The instance is registered with another key or `client_id`.
    InstanceMismatch,
    /// Enrolment without evidence.
    NoEvidence,
    /// A development key vouched for the instance, and its app is in production now.
    DevelopmentInstance,
    /// Evidence of a kind that does not belong here: an assertion at enrolment, another platform at renewal.
    UnexpectedEvidence,
    /// Evidence of a kind that this service does not verify.
    UnsupportedEvidence,
    /// A development key that nobody registered.
    UnknownDevelopmentKey,
    /// The evidence attests another key than the one that signed the envelope: it was relayed.
    KeyNotAttested,
    /// Google could not be asked about a Play Integrity token, and nothing else vouches.
    PlayIntegrityUnreachable,
    /// Google Play alone vouches for the instance, and its last verdict is older than
    /// [`ANDROID_EVIDENCE_LIFETIME`](super::ANDROID_EVIDENCE_LIFETIME).
    EvidenceDue,
    /// The evidence could not be verified.
    Evidence(EvidenceError),
}

impl EnrolmentError {
    /// A stable name for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Encoding(error) => error.reason(),
            Self::Issuer => "enrolment_issuer",
            Self::Challenge(error) => error.reason(),
            Self::Signature => "enrolment_signature",
            Self::Possession => "enrolment_possession",
            Self::UnknownClient => "enrolment_unknown_client",
            Self::UnknownInstance => "enrolment_unknown_instance",
            Self::InstanceMismatch => "enrolment_instance_mismatch",
            Self::NoEvidence => "enrolment_no_evidence",
            Self::DevelopmentInstance => "enrolment_development_instance",
            Self::UnexpectedEvidence => "enrolment_unexpected_evidence",
            Self::UnsupportedEvidence => "enrolment_unsupported_evidence",
            Self::UnknownDevelopmentKey => "enrolment_unknown_development_key",
            Self::KeyNotAttested => "enrolment_key_not_attested",
            Self::PlayIntegrityUnreachable => "enrolment_play_integrity_unreachable",
            Self::EvidenceDue => "enrolment_evidence_due",
            Self::Evidence(error) => error.reason(),
        }
    }

    /// What an honest device in this situation should do.
    pub fn cure(&self) -> Option<Cure> {
        match self {
            // A token that was late on its way is made anew for the next challenge.
            Self::Challenge(_)
            | Self::PlayIntegrityUnreachable
            // The instance is good as soon as a token comes, and a new one would need a token just the same.
            | Self::EvidenceDue
            | Self::Evidence(EvidenceError::PlayIntegrity(
                PlayIntegrityError::TooOld | PlayIntegrityError::FromTheFuture,
            )) => Some(Cure::Retry),
            Self::UnknownInstance
            | Self::InstanceMismatch
            | Self::DevelopmentInstance
            | Self::KeyNotAttested
            // A phone whose hardware attests keys by now gets an instance that it vouches for.
            | Self::UnexpectedEvidence
            | Self::Evidence(_) => Some(Cure::ReEnrol),
            _ => None,
        }
    }
}

impl From<EvidenceError> for EnrolmentError {
    fn from(error: EvidenceError) -> Self {
        Self::Evidence(error)
    }
}
