//! How far a long run is, on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a log that no person watches gets a line.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// How often a terminal is written to.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);

/// Says how many were replayed, from time to time.
pub(super) struct Progress {
    is_terminal: bool,
    last: Instant,
    shown: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), last: Instant::now(), shown: false }
    }

    pub(super) fn show(&mut self, replayed: u64) {
        let interval = if self.is_terminal { TERMINAL_INTERVAL } else { LOG_INTERVAL };
        if self.last.elapsed() < interval {
            return;
        }
        (self.last, self.shown) = (Instant::now(), true);
        let mut error = io::stderr().lock();
        // Nobody has to read this.
        let _ = if self.is_terminal {
            write!(error, "\r{replayed} replayed ").and_then(|()| error.flush())
        } else {
            writeln!(error, "{replayed} replayed")
        };
    }

    pub(super) fn end(&self) {
        if self.is_terminal && self.shown {
            let _ = write!(io::stderr().lock(), "\r{:40}\r", "");
        }
    }
}
