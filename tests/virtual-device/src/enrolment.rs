//! Envelopes of enrolment and renewal made by hand, honest or with a lie, where core's attester makes honest ones
//! only.

use countersign_core::{
    binding::{Binding, Purpose},
    challenge::Challenge,
    enrolment::{Enrolment, Evidence},
    time::Timestamp,
    token::result::InstanceId,
};

use crate::{hostile::EnrolmentAttack, phone::VirtualPhone, session::SessionKey};

/// What a device knows when it calls the attestation service.
#[derive(Clone, Copy, Debug)]
pub struct ServiceCall<'a> {
    /// Issuer URL of the service.
    pub issuer: &'a str,
    /// The OAuth `client_id`.
    pub client_id: &'a str,
    /// The service's challenge.
    pub challenge: Challenge,
    /// The app's version.
    pub app_version: &'a str,
    /// What the device sees of its own environment.
    pub environment: u64,
    /// The time.
    pub now: Timestamp,
}

impl VirtualPhone {
    /// The envelope of an enrolment.
    pub fn enrol(&mut self, call: &ServiceCall<'_>, session: &SessionKey) -> Vec<u8> {
        self.envelope(call, None, session, None)
    }

    /// The envelope of an enrolment with this lie in it.
    pub fn forge_enrolment(
        &mut self,
        call: &ServiceCall<'_>,
        session: &SessionKey,
        attack: EnrolmentAttack,
    ) -> Vec<u8> {
        self.envelope(call, None, session, Some(attack))
    }

    /// The envelope of a renewal, with fresh evidence. Whose instance it is, is for the caller to say.
    pub fn renew(&mut self, call: &ServiceCall<'_>, instance: InstanceId, session: &SessionKey) -> Vec<u8> {
        self.envelope(call, Some(instance), session, None)
    }

    /// The envelope of a renewal with this lie in it.
    pub fn forge_renewal(
        &mut self,
        call: &ServiceCall<'_>,
        instance: InstanceId,
        session: &SessionKey,
        attack: EnrolmentAttack,
    ) -> Vec<u8> {
        self.envelope(call, Some(instance), session, Some(attack))
    }

    fn envelope(
        &mut self,
        call: &ServiceCall<'_>,
        instance: Option<InstanceId>,
        session: &SessionKey,
        attack: Option<EnrolmentAttack>,
    ) -> Vec<u8> {
        use EnrolmentAttack as A;
        let other_session = SessionKey::from_seed(&crate::Seed::from_text("another session"));
        let mut call = *call;
        match attack {
            Some(A::OtherIssuer) => call.issuer = "https://other-service.example",
            Some(A::AlteredChallenge) => call.challenge = altered(&call.challenge),
            _ => {}
        }
        let mut evidence = vec![self.evidence(&call, instance, session, attack)];
        if let Self::Android(phone) = self {
            let (purpose, session_key) = match instance {
                None => (Purpose::Enrol, None),
                Some(_) => (Purpose::Renew, Some(session.public_key())),
            };
            let binding = Binding {
                purpose,
                issuer: call.issuer,
                challenge: call.challenge.as_bytes(),
                client_id: call.client_id,
                instance_key: Some(&phone.instance_key()),
                session_key: session_key.as_ref(),
            };
            let token = phone.play_integrity_token(&binding.hash(), call.now);
            if !phone.has_key_attestation() {
                evidence.clear();
            }
            evidence.extend(token.map(|token| Evidence::PlayIntegrity { token }));
        }
        match attack {
            Some(A::NoEvidence) => evidence.clear(),
            Some(A::DuplicateEvidence) => evidence.extend_from_within(..),
            Some(A::TwoPlatforms) => evidence
                .push(Evidence::DevelopmentKey { key_id: "development".to_owned(), signature: [0x5a; 64] }),
            _ => {}
        }
        let mut enrolment = Enrolment {
            instance,
            issuer: call.issuer.to_owned(),
            challenge: call.challenge,
            client_id: call.client_id.to_owned(),
            instance_key: self.instance_key(),
            session_key: session.public_key(),
            possession: [0; 64],
            evidence,
            environment: call.environment,
            app_version: call.app_version.to_owned(),
            protection: self.protection(),
        };
        if attack == Some(A::KeyOfSomebodyElse) {
            enrolment.instance_key = self.of_somebody_else().instance_key();
        }
        enrolment.possession = match attack {
            Some(A::NoPossession) => [0; 64],
            Some(A::PossessionByOtherKey) => other_session.sign(&enrolment.possession_hash()),
            Some(A::PossessionForOtherChallenge) => {
                let other = Enrolment { challenge: altered(&call.challenge), ..enrolment.clone() };
                session.sign(&other.possession_hash())
            }
            _ => session.sign(&enrolment.possession_hash()),
        };
        if attack == Some(A::OtherSessionKey) {
            enrolment.session_key = other_session.public_key();
        }
        if attack == Some(A::Oversized) {
            enrolment.app_version = "9".repeat(64 * 1024);
        }
        let unsigned = enrolment.to_unsigned();
        let mut bytes = unsigned.with_signature(&self.sign(&unsigned.to_be_signed()));
        match attack {
            Some(A::SignatureBit) => *bytes.last_mut().expect("an envelope is not empty") ^= 1,
            Some(A::TrailingBytes) => bytes.push(0xf6),
            Some(A::Truncated) => bytes.truncate(bytes.len() - 1),
            _ => {}
        }
        bytes
    }

    /// The evidence, of the phone that the attack names and for what the attack says.
    fn evidence(
        &mut self,
        call: &ServiceCall<'_>,
        instance: Option<InstanceId>,
        session: &SessionKey,
        attack: Option<EnrolmentAttack>,
    ) -> Evidence {
        use EnrolmentAttack as A;
        let (mut issuer, mut client_id, mut challenge) = (call.issuer, call.client_id, call.challenge);
        match attack {
            Some(A::EvidenceForOtherIssuer) => issuer = "https://other-service.example",
            Some(A::EvidenceForOtherClient) => client_id = "another-client",
            Some(A::EvidenceForOtherChallenge) => challenge = altered(&challenge),
            _ => {}
        }
        let mut purpose = if instance.is_some() { Purpose::Renew } else { Purpose::Enrol };
        if attack == Some(A::EvidenceForOtherPurpose) {
            purpose = if instance.is_some() { Purpose::Enrol } else { Purpose::Renew };
        }
        let mut somebody_else = (attack == Some(A::RelayedEvidence)).then(|| self.of_somebody_else());
        let phone = somebody_else.as_mut().unwrap_or(self);
        if instance.is_none() {
            return phone.evidence_of_enrolment(issuer, client_id, challenge.as_bytes(), purpose, call.now);
        }
        let instance_key = phone.instance_key();
        let binding = Binding {
            purpose,
            issuer,
            challenge: challenge.as_bytes(),
            client_id,
            instance_key: Some(&instance_key),
            session_key: Some(&session.public_key()),
        };
        phone.evidence_of_renewal(&binding, call.now)
    }
}

/// The challenge with one bit of its random part flipped: well-formed, and nobody gave it out.
fn altered(challenge: &Challenge) -> Challenge {
    let mut bytes = *challenge.as_bytes();
    bytes[12] ^= 1;
    Challenge::from_bytes(&bytes).expect("version and length are as they were")
}
