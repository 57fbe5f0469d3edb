//! Why an enrolment or renewal is refused, and what an honest device should do then.

use countersign_core::enrolment::Cure;
use countersign_verifier::enrolment::EnrolmentError;

use crate::store::{CommitError, DevelopmentKeyRefusal, Reference, StoreError};

/// Why a call is refused, with everything that the answer and the operator need.
#[derive(Debug)]
pub(crate) struct Denial {
    /// What the operator finds it under, and the device is told.
    pub(crate) reference: Option<Reference>,
    /// Why.
    pub(crate) cause: Cause,
}

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The envelope or its evidence does not hold.
    Enrolment(EnrolmentError),
    /// The instance is banned.
    Banned,
    /// The instance is withdrawn: its evidence is not good enough any more.
    Withdrawn,
    /// The policy refuses what the evidence says.
    Policy,
    /// A development key that does not vouch for this app, or not any more.
    DevelopmentKey(DevelopmentKeyRefusal),
    /// An instance that a development key vouched for renews without one.
    DevelopmentKeyMissing,
    /// Nothing speaks against the device; the status list is older than the policy accepts.
    RevocationListTooOld,
    /// Nothing speaks against the device; the trust bundle has expired, so that nobody vouches for the roots.
    TrustBundleExpired,
    /// Another request used the challenge.
    ChallengeUsed,
    /// The same request was answered before, and that answer is no longer good.
    AnswerExpired,
    /// Another renewal with this or a later assertion came first.
    CounterNotAbove,
    /// Others came to share its attestation key again and again while it was judged.
    AttestationKeySharedMore,
    /// The database cannot be used.
    Store(StoreError),
    /// A key cannot sign, or there is no randomness.
    Unable,
}

impl Cause {
    /// A stable name for logs and metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Enrolment(error) => error.reason(),
            Self::Banned => "instance_banned",
            Self::Withdrawn => "instance_withdrawn",
            Self::Policy => "policy",
            Self::DevelopmentKey(refusal) => refusal.reason(),
            Self::DevelopmentKeyMissing => "development_key_missing",
            Self::RevocationListTooOld => "revocation_list_too_old",
            Self::TrustBundleExpired => "trust_bundle_expired",
            Self::ChallengeUsed => "challenge_used",
            Self::AnswerExpired => "answer_expired",
            Self::CounterNotAbove => "assertion_counter_not_above",
            Self::AttestationKeySharedMore => "attestation_key_shared_more",
            Self::Store(error) => error.reason(),
            Self::Unable => "unable_to_sign",
        }
    }

    /// What an honest device in this situation should do.
    pub(crate) fn cure(&self) -> Option<Cure> {
        match self {
            Self::Enrolment(error) => error.cure(),
            Self::ChallengeUsed
            | Self::AnswerExpired
            | Self::CounterNotAbove
            | Self::RevocationListTooOld
            | Self::TrustBundleExpired
            | Self::AttestationKeySharedMore
            | Self::Store(_)
            | Self::Unable => Some(Cure::Retry),
            Self::Withdrawn => Some(Cure::ReEnrol),
            Self::Banned | Self::Policy | Self::DevelopmentKey(_) | Self::DevelopmentKeyMissing => None,
        }
    }
}

impl From<EnrolmentError> for Cause {
    fn from(error: EnrolmentError) -> Self {
        Self::Enrolment(error)
    }
}

impl From<StoreError> for Cause {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CommitError> for Cause {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::ChallengeUsed => Self::ChallengeUsed,
            CommitError::CounterNotAbove => Self::CounterNotAbove,
            CommitError::AttestationKeySharedMore => Self::AttestationKeySharedMore,
            CommitError::DevelopmentKeyRevoked => Self::DevelopmentKey(DevelopmentKeyRefusal::Revoked),
            CommitError::Banned => Self::Banned,
            CommitError::Withdrawn => Self::Withdrawn,
            CommitError::UnknownInstance => Self::Enrolment(EnrolmentError::UnknownInstance),
            CommitError::Store(error) => Self::Store(error),
        }
    }
}
