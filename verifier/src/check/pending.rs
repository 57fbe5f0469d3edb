//! What edges with a shared store settle together: whether a proof was used before, whose a bearer token is, and
//! how much of each quota is left.
//!
//! A check that has come so far that only the store is left answers [`Decision::Pending`]. The runtime asks the
//! [`Question`] in one round trip and hands the answer to [`Edge::conclude`]; nothing is verified twice.

use std::sync::Arc;

use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;

use super::decision::{Decision, Permit};
use super::edge::{Edge, Protected};
use super::limits::{Charge, Wait, micros};
use super::refusal::Reason;
use super::steps::{REPLAY_WINDOW, Spoken};
use super::witness::Seen;

/// The clocks of edges may differ by this many seconds: what one edge wrote outlives its use at every other one.
const CLOCK_SKEW: u64 = 60;

/// What a route does while the shared store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenStoreFails {
    /// Nothing passes: 503.
    #[default]
    Closed,
    /// This edge decides by what it has seen itself, and the upstream is told: a copy of the request may have passed at
    /// another edge.
    Local,
}

/// What is to be asked of the store, all of it at once, in this order: what is refused leaves what comes after it as it
/// was. Times are spans, never
/// points: they run by the store's clock alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The proof, by 16 bytes of a hash: to be remembered unless it is known.
    pub proof: [u8; 16],
    /// For how many seconds.
    pub proof_lifetime: u64,
    /// A bearer token whose owner is to be settled before.
    pub first_use: Option<FirstUseClaim>,
    /// The quotas to draw on, by the store's clock: on all of them or on none.
    pub charges: Vec<Charge>,
}

/// A bearer token belongs to the first instance that used it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstUseClaim {
    /// SHA-256 of the token's characters.
    pub token: [u8; 32],
    /// The instance that uses it now.
    pub instance: InstanceId,
    /// For how many seconds it stays the owner, if nobody is yet.
    pub lifetime: u64,
}

/// What the store said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreAnswer {
    /// Nothing speaks against the request; it is remembered now.
    Fresh,
    /// The proof was used before, here or at another edge.
    Replayed,
    /// The token belongs to another instance.
    UsedElsewhere,
    /// A quota is used up.
    Limited {
        /// Which of [`Question::charges`].
        charge: usize,
        /// For how long.
        wait: Wait,
    },
}

/// The store gave no answer that could be used, in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreUnavailable;

/// A request that has passed everything but the shared store: a permit in the making.
#[derive(Debug)]
pub struct Pending {
    question: Question,
    permit: Permit,
    when_store_fails: WhenStoreFails,
    /// End of the token in question.
    token_expires_at: Timestamp,
    answer_to: AnswerTo,
}

/// What an answer to the request needs to know of it.
#[derive(Clone)]
pub(super) struct AnswerTo {
    pub(super) protected: Arc<Protected>,
    /// The place of the route among the resource's.
    pub(super) route: Option<usize>,
    pub(super) spoken: Spoken,
    pub(super) source: Option<std::net::IpAddr>,
    /// For the witness, where there is one.
    pub(super) user_agent: Option<Box<str>>,
}

impl std::fmt::Debug for AnswerTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerTo").field("route", &self.route).finish_non_exhaustive()
    }
}

/// What a check leaves to the store.
pub(super) struct Asked {
    pub(super) proof: [u8; 16],
    /// The token whose owner is in question, and its end.
    pub(super) first_use: Option<([u8; 32], Timestamp)>,
    pub(super) charges: Vec<Charge>,
}

impl Pending {
    pub(super) fn new(
        Asked { proof, first_use, charges }: Asked,
        permit: Permit,
        when_store_fails: WhenStoreFails,
        answer_to: AnswerTo,
        now: Timestamp,
    ) -> Self {
        let instance = permit.attestation().instance;
        let claim = |(token, end): ([u8; 32], Timestamp)| FirstUseClaim {
            token,
            instance,
            lifetime: end.seconds_since(now).saturating_add(CLOCK_SKEW),
        };
        Self {
            question: Question {
                proof,
                proof_lifetime: REPLAY_WINDOW + CLOCK_SKEW,
                first_use: first_use.map(claim),
                charges,
            },
            permit,
            when_store_fails,
            token_expires_at: first_use.map_or(Timestamp::EPOCH, |(_, end)| end),
            answer_to,
        }
    }

    /// What to ask of the store.
    pub const fn question(&self) -> &Question {
        &self.question
    }

    /// A refusal comes with the seconds after which to come again, where they can be told.
    fn concluded(
        mut self,
        edge: &Edge,
        answer: Result<StoreAnswer, StoreUnavailable>,
        now: Timestamp,
    ) -> Result<Permit, (Reason, Option<u64>)> {
        let Question { first_use, charges, .. } = &self.question;
        match answer {
            Ok(StoreAnswer::Fresh) => {}
            Ok(StoreAnswer::Replayed) => return Err((Reason::Replayed, None)),
            Ok(StoreAnswer::UsedElsewhere) => return Err((Reason::TokenUsedElsewhere, None)),
            Ok(StoreAnswer::Limited { charge, wait }) => {
                // A quota that was not asked about is no answer.
                let charge = charges.get(charge).ok_or((Reason::StoreUnavailable, None))?;
                return Err((Reason::RateLimit(charge.per), Some(wait.as_seconds())));
            }
            Err(StoreUnavailable) => match self.when_store_fails {
                WhenStoreFails::Closed => return Err((Reason::StoreUnavailable, None)),
                WhenStoreFails::Local => self.permit.settled_alone = true,
            },
        }
        if let Some(claim) = first_use {
            // What the store said is known here too, for the time when it says nothing. A full table only forgets that.
            let claimed = edge.first_uses.claim(claim.token, claim.instance, self.token_expires_at, now);
            if self.permit.settled_alone {
                claimed.map_err(|reason| (reason, None))?;
            }
        }
        if self.permit.settled_alone {
            edge.quotas
                .draw(charges.iter().copied(), micros(now))
                .map_err(|(per, wait)| (Reason::RateLimit(per), Some(wait.as_seconds())))?;
        }
        Ok(self.permit)
    }
}

impl Edge {
    /// Ends a check that waited for the shared store.
    pub fn conclude(
        &self,
        pending: Pending,
        answer: Result<StoreAnswer, StoreUnavailable>,
        now: Timestamp,
    ) -> Decision {
        let AnswerTo { protected, route, spoken, source, user_agent } = pending.answer_to.clone();
        let route = route.and_then(|route| protected.resource.routes.get(route));
        let seen = Seen { resource: &protected.name, route, source, user_agent: user_agent.as_deref() };
        let passed = |permit: Permit| match self.passed(seen, &permit, now) {
            Ok(()) => Ok(permit),
            Err((reason, seconds)) => Err((reason, Some(seconds))),
        };
        match pending.concluded(self, answer, now).and_then(passed) {
            Ok(permit) => Decision::Permit(permit),
            Err(refused) => self.refuse(refused, &spoken, &protected.resource, seen, now),
        }
    }
}
