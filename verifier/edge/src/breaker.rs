//! Not asking somebody for a while who failed to answer again and again.

use std::sync::{Mutex, PoisonError};

use countersign_core::time::Timestamp;

/// Failures in a row after which nobody is asked.
const MAX_FAILURES: u32 = 5;
/// Seconds until one is asked again.
const PAUSE: u64 = 30;

/// Counts failures in a row: after five nobody is asked for 30 seconds, and then one call at a time shows whether the other
/// side is back.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    ask_again: Option<Timestamp>,
}

impl Breaker {
    /// Whether to ask now. Whoever is allowed after a pause is the only one until the next pause has gone by.
    pub fn allows(&self, now: Timestamp) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.ask_again {
            None => true,
            // A pause is never longer, also where the clock was set back in it.
            Some(time) if now < time && time <= now.plus(PAUSE) => false,
            Some(_) => {
                state.ask_again = Some(now.plus(PAUSE));
                true
            }
        }
    }

    /// Notes how a call ended.
    pub fn note(&self, failed: bool, now: Timestamp) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failed {
            state.failures = state.failures.saturating_add(1);
            if state.failures >= MAX_FAILURES {
                state.ask_again = Some(now.plus(PAUSE));
            }
        } else {
            *state = State::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

    #[test]
    fn after_five_failures_nobody_asks_for_half_a_minute_and_then_one() {
        let breaker = Breaker::default();
        for _ in 0..MAX_FAILURES {
            assert!(breaker.allows(NOW));
            breaker.note(true, NOW);
        }
        assert!(!breaker.allows(NOW) && !breaker.allows(NOW.plus(PAUSE - 1)));
        assert!(breaker.allows(NOW.plus(PAUSE)));
        assert!(!breaker.allows(NOW.plus(PAUSE)), "one at a time");
        breaker.note(false, NOW.plus(PAUSE));
        assert!(breaker.allows(NOW.plus(PAUSE)) && breaker.allows(NOW.plus(PAUSE)));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_pause_longer() {
        let breaker = Breaker::default();
        (0..MAX_FAILURES).for_each(|_| breaker.note(true, NOW.plus(86_400)));
        assert!(breaker.allows(NOW));
        assert!(!breaker.allows(NOW), "and one at a time");
    }

    #[test]
    fn an_answer_in_between_starts_the_count_anew() {
        let breaker = Breaker::default();
        for failed in [true, true, true, true, false, true, true, true, true] {
            breaker.note(failed, NOW);
        }
        assert!(breaker.allows(NOW));
    }
}
