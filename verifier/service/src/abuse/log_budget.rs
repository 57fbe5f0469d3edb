//! A bound on log lines about refused requests: whoever sends nonsense is refused as often as he likes, and must neither
//! fill a disk nor hide others behind his lines.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use countersign_core::time::Timestamp;

use super::attempts::Network;

/// Lines of one network in a minute.
pub(super) const PER_NETWORK: u32 = 6;
/// Lines of all networks together in a minute.
pub(super) const PER_MINUTE: u32 = 60;

/// Counts lines. Holds at most [`PER_MINUTE`] networks, since only lines that are written are counted.
#[derive(Debug, Default)]
pub(crate) struct LogBudget(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    minute: u64,
    lines: u32,
    by_network: HashMap<Option<Network>, u32>,
    unwritten: u64,
}

impl LogBudget {
    /// Whether a line may be written, and how many were not since the last one that was.
    pub(crate) fn spend(&self, source: Option<IpAddr>, now: Timestamp) -> Option<u64> {
        // A panic elsewhere while the lock was held leaves counts that are at worst one off.
        let counts = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.as_unix_seconds() / 60;
        if counts.minute != minute {
            (counts.minute, counts.lines) = (minute, 0);
            counts.by_network.clear();
        }
        let network = source.map(Network::of);
        let of_network = counts.by_network.get(&network).copied().unwrap_or(0);
        if counts.lines >= PER_MINUTE || of_network >= PER_NETWORK {
            counts.unwritten = counts.unwritten.saturating_add(1);
            return None;
        }
        counts.lines += 1;
        counts.by_network.insert(network, of_network + 1);
        Some(std::mem::take(&mut counts.unwritten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn written(budget: &LogBudget, source: [u8; 4], times: u32, now: Timestamp) -> usize {
        (0..times).filter_map(|_| budget.spend(Some(source.into()), now)).count()
    }

    #[test]
    fn a_flood_from_one_network_leaves_lines_for_the_others_and_is_told_of_as_a_number() {
        let budget = LogBudget::default();
        assert_eq!(written(&budget, [192, 0, 2, 1], 100_000, NOW), 6);
        assert_eq!(written(&budget, [192, 0, 2, 2], 100, NOW), 0, "the same network");
        assert_eq!(budget.spend(Some([198, 51, 100, 1].into()), NOW), Some(100_094));
        assert_eq!(budget.spend(Some([198, 51, 100, 1].into()), NOW), Some(0));
    }

    #[test]
    fn a_flood_from_everywhere_writes_so_many_lines_in_a_minute_and_no_more() {
        let budget = LogBudget::default();
        let all: usize = (0..=255).map(|network| written(&budget, [10, 0, network, 1], 10, NOW)).sum();
        assert_eq!(all, 60);
        assert!(written(&budget, [10, 0, 0, 1], 1, NOW.plus(60)) == 1, "the next minute has its own");
    }
}
