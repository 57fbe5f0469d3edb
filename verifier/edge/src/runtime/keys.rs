//! How the keys of those whom an edge trusts come, are kept fresh, and are withdrawn when nobody vouches for them any
//! longer.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use countersign_core::request::sha256;
use countersign_core::time::Timestamp;
use countersign_verifier::check::trust::{IssuerKeys, KeyOwner, service_keys};
use countersign_verifier::credential::jwks::Jwks;
use tokio::sync::watch;

use super::{EdgeRuntime, issuer};
use crate::setup_error::SetupError;
use crate::source::{FetchError, JwksSource, Reader};

/// A failed fetch is tried again after this long, then after twice that, and so on up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Where the keys of one issuer come from, and what is known of them.
pub(super) struct Source {
    pub(super) owner: KeyOwner,
    pub(super) place: JwksSource,
    reader: Reader,
    /// The fetch under way, which everybody joins who needs it.
    flight: Mutex<Option<Flight>>,
    /// SHA-256 of the set in force: the same again replaces nothing, so that what it verified stays verified.
    in_force: Mutex<Option<[u8; 32]>>,
    /// When the issuer last said what is in force.
    pub(super) as_of: Mutex<Option<Timestamp>>,
}

pub(super) type Flight = watch::Receiver<Option<Result<(), FetchError>>>;

impl Source {
    pub(super) fn new(owner: KeyOwner, source: JwksSource) -> Result<Self, SetupError> {
        let reader = Reader::new(source.clone()).map_err(|error| SetupError::Source(owner.clone(), error))?;
        Ok(Self {
            owner,
            place: source,
            reader,
            flight: Mutex::default(),
            in_force: Mutex::default(),
            as_of: Mutex::default(),
        })
    }
}

impl EdgeRuntime {
    /// Waits for the keys of `owner`; false if too many wait already.
    pub(super) async fn look_up(self: &Arc<Self>, owner: &KeyOwner) -> bool {
        let Ok(_permit) = self.waiting.try_acquire() else { return false };
        let Some(index) = self.sources.iter().position(|source| source.owner == *owner) else { return false };
        if let Some(flight) = self.join_if_due(index) {
            // Whatever came of it, the next check says what it means for this request.
            let _ = landed(Some(flight)).await;
        }
        true
    }

    /// Joins the fetch under way, or begins one. It runs on its own: a client that goes away does not end it, so
    /// nobody can make it begin again and again.
    pub(super) fn join(self: &Arc<Self>, index: usize) -> Option<Flight> {
        self.board(index, |_| true)
    }

    /// As [`Self::join`], but begins one only if it is time: it may have ended since the edge asked for it.
    fn join_if_due(self: &Arc<Self>, index: usize) -> Option<Flight> {
        self.board(index, |source| self.may_refresh(&source.owner))
    }

    fn board(self: &Arc<Self>, index: usize, may_begin: impl FnOnce(&Source) -> bool) -> Option<Flight> {
        let source = self.sources.get(index)?;
        let mut flight = source.flight.lock().unwrap_or_else(PoisonError::into_inner);
        // The sender lives as long as the fetch.
        if let Some(under_way) = flight.as_ref().filter(|flight| flight.has_changed().is_ok()) {
            return Some(under_way.clone());
        }
        if !may_begin(source) {
            return None;
        }
        let (sender, receiver) = watch::channel(None);
        *flight = Some(receiver.clone());
        let runtime = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = runtime.fetch(index).await;
            sender.send_replace(Some(outcome));
        });
        Some(receiver)
    }

    async fn fetch(&self, index: usize) -> Result<(), FetchError> {
        let Some(source) = self.sources.get(index) else { return Err(FetchError::Interrupted) };
        let read = tokio::time::timeout(self.fetch_timeout, source.reader.read()).await;
        let outcome = read.unwrap_or(Err(FetchError::TimedOut)).and_then(|set| self.install(source, &set));
        self.note_fetched(&source.owner);
        match outcome {
            Ok(()) => {
                *source.as_of.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.now());
                tracing::debug!(issuer = issuer(&source.owner), "key set fetched");
            }
            Err(error) => {
                self.withdraw_if_stale(source);
                let has_keys = self.has_keys(&source.owner);
                tracing::warn!(issuer = issuer(&source.owner), %error, has_keys, "key set not fetched");
            }
        }
        outcome
    }

    fn install(&self, source: &Source, set: &[u8]) -> Result<(), FetchError> {
        let digest = sha256(set);
        let mut in_force = source.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        if *in_force == Some(digest) {
            return Ok(());
        }
        let jwks = Jwks::decode(set).map_err(FetchError::Keys)?;
        match &source.owner {
            KeyOwner::AttestationService(issuer) => {
                let keys = service_keys(&jwks);
                if keys.is_empty() {
                    return Err(FetchError::NoUsableKey);
                }
                if let Some(service) = self.edge.service(issuer) {
                    service.replace(keys);
                }
            }
            KeyOwner::AuthorizationServer(issuer) => {
                if jwks.keys().is_empty() {
                    return Err(FetchError::NoUsableKey);
                }
                if let Some(server) = self.edge.authorization_server(issuer) {
                    server.replace(jwks);
                }
            }
        }
        *in_force = Some(digest);
        tracing::info!(issuer = issuer(&source.owner), "new key set in force");
        Ok(())
    }

    /// Who keeps the issuer from being heard must not keep a withdrawn key good for ever.
    fn withdraw_if_stale(&self, source: &Source) {
        let as_of = *source.as_of.lock().unwrap_or_else(PoisonError::into_inner);
        let is_stale = |as_of: Timestamp| self.now().seconds_since(as_of) >= self.max_stale.as_secs();
        if !as_of.is_some_and(is_stale) || !self.has_keys(&source.owner) {
            return;
        }
        // The same set is in force again once it comes again.
        let mut in_force = source.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        *in_force = None;
        match &source.owner {
            KeyOwner::AttestationService(issuer) => {
                self.edge.service(issuer).into_iter().for_each(IssuerKeys::withdraw);
            }
            KeyOwner::AuthorizationServer(issuer) => {
                self.edge.authorization_server(issuer).into_iter().for_each(IssuerKeys::withdraw);
            }
        }
        let hours = self.max_stale.as_secs() / 3600;
        tracing::error!(
            issuer = issuer(&source.owner),
            hours,
            "the keys are too old to be believed any longer"
        );
    }

    fn may_refresh(&self, owner: &KeyOwner) -> bool {
        let now = self.now();
        match owner {
            KeyOwner::AttestationService(issuer) => {
                self.edge.service(issuer).is_some_and(|keys| keys.may_refresh(now))
            }
            KeyOwner::AuthorizationServer(issuer) => {
                self.edge.authorization_server(issuer).is_some_and(|keys| keys.may_refresh(now))
            }
        }
    }

    fn note_fetched(&self, owner: &KeyOwner) {
        let now = self.now();
        match owner {
            KeyOwner::AttestationService(issuer) => {
                self.edge.service(issuer).into_iter().for_each(|keys| keys.fetched(now));
            }
            KeyOwner::AuthorizationServer(issuer) => {
                self.edge.authorization_server(issuer).into_iter().for_each(|keys| keys.fetched(now));
            }
        }
    }

    pub(super) fn has_keys(&self, owner: &KeyOwner) -> bool {
        match owner {
            KeyOwner::AttestationService(issuer) => {
                self.edge.service(issuer).is_some_and(|keys| keys.is_ready())
            }
            KeyOwner::AuthorizationServer(issuer) => {
                self.edge.authorization_server(issuer).is_some_and(|keys| keys.is_ready())
            }
        }
    }
}

/// What came of a fetch.
pub(super) async fn landed(flight: Option<Flight>) -> Result<(), FetchError> {
    let mut flight = flight.ok_or(FetchError::Interrupted)?;
    match flight.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.unwrap_or(Err(FetchError::Interrupted)),
        Err(_) => Err(FetchError::Interrupted),
    }
}

pub(super) async fn keep_keys_fresh(runtime: Weak<EdgeRuntime>, index: usize, failed: bool) {
    let mut failures = u32::from(failed);
    loop {
        let Some(interval) = runtime.upgrade().map(|runtime| runtime.refresh_interval) else { return };
        tokio::time::sleep(wait(interval, failures)).await;
        let Some(runtime) = runtime.upgrade() else { return };
        let outcome = landed(runtime.join(index)).await;
        failures = if outcome.is_ok() { 0 } else { failures.saturating_add(1) };
    }
}

/// How long to wait after so many failures in a row.
fn wait(interval: Duration, failures: u32) -> Duration {
    match failures {
        0 => interval,
        failures => FIRST_RETRY.saturating_mul(1 << (failures - 1).min(16)).min(interval),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fetch_is_tried_again_soon_and_never_in_a_flood() {
        let interval = Duration::from_secs(300);
        let waits: Vec<_> = (0..9).map(|failures| wait(interval, failures).as_secs()).collect();
        assert_eq!(waits, [300, 1, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!(wait(interval, u32::MAX), interval);
    }
}
