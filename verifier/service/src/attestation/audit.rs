//! What is recorded of a decision: why, what the evidence said, and the evidence of a refusal itself.

use std::net::IpAddr;

use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;
use countersign_verifier::chain::ChainError;
use countersign_verifier::enrolment::{
    Admission, AuthenticEnrolment, DecodedToken, EnrolmentError, RegisteredInstance, Signals,
    VerifiedEnrolment,
};
use countersign_verifier::evidence::EvidenceError;
use countersign_verifier::policy::{Appraisal, Constraint, Enforcement};
use serde_json::{Value, json};

use super::cause::{Cause, Denial};
use super::{fresh_reference, tier_name};
use crate::receipts::NewReceipt;
use crate::service::Service;
use crate::store::{Decision, RecordedCircumstances, RefusedEvidence};

/// The signal that one attestation certificate vouches for more instances than the policy's `attestation-key-sharing`
/// takes for usual; the policy says too what is done about it.
const ATTESTATION_CERTIFICATE_MANY_INSTANCES: &str = "attestation_certificate_many_instances";
/// Largest part of verified claims that an audit record keeps, in bytes.
const MAX_CLAIMS: usize = 16 * 1024;

/// What is known of the envelope, for the audit record of a refusal.
#[derive(Default)]
pub(super) struct Known {
    pub(super) client_id: Option<String>,
    pub(super) instance: Option<InstanceId>,
    /// Whether the envelope is signed: only then is a refusal recorded, so that noise does not fill the disk.
    pub(super) authentic: bool,
    pub(super) reasons: Vec<String>,
    pub(super) claims: Value,
    pub(super) appraisal: Value,
    /// What the service knows beside envelope and registry.
    pub(super) signals: Signals<'static>,
    /// What became of the Play Integrity token, once that is settled.
    pub(super) play_integrity: Option<DecodedToken>,
    /// The receipt of a new App Attest key.
    pub(super) receipt: Option<NewReceipt>,
    /// The evidence, to be kept with the refusal.
    pub(super) evidence: Option<RefusedEvidence>,
}

impl Known {
    /// The audit record of an admission.
    pub(super) fn granted(&mut self, admission: &Admission, now: Timestamp) -> Result<Decision, Cause> {
        Ok(Decision {
            reference: fresh_reference().ok_or(Cause::Unable)?,
            time: now,
            client_id: Some(admission.client_id().to_owned()),
            instance: None,
            verdict: tier_name(admission.tier()).to_owned(),
            reasons: reasons_of(admission.appraisal()),
            claims: std::mem::take(&mut self.claims),
            appraisal: json!(admission.appraisal()),
        })
    }
}

impl Service {
    /// Records a refusal, as far as the bound on such records allows.
    pub(super) async fn denied(&self, cause: Cause, known: Known, source: IpAddr, now: Timestamp) -> Denial {
        let Known { client_id, instance, authentic, mut reasons, claims, appraisal, evidence, .. } = known;
        if reasons.is_empty() {
            reasons.push(cause.reason().to_owned());
        }
        let recorded = authentic && !matches!(cause, Cause::Store(_));
        if recorded && !self.refusals.spend(source, now) {
            // A reference would lead to nothing.
            self.metrics.refusal_not_recorded();
            match self.refusal_lines.spend(Some(source), now) {
                Some(unwritten) => tracing::info!(reasons = reasons.join(","), unwritten, "refused"),
                None => tracing::debug!(reasons = reasons.join(","), "refused"),
            }
            return Denial { reference: None, cause };
        }
        let Some(reference) = fresh_reference() else {
            return Denial { reference: None, cause };
        };
        if recorded {
            tracing::info!(%reference, reasons = reasons.join(","), "refused");
        } else {
            // Nobody signed it, so anybody may send it, as often as he likes: beyond the bound, only whoever asks for
            // more than the usual log reads of it.
            match self.refusal_lines.spend(Some(source), now) {
                Some(unwritten) => {
                    tracing::info!(%reference, reasons = reasons.join(","), unwritten, "refused")
                }
                None => tracing::debug!(%reference, reasons = reasons.join(","), "refused"),
            }
        }
        if recorded {
            let verdict = "refused".to_owned();
            let decision =
                Decision { reference, time: now, client_id, instance, verdict, reasons, claims, appraisal };
            let done = match evidence.filter(|_| may_be_tried_again(&cause)) {
                Some(evidence) => self.store.record_with_evidence(&decision, &evidence).await,
                None => self.store.record(&decision).await,
            };
            if let Err(error) = done {
                self.metrics.store_error(error.reason());
                tracing::error!(%error, %reference, "a refusal could not be recorded");
            }
        }
        Denial { reference: Some(reference), cause }
    }

    /// Counts what speaks against a device, whether it is refused or not.
    pub(super) fn count_objections(&self, appraisal: &Appraisal) {
        for outcome in appraisal.objections() {
            self.metrics.objection(outcome.constraint.label());
            if outcome.constraint == Constraint::AttestationKeySharing {
                self.metrics.anomaly(ATTESTATION_CERTIFICATE_MANY_INSTANCES, "");
            }
        }
    }
}

/// Whether another policy, or another status list, could decide otherwise: then the evidence is kept.
const fn may_be_tried_again(cause: &Cause) -> bool {
    match cause {
        Cause::Policy | Cause::RevocationListTooOld => true,
        Cause::Enrolment(EnrolmentError::Evidence(error)) => {
            matches!(error, EvidenceError::Revoked { .. } | EvidenceError::Chain(ChainError::UnknownRoot))
        }
        _ => false,
    }
}

/// The evidence of an authentic envelope, should it be refused.
pub(super) fn refused_evidence(
    authentic: &AuthenticEnrolment<'_>,
    registered: Option<&RegisteredInstance>,
    at: Timestamp,
) -> Option<RefusedEvidence> {
    let enrolment = authentic.enrolment();
    let recorded = authentic.recorded_evidence(at).ok().filter(|recorded| !recorded.is_empty())?;
    let circumstances = RecordedCircumstances {
        environment: enrolment.environment,
        app_version: enrolment.app_version.clone(),
        history: registered.map(|registered| registered.history.clone()),
        instance_jkt: Some(enrolment.instance_key.thumbprint().to_base64url()),
    };
    Some(RefusedEvidence { recorded, circumstances })
}

/// Whether the age of the status list is all that the refusal is for.
pub(super) fn only_the_list_is_old(appraisal: &Appraisal) -> bool {
    let mut required = appraisal
        .objections()
        .filter(|outcome| outcome.enforcement == Enforcement::Require)
        .map(|outcome| outcome.constraint)
        .peekable();
    required.peek().is_some() && required.all(|constraint| constraint == Constraint::RevocationFresh)
}

/// The constraints that speak against it.
pub(super) fn reasons_of(appraisal: &Appraisal) -> Vec<String> {
    appraisal.objections().map(|outcome| outcome.constraint.label().to_owned()).collect()
}

/// What the evidence says, for the audit record. The receipt would let its holder ask Apple about the device.
pub(super) fn claims_of(verified: &VerifiedEnrolment<'_>) -> Value {
    let Some(evidence) = verified.evidence() else { return Value::Null };
    let mut claims = json!(evidence);
    if let Some(app_attest) = claims.pointer_mut("/primary/claims/app-attest").and_then(Value::as_object_mut)
    {
        app_attest.remove("receipt");
    }
    if claims.to_string().len() > MAX_CLAIMS {
        json!({ "kind": evidence.primary().kind().name() })
    } else {
        claims
    }
}
