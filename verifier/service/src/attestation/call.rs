//! One enrolment or renewal under way, in the order of protocol section 5.

use std::sync::Arc;

use countersign_core::challenge::Challenge;
use countersign_core::enrolment::{DecodedEnrolment, EnrolmentAnswer, Evidence};
use countersign_core::time::Timestamp;
use countersign_core::token::result::{InstanceId, Tier};
use countersign_verifier::crypto::sha256;
use countersign_verifier::enrolment::{
    Admission, AuthenticEnrolment, CHALLENGE_LIFETIME, DecodeFailure, DecodedToken, EnrolmentError,
    OfflineEnrolment, Signals, Verdict,
};
use serde_json::json;

use super::audit::{Known, claims_of, only_the_list_is_old, reasons_of, refused_evidence};
use super::cause::Cause;
use super::fresh;
use super::registry::{Registry, attestation_key, counter, development_key_id, with_counter};
use crate::receipts::NewReceipt;
use crate::service::Service;
use crate::store::{Commit, CommitError, Committed, ConsumedChallenge, InstanceChange};
use crate::trust::Trust;

/// How often a call is judged again whose attestation key came to be shared by more meanwhile.
const JUDGED_AGAIN: u8 = 2;

/// One call under way.
pub(super) struct Call<'a> {
    pub(super) service: &'a Service,
    pub(super) trust: &'a Arc<Trust>,
    pub(super) body: &'a [u8],
    /// The instance in the path, for a renewal.
    pub(super) addressed: Option<InstanceId>,
    pub(super) now: Timestamp,
}

/// What a call is to be answered with, once it is on the disk.
pub(super) struct Judged {
    pub(super) admission: Box<Admission>,
    challenge: Challenge,
    request: [u8; 32],
    change: InstanceChange,
    /// What the same request came to before.
    repeated: Option<ConsumedChallenge>,
    /// How many instances were said to share the attestation key.
    sharing: Option<u32>,
}

impl Call<'_> {
    /// Decides, and commits what was decided before it is answered.
    pub(super) async fn answer(&self, known: &mut Known) -> Result<(EnrolmentAnswer, Tier), Cause> {
        let judged = self.judged(known).await?;
        self.conclude(judged, JUDGED_AGAIN, known).await
    }

    /// Commits, and issues. What was judged before another instance came to share its attestation key is judged again,
    /// at most `again` times.
    pub(super) async fn conclude(
        &self,
        mut judged: Judged,
        mut again: u8,
        known: &mut Known,
    ) -> Result<(EnrolmentAnswer, Tier), Cause> {
        let service = self.service;
        // 9. One transaction.
        let (instance, issued_at) = loop {
            match self.commit(&judged, known).await? {
                Err(CommitError::AttestationKeySharedMore) if again > 0 => {
                    again -= 1;
                    judged = self.judged(known).await?;
                }
                done => break done?,
            }
        };
        let admission = &judged.admission;
        service.count_objections(admission.appraisal());
        if judged.repeated.is_none() {
            service.count_observed(admission.appraisal());
        }
        // What came into force while this was judged may have withdrawn the instance, and this has lifted that: it is
        // judged again at once, and not when somebody looks for the next time.
        if self.trust.generation() != service.trust.load().generation() {
            service.reappraisal.wake();
        }
        // After the transaction, and before anybody is answered: a repeated request keeps it if this one could not.
        if let Some(receipt) = known.receipt.take() {
            service.store.keep_receipt(&receipt.for_instance(instance)).await?;
        }
        // 10. Issue.
        Ok((service.issue(admission, instance, issued_at, self.now)?, admission.tier()))
    }

    /// The instance that is on the disk, and since when.
    async fn commit(
        &self,
        judged: &Judged,
        known: &mut Known,
    ) -> Result<Result<(InstanceId, Timestamp), CommitError>, Cause> {
        if let Some(consumed) = &judged.repeated {
            return Ok(Ok((consumed.instance, consumed.committed)));
        }
        let decision = known.granted(&judged.admission, self.now)?;
        let commit = Commit {
            challenge: &judged.challenge,
            challenge_expires: judged.challenge.issued_at().plus(CHALLENGE_LIFETIME + 1),
            request: judged.request,
            change: judged.change,
            admission: &judged.admission,
            sharing: judged.sharing,
            generation: self.trust.generation(),
            decision: &decision,
            now: self.now,
        };
        Ok(self.service.store.commit(&commit).await.map(|committed| match committed {
            Committed::Done(instance) => (instance, self.now),
            Committed::Repeated(consumed) => (consumed.instance, consumed.committed),
        }))
    }

    /// Steps 1 to 8, by what the registry says now.
    pub(super) async fn judged(&self, known: &mut Known) -> Result<Judged, Cause> {
        let (service, now) = (self.service, self.now);
        // 1. Caps: the listener has bounded the body. 2. Decode.
        let decoded = DecodedEnrolment::decode(self.body)
            .map_err(|error| Cause::Enrolment(EnrolmentError::Encoding(error)))?;
        let envelope = &decoded.enrolment;
        if envelope.instance != self.addressed {
            return Err(Cause::Enrolment(EnrolmentError::InstanceMismatch));
        }
        known.client_id = Some(envelope.client_id.clone());
        known.instance = envelope.instance;
        // 3. Challenge: ours and fresh, before anything is looked up for whoever sent this.
        let challenge = envelope.challenge;
        service
            .keys
            .challenges
            .verify(&challenge, service.challenge_scope(), CHALLENGE_LIFETIME, now)
            .map_err(|error| Cause::Enrolment(EnrolmentError::Challenge(error)))?;
        let request = sha256(self.body);
        // Before the instance, which is there whenever its challenge is used: both are committed at once.
        let consumed = service.store.consumed(&challenge).await?;
        let used = consumed.is_some();
        let record = match envelope.instance {
            Some(id) => service.store.instance(&id).await?,
            None => service.store.instance_of_key(&envelope.client_id, &envelope.instance_key).await?,
        };
        // Of an instance that was erased meanwhile nothing is answered again.
        let known_as = record.as_ref().map(|record| record.registered.id);
        let repeated =
            consumed.filter(|consumed| consumed.request == request && Some(consumed.instance) == known_as);
        let record = match record {
            // What changed in the world since counts before anything is decided for the instance.
            Some(record)
                if envelope.instance.is_some()
                    && record.generation != self.trust.generation().as_bytes().as_slice() =>
            {
                service.reappraise(self.trust, record).await?
            }
            record => record,
        };
        known.signals = service.signals(self.trust, record.as_ref()).await?;
        let development_key = match development_key_id(envelope) {
            Some(key_id) => service.store.development_key(key_id).await?,
            None => None,
        };
        let banned = record.as_ref().is_some_and(|record| record.banned);
        // Fresh evidence that vouches by itself may lift a withdrawal; an answer given before it is not given again.
        let vouches = !envelope.evidence.is_empty()
            && !envelope.evidence.iter().any(|one| matches!(one, Evidence::AppAttestAssertion { .. }));
        let withdrawn = record
            .as_ref()
            .and_then(|record| record.withdrawn.clone())
            .filter(|_| repeated.is_some() || !vouches);
        let holder = record.map(|record| record.registered);
        let history = holder.as_ref().map(|holder| holder.history.clone());
        let registered = holder.filter(|_| envelope.instance.is_some());
        // The same request again is judged as it was judged the first time, and its answer lives no longer than the
        // first one would have.
        let judged_at = repeated.as_ref().map_or(now, |consumed| consumed.committed);
        let previous_counter = repeated.as_ref().and_then(|consumed| consumed.previous_counter);
        let registered = registered.map(|registered| with_counter(registered, previous_counter));
        let asserts = envelope.evidence.iter().any(|one| matches!(one, Evidence::AppAttestAssertion { .. }));

        if let Some(key) = attestation_key(envelope) {
            let instances = service.store.instances_of_attestation_key(&key, known_as.as_ref()).await?;
            known.signals.instances_of_certificate = Some(instances);
        }
        let sharing = known.signals.instances_of_certificate;
        let registry = Registry {
            registered: registered.as_ref(),
            history: history.as_ref(),
            banned,
            withdrawn: withdrawn.as_ref(),
            used_by_another: used && repeated.is_none(),
            development_key: development_key.as_ref(),
        };
        let admission = self.judge(decoded, &registry, judged_at, known).await?;
        let change = match &registered {
            Some(registered) => InstanceChange::Renew {
                id: registered.id,
                previous_counter: counter(registered).filter(|_| asserts),
            },
            None => InstanceChange::Enrol(InstanceId::from_bytes(fresh().ok_or(Cause::Unable)?)),
        };
        Ok(Judged { admission, challenge, request, change, repeated, sharing })
    }

    /// The steps that need no database.
    async fn judge(
        &self,
        decoded: DecodedEnrolment<'_>,
        registry: &Registry<'_>,
        judged_at: Timestamp,
        known: &mut Known,
    ) -> Result<Box<Admission>, Cause> {
        let offline = {
            // 4. Envelope signature, 5. session possession (and once more issuer and challenge).
            let development_key = |key_id: &str| {
                registry.development_key.filter(|key| key.id == key_id).map(|key| key.public_key)
            };
            let checks = self.service.checks(self.trust, &development_key);
            let authentic = AuthenticEnrolment::verify(decoded, registry.registered, &checks, judged_at)?;
            known.authentic = true;
            // 6. Ban, and withdrawal.
            if registry.banned {
                return Err(Cause::Banned);
            }
            if let Some(withdrawal) = registry.withdrawn {
                known.reasons = std::iter::once(Cause::Withdrawn.reason().to_owned())
                    .chain(withdrawal.reasons.iter().cloned())
                    .collect();
                return Err(Cause::Withdrawn);
            }
            if registry.used_by_another {
                return Err(Cause::ChallengeUsed);
            }
            // Roots that nobody vouches for any more verify nothing, and no request that was answered before either.
            if self.trust.bundle_has_expired(self.now) {
                return Err(Cause::TrustBundleExpired);
            }
            // Whoever vouches must still do so, and by the clock of now, also for a request that was answered before.
            registry.check_development_key(authentic.enrolment(), self.now)?;
            known.evidence = refused_evidence(&authentic, registry.registered, judged_at);
            // 7. Evidence, offline, and only then Google's word.
            authentic.verify_evidence(&checks, judged_at)?
        };
        // Google may say less of a token that it is asked about twice.
        let payload = match known.play_integrity.take() {
            Some(decoded) => decoded,
            None => self.decode_play_integrity(&offline).await,
        };
        known.play_integrity = Some(payload.clone());
        let verified = offline.complete(payload, judged_at)?;
        known.claims = claims_of(&verified);
        if self.service.settings.app_attest.is_some() {
            known.receipt = NewReceipt::of(&verified, judged_at);
        }
        // 8. Appraise.
        let signals = Signals { history: registry.history, ..known.signals };
        match verified.appraise(&self.trust.policy, signals, judged_at) {
            Verdict::Admitted(admission) => Ok(admission),
            Verdict::Refused(appraisal) => {
                self.service.count_objections(&appraisal);
                known.reasons = reasons_of(&appraisal);
                known.appraisal = json!(appraisal);
                Err(if only_the_list_is_old(&appraisal) {
                    Cause::RevocationListTooOld
                } else {
                    Cause::Policy
                })
            }
        }
    }

    /// What became of the Play Integrity token, if one came: opened with the console's keys, or decoded by Google.
    async fn decode_play_integrity(&self, offline: &OfflineEnrolment<'_>) -> DecodedToken {
        let token = offline.play_integrity_token().ok_or(DecodeFailure::NotAsked)?;
        let app = self.trust.policy.app(&offline.enrolment().client_id).ok_or(DecodeFailure::NotAsked)?;
        let packages = app.android.iter().map(|android| android.package.as_str());
        self.service.play_integrity.decode(packages, token, self.now).await
    }
}
