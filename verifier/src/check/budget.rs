//! Budgets of ten seconds: of refused requests per source address, and of passed ones per instance.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;

use crate::cache::Generations;

/// Seconds of one budget.
pub(crate) const WINDOW: u64 = 10;

/// Counts by key, in bounded memory.
pub(crate) struct Budget {
    limit: u32,
    /// Window number and count in it, packed so that one atomic holds both.
    counts: Generations<u64, Arc<AtomicU64>>,
}

impl Budget {
    /// `limit` per key and window, for so many keys.
    pub(crate) fn new(keys: usize, limit: u32) -> Self {
        Self { limit, counts: Generations::new(keys) }
    }

    /// Whether `key` has spent its budget of the current window.
    pub(crate) fn is_spent(&self, key: u64, now: Timestamp) -> bool {
        let Some(count) = self.counts.find(&key) else {
            return false;
        };
        let (window, count) = unpack(count.load(Ordering::Relaxed));
        window == window_of(now) && count >= self.limit
    }

    /// Spends one of `key`'s.
    pub(crate) fn spend(&self, key: u64, now: Timestamp) {
        let count = self.counts.find_or_insert(key, Arc::default);
        let spend = |packed| {
            let (window, count) = unpack(packed);
            let count = if window == window_of(now) { count.saturating_add(1) } else { 1 };
            Some(u64::from(window_of(now)) << 32 | u64::from(count))
        };
        // The closure always answers, so the update always succeeds.
        let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
    }
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

const fn unpack(packed: u64) -> (u32, u32) {
    ((packed >> 32) as u32, packed as u32)
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
}
