//! A phone in memory: it carries out what the attester asks, with software keys and a clock that tests move.

use std::collections::HashMap;
use std::time::Duration;

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};

use countersign_core::attester::{
    AttestRequest, Attester, AttesterError, Config, Effect, Entropy, Event, KeyFailure, KeyHandle, MadeKey,
    Now, Platform, Resource, ResultKeys, Settings, Unreached,
};
use countersign_core::encoding::base64url;
use countersign_core::enrolment::Evidence;
use countersign_core::request::Origin;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::Protection;

use crate::service::{CLIENT_ID, ISSUER, START, Service};

pub const API: &str = "https://api.example";
pub const ANDROID: Platform = Platform::Android { play_integrity: false };
pub const IPHONE: Platform = Platform::Apple { production: true };

/// How a run of effects ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Ready,
    Failed(AttesterError),
    /// Nothing more to do before a tick.
    Waiting,
}

type Intercept = Box<dyn FnMut(&Effect) -> Option<Event>>;

pub struct Phone {
    pub attester: Attester,
    pub service: Service,
    pub config: Config,
    pub uptime: Duration,
    /// Seconds by which the phone's wall clock is wrong.
    pub wall_error: i64,
    pub keys: HashMap<Vec<u8>, SigningKey>,
    pub storage: Option<Vec<u8>>,
    /// Answers an effect in the phone's place, if it has an answer.
    pub intercept: Option<Intercept>,
    /// Names of the effects with an id that were asked for, and what was attested.
    pub log: Vec<&'static str>,
    pub attested: Vec<AttestRequest>,
    pub wake: Option<Duration>,
    /// Where keys come to live.
    pub protection: Protection,
    /// Whether an Android phone's hardware attests keys.
    pub attests_keys: bool,
    keys_made: u16,
    app_attest_keys: u8,
    random: u64,
}

impl Phone {
    pub fn new(platform: Platform) -> Self {
        Self::with(Service::new(), |settings| settings.platform = platform)
    }

    pub fn with(service: Service, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            issuer: ISSUER.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            resources: vec![Resource { origin: Origin::parse(API).unwrap(), identifier: API.to_owned() }],
            app_version: "1.2.3".to_owned(),
            platform: IPHONE,
            result_keys: ResultKeys::Fetched,
            danger_plaintext: false,
        };
        change(&mut settings);
        let config = Config::new(settings).unwrap();
        Self {
            attester: Attester::new(config.clone(), None),
            service,
            config,
            uptime: Duration::from_secs(1_000),
            wall_error: 0,
            keys: HashMap::new(),
            storage: None,
            intercept: None,
            log: Vec::new(),
            attested: Vec::new(),
            wake: None,
            protection: Protection::Tee,
            attests_keys: true,
            keys_made: 0,
            app_attest_keys: 0,
            random: 0,
        }
    }

    pub fn now(&self) -> Now {
        let wall = START + self.uptime.as_secs() - 1_000;
        Now {
            wall: Timestamp::from_unix_seconds(wall.saturating_add_signed(self.wall_error)),
            uptime: self.uptime,
        }
    }

    pub fn advance(&mut self, seconds: u64) {
        self.uptime += Duration::from_secs(seconds);
        self.service.now = Timestamp::from_unix_seconds(START + self.uptime.as_secs() - 1_000);
    }

    /// A new process of another build.
    pub fn restart_with(&mut self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings::clone(&self.config);
        change(&mut settings);
        self.config = Config::new(settings).unwrap();
        self.restart();
    }

    /// The process ends and starts again: memory is gone, storage and keys stay.
    pub fn restart(&mut self) {
        self.attester = Attester::new(self.config.clone(), self.storage.as_deref());
    }

    pub fn fresh_random(&mut self) -> [u8; 40] {
        self.random += 1;
        let mut bytes = [0; 40];
        bytes[..8].copy_from_slice(&self.random.to_be_bytes());
        bytes[32..].copy_from_slice(&self.random.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        bytes
    }

    /// One step alone; its effects are not carried out.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        let entropy = Entropy::new(self.fresh_random());
        let now = self.now();
        self.attester.step(event, now, &entropy)
    }

    /// Feeds `event` and carries out effects until none is left to answer.
    pub fn run(&mut self, event: Event) -> Outcome {
        let mut outcome = Outcome::Waiting;
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.step(event) {
                match &effect {
                    Effect::Ready => outcome = Outcome::Ready,
                    Effect::Failed { error, retry_at } => {
                        outcome = Outcome::Failed(*error);
                        self.wake = Some(*retry_at);
                    }
                    _ => {}
                }
                let intercepted = self.intercept.as_mut().and_then(|intercept| intercept(&effect));
                match intercepted {
                    Some(event) => {
                        self.note(&effect);
                        events.insert(0, event);
                    }
                    None => events.splice(0..0, self.carry_out(effect)).for_each(drop),
                }
            }
        }
        outcome
    }

    /// Wants a result and sits through the first, quiet pause.
    pub fn obtain(&mut self) -> Outcome {
        let outcome = self.run(Event::ResultWanted);
        if outcome != Outcome::Waiting {
            return outcome;
        }
        self.sit_out();
        self.run(Event::Tick)
    }

    /// Moves the clock to where the attester wants to be woken.
    pub fn sit_out(&mut self) {
        let wake = self.wake.expect("the attester waits for something");
        let seconds = wake.saturating_sub(self.uptime).as_secs() + 1;
        self.advance(seconds);
    }

    fn note(&mut self, effect: &Effect) {
        self.log.push(match effect {
            Effect::Fetch { call, .. } if call.url.ends_with("/v1/challenge") => "challenge",
            Effect::Fetch { call, .. } if call.url.ends_with("/jwks.json") => "key set",
            Effect::Fetch { call, .. } if call.url.ends_with("/v1/instances") => "enrol",
            Effect::Fetch { .. } => "renew",
            Effect::MakeKey { .. } => "make key",
            Effect::ForgetKey(_) => "forget key",
            Effect::MakeAppAttestKey { .. } => "make app attest key",
            Effect::Attest { .. } => "attest",
            Effect::Sign { .. } => "sign",
            Effect::Store(_) | Effect::WaitUntil(_) | Effect::Ready | Effect::Failed { .. } => return,
        });
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        self.note(&effect);
        match effect {
            Effect::Fetch { id, call } => {
                Some(Event::Fetched { id, outcome: self.service.answer(&call).ok_or(Unreached) })
            }
            Effect::MakeKey { id, challenge } => {
                Some(Event::KeyMade { id, outcome: Ok(self.make_key(challenge)) })
            }
            Effect::ForgetKey(handle) => {
                // One that is not there is no error; one that never was is a defect.
                let was_made = (1..=self.keys_made).any(|number| handle.as_bytes() == number_bytes(number));
                assert!(self.keys.remove(handle.as_bytes()).is_some() || was_made);
                None
            }
            Effect::MakeAppAttestKey { id } => {
                self.app_attest_keys = self.app_attest_keys.wrapping_add(1);
                Some(Event::AppAttestKeyMade { id, outcome: Ok([self.app_attest_keys; 32]) })
            }
            Effect::Attest { id, request } => Some(Event::Attested { id, outcome: Ok(self.attest(request)) }),
            Effect::Sign { id, handle, message } => {
                Some(Event::Signed { id, outcome: self.sign(&handle, &message) })
            }
            Effect::Store(bytes) => {
                self.storage = Some(bytes);
                None
            }
            Effect::WaitUntil(uptime) => {
                self.wake = Some(uptime);
                None
            }
            Effect::Ready | Effect::Failed { .. } => None,
        }
    }

    pub fn make_key(&mut self, challenge: Option<[u8; 32]>) -> MadeKey {
        self.keys_made += 1;
        let key = SigningKey::from_slice(&[self.keys_made.to_be_bytes(); 16].concat()).unwrap();
        let public_key =
            PublicKey::from_p256_sec1(key.verifying_key().to_sec1_point(false).as_bytes()).unwrap();
        let handle = number_bytes(self.keys_made);
        self.keys.insert(handle.clone(), key);
        MadeKey {
            handle: KeyHandle::new(handle).unwrap(),
            public_key,
            protection: self.protection,
            chain: challenge
                .filter(|_| self.attests_keys)
                .map(|challenge| challenge.to_vec())
                .into_iter()
                .collect(),
        }
    }

    /// Signs as key stores do: DER.
    pub fn sign(&self, handle: &KeyHandle, message: &[u8]) -> Result<Vec<u8>, KeyFailure> {
        let key = self.keys.get(handle.as_bytes()).ok_or(KeyFailure::Lost)?;
        let signature: Signature = key.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn attest(&mut self, request: AttestRequest) -> Evidence {
        self.attested.push(request);
        match request {
            AttestRequest::AppAttest { key_id, client_data_hash } => {
                Evidence::AppAttest { attestation_object: client_data_hash.to_vec(), key_id }
            }
            AttestRequest::AppAttestAssertion { client_data_hash, .. } => {
                Evidence::AppAttestAssertion { assertion: client_data_hash.to_vec() }
            }
            AttestRequest::AndroidThrowawayKey { challenge } => {
                Evidence::AndroidKey { chain: vec![challenge.to_vec()] }
            }
            AttestRequest::PlayIntegrity { request_hash } => {
                Evidence::PlayIntegrity { token: base64url(&request_hash) }
            }
            AttestRequest::DevelopmentKey { message } => {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&message);
                Evidence::DevelopmentKey { key_id: "developer".to_owned(), signature }
            }
        }
    }
}

fn number_bytes(number: u16) -> Vec<u8> {
    number.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
}
