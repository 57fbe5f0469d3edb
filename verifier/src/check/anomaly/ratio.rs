//! Which part of a version's requests is refused, beside what is usual for that very version.

use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::time::Timestamp;

use super::name_of;
use crate::cache::Generations;

/// Requests of a window below which a ratio says nothing.
const MIN_REQUESTS: u32 = 50;
/// Windows that make a baseline.
const MIN_WINDOWS: u32 = 3;
/// The newest window is a quarter of the baseline, those before it the rest: an exponentially weighted mean.
const WEIGHT: i64 = 4;
/// Ratios are counted in parts of this.
const WHOLE: i64 = 10_000;

/// Counts by app and version.
pub(super) struct Ratios {
    /// Percentage points above the baseline.
    threshold: u32,
    window: u64,
    versions: Generations<[u8; 16], Arc<Mutex<Version>>>,
}

#[derive(Default)]
struct Version {
    window: u64,
    refused: u32,
    requests: u32,
    /// In parts of [`WHOLE`].
    baseline: i64,
    /// Windows that went into it.
    windows: u32,
    is_raised: bool,
}

/// A version's ratio has jumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) percent: u32,
    pub(super) usual_percent: u32,
    /// The end of the window that it was seen in.
    pub(super) until: Timestamp,
}

impl Ratios {
    /// For `versions` versions at least, twice as many at most.
    pub(super) fn new(versions: usize, threshold: u32, window: u64) -> Self {
        Self { threshold, window: window.max(1), versions: Generations::new(versions) }
    }

    /// Notes a request of an app's `version`; nothing where it names none. A jump is told once in its window.
    pub(super) fn note(
        &self,
        app: &str,
        version: Option<&str>,
        refused: bool,
        now: Timestamp,
    ) -> Option<Jump> {
        let length = (app.len() as u64).to_be_bytes();
        let key = name_of(&[&length, app.as_bytes(), version?.as_bytes()]);
        let version = self.versions.find_or_insert(key, Arc::default);
        // A panic elsewhere while the lock was held leaves counts that are at worst one off.
        let version = &mut *version.lock().unwrap_or_else(PoisonError::into_inner);
        let window = now.as_unix_seconds() / self.window;
        // A clock that steps back stays in the window that it left.
        if window > version.window {
            version.end_window(window);
        }
        version.requests = version.requests.saturating_add(1);
        version.refused = version.refused.saturating_add(u32::from(refused));
        let (ratio, limit) = (version.ratio()?, version.baseline + i64::from(self.threshold) * (WHOLE / 100));
        if version.windows < MIN_WINDOWS || version.is_raised || ratio < limit {
            return None;
        }
        version.is_raised = true;
        let until = Timestamp::from_unix_seconds((version.window + 1).saturating_mul(self.window));
        Some(Jump { percent: percent(ratio), usual_percent: percent(version.baseline), until })
    }
}

impl Version {
    /// The refused part of this window; `None` while too few came.
    fn ratio(&self) -> Option<i64> {
        let ratio = i64::from(self.refused) * WHOLE / i64::from(self.requests.max(1));
        (self.requests >= MIN_REQUESTS).then_some(ratio)
    }

    fn end_window(&mut self, next: u64) {
        if let Some(ratio) = self.ratio() {
            let step = if self.windows == 0 { ratio } else { (ratio - self.baseline) / WEIGHT };
            self.baseline += step;
            self.windows = self.windows.saturating_add(1);
        }
        (self.window, self.refused, self.requests, self.is_raised) = (next, 0, 0, false);
    }
}

fn percent(ratio: i64) -> u32 {
    u32::try_from(ratio / (WHOLE / 100)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    /// A window with so many requests, of which so many are refused, evenly.
    fn window(ratios: &Ratios, number: u64, requests: u32, refused: u32) -> Vec<Jump> {
        let now = NOW.plus(number * 600);
        let is_refused = |index| (index + 1) * refused / requests > index * refused / requests;
        (0..requests).filter_map(|index| ratios.note("app", Some("1.0"), is_refused(index), now)).collect()
    }

    #[test]
    fn a_jump_is_told_once_in_its_window() {
        let ratios = Ratios::new(10, 20, 600);
        (0..3).for_each(|number| assert_eq!(window(&ratios, number, 100, 10), []));
        let until = NOW.plus(4 * 600);
        assert_eq!(window(&ratios, 3, 500, 400), [Jump { percent: 80, usual_percent: 10, until }]);
    }

    #[test]
    fn a_version_that_was_always_refused_so_often_raises_nothing() {
        let ratios = Ratios::new(10, 20, 600);
        for number in 0..20 {
            assert_eq!(window(&ratios, number, 100, 60), [], "{number}");
        }
    }

    #[test]
    fn a_handful_of_refusals_says_nothing() {
        let ratios = Ratios::new(10, 20, 600);
        (0..3).for_each(|number| assert_eq!(window(&ratios, number, 100, 0), []));
        assert_eq!(window(&ratios, 3, 49, 49), []);
    }

    #[test]
    fn a_new_version_has_a_baseline_of_its_own_first() {
        let ratios = Ratios::new(10, 20, 600);
        for number in 0..3 {
            assert_eq!(window(&ratios, number, 100, 90), []);
        }
        let other = |_| ratios.note("app", Some("1.1"), true, NOW.plus(1800));
        assert_eq!((0..200).filter_map(other).count(), 0);
    }

    #[test]
    fn a_flood_of_versions_is_bounded() {
        let ratios = Ratios::new(16, 20, 600);
        for number in 0..1000 {
            ratios.note("app", Some(&number.to_string()), true, NOW);
            assert!(ratios.versions.len() <= 32);
        }
        assert_eq!(ratios.note("app", None, true, NOW), None);
    }
}
