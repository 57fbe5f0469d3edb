//! Pulling the attestation service's deny list, so that bans are faster than `exp`.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use countersign_core::time::Timestamp;
use countersign_verifier::check::Edge;
use countersign_verifier::check::deny_list::{DenyList, DenyListError, MAX_DENY_LIST};
use reqwest::header::HeaderValue;

use crate::source::{Download, Downloaded, FetchError, SourceError};

/// How long after a pull the next one follows while no list has come.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Where a deny list is, and how often it is pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyListSource {
    /// The attestation service that signs it.
    pub issuer: String,
    /// Its `https` URL; `http` only to this machine.
    pub url: String,
    /// How often it is pulled.
    pub interval: Duration,
}

impl DenyListSource {
    /// The deny list of the attestation service `issuer` at its usual place, `{issuer}/v1/deny-list`, pulled every
    /// ten seconds.
    pub fn of(issuer: impl Into<String>) -> Self {
        let issuer = issuer.into();
        let url = format!("{}/v1/deny-list", issuer.trim_end_matches('/'));
        Self { issuer, url, interval: Duration::from_secs(10) }
    }
}

/// Why no deny list was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PullError {
    Fetch(FetchError),
    List(DenyListError),
    /// The service's keys have not come yet.
    NoKeys,
}

impl PullError {
    pub(crate) const fn is_unknown_key(self) -> bool {
        matches!(self, Self::NoKeys | Self::List(DenyListError::UnknownKey))
    }
}

impl From<FetchError> for PullError {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl fmt::Display for PullError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(error) => error.fmt(f),
            Self::List(error) => f.write_str(error.reason()),
            Self::NoKeys => f.write_str("deny_list_no_keys"),
        }
    }
}

/// A deny list that is pulled again and again.
pub(crate) struct DenyListPull {
    source: DenyListSource,
    download: Download,
    /// Tag of the list in force.
    tag: Mutex<Option<HeaderValue>>,
}

impl DenyListPull {
    pub(crate) fn new(source: DenyListSource) -> Result<Self, SourceError> {
        Ok(Self { download: Download::new(&source.url)?, source, tag: Mutex::default() })
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.source.issuer
    }

    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        self.source == other.source
    }

    /// How long to wait for the next pull. Without any list nothing passes, so the first is asked for more often.
    pub(crate) fn wait(&self, edge: &Edge) -> Duration {
        match edge.deny_list() {
            Some(_) => self.source.interval,
            None => self.source.interval.min(FIRST_RETRY),
        }
    }

    /// Pulls the list and puts it in force if it verifies and is not older than the one before.
    pub(crate) async fn pull(&self, edge: &Edge, now: Timestamp) -> Result<(), PullError> {
        let tag = self.tag.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let (bytes, tag) = match self.download.read(MAX_DENY_LIST, tag.as_ref()).await? {
            Downloaded::Unchanged => return Ok(()),
            Downloaded::New { bytes, tag } => (bytes, tag),
        };
        let keys = edge.service(self.issuer()).and_then(|keys| keys.keys()).ok_or(PullError::NoKeys)?;
        let previous = edge.deny_list();
        let list = DenyList::verify(&bytes, self.issuer(), &keys, previous.as_deref(), now);
        edge.replace_deny_list(list.map_err(PullError::List)?);
        *self.tag.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = tag;
        Ok(())
    }
}
