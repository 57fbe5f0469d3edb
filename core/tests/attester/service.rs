//! A service in memory: it decodes and checks envelopes with the core's own types and signs results. It stands for
//! a service that is right; tests put wrong answers in its place through [`Service::script`].

use std::collections::{HashMap, VecDeque};

use ed25519_dalek::{Signer, SigningKey};

use countersign_core::attester::{Answer, Fetch};
use countersign_core::binding::Purpose;
use countersign_core::challenge::{Challenge, MacKey, MacKeyRing, Scope};
use countersign_core::encoding::base64url;
use countersign_core::enrolment::{DecodedEnrolment, Enrolment, EnrolmentAnswer, Evidence};
use countersign_core::request::sha256;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::{PublicKey, PureRust};
use countersign_core::token::result::{InstanceId, Protection, ResultClaims, Tier, VouchedBy};
use countersign_core::token::trust_vector::TrustVector;

pub const ISSUER: &str = "https://attest.example";
pub const CLIENT_ID: &str = "com.example.app";
pub const START: u64 = 1_800_000_000;
pub const CHALLENGE_LIFETIME: u64 = 1_200;

/// One answer of the service instead of the right one.
pub enum Scripted {
    /// The service does its work, and the answer is lost on the way.
    Lost,
    /// The call never arrives.
    Unreached,
    /// This answer, without any work done.
    Instead(Answer),
    /// The right answer, changed.
    Altered(fn(&mut EnrolmentAnswer, &mut ResultClaims)),
    /// The right answer, its result signed with another key under the same `kid`.
    ForeignKey,
}

pub struct Service {
    pub now: Timestamp,
    pub key_id: String,
    pub signing_key: SigningKey,
    pub instances: HashMap<InstanceId, PublicKey>,
    pub evidence_time: Timestamp,
    /// Who vouches for the last one that enrolled: where it is the app, Google Play does alone.
    pub vouched_by: VouchedBy,
    /// Google cannot be asked about its tokens.
    pub google_is_unreachable: bool,
    /// What to answer to the next envelopes, in order; after that, the truth.
    pub script: VecDeque<Scripted>,
    /// What is changed in every right answer from now on.
    pub altered: Option<fn(&mut EnrolmentAnswer, &mut ResultClaims)>,
    /// What to answer to the next request for a challenge.
    pub challenge_answer: Option<Answer>,
    /// Every envelope that arrived.
    pub envelopes: Vec<Vec<u8>>,
    /// Every path that was called.
    pub calls: Vec<String>,
    answered: HashMap<[u8; 32], InstanceId>,
    used: Vec<Challenge>,
    ring: MacKeyRing,
    counter: u8,
}

impl Service {
    pub fn new() -> Self {
        Self {
            now: Timestamp::from_unix_seconds(START),
            key_id: "service-1".to_owned(),
            signing_key: SigningKey::from_bytes(&[42; 32]),
            instances: HashMap::new(),
            evidence_time: Timestamp::from_unix_seconds(START),
            vouched_by: VouchedBy::Platform,
            google_is_unreachable: false,
            script: VecDeque::new(),
            altered: None,
            challenge_answer: None,
            envelopes: Vec::new(),
            calls: Vec::new(),
            answered: HashMap::new(),
            used: Vec::new(),
            ring: MacKeyRing::new(MacKey::new(1, [1; 32]), vec![]),
            counter: 0,
        }
    }

    pub fn public_key(&self) -> PublicKey {
        PublicKey::from_ed25519(self.signing_key.verifying_key().to_bytes()).unwrap()
    }

    pub fn new_challenge(&mut self) -> Challenge {
        self.counter = self.counter.wrapping_add(1);
        self.ring.issue(Scope::Challenge { issuer: ISSUER }, self.now, &[self.counter; 16])
    }

    /// What the last envelope said.
    pub fn last_enrolment(&self) -> Enrolment {
        DecodedEnrolment::decode(self.envelopes.last().unwrap()).unwrap().enrolment
    }

    /// Answers a call; `None` if no answer reaches the device.
    pub fn answer(&mut self, call: &Fetch) -> Option<Answer> {
        let path = call.url.strip_prefix(ISSUER).expect("the device calls its issuer only");
        self.calls.push(path.to_owned());
        match (call.post, path) {
            (false, "/.well-known/jwks.json") => Some(self.key_set()),
            (true, "/v1/challenge") => Some(self.challenge()),
            (true, path) => self.envelope(path, call),
            _ => panic!("unexpected call {call:?}"),
        }
    }

    fn key_set(&self) -> Answer {
        let jwk = self.public_key().to_jwk();
        let body = format!(
            r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"other","x":"AA","y":"AA"}},{{"kty":"OKP","crv":"Ed25519","kid":"{}","alg":"Ed25519","use":"sig","x":"{}"}}]}}"#,
            self.key_id, jwk.x
        );
        json(200, &body)
    }

    fn challenge(&mut self) -> Answer {
        if let Some(answer) = self.challenge_answer.take() {
            return answer;
        }
        let challenge = self.new_challenge().to_base64url();
        let body = format!(
            r#"{{"attestation_challenge":"{challenge}","expires_in":{CHALLENGE_LIFETIME},"server_time":{}}}"#,
            self.now
        );
        json(200, &body)
    }

    fn envelope(&mut self, path: &str, call: &Fetch) -> Option<Answer> {
        assert_eq!(call.content_type, Some("application/cbor"));
        self.envelopes.push(call.body.clone());
        let scripted = self.script.pop_front();
        match &scripted {
            Some(Scripted::Unreached) => return None,
            Some(Scripted::Instead(answer)) => return Some(answer.clone()),
            _ => {}
        }
        let answer = match self.enrol(path, &call.body) {
            Ok((enrolment, instance)) => self.issue(&enrolment, instance, scripted.as_ref()),
            Err(answer) => answer,
        };
        (!matches!(scripted, Some(Scripted::Lost))).then_some(answer)
    }

    /// Checks an envelope in the order of the protocol, and registers it.
    fn enrol(&mut self, path: &str, body: &[u8]) -> Result<(Enrolment, InstanceId), Answer> {
        let decoded = DecodedEnrolment::decode(body).expect("a device sends what decodes");
        let enrolment = decoded.enrolment;
        assert_eq!((enrolment.issuer.as_str(), enrolment.client_id.as_str()), (ISSUER, CLIENT_ID));
        let scope = Scope::Challenge { issuer: ISSUER };
        if self.ring.verify(&enrolment.challenge, scope, CHALLENGE_LIFETIME, self.now).is_err() {
            return Err(problem(400, Some("retry")));
        }
        decoded.message.verify(&enrolment.instance_key, &PureRust).expect("signed by its own key");
        enrolment.verify_possession(&PureRust).expect("signed by its session key");
        if let Some(instance) = self.answered.get(&sha256(body)) {
            return Ok((enrolment, *instance));
        }
        if self.used.contains(&enrolment.challenge) {
            return Err(problem(409, Some("retry")));
        }
        check_evidence(&enrolment);
        let instance = match enrolment.instance {
            None => {
                assert_eq!(path, "/v1/instances");
                let known = self.instances.iter().find(|(_, key)| **key == enrolment.instance_key);
                known.map_or(InstanceId::from_bytes([self.instances.len() as u8 + 1; 16]), |(id, _)| *id)
            }
            Some(instance) => {
                assert_eq!(path, format!("/v1/instances/{}/results", instance.to_base64url()));
                match self.instances.get(&instance) {
                    Some(key) if *key == enrolment.instance_key => instance,
                    _ => return Err(problem(404, Some("re-enrol"))),
                }
            }
        };
        self.take_evidence(&enrolment)?;
        self.used.push(enrolment.challenge);
        self.instances.insert(instance, enrolment.instance_key);
        self.answered.insert(sha256(body), instance);
        Ok((enrolment, instance))
    }

    /// Notes when evidence came that vouches, and refuses without where Google Play alone does and has not for a day.
    fn take_evidence(&mut self, enrolment: &Enrolment) -> Result<(), Answer> {
        let is_token = |evidence: &Evidence| matches!(evidence, Evidence::PlayIntegrity { .. });
        let has_token = enrolment.evidence.iter().any(is_token);
        let has_other = !enrolment.evidence.iter().all(is_token);
        if enrolment.instance.is_none() {
            self.vouched_by = if has_other { VouchedBy::Platform } else { VouchedBy::AttestedApp };
        }
        let alone = self.vouched_by == VouchedBy::AttestedApp;
        if alone && has_other {
            return Err(problem(400, Some("re-enrol")));
        }
        if has_other || (alone && has_token && !self.google_is_unreachable) {
            self.evidence_time = self.now;
        } else if alone && self.now.seconds_since(self.evidence_time) > 24 * 3600 {
            return Err(if has_token { json(503, "") } else { problem(403, Some("retry")) });
        }
        Ok(())
    }

    fn issue(&mut self, enrolment: &Enrolment, instance: InstanceId, scripted: Option<&Scripted>) -> Answer {
        let mut claims = ResultClaims {
            issuer: ISSUER.to_owned(),
            client_id: enrolment.client_id.clone(),
            issued_at: self.now,
            expires_at: self.now.plus(600),
            confirmation: enrolment.session_key,
            tier: Tier::Affirming,
            instance,
            instance_jkt: enrolment.instance_key.thumbprint(),
            protection: Protection::Tee,
            vouched_by: self.vouched_by,
            evidence_time: self.evidence_time,
            app_version: Some(enrolment.app_version.clone()),
            policy: "test/1".to_owned(),
            labels: vec![],
            trust_vector: TrustVector::default(),
        };
        let mut answer = EnrolmentAnswer {
            instance_id: instance.to_base64url(),
            result: String::new(),
            client_attestation_as: "as.as.as".to_owned(),
            client_attestation_rs: "rs.rs.rs".to_owned(),
            renew_after: 300,
            server_time: self.now.as_unix_seconds(),
            next_challenge: self.new_challenge().to_base64url(),
        };
        let mut signing_key = self.signing_key.clone();
        if let Some(alter) = self.altered {
            alter(&mut answer, &mut claims);
        }
        match scripted {
            Some(Scripted::Altered(alter)) => alter(&mut answer, &mut claims),
            Some(Scripted::ForeignKey) => signing_key = SigningKey::from_bytes(&[66; 32]),
            _ => {}
        }
        let unsigned = claims.to_unsigned(&self.key_id);
        let signature = signing_key.sign(&unsigned.to_be_signed()).to_bytes();
        if answer.result.is_empty() {
            answer.result = base64url(&unsigned.with_signature(&signature));
        }
        let status = if enrolment.instance.is_some() { 200 } else { 201 };
        json(status, &serde_json::to_string(&answer).unwrap())
    }
}

pub fn json(status: u16, body: &str) -> Answer {
    Answer { status, retry_after: None, body: body.as_bytes().to_vec() }
}

pub fn problem(status: u16, cure: Option<&str>) -> Answer {
    let cure = cure.map(|cure| format!(r#","cure":"{cure}""#)).unwrap_or_default();
    let body = format!(
        r#"{{"type":"urn:x","status":{status},"title":"No.","reference":"AB12CD34"{cure},"later":[1]}}"#
    );
    json(status, &body)
}

/// The phone of the tests puts the hash that it was asked to attest into the evidence; here it must be the right one.
fn check_evidence(enrolment: &Enrolment) {
    let renewal = enrolment.instance.is_some();
    let bound = match renewal {
        false => enrolment.binding(Purpose::Enrol, true, false).hash(),
        true => enrolment.binding(Purpose::Renew, true, true).hash(),
    };
    for evidence in &enrolment.evidence {
        match evidence {
            Evidence::AppAttest { attestation_object, .. } => {
                assert!(!renewal);
                assert_eq!(attestation_object[..], bound);
            }
            Evidence::AppAttestAssertion { assertion } => {
                assert!(renewal);
                assert_eq!(assertion[..], bound);
            }
            Evidence::AndroidKey { chain } if renewal => assert_eq!(chain[0][..], bound),
            Evidence::AndroidKey { chain } => {
                assert_eq!(chain[0][..], enrolment.binding(Purpose::Enrol, false, false).hash());
            }
            Evidence::PlayIntegrity { token } => assert_eq!(*token, base64url(&bound)),
            Evidence::DevelopmentKey { signature, .. } => assert_eq!(signature[..32], bound),
        }
    }
}
