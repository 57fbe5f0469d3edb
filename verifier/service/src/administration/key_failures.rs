//! A bound on failed admin keys of one address: whoever guesses waits, and does not make the service work.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use countersign_core::time::Timestamp;

/// Failures of one source address in one window, after which it is turned away unheard until the window ends.
pub(crate) const PER_SOURCE: u32 = 10;
/// Seconds of a window.
pub(crate) const WINDOW: u64 = 60;
/// Addresses that are counted in one window. Beyond that nobody whose address is new is heard: whoever has so many
/// addresses is attacking.
const MAX_SOURCES: usize = 4096;

/// Counts failures by source address.
#[derive(Debug, Default)]
pub(crate) struct KeyFailures(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    window: u64,
    by_source: HashMap<u64, u32>,
}

impl KeyFailures {
    /// Whether `source` has failed too often to be heard now.
    pub(crate) fn is_spent(&self, source: IpAddr, now: Timestamp) -> bool {
        let counts = self.current(now);
        match counts.by_source.get(&key_of(source)) {
            Some(failed) => *failed >= PER_SOURCE,
            None => counts.by_source.len() >= MAX_SOURCES,
        }
    }

    /// Counts a failure of `source`.
    pub(crate) fn spend(&self, source: IpAddr, now: Timestamp) {
        let mut counts = self.current(now);
        if counts.by_source.len() < MAX_SOURCES || counts.by_source.contains_key(&key_of(source)) {
            let failed = counts.by_source.entry(key_of(source)).or_default();
            *failed = failed.saturating_add(1);
        }
    }

    fn current(&self, now: Timestamp) -> std::sync::MutexGuard<'_, Counts> {
        // A panic elsewhere while the lock was held leaves counts that are at worst one off.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = now.as_unix_seconds() / WINDOW;
        if counts.window != window {
            counts.window = window;
            counts.by_source.clear();
        }
        counts
    }
}

/// IPv4 whole, IPv6 by its /64, as a household or host holds it.
fn key_of(source: IpAddr) -> u64 {
    match source.to_canonical() {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000 / WINDOW * WINDOW);

    fn source(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    #[test]
    fn an_address_that_failed_too_often_waits_for_the_next_window() {
        let failures = KeyFailures::default();
        for _ in 0..PER_SOURCE {
            assert!(!failures.is_spent(source(1), NOW));
            failures.spend(source(1), NOW);
        }
        assert!(failures.is_spent(source(1), NOW.plus(WINDOW - 1)));
        assert!(!failures.is_spent(source(2), NOW), "others do not wait");
        assert!(!failures.is_spent(source(1), NOW.plus(WINDOW)));
    }

    #[test]
    fn the_table_is_bounded_and_closed_to_strangers_when_full() {
        let failures = KeyFailures::default();
        for number in 0..MAX_SOURCES as u32 + 10 {
            failures.spend(source(number), NOW);
        }
        assert_eq!(failures.current(NOW).by_source.len(), MAX_SOURCES);
        assert!(failures.is_spent(source(u32::MAX), NOW));
        assert!(!failures.is_spent(source(0), NOW), "who is counted goes on by his own count");
    }

    #[test]
    fn a_host_cannot_hide_in_its_own_64() {
        let failures = KeyFailures::default();
        for host in 0..PER_SOURCE {
            failures.spend(format!("2001:db8::{host:x}").parse().unwrap(), NOW);
        }
        assert!(failures.is_spent("2001:db8::ffff".parse().unwrap(), NOW));
        assert!(!failures.is_spent("2001:db8:0:1::1".parse().unwrap(), NOW));
    }
}
