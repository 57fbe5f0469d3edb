//! The stages of an envelope before it is appraised: authentic, verified offline, verified.

use countersign_core::binding::Purpose;
use countersign_core::challenge::Scope;
use countersign_core::enrolment::{DecodedEnrolment, Enrolment, Evidence};
use countersign_core::time::Timestamp;

use super::{
    ANDROID_EVIDENCE_LIFETIME, CHALLENGE_LIFETIME, EnrolmentError, PlatformKey, RegisteredInstance, Service,
};
use crate::crypto::AwsLc;
use crate::evidence::play_integrity::PlayIntegrityError;
use crate::evidence::{
    EvidenceError, EvidenceKind, EvidenceSet, Platform, RecordedEvidence, VerifiedEvidence, play_integrity,
};
use crate::policy::AppMode;

/// An envelope that was made for this service, lately, by the holder of both keys it names.
pub struct AuthenticEnrolment<'a> {
    enrolment: Enrolment,
    registered: Option<&'a RegisteredInstance>,
}

/// An envelope whose evidence holds as far as that can be said offline: a Play Integrity token has yet to be decoded.
pub struct OfflineEnrolment<'a> {
    enrolment: Enrolment,
    registered: Option<&'a RegisteredInstance>,
    recorded: Vec<RecordedEvidence>,
    offline: Option<VerifiedEvidence>,
    token: Option<String>,
}

/// What became of the token of [`OfflineEnrolment::play_integrity_token`].
pub type DecodedToken = Result<play_integrity::Payload, DecodeFailure>;

/// Why there is no payload of a Play Integrity token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeFailure {
    /// It is no good token.
    Invalid(PlayIntegrityError),
    /// Google could not be asked.
    Unreachable,
    /// There was no token, or this service has neither keys nor an account for the app.
    NotAsked,
}

/// An envelope whose evidence is authentic and bound to it.
pub struct VerifiedEnrolment<'a> {
    pub(super) enrolment: Enrolment,
    pub(super) registered: Option<&'a RegisteredInstance>,
    pub(super) recorded: Vec<RecordedEvidence>,
    pub(super) evidence: Option<EvidenceSet>,
    pub(super) play_integrity_unreachable: bool,
}

impl<'a> AuthenticEnrolment<'a> {
    /// Checks, in this order: issuer, challenge, that the policy knows the client, identity with the registered
    /// instance, envelope signature, session possession. `registered` is the instance that the envelope names, for a
    /// renewal.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn verify(
        decoded: DecodedEnrolment<'_>,
        registered: Option<&'a RegisteredInstance>,
        service: &Service<'_>,
        now: Timestamp,
    ) -> Result<Self, EnrolmentError> {
        let DecodedEnrolment { message, enrolment } = decoded;
        if enrolment.issuer != service.issuer {
            return Err(EnrolmentError::Issuer);
        }
        let scope = Scope::Challenge { issuer: service.issuer };
        service
            .challenge_keys
            .verify(&enrolment.challenge, scope, CHALLENGE_LIFETIME, now)
            .map_err(EnrolmentError::Challenge)?;
        // Also at a renewal without evidence, which nothing else of the policy sees.
        let app = service.policy.app(&enrolment.client_id).ok_or(EnrolmentError::UnknownClient)?;
        // A renewal is verified with the registered key alone; the key it carries must be the same one.
        let key = match (enrolment.instance, registered) {
            (None, None) => &enrolment.instance_key,
            (Some(id), Some(registered)) => {
                let same = id == registered.id
                    && enrolment.client_id == registered.client_id
                    && enrolment.instance_key == registered.instance_key;
                if !same {
                    return Err(EnrolmentError::InstanceMismatch);
                }
                if registered.platform_key == PlatformKey::DevelopmentKey && app.mode != AppMode::Development
                {
                    return Err(EnrolmentError::DevelopmentInstance);
                }
                &registered.instance_key
            }
            (Some(_), None) => return Err(EnrolmentError::UnknownInstance),
            (None, Some(_)) => return Err(EnrolmentError::InstanceMismatch),
        };
        message.verify(key, &AwsLc).map_err(|_| EnrolmentError::Signature)?;
        enrolment.verify_possession(&AwsLc).map_err(|_| EnrolmentError::Possession)?;
        Ok(Self { enrolment, registered })
    }

    /// What the envelope says.
    pub const fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }

    /// Verifies the evidence and that it is bound to this envelope's challenge, client and keys, except for a Play
    /// Integrity token: that is decoded only after everything else has passed.
    ///
    /// # Errors
    /// [`EnrolmentError`].
    pub fn verify_evidence(
        self,
        service: &Service<'_>,
        now: Timestamp,
    ) -> Result<OfflineEnrolment<'a>, EnrolmentError> {
        let recorded = self.recorded_evidence(now)?;
        let Self { enrolment, registered } = self;
        let token = enrolment.evidence.iter().find_map(|evidence| match evidence {
            Evidence::PlayIntegrity { token } => Some(token.clone()),
            _ => None,
        });
        let offline = match recorded.as_slice() {
            [] => None,
            [recorded] => Some(verify_evidence(recorded, &enrolment, registered, service)?),
            [..] => return Err(EnrolmentError::UnexpectedEvidence),
        };
        if offline.is_none() && token.is_none() && registered.is_none() {
            return Err(EnrolmentError::NoEvidence);
        }
        let is_android =
            |registered: &RegisteredInstance| registered.platform_key.platform() == Platform::Android;
        if token.is_some() && !registered.is_none_or(is_android) {
            return Err(EnrolmentError::UnexpectedEvidence);
        }
        Ok(OfflineEnrolment { enrolment, registered, recorded, offline, token })
    }

    /// The evidence as it can be kept, not verified yet, with all that it must be bound to; without a Play Integrity
    /// token, which has to be decoded first.
    ///
    /// # Errors
    /// [`EnrolmentError`] where evidence is of a kind that does not belong here.
    pub fn recorded_evidence(&self, now: Timestamp) -> Result<Vec<RecordedEvidence>, EnrolmentError> {
        let Self { enrolment, registered } = self;
        let offline =
            enrolment.evidence.iter().filter(|evidence| !matches!(evidence, Evidence::PlayIntegrity { .. }));
        offline.map(|evidence| record(evidence, enrolment, *registered, now)).collect()
    }
}

impl<'a> OfflineEnrolment<'a> {
    /// What the envelope says.
    pub const fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }

    /// What was verified offline.
    pub const fn offline_evidence(&self) -> Option<&VerifiedEvidence> {
        self.offline.as_ref()
    }

    /// The Play Integrity token, to be decoded now and once; None if none came.
    pub fn play_integrity_token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Verifies what the token was decoded to. Where hardware vouches for the instance, and at a renewal, a token that
    /// could not be decoded counts as absent: an outage of Google locks nobody out before a day has passed.
    ///
    /// # Errors
    /// [`EnrolmentError`]; where Google Play alone vouches also that it could not be asked, or was not for too long.
    pub fn complete(
        self,
        decoded: DecodedToken,
        now: Timestamp,
    ) -> Result<VerifiedEnrolment<'a>, EnrolmentError> {
        let Self { enrolment, registered, mut recorded, offline, token } = self;
        // A payload without a token to it would be somebody else's.
        let decoded = if token.is_some() { decoded } else { Err(DecodeFailure::NotAsked) };
        let failure = decoded.as_ref().err().copied();
        let verdict = match decoded {
            Ok(payload) => {
                let binding = match registered {
                    None => enrolment.binding(Purpose::Enrol, true, false),
                    Some(_) => enrolment.binding(Purpose::Renew, true, true),
                };
                let hash = binding.hash();
                recorded.push(RecordedEvidence::play_integrity(&payload, hash, now));
                Some(play_integrity::verify(payload, &hash, now)?)
            }
            Err(DecodeFailure::Invalid(error)) => {
                return Err(EnrolmentError::Evidence(EvidenceError::PlayIntegrity(error)));
            }
            Err(DecodeFailure::Unreachable | DecodeFailure::NotAsked) => None,
        };
        let play_integrity_unreachable = token.is_some() && verdict.is_none();
        let evidence = match (offline, verdict) {
            (Some(primary), Some(verdict)) => Some(EvidenceSet::new(primary).accompanied_by(verdict)),
            (Some(primary), None) => Some(primary.into()),
            (None, Some(verdict)) => Some(verdict.into()),
            (None, None) => {
                if let Some(otherwise) = evidence_needed(registered, now) {
                    return Err(match failure {
                        Some(DecodeFailure::Unreachable) => EnrolmentError::PlayIntegrityUnreachable,
                        _ => otherwise,
                    });
                }
                None
            }
        };
        Ok(VerifiedEnrolment { enrolment, registered, recorded, evidence, play_integrity_unreachable })
    }
}

impl VerifiedEnrolment<'_> {
    /// The evidence, where some came.
    pub const fn evidence(&self) -> Option<&EvidenceSet> {
        self.evidence.as_ref()
    }
}

/// Why an envelope without evidence is refused; None if it may go on.
///
/// A key in hardware answers for itself: it cannot leave the phone that was attested, so that without new evidence
/// only the phone's state is in doubt, and the tier says so. A key that Google Play alone vouches for may be copied
/// like any other data, and whoever has the copy could renew for ever.
fn evidence_needed(registered: Option<&RegisteredInstance>, now: Timestamp) -> Option<EnrolmentError> {
    let Some(registered) = registered else { return Some(EnrolmentError::UnsupportedEvidence) };
    let is_due = registered.platform_key == PlatformKey::PlayIntegrity
        && now.seconds_since(registered.evidence_time) > ANDROID_EVIDENCE_LIFETIME;
    is_due.then_some(EnrolmentError::EvidenceDue)
}

fn verify_evidence(
    recorded: &RecordedEvidence,
    enrolment: &Enrolment,
    registered: Option<&RegisteredInstance>,
    service: &Service<'_>,
) -> Result<VerifiedEvidence, EnrolmentError> {
    let verified = recorded.verify(&service.trust_data()).map_err(|error| match error {
        EvidenceError::UnknownDevelopmentKey => EnrolmentError::UnknownDevelopmentKey,
        error => EnrolmentError::Evidence(error),
    })?;
    let attests_instance_key = recorded.kind() == EvidenceKind::AndroidKey && registered.is_none();
    if attests_instance_key && verified.attested_key().as_p256() != Some(&enrolment.instance_key) {
        return Err(EnrolmentError::KeyNotAttested);
    }
    Ok(verified)
}

/// The evidence, and what it must be bound to: this envelope's challenge, client and keys.
fn record(
    evidence: &Evidence,
    enrolment: &Enrolment,
    registered: Option<&RegisteredInstance>,
    now: Timestamp,
) -> Result<RecordedEvidence, EnrolmentError> {
    let enrol_with_key = || enrolment.binding(Purpose::Enrol, true, false).hash();
    let renew = || enrolment.binding(Purpose::Renew, true, true).hash();
    match (evidence, registered.map(|registered| &registered.platform_key)) {
        (Evidence::AppAttest { attestation_object, key_id }, None) => {
            Ok(RecordedEvidence::app_attest(attestation_object, *key_id, enrol_with_key(), now))
        }
        (Evidence::AppAttestAssertion { assertion }, Some(PlatformKey::AppAttest { key, counter })) => {
            Ok(RecordedEvidence::app_attest_assertion(assertion, *key, renew(), *counter, now))
        }
        (Evidence::AndroidKey { chain }, None | Some(PlatformKey::AndroidKey)) => {
            // At enrolment the attested key is the instance key, so the challenge was made before it was born. A
            // renewal attests a throwaway key, which vouches for both keys by its challenge.
            let challenge = match registered {
                None => enrolment.binding(Purpose::Enrol, false, false).hash(),
                Some(_) => renew(),
            };
            Ok(RecordedEvidence::android_key(chain, challenge, now))
        }
        (Evidence::DevelopmentKey { key_id, signature }, None | Some(PlatformKey::DevelopmentKey)) => {
            let hash = if registered.is_none() { enrol_with_key() } else { renew() };
            Ok(RecordedEvidence::development_key(key_id, signature, hash, now))
        }
        _ => Err(EnrolmentError::UnexpectedEvidence),
    }
}
