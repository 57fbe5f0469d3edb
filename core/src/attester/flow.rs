//! The steps from a wish for a result to a signed envelope.

use core::time::Duration;
use std::collections::VecDeque;

use ed25519_dalek::{Signer, SigningKey};
use p256::ecdsa::Signature as P256Signature;

use super::config::{Platform, ResultKeys};
use super::outcome::Pace;
use super::port::{
    Answer, AttestRequest, AttesterError, Effect, EffectId, Entropy, Event, EvidenceFailure, Fetch,
    KeyFailure, MAX_ANSWER, MadeKey, Unreached,
};
use super::state::{AppAttestKey, StoredKey};
use super::{Attempt, Attester, Awaiting, Currency, Now, Phase, Wanted};
use crate::binding::{Binding, Purpose};
use crate::challenge::Challenge;
use crate::enrolment::{ChallengeAnswer, Enrolment, Evidence, MAX_CERTIFICATES, MAX_ENVELOPE};
use crate::time::Timestamp;
use crate::token::keys::{Algorithm, PublicKey, PureRust, SIGNATURE_LENGTH, VerifySignature};

/// Seconds for which a challenge is good, and for which it is still begun with.
const CHALLENGE_LIFETIME: u64 = 20 * 60;
const CHALLENGE_USABLE: u64 = 18 * 60;
/// Seconds after which Android evidence, and a Play Integrity token, are due again.
const EVIDENCE_DUE: u64 = 24 * 60 * 60;
const PLAY_INTEGRITY_DUE: u64 = 6 * 60 * 60;
/// How long the host may take for one effect.
const PATIENCE: Duration = Duration::from_secs(60);

/// One step: what it was given, and the effects it collects.
pub(super) struct Turn<'a> {
    pub(super) now: Now,
    pub(super) entropy: &'a Entropy,
    pub(super) effects: Vec<Effect>,
}

impl Attester {
    pub(super) fn handle(&mut self, event: Event, turn: &mut Turn<'_>) {
        match event {
            Event::ResultWanted => self.wanted(turn),
            Event::Tick => self.tick(turn),
            Event::Fetched { id, outcome } if self.keys.fetching == Some(id) => self.key_set(outcome, turn),
            Event::Fetched { id, outcome } => match self.answered(id) {
                Some(Awaiting::Challenge) => self.challenge_answered(outcome, turn),
                Some(Awaiting::Answer) => self.envelope_answered(outcome, turn),
                _ => {}
            },
            Event::KeyMade { id, outcome } => {
                if self.answered(id) == Some(Awaiting::Key) {
                    self.key_made(outcome, turn);
                }
            }
            Event::AppAttestKeyMade { id, outcome } => {
                if self.answered(id) == Some(Awaiting::AppAttestKey) {
                    self.app_attest_key_made(outcome, turn);
                }
            }
            Event::Attested { id, outcome } => {
                if self.answered(id) == Some(Awaiting::Evidence) {
                    self.attested(outcome, turn);
                }
            }
            Event::Signed { id, outcome } => {
                if self.answered(id) == Some(Awaiting::Signature) {
                    self.signed(outcome, turn);
                }
            }
        }
    }

    /// What is being waited for under `id`; nothing if the wait is over.
    fn answered(&self, id: EffectId) -> Option<Awaiting> {
        match self.phase {
            Phase::Busy { awaiting, id: expected, .. } if expected == id => Some(awaiting),
            _ => None,
        }
    }

    fn wanted(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            // Whoever asks learns until when to wait: the host may have lost what it was doing.
            Phase::Busy { deadline: until, .. } | Phase::Paused { until, quiet: true, .. } => {
                turn.effects.push(Effect::WaitUntil(until));
            }
            _ if self.currency(turn.now) == Currency::Current => turn.effects.push(Effect::Ready),
            Phase::Paused { until, error, .. } if turn.now.uptime < until => {
                turn.effects.push(Effect::Failed { error, retry_at: until });
            }
            _ => {
                self.restarted = false;
                self.begin(turn);
            }
        }
    }

    fn tick(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Busy { awaiting, deadline, .. } if turn.now.uptime >= deadline => match awaiting {
                Awaiting::Key | Awaiting::AppAttestKey | Awaiting::Signature => {
                    self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
                }
                Awaiting::Evidence => self.attested(Err(EvidenceFailure::ServerUnavailable), turn),
                Awaiting::Challenge | Awaiting::Answer => {
                    // A key set that was asked for at the same time is not coming either.
                    self.keys.fetching = None;
                    self.fail(AttesterError::Unreachable, Pace::Soon, None, turn);
                }
                Awaiting::KeySet => {
                    self.keys.fetching = None;
                    if let Some(attempt) = &mut self.attempt {
                        attempt.keys_refetched = false;
                    }
                    self.fail(AttesterError::Unreachable, Pace::Soon, None, turn);
                }
            },
            Phase::Busy { deadline, .. } => turn.effects.push(Effect::WaitUntil(deadline)),
            Phase::Paused { until, quiet: true, .. } if turn.now.uptime >= until => self.begin(turn),
            Phase::Paused { until, quiet: true, .. } => turn.effects.push(Effect::WaitUntil(until)),
            _ => {}
        }
    }

    /// Goes on with what is under way, or starts anew.
    pub(super) fn begin(&mut self, turn: &mut Turn<'_>) {
        // One that was asked for before may have been dropped by the host; a late answer to it is ignored.
        if matches!(self.config.result_keys, ResultKeys::Fetched) && self.keys.known.is_empty() {
            self.fetch_key_set(turn);
        }
        let server_now = self.clock.at(turn.now);
        if let Some(attempt) = &mut self.attempt {
            // An answer that had to wait for long is asked for again, rather than used with little of its life left.
            attempt.held = attempt.held.take().filter(|(_, came)| is_recent(*came, turn.now));
            if attempt.held.is_some() {
                return self.verify_held(turn);
            }
            if is_alive(&attempt.challenge, CHALLENGE_LIFETIME, server_now) {
                match (&attempt.envelope, &attempt.enrolment) {
                    (Some(_), _) => return self.send_envelope(turn),
                    (None, Some(_)) => return self.sign(turn),
                    (None, None) => {}
                }
            }
            self.abandon();
        }
        match self.take_challenge(server_now) {
            Some(challenge) => self.start(challenge, turn),
            None => {
                let url = self.config.url("/v1/challenge");
                let call = Fetch { post: true, url, content_type: None, body: Vec::new() };
                let id = self.await_effect(Awaiting::Challenge, turn);
                turn.effects.push(Effect::Fetch { id, call });
            }
        }
    }

    /// A challenge at hand that is still good: first the one that an App Attest key waits to be attested under.
    fn take_challenge(&mut self, server_now: Timestamp) -> Option<Challenge> {
        if let Some(AppAttestKey { pending: Some(challenge), .. }) = self.state.app_attest {
            if is_alive(&challenge, CHALLENGE_USABLE, server_now) {
                self.state.challenge = self.state.challenge.filter(|other| *other != challenge);
                return Some(challenge);
            }
            self.state.app_attest = None;
        }
        self.state.challenge.take().filter(|challenge| is_alive(challenge, CHALLENGE_USABLE, server_now))
    }

    fn challenge_answered(&mut self, outcome: Result<Answer, Unreached>, turn: &mut Turn<'_>) {
        let answer = match outcome {
            Ok(answer) if answer.body.len() <= MAX_ANSWER => answer,
            _ => return self.fail(AttesterError::Unreachable, Pace::Soon, None, turn),
        };
        if answer.status != 200 {
            return self.refused(&answer, turn);
        }
        let challenge = serde_json::from_slice::<ChallengeAnswer>(&answer.body).ok().and_then(|answer| {
            Some((Challenge::from_base64url(&answer.attestation_challenge).ok()?, answer))
        });
        match challenge {
            Some((challenge, answer)) => {
                self.clock.learn(Timestamp::from_unix_seconds(answer.server_time), turn.now);
                self.start(challenge, turn);
            }
            // A captive portal answers 200 too.
            None => self.fail(AttesterError::Unreachable, Pace::Soon, answer.retry_after, turn),
        }
    }

    /// Starts an enrolment or renewal under `challenge`, with a new session key.
    fn start(&mut self, challenge: Challenge, turn: &mut Turn<'_>) {
        let session_key = SigningKey::from_bytes(&turn.entropy.seed);
        let Ok(session_public) = PublicKey::from_ed25519(session_key.verifying_key().to_bytes()) else {
            return self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
        };
        if matches!(self.config.platform, Platform::Apple { .. }) {
            // An instance renews with its App Attest key, and a registered App Attest key serves no other instance.
            match (&self.state.app_attest, self.state.instance) {
                (Some(AppAttestKey { pending: None, .. }), None) => self.state.app_attest = None,
                (None | Some(AppAttestKey { pending: Some(_), .. }), _) => self.state.instance = None,
                _ => {}
            }
        }
        let server_now = self.clock.at(turn.now);
        let mut wanted = VecDeque::new();
        match (self.config.platform, self.state.instance) {
            (Platform::Apple { .. }, None) => wanted.push_back(Wanted::AppAttest),
            (Platform::Apple { .. }, Some(_)) => wanted.push_back(Wanted::AppAttestAssertion),
            (Platform::Development, _) => wanted.push_back(Wanted::DevelopmentKey),
            (Platform::Android { play_integrity }, instance) => {
                // The chain of a new key comes with the key.
                if instance.is_some()
                    && (self.fresh_wanted || is_due(self.state.evidence_time, EVIDENCE_DUE, server_now))
                {
                    wanted.push_back(Wanted::AndroidThrowawayKey);
                }
                if play_integrity
                    && (self.fresh_wanted || is_due(self.state.play_time, PLAY_INTEGRITY_DUE, server_now))
                {
                    wanted.push_back(Wanted::PlayIntegrity);
                }
            }
        }
        self.attempt = Some(Attempt {
            instance: self.state.instance,
            challenge,
            session_key,
            session_public,
            wanted,
            evidence: Vec::new(),
            enrolment: None,
            envelope: None,
            held: None,
            keys_refetched: false,
            plays: false,
        });
        let key_challenge = match self.config.platform {
            Platform::Android { .. } => Some(self.binding(Purpose::Enrol, &challenge, None, None).hash()),
            _ => None,
        };
        // An Android key that is not registered was attested under another challenge: another one is needed.
        if self.state.instance.is_some() || (self.state.key.is_some() && key_challenge.is_none()) {
            return self.gather(turn);
        }
        if let Some(old) = self.state.key.take() {
            turn.effects.push(Effect::ForgetKey(old.handle));
        }
        let id = self.await_effect(Awaiting::Key, turn);
        turn.effects.push(Effect::MakeKey { id, challenge: key_challenge });
    }

    fn key_made(&mut self, outcome: Result<MadeKey, KeyFailure>, turn: &mut Turn<'_>) {
        let made = match outcome {
            Ok(made) if made.public_key.algorithm() == Algorithm::Esp256 => made,
            Err(KeyFailure::Unsupported) => {
                return self.fail(AttesterError::Unsupported, Pace::Hourly, None, turn);
            }
            _ => return self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn),
        };
        if let Platform::Android { play_integrity } = self.config.platform {
            let is_attested = !made.chain.is_empty();
            if !(is_attested || play_integrity) || made.chain.len() as u64 > MAX_CERTIFICATES {
                turn.effects.push(Effect::ForgetKey(made.handle));
                return self.fail(AttesterError::Unsupported, Pace::Hourly, None, turn);
            }
            match &mut self.attempt {
                Some(attempt) if is_attested => {
                    attempt.evidence.push(Evidence::AndroidKey { chain: made.chain });
                }
                // Google Play alone can vouch for this device, so its token is wanted whether due or not.
                Some(attempt) if !attempt.wanted.contains(&Wanted::PlayIntegrity) => {
                    attempt.wanted.push_back(Wanted::PlayIntegrity);
                }
                _ => {}
            }
        }
        self.state.key =
            Some(StoredKey { handle: made.handle, public_key: made.public_key, protection: made.protection });
        self.gather(turn);
    }

    /// Asks for the next piece of evidence, or for the signature when all is there.
    fn gather(&mut self, turn: &mut Turn<'_>) {
        let (Some(attempt), Some(key)) = (&self.attempt, &self.state.key) else {
            return self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
        };
        let Some(wanted) = attempt.wanted.front() else {
            return self.sign(turn);
        };
        let hash = match attempt.instance {
            None => self.binding(Purpose::Enrol, &attempt.challenge, Some(&key.public_key), None),
            Some(_) => self.binding(
                Purpose::Renew,
                &attempt.challenge,
                Some(&key.public_key),
                Some(&attempt.session_public),
            ),
        }
        .hash();
        let app_attest_key = self.state.app_attest.as_ref().map(|key| key.key_id);
        let request = match (wanted, app_attest_key) {
            (Wanted::AppAttest | Wanted::AppAttestAssertion, None) => {
                let id = self.await_effect(Awaiting::AppAttestKey, turn);
                turn.effects.push(Effect::MakeAppAttestKey { id });
                return;
            }
            (Wanted::AppAttest, Some(key_id)) => AttestRequest::AppAttest { key_id, client_data_hash: hash },
            (Wanted::AppAttestAssertion, Some(key_id)) => {
                AttestRequest::AppAttestAssertion { key_id, client_data_hash: hash }
            }
            (Wanted::AndroidThrowawayKey, _) => AttestRequest::AndroidThrowawayKey { challenge: hash },
            (Wanted::PlayIntegrity, _) => AttestRequest::PlayIntegrity { request_hash: hash },
            (Wanted::DevelopmentKey, _) => AttestRequest::DevelopmentKey { message: hash },
        };
        let id = self.await_effect(Awaiting::Evidence, turn);
        turn.effects.push(Effect::Attest { id, request });
    }

    fn app_attest_key_made(&mut self, outcome: Result<[u8; 32], EvidenceFailure>, turn: &mut Turn<'_>) {
        let Some(attempt) = &self.attempt else { return };
        match outcome {
            Ok(key_id) => {
                self.state.app_attest = Some(AppAttestKey { key_id, pending: Some(attempt.challenge) });
                self.gather(turn);
            }
            Err(EvidenceFailure::Unsupported) => {
                self.fail(AttesterError::Unsupported, Pace::Hourly, None, turn);
            }
            Err(_) => self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn),
        }
    }

    fn attested(&mut self, outcome: Result<Evidence, EvidenceFailure>, turn: &mut Turn<'_>) {
        let Some(attempt) = &mut self.attempt else { return };
        let Some(wanted) = attempt.wanted.pop_front() else { return };
        let failure = match outcome {
            Ok(evidence) if fits(wanted, &evidence) => {
                attempt.plays |= wanted == Wanted::PlayIntegrity;
                attempt.evidence.push(evidence);
                return self.gather(turn);
            }
            Ok(_) => EvidenceFailure::Other,
            Err(failure) => failure,
        };
        match (wanted, failure) {
            (Wanted::AppAttest | Wanted::DevelopmentKey, EvidenceFailure::Unsupported) => {
                self.state.app_attest = None;
                self.fail(AttesterError::Unsupported, Pace::Hourly, None, turn);
            }
            // The key and, by the challenge, the hash stay for the next try.
            (Wanted::AppAttest, EvidenceFailure::ServerUnavailable) => {
                self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
            }
            (Wanted::AppAttest, _) => {
                self.state.app_attest = None;
                self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
            }
            (Wanted::AppAttestAssertion, EvidenceFailure::KeyLost) => {
                self.state.app_attest = None;
                self.state.instance = None;
                self.restart(turn);
            }
            (Wanted::DevelopmentKey, _) => {
                self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
            }
            // Nothing else vouches: without it there is no enrolment.
            (Wanted::PlayIntegrity, _) if attempt.instance.is_none() && attempt.evidence.is_empty() => {
                self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
            }
            (Wanted::AppAttestAssertion | Wanted::AndroidThrowawayKey | Wanted::PlayIntegrity, _) => {
                self.gather(turn);
            }
        }
    }

    /// Puts the envelope together, if that was not done before, and asks the instance key to sign it.
    fn sign(&mut self, turn: &mut Turn<'_>) {
        let (Some(attempt), Some(key)) = (&mut self.attempt, &self.state.key) else {
            return self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
        };
        let mut enrolment = attempt.enrolment.take().unwrap_or_else(|| Enrolment {
            instance: attempt.instance,
            issuer: self.config.issuer.clone(),
            challenge: attempt.challenge,
            client_id: self.config.client_id.clone(),
            instance_key: key.public_key,
            session_key: attempt.session_public,
            possession: [0; SIGNATURE_LENGTH],
            evidence: core::mem::take(&mut attempt.evidence),
            environment: self.environment,
            app_version: self.config.app_version.clone(),
            protection: key.protection,
        });
        enrolment.possession = attempt.session_key.sign(&enrolment.possession_hash()).to_bytes();
        let message = enrolment.to_unsigned().to_be_signed();
        if message.len() > MAX_ENVELOPE - 128 {
            return self.fail(AttesterError::PlatformUnavailable, Pace::Slow, None, turn);
        }
        attempt.enrolment = Some(enrolment);
        let handle = key.handle.clone();
        let id = self.await_effect(Awaiting::Signature, turn);
        turn.effects.push(Effect::Sign { id, handle, message });
    }

    fn signed(&mut self, outcome: Result<Vec<u8>, KeyFailure>, turn: &mut Turn<'_>) {
        let signature = match outcome {
            Ok(signature) => signature,
            Err(KeyFailure::Lost) => {
                self.forget_keys(turn);
                return self.restart(turn);
            }
            Err(KeyFailure::Unsupported) => {
                return self.fail(AttesterError::Unsupported, Pace::Hourly, None, turn);
            }
            Err(KeyFailure::Unavailable) => {
                return self.fail(AttesterError::PlatformUnavailable, Pace::Soon, None, turn);
            }
        };
        let Some(attempt) = &mut self.attempt else { return };
        let Some(enrolment) = &attempt.enrolment else { return };
        let unsigned = enrolment.to_unsigned();
        let valid = fixed_length(&signature).filter(|signature| {
            PureRust.verify(&enrolment.instance_key, &unsigned.to_be_signed(), signature).is_ok()
        });
        match valid {
            Some(signature) => {
                attempt.envelope = Some(unsigned.with_signature(&signature));
                self.send_envelope(turn);
            }
            // Another key answers under this handle: ours did not come along when the state was restored.
            None => {
                self.forget_keys(turn);
                self.restart(turn);
            }
        }
    }

    fn binding<'a>(
        &'a self,
        purpose: Purpose,
        challenge: &'a Challenge,
        instance_key: Option<&'a PublicKey>,
        session_key: Option<&'a PublicKey>,
    ) -> Binding<'a> {
        Binding {
            purpose,
            issuer: &self.config.issuer,
            challenge: challenge.as_bytes(),
            client_id: &self.config.client_id,
            instance_key,
            session_key,
        }
    }

    pub(super) fn new_id(&mut self) -> EffectId {
        self.next_id += 1;
        EffectId(self.next_id)
    }

    pub(super) fn await_effect(&mut self, awaiting: Awaiting, turn: &mut Turn<'_>) -> EffectId {
        let id = self.new_id();
        self.await_id(awaiting, id, turn);
        id
    }

    pub(super) fn await_id(&mut self, awaiting: Awaiting, id: EffectId, turn: &mut Turn<'_>) {
        let deadline = turn.now.uptime.saturating_add(PATIENCE);
        self.phase = Phase::Busy { awaiting, id, deadline };
        turn.effects.push(Effect::WaitUntil(deadline));
    }
}

/// Whether `challenge` was issued less than `lifetime` seconds ago.
fn is_alive(challenge: &Challenge, lifetime: u64, server_now: Timestamp) -> bool {
    server_now.seconds_since(challenge.issued_at()) < lifetime
}

fn is_due(last: Option<Timestamp>, after: u64, server_now: Timestamp) -> bool {
    last.is_none_or(|last| server_now.seconds_since(last) >= after)
}

/// Whether an answer came within the last minute.
fn is_recent(came: Now, now: Now) -> bool {
    now.uptime.saturating_sub(came.uptime) < Duration::from_secs(60)
}

/// Whether the host brought what was asked for.
const fn fits(wanted: Wanted, evidence: &Evidence) -> bool {
    matches!(
        (wanted, evidence),
        (Wanted::AppAttest, Evidence::AppAttest { .. })
            | (Wanted::AppAttestAssertion, Evidence::AppAttestAssertion { .. })
            | (Wanted::AndroidThrowawayKey, Evidence::AndroidKey { .. })
            | (Wanted::PlayIntegrity, Evidence::PlayIntegrity { .. })
            | (Wanted::DevelopmentKey, Evidence::DevelopmentKey { .. })
    )
}

/// `r || s` from itself, or from the DER of X9.62 that key stores give.
pub(super) fn fixed_length(signature: &[u8]) -> Option<[u8; SIGNATURE_LENGTH]> {
    match signature.try_into() {
        Ok(fixed) => Some(fixed),
        Err(_) => Some(P256Signature::from_der(signature).ok()?.to_bytes().into()),
    }
}
