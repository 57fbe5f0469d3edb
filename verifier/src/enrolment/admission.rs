//! What comes of an appraisal: an admission, or a refusal with every reason.

use countersign_core::environment::Environment;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::{Protection, Tier, VouchedBy};

use super::{PlatformKey, Trustworthiness};
use crate::evidence::RecordedEvidence;
use crate::policy::{Appraisal, History};

/// What the policy says of an envelope.
pub enum Verdict {
    /// A result may be issued.
    Admitted(Box<Admission>),
    /// The evidence is genuine, and not good enough.
    Refused(Box<Appraisal>),
}

/// That results may be issued for an instance: its keys, and what is known of it.
#[derive(Clone, Debug)]
pub struct Admission {
    pub(super) client_id: String,
    pub(super) instance_key: PublicKey,
    pub(super) session_key: PublicKey,
    pub(super) platform_key: PlatformKey,
    pub(super) protection: Protection,
    pub(super) vouched_by: VouchedBy,
    pub(super) evidence_time: Timestamp,
    /// What the evidence was worth when it was verified.
    pub(super) evidence: Trustworthiness,
    /// What the results to be issued say.
    pub(super) issued: Trustworthiness,
    pub(super) history: History,
    pub(super) attestation_key: Option<[u8; 32]>,
    pub(super) recorded_evidence: Vec<RecordedEvidence>,
    pub(super) history_before: Option<History>,
    pub(super) environment: Environment,
    pub(super) app_version: String,
    pub(super) policy: String,
    pub(super) result_lifetime: Option<u64>,
    pub(super) appraisal: Appraisal,
}

impl Admission {
    /// The OAuth `client_id`.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The durable key.
    pub const fn instance_key(&self) -> &PublicKey {
        &self.instance_key
    }

    /// The key of the coming requests.
    pub const fn session_key(&self) -> &PublicKey {
        &self.session_key
    }

    /// How the platform vouches at the next renewal; to be stored.
    pub const fn platform_key(&self) -> &PlatformKey {
        &self.platform_key
    }

    /// Where the durable key lives.
    pub const fn protection(&self) -> Protection {
        self.protection
    }

    /// Who says so.
    pub const fn vouched_by(&self) -> VouchedBy {
        self.vouched_by
    }

    /// When platform evidence was last verified.
    pub const fn evidence_time(&self) -> Timestamp {
        self.evidence_time
    }

    /// What the last evidence was worth when it was appraised; to be stored.
    pub const fn evidence(&self) -> &Trustworthiness {
        &self.evidence
    }

    /// What the results to be issued say: less than the evidence was worth once evidence is due, or where the device
    /// reports what the policy warns of.
    pub const fn issued(&self) -> &Trustworthiness {
        &self.issued
    }

    /// The tier of the results to be issued.
    pub const fn tier(&self) -> Tier {
        self.issued.tier
    }

    /// The app's version, as the app says.
    pub fn app_version(&self) -> &str {
        &self.app_version
    }

    /// Id and version of the policy.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// What was seen of the instance until now; to be stored.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// SHA-256 of the attestation key that signed the Android evidence, if there was some; to be stored.
    pub const fn attestation_key(&self) -> Option<&[u8; 32]> {
        self.attestation_key.as_ref()
    }

    /// The evidence that was verified for this, if any came; to be stored, so that it can be verified again.
    pub fn recorded_evidence(&self) -> &[RecordedEvidence] {
        &self.recorded_evidence
    }

    /// What had been seen of the instance before; None at its first enrolment. To be stored with the evidence.
    pub const fn history_before(&self) -> Option<&History> {
        self.history_before.as_ref()
    }

    /// What the device reports of its own environment.
    pub const fn environment(&self) -> Environment {
        self.environment
    }

    /// Life of the app's results in seconds, where the policy gives it one of its own.
    pub const fn result_lifetime(&self) -> Option<u64> {
        self.result_lifetime
    }

    /// The appraisal of what this envelope brought: evidence, or the device's report alone.
    pub const fn appraisal(&self) -> &Appraisal {
        &self.appraisal
    }
}
