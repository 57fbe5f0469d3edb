//! From when on evidence is looked at.

use std::str::FromStr;

use countersign_core::time::Timestamp;

use crate::administration::Time;
use crate::document::formats::time_span;

/// A time span before now, or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// So many seconds ago.
    Span(u64),
    /// From then on.
    Time(Timestamp),
}

impl Since {
    pub(super) const fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Span(seconds) => now.minus(seconds),
            Self::Time(time) => time,
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(span) = time_span(text) {
            return Ok(Self::Span(span.as_secs()));
        }
        text.parse::<Time>()
            .map(|Time(time)| Self::Time(time))
            .map_err(|_| "write a time span such as 7d, or a date such as 2026-06-02".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_span_or_a_date() {
        let now = Timestamp::from_unix_seconds(1_790_000_000);
        let since = |text: &str| text.parse::<Since>().map(|since| since.before(now).as_unix_seconds());
        assert_eq!(since("7d"), Ok(1_790_000_000 - 7 * 86_400));
        assert_eq!(since("1970-01-02"), Ok(86_400));
        assert_eq!(since("7"), Ok(7), "seconds since 1970, as every time on the command line");
        for wrong in ["", "week", "7d2h", "2026-13-01", "-7d"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
