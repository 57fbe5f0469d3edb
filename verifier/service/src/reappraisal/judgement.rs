//! How one instance stands under the policy, roots and status list of today.

use countersign_core::cbor::CborError;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::InstanceId;
use countersign_verifier::enrolment::{PlatformKey, Signals, Trustworthiness};
use countersign_verifier::evidence::recorded::{self, TrustData};
use countersign_verifier::evidence::{EvidenceError, RecordedEvidence};
use countersign_verifier::policy::{Appraisal, Circumstances, Enforcement};
use serde_json::{Value, json};

use crate::store::{
    Decision, DevelopmentKeyRefusal, InstanceRecord, Reference, Settlement, Standing, StoredEvidence,
};
use crate::trust::Trust;

/// Why an instance is withdrawn whose record cannot be read.
const UNREADABLE: &str = "record_unreadable";

/// What an instance is judged by.
pub(super) struct Case<'a> {
    /// The instance.
    pub(super) record: &'a InstanceRecord,
    /// Its evidence.
    pub(super) evidence: &'a [StoredEvidence],
    /// What is known beside it.
    pub(super) signals: Signals<'a>,
    /// The development key that vouched for it, or why that does so no more.
    pub(super) development_key: Option<Result<PublicKey, DevelopmentKeyRefusal>>,
}

/// What is found of the evidence.
struct Found {
    standing: Standing,
    appraisal: Value,
}

/// Judges an instance by the evidence that is kept of it.
pub(super) fn judge(
    case: &Case<'_>,
    trust: &Trust,
    now: Timestamp,
    reference: impl Fn() -> Option<Reference>,
) -> Settlement {
    let record = case.record;
    let Found { standing, appraisal } = find(case, trust, now);
    let verdict = change(record, &standing);
    let reasons = match (&standing, &record.withdrawn) {
        (Standing::Withdrawn { reasons }, _) => reasons.clone(),
        (_, Some(withdrawal)) => withdrawal.reasons.clone(),
        (_, None) => objections(&appraisal),
    };
    let decision = verdict.zip(reference()).map(|(verdict, reference)| Decision {
        reference,
        time: now,
        client_id: Some(record.registered.client_id.clone()),
        instance: Some(record.registered.id),
        verdict: verdict.to_owned(),
        reasons,
        claims: Value::Null,
        appraisal,
    });
    Settlement { instance: record.registered.id, revision: record.revision, standing, decision }
}

/// The withdrawal of an instance of which something that is stored cannot be read.
pub(super) fn unreadable(
    record: &InstanceRecord,
    now: Timestamp,
    reference: impl Fn() -> Option<Reference>,
) -> Settlement {
    let standing = Standing::Withdrawn { reasons: vec![UNREADABLE.to_owned()] };
    let (id, client_id) = (record.registered.id, record.registered.client_id.clone());
    let changed = change(record, &standing).and_then(|_| reference());
    let decision = changed.map(|reference| withdrawal_of_unreadable(id, Some(client_id), now, reference));
    Settlement { instance: id, revision: record.revision, standing, decision }
}

/// The audit record of such a withdrawal.
pub(super) fn withdrawal_of_unreadable(
    id: InstanceId,
    client_id: Option<String>,
    now: Timestamp,
    reference: Reference,
) -> Decision {
    Decision {
        reference,
        time: now,
        client_id,
        instance: Some(id),
        verdict: "withdrawn".to_owned(),
        reasons: vec![UNREADABLE.to_owned()],
        claims: Value::Null,
        appraisal: Value::Null,
    }
}

/// The verdict for the audit record, if anything changed.
fn change(record: &InstanceRecord, standing: &Standing) -> Option<&'static str> {
    match (standing, &record.withdrawn) {
        (Standing::Withdrawn { .. }, None) => Some("withdrawn"),
        (Standing::Stands { .. }, Some(_)) => Some("restored"),
        (Standing::Stands { tier, .. }, None) if *tier < record.registered.trustworthiness.tier => {
            Some("lowered")
        }
        (Standing::Stands { tier, .. }, None) if *tier > record.registered.trustworthiness.tier => {
            Some("raised")
        }
        _ => None,
    }
}

fn find(case: &Case<'_>, trust: &Trust, now: Timestamp) -> Found {
    let Case { record, evidence, signals, development_key } = case;
    let withdrawn = |reason: &str| Found {
        standing: Standing::Withdrawn { reasons: vec![reason.to_owned()] },
        appraisal: Value::Null,
    };
    let pieces: Result<Vec<RecordedEvidence>, CborError> =
        evidence.iter().map(|stored| stored.recorded.clone()).collect();
    let pieces = match pieces {
        Ok(pieces) => pieces,
        // What cannot be read cannot be verified.
        Err(error) => return withdrawn(error.reason()),
    };
    let development_key = match development_key {
        Some(Err(refusal)) => return withdrawn(refusal.reason()),
        Some(Ok(key)) => Some(*key),
        None => None,
    };
    let data = TrustData {
        anchors: &trust.anchors,
        revocation: trust.revocation.as_ref(),
        development_keys: &|_| development_key,
    };
    let set = match recorded::verify_all(&pieces, &data) {
        Ok(Some(set)) => set,
        Ok(None) => return Found { standing: Standing::Unknown, appraisal: Value::Null },
        Err(error) => return withdrawn(EvidenceError::reason(error)),
    };
    // What vouches for the instance says what it continued; what it reported last counts.
    let primary = pieces.iter().zip(evidence.iter()).find(|(piece, _)| piece.vouches_alone());
    let latest = pieces.iter().zip(evidence.iter()).max_by_key(|(piece, _)| piece.verified_at());
    let circumstances = Circumstances {
        environment: latest.map(|(_, stored)| stored.circumstances.environment()).unwrap_or_default(),
        app_version: &record.app_version,
        history: primary.and_then(|(_, stored)| stored.circumstances.history.as_ref()),
        instances_of_certificate: signals.instances_of_certificate,
        risk_metric: signals.risk_metric,
        key_attested_before: record.registered.platform_key == PlatformKey::AndroidKey,
        play_integrity_unreachable: false,
        revocation_as_of: signals.revocation_as_of,
        cohort_key: Some(*record.registered.instance_key.thumbprint().as_bytes()),
    };
    let appraisal = trust.policy.appraise(&record.registered.client_id, &set, &circumstances, now);
    let standing = match Trustworthiness::of(&appraisal) {
        None => Standing::Withdrawn { reasons: decisive(&appraisal) },
        Some(found) => {
            let known = &record.registered;
            let vouches = primary.is_some() || known.platform_key == PlatformKey::PlayIntegrity;
            // Where nothing is kept of what vouches for the instance, the rest can only lower what that was worth.
            let found = if vouches { found } else { found.limited_by(&known.trustworthiness) };
            let Trustworthiness { tier, trust_vector, labels } = found;
            Standing::Stands { tier, trust_vector, labels }
        }
    };
    Found { standing, appraisal: json!(appraisal) }
}

/// The required constraints that do not hold.
fn decisive(appraisal: &Appraisal) -> Vec<String> {
    let required = appraisal.objections().filter(|outcome| outcome.enforcement == Enforcement::Require);
    required.map(|outcome| outcome.constraint.label().to_owned()).collect()
}

/// The labels of what speaks against it, out of an appraisal as it is recorded.
fn objections(appraisal: &Value) -> Vec<String> {
    let outcomes = appraisal.get("outcomes").and_then(Value::as_array).into_iter().flatten();
    outcomes
        .filter(|outcome| outcome["satisfied"] == false && outcome["enforcement"] != "ignore")
        .filter_map(|outcome| Some(outcome["constraint"].as_str()?.to_owned()))
        .collect()
}
