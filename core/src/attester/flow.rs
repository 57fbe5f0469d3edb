//! What each event leads to, and the steps from a wish for a result to a challenge at hand.

use core::time::Duration;

use super::config::ResultKeys;
use super::pace::Pace;
use super::port::{
    Answer, AttesterError, Effect, EffectId, Entropy, Event, EvidenceFailure, Fetch, MAX_ANSWER, Unreached,
};
use super::state::AppAttestKey;
use super::{Attester, Awaiting, Currency, Now, Phase};
use crate::challenge::Challenge;
use crate::enrolment::ChallengeAnswer;
use crate::time::Timestamp;

/// Seconds for which a challenge is good, and for which it is still begun with.
const CHALLENGE_LIFETIME: u64 = 20 * 60;
const CHALLENGE_USABLE: u64 = 18 * 60;
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
                // Nobody signed this time: it serves where no signed answer has told a better one.
                if self.current_session(turn.now).is_none() {
                    self.clock.learn(Timestamp::from_unix_seconds(answer.server_time), turn.now);
                }
                self.start(challenge, turn);
            }
            // A captive portal answers 200 too.
            None => self.fail(AttesterError::Unreachable, Pace::Soon, answer.retry_after, turn),
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

/// Whether an answer came within the last minute.
fn is_recent(came: Now, now: Now) -> bool {
    now.uptime.saturating_sub(came.uptime) < Duration::from_secs(60)
}
