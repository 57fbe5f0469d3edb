//! The appraisal as an EAR, the EAT Attestation Result of draft-ietf-rats-ear-04: what other software of the field
//! reads. Results for devices are smaller and say less; this is for the audit log and for people.
//!
//! The draft renames its claims from time to time: every name is in [`claim`] and nowhere else.

use countersign_core::time::Timestamp;
use countersign_core::token::trust_vector::{TrustClaim, TrustVector};
use serde_json::{Map, Value, json};

use crate::policy::{Appraisal, Tier};

/// The claims of draft-ietf-rats-ear-04, and what they stand under in JSON.
pub mod claim {
    /// The version of the draft; it changes with each one.
    pub const PROFILE: &str = "tag:ietf.org,2026:rats/ear#04";
    /// `eat_profile` (RFC 9711 section 4.3.2).
    pub const EAT_PROFILE: &str = "eat_profile";
    /// When it was issued.
    pub const IAT: &str = "iat";
    /// Who appraised.
    pub const VERIFIER_ID: &str = "ear_verifier_id";
    /// Who made the verifier; in [`VERIFIER_ID`].
    pub const DEVELOPER: &str = "developer";
    /// Which build of it; in [`VERIFIER_ID`].
    pub const BUILD: &str = "build";
    /// The appraised parts (RFC 9711 section 4.2.18).
    pub const SUBMODS: &str = "submods";
    /// The tier of a part, and of all.
    pub const STATUS: &str = "ear_status";
    /// The trustworthiness vector of AR4SI.
    pub const TRUSTWORTHINESS_VECTOR: &str = "ear_trustworthiness_vector";
    /// The policies that appraised.
    pub const APPRAISAL_POLICY_IDS: &str = "ear_appraisal_policy_ids";
    /// Our own: every constraint with its outcome.
    pub const OUTCOMES: &str = "countersign_outcomes";
}

/// The part that an EAR of ours speaks of: the device with the app on it.
pub const SUBMOD: &str = "device";

/// The claims set of an EAR.
#[derive(Clone, Debug, PartialEq)]
pub struct Ear {
    issued_at: Timestamp,
    status: Tier,
    trust_vector: TrustVector,
    policy: Option<String>,
    outcomes: Option<Value>,
}

impl Ear {
    /// The EAR of an appraisal.
    pub fn of_appraisal(appraisal: &Appraisal) -> Self {
        Self {
            issued_at: appraisal.appraised_at(),
            status: appraisal.tier(),
            trust_vector: *appraisal.trust_vector(),
            policy: Some(appraisal.policy().to_owned()),
            outcomes: serde_json::to_value(appraisal.outcomes()).ok(),
        }
    }

    /// The EAR of an appraisal as the audit log keeps it: the JSON that [`Appraisal`] serialises to. `None` for any
    /// other JSON.
    pub fn of_record(appraisal: &Value) -> Option<Self> {
        let text = |name: &str| appraisal.get(name).and_then(Value::as_str);
        Some(Self {
            issued_at: Timestamp::from_unix_seconds(appraisal.get("appraised_at")?.as_u64()?),
            status: Tier::from_name(text("tier")?)?,
            trust_vector: TrustVector::from_json(appraisal.get("trust_vector")?.as_object()?)?,
            policy: Some(text("policy")?.to_owned()),
            outcomes: appraisal.get("outcomes").cloned(),
        })
    }

    /// The EAR of evidence that could not be verified. 99: its cryptographic validation failed.
    pub fn of_unverifiable_evidence(now: Timestamp) -> Self {
        let mut trust_vector = TrustVector::default();
        for claim in [TrustClaim::InstanceIdentity, TrustClaim::Executables, TrustClaim::Hardware] {
            trust_vector.worsen(claim, 99);
        }
        Self { issued_at: now, status: Tier::Contraindicated, trust_vector, policy: None, outcomes: None }
    }

    /// The claims set in JSON, to be read or signed.
    pub fn to_json(&self) -> Value {
        let mut appraisal = Map::new();
        appraisal.insert(claim::STATUS.to_owned(), self.status.name().into());
        appraisal.insert(claim::TRUSTWORTHINESS_VECTOR.to_owned(), json!(self.trust_vector));
        if let Some(policy) = &self.policy {
            appraisal.insert(claim::APPRAISAL_POLICY_IDS.to_owned(), json!([policy]));
        }
        if let Some(outcomes) = &self.outcomes {
            appraisal.insert(claim::OUTCOMES.to_owned(), outcomes.clone());
        }
        json!({
            claim::EAT_PROFILE: claim::PROFILE,
            claim::IAT: self.issued_at.as_unix_seconds(),
            claim::VERIFIER_ID: {
                claim::DEVELOPER: env!("CARGO_PKG_REPOSITORY"),
                claim::BUILD: concat!("countersign ", env!("CARGO_PKG_VERSION")),
            },
            claim::STATUS: self.status.name(),
            claim::SUBMODS: { SUBMOD: appraisal },
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn recorded() -> Value {
        json!({
            "policy": "shop/7",
            "tier": "warning",
            "trust_vector": { "hardware": 2, "configuration": 32 },
            "appraised_at": 1_790_000_000,
            "outcomes": [{ "constraint": "os-patch-level", "satisfied": false }],
        })
    }

    #[test]
    fn an_ear_has_the_mandatory_claims_of_the_draft() {
        let ear = Ear::of_record(&recorded()).unwrap().to_json();
        let expected = json!({
            "eat_profile": "tag:ietf.org,2026:rats/ear#04",
            "iat": 1_790_000_000,
            "ear_verifier_id": {
                "developer": "https://github.com/countersign/countersign",
                "build": concat!("countersign ", env!("CARGO_PKG_VERSION")),
            },
            "ear_status": "warning",
            "submods": { "device": {
                "ear_status": "warning",
                "ear_trustworthiness_vector": { "hardware": 2, "configuration": 32 },
                "ear_appraisal_policy_ids": ["shop/7"],
                "countersign_outcomes": [{ "constraint": "os-patch-level", "satisfied": false }],
            } },
        });
        assert_eq!(ear, expected);
    }

    #[test]
    fn evidence_that_was_not_verified_is_contraindicated_for_that() {
        let ear = Ear::of_unverifiable_evidence(Timestamp::from_unix_seconds(7)).to_json();
        assert_eq!(ear["ear_status"], "contraindicated");
        assert_eq!(ear["submods"]["device"]["ear_trustworthiness_vector"]["hardware"], 99);
    }

    #[test]
    fn what_is_no_recorded_appraisal_makes_no_ear() {
        assert!(Ear::of_record(&Value::Null).is_none());
        for member in ["policy", "tier", "trust_vector", "appraised_at"] {
            let mut record = recorded();
            record.as_object_mut().unwrap().remove(member);
            assert!(Ear::of_record(&record).is_none(), "{member}");
        }
        let mut record = recorded();
        record["tier"] = "trusted".into();
        assert!(Ear::of_record(&record).is_none());
    }
}
