//! A bound on recorded refusals: each is a synchronous write on the only writer, and whoever signs nonsense with a
//! fresh key gets refused as often as he likes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use countersign_core::time::Timestamp;

/// Refusals of one source address that are recorded in one window.
pub(super) const PER_SOURCE: u32 = 20;
/// Seconds of a window.
pub(super) const WINDOW: u64 = 10;
/// Refusals of all sources together that are recorded in one second.
pub(super) const PER_SECOND: u32 = 10;

/// Counts what was recorded. Holds at most `PER_SECOND * WINDOW` sources, since only what is recorded is counted.
#[derive(Debug, Default)]
pub(crate) struct RecordBudget(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    window: u64,
    by_source: HashMap<u64, u32>,
    second: u64,
    in_second: u32,
}

impl RecordBudget {
    /// Whether one more refusal of `source` may be recorded now; if so, it counts.
    pub(crate) fn spend(&self, source: IpAddr, now: Timestamp) -> bool {
        // A panic elsewhere while the lock was held leaves counts that are at worst one off.
        let counts = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let second = now.as_unix_seconds();
        if counts.window != second / WINDOW {
            counts.window = second / WINDOW;
            counts.by_source.clear();
        }
        if counts.second != second {
            (counts.second, counts.in_second) = (second, 0);
        }
        let source = key_of(source);
        let recorded = counts.by_source.get(&source).copied().unwrap_or(0);
        if counts.in_second >= PER_SECOND || recorded >= PER_SOURCE {
            return false;
        }
        counts.in_second += 1;
        counts.by_source.insert(source, recorded + 1);
        true
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
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

    fn spent(budget: &RecordBudget, source: &str, now: Timestamp) -> u32 {
        let source = source.parse().unwrap();
        (0..100).map(|_| u32::from(budget.spend(source, now))).sum()
    }

    #[test]
    fn one_source_is_recorded_so_often_in_a_window() {
        let budget = RecordBudget::default();
        let each_second: Vec<u32> =
            (0..WINDOW).map(|second| spent(&budget, "192.0.2.1", NOW.plus(second))).collect();
        assert_eq!(each_second.iter().sum::<u32>(), PER_SOURCE);
        assert_eq!(spent(&budget, "192.0.2.2", NOW.plus(9)), PER_SECOND, "others are not held to it");
        assert_ne!(spent(&budget, "192.0.2.1", NOW.plus(WINDOW)), 0);
    }

    #[test]
    fn many_sources_together_are_bounded_by_the_second() {
        let budget = RecordBudget::default();
        let all = |now| -> u32 {
            (0..200).map(|host| u32::from(budget.spend(IpAddr::from([192, 0, 2, host]), now))).sum()
        };
        assert_eq!(all(NOW), PER_SECOND);
        assert_eq!(all(NOW.plus(1)), PER_SECOND);
    }

    #[test]
    fn a_host_cannot_hide_in_its_own_64() {
        let budget = RecordBudget::default();
        let last_second = NOW.plus(2);
        spent(&budget, "2001:db8::1", NOW);
        spent(&budget, "2001:db8::2", NOW.plus(1));
        assert_eq!(spent(&budget, "2001:db8::ffff", last_second), 0);
        assert_eq!(spent(&budget, "2001:db8:0:1::1", last_second), PER_SECOND);
    }
}
