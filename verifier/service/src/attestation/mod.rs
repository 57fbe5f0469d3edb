//! Enrolment and renewal: from an envelope to an answer, in the order of protocol section 5.

mod record_budget;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use countersign_core::enrolment::{Cure, DecodedEnrolment, Enrolment, EnrolmentAnswer, Evidence};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::{InstanceId, Tier};
use countersign_verifier::crypto::sha256;
use countersign_verifier::enrolment::{
    self, Admission, AuthenticEnrolment, CHALLENGE_LIFETIME, EnrolmentError, PlatformKey, RegisteredInstance,
    Signals, Verdict, VerifiedEnrolment,
};
use countersign_verifier::issue::{AttestationResult, Issuer, Lifetimes};
use countersign_verifier::policy::Appraisal;
use serde_json::{Value, json};

pub(crate) use record_budget::RecordBudget;

use crate::receipts::NewReceipt;
use crate::service::Service;
use crate::store::{
    Commit, CommitError, Committed, Decision, DevelopmentKeyRecord, DevelopmentKeyRefusal, InstanceChange,
    Reference, StoreError,
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
    /// The policy refuses what the evidence says.
    Policy,
    /// A development key that does not vouch for this app, or not any more.
    DevelopmentKey(DevelopmentKeyRefusal),
    /// An instance that a development key vouched for renews without one.
    DevelopmentKeyMissing,
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
            Self::Policy => "policy",
            Self::DevelopmentKey(refusal) => refusal.reason(),
            Self::DevelopmentKeyMissing => "development_key_missing",
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
            | Self::Store(_)
            | Self::Unable => Some(Cure::Retry),
            Self::Banned | Self::Policy | Self::DevelopmentKey(_) | Self::DevelopmentKeyMissing => None,
        }
    }
}

/// One call under way.
struct Call<'a> {
    service: &'a Service,
    trust: &'a Trust,
    body: &'a [u8],
    /// The instance in the path, for a renewal.
    addressed: Option<InstanceId>,
    now: Timestamp,
}

/// What the registry knows about a call.
struct Registry<'a> {
    /// The instance that is to be renewed.
    registered: Option<&'a RegisteredInstance>,
    /// Whether the instance is banned, or the one that holds the key that enrols.
    banned: bool,
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
    signals: Signals,
    /// The receipt of a new App Attest key.
    receipt: Option<NewReceipt>,
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
        let Known { client_id, instance, authentic, mut reasons, claims, appraisal, .. } = known;
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
        let Some(reference) = fresh::<5>().map(Reference::from_random) else {
            return Denial { reference: None, cause };
        };
        tracing::info!(%reference, reasons = reasons.join(","), "refused");
        if recorded {
            let verdict = "refused".to_owned();
            let decision =
                Decision { reference, time: now, client_id, instance, verdict, reasons, claims, appraisal };
            if let Err(error) = self.store.record(&decision).await {
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
        let record = match envelope.instance {
            Some(id) => service.store.instance(&id).await?,
            None => service.store.instance_of_key(&envelope.client_id, &envelope.instance_key).await?,
        };
        let used = consumed.is_some();
        // Of an instance that was erased meanwhile nothing is answered again.
        let known_as = record.as_ref().map(|record| record.registered.id);
        let repeated =
            consumed.filter(|consumed| consumed.request == request && Some(consumed.instance) == known_as);
        let development_key = match development_key_id(envelope) {
            Some(key_id) => service.store.development_key(key_id).await?,
            None => None,
        };
        let banned = record.as_ref().is_some_and(|record| record.banned);
        let registered = record.map(|record| record.registered).filter(|_| envelope.instance.is_some());
        // The same request again is judged as it was judged the first time, and its answer lives no longer than the
        // first one would have.
        let judged_at = repeated.as_ref().map_or(now, |consumed| consumed.committed);
        let previous_counter = repeated.as_ref().and_then(|consumed| consumed.previous_counter);
        let registered = registered.map(|registered| with_counter(registered, previous_counter));
        let asserts = envelope.evidence.iter().any(|one| matches!(one, Evidence::AppAttestAssertion { .. }));

        if let Some(registered) = &registered {
            known.signals.risk_metric = service.store.risk_metric(&registered.id).await?;
        }

        let registry = Registry {
            registered: registered.as_ref(),
            banned,
            used_by_another: used && repeated.is_none(),
            development_key: development_key.as_ref(),
        };
        let admission = self.judge(decoded, &registry, judged_at, known)?;
        // 9. One transaction.
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
                    decision: &decision,
                    now,
                };
                match service.store.commit(&commit).await? {
                    Committed::Done(instance) => (instance, now),
                    Committed::Repeated(consumed) => (consumed.instance, consumed.committed),
                }
            }
        };
        // After the transaction, and before anybody is answered: a repeated request keeps it if this one could not.
        if let Some(receipt) = known.receipt.take() {
            service.store.keep_receipt(&receipt.for_instance(instance)).await?;
        }
        // 10. Issue.
        Ok((service.issue(&admission, instance, issued_at, now)?, admission.tier()))
    }

    /// The steps that need no database.
    fn judge(
        &self,
        decoded: DecodedEnrolment<'_>,
        registry: &Registry<'_>,
        judged_at: Timestamp,
        known: &mut Known,
    ) -> Result<Box<Admission>, Cause> {
        // 4. Envelope signature, 5. session possession (and once more issuer and challenge).
        let development_key =
            |key_id: &str| registry.development_key.filter(|key| key.id == key_id).map(|key| key.public_key);
        let checks = self.service.checks(self.trust, &development_key);
        let authentic = AuthenticEnrolment::verify(decoded, registry.registered, &checks, judged_at)?;
        known.authentic = true;
        // 6. Ban.
        if registry.banned {
            return Err(Cause::Banned);
        }
        if registry.used_by_another {
            return Err(Cause::ChallengeUsed);
        }
        // Whoever vouches must still do so, and by the clock of now, also for a request that was answered before.
        registry.check_development_key(authentic.enrolment(), self.now)?;
        // 7. Evidence, offline.
        let verified = authentic.verify_evidence(&checks, judged_at)?;
        known.claims = claims_of(&verified);
        if self.service.settings.app_attest.is_some() {
            known.receipt = NewReceipt::of(&verified, judged_at);
        }
        // 8. Appraise.
        match verified.appraise(&self.trust.policy, known.signals, judged_at) {
            Verdict::Admitted(admission) => Ok(admission),
            Verdict::Refused(appraisal) => {
                known.reasons = reasons_of(&appraisal);
                known.appraisal = json!(appraisal);
                Err(Cause::Policy)
            }
        }
    }

    fn granted(&self, admission: &Admission, known: &mut Known) -> Result<Decision, Cause> {
        Ok(Decision {
            reference: fresh::<5>().map(Reference::from_random).ok_or(Cause::Unable)?,
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
        PlatformKey::AndroidKey | PlatformKey::DevelopmentKey => None,
    }
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

fn fresh<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok().map(|()| bytes)
}
