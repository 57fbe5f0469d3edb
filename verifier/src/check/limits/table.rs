//! The quotas of an edge that shares them with no other, in bounded memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::gcra::Wait;
use super::key::{Charge, LimitKey};
use super::rate::Per;
use crate::cache::Generations;

/// Theoretical arrival times by key. Whoever has not called for longest is forgotten first, and then begins with a
/// full quota. Keys come here only with requests that passed everything else, so a flood of made-up ones does not.
pub(crate) struct LimitTable {
    arrivals: Generations<LimitKey, Arc<AtomicU64>>,
}

impl LimitTable {
    /// A table that knows `callers` at least, and twice as many at most.
    pub(crate) fn new(callers: usize) -> Self {
        Self { arrivals: Generations::new(callers) }
    }

    /// Draws on each quota of `charges` at `now` (microseconds), or on none: one caller cannot use up what all share
    /// with requests that his own quota refuses.
    ///
    /// # Errors
    /// Whose quota is used up for longest.
    pub(crate) fn draw(
        &self,
        charges: impl Iterator<Item = Charge> + Clone,
        now: u64,
    ) -> Result<(), (Per, Wait)> {
        let refused = charges.clone().filter_map(|charge| {
            let tat = self.arrivals.find(&charge.key).map_or(0, |tat| tat.load(Ordering::Relaxed));
            charge.gcra.admit(tat, now).err().map(|wait| (charge.per, wait))
        });
        if let Some(longest) = refused.max_by_key(|(_, wait)| *wait) {
            return Err(longest);
        }
        // Another request may have drawn on it since: what was drawn before it is lost, never too little.
        for charge in charges {
            let arrival = self.arrivals.find_or_insert(charge.key, Arc::default);
            let mut wait = None;
            let admit = |tat| charge.gcra.admit(tat, now).map_err(|early| wait = Some(early)).ok();
            let admitted = arrival.fetch_update(Ordering::Relaxed, Ordering::Relaxed, admit);
            if let (Err(_), Some(wait)) = (admitted, wait) {
                return Err((charge.per, wait));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::gcra::{Gcra, SECOND};
    use super::super::rate::RateLimit;
    use super::*;

    const NOW: u64 = 1_800_000_000 * SECOND;

    fn charge(per: Per, who: u32, burst: u32) -> Charge {
        let limit = RateLimit::new(per, "1/min".parse().unwrap(), burst).unwrap();
        let key = LimitKey::new(&limit, [&[per as u8], &who.to_be_bytes()]);
        Charge { per, key, gcra: Gcra::new(SECOND, burst) }
    }

    #[test]
    fn what_the_own_quota_refuses_costs_the_others_nothing() {
        let table = LimitTable::new(100);
        let draw = |who| {
            let charges = [charge(Per::Route, 0, 5), charge(Per::Instance, who, 2)];
            table.draw(charges.into_iter(), NOW).map_err(|(per, _)| per)
        };
        assert_eq!((draw(1), draw(1)), (Ok(()), Ok(())));
        for _ in 0..100 {
            assert_eq!(draw(1), Err(Per::Instance));
        }
        assert_eq!((draw(2), draw(2), draw(3)), (Ok(()), Ok(()), Ok(())), "all of the route's five");
        assert_eq!(draw(4), Err(Per::Route));
    }

    #[test]
    fn of_two_that_refuse_the_longer_wait_is_told() {
        let table = LimitTable::new(100);
        let slow = Charge { gcra: Gcra::new(60 * SECOND, 1), ..charge(Per::Client, 0, 1) };
        let charges = [charge(Per::Instance, 1, 1), slow, charge(Per::Route, 0, 1)];
        assert_eq!(table.draw(charges.into_iter(), NOW), Ok(()));
        let (per, wait) = table.draw(charges.into_iter(), NOW).unwrap_err();
        assert_eq!((per, wait.as_seconds()), (Per::Client, 60));
    }

    #[test]
    fn a_flood_of_callers_is_bounded_and_forgets_nobody_who_keeps_calling() {
        let table = LimitTable::new(64);
        let draw = |who, now| table.draw([charge(Per::Address, who, 1)].into_iter(), now).is_ok();
        assert!(draw(0, NOW));
        for stranger in 1..10_000 {
            draw(stranger, NOW);
            assert!(!draw(0, NOW), "forgotten after {stranger}");
            assert!(table.arrivals.len() <= 128);
        }
    }

    #[test]
    fn many_at_once_get_no_more_than_the_burst() {
        let (table, charge) = (LimitTable::new(16), charge(Per::Instance, 1, 50));
        let draw = || (0..100).filter(|_| table.draw([charge].into_iter(), NOW).is_ok()).count();
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 50);
    }
}
