//! The device's clocks, and what the service's answers say about them.

use core::time::Duration;

use crate::time::Timestamp;

/// One reading of the device's two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock; its owner may set it to anything at any time.
    pub wall: Timestamp,
    /// Time since the device started, counted in sleep too (`elapsedRealtime`, `mach_continuous_time`); only
    /// differences mean something, and only within one process.
    pub uptime: Duration,
}

/// The service's time as the device knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerClock {
    /// Seconds that the service was ahead of the wall clock; serves until the first answer of this process.
    offset: i64,
    /// The last answer's time, and the uptime at which it came: no step of the wall clock moves this.
    anchor: Option<(Timestamp, Duration)>,
}

impl ServerClock {
    pub(super) const fn new(offset: i64) -> Self {
        Self { offset, anchor: None }
    }

    pub(super) const fn offset(&self) -> i64 {
        self.offset
    }

    /// Whether an answer was heard in this process.
    pub(super) const fn is_anchored(&self) -> bool {
        self.anchor.is_some()
    }

    /// Takes over the time that an answer of the service named.
    pub(super) fn learn(&mut self, server_time: Timestamp, now: Now) {
        let seconds = |time: Timestamp| i64::try_from(time.as_unix_seconds()).unwrap_or(i64::MAX);
        self.offset = seconds(server_time).saturating_sub(seconds(now.wall));
        self.anchor = Some((server_time, now.uptime));
    }

    /// The service's time now.
    pub(super) fn at(&self, now: Now) -> Timestamp {
        match self.anchor {
            Some((server_time, uptime)) => server_time.plus(now.uptime.saturating_sub(uptime).as_secs()),
            None => {
                Timestamp::from_unix_seconds(now.wall.as_unix_seconds().saturating_add_signed(self.offset))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(wall: u64, uptime: u64) -> Now {
        Now { wall: Timestamp::from_unix_seconds(wall), uptime: Duration::from_secs(uptime) }
    }

    #[test]
    fn a_step_of_the_wall_clock_moves_nothing_after_an_answer() {
        let mut clock = ServerClock::new(0);
        clock.learn(Timestamp::from_unix_seconds(5_000), now(1_000, 10));
        assert_eq!(clock.at(now(999_999, 70)), Timestamp::from_unix_seconds(5_060));
        assert_eq!(clock.offset(), 4_000);
    }

    #[test]
    fn before_the_first_answer_the_stored_offset_serves() {
        assert_eq!(ServerClock::new(-100).at(now(1_000, 10)), Timestamp::from_unix_seconds(900));
        assert_eq!(ServerClock::new(-2_000).at(now(1_000, 10)), Timestamp::EPOCH);
    }
}
