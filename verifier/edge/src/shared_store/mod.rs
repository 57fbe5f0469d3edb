//! The store that edges share, in Redis or Valkey: replay set, first uses of bearer tokens, and nonce keys.
//!
//! One question is one round trip with a deadline. A connection that fails, or does not answer in time again and again,
//! is given up: from then on questions fail at once, while one task tries to get a new one that proves itself first.

mod address;
mod connection;
mod error;
mod nonce_keys;
mod question;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use countersign_core::challenge::MacKeyRing;
use countersign_verifier::check::pending::{Question, StoreAnswer};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

pub use address::{StoreAddress, StoreAddressError};
pub use error::{STORE_OUTCOMES, StoreError};
pub use nonce_keys::NonceRotation;
pub use question::GCRA;

use connection::Connection;
use error::Outcomes;

/// Questions under way at one time; further ones fail at once.
const MAX_UNDER_WAY: usize = 1024;
/// So many answers in a row that do not come in time end a connection.
const MAX_SLOW: u32 = 5;
/// How often a connection is tried while nobody asks.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The first wait before connecting again; it doubles with each failure, up to the last.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// A connection that lasted so long was a good one.
const STEADY: Duration = Duration::from_secs(10);
/// How long a start waits for the first connection.
const START: Duration = Duration::from_secs(2);

/// How edges find the store, and what they expect of it.
#[derive(Clone, Debug)]
pub struct SharedStoreSettings {
    /// Where it is.
    pub address: StoreAddress,
    /// How long one question may take.
    pub deadline: Duration,
    /// Begins the name of everything that is written there. Edges that have the same one form one replay domain.
    pub key_prefix: String,
    /// When nonce keys change.
    pub nonce_rotation: NonceRotation,
    /// Uses a store that may throw away what it was told to keep: whoever fills it can use a proof again.
    pub danger_evicting: bool,
}

impl SharedStoreSettings {
    /// The store at `address`, with 50 ms for each question and the prefix `countersign:`.
    pub fn new(address: StoreAddress) -> Self {
        Self {
            address,
            deadline: Duration::from_millis(50),
            key_prefix: "countersign:".to_owned(),
            nonce_rotation: NonceRotation::default(),
            danger_evicting: false,
        }
    }
}

/// The store that edges share.
pub(crate) struct SharedStore {
    settings: SharedStoreSettings,
    /// `None` while there is none that can be used: questions fail without waiting.
    connection: ArcSwapOption<Connection>,
    under_way: Semaphore,
    slow: AtomicU32,
    given_up: Notify,
    was_reached: AtomicBool,
    outcomes: Outcomes,
    nonce_keys: watch::Sender<Option<MacKeyRing>>,
}

impl SharedStore {
    pub(crate) fn new(settings: SharedStoreSettings) -> Self {
        Self {
            settings,
            connection: ArcSwapOption::empty(),
            under_way: Semaphore::new(MAX_UNDER_WAY),
            slow: AtomicU32::new(0),
            given_up: Notify::new(),
            was_reached: AtomicBool::new(false),
            outcomes: Outcomes::default(),
            nonce_keys: watch::Sender::new(None),
        }
    }

    /// Asks within the deadline.
    pub(crate) async fn ask(&self, question: &Question) -> Result<StoreAnswer, StoreError> {
        let answer = self.try_to_ask(question).await;
        self.outcomes.count(answer);
        answer
    }

    /// How many questions ended how; names as in [`STORE_OUTCOMES`].
    pub(crate) fn outcomes(&self) -> Vec<(&'static str, u64)> {
        self.outcomes.read()
    }

    /// Whether it could be used at least once.
    pub(crate) fn was_reached(&self) -> bool {
        self.was_reached.load(Ordering::Relaxed)
    }

    /// Whether it can be used now.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.load().is_some()
    }

    /// The nonce keys in force, once they have come.
    pub(crate) fn nonce_keys(&self) -> watch::Receiver<Option<MacKeyRing>> {
        self.nonce_keys.subscribe()
    }

    /// Waits for the nonce keys as long as a start may take.
    pub(crate) async fn first_nonce_keys(&self) -> Option<MacKeyRing> {
        let mut keys = self.nonce_keys();
        let came = tokio::time::timeout(START, keys.wait_for(Option::is_some)).await;
        came.ok()?.ok()?.clone()
    }

    async fn try_to_ask(&self, question: &Question) -> Result<StoreAnswer, StoreError> {
        let connection = self.connection.load_full().ok_or(StoreError::Disconnected)?;
        let _room = self.under_way.try_acquire().map_err(|_| StoreError::Busy)?;
        let asked = connection.ask(&self.settings.key_prefix, question);
        match tokio::time::timeout(self.settings.deadline, asked).await {
            Ok(Ok(answer)) => {
                self.slow.store(0, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) => {
                self.give_up(&connection, error);
                Err(error)
            }
            Err(_) => {
                self.was_slow(&connection);
                Err(StoreError::TimedOut)
            }
        }
    }

    fn was_slow(&self, connection: &Arc<Connection>) {
        if self.slow.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_SLOW {
            self.give_up(connection, StoreError::TimedOut);
        }
    }

    /// Ends the use of `connection`, unless another one has taken its place already.
    fn give_up(&self, connection: &Arc<Connection>, error: StoreError) {
        let current = self.connection.compare_and_swap(connection, None);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection)) {
            self.slow.store(0, Ordering::Relaxed);
            tracing::warn!(
                reason = error.reason(),
                "the shared store is given up until it proves itself again"
            );
            self.given_up.notify_one();
        }
    }

    /// Keeps a connection, for ever; the one task of this store.
    pub(crate) async fn supervise(self: Arc<Self>) {
        let mut failures = 0_u32;
        let mut last = None;
        loop {
            match self.connect().await {
                Ok(connection) => {
                    let began = Instant::now();
                    tracing::info!(address = %self.settings.address, "the shared store is in use");
                    last = None;
                    self.attend(&connection).await;
                    failures = if began.elapsed() >= STEADY { 0 } else { failures.saturating_add(1) };
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    // Said once, not every five seconds.
                    if last != Some(error) {
                        let advice = error.advice();
                        tracing::error!(address = %self.settings.address, reason = error.reason(), "{advice}");
                        last = Some(error);
                    }
                }
            }
            tokio::time::sleep(wait(failures)).await;
        }
    }

    /// A connection that has shown that it can write, in time, and forgets nothing.
    async fn connect(&self) -> Result<Arc<Connection>, StoreError> {
        let connection = Arc::new(Connection::open(&self.settings).await?);
        let ring = connection.prove(&self.settings).await?;
        self.slow.store(0, Ordering::Relaxed);
        self.nonce_keys.send_replace(Some(ring));
        self.connection.store(Some(Arc::clone(&connection)));
        self.was_reached.store(true, Ordering::Relaxed);
        Ok(connection)
    }

    /// Looks after a connection until it is given up.
    async fn attend(&self, connection: &Arc<Connection>) {
        let mut pulled = Instant::now();
        let pull = self.settings.nonce_rotation.pull;
        loop {
            tokio::select! {
                () = self.given_up.notified() => {}
                () = tokio::time::sleep(HEARTBEAT.min(pull)) => {}
            }
            let current = self.connection.load_full();
            if !current.is_some_and(|current| Arc::ptr_eq(&current, connection)) {
                return;
            }
            let looked = if pulled.elapsed() >= pull {
                pulled = Instant::now();
                connection.prove(&self.settings).await.map(|ring| {
                    self.nonce_keys.send_replace(Some(ring));
                })
            } else {
                connection.ping(self.settings.deadline).await
            };
            match looked {
                Ok(()) => {}
                Err(StoreError::TimedOut) => self.was_slow(connection),
                Err(error) => self.give_up(connection, error),
            }
        }
    }
}

impl fmt::Debug for SharedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedStore").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn wait(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LAST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_stays_away_is_asked_for_less_and_less_and_never_forgotten() {
        let waits: Vec<_> = (0..9).map(|failures| wait(failures).as_millis()).collect();
        assert_eq!(waits, [50, 50, 100, 200, 400, 800, 1600, 3200, 5000]);
        assert_eq!(wait(u32::MAX), LAST_RETRY);
    }
}
