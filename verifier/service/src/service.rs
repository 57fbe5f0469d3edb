//! Starting and ending the service: settings in, running listeners out.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use countersign_edge::{JwksSource, SetupError};
use countersign_verifier::revocation::RevocationList;
use serde_json::json;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;

use crate::abuse::{Attempts, EdgeWitness, LogBudget};
use crate::administration::KeyFailures;
use crate::attestation::RecordBudget;
use crate::clock::Clock;
use crate::edge::{self, EdgeInForce};
use crate::gateways::ext_authz::MAX_CHECK;
use crate::keys::{KeysError, ServiceKeys};
use crate::play_integrity::{PlayIntegrity, PlayIntegrityProblem};
use crate::reappraisal::{self, Reappraisal};
use crate::receipts::{self, AppleReceiptExchange, AppleSetupError, Endpoints};
use crate::reload::{self, ReloadError, Reloads};
use crate::routes::{self, EdgeListener, LastDenyList};
use crate::server::{self, ListenError, Listener, Running};
use crate::settings::{Gateway, LimitSettings, Settings};
use crate::store::{KeptSince, Store, StoreError};
use crate::telemetry::Metrics;
use crate::trust::status_list::{self, StatusListFeed};
use crate::trust::{self, FileState, Trust, TrustError};

/// How often what is over is deleted from the store.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// What all routes share.
#[derive(Debug)]
pub struct Service {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) keys: ServiceKeys,
    pub(crate) trust: ArcSwap<Trust>,
    pub(crate) play_integrity: PlayIntegrity,
    pub(crate) edge: Option<Arc<EdgeInForce>>,
    /// Where that edge has the keys of this service from.
    own_keys: JwksSource,
    reloads: Reloads,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) refusals: RecordBudget,
    /// Bounds the lines about refusals that nothing else is recorded of.
    pub(crate) refusal_lines: LogBudget,
    /// Told of every ban that an administrator makes or lifts over HTTP.
    pub(crate) bans_changed: Notify,
    /// Told when the files that trust comes from are to be read again, changed or not.
    pub(crate) reload_asked: Notify,
    pub(crate) key_failures: KeyFailures,
    pub(crate) reappraisal: Reappraisal,
    pub(crate) last_deny_list: LastDenyList,
    /// Held while `trust` is replaced by what follows from it.
    pub(crate) changing_trust: Mutex<()>,
}

/// Why the service does not start. Displayed as a sentence that says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A listener.
    Listen(ListenError),
    /// The key files.
    Keys(KeysError),
    /// The database.
    Store(StoreError),
    /// The policy, its roots or the revocation list.
    Trust(TrustError),
    /// The keys or accounts of Play Integrity.
    PlayIntegrity(PlayIntegrityProblem),
    /// The edge.
    Edge(SetupError),
    /// The key for exchanging receipts.
    AppAttest(AppleSetupError),
}

/// A service that answers until [`RunningService::shut_down`]. Dropped, it goes on answering until the process ends, and
/// reads neither bans nor trust data again: its edge lets nothing pass once the last deny list is over.
#[derive(Debug)]
pub struct RunningService {
    service: Arc<Service>,
    listeners: BTreeMap<&'static str, Running>,
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Service {
    /// Opens keys and store, binds every listener and serves. Logging is the caller's.
    ///
    /// # Errors
    /// The first thing that is in the way, as a sentence that says what to do; nothing keeps running then.
    pub async fn start(settings: Settings) -> Result<RunningService, StartError> {
        let files = FileState::of(&settings);
        let clock = Clock::system();
        let trust = Trust::load(&settings, clock.now())?;
        let exchange = match &settings.app_attest {
            Some(app_attest) => Some(AppleReceiptExchange::new(app_attest, Endpoints::default())?),
            None => None,
        };
        let mut running = Self::start_with(settings, trust, clock).await?;
        running.tasks.push(tokio::spawn(trust::watch_files(
            Arc::clone(&running.service),
            files,
            running.stop.subscribe(),
        )));
        if let Some(exchange) = exchange {
            let (service, stopped) = (Arc::clone(&running.service), running.stop.subscribe());
            running.tasks.push(tokio::spawn(receipts::keep_fresh(service, Arc::new(exchange), stopped)));
        }
        Ok(running)
    }

    /// As [`Service::start`], with trust that does not come from files, and with another clock; for tests and
    /// demonstrations. Apple is not asked about devices.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub async fn start_with(
        settings: Settings,
        trust: Trust,
        clock: Clock,
    ) -> Result<RunningService, StartError> {
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

        let fetched = settings.trust.revocation_url.is_some();
        if trust.revocation.is_none() && !fetched && trust.policy.apps().any(|app| !app.android.is_empty()) {
            tracing::warn!("no revocation list in [trust]: Android devices get the tier `warning` at best");
        }
        let store = Store::open(&settings.store.path).await?;
        store.raise_ban_sequence(clock.now()).await?;
        trust::remember(&trust, &settings, &store).await?;
        let had_keys = store.had_keys().await?;
        let keys = ServiceKeys::open(&settings.keys.directory, had_keys, clock.now())?;
        if !had_keys {
            store.remember_keys().await?;
        }
        let metrics = Arc::<Metrics>::default();
        metrics.settings_as_of(clock.now().as_unix_seconds());
        let attempts = Arc::new(Attempts::new(&settings.attempts));
        let own_keys = JwksSource::fixed(keys.public_jwks().to_string());
        let edge = match listen.edge {
            Some(_) => {
                let witness =
                    EdgeWitness::new(Arc::clone(&metrics), Arc::clone(&attempts), &settings.resources);
                let nonces = keys.nonces.clone();
                let edge = edge::beside_service(&settings, own_keys.clone(), nonces, &clock, witness)?;
                Some(EdgeInForce::new(edge.start().await, settings.resources.clone()))
            }
            None => None,
        };
        let play_integrity = PlayIntegrity::open(&settings.play_integrity)?;
        trust.measure(&metrics);
        let trust = ArcSwap::from_pointee(trust);
        let service = Arc::new(Self {
            settings,
            clock,
            store,
            keys,
            trust,
            play_integrity,
            edge,
            own_keys,
            reloads: Reloads::default(),
            metrics,
            attempts,
            refusals: RecordBudget::default(),
            refusal_lines: LogBudget::default(),
            bans_changed: Notify::new(),
            reload_asked: Notify::new(),
            key_failures: KeyFailures::default(),
            reappraisal: Reappraisal::default(),
            last_deny_list: LastDenyList::default(),
            changing_trust: Mutex::default(),
        });
        let feed = StatusListFeed::new(&service.settings);
        if let (Some(feed), None) = (&feed, &service.trust.load().revocation) {
            // Before the first device comes; one that comes without a list is worth less.
            if let Err(error) = service.refresh_status_list(feed).await {
                tracing::error!(%error, "the status list cannot be fetched; it is tried again");
            }
        }

        // Before the first request: without a list of bans nothing passes.
        if let Some(edge) = &service.edge {
            edge.runtime().edge().replace_deny_list(service.deny_list().await?);
        }

        let mut listeners = BTreeMap::new();
        for (name, address, socket) in bound {
            let router = match (name, service.edge_listener()) {
                ("public", _) => routes::public(&service),
                ("edge", Some(listener)) => routes::edge(listener),
                _ => routes::admin(&service),
            };
            let LimitSettings { concurrency, connections, .. } = service.settings.limits;
            let max_body = match service.settings.listen.gateway {
                Some(Gateway::EnvoyGrpc) if name == "edge" => MAX_CHECK,
                _ => server::MAX_BODY,
            };
            let metrics = Arc::clone(&service.metrics);
            let router = server::bounded(router, name, max_body, concurrency, connections, metrics);
            // This machine alone hears a listener on loopback; every other one speaks TLS.
            let tls = if address.ip().is_loopback() { None } else { tls.clone() };
            let listener = Listener { name, address, tls, connections, http1_only: false, router };
            let running = server::serve(listener, socket)?;
            tracing::info!(listener = name, address = %running.address, "listening");
            listeners.insert(name, running);
        }
        let (stop, stopped) = watch::channel(false);
        let mut tasks = vec![
            tokio::spawn(prune(Arc::clone(&service), stopped.clone())),
            tokio::spawn(reappraisal::watch(Arc::clone(&service), stopped.clone())),
        ];
        if let Some(feed) = feed {
            tasks.push(tokio::spawn(status_list::keep_fresh(Arc::clone(&service), feed, stopped.clone())));
        }
        if let Some(edge) = &service.edge {
            tasks.push(tokio::spawn(edge::watch_bans(Arc::clone(&service), Arc::clone(edge), stopped)));
        }
        Ok(RunningService { service, listeners, tasks, stop })
    }
}

impl Service {
    /// Puts another set of policy, roots and status list in force, and has all instances appraised under it.
    pub async fn replace_trust(&self, trust: Trust) {
        let _alone = self.changing_trust.lock().await;
        self.put_in_force(trust);
    }

    /// Puts a newer status list in force, beside the policy and roots that are.
    pub(crate) async fn adopt_status_list(&self, list: RevocationList) {
        let _alone = self.changing_trust.lock().await;
        let trust = self.trust.load();
        let list = trust::newest(trust.revocation.clone(), list);
        self.put_in_force(trust.with_revocation(list));
    }

    fn put_in_force(&self, trust: Trust) {
        trust.measure(&self.metrics);
        let before = self.trust.load().generation();
        let changed = trust.generation() != before;
        self.trust.store(Arc::new(trust));
        if changed {
            self.reappraisal.wake();
        }
    }

    /// Has the files that trust comes from read again soon, changed or not. Does not wait for that: whoever listens for
    /// signals must hear the next one, however long a file system takes.
    pub fn reload_trust_soon(&self) {
        self.reload_asked.notify_one();
    }

    /// Reads again the files that trust comes from. One that cannot be used changes nothing.
    ///
    /// # Errors
    /// The first file that cannot be used, as a sentence that says what to do.
    pub async fn reload_trust(&self) -> Result<(), TrustError> {
        loop {
            let before = self.trust.load_full();
            let (settings, now) = (self.settings.clone(), self.clock.now());
            // A file system that does not answer holds up neither requests nor a status list that is fetched meanwhile.
            let loading = tokio::task::spawn_blocking(move || Trust::load(&settings, now));
            let trust = loading.await.map_err(|_| TrustError::Interrupted)??;
            let _alone = self.changing_trust.lock().await;
            // Such a list is kept in a file, and this may have read the one before.
            if !Arc::ptr_eq(&before, &self.trust.load()) {
                continue;
            }
            trust::remember(&trust, &self.settings, &self.store).await?;
            tracing::info!(policy = trust.policy.id(), "policy, roots and status list read again");
            self.put_in_force(trust);
            return Ok(());
        }
    }

    /// Has the settings in `file` read again, without waiting for that. What is wrong is logged and counted, and nothing
    /// changes.
    pub fn reload_settings_soon(self: &Arc<Self>, file: &Path) {
        let (service, file) = (Arc::clone(self), file.to_owned());
        tokio::spawn(async move { service.reload_settings(&file).await });
    }

    /// Reads the settings in `file` again, and puts the rules of its resources in force: routes, limits, authorization
    /// servers and client certificates. The edge goes on remembering what it has seen. Whatever else has changed waits for
    /// the next start, and is named in the log.
    ///
    /// # Errors
    /// [`ReloadError`] if the settings cannot be used: the last ones stay in force.
    pub async fn reload_settings(self: &Arc<Self>, file: &Path) -> Result<(), ReloadError> {
        self.reloads.run(&self.metrics, &self.clock, self.reloaded(file)).await
    }

    async fn reloaded(self: &Arc<Self>, file: &Path) -> Result<Vec<String>, ReloadError> {
        let (service, file) = (Arc::clone(self), file.to_owned());
        let read = reload::read(move || {
            let new = Settings::load(&file)?;
            let mut waiting = reload::waiting(&service.settings, &new);
            let Some(edge) = &service.edge else {
                if json!(new.resources) != json!(service.settings.resources) {
                    waiting.push("resource".to_owned());
                }
                return Ok((waiting, None));
            };
            let rules = Settings { resources: new.resources, ..service.settings.clone() };
            let (metrics, attempts) = (Arc::clone(&service.metrics), Arc::clone(&service.attempts));
            let witness = EdgeWitness::new(metrics, attempts, &rules.resources);
            let next = edge::beside_service(
                &rules,
                service.own_keys.clone(),
                service.keys.nonces.clone(),
                &service.clock,
                witness,
            )?;
            Ok((waiting, Some((Arc::clone(edge), next.succeeding(&edge.runtime()), rules.resources))))
        });
        let (waiting, next) = read.await?;
        if let Some((edge, next, resources)) = next {
            edge.replace(next.start().await, resources);
        }
        Ok(waiting)
    }

    fn edge_listener(self: &Arc<Self>) -> Option<EdgeListener> {
        let (edge, gateway) = (self.edge.clone()?, self.settings.listen.gateway?);
        let listen = &self.settings.listen;
        Some(EdgeListener {
            metrics: Arc::clone(&self.metrics),
            edge,
            gateway,
            client_certificate: listen.client_certificate,
            trusted_gateways: listen.trusted_gateways.as_slice().into(),
        })
    }
}

impl RunningService {
    /// Has the files of API keys read again, without waiting for that. What cannot be used is logged, and the last keys
    /// stay.
    pub fn reload_api_keys_soon(&self) {
        if let Some(edge) = &self.service.edge {
            let edge = edge.runtime();
            tokio::spawn(async move { edge.reload_api_keys().await });
        }
    }

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
        for task in self.tasks {
            let _ = task.await;
        }
        self.service.store.close().await;
    }
}

async fn prune(service: Arc<Service>, mut stopped: watch::Receiver<bool>) {
    loop {
        match pruned(&service).await {
            Ok((rows, instances)) => tracing::debug!(rows, instances, "pruned"),
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

/// How many rows and instances were over and are deleted.
async fn pruned(service: &Service) -> Result<(u64, u64), StoreError> {
    let (now, lifetime) = (service.clock.now(), &service.settings.lifetime);
    let kept = KeptSince {
        decisions: now.minus(lifetime.audit.as_seconds()),
        evidence: now.minus(lifetime.evidence().as_seconds()),
        acts: now.minus(lifetime.acts.as_seconds()),
    };
    let rows = service.store.prune(now, &kept).await?;
    let instances = service.store.erase_unused(now.minus(lifetime.instances.as_seconds())).await?;
    Ok((rows, instances))
}

impl From<SetupError> for StartError {
    fn from(error: SetupError) -> Self {
        Self::Edge(error)
    }
}

impl From<AppleSetupError> for StartError {
    fn from(error: AppleSetupError) -> Self {
        Self::AppAttest(error)
    }
}

impl From<TrustError> for StartError {
    fn from(error: TrustError) -> Self {
        Self::Trust(error)
    }
}

impl From<PlayIntegrityProblem> for StartError {
    fn from(error: PlayIntegrityProblem) -> Self {
        Self::PlayIntegrity(error)
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
            Self::Trust(error) => error.fmt(f),
            Self::PlayIntegrity(error) => error.fmt(f),
            Self::Edge(error) => error.fmt(f),
            Self::AppAttest(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}
