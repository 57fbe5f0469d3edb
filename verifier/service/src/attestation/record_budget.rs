//! A bound on recorded refusals, so that somebody who signs nonsense all day does not fill the disk.

use std::sync::atomic::{AtomicU64, Ordering};

use countersign_core::time::Timestamp;

/// Refusals that are recorded in one minute; further ones stand in the log alone.
const PER_MINUTE: u64 = 600;
/// Low bits of the counter that count; the rest is the minute.
const COUNT_BITS: u32 = 16;

/// Counts what was recorded in the current minute.
#[derive(Debug, Default)]
pub(crate) struct RecordBudget(AtomicU64);

impl RecordBudget {
    /// Whether one more refusal may be recorded now.
    pub(crate) fn spend(&self, now: Timestamp) -> bool {
        let minute = (now.as_unix_seconds() / 60) << COUNT_BITS;
        let spend = |state: u64| match state {
            state if state >> COUNT_BITS << COUNT_BITS != minute => Some(minute + 1),
            state if state - minute < PER_MINUTE => Some(state + 1),
            _ => None,
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_so_many_records_and_the_next_one_as_many_again() {
        let budget = RecordBudget::default();
        let now = Timestamp::from_unix_seconds(1_790_000_040);
        let spent = |now| (0..2 * PER_MINUTE).filter(|_| budget.spend(now)).count() as u64;
        assert_eq!(spent(now), PER_MINUTE);
        assert_eq!(spent(now.plus(59)), 0);
        assert_eq!(spent(now.plus(60)), PER_MINUTE);
    }
}
