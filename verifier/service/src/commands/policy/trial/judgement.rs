//! One case under both policies.

use std::collections::BTreeMap;

use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_verifier::evidence::recorded::{TrustData, verify_all};
use countersign_verifier::evidence::{Claims, EvidenceSet, Platform, RecordedEvidence};
use countersign_verifier::policy::{Circumstances, Enforcement, Tier};

use super::case::{Case, Origin, Skipped};
use crate::store::DevelopmentKeyRecord;
use crate::trust::Trust;

/// The policy in force and the one that is tried, with what evidence is verified against.
pub(super) struct Judge {
    present: Trust,
    new: Trust,
    /// Whether both policies trust the same roots, so that evidence is verified once.
    same_roots: bool,
    development_keys: BTreeMap<String, DevelopmentKeyRecord>,
    now: Timestamp,
}

/// What a policy says of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) tier: Tier,
    /// What decided the tier: labels of constraints, or why the evidence cannot be verified.
    pub(super) reasons: Vec<&'static str>,
}

/// A case with both verdicts, and what it is counted by.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    pub(super) origin: Origin,
    pub(super) client_id: String,
    pub(super) platform: &'static str,
    pub(super) system: String,
    pub(super) app_version: String,
    /// Age of the evidence in seconds.
    pub(super) age: u64,
    pub(super) present: Verdict,
    pub(super) new: Verdict,
}

impl Judge {
    pub(super) fn new(
        present: Trust,
        new: Trust,
        development_keys: Vec<DevelopmentKeyRecord>,
        now: Timestamp,
    ) -> Self {
        let (own, other) = (present.policy.danger(), new.policy.danger());
        let same_roots = own.app_attest_roots == other.app_attest_roots
            && own.android_key_roots == other.android_key_roots;
        let development_keys = development_keys.into_iter().map(|key| (key.id.clone(), key)).collect();
        Self { present, new, same_roots, development_keys, now }
    }

    pub(super) fn present_policy(&self) -> &str {
        self.present.policy.id()
    }

    pub(super) fn new_policy(&self) -> &str {
        self.new.policy.id()
    }

    /// What both policies say of a case now.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub(super) fn compare(&self, case: &Case) -> Result<Comparison, Skipped> {
        let in_cohorts =
            |trust: &Trust| trust.policy.app(&case.client_id).is_some_and(|app| !app.cohorts.is_empty());
        if case.cohort_key.is_none() && (in_cohorts(&self.present) || in_cohorts(&self.new)) {
            let reason = "the refusal was recorded without what its cohort follows from";
            return Err(Skipped { origin: case.origin.clone(), reason });
        }
        Ok(self.compared(case))
    }

    fn compared(&self, case: &Case) -> Comparison {
        let verified = self.verify(case, &self.present);
        let verified_anew = if self.same_roots { verified.clone() } else { self.verify(case, &self.new) };
        let present = self.appraise(case, &self.present, &verified);
        let new = self.appraise(case, &self.new, &verified_anew);
        let known = verified.as_ref().or(verified_anew.as_ref()).ok();
        let version = case.circumstances.app_version.as_str();
        let latest = case.pieces.iter().map(RecordedEvidence::verified_at).max().unwrap_or(self.now);
        Comparison {
            origin: case.origin.clone(),
            client_id: case.client_id.clone(),
            platform: known.map_or("not verified", |set| platform(set.platform())),
            system: known.map_or_else(|| "not verified".to_owned(), system),
            app_version: if version.is_empty() { "not told".to_owned() } else { version.to_owned() },
            age: self.now.seconds_since(latest),
            present,
            new,
        }
    }

    /// As of when the evidence came, under the roots of a policy and the status list of today.
    fn verify(&self, case: &Case, trust: &Trust) -> Result<EvidenceSet, &'static str> {
        let data = TrustData {
            anchors: &trust.anchors,
            // The policy that is tried is tried with the status list that is in force.
            revocation: self.present.revocation.as_ref(),
            development_keys: &|key_id| self.development_key(key_id, &case.client_id),
        };
        match verify_all(&case.pieces, &data) {
            Ok(Some(set)) => Ok(set),
            Ok(None) => Err("no_evidence"),
            Err(error) => Err(error.reason()),
        }
    }

    fn appraise(&self, case: &Case, trust: &Trust, verified: &Result<EvidenceSet, &'static str>) -> Verdict {
        let evidence = match verified {
            Ok(evidence) => evidence,
            Err(reason) => return Verdict { tier: Tier::Contraindicated, reasons: vec![*reason] },
        };
        let circumstances = Circumstances {
            environment: case.circumstances.environment(),
            app_version: &case.circumstances.app_version,
            history: case.circumstances.history.as_ref(),
            instances_of_certificate: case.signals.instances_of_certificate,
            risk_metric: case.signals.risk_metric,
            cohort_key: case.cohort_key,
            ..Circumstances::default()
        };
        let appraisal = trust.policy.appraise(&case.client_id, evidence, &circumstances, self.now);
        let tier = appraisal.tier();
        let decides = |enforcement: Enforcement| match tier {
            Tier::Contraindicated => enforcement == Enforcement::Require,
            _ => enforcement != Enforcement::Ignore,
        };
        let mut reasons: Vec<_> = appraisal
            .objections()
            .filter(|outcome| decides(outcome.enforcement))
            .map(|outcome| outcome.constraint.label())
            .collect();
        reasons.dedup();
        if reasons.is_empty() && tier == Tier::Warning {
            reasons.push("observed");
        }
        Verdict { tier, reasons }
    }

    fn development_key(&self, key_id: &str, client_id: &str) -> Option<PublicKey> {
        let key = self.development_keys.get(key_id)?;
        key.vouches_for(client_id, self.now).is_ok().then_some(key.public_key)
    }
}

const fn platform(platform: Platform) -> &'static str {
    match platform {
        Platform::Apple => "Apple",
        Platform::Android => "Android",
        _ => "development",
    }
}

/// The system's version, as the evidence tells it.
fn system(set: &EvidenceSet) -> String {
    let told = set.all().find_map(|evidence| match evidence.claims() {
        Claims::AndroidKey(claims) => {
            claims.hardware_enforced.os_version.map(|version| format!("Android {}", version / 10_000))
        }
        Claims::AppAttest(claims) => claims.os_version.as_ref().map(|version| format!("Apple {version}")),
        _ => None,
    });
    told.unwrap_or_else(|| format!("{}, not told", platform(set.platform())))
}
