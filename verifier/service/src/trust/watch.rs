//! Trust that grows old: files that change are read again, and what comes to its end is told in time.

use std::sync::Arc;
use std::time::Duration;

use countersign_core::time::Timestamp;
use countersign_verifier::revocation::RevocationList;
use tokio::sync::watch;

use super::{FileState, Trust, TrustError};
use crate::service::Service;
use crate::telemetry::Metrics;

/// How often the files that trust comes from are looked at.
const INTERVAL: Duration = Duration::from_secs(30);
/// From how long before its end on a trust bundle is warned of, in days.
const WARNED_OF: u64 = 7;
const DAY: u64 = 86_400;

/// How long a trust bundle has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BundleLife {
    /// There is none, or it has no end, or that is far away.
    #[default]
    Long,
    /// It ends within so many days.
    Days(u64),
    /// It has expired.
    Expired,
}

/// What has been told, so that it is not told every time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    old_list: bool,
    bundle: BundleLife,
}

impl Trust {
    /// How long the trust bundle has left, in seconds; 0 from its expiry on. None without a bundle, or one without end.
    pub fn bundle_time_left(&self, now: Timestamp) -> Option<u64> {
        // A clock that is ahead of the end gives 0 as well.
        self.bundle()?.expires_at().map(|end| end.seconds_since(now))
    }

    /// Whether the trust bundle has expired: then nobody vouches for what evidence is judged by.
    pub fn bundle_has_expired(&self, now: Timestamp) -> bool {
        self.bundle_time_left(now) == Some(0)
    }

    pub(crate) fn bundle_life(&self, now: Timestamp) -> BundleLife {
        match self.bundle_time_left(now) {
            Some(0) => BundleLife::Expired,
            Some(left) if left <= WARNED_OF * DAY => BundleLife::Days(left.div_ceil(DAY)),
            _ => BundleLife::Long,
        }
    }

    /// Sets the metrics that tell of its age.
    pub(crate) fn measure(&self, metrics: &Metrics) {
        metrics.status_list_as_of(
            self.revocation.as_ref().map_or(0, |list| RevocationList::as_of(list).as_unix_seconds()),
        );
        let end = self.bundle().and_then(|bundle| bundle.expires_at());
        metrics.trust_bundle_expires_at(end.map_or(0, Timestamp::as_unix_seconds));
    }
}

impl Service {
    /// Says what is too old, or will be soon, unless that has been told: a status list once, the end of a bundle every
    /// day. Returns what has been told by now.
    pub(crate) fn tell_of_age(&self, told: Told) -> Told {
        let (trust, now) = (self.trust.load(), self.clock.now());
        let (age, stale) = trust.revocation_age(now).unwrap_or_default();
        if stale && !told.old_list {
            tracing::error!(
                hours = age / 3600,
                "the status list is older than the policy accepts: Android devices get no results until a newer one \
                 comes"
            );
        }
        let bundle = trust.bundle_life(now);
        match bundle {
            BundleLife::Days(days) if bundle != told.bundle => tracing::warn!(
                days,
                "the trust bundle expires soon, and then no device gets a result: put a newer one in its place"
            ),
            BundleLife::Expired if bundle != told.bundle => tracing::error!(
                "the trust bundle has expired: no device gets a result until a newer one is in its place"
            ),
            _ => {}
        }
        Told { old_list: stale, bundle }
    }
}

/// Reads the files that trust comes from again when they change, and when somebody asks. One that cannot be used changes
/// nothing.
pub(crate) async fn watch_files(
    service: Arc<Service>,
    mut files: FileState,
    mut stopped: watch::Receiver<bool>,
) {
    let mut told = Told::default();
    let mut refused = None;
    loop {
        told = service.tell_of_age(told);
        let asked = tokio::select! {
            () = tokio::time::sleep(INTERVAL) => false,
            () = service.reload_asked.notified() => true,
            _ = stopped.changed() => return,
        };
        if asked {
            // Whoever asks is told, though it was told before.
            refused = None;
        }
        // A file system that does not answer does not keep the service from ending.
        let reloaded = tokio::select! {
            reloaded = reload_changed(&service, &files, asked) => reloaded,
            _ = stopped.changed() => return,
        };
        match reloaded {
            Ok(current) => {
                files = current;
                refused = None;
            }
            // Tried again the next time, since what is in the way may pass by itself: a busy database, a date in the
            // future. Told once.
            Err(error) => {
                let sentence = Some(error.to_string());
                if refused != sentence {
                    tracing::error!(%error, "the changed files cannot be used; the old ones stay in force");
                }
                refused = sentence;
            }
        }
    }
}

/// Reads the files again if they are not as they were in `before`, or if `asked`. Returns how they are.
async fn reload_changed(service: &Service, before: &FileState, asked: bool) -> Result<FileState, TrustError> {
    let settings = service.settings.clone();
    let looking = tokio::task::spawn_blocking(move || FileState::of(&settings));
    let current = looking.await.map_err(|_| TrustError::Interrupted)?;
    if asked || current != *before {
        service.reload_trust().await?;
    }
    Ok(current)
}
