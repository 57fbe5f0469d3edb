//! How many distinct values came with one key lately, in bounded memory.

use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::time::Timestamp;

use crate::cache::Generations;

/// Values by key: of each key at most `threshold`, of each value when it was seen last.
pub(super) struct Distinct {
    threshold: usize,
    window: u64,
    keys: Generations<[u8; 16], Arc<Mutex<Seen>>>,
}

#[derive(Default)]
struct Seen {
    values: Vec<([u8; 16], Timestamp)>,
    /// While it stands, nothing is learnt: the signal is raised once in a window.
    raised_until: Option<Timestamp>,
}

/// What one more value says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// No more than is usual.
    Usual,
    /// One more than is usual, just now.
    Raised { until: Timestamp },
    /// It was raised before; `is_known` if the value was among those that were usual.
    Standing { until: Timestamp, is_known: bool },
}

impl Distinct {
    /// For `keys` keys at least, twice as many at most.
    pub(super) fn new(keys: usize, threshold: u32, window: u64) -> Self {
        Self { threshold: threshold as usize, window, keys: Generations::new(keys) }
    }

    /// Notes that `value` came with `key`.
    pub(super) fn note(&self, key: [u8; 16], value: [u8; 16], now: Timestamp) -> Noted {
        let seen = self.keys.find_or_insert(key, Arc::default);
        // A panic elsewhere while the lock was held leaves values that are at worst one short.
        let seen = &mut *seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = seen.raised_until.filter(|until| *until > now) {
            let is_known = seen.values.iter().any(|(known, _)| *known == value);
            return Noted::Standing { until, is_known };
        }
        seen.raised_until = None;
        // A clock that steps back forgets nothing.
        seen.values.retain(|(_, last)| now.seconds_since(*last) < self.window);
        if let Some((_, last)) = seen.values.iter_mut().find(|(known, _)| *known == value) {
            *last = now.max(*last);
            return Noted::Usual;
        }
        if seen.values.len() < self.threshold {
            seen.values.push((value, now));
            return Noted::Usual;
        }
        let until = now.plus(self.window);
        seen.raised_until = Some(until);
        Noted::Raised { until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
    const KEY: [u8; 16] = [7; 16];

    fn value(number: u32) -> [u8; 16] {
        u128::from(number).to_be_bytes()
    }

    #[test]
    fn the_threshold_is_usual_and_one_more_is_raised_once_in_a_window() {
        let distinct = Distinct::new(10, 3, 600);
        for number in [1, 2, 3, 1, 2, 3] {
            assert_eq!(distinct.note(KEY, value(number), NOW), Noted::Usual);
        }
        let until = NOW.plus(600);
        assert_eq!(distinct.note(KEY, value(4), NOW), Noted::Raised { until });
        assert_eq!(distinct.note(KEY, value(5), NOW.plus(599)), Noted::Standing { until, is_known: false });
        assert_eq!(distinct.note(KEY, value(1), NOW.plus(599)), Noted::Standing { until, is_known: true });
        assert_eq!(distinct.note(KEY, value(1), until), Noted::Usual, "and then it begins anew");
        assert_eq!(distinct.note([8; 16], value(9), NOW), Noted::Usual, "nobody else is concerned");
    }

    #[test]
    fn values_that_were_long_ago_do_not_add_up() {
        let distinct = Distinct::new(10, 2, 600);
        for number in 0..100 {
            let now = NOW.plus(u64::from(number) * 300);
            assert_eq!(distinct.note(KEY, value(number), now), Noted::Usual, "{number}");
        }
    }

    #[test]
    fn a_clock_that_steps_back_forgets_nothing() {
        let distinct = Distinct::new(10, 2, 600);
        distinct.note(KEY, value(1), NOW);
        distinct.note(KEY, value(2), NOW);
        assert!(matches!(distinct.note(KEY, value(3), NOW.minus(86_400)), Noted::Raised { .. }));
    }

    #[test]
    fn a_flood_of_keys_and_values_is_bounded() {
        let distinct = Distinct::new(64, 4, 600);
        for number in 0..10_000 {
            distinct.note(value(number), value(number), NOW);
            distinct.note(KEY, value(number), NOW);
            assert!(distinct.keys.len() <= 128);
        }
        let seen = distinct.keys.find(&KEY).unwrap();
        assert!(seen.lock().unwrap().values.len() <= 4);
    }
}
