//! What the service answers, and the way out of each failure: the same bytes again, a new challenge, new keys, or a
//! pause.

use std::sync::Arc;

use super::answer::{self, Expected, Session, Unverified};
use super::config::{Platform, ResultKeys};
use super::flow::Turn;
use super::pace::Pace;
use super::port::{Answer, AnswerError, AttesterError, Effect, EffectId, Fetch, MAX_ANSWER, Unreached};
use super::state::AppAttestKey;
use super::{Attempt, Attester, Awaiting, Phase};
use crate::enrolment::Cure;
use crate::token::result::VouchedBy;

const ENROLMENT_TYPE: &str = "application/cbor";

impl Attester {
    /// Sends the signed bytes, for the first time or again.
    pub(super) fn send_envelope(&mut self, turn: &mut Turn<'_>) {
        let Some(Attempt { envelope: Some(body), instance, .. }) = &self.attempt else { return };
        let url = match instance {
            None => self.config.url("/v1/instances"),
            Some(instance) => self.config.url(&format!("/v1/instances/{}/results", instance.to_base64url())),
        };
        let call = Fetch { post: true, url, content_type: Some(ENROLMENT_TYPE), body: body.clone() };
        let id = self.await_effect(Awaiting::Answer, turn);
        turn.effects.push(Effect::Fetch { id, call });
    }

    pub(super) fn envelope_answered(&mut self, outcome: Result<Answer, Unreached>, turn: &mut Turn<'_>) {
        let answer = match outcome {
            Ok(answer) if answer.body.len() <= MAX_ANSWER => answer,
            _ => return self.fail(AttesterError::Unreachable, Pace::Soon, None, turn),
        };
        if !matches!(answer.status, 200 | 201) {
            return self.refused(&answer, turn);
        }
        match Unverified::decode(&answer.body) {
            Ok(unverified) => {
                if let Some(attempt) = &mut self.attempt {
                    attempt.held = Some((unverified, turn.now));
                }
                self.verify_held(turn);
            }
            Err(error) => self.distrust(error, turn),
        }
    }

    /// Verifies the answer at hand, fetching the service's keys first where they are not known.
    pub(super) fn verify_held(&mut self, turn: &mut Turn<'_>) {
        let (Some(attempt), Some(key)) = (&mut self.attempt, &self.state.key) else { return };
        let Some((unverified, came)) = attempt.held.clone() else { return };
        if let (true, Some(id)) = (self.keys.known.is_empty(), self.keys.fetching) {
            self.await_id(Awaiting::KeySet, id, turn);
            return;
        }
        let expected = Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            session_key: attempt.session_public,
            instance_jkt: key.public_key.thumbprint(),
            instance: attempt.instance,
        };
        let (server_time, challenge) = (unverified.server_time, unverified.next_challenge);
        match unverified.verify(&expected, &self.keys.known, attempt.session_key.clone()) {
            Ok((session, vouching)) => {
                let played = attempt.plays;
                self.clock.learn(server_time, came);
                if self.is_vouched_for_by_google_alone(&session) {
                    // A token that Google was not asked about does not count: the next renewal brings another, before
                    // the service insists on it.
                    self.state.play_time = Some(session.claims.evidence_time);
                } else if played {
                    self.state.play_time = Some(server_time);
                }
                self.state.instance = Some(session.claims.instance);
                self.state.evidence_time = Some(session.claims.evidence_time);
                self.state.challenge = Some(challenge);
                self.state.clock_offset = self.clock.offset();
                if let Some(key) = &mut self.state.app_attest {
                    key.pending = None;
                }
                self.state.vouching = Some(Arc::new(vouching));
                self.session = Some(session);
                self.attempt = None;
                if self.current_session(turn.now).is_none() {
                    // An answer that was asked for again has what is left of its result's life: here nothing.
                    let error = AttesterError::Unavailable { reference: None };
                    return self.fail(error, Pace::OnceSoon, None, turn);
                }
                self.failures = 0;
                self.failure = None;
                self.fresh_wanted = false;
                self.phase = Phase::Idle;
                turn.effects.push(Effect::Ready);
            }
            Err(AnswerError::UnknownKey)
                if matches!(self.config.result_keys, ResultKeys::Fetched) && !attempt.keys_refetched =>
            {
                attempt.keys_refetched = true;
                let id = self.fetch_key_set(turn);
                self.await_id(Awaiting::KeySet, id, turn);
            }
            Err(error) => self.distrust(error, turn),
        }
    }

    fn is_vouched_for_by_google_alone(&self, session: &Session) -> bool {
        matches!(self.config.platform, Platform::Android { .. })
            && session.claims.vouched_by == VouchedBy::AttestedApp
    }

    pub(super) fn key_set(&mut self, outcome: Result<Answer, Unreached>, turn: &mut Turn<'_>) {
        self.keys.fetching = None;
        let keys = match outcome {
            Ok(Answer { status: 200, body, .. }) if body.len() <= MAX_ANSWER => {
                answer::result_keys(&body).ok()
            }
            _ => None,
        };
        let waiting = matches!(self.phase, Phase::Busy { awaiting: Awaiting::KeySet, .. });
        match keys {
            Some(keys) => {
                self.keys.known = keys;
                if waiting {
                    self.verify_held(turn);
                }
            }
            None if waiting => {
                if let Some(attempt) = &mut self.attempt {
                    attempt.keys_refetched = false;
                }
                self.fail(AttesterError::Unreachable, Pace::Soon, None, turn);
            }
            None => {}
        }
    }

    /// An answer that is not the service's, or not for us: nothing of the attempt is used again.
    fn distrust(&mut self, error: AnswerError, turn: &mut Turn<'_>) {
        self.abandon();
        self.fail(AttesterError::UntrustedAnswer(error), Pace::Slow, None, turn);
    }

    /// Follows a refusal of the service.
    pub(super) fn refused(&mut self, answer: &Answer, turn: &mut Turn<'_>) {
        let refusal = answer::refusal(&answer.body);
        let reference = refusal.as_ref().and_then(|refusal| refusal.reference);
        if answer.status >= 500 || answer.status == 429 {
            // Nothing was consumed: the same bytes again, later.
            return self.fail(AttesterError::Unavailable { reference }, Pace::Soon, answer.retry_after, turn);
        }
        let Some(refusal) = refusal else {
            // Not the service's words, so nothing was consumed either.
            return self.fail(AttesterError::Unreachable, Pace::Soon, answer.retry_after, turn);
        };
        self.abandon();
        if refusal.cure == Some(Cure::Retry) {
            let error = AttesterError::Unavailable { reference };
            return self.fail(error, Pace::OnceSoon, answer.retry_after, turn);
        }
        // Whom the service refuses, nothing of before vouches for either.
        self.state.vouching = None;
        match refusal.cure {
            Some(Cure::ReEnrol) if !self.restarted && self.wishes.re_enrol(turn.now.uptime) => {
                self.forget_keys(turn);
                self.restart(turn);
            }
            Some(Cure::UpdateApp) => {
                self.fail(AttesterError::UpdateRequired { reference }, Pace::Hourly, None, turn);
            }
            _ => self.fail(AttesterError::Refused { reference }, Pace::Slow, answer.retry_after, turn),
        }
    }

    /// Forgets this installation's keys and instance.
    pub(super) fn forget_keys(&mut self, turn: &mut Turn<'_>) {
        if let Some(key) = self.state.key.take() {
            turn.effects.push(Effect::ForgetKey(key.handle));
        }
        self.state.app_attest = None;
        self.state.instance = None;
        self.state.vouching = None;
    }

    /// Starts over at once, the first time for one demand; after that it is a failure like others.
    pub(super) fn restart(&mut self, turn: &mut Turn<'_>) {
        self.abandon();
        if self.restarted {
            return self.fail(AttesterError::PlatformUnavailable, Pace::Slow, None, turn);
        }
        self.restarted = true;
        self.begin(turn);
    }

    /// Drops the attempt. A challenge that was never sent is kept; an App Attest key that was attested in vain is not.
    pub(super) fn abandon(&mut self) {
        match self.attempt.take() {
            Some(Attempt { envelope: None, enrolment: None, challenge, .. }) => {
                self.state.challenge = Some(challenge);
            }
            Some(_) if matches!(self.state.app_attest, Some(AppAttestKey { pending: Some(_), .. })) => {
                self.state.app_attest = None;
            }
            _ => {}
        }
    }

    /// Pauses after a failure. The first one is not told to those who wait: it is tried again soon.
    pub(super) fn fail(
        &mut self,
        error: AttesterError,
        pace: Pace,
        retry_after: Option<u64>,
        turn: &mut Turn<'_>,
    ) {
        if self.attempt.as_ref().is_some_and(|attempt| attempt.enrolment.is_none()) {
            self.abandon();
        }
        let pause = pace.pause(self.failures, retry_after, turn.entropy.jitter);
        let until = turn.now.uptime.saturating_add(pause);
        // Where the instance key can prove meanwhile, nobody is kept waiting.
        let quiet = self.failures == 0
            && pace.is_soon()
            && retry_after.unwrap_or(0) == 0
            && (self.current_session(turn.now).is_some() || self.current_vouching(turn.now).is_none());
        self.failures = self.failures.saturating_add(1);
        self.failure = Some(error);
        self.phase = Phase::Paused { until, error, quiet };
        turn.effects.push(match quiet {
            true => Effect::WaitUntil(until),
            false => Effect::Failed { error, retry_at: until },
        });
    }

    pub(super) fn fetch_key_set(&mut self, turn: &mut Turn<'_>) -> EffectId {
        let id = self.new_id();
        self.keys.fetching = Some(id);
        let url = self.config.url("/.well-known/jwks.json");
        let call = Fetch { post: false, url, content_type: None, body: Vec::new() };
        turn.effects.push(Effect::Fetch { id, call });
        id
    }
}
