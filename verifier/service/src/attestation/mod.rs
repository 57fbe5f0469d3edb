//! Enrolment and renewal: from an envelope to an answer, in the order of protocol section 5.

#[cfg(test)]
mod continuity_tests;
#[cfg(test)]
mod development_key_tests;
mod observed;
mod record_budget;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use countersign_core::enrolment::{Cure, DecodedEnrolment, Enrolment, EnrolmentAnswer, Evidence};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::{InstanceId, Tier};
use countersign_verifier::chain::ChainError;
use countersign_verifier::crypto::sha256;
use countersign_verifier::enrolment::{
    self, Admission, AuthenticEnrolment, CHALLENGE_LIFETIME, DecodeFailure, DecodedToken, EnrolmentError,
    OfflineEnrolment, PlatformKey, RegisteredInstance, Signals, Verdict, VerifiedEnrolment,
};
use countersign_verifier::evidence::EvidenceError;
use countersign_verifier::evidence::android_key::unverified_attestation_key;
use countersign_verifier::issue::{AttestationResult, Issuer, Lifetimes};
use countersign_verifier::policy::{Appraisal, Constraint, Enforcement, History};
use countersign_verifier::revocation::RevocationList;
use serde_json::{Value, json};

pub(crate) use record_budget::RecordBudget;

use crate::receipts::NewReceipt;
use crate::service::Service;
use crate::store::{
    Commit, CommitError, Committed, Decision, DevelopmentKeyRecord, DevelopmentKeyRefusal, InstanceChange,
    InstanceRecord, RecordedCircumstances, Reference, RefusedEvidence, StoreError, Withdrawal,
};
use crate::trust::Trust;

/// Largest part of verified claims that an audit record keeps, in bytes.
const MAX_CLAIMS: usize = 16 * 1024;

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
    /// Another request used the challenge.
    ChallengeUsed,
    /// The same request was answered before, and that answer is no longer good.
    AnswerExpired,
    /// Another renewal with this or a later assertion came first.
    CounterNotAbove,
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
            Self::ChallengeUsed => "challenge_used",
            Self::AnswerExpired => "answer_expired",
            Self::CounterNotAbove => "assertion_counter_not_above",
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
            | Self::Store(_)
            | Self::Unable => Some(Cure::Retry),
            Self::Withdrawn => Some(Cure::ReEnrol),
            Self::Banned | Self::Policy | Self::DevelopmentKey(_) | Self::DevelopmentKeyMissing => None,
        }
    }
}

/// One call under way.
struct Call<'a> {
    service: &'a Service,
    trust: &'a Arc<Trust>,
    body: &'a [u8],
    /// The instance in the path, for a renewal.
    addressed: Option<InstanceId>,
    now: Timestamp,
}

/// What the registry knows about a call.
struct Registry<'a> {
    /// The instance that is to be renewed.
    registered: Option<&'a RegisteredInstance>,
    /// What was seen of that instance, or of the one that holds the key that enrols.
    history: Option<&'a History>,
    /// Whether the instance is banned, or the one that holds the key that enrols.
    banned: bool,
    /// That it is withdrawn, where the call brings nothing that could lift that.
    withdrawn: Option<&'a Withdrawal>,
    /// Whether another request used the challenge.
    used_by_another: bool,
    /// The development key that the evidence names.
    development_key: Option<&'a DevelopmentKeyRecord>,
}

impl Registry<'_> {
    /// A development key vouches as long as it is good, and at each renewal anew: an instance does not outlive it.
    fn check_development_key(&self, enrolment: &Enrolment, now: Timestamp) -> Result<(), Cause> {
        let of_developer =
            |registered: &RegisteredInstance| registered.platform_key == PlatformKey::DevelopmentKey;
        match (development_key_id(enrolment), self.development_key) {
            (Some(_), Some(key)) => key.vouches_for(&enrolment.client_id, now).map_err(Cause::DevelopmentKey),
            (None, _) if self.registered.is_some_and(of_developer) && enrolment.evidence.is_empty() => {
                Err(Cause::DevelopmentKeyMissing)
            }
            // One that nobody registered is refused with the evidence.
            _ => Ok(()),
        }
    }
}

/// The attestation key that an envelope's Android evidence says to be signed with.
fn attestation_key(enrolment: &Enrolment) -> Option<[u8; 32]> {
    enrolment.evidence.iter().find_map(|evidence| match evidence {
        Evidence::AndroidKey { chain } => unverified_attestation_key(chain),
        _ => None,
    })
}

/// The development key that an envelope names.
fn development_key_id(enrolment: &Enrolment) -> Option<&str> {
    enrolment.evidence.iter().find_map(|evidence| match evidence {
        Evidence::DevelopmentKey { key_id, .. } => Some(key_id.as_str()),
        _ => None,
    })
}

/// What is known of the envelope, for the audit record of a refusal.
#[derive(Default)]
struct Known {
    client_id: Option<String>,
    instance: Option<InstanceId>,
    /// Whether the envelope is signed: only then is a refusal recorded, so that noise does not fill the disk.
    authentic: bool,
    reasons: Vec<String>,
    claims: Value,
    appraisal: Value,
    /// What the service knows beside envelope and registry.
    signals: Signals<'static>,
    /// The receipt of a new App Attest key.
    receipt: Option<NewReceipt>,
    /// The evidence, to be kept with the refusal.
    evidence: Option<RefusedEvidence>,
}

impl Service {
    /// Enrols, or renews `addressed`, for a device that calls from `source`.
    pub(crate) async fn attest_from(
        &self,
        source: IpAddr,
        addressed: Option<InstanceId>,
        body: &[u8],
    ) -> Result<EnrolmentAnswer, Denial> {
        let trust = self.trust.load_full();
        let call = Call { service: self, trust: &trust, body, addressed, now: self.clock.now() };
        let mut known = Known::default();
        let purpose = if addressed.is_some() { "renew" } else { "enrol" };
        match call.answer(&mut known).await {
            Ok((answer, tier)) => {
                self.metrics.appraisal(purpose, tier_name(tier), "ok");
                Ok(answer)
            }
            Err(cause) => {
                self.metrics.appraisal(purpose, "refused", cause.reason());
                if let Cause::Store(error) = &cause {
                    self.metrics.store_error(error.reason());
                    tracing::error!(%error, "an enrolment or renewal could not be stored");
                }
                Err(self.denied(cause, known, source, call.now).await)
            }
        }
    }

    async fn denied(&self, cause: Cause, known: Known, source: IpAddr, now: Timestamp) -> Denial {
        let Known { client_id, instance, authentic, mut reasons, claims, appraisal, evidence, .. } = known;
        if reasons.is_empty() {
            reasons.push(cause.reason().to_owned());
        }
        let recorded = authentic && !matches!(cause, Cause::Store(_));
        if recorded && !self.refusals.spend(source, now) {
            // A reference would lead to nothing.
            self.metrics.refusal_not_recorded();
            tracing::info!(reasons = reasons.join(","), "refused");
            return Denial { reference: None, cause };
        }
        let Some(reference) = fresh_reference() else {
            return Denial { reference: None, cause };
        };
        tracing::info!(%reference, reasons = reasons.join(","), "refused");
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

    /// Issues what was admitted at `issued_at`: now, or when the same request was answered first.
    fn issue(
        &self,
        admission: &Admission,
        instance: InstanceId,
        issued_at: Timestamp,
        now: Timestamp,
    ) -> Result<EnrolmentAnswer, Cause> {
        let issuer = Issuer {
            issuer: self.settings.issuer.as_str(),
            result_signer: self.keys.results.current(),
            attestation_signer: self.keys.jwts.current(),
            lifetimes: Lifetimes {
                result: self.settings.lifetime.result.as_seconds(),
                attestation: self.settings.lifetime.client_attestation.as_seconds(),
            },
        };
        let AttestationResult { result, client_attestation_as, client_attestation_rs, expires_at } =
            issuer.issue(admission, instance, issued_at).map_err(|_| Cause::Unable)?;
        if expires_at <= now {
            return Err(Cause::AnswerExpired);
        }
        let next_challenge = self.fresh_challenge(now).ok_or(Cause::Unable)?;
        let [jitter] = fresh::<1>().ok_or(Cause::Unable)?;
        Ok(EnrolmentAnswer {
            instance_id: instance.to_base64url(),
            result,
            client_attestation_as,
            client_attestation_rs,
            renew_after: renew_after(expires_at.seconds_since(now), jitter),
            server_time: now.as_unix_seconds(),
            next_challenge: next_challenge.to_base64url(),
        })
    }
}

impl Call<'_> {
    async fn answer(&self, known: &mut Known) -> Result<(EnrolmentAnswer, Tier), Cause> {
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
        let registry = Registry {
            registered: registered.as_ref(),
            history: history.as_ref(),
            banned,
            withdrawn: withdrawn.as_ref(),
            used_by_another: used && repeated.is_none(),
            development_key: development_key.as_ref(),
        };
        let admission = self.judge(decoded, &registry, judged_at, known).await?;
        // 9. One transaction.
        if repeated.is_none() {
            service.count_observed(admission.appraisal());
        }
        let (instance, issued_at) = match (&repeated, &registered) {
            (Some(consumed), _) => (consumed.instance, consumed.committed),
            (None, registered) => {
                let change = match registered {
                    Some(registered) => InstanceChange::Renew {
                        id: registered.id,
                        previous_counter: counter(registered).filter(|_| asserts),
                    },
                    None => InstanceChange::Enrol(InstanceId::from_bytes(fresh().ok_or(Cause::Unable)?)),
                };
                let decision = self.granted(&admission, known)?;
                let commit = Commit {
                    challenge: &challenge,
                    challenge_expires: challenge.issued_at().plus(CHALLENGE_LIFETIME + 1),
                    request,
                    change,
                    admission: &admission,
                    generation: self.trust.generation(),
                    decision: &decision,
                    now,
                };
                match service.store.commit(&commit).await? {
                    Committed::Done(instance) => (instance, now),
                    Committed::Repeated(consumed) => (consumed.instance, consumed.committed),
                }
            }
        };
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
        Ok((service.issue(&admission, instance, issued_at, now)?, admission.tier()))
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
            // Whoever vouches must still do so, and by the clock of now, also for a request that was answered before.
            registry.check_development_key(authentic.enrolment(), self.now)?;
            known.evidence = refused_evidence(&authentic, registry.registered, judged_at);
            // 7. Evidence, offline, and only then Google's word.
            authentic.verify_evidence(&checks, judged_at)?
        };
        let payload = self.decode_play_integrity(&offline).await;
        let verified = offline.complete(payload, judged_at)?;
        known.claims = claims_of(&verified);
        if self.service.settings.app_attest.is_some() {
            known.receipt = NewReceipt::of(&verified, judged_at);
        }
        // 8. Appraise.
        let signals = Signals { history: registry.history, ..known.signals };
        match verified.appraise(&self.trust.policy, signals, judged_at) {
            Verdict::Admitted(admission) => {
                self.service.count_objections(admission.appraisal());
                Ok(admission)
            }
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

    fn granted(&self, admission: &Admission, known: &mut Known) -> Result<Decision, Cause> {
        Ok(Decision {
            reference: fresh_reference().ok_or(Cause::Unable)?,
            time: self.now,
            client_id: Some(admission.client_id().to_owned()),
            instance: None,
            verdict: tier_name(admission.tier()).to_owned(),
            reasons: reasons_of(admission.appraisal()),
            claims: std::mem::take(&mut known.claims),
            appraisal: json!(admission.appraisal()),
        })
    }
}

impl Service {
    fn count_objections(&self, appraisal: &Appraisal) {
        for outcome in appraisal.objections() {
            self.metrics.objection(outcome.constraint.label());
        }
    }

    /// What is known of an instance beside its evidence. The same for a renewal and for a re-appraisal.
    pub(crate) async fn signals(
        &self,
        trust: &Trust,
        record: Option<&InstanceRecord>,
    ) -> Result<Signals<'static>, StoreError> {
        let risk_metric = match record {
            Some(record) => self.store.risk_metric(&record.registered.id).await?,
            None => None,
        };
        let instances_of_certificate = match record {
            Some(record) => self.store.instances_sharing_the_key_of(&record.registered.id).await?,
            None => None,
        };
        Ok(Signals {
            risk_metric,
            instances_of_certificate,
            revocation_as_of: trust.revocation.as_ref().map(RevocationList::as_of),
            ..Signals::default()
        })
    }

    /// What the checks of an envelope need.
    fn checks<'a>(
        &'a self,
        trust: &'a Trust,
        development_keys: &'a dyn Fn(&str) -> Option<PublicKey>,
    ) -> enrolment::Service<'a> {
        enrolment::Service {
            issuer: self.settings.issuer.as_str(),
            challenge_keys: &self.keys.challenges,
            anchors: &trust.anchors,
            revocation: trust.revocation.as_ref(),
            development_keys,
            policy: &trust.policy,
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
            CommitError::Banned => Self::Banned,
            CommitError::Withdrawn => Self::Withdrawn,
            CommitError::UnknownInstance => Self::Enrolment(EnrolmentError::UnknownInstance),
            CommitError::Store(error) => Self::Store(error),
        }
    }
}

fn with_counter(mut registered: RegisteredInstance, previous: Option<u32>) -> RegisteredInstance {
    if let (PlatformKey::AppAttest { counter, .. }, Some(previous)) = (&mut registered.platform_key, previous)
    {
        *counter = previous;
    }
    registered
}

const fn counter(registered: &RegisteredInstance) -> Option<u32> {
    match &registered.platform_key {
        PlatformKey::AppAttest { counter, .. } => Some(*counter),
        PlatformKey::AndroidKey | PlatformKey::PlayIntegrity | PlatformKey::DevelopmentKey => None,
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
fn refused_evidence(
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
    };
    Some(RefusedEvidence { recorded, circumstances })
}

/// Whether the age of the status list is all that the refusal is for.
fn only_the_list_is_old(appraisal: &Appraisal) -> bool {
    let mut required = appraisal
        .objections()
        .filter(|outcome| outcome.enforcement == Enforcement::Require)
        .map(|outcome| outcome.constraint)
        .peekable();
    required.peek().is_some() && required.all(|constraint| constraint == Constraint::RevocationFresh)
}

fn reasons_of(appraisal: &Appraisal) -> Vec<String> {
    appraisal.objections().map(|outcome| outcome.constraint.label().to_owned()).collect()
}

/// What the evidence says, for the audit record. The receipt would let its holder ask Apple about the device.
fn claims_of(verified: &VerifiedEnrolment<'_>) -> Value {
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

const fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Affirming => "affirming",
        Tier::Warning => "warning",
    }
}

/// Half of the result's life, less up to a tenth of it, so that devices do not come back all at once.
fn renew_after(life: u64, jitter: u8) -> u64 {
    life / 2 - (life / 10) * u64::from(jitter) / 256
}

/// A reference for a decision; None where there is no randomness.
pub(crate) fn fresh_reference() -> Option<Reference> {
    fresh::<5>().map(Reference::from_random)
}

fn fresh<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok().map(|()| bytes)
}
