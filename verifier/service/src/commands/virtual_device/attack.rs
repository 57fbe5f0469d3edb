//! The app of a thief: one lie in evidence, assertion, envelope or proof, where core's attester makes none.

use std::fmt::Write;

use countersign_core::challenge::Challenge;
use countersign_core::enrolment::{ChallengeAnswer, EnrolmentAnswer};
use countersign_core::request::TargetUri;
use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;
use countersign_virtual_device::{
    AndroidAttack, AssertionAttack, EnrolmentAttack, IphoneAttack, ProofAttack, ProofRequest, Seed,
    ServiceCall, Session, SessionKey, VirtualPhone,
};
use reqwest::Client;

use super::installation::{Installation, refused};
use super::printed::{self, Fields};
use super::{Failed, Headers, Request, http_client, random};
use crate::clock::Clock;

/// One lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    Iphone(IphoneAttack),
    Android(AndroidAttack),
    Assertion(AssertionAttack),
    Envelope(EnrolmentAttack),
    Proof(ProofAttack),
}

impl Attack {
    /// The attack of a name such as `android:rooted`.
    pub(super) fn from_name(name: &str) -> Result<Self, String> {
        let (kind, lie) = name.split_once(':').unwrap_or(("", name));
        let found = match kind {
            "iphone" => IphoneAttack::from_name(lie).map(Self::Iphone),
            "android" => AndroidAttack::from_name(lie).map(Self::Android),
            "assertion" => AssertionAttack::from_name(lie).map(Self::Assertion),
            "envelope" => EnrolmentAttack::from_name(lie).map(Self::Envelope),
            "proof" => ProofAttack::from_name(lie).map(Self::Proof),
            _ => None,
        };
        found.ok_or_else(|| "`countersign virtual-device attacks` lists those that there are".to_owned())
    }
}

/// All attacks, a line each.
pub(super) fn list() -> String {
    let mut text = String::new();
    let mut line = |kind: &str, name: &str, description: &str| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{:<52} {description}", format!("{kind}:{name}"));
    };
    IphoneAttack::ALL.iter().for_each(|attack| line("iphone", &attack.name(), attack.description()));
    AndroidAttack::ALL.iter().for_each(|attack| line("android", &attack.name(), attack.description()));
    AssertionAttack::ALL.iter().for_each(|attack| line("assertion", &attack.name(), attack.description()));
    EnrolmentAttack::ALL.iter().for_each(|attack| line("envelope", &attack.name(), attack.description()));
    ProofAttack::ALL.iter().for_each(|attack| line("proof", &attack.name(), attack.description()));
    text.truncate(text.trim_end().len());
    text
}

/// Plays `attack`. If the service does not notice it, or it is the proof that lies, there are fields to send.
pub(super) async fn prove(arguments: &Headers, attack: Attack, request: &Request) -> Result<Fields, Failed> {
    let thief = Thief {
        arguments,
        client: http_client()?,
        session: SessionKey::from_seed(&Seed::from_bytes(random()?)),
    };
    let mut phone = thief.phone(attack)?;
    let call = thief.call().await?;
    let envelope = match attack {
        Attack::Envelope(lie) => phone.forge_enrolment(&call, &thief.session, lie),
        _ => phone.enrol(&call, &thief.session),
    };
    let mut answer = thief.send("/v1/instances", envelope).await?;
    if let (Attack::Assertion(lie), VirtualPhone::Iphone(iphone)) = (attack, phone) {
        let instance =
            InstanceId::from_base64url(&answer.instance_id).map_err(|_| "the service gave no instance")?;
        let mut lying = VirtualPhone::from(iphone.assertion_attack(lie));
        let envelope = lying.renew(&thief.call().await?, instance, &thief.session);
        answer = thief.send(&format!("/v1/instances/{}/results", answer.instance_id), envelope).await?;
    }
    thief.fields(answer, attack, request)
}

struct Thief<'a> {
    arguments: &'a Headers,
    client: Client,
    session: SessionKey,
}

impl Thief<'_> {
    fn installation(&self) -> &Installation {
        &self.arguments.installation
    }

    fn phone(&self, attack: Attack) -> Result<VirtualPhone, Failed> {
        let phone = &self.installation().phone;
        Ok(match attack {
            Attack::Iphone(lie) => phone.iphone()?.attack(lie).into(),
            Attack::Android(lie) => phone.android()?.attack(lie).into(),
            Attack::Assertion(_) => phone.iphone()?.into(),
            Attack::Envelope(_) | Attack::Proof(_) => phone.make()?,
        })
    }

    async fn call(&self) -> Result<ServiceCall<'_>, Failed> {
        let url = format!("{}/v1/challenge", self.installation().service());
        let response = self.client.post(&url).send().await.map_err(unreachable)?;
        let answer: ChallengeAnswer =
            response.json().await.map_err(|_| format!("{url} gives no challenge; is it the service?"))?;
        Ok(ServiceCall {
            issuer: self.installation().issuer(),
            client_id: &self.installation().client_id,
            challenge: Challenge::from_base64url(&answer.attestation_challenge)
                .map_err(|error| error.reason())?,
            app_version: env!("CARGO_PKG_VERSION"),
            environment: 0,
            now: Timestamp::from_unix_seconds(answer.server_time),
        })
    }

    async fn send(&self, path: &str, envelope: Vec<u8>) -> Result<EnrolmentAnswer, Failed> {
        let request = self.client.post(format!("{}{path}", self.installation().service()));
        let request = request.header("content-type", "application/cbor").body(envelope);
        let response = request.send().await.map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(Failed(refused(response.json().await.ok())));
        }
        Ok(response.json().await.map_err(|_| "the service's answer cannot be read")?)
    }

    fn fields(self, answer: EnrolmentAnswer, attack: Attack, request: &Request) -> Result<Fields, Failed> {
        TargetUri::parse(&request.url)
            .map_err(|error| format!("{} cannot be proven ({})", request.url, error.reason()))?;
        let session = Session { key: self.session, result: answer.result };
        let nonce = request.nonce.map(|nonce| *nonce.as_bytes());
        let proof = ProofRequest {
            resource: &request.resource,
            method: &request.method,
            uri: &request.url,
            body: request.body.as_deref(),
            credential: self.arguments.credential(),
            nonce: nonce.as_ref().map(<[u8; _]>::as_slice),
            token_id: random()?,
            now: Clock::system().now(),
        };
        let fields = match attack {
            Attack::Proof(lie) => session.forge(&proof, lie),
            _ => session.prove(&proof),
        };
        Ok(Fields {
            instance: answer.instance_id,
            client_attestation: Some(answer.client_attestation_as),
            proven: printed::compact(fields.result, fields.proof),
        })
    }
}

fn unreachable(error: reqwest::Error) -> String {
    format!("the service does not answer: {}", error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attack_that_is_listed_is_found() {
        for line in list().lines() {
            let name = line.split(' ').next().unwrap_or_default();
            assert!(Attack::from_name(name).is_ok(), "{name}");
        }
        assert_eq!(Attack::from_name("android:rooted"), Ok(Attack::Android(AndroidAttack::Rooted)));
        for wrong in ["", "rooted", "android:", "android:none", "iphone:rooted", ":rooted"] {
            assert!(Attack::from_name(wrong).is_err(), "{wrong}");
        }
    }
}
