//! The attester: the device's half of the protocol as a state machine without I/O.
//!
//! A host (the bindings, a test, a virtual phone) owns the ports: key store, evidence source, HTTP, storage, clock
//! and randomness. It feeds [`Event`]s to [`Attester::step`] and carries out the [`Effect`]s that come back:
//!
//! ```text
//! ResultWanted ─► Fetch challenge ─► MakeKey ─► Attest ─► Sign envelope ─► Fetch answer ─► verified ─► Ready
//!                 (the last answer    (once)    (as the   (kept until
//!                  brought one)                  platform  answered)
//!                                                asks)
//! ```
//!
//! | what happens | way out |
//! | --- | --- |
//! | no answer, 5xx, 429, an answer that is not the service's | the same bytes again, once soon and then when wanted, with growing, jittered pauses |
//! | cure `retry` | a new challenge, once soon, then with pauses from a minute to an hour |
//! | cure `re-enrol` | keys forgotten, enrolled anew, once in an hour |
//! | key lost or invalidated, state restored on another phone | keys forgotten, enrolled anew, once per demand |
//! | App Attest key lost | enrolled anew with the same instance key |
//! | Android is out of attestation keys | pauses from half a minute to an hour; an enrolled phone renews without evidence |
//! | App Attest `serverUnavailable` | same key and hash again while the challenge lives; any other error discards the key |
//! | assertion, throwaway key or Play Integrity token not to be had | renewed without; the service decides |
//! | Android attests no key | Play Integrity vouches alone; without a token for it, no enrolment, and no renewal after a day |
//! | cure `update-app` | an hour's pause |
//! | refused, banned, answer not authentic | pauses from a minute to an hour |
//! | wall clock stepped | nothing: after the first answer, time is counted by the uptime clock |
//! | stored state damaged, or of another issuer, client or environment | enrolled anew |
//! | process restarted | renewed with the stored challenge: one round trip (the session key died with the process) |
//! | process restarted while the service is away | the instance key proves until the last result would have expired |
//! | an edge is never content with the evidence | fresh evidence after 1, 2, 4, … minutes, then hourly |
//!
//! Renewal happens when a result is wanted past its `renew_after`: an idle app stays quiet. However many ask, one
//! enrolment or renewal is under way. The session key never leaves this module, and dies with its result.

mod answer;
mod client_authentication;
mod clock;
mod config;
mod edge;
mod envelope;
mod flow;
mod outcome;
mod pace;
mod port;
mod prove;
mod state;
mod vouching;

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

use ed25519_dalek::SigningKey;

use answer::{Session, Unverified};
use clock::ServerClock;
use edge::Hints;
use pace::Wishes;
use state::State;
use vouching::Vouching;

pub use client_authentication::{ClientAuthentication, ClientAuthenticationHeaders, ClientProof};
pub use clock::Now;
pub use config::{
    Config, ConfigError, MAX_APP_VERSION, MAX_NAME, MAX_RESOURCES, Platform, Resource, ResultKeys, Settings,
};
pub use edge::{Advice, EdgeAnswer};
pub use port::{
    Answer, AnswerError, AttestRequest, AttesterError, Effect, EffectId, Entropy, Event, EvidenceFailure,
    Fetch, KeyFailure, KeyHandle, MAX_ANSWER, MAX_HANDLE, MadeKey, Reference, Unreached,
};
pub use prove::{
    InstanceKeyHeaders, InstanceKeyProof, MAX_HASHED_CONTENT, ProofHeaders, ProofRequest, ProveError,
};

use crate::challenge::Challenge;
use crate::enrolment::{Enrolment, Evidence};
use crate::time::Timestamp;
use crate::token::keys::PublicKey;
use crate::token::result::{InstanceId, Protection, Tier};

/// A result is used until this many seconds before it expires, so that what is sent with it still arrives in time.
pub const EXPIRY_MARGIN: u64 = 10;

/// The device's state machine. One per installation and configuration; the host serialises its steps.
pub struct Attester {
    config: Config,
    state: State,
    /// The state as it was last handed out to be stored.
    stored: State,
    clock: ServerClock,
    session: Option<Session>,
    phase: Phase,
    attempt: Option<Attempt>,
    keys: ServiceKeys,
    /// What the device last saw of its environment.
    environment: u64,
    /// By resource, in the order of the configuration: what its edge asked for.
    hints: Vec<Hints>,
    /// An edge asked for fresh evidence, and no result has been obtained since.
    fresh_wanted: bool,
    /// When wishes of edges and of the service were last followed.
    wishes: Wishes,
    /// Failures since the last success, and the last of them.
    failures: u32,
    failure: Option<AttesterError>,
    /// Whether keys were already forgotten for the demand being served.
    restarted: bool,
    next_id: u64,
}

/// Whether a result is there, and whether it is time for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Currency {
    /// Good, and nothing to do.
    Current,
    /// Good; send [`Event::ResultWanted`] without waiting for it.
    Due,
    /// There is none: send [`Event::ResultWanted`] and wait for [`Effect::Ready`] or [`Effect::Failed`]. After a failure
    /// the instance key may still prove, with what an earlier process obtained:
    /// [`Attester::prepare_instance_key_proof`].
    Missing,
}

/// What is known of this installation, for support and diagnosis; nothing in it is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The client instance.
    pub instance: Option<InstanceId>,
    /// Where the instance key lives, as the key store said: on an Android phone [`Protection::Tee`] says that no StrongBox
    /// was to be had.
    pub protection: Option<Protection>,
    /// The tier of the last result, also of one that an earlier process obtained.
    pub tier: Option<Tier>,
    /// When that result expires, or expired, by the service's clock.
    pub expires_at: Option<Timestamp>,
    /// Why the last attempt failed, with the service's reference where it gave one; nothing after a success.
    pub failure: Option<AttesterError>,
    /// Uptime before which nothing is tried again.
    pub retry_at: Option<Duration>,
}

enum Phase {
    /// Nothing under way.
    Idle,
    /// One effect is being waited for, until a deadline of the uptime clock.
    Busy { awaiting: Awaiting, id: EffectId, deadline: Duration },
    /// Nothing is tried before `until`. In a quiet pause those who wait were told nothing yet, and the tick resumes.
    Paused { until: Duration, error: AttesterError, quiet: bool },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaiting {
    Challenge,
    Key,
    AppAttestKey,
    Evidence,
    Signature,
    Answer,
    KeySet,
}

/// One enrolment or renewal, from its challenge to its answer.
struct Attempt {
    /// The instance to renew; `None` enrols.
    instance: Option<InstanceId>,
    challenge: Challenge,
    session_key: SigningKey,
    session_public: PublicKey,
    wanted: VecDeque<Wanted>,
    evidence: Vec<Evidence>,
    /// What the instance key signs, once all evidence is there.
    enrolment: Option<Enrolment>,
    /// The signed bytes, from the moment they exist: a lost answer is asked for with the same.
    envelope: Option<Vec<u8>>,
    /// An answer that waits for the service's keys, and when it came.
    held: Option<(Unverified, Now)>,
    /// The key set was already fetched for this answer.
    keys_refetched: bool,
    /// A Play Integrity token is among the evidence.
    plays: bool,
}

/// Evidence still to be gathered; the hash it covers is known when its turn comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    AppAttest,
    AppAttestAssertion,
    AndroidThrowawayKey,
    PlayIntegrity,
    DevelopmentKey,
}

/// The keys that verify results.
struct ServiceKeys {
    known: Vec<(String, PublicKey)>,
    fetching: Option<EffectId>,
}

impl Attester {
    /// An attester for `config`, continuing from what [`Effect::Store`] last kept. State that is damaged or of
    /// another configuration is dropped. Does nothing before its first event.
    pub fn new(config: Config, stored: Option<&[u8]>) -> Self {
        let state = State::restore(stored, &config);
        let known = match &config.result_keys {
            ResultKeys::Pinned(keys) => keys.clone(),
            ResultKeys::Fetched => Vec::new(),
        };
        Self {
            clock: ServerClock::new(state.clock_offset),
            stored: state.clone(),
            state,
            session: None,
            phase: Phase::Idle,
            attempt: None,
            keys: ServiceKeys { known, fetching: None },
            environment: 0,
            hints: config.resources.iter().map(|_| Hints::default()).collect(),
            fresh_wanted: false,
            wishes: Wishes::default(),
            failures: 0,
            failure: None,
            restarted: false,
            next_id: 0,
            config,
        }
    }

    /// Continues from what is stored: for hosts that read it after [`Attester::new`], and for those with several
    /// processes of one app, before a run, if it is not what they themselves last read or wrote. After the first step,
    /// an enrolled installation's state alone is taken, and none while an attempt is under way. Pauses go on.
    pub fn restore(&mut self, stored: &[u8]) {
        if self.attempt.is_some() || matches!(self.phase, Phase::Busy { .. }) {
            return;
        }
        let state = State::decode(stored, &self.config);
        let Some(state) = state.filter(|state| self.next_id == 0 || state.instance.is_some()) else { return };
        if self.session.as_ref().is_some_and(|session| state.instance != Some(session.claims.instance)) {
            self.session = None;
        }
        if !self.clock.is_anchored() {
            self.clock = ServerClock::new(state.clock_offset);
        }
        self.stored = state.clone();
        self.state = state;
    }

    /// Takes in what happened and says what to do. `entropy` must be fresh for each step.
    pub fn step(&mut self, event: Event, now: Now, entropy: &Entropy) -> Vec<Effect> {
        let mut turn = flow::Turn { now, entropy, effects: Vec::new() };
        self.handle(event, &mut turn);
        // A spent challenge alone is not worth a write: offering it again costs one round trip.
        let spent = State { challenge: None, ..self.stored.clone() };
        if self.state != self.stored && self.state != spent {
            self.stored = self.state.clone();
            turn.effects.insert(0, Effect::Store(self.state.to_bytes(&self.config)));
        }
        turn.effects
    }

    /// Whether a result is there now, and whether it is time for another.
    pub fn currency(&self, now: Now) -> Currency {
        match self.current_session(now) {
            None => Currency::Missing,
            Some(session) if self.fresh_wanted || self.clock.at(now) >= session.renew_at => Currency::Due,
            Some(_) => Currency::Current,
        }
    }

    /// Notes what the device sees of its own environment, as a set of bits: it goes into the next envelope, and into
    /// proofs that bring no value of their own.
    pub fn note_environment(&mut self, bits: u64) {
        self.environment = bits;
    }

    /// What is known of this installation.
    pub fn standing(&self) -> Standing {
        let claims = self.session.as_ref().map(|session| (session.claims.tier, session.claims.expires_at));
        let vouching = self.state.vouching.as_ref().map(|vouching| (vouching.tier, vouching.expires_at));
        let result = claims.or(vouching);
        Standing {
            instance: self.state.instance,
            protection: self.state.key.as_ref().map(|key| key.protection),
            tier: result.map(|(tier, _)| tier),
            expires_at: result.map(|(_, expires_at)| expires_at),
            failure: self.failure,
            retry_at: match self.phase {
                Phase::Paused { until, .. } => Some(until),
                _ => None,
            },
        }
    }

    /// The client attestation JWT for the authorization server, while the result that came with it lives.
    pub fn client_attestation(&self, now: Now) -> Option<&str> {
        self.current_vouching(now).map(|vouching| vouching.attestation_as.as_str())
    }

    /// Notes that the key store refused to sign with the instance key for good, or that another key signed: nothing is
    /// proven with it any more, and the next [`Event::ResultWanted`] finds out what is left of it.
    pub fn instance_key_failed(&mut self) {
        self.state.vouching = None;
        if let Some(session) = &mut self.session {
            session.renew_at = Timestamp::EPOCH;
        }
    }

    /// What vouches for the instance key, unless it has expired; it may be of an earlier process.
    fn current_vouching(&self, now: Now) -> Option<&Vouching> {
        self.state.vouching.as_deref().filter(|vouching| vouching.is_current(self.clock.at(now)))
    }

    /// The session, unless its result has expired.
    fn current_session(&self, now: Now) -> Option<&Session> {
        let session = self.session.as_ref()?;
        (self.clock.at(now).plus(EXPIRY_MARGIN) < session.claims.expires_at).then_some(session)
    }
}

/// Shows where it stands, and none of its keys and tokens.
impl fmt::Debug for Attester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attester")
            .field("issuer", &self.config.issuer)
            .field("client_id", &self.config.client_id)
            .field("standing", &self.standing())
            .finish_non_exhaustive()
    }
}
