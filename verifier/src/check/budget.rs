//! Budgets of ten seconds: of refused requests per source address and instance, and of passed ones per instance.
//!
//! A budget of refusals tightens: who spends it has half of it from then on, and half again, down to an eighth. Twenty
//! minutes without a refusal that counts loosen it by a step, so that a quiet hour forgives everything. A trickle of
//! failures, as broken software behind a shared address makes it, never spends a budget and so tightens nothing. The
//! adaptive rate limits of routes go by the same steps.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;

use crate::cache::Generations;

/// Seconds of one budget.
pub(crate) const WINDOW: u64 = 10;

/// Most steps by which a budget is halved.
const MAX_STEPS: u32 = 3;
/// Windows without a refusal that loosen a budget by one step: twenty minutes.
const QUIET: u32 = 120;

/// Counts by key, in bounded memory.
pub(crate) struct Budget {
    limit: u32,
    tightens: bool,
    /// A [`Count`] each, packed so that one atomic holds it.
    counts: Generations<u64, Arc<AtomicU64>>,
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    /// Number of the window that was spent in last.
    window: u32,
    /// How much was spent in it, at most [`Count::MOST`].
    spent: u32,
    /// How often the budget was halved, as of that window.
    steps: u32,
}

impl Count {
    const MOST: u32 = (1 << 30) - 1;

    const fn unpack(packed: u64) -> Self {
        let low = packed as u32;
        Self { window: (packed >> 32) as u32, spent: low & Self::MOST, steps: low >> 30 }
    }

    const fn pack(self) -> u64 {
        (self.window as u64) << 32 | (self.steps << 30 | self.spent) as u64
    }

    /// The steps that are left in `window`. A clock that steps back loosens nothing.
    const fn steps_in(self, window: u32) -> u32 {
        self.steps.saturating_sub(window.saturating_sub(self.window) / QUIET)
    }
}

impl Budget {
    /// `limit` per key and window, for so many keys.
    pub(crate) fn new(keys: usize, limit: u32) -> Self {
        Self { limit, tightens: false, counts: Generations::new(keys) }
    }

    /// As [`Self::new`], and it tightens.
    pub(crate) fn tightening(keys: usize, limit: u32) -> Self {
        Self { tightens: true, ..Self::new(keys, limit) }
    }

    /// Whether `key` has spent its budget of the current window.
    pub(crate) fn is_spent(&self, key: u64, now: Timestamp) -> bool {
        let window = window_of(now);
        self.count(key).is_some_and(|count| {
            count.window == window && count.spent >= self.limit_after(count.steps_in(window))
        })
    }

    /// How often `key`'s budget is halved now, at most three times.
    pub(crate) fn steps_tightened(&self, key: u64, now: Timestamp) -> u32 {
        self.count(key).map_or(0, |count| count.steps_in(window_of(now)))
    }

    /// Spends one of `key`'s.
    pub(crate) fn spend(&self, key: u64, now: Timestamp) {
        let count = self.counts.find_or_insert(key, Arc::default);
        let spend = |packed| Some(self.spent(Count::unpack(packed), window_of(now)).pack());
        // The closure always answers, so the update always succeeds.
        let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
    }

    /// Halves what `key` has, once, as a window of failures does.
    pub(crate) fn tighten(&self, key: u64, now: Timestamp) {
        let count = self.counts.find_or_insert(key, Arc::default);
        let window = window_of(now);
        let tighten = |packed| {
            let count = Count::unpack(packed);
            let steps = (count.steps_in(window) + 1).min(MAX_STEPS);
            let spent = if count.window == window { count.spent } else { 0 };
            Some(Count { window, spent, steps }.pack())
        };
        // The closure always answers, so the update always succeeds.
        let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, tighten);
    }

    fn spent(&self, count: Count, window: u32) -> Count {
        let steps = count.steps_in(window);
        let before = if count.window == window { count.spent } else { 0 };
        let spent = before.saturating_add(1).min(Count::MOST);
        // Reached once in a window: the limit falls while what was spent grows.
        let is_last = spent == self.limit_after(steps) && self.tightens;
        Count { window, spent, steps: if is_last { (steps + 1).min(MAX_STEPS) } else { steps } }
    }

    fn limit_after(&self, steps: u32) -> u32 {
        (self.limit >> steps).clamp(1, Count::MOST)
    }

    fn count(&self, key: u64) -> Option<Count> {
        self.counts.find(&key).map(|count| Count::unpack(count.load(Ordering::Relaxed)))
    }
}

/// Seconds to the end of the window, when a budget that is spent begins anew.
pub(crate) const fn seconds_left(now: Timestamp) -> u64 {
    WINDOW - now.as_unix_seconds() % WINDOW
}

/// The key of an address: IPv4 whole, IPv6 by its /64, as a household or host holds it.
pub(crate) fn key_of_source(source: IpAddr) -> u64 {
    match source.to_canonical() {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        // Global unicast prefixes begin with 001, so they never equal a number below 2^32.
        IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
    }
}

/// The key of an instance: half of its identifier, which the service drew at random.
pub(crate) fn key_of_instance(instance: &InstanceId) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&instance.as_bytes()[..8]);
    u64::from_be_bytes(half)
}

const fn window_of(now: Timestamp) -> u32 {
    (now.as_unix_seconds() / WINDOW) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn address(text: &str) -> u64 {
        key_of_source(text.parse().unwrap())
    }

    #[test]
    fn the_budget_is_per_key_and_window() {
        let budget = Budget::new(100, 3);
        for _ in 0..3 {
            assert!(!budget.is_spent(1, NOW));
            budget.spend(1, NOW);
        }
        assert!(budget.is_spent(1, NOW));
        assert!(!budget.is_spent(2, NOW));
        assert!(!budget.is_spent(1, NOW.plus(WINDOW)));
    }

    #[test]
    fn a_host_cannot_hide_in_its_own_64_or_another_spelling() {
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("192.0.2.1"), address("::ffff:192.0.2.1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
    }

    #[test]
    fn a_budget_that_is_spent_stays_so_to_the_end_of_its_window() {
        let budget = Budget::new(100, 1);
        budget.spend(1, NOW);
        for second in 0..WINDOW {
            assert!(budget.is_spent(1, NOW.plus(second)), "{second}");
        }
        assert!(!budget.is_spent(1, NOW.plus(WINDOW)));
    }

    fn spend(budget: &Budget, times: u32, now: Timestamp) {
        (0..times).for_each(|_| budget.spend(1, now));
    }

    /// How much of a window's budget is left at `now`.
    fn left(budget: &Budget, now: Timestamp) -> usize {
        (0..100)
            .take_while(|_| {
                !budget.is_spent(1, now) && {
                    budget.spend(1, now);
                    true
                }
            })
            .count()
    }

    #[test]
    fn each_spent_budget_halves_the_next_down_to_an_eighth() {
        let budget = Budget::tightening(100, 20);
        let lefts: Vec<_> = (0..6).map(|window| left(&budget, NOW.plus(window * WINDOW))).collect();
        assert_eq!(lefts, [20, 10, 5, 2, 2, 2]);
        assert!(!budget.is_spent(2, NOW.plus(5 * WINDOW)), "and nobody else's");
    }

    #[test]
    fn a_flood_tightens_once_in_a_window_however_large_it_is() {
        let budget = Budget::tightening(100, 20);
        spend(&budget, 100_000, NOW);
        assert_eq!(budget.steps_tightened(1, NOW), 1);
        assert!(budget.is_spent(1, NOW));
    }

    #[test]
    fn twenty_quiet_minutes_loosen_a_step_and_an_hour_all() {
        let budget = Budget::tightening(100, 20);
        (0..3).for_each(|window| spend(&budget, 20, NOW.plus(window * WINDOW)));
        let last = NOW.plus(2 * WINDOW);
        for (quiet, steps) in [(0, 3), (1190, 3), (1200, 2), (2400, 1), (3590, 1), (3600, 0), (86_400, 0)] {
            assert_eq!(budget.steps_tightened(1, last.plus(quiet)), steps, "{quiet}");
        }
        assert_eq!(left(&budget, last.plus(3600)), 20);
    }

    #[test]
    fn a_trickle_of_failures_tightens_nothing() {
        let budget = Budget::tightening(100, 20);
        for window in 0..500 {
            spend(&budget, 19, NOW.plus(window * WINDOW));
        }
        assert_eq!(budget.steps_tightened(1, NOW.plus(500 * WINDOW)), 0);
    }

    #[test]
    fn a_clock_that_steps_back_loosens_nothing() {
        let budget = Budget::tightening(100, 20);
        spend(&budget, 20, NOW);
        assert_eq!(budget.steps_tightened(1, NOW.minus(86_400)), 1);
        spend(&budget, 1, NOW.minus(86_400));
        assert_eq!(budget.steps_tightened(1, NOW.minus(86_400)), 1);
    }

    #[test]
    fn a_budget_of_what_passes_does_not_tighten() {
        let budget = Budget::new(100, 20);
        let lefts: Vec<_> = (0..4).map(|window| left(&budget, NOW.plus(window * WINDOW))).collect();
        assert_eq!(lefts, [20; 4]);
    }

    #[test]
    fn the_wait_ends_with_the_window() {
        for (second, wait) in [(0, 10), (1, 9), (9, 1), (10, 10)] {
            assert_eq!(seconds_left(NOW.plus(second)), wait, "{second}");
        }
    }
}
