//! An edge that runs apart from the service: no registry, no policy, no signing key. It fetches keys and deny list
//! beside the requests, so that it goes on deciding while the service is away, for as long as the last list is good.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use countersign_core::challenge::MacKeyRing;
use countersign_edge::{DenyListSource, EdgeRuntime, SetupError};

use super::{EdgeInForce, assemble, jwks_source};
use crate::abuse::{Attempts, EdgeWitness};
use crate::clock::Clock;
use crate::gateways::ext_authz::MAX_CHECK;
use crate::keys::{self, KeysError};
use crate::proxy::{Proxy, ProxySetupError};
use crate::reload::{self, ReloadError, Reloads};
use crate::routes::{self, EdgeListener, EdgeState};
use crate::server::{self, ListenError, Listener, Running};
use crate::settings::{EdgeSettings, Gateway};
use crate::telemetry::Metrics;

/// Starts edges that run apart from the service.
#[derive(Debug)]
pub struct StandaloneEdge;

/// An edge that answers until [`RunningEdge::shut_down`], or the end of the process.
#[derive(Debug)]
pub struct RunningEdge {
    shared: Arc<Shared>,
    listeners: Vec<(Place, Running)>,
}

/// What outlives a change of the settings.
#[derive(Debug)]
struct Shared {
    /// As they were at the start.
    settings: EdgeSettings,
    clock: Clock,
    nonces: MacKeyRing,
    state: Arc<EdgeState>,
    proxies: Vec<Arc<Proxy>>,
    reloads: Reloads,
}

/// Which listener it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Edge,
    Admin,
    /// The proxy of the resource of this name.
    Proxy(String),
}

/// Why an edge does not start. Displayed as a sentence that says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum EdgeStartError {
    /// A listener.
    Listen(ListenError),
    /// The file of the nonce keys.
    Keys(KeysError),
    /// The sources of keys and deny list.
    Edge(SetupError),
    /// A proxy.
    Proxy(ProxySetupError),
}

impl StandaloneEdge {
    /// Binds every listener, fetches keys and deny list, and serves. Logging is the caller's. An attestation service that
    /// does not answer is tried again: until then nothing passes.
    ///
    /// # Errors
    /// The first thing that is in the way, as a sentence that says what to do; nothing keeps running then.
    pub async fn start(settings: EdgeSettings) -> Result<RunningEdge, EdgeStartError> {
        Self::start_with(settings, Clock::system()).await
    }

    /// As [`StandaloneEdge::start`], with another clock; for tests and demonstrations.
    ///
    /// # Errors
    /// As [`StandaloneEdge::start`].
    pub async fn start_with(settings: EdgeSettings, clock: Clock) -> Result<RunningEdge, EdgeStartError> {
        let listen = &settings.listen;
        let tls = listen.tls.as_ref().map(server::tls).transpose()?;
        let mut bound = Vec::new();
        let mut bind = |place: Place, address| {
            let socket = server::bind(place.name(), address)?;
            bound.push((place, address, socket));
            Ok::<(), ListenError>(())
        };
        if let Some(address) = listen.edge {
            bind(Place::Edge, address)?;
        }
        for proxy in &settings.proxies {
            bind(Place::Proxy(proxy.resource.clone()), proxy.listen)?;
        }
        bind(Place::Admin, listen.admin)?;

        let nonces = keys::nonce_keys(&settings.nonce_keys, clock.now())?;
        let metrics = Arc::<Metrics>::default();
        let attempts = Arc::new(Attempts::new(&settings.attempts));
        let witness = EdgeWitness::new(Arc::clone(&metrics), Arc::clone(&attempts), &settings.resources);
        let runtime = runtime(&settings, nonces.clone(), &clock, witness)?.start().await;
        metrics.settings_as_of(clock.now().as_unix_seconds());
        let edge = EdgeInForce::new(runtime, settings.resources.clone());
        let state = Arc::new(EdgeState { edge, metrics: Arc::clone(&metrics), attempts });
        let (mut listeners, mut proxies) = (Vec::new(), Vec::new());
        for (place, address, socket) in bound {
            let router = match &place {
                Place::Edge => gateway_router(&settings, &state),
                Place::Admin => Some(routes::edge_admin(&state)),
                Place::Proxy(_) => None,
            };
            let (name, connections) = (place.name(), settings.limits.connections);
            let (router, http1_only) = match (router, &place) {
                (Some(router), _) => {
                    let concurrency = settings.limits.concurrency;
                    let max_body = match settings.listen.gateway {
                        Some(Gateway::EnvoyGrpc) if place == Place::Edge => MAX_CHECK,
                        _ => server::MAX_BODY,
                    };
                    let metrics = Arc::clone(&metrics);
                    (server::bounded(router, name, max_body, concurrency, connections, metrics), false)
                }
                (None, Place::Proxy(resource)) => {
                    // It bounds its requests itself: bodies pass through it, however long.
                    let proxy = proxy(&settings, resource, address, &socket, &state)?;
                    proxies.push(Arc::clone(&proxy));
                    (proxy.into_router(), true)
                }
                (None, _) => continue,
            };
            // This machine alone hears a listener on loopback; every other one speaks TLS.
            let tls = if address.ip().is_loopback() { None } else { tls.clone() };
            let listener = Listener { name, address, tls, connections, http1_only, router };
            let running = server::serve(listener, socket)?;
            tracing::info!(listener = name, resource = place.resource(), address = %running.address, "listening");
            listeners.push((place, running));
        }
        let reloads = Reloads::default();
        let shared = Arc::new(Shared { settings, clock, nonces, state, proxies, reloads });
        Ok(RunningEdge { shared, listeners })
    }
}

fn runtime(
    settings: &EdgeSettings,
    nonces: MacKeyRing,
    clock: &Clock,
    witness: EdgeWitness,
) -> Result<EdgeRuntime, SetupError> {
    let service = &settings.attestation_service;
    let issuer = service.issuer.as_str().to_owned();
    let list = DenyListSource { url: service.deny_list(), ..DenyListSource::of(issuer.as_str()) };
    let keys = (issuer, jwks_source(&service.jwks()));
    let bounds = (&settings.limits, settings.shared_store.as_ref());
    assemble(&settings.resources, bounds, keys, nonces, clock, witness)?.with_deny_list(list)
}

fn gateway_router(settings: &EdgeSettings, state: &Arc<EdgeState>) -> Option<Router> {
    let gateway = settings.listen.gateway?;
    let (metrics, edge) = (Arc::clone(&state.metrics), Arc::clone(&state.edge));
    let listen = &settings.listen;
    let listener = EdgeListener {
        metrics,
        edge,
        gateway,
        client_certificate: listen.client_certificate,
        trusted_gateways: listen.trusted_gateways.as_slice().into(),
    };
    Some(routes::edge(listener).merge(routes::resource_metadata(state)))
}

fn proxy(
    settings: &EdgeSettings,
    resource: &str,
    address: SocketAddr,
    socket: &TcpListener,
    state: &Arc<EdgeState>,
) -> Result<Arc<Proxy>, EdgeStartError> {
    let proxy = settings.proxies.iter().find(|proxy| proxy.resource == resource);
    let proxy = proxy.ok_or_else(|| ProxySetupError::UnknownResource(resource.to_owned()))?;
    let address = socket.local_addr().unwrap_or(address);
    let encrypted = !address.ip().is_loopback() && settings.listen.tls.is_some();
    let concurrency = settings.limits.concurrency;
    Ok(Arc::new(Proxy::new(proxy, state, encrypted, concurrency)?))
}

impl RunningEdge {
    /// The address of the listener `edge` or `admin`, with its real port if the settings said 0.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        let is_it = |place: &Place| place.resource().is_none() && place.name() == listener;
        self.listeners.iter().find(|(place, _)| is_it(place)).map(|(_, running)| running.address)
    }

    /// The address of the proxy of a resource.
    pub fn proxy_address(&self, resource: &str) -> Option<SocketAddr> {
        let is_it = |place: &Place| place.resource() == Some(resource);
        self.listeners.iter().find(|(place, _)| is_it(place)).map(|(_, running)| running.address)
    }

    /// The edge that decides now.
    pub fn runtime(&self) -> Arc<EdgeRuntime> {
        self.shared.state.edge.runtime()
    }

    /// Has the settings in `file` read again, and then keys, deny list and API keys fetched, without waiting for that.
    /// What cannot be used is logged, and the last ones stay.
    pub fn reload_soon(&self, file: &Path) {
        let (shared, file) = (Arc::clone(&self.shared), file.to_owned());
        tokio::spawn(async move {
            // Log and metrics have it already.
            let _ = shared.reload(&file).await;
            shared.state.edge.runtime().refresh().await;
        });
    }

    /// Reads the settings in `file` again, and puts the rules of its resources in force: routes, limits, authorization
    /// servers and client certificates. The edge goes on remembering what it has seen. Whatever else has changed waits for
    /// the next start, and is named in the log.
    ///
    /// # Errors
    /// [`ReloadError`] if the settings cannot be used: the last ones stay in force.
    pub async fn reload_settings(&self, file: &Path) -> Result<(), ReloadError> {
        self.shared.reload(file).await
    }

    /// Stops accepting, and lets requests that are under way end within ten seconds.
    pub async fn shut_down(self) {
        for (_, running) in &self.listeners {
            running.shut_down();
        }
        for (_, running) in self.listeners {
            running.ended().await;
        }
    }
}

impl Shared {
    async fn reload(self: &Arc<Self>, file: &Path) -> Result<(), ReloadError> {
        self.reloads.run(&self.state.metrics, &self.clock, self.reloaded(file)).await
    }

    async fn reloaded(self: &Arc<Self>, file: &Path) -> Result<Vec<String>, ReloadError> {
        let (shared, file) = (Arc::clone(self), file.to_owned());
        let read = reload::read(move || {
            let new = EdgeSettings::load(&file)?;
            let waiting = reload::waiting(&shared.settings, &new);
            let rules = EdgeSettings { resources: new.resources, ..shared.settings.clone() };
            let (metrics, attempts) = (Arc::clone(&shared.state.metrics), Arc::clone(&shared.state.attempts));
            let witness = EdgeWitness::new(metrics, attempts, &rules.resources);
            let next = runtime(&rules, shared.nonces.clone(), &shared.clock, witness)?;
            Ok((waiting, next.succeeding(&shared.state.edge.runtime()), rules.resources))
        });
        let (waiting, next, resources) = read.await?;
        self.state.edge.replace(next.start().await, resources);
        let edition = self.state.edge.edition();
        self.proxies.iter().for_each(|proxy| proxy.follow(&edition));
        Ok(waiting)
    }
}

impl Place {
    const fn name(&self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Admin => "admin",
            Self::Proxy(_) => "proxy",
        }
    }

    fn resource(&self) -> Option<&str> {
        match self {
            Self::Proxy(resource) => Some(resource),
            Self::Edge | Self::Admin => None,
        }
    }
}

impl From<ListenError> for EdgeStartError {
    fn from(error: ListenError) -> Self {
        Self::Listen(error)
    }
}

impl From<KeysError> for EdgeStartError {
    fn from(error: KeysError) -> Self {
        Self::Keys(error)
    }
}

impl From<SetupError> for EdgeStartError {
    fn from(error: SetupError) -> Self {
        Self::Edge(error)
    }
}

impl From<ProxySetupError> for EdgeStartError {
    fn from(error: ProxySetupError) -> Self {
        Self::Proxy(error)
    }
}

impl fmt::Display for EdgeStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
            Self::Keys(error) => error.fmt(f),
            Self::Edge(error) => error.fmt(f),
            Self::Proxy(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EdgeStartError {}
