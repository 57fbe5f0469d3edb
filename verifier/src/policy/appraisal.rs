//! The verdict.

use countersign_core::time::Timestamp;
use countersign_core::token::result::Protection;
use serde::{Serialize, Serializer};

use super::Finding;
use super::app::AppPolicy;
use super::constraint::{Constraint, Enforcement};
use super::danger::Danger;
use crate::evidence::{EvidenceKind, VerifiedEvidence, unix_seconds};

/// Trustworthiness tier (AR4SI section 2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Nothing to object to.
    Affirming,
    /// Accepted, but a constraint that warns does not hold.
    Warning,
    /// Refused: a required constraint does not hold.
    Contraindicated,
}

impl Tier {
    /// The number in results: 2, 32, 96.
    pub const fn code(self) -> u8 {
        match self {
            Self::Affirming => 2,
            Self::Warning => 32,
            Self::Contraindicated => 96,
        }
    }

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        }
    }
}

impl Serialize for Tier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// How one constraint came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Which.
    pub constraint: Constraint,
    /// How it is enforced here.
    pub enforcement: Enforcement,
    /// Whether it holds.
    pub satisfied: bool,
    /// One sentence for a person.
    pub explanation: String,
}

impl Outcome {
    /// Whether it speaks against the evidence: it does not hold and is not ignored.
    pub fn counts_against(&self) -> bool {
        !self.satisfied && self.enforcement != Enforcement::Ignore
    }
}

/// The verdict of a policy on one piece of verified evidence, with everything that led to it. Made only by
/// [`super::AppraisalPolicy::appraise`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Appraisal {
    policy: String,
    client_id: String,
    tier: Tier,
    kind: EvidenceKind,
    protection: Protection,
    #[serde(serialize_with = "unix_seconds")]
    evidence_time: Timestamp,
    #[serde(serialize_with = "unix_seconds")]
    appraised_at: Timestamp,
    outcomes: Vec<Outcome>,
}

impl Appraisal {
    pub(super) fn new(
        policy: &str,
        danger: &Danger,
        app: &AppPolicy,
        evidence: &VerifiedEvidence,
        now: Timestamp,
        findings: Vec<Finding>,
    ) -> Self {
        let outcomes: Vec<_> = findings
            .into_iter()
            .map(|Finding { constraint, satisfied, explanation }| Outcome {
                constraint,
                enforcement: danger
                    .enforcement(constraint, app.enforcements.of(constraint, evidence.platform())),
                satisfied,
                explanation,
            })
            .collect();
        let tier = outcomes
            .iter()
            .filter(|outcome| !outcome.satisfied)
            .map(|outcome| match outcome.enforcement {
                Enforcement::Require => Tier::Contraindicated,
                Enforcement::Warn => Tier::Warning,
                Enforcement::Ignore => Tier::Affirming,
            })
            .max()
            .unwrap_or(Tier::Affirming);
        Self {
            policy: policy.to_owned(),
            client_id: app.client_id.clone(),
            tier,
            kind: evidence.kind(),
            protection: evidence.protection(),
            evidence_time: evidence.evidence_time(),
            appraised_at: now,
            outcomes,
        }
    }

    /// The policy's name and version.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The client identifier that selected the app.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The tier.
    pub const fn tier(&self) -> Tier {
        self.tier
    }

    /// Whether the evidence is refused.
    pub fn is_refused(&self) -> bool {
        self.tier == Tier::Contraindicated
    }

    /// The kind of the evidence.
    pub const fn kind(&self) -> EvidenceKind {
        self.kind
    }

    /// How the attested key is protected.
    pub const fn protection(&self) -> Protection {
        self.protection
    }

    /// The time that the evidence speaks of.
    pub const fn evidence_time(&self) -> Timestamp {
        self.evidence_time
    }

    /// When it was appraised.
    pub const fn appraised_at(&self) -> Timestamp {
        self.appraised_at
    }

    /// Every constraint that applies to this kind of evidence, in a fixed order.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// The outcomes that speak against it, the decisive ones among them.
    pub fn objections(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.counts_against())
    }
}
