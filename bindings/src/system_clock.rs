//! The system's clocks: the wall clock, and one that counts from the device's start and goes on while it sleeps.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use countersign_core::attester::Now;
use countersign_core::time::Timestamp;

use crate::port::Clock;

/// Reads the system's clocks, each time anew.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        // A wall clock before 1970 is as wrong as any other: the service's answers correct it.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Now { wall: Timestamp::from_unix_seconds(wall), uptime: uptime() }
    }
}

/// `CLOCK_BOOTTIME` on Linux and Android; on Apple's systems `CLOCK_MONOTONIC` goes on in sleep (`clock_gettime(3)`),
/// where Linux's stands still.
#[cfg(unix)]
fn uptime() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    #[cfg(any(target_os = "linux", target_os = "android"))]
    const COUNTS_SLEEP: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const COUNTS_SLEEP: ClockId = ClockId::Monotonic;

    let read = clock_gettime(COUNTS_SLEEP);
    Duration::new(u64::try_from(read.tv_sec).unwrap_or(0), u32::try_from(read.tv_nsec).unwrap_or(0))
}

/// From the first reading of this process on: only differences mean something.
#[cfg(not(unix))]
fn uptime() -> Duration {
    use std::{sync::OnceLock, time::Instant};

    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_run_forward() {
        let first = SystemClock.now();
        let second = SystemClock.now();
        assert!(second.uptime >= first.uptime);
        assert!(first.wall.as_unix_seconds() > 1_700_000_000, "seconds since 1970, not since the start");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn uptime_counts_from_the_start_of_the_machine() {
        let told = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = told.split(' ').next().unwrap().parse().unwrap();
        // Namespaces may shift it; a clock of another kind (the epoch, this process) is off by far more than a day.
        assert!((SystemClock.now().uptime.as_secs_f64() - seconds).abs() < 86_400.0);
    }
}
