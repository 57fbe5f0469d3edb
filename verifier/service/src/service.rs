//! Starting and ending the service: settings in, running listeners out.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::keys::{KeysError, ServiceKeys};
use crate::routes;
use crate::server::{self, ListenError, Listener, Running};
use crate::settings::Settings;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

/// How often what is over is deleted from the store.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// What all routes share.
#[derive(Debug)]
pub struct Service {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) keys: ServiceKeys,
    pub(crate) metrics: Arc<Metrics>,
}

/// Why the service does not start. Displayed as a sentence that says what to do.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// A listener.
    Listen(ListenError),
    /// The key files.
    Keys(KeysError),
    /// The database.
    Store(StoreError),
}

/// A service that answers. Dropping it ends it at once; [`RunningService::shut_down`] is the graceful way.
#[derive(Debug)]
pub struct RunningService {
    service: Arc<Service>,
    listeners: BTreeMap<&'static str, Running>,
    pruner: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Service {
    /// Opens keys and store, binds every listener and serves. Logging is the caller's.
    ///
    /// # Errors
    /// The first thing that is in the way, as a sentence that says what to do; nothing keeps running then.
    pub async fn start(settings: Settings) -> Result<RunningService, StartError> {
        Self::start_with_clock(settings, Clock::system()).await
    }

    /// As [`Service::start`], with another clock; for tests.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub async fn start_with_clock(settings: Settings, clock: Clock) -> Result<RunningService, StartError> {
        let listen = settings.listen.clone();
        let tls = listen.tls.as_ref().map(server::tls).transpose()?;
        let mut bound = Vec::new();
        let addresses =
            [("public", Some(listen.public)), ("edge", listen.edge), ("admin", Some(listen.admin))];
        for (name, address) in addresses {
            if let Some(address) = address {
                bound.push((name, address, server::bind(name, address)?));
            }
        }

        let store = Store::open(&settings.store.path).await?;
        let had_keys = store.had_keys().await?;
        let keys = ServiceKeys::open(&settings.keys.directory, had_keys, clock.now())?;
        if !had_keys {
            store.remember_keys().await?;
        }
        let service = Arc::new(Self { settings, clock, store, keys, metrics: Arc::default() });

        let mut listeners = BTreeMap::new();
        for (name, address, socket) in bound {
            let router = match name {
                "public" => routes::public(&service),
                "edge" => routes::edge(&service),
                _ => routes::admin(&service),
            };
            let concurrency = service.settings.limits.concurrency;
            let router = server::bounded(router, name, concurrency, Arc::clone(&service.metrics));
            // This machine alone hears a listener on loopback; every other one speaks TLS.
            let tls = if address.ip().is_loopback() { None } else { tls.clone() };
            let running = server::serve(Listener { name, address, tls, router }, socket)?;
            tracing::info!(listener = name, address = %running.address, "listening");
            listeners.insert(name, running);
        }
        let (stop, stopped) = watch::channel(false);
        let pruner = tokio::spawn(prune(Arc::clone(&service), stopped));
        Ok(RunningService { service, listeners, pruner, stop })
    }
}

impl RunningService {
    /// The address of a listener, `public`, `edge` or `admin`, with its real port if the settings said 0.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.listeners.get(listener).map(|running| running.address)
    }

    /// What all routes share.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Stops accepting, lets requests that are under way end within ten seconds, and closes the store.
    pub async fn shut_down(self) {
        // The receiver may have ended already.
        let _ = self.stop.send(true);
        for running in self.listeners.values() {
            running.shut_down();
        }
        for running in self.listeners.into_values() {
            running.ended().await;
        }
        let _ = self.pruner.await;
        self.service.store.close().await;
    }
}

async fn prune(service: Arc<Service>, mut stopped: watch::Receiver<bool>) {
    loop {
        let now = service.clock.now();
        match service.store.prune(now, now.minus(service.settings.lifetime.audit.as_seconds())).await {
            Ok(rows) => tracing::debug!(rows, "pruned"),
            Err(error) => {
                service.metrics.store_error(error.reason());
                tracing::error!(%error, "old records could not be deleted");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PRUNE_INTERVAL) => {}
            _ = stopped.changed() => return,
        }
    }
}

impl From<ListenError> for StartError {
    fn from(error: ListenError) -> Self {
        Self::Listen(error)
    }
}

impl From<KeysError> for StartError {
    fn from(error: KeysError) -> Self {
        Self::Keys(error)
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
            Self::Keys(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}
