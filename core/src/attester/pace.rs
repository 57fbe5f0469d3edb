//! How fast to come back: pauses after failures, and how often others may make the device work.

use core::time::Duration;

/// Longest pause, whoever asks for it: a service may slow the device down, not silence it.
const LONGEST: Duration = Duration::from_secs(3_600);
/// An edge's wish for fresh evidence is followed once in this time, and less often if it comes again and again.
const HINT_INTERVAL: Duration = Duration::from_secs(60);
/// Requests that were under way when a wish was followed are still answered with it, for this long.
const HINT_ECHO: Duration = Duration::from_secs(30);
/// A service's wish that the device enrols anew is followed once in this time.
const RE_ENROL_INTERVAL: Duration = Duration::from_secs(3_600);

/// How fast to come back after a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// From one second, doubling, to five minutes.
    Soon,
    /// Once after a second; after that from a minute, doubling, to an hour: what costs keys or evidence each time.
    OnceSoon,
    /// From half a minute, doubling, to an hour: Android's advice for attestation keys that are still to come.
    Provisioning,
    /// From a minute, doubling, to an hour.
    Slow,
    /// An hour.
    Hourly,
}

impl Pace {
    /// The pause after a failure that `failures` came before, of which `asked` seconds are the service's wish. Between
    /// half and the whole, by `jitter`, so that phones that failed together do not come back together.
    pub(super) fn pause(self, failures: u32, asked: Option<u64>, jitter: [u8; 8]) -> Duration {
        let doublings = failures.min(16);
        let longest: u64 = match self {
            Self::Soon => (1_000 << doublings).min(300_000),
            Self::OnceSoon if doublings == 0 => 1_000,
            Self::OnceSoon => (60_000 << (doublings - 1)).min(3_600_000),
            Self::Provisioning => (30_000 << doublings).min(3_600_000),
            Self::Slow => (60_000 << doublings).min(3_600_000),
            Self::Hourly => 3_600_000,
        };
        let jitter = u64::from_be_bytes(jitter) % (longest / 2 + 1);
        let asked = Duration::from_secs(asked.unwrap_or(0)).min(LONGEST);
        Duration::from_millis(longest / 2 + jitter).max(asked)
    }

    /// Whether the first failure is worth a second try before anybody is told.
    pub(super) const fn is_soon(self) -> bool {
        matches!(self, Self::Soon | Self::OnceSoon)
    }
}

/// When wishes of edges and of the service were last followed, by the uptime clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    /// An edge's wish for fresh evidence, and how long the next one waits.
    fresh: Option<(Duration, Duration)>,
    re_enrolled: Option<Duration>,
}

/// What becomes of an edge's wish for fresh evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// It is followed.
    Followed,
    /// One was followed just now; this request was probably under way then.
    Echo,
    /// Too soon after the last one.
    Ignored,
}

impl Wishes {
    /// An edge wishes for fresh evidence. One that is never content is followed after 1, 2, 4, … minutes, then hourly.
    pub(super) fn fresh(&mut self, uptime: Duration) -> Wish {
        let interval = match self.fresh {
            None => HINT_INTERVAL,
            Some((last, interval)) => {
                let since = uptime.saturating_sub(last);
                if since < interval {
                    return if since < HINT_ECHO { Wish::Echo } else { Wish::Ignored };
                }
                if since < interval.saturating_mul(2) {
                    interval.saturating_mul(2).min(LONGEST)
                } else {
                    HINT_INTERVAL
                }
            }
        };
        self.fresh = Some((uptime, interval));
        Wish::Followed
    }

    /// Whether the service's wish for a new enrolment is followed: it costs keys and evidence each time.
    pub(super) fn re_enrol(&mut self, uptime: Duration) -> bool {
        let too_soon = |last: Duration| uptime.saturating_sub(last) < RE_ENROL_INTERVAL;
        if self.re_enrolled.is_some_and(too_soon) {
            return false;
        }
        self.re_enrolled = Some(uptime);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACES: [Pace; 5] = [Pace::Soon, Pace::OnceSoon, Pace::Provisioning, Pace::Slow, Pace::Hourly];

    #[test]
    fn every_pause_is_jittered_and_ends() {
        for pace in PACES {
            for failures in [0, 1, 5, 16, u32::MAX] {
                let least = pace.pause(failures, None, [0; 8]);
                let (odd, most) = (pace.pause(failures, None, [7; 8]), pace.pause(failures, None, [255; 8]));
                assert!(least >= Duration::from_millis(500) && least <= LONGEST);
                assert!(odd >= least && odd <= least * 2 && most <= least * 2 && odd != most);
            }
        }
    }

    #[test]
    fn a_service_slows_down_and_does_not_silence() {
        for pace in PACES {
            assert_eq!(pace.pause(0, Some(u64::MAX), [0; 8]), LONGEST);
            assert!(pace.pause(3, Some(0), [0; 8]) >= pace.pause(3, None, [0; 8]));
        }
    }

    #[test]
    fn attestation_keys_are_awaited_as_android_advises() {
        let least = |failures| Pace::Provisioning.pause(failures, None, [0; 8]).as_secs();
        assert_eq!(
            [least(0), least(1), least(2)],
            [15, 30, 60],
            "first after 5 to 30 seconds, then doubling"
        );
    }

    #[test]
    fn an_edge_that_is_never_content_is_followed_ever_less_often() {
        let mut wishes = Wishes::default();
        let day = 0..24 * 3_600;
        let followed = day.filter(|second| wishes.fresh(Duration::from_secs(*second)) == Wish::Followed);
        let followed: Vec<u64> = followed.collect();
        assert_eq!(followed[..4], [0, 60, 180, 420]);
        assert!(followed.len() < 35, "{followed:?}");
    }

    #[test]
    fn an_edge_that_was_content_for_long_is_heard_at_once() {
        let mut wishes = Wishes::default();
        let mut ask = |second| wishes.fresh(Duration::from_secs(second));
        assert_eq!(
            [ask(0), ask(29), ask(30), ask(60)],
            [Wish::Followed, Wish::Echo, Wish::Ignored, Wish::Followed]
        );
        assert_eq!(
            [ask(179), ask(60 + 240), ask(60 + 240 + 60)],
            [Wish::Ignored, Wish::Followed, Wish::Followed]
        );
    }
}
