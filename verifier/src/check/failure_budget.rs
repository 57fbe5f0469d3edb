//! Who fails too often waits: a budget of refused requests per source address.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_core::time::Timestamp;

use super::cache::Generations;

/// Seconds of one budget.
pub(crate) const WINDOW: u64 = 10;

/// Counts failures by IPv4 address or IPv6 /64, in bounded memory. Addresses that are not known are not limited.
pub(crate) struct FailureBudget {
    failures: u32,
    /// Window number and failures in it, packed so that one atomic holds both.
    counts: Generations<u64, Arc<AtomicU64>>,
}

impl FailureBudget {
    pub(crate) fn new(addresses: usize, failures: u32) -> Self {
        Self { failures, counts: Generations::new(addresses) }
    }

    /// Whether `source` has spent its budget of the current window.
    pub(crate) fn is_spent(&self, source: Option<IpAddr>, now: Timestamp) -> bool {
        let Some(count) = source.and_then(|source| self.counts.find(&prefix(source))) else {
            return false;
        };
        let (window, failures) = unpack(count.load(Ordering::Relaxed));
        window == window_of(now) && failures >= self.failures
    }

    /// Notes a failure of `source`.
    pub(crate) fn spend(&self, source: Option<IpAddr>, now: Timestamp) {
        let Some(source) = source else { return };
        let count = self.counts.find_or_insert(prefix(source), Arc::default);
        let spend = |packed| {
            let (window, failures) = unpack(packed);
            let failures = if window == window_of(now) { failures.saturating_add(1) } else { 1 };
            Some(u64::from(window_of(now)) << 32 | u64::from(failures))
        };
        // The closure always answers, so the update always succeeds.
        let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
    }
}

const fn window_of(now: Timestamp) -> u32 {
    (now.as_unix_seconds() / WINDOW) as u32
}

const fn unpack(packed: u64) -> (u32, u32) {
    ((packed >> 32) as u32, packed as u32)
}

/// One number for an address: IPv4 whole, IPv6 by its /64, as a household or host holds it.
fn prefix(source: IpAddr) -> u64 {
    match source.to_canonical() {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        // Global unicast prefixes begin with 001, so they never equal a number below 2^32.
        IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_budget_is_per_address_and_window() {
        let budget = FailureBudget::new(100, 3);
        for _ in 0..3 {
            assert!(!budget.is_spent(address("192.0.2.1"), NOW));
            budget.spend(address("192.0.2.1"), NOW);
        }
        assert!(budget.is_spent(address("192.0.2.1"), NOW));
        assert!(budget.is_spent(address("::ffff:192.0.2.1"), NOW), "the same address, written as IPv6");
        assert!(!budget.is_spent(address("192.0.2.2"), NOW));
        assert!(!budget.is_spent(None, NOW));
        assert!(!budget.is_spent(address("192.0.2.1"), NOW.plus(WINDOW)));
    }

    #[test]
    fn a_host_cannot_hide_in_its_own_64() {
        let budget = FailureBudget::new(100, 1);
        budget.spend(address("2001:db8::1"), NOW);
        assert!(budget.is_spent(address("2001:db8::ffff"), NOW));
        assert!(!budget.is_spent(address("2001:db8:0:1::1"), NOW));
    }
}
