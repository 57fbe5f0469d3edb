//! The status list of Android attestation certificates, fetched as its publisher asks, and kept over a restart.
//!
//! What is kept is only ever replaced by a list that parses, has entries, and has not shrunk beyond belief: an empty
//! list would let every revoked key in. Until such a list comes, the kept one grows old, and once it is older than the
//! policy accepts, Android devices are refused: an attacker who can keep the list away can stop the service, but not
//! take back a revocation.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use countersign_core::time::Timestamp;
use countersign_verifier::revocation::{MAX_LIST_LENGTH, RevocationList, RevocationListError};
use reqwest::header::{AGE, CACHE_CONTROL, ETAG, HeaderMap, HeaderName, IF_NONE_MATCH};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::keys;
use crate::service::Service;
use crate::settings::{Settings, WebUrl};

/// Longest time for one fetch.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Shortest and longest time between two fetches, whatever the publisher says, and the time if it says nothing. Seconds.
const REFRESH: (u64, u64, u64) = (300, 86_400, 4 * 3600);
/// First and longest wait after a failure, in seconds. It doubles in between.
const RETRY: (u64, u64) = (60, 3600);
/// A list with fewer than one in so many of the entries of the list before is not believed.
const SHRINKS_TO_ONE_IN: usize = 2;
/// Longest kept file, in bytes: the list, in which every byte may have to be escaped, and what is known of it.
const MAX_KEPT: u64 = 6 * MAX_LIST_LENGTH as u64 + 64 * 1024;

/// A list as it is kept beside the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptList {
    /// Where it came from.
    url: String,
    /// As of when it is, in seconds since the epoch.
    as_of: u64,
    /// When it is to be fetched again.
    refresh_at: u64,
    /// The publisher's tag for it.
    etag: Option<String>,
    /// The list, as it came.
    list: String,
}

/// Where the list is fetched from, and where it is kept.
#[derive(Debug)]
pub(crate) struct StatusListFeed {
    client: Client,
    url: Url,
    kept: PathBuf,
}

/// What came of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refreshed {
    /// Another list, with so many entries.
    Replaced(usize),
    /// The one that is there is still the publisher's.
    Confirmed,
}

/// Why a fetch brought nothing. What was there before stays in force, and grows old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefreshError {
    /// No connection, it broke off, or a redirect left the host.
    Connection,
    /// No complete answer in time.
    TimedOut,
    /// A status other than 200 and 304.
    Status(u16),
    /// Longer than a list may be.
    TooLarge,
    /// Not a status list.
    List(RevocationListError),
    /// A list without entries: the publisher never means that.
    Empty,
    /// A list that lost most of its entries.
    Shrunken {
        /// Entries of the list before.
        before: usize,
        /// Entries of the list that came.
        now: usize,
    },
    /// It cannot be kept.
    NotKept,
}

impl RefreshError {
    /// A stable name for logs and metrics.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Connection => "status_list_connection",
            Self::TimedOut => "status_list_timed_out",
            Self::Status(_) => "status_list_status",
            Self::TooLarge => "status_list_too_large",
            Self::List(error) => error.reason(),
            Self::Empty => "status_list_empty",
            Self::Shrunken { .. } => "status_list_shrunken",
            Self::NotKept => "status_list_not_kept",
        }
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the publisher answers with status {status}"),
            Self::Empty => f.write_str("the list that came has no entries; it is not believed"),
            Self::Shrunken { before, now } => write!(
                f,
                "the list that came has {now} entries, the one before had {before}; if that is right, delete \
                 status-list.json beside the database and restart"
            ),
            other => f.write_str(other.reason()),
        }
    }
}

impl StatusListFeed {
    /// The feed that the settings name; None if they name none, or if no TLS client can be made.
    pub(crate) fn new(settings: &Settings) -> Option<Self> {
        let url = Url::parse(settings.trust.revocation_url.as_ref()?.as_str()).ok()?;
        // The settings have seen to it that it is https, or this machine.
        let client = Client::builder().referer(false).timeout(TIMEOUT).redirect(same_origin(&url));
        let client = if url.scheme() == "https" { client.https_only(true) } else { client.no_proxy() };
        Some(Self { client: client.build().ok()?, url, kept: kept_path(settings) })
    }

    async fn fetch(
        &self,
        kept: Option<&KeptList>,
        known: usize,
        now: Timestamp,
    ) -> Result<KeptList, RefreshError> {
        let mut request = self.client.get(self.url.clone());
        let tag = kept.and_then(|kept| kept.etag.as_ref());
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let mut response = request.send().await.map_err(|error| broken(&error))?;
        let headers = response.headers();
        // What a cache on the way has had for a while is as old as it says.
        let age = number(headers, AGE).unwrap_or(0);
        let lifetime = max_age(headers).map(|max_age| max_age.saturating_sub(age));
        let (shortest, longest, unsaid) = REFRESH;
        let refresh_at = now.plus(lifetime.unwrap_or(unsaid).clamp(shortest, longest)).as_unix_seconds();
        let as_of = now.minus(age).as_unix_seconds();
        match (response.status(), kept) {
            (StatusCode::OK, _) => {}
            (StatusCode::NOT_MODIFIED, Some(kept)) if tag.is_some() => {
                return Ok(KeptList { as_of: as_of.max(kept.as_of), refresh_at, ..kept.clone() });
            }
            (status, _) => return Err(RefreshError::Status(status.as_u16())),
        }
        let etag = headers.get(ETAG).and_then(|tag| tag.to_str().ok()).filter(|tag| tag.len() <= 256);
        let etag = etag.map(str::to_owned);
        if response.content_length().is_some_and(|length| length > MAX_LIST_LENGTH as u64) {
            return Err(RefreshError::TooLarge);
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
            if bytes.len() + chunk.len() > MAX_LIST_LENGTH {
                return Err(RefreshError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        let list = RevocationList::parse(&bytes, now).map_err(RefreshError::List)?;
        if list.is_empty() {
            return Err(RefreshError::Empty);
        }
        if list.len() < known / SHRINKS_TO_ONE_IN {
            return Err(RefreshError::Shrunken { before: known, now: list.len() });
        }
        let list = String::from_utf8(bytes)
            .map_err(|_| RefreshError::List(RevocationListError::Malformed { line: 1 }))?;
        Ok(KeptList { url: self.url.to_string(), as_of, refresh_at, etag, list })
    }
}

impl KeptList {
    /// What is kept of the list that the settings name, if it can be read and came from there.
    pub(crate) fn read(settings: &Settings) -> Option<Self> {
        let url = Url::parse(settings.trust.revocation_url.as_ref().map(WebUrl::as_str)?).ok()?;
        let mut text = String::new();
        File::open(kept_path(settings)).ok()?.take(MAX_KEPT).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok().filter(|kept: &Self| kept.url == url.as_str())
    }

    /// The list. One that is dated in the future is not taken: it would be fresh for ever.
    pub(crate) fn parse(&self, now: Timestamp) -> Option<RevocationList> {
        let as_of = Timestamp::from_unix_seconds(self.as_of);
        let list = RevocationList::parse(self.list.as_bytes(), as_of).ok()?;
        (as_of <= now.plus(super::CLOCK_SKEW)).then_some(list)
    }
}

impl Service {
    /// Fetches the status list once, keeps it and puts it in force.
    pub(crate) async fn refresh_status_list(&self, feed: &StatusListFeed) -> Result<Refreshed, RefreshError> {
        let now = self.clock.now();
        let kept = KeptList::read(&self.settings);
        let known = kept.as_ref().and_then(|kept| kept.parse(now)).map(|list| list.len());
        let in_force = self.trust.load().revocation.as_ref().map(RevocationList::len);
        let fetched = feed.fetch(kept.as_ref(), known.or(in_force).unwrap_or(0), now).await;
        let fetched = fetched.inspect(|_| self.metrics.status_list_refresh("ok")).inspect_err(|error| {
            self.metrics.status_list_refresh(error.reason());
        })?;
        let text = serde_json::to_string(&fetched).map_err(|_| RefreshError::NotKept)?;
        keys::write_private(&feed.kept, &text).map_err(|_| RefreshError::NotKept)?;
        let list = fetched.parse(now).ok_or(RefreshError::NotKept)?;
        let entries = list.len();
        self.adopt_status_list(list).await;
        let same = kept.is_some_and(|kept| kept.list == fetched.list);
        Ok(if same { Refreshed::Confirmed } else { Refreshed::Replaced(entries) })
    }
}

/// Fetches the list whenever it is due, for as long as the service runs.
pub(crate) async fn keep_fresh(
    service: Arc<Service>,
    feed: StatusListFeed,
    mut stopped: watch::Receiver<bool>,
) {
    let mut failures = 0;
    let mut wait = until_due(&service);
    loop {
        tokio::select! {
            () = tokio::time::sleep(with_jitter(wait)) => {}
            _ = stopped.changed() => return,
        }
        match service.refresh_status_list(&feed).await {
            Ok(refreshed) => {
                tracing::info!(?refreshed, "status list fetched");
                (failures, wait) = (0, until_due(&service).max(REFRESH.0));
            }
            Err(error) => {
                wait = retry_after(failures);
                failures += 1;
                tracing::error!(%error, wait, "the status list cannot be fetched; the last one stays in force and grows old");
            }
        }
    }
}

/// Seconds until the kept list is to be fetched again: at once where it is of no use, and never later than the longest
/// time between two fetches, though a clock that was wrong has written it.
fn until_due(service: &Service) -> u64 {
    let now = service.clock.now();
    let usable = KeptList::read(&service.settings).filter(|kept| kept.parse(now).is_some());
    usable.map_or(0, |kept| kept.refresh_at.saturating_sub(now.as_unix_seconds())).min(REFRESH.1)
}

fn retry_after(failures: u32) -> u64 {
    let (first, longest) = RETRY;
    first.checked_shl(failures.min(16)).unwrap_or(longest).min(longest)
}

/// Up to an eighth more, so that not all services come at once.
fn with_jitter(seconds: u64) -> Duration {
    let mut byte = [0];
    // Without randomness there is no jitter; nothing else depends on it.
    let _ = getrandom::fill(&mut byte);
    Duration::from_millis(seconds * 1000 + seconds * 1000 / 8 * u64::from(byte[0]) / 256)
}

fn kept_path(settings: &Settings) -> PathBuf {
    settings.store.path.parent().unwrap_or(Path::new(".")).join("status-list.json")
}

/// Follows redirects on the same host alone: another one could be an address that only this machine reaches.
fn same_origin(url: &Url) -> Policy {
    let origin = url.origin();
    Policy::custom(move |attempt| {
        if attempt.url().origin() == origin && attempt.previous().len() < 4 {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

fn broken(error: &reqwest::Error) -> RefreshError {
    if error.is_timeout() { RefreshError::TimedOut } else { RefreshError::Connection }
}

fn number(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// `max-age`, or zero where nothing may be kept unasked (RFC 9111 section 5.2.2).
fn max_age(headers: &HeaderMap) -> Option<u64> {
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let directives: Vec<String> =
        lines.flat_map(|line| line.split(',')).map(|one| one.trim().to_ascii_lowercase()).collect();
    if directives.iter().any(|one| one == "no-store" || one == "no-cache") {
        return Some(0);
    }
    directives.iter().find_map(|one| one.strip_prefix("max-age=")?.trim_matches('"').parse().ok())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn the_publishers_word_counts_within_bounds() {
        let said = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
            }
            max_age(&headers)
        };
        assert_eq!(said(&["public, max-age=3600"]), Some(3600));
        assert_eq!(said(&["public", "Max-Age=\"60\""]), Some(60));
        assert_eq!(said(&["max-age=3600, no-cache"]), Some(0));
        assert_eq!(said(&["max-age=-1"]), None);
        assert_eq!(said(&["s-maxage=10"]), None);
        assert_eq!(said(&[]), None);
    }

    #[test]
    fn failures_are_tried_again_ever_later_up_to_an_hour() {
        let waits: Vec<u64> = (0..8).map(retry_after).collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(retry_after(u32::MAX), 3600);
    }
}
