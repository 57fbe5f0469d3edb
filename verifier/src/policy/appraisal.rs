//! The verdict.

use countersign_core::time::Timestamp;
use countersign_core::token::result::Protection;
use countersign_core::token::trust_vector::TrustVector;
use serde::{Serialize, Serializer};

use super::app::AppPolicy;
use super::constraint::{Constraint, Enforcement};
use super::danger::Danger;
use super::{Finding, trust_vector};
use crate::evidence::{EvidenceKind, EvidenceSet, Platform, VerifiedEvidence, unix_seconds};

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

    /// The tier of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Affirming, Self::Warning, Self::Contraindicated].into_iter().find(|tier| tier.name() == name)
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

/// The verdict of a policy on a device's evidence, with everything that led to it. Made only by
/// [`super::AppraisalPolicy`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Appraisal {
    policy: String,
    client_id: String,
    tier: Tier,
    /// Where an app is only observed: what the tier would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    enforced_tier: Option<Tier>,
    trust_vector: TrustVector,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<EvidenceKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protection: Option<Protection>,
    #[serde(
        serialize_with = "crate::evidence::optional_unix_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    evidence_time: Option<Timestamp>,
    #[serde(serialize_with = "unix_seconds")]
    appraised_at: Timestamp,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    outcomes: Vec<Outcome>,
}

/// What is appraised: an app's device, with or without evidence of its own.
pub(super) struct Appraised<'a> {
    pub(super) policy: &'a str,
    pub(super) danger: &'a Danger,
    pub(super) app: &'a AppPolicy,
    pub(super) platform: Platform,
    pub(super) evidence: Option<&'a EvidenceSet>,
    pub(super) cohort_key: Option<&'a [u8; 32]>,
    pub(super) now: Timestamp,
}

impl Appraisal {
    pub(super) fn new(appraised: &Appraised<'_>, findings: Vec<Finding>) -> Self {
        let Appraised { app, platform, evidence, now, .. } = *appraised;
        let outcomes: Vec<_> = findings
            .into_iter()
            .map(|Finding { constraint, satisfied, explanation, default, floor }| {
                let wanted = app.enforcement(constraint, platform, appraised.cohort_key, default);
                let enforcement = appraised.danger.enforcement(constraint, wanted).max(floor);
                Outcome { constraint, enforcement, satisfied, explanation }
            })
            .collect();
        let failed = || outcomes.iter().filter(|outcome| !outcome.satisfied);
        // Where an app is only observed, what would be required warns.
        let lowered = |outcome: &Outcome| {
            if app.observe && !outcome.constraint.is_enforced_while_observing() {
                outcome.enforcement.min(Enforcement::Warn)
            } else {
                outcome.enforcement
            }
        };
        let enforced = worst(failed().map(|outcome| outcome.enforcement));
        let tier = worst(failed().map(lowered));
        let mut trust_vector = evidence.map(trust_vector::of_evidence).unwrap_or_default();
        failed()
            .for_each(|outcome| trust_vector::lay(&mut trust_vector, outcome.constraint, lowered(outcome)));
        let exported = |outcome: &&Outcome| app.exported_labels.contains(&outcome.constraint);
        let labels = failed().filter(exported).map(|outcome| outcome.constraint.label().to_owned()).collect();
        Self {
            policy: appraised.policy.to_owned(),
            client_id: app.client_id.clone(),
            tier: if app.observe { tier.max(Tier::Warning) } else { tier },
            enforced_tier: app.observe.then_some(enforced),
            trust_vector,
            kinds: evidence.map(|set| set.all().map(VerifiedEvidence::kind).collect()).unwrap_or_default(),
            protection: evidence.map(|set| set.primary().protection()),
            evidence_time: evidence.map(EvidenceSet::evidence_time),
            appraised_at: now,
            labels,
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

    /// What the tier would be if the app were not only observed; None if it is not.
    pub const fn enforced_tier(&self) -> Option<Tier> {
        self.enforced_tier
    }

    /// What was found, in the vocabulary of AR4SI: never worse than the tier.
    pub const fn trust_vector(&self) -> &TrustVector {
        &self.trust_vector
    }

    /// The constraints that failed and that the policy lets edges know, by label.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The kinds of evidence, the primary one first; none where a renewal brought none.
    pub fn kinds(&self) -> &[EvidenceKind] {
        &self.kinds
    }

    /// How the attested key is protected.
    pub const fn protection(&self) -> Option<Protection> {
        self.protection
    }

    /// The time that the evidence speaks of.
    pub const fn evidence_time(&self) -> Option<Timestamp> {
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

fn worst(failed: impl Iterator<Item = Enforcement>) -> Tier {
    failed
        .map(|enforcement| match enforcement {
            Enforcement::Require => Tier::Contraindicated,
            Enforcement::Warn => Tier::Warning,
            Enforcement::Ignore => Tier::Affirming,
        })
        .max()
        .unwrap_or(Tier::Affirming)
}
