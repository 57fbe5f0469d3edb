//! Enrolment and renewal: from an envelope to an answer, in the order of protocol section 5.

mod audit;
mod call;
mod cause;
#[cfg(test)]
mod continuity_tests;
#[cfg(test)]
mod development_key_tests;
mod observed;
mod record_budget;
mod registry;
#[cfg(test)]
mod sharing_tests;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use countersign_core::enrolment::EnrolmentAnswer;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::{InstanceId, Tier};
use countersign_verifier::enrolment::{self, Admission, Signals};
use countersign_verifier::issue::{AttestationResult, Issuer, Lifetimes};
use countersign_verifier::revocation::RevocationList;

pub(crate) use cause::{Cause, Denial};
pub(crate) use record_budget::RecordBudget;

use self::audit::Known;
use self::call::Call;
use crate::service::Service;
use crate::store::{InstanceRecord, Reference, StoreError};
use crate::trust::Trust;

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
