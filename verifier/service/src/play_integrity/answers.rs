//! What Google said of tokens lately, so that the same request again does not ask again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_core::time::Timestamp;
use countersign_verifier::enrolment::{CHALLENGE_LIFETIME, DecodedToken};

/// Most tokens remembered or under way; a payload takes about 1 KiB. The oldest answer gives way.
const MAX_TOKENS: usize = 4096;
/// A token is bound to a challenge: beyond its life nobody repeats the request.
const LIFETIME: u64 = CHALLENGE_LIFETIME;

/// Answers by SHA-256 of package and token.
#[derive(Clone, Default)]
pub(super) struct Answers(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    /// None while the call is under way.
    answers: HashMap<[u8; 32], Option<(DecodedToken, Timestamp)>>,
    /// Those that have an answer, the oldest first.
    order: VecDeque<[u8; 32]>,
}

/// What is known of a token.
pub(super) enum Found {
    /// What Google said.
    Known(Box<DecodedToken>),
    /// Somebody is asking.
    UnderWay,
    /// Too many are being asked about.
    Full,
    /// Nothing; the place is taken for whoever asks now.
    New(Place),
}

/// The right to ask about a token; given back when dropped without an answer.
pub(super) struct Place {
    answers: Answers,
    token: [u8; 32],
}

impl Answers {
    pub(super) fn find(&self, token: [u8; 32], now: Timestamp) -> Found {
        let mut table = self.lock();
        table.forget_before(now.minus(LIFETIME));
        match table.answers.get(&token) {
            Some(Some((answer, _))) => return Found::Known(Box::new(answer.clone())),
            Some(None) => return Found::UnderWay,
            None => {}
        }
        if table.answers.len() >= MAX_TOKENS && !table.forget_oldest() {
            return Found::Full;
        }
        table.answers.insert(token, None);
        Found::New(Place { answers: self.clone(), token })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn forget_before(&mut self, time: Timestamp) {
        while let Some(oldest) = self.order.front() {
            match self.answers.get(oldest) {
                Some(Some((_, answered))) if *answered >= time => return,
                _ => self.forget_oldest(),
            };
        }
    }

    fn forget_oldest(&mut self) -> bool {
        self.order.pop_front().map(|oldest| self.answers.remove(&oldest)).is_some()
    }
}

impl Place {
    /// Remembers what Google said.
    pub(super) fn keep(self, answer: &DecodedToken, now: Timestamp) {
        let mut table = self.answers.lock();
        table.answers.insert(self.token, Some((answer.clone(), now)));
        table.order.push_back(self.token);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.answers.lock();
        if let Some(None) = table.answers.get(&self.token) {
            table.answers.remove(&self.token);
        }
    }
}

#[cfg(test)]
mod tests {
    use countersign_verifier::enrolment::DecodeFailure;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

    fn token(number: usize) -> [u8; 32] {
        countersign_verifier::crypto::sha256(&number.to_be_bytes())
    }

    fn ask(answers: &Answers, number: usize, now: Timestamp) -> bool {
        match answers.find(token(number), now) {
            Found::New(place) => {
                place.keep(&Err(DecodeFailure::Unreachable), now);
                true
            }
            _ => false,
        }
    }

    #[test]
    fn one_asks_and_the_others_are_told() {
        let answers = Answers::default();
        let Found::New(place) = answers.find(token(1), NOW) else { panic!("it is new") };
        assert!(matches!(answers.find(token(1), NOW), Found::UnderWay));
        place.keep(&Err(DecodeFailure::Unreachable), NOW);
        assert!(matches!(answers.find(token(1), NOW), Found::Known(_)));
    }

    #[test]
    fn who_goes_away_without_an_answer_lets_the_next_one_ask() {
        let answers = Answers::default();
        drop(answers.find(token(1), NOW));
        assert!(matches!(answers.find(token(1), NOW), Found::New(_)));
    }

    #[test]
    fn answers_are_forgotten_with_their_challenge_and_the_oldest_when_there_are_many() {
        let answers = Answers::default();
        assert!(ask(&answers, 0, NOW));
        assert!(!ask(&answers, 0, NOW.plus(LIFETIME)), "still known");
        assert!(ask(&answers, 0, NOW.plus(LIFETIME + 1)), "forgotten");
        for number in 1..=MAX_TOKENS {
            assert!(ask(&answers, number, NOW.plus(LIFETIME + 1)));
        }
        let table = answers.lock();
        assert_eq!((table.answers.len(), table.order.len()), (MAX_TOKENS, MAX_TOKENS));
    }

    #[test]
    fn places_that_are_taken_are_bounded_too() {
        let answers = Answers::default();
        let places: Vec<_> = (0..MAX_TOKENS).map(|number| answers.find(token(number), NOW)).collect();
        assert!(matches!(answers.find(token(MAX_TOKENS), NOW), Found::Full));
        drop(places);
        assert!(matches!(answers.find(token(MAX_TOKENS), NOW), Found::New(_)));
    }
}
