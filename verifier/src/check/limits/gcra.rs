//! The generic cell rate algorithm (GCRA, ITU-T I.371 annex A) as a pure function of one number and the time.
//!
//! Times are microseconds since 1970-01-01T00:00:00Z: fine enough for ten thousand requests a second, and exact in a
//! double, so that a script in a shared store can do the same sum. The clock itself may be read in whole seconds. Such
//! a clock lags by less than a second, so in any time `t` at most the burst and the rate over `t` + 1 second pass;
//! and a wait that is rounded up to whole seconds is over when that clock says so.

use countersign_core::time::Timestamp;

/// Microseconds in a second.
pub(super) const SECOND: u64 = 1_000_000;

/// Clocks that differ by less have not stepped.
const STEP: u64 = 60 * SECOND;

/// A rate and a burst, as GCRA counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gcra {
    /// Microseconds that one request takes up.
    emission_interval: u64,
    /// Requests that may come at once; at least one.
    burst: u32,
}

/// Microseconds to wait before a request would be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wait(u64);

impl Wait {
    /// From microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// In microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// In whole seconds, rounded up, at least one: the value of `Retry-After`.
    pub const fn as_seconds(self) -> u64 {
        let seconds = self.0.div_ceil(SECOND);
        if seconds == 0 { 1 } else { seconds }
    }
}

impl Gcra {
    /// One request each `emission_interval` microseconds, and `burst` at once; zero counts as one.
    pub const fn new(emission_interval: u64, burst: u32) -> Self {
        Self {
            emission_interval: if emission_interval == 0 { 1 } else { emission_interval },
            burst: if burst == 0 { 1 } else { burst },
        }
    }

    /// T of the algorithm, in microseconds.
    pub const fn emission_interval(self) -> u64 {
        self.emission_interval
    }

    /// Requests that may come at once.
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// Tau of the algorithm, in microseconds: how far ahead of the time the arrival time may be.
    pub const fn burst_tolerance(self) -> u64 {
        self.emission_interval.saturating_mul(self.burst as u64 - 1)
    }

    /// Microseconds after which a caller who has used up everything is as good as new: how long a store must keep
    /// what it has of him.
    pub const fn memory(self) -> u64 {
        self.emission_interval.saturating_mul(self.burst as u64)
    }

    /// Half the rate and half the burst for each of `steps`.
    #[must_use]
    pub const fn tightened(self, steps: u32) -> Self {
        Self::new(self.emission_interval.saturating_mul(1 << steps), self.burst >> steps)
    }

    /// A request at `now` of a caller whose theoretical arrival time is `tat` (zero for a stranger): his new one if it
    /// is admitted. A request that is not admitted changes nothing.
    ///
    /// An arrival time that lies more than a minute further ahead than requests could have brought it means that the
    /// clock stepped back, or that the limit was tightened: one request is admitted then, and after it the quota counts
    /// as used up, so that nobody waits for the clock to catch up. Within the minute are requests that read the clock
    /// a little earlier than others, and edges whose clocks differ: between two such, nothing is won.
    ///
    /// # Errors
    /// [`Wait`] if it comes too early.
    pub const fn admit(self, tat: u64, now: u64) -> Result<u64, Wait> {
        let latest = now.saturating_add(self.memory());
        let tat = if tat < now {
            now
        } else if tat > latest.saturating_add(STEP) {
            now.saturating_add(self.burst_tolerance())
        } else {
            tat
        };
        let earliest = tat.saturating_sub(self.burst_tolerance());
        if now < earliest {
            return Err(Wait(earliest - now));
        }
        Ok(tat.saturating_add(self.emission_interval))
    }
}

/// `now` in microseconds since the epoch.
pub const fn micros(now: Timestamp) -> u64 {
    now.as_unix_seconds().saturating_mul(SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000 * SECOND;

    /// How many of `requests` at `now` are admitted.
    fn admitted(gcra: Gcra, tat: &mut u64, now: u64, requests: u32) -> u32 {
        (0..requests).map(|_| u32::from(gcra.admit(*tat, now).map(|new| *tat = new).is_ok())).sum()
    }

    #[test]
    fn a_burst_passes_and_not_one_more() {
        let (gcra, mut tat) = (Gcra::new(SECOND, 20), 0);
        assert_eq!(admitted(gcra, &mut tat, START, 100), 20);
        assert_eq!(gcra.admit(tat, START), Err(Wait(SECOND)));
        assert_eq!(admitted(gcra, &mut tat, START + SECOND, 100), 1, "then one each second");
        assert_eq!(admitted(gcra, &mut tat, START + 6 * SECOND, 100), 5);
        assert_eq!(
            admitted(gcra, &mut tat, START + 3600 * SECOND, 100),
            20,
            "and after a rest the burst again"
        );
    }

    #[test]
    fn over_any_time_no_more_than_burst_and_rate_pass_however_they_are_sent() {
        // 7 a second, burst 10; asked at every phase, in clumps of every size.
        let gcra = Gcra::new(SECOND.div_ceil(7), 10);
        for clump in 1..15 {
            let mut tat = 0;
            let passed: u32 =
                (0..60).map(|second| admitted(gcra, &mut tat, START + second * SECOND, clump)).sum();
            assert!(passed <= 10 + 59 * 7, "{clump}: {passed}");
        }
    }

    #[test]
    fn no_window_of_any_random_sequence_lets_more_than_burst_and_rate_pass() {
        let mut state = 7u64;
        let mut below = |limit: u64| {
            // Knuth's constants: the sequence is always the same.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % limit
        };
        for _ in 0..300 {
            let gcra = Gcra::new(1 + below(2 * SECOND), 1 + u32::try_from(below(30)).unwrap());
            let (mut tat, mut now, mut passed) = (0, START, Vec::new());
            for _ in 0..200 {
                // Bursts, a steady flow, and rests.
                now += match below(4) {
                    0 => 0,
                    1 => below(gcra.emission_interval()),
                    2 => below(3 * gcra.emission_interval()),
                    _ => below(gcra.memory()),
                };
                match gcra.admit(tat, now) {
                    Ok(new) => {
                        tat = new;
                        passed.push(now);
                    }
                    Err(wait) => {
                        assert!(gcra.admit(tat, now + wait.as_micros()).is_ok(), "the wait is enough")
                    }
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let most = u64::from(gcra.burst()) + (to - from) / gcra.emission_interval();
                    assert!(((last - first) as u64) < most, "{gcra:?} over {} us", to - from);
                }
            }
        }
    }

    #[test]
    fn the_wait_is_exact() {
        for (interval, burst) in [(SECOND, 1), (SECOND * 3 / 2, 4), (90 * SECOND, 2), (SECOND / 10, 10)] {
            let (gcra, mut tat) = (Gcra::new(interval, burst), 0);
            admitted(gcra, &mut tat, START, 1000);
            let wait = gcra.admit(tat, START).unwrap_err().as_seconds();
            assert!(gcra.admit(tat, START + wait * SECOND).is_ok(), "{interval}");
            let earlier = gcra.admit(tat, START + (wait - 1) * SECOND);
            assert!(earlier.is_err(), "{interval}: a second earlier would have done");
        }
    }

    #[test]
    fn a_clock_that_steps_back_neither_forgives_nor_locks_out() {
        let gcra = Gcra::new(SECOND, 20);
        for used in [1, 20] {
            let mut tat = 0;
            admitted(gcra, &mut tat, START, used);
            let back = START - 3600 * SECOND;
            assert_eq!(admitted(gcra, &mut tat, back, 100), 1, "{used}");
            assert_eq!(admitted(gcra, &mut tat, back + 5 * SECOND, 100), 5, "and goes on at its rate");
        }
        let mut tat = 0;
        admitted(gcra, &mut tat, START, 5);
        assert_eq!(admitted(gcra, &mut tat, START - 2 * SECOND, 100), 13, "what was used is not given back");
        admitted(gcra, &mut tat, START, 100);
        assert_eq!(gcra.admit(tat, START - 60 * SECOND), Err(Wait(61 * SECOND)), "the longest wait");
    }

    #[test]
    fn requests_that_read_the_clock_earlier_than_others_win_nothing_by_it() {
        let (gcra, mut tat) = (Gcra::new(SECOND / 10, 10), 0);
        let passed: u32 =
            (0..1000).map(|turn| admitted(gcra, &mut tat, START - turn % 2 * 5 * SECOND, 10)).sum();
        assert_eq!(passed, 10);
    }

    #[test]
    fn a_refused_request_costs_nothing() {
        let (gcra, mut tat) = (Gcra::new(SECOND, 1), 0);
        admitted(gcra, &mut tat, START, 1000);
        assert_eq!(tat, START + SECOND);
    }

    #[test]
    fn each_step_halves_rate_and_burst_down_to_one() {
        let gcra = Gcra::new(SECOND, 20);
        for (steps, interval, burst) in [(0, 1, 20), (1, 2, 10), (2, 4, 5), (3, 8, 2)] {
            assert_eq!(gcra.tightened(steps), Gcra::new(interval * SECOND, burst), "{steps}");
        }
        assert_eq!(Gcra::new(SECOND, 1).tightened(3), Gcra::new(8 * SECOND, 1));
    }

    #[test]
    fn who_is_tightened_after_a_burst_waits_no_longer_than_for_a_whole_quota() {
        let (gcra, mut tat) = (Gcra::new(SECOND, 20), 0);
        admitted(gcra, &mut tat, START, 20);
        let tightened = gcra.tightened(3);
        let mut waits = 0;
        for second in 0..60 {
            if admitted(tightened, &mut tat, START + second * SECOND, 1) == 1 {
                break;
            }
            waits += 1;
        }
        assert!((1..=20).contains(&waits), "{waits}");
    }

    #[test]
    fn numbers_at_the_end_of_their_range_are_no_panic() {
        let gcra = Gcra::new(u64::MAX, u32::MAX);
        assert!(gcra.admit(u64::MAX, u64::MAX).is_ok());
        assert_eq!(gcra.tightened(3).emission_interval(), u64::MAX);
        assert_eq!(Gcra::new(0, 0), Gcra::new(1, 1));
        assert_eq!(Wait(0).as_seconds(), 1);
    }
}
