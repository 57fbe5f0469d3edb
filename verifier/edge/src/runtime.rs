//! Where the decision meets the world: it tells the time, fetches the keys that a decision lacks, and keeps what
//! was fetched fresh.

mod keys;

use std::path::PathBuf;
#[cfg(feature = "redis")]
use std::sync::OnceLock;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

#[cfg(feature = "redis")]
use countersign_core::challenge::MacKeyRing;
use countersign_core::time::Timestamp;
use countersign_verifier::check::decision::Lookup;
use countersign_verifier::check::pending::{Question, StoreAnswer, StoreUnavailable};
use countersign_verifier::check::trust::KeyOwner;
use countersign_verifier::check::{Decision, Edge, Reason, Request, Resource};
use tokio::sync::Semaphore;
#[cfg(feature = "redis")]
use tokio::sync::watch;
use tokio::task::AbortHandle;

use self::keys::{Source, keep_keys_fresh, landed};
use crate::api_keys::{self, ApiKeyFile};
use crate::deny_list::{DenyListPull, DenyListSource};
use crate::introspection::{IntrospectionSource, Introspector};
use crate::setup_error::SetupError;
#[cfg(feature = "redis")]
use crate::shared_store::{SharedStore, SharedStoreSettings};
use crate::source::{FetchError, JwksSource};
use crate::system::system_time;

/// Checks of one request: one, one more for each of the two issuers that it may name, or for its opaque token.
const ROUNDS: usize = 3;
/// Requests that wait for keys at one time; further ones are refused.
const MAX_WAITING: usize = 1024;
/// Keys of an issuer that cannot be asked are believed for this long.
const DEFAULT_MAX_STALE: Duration = Duration::from_secs(24 * 3600);

/// An [`Edge`] with a clock and with sources for its keys.
///
/// A fetch replaces keys only by a usable set: while an issuer cannot be reached, the last keys stay, for a day at most.
/// Without any, requests are refused as our own trouble.
pub struct EdgeRuntime {
    edge: Edge,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    sources: Vec<Arc<Source>>,
    deny_list: Option<Arc<DenyListPull>>,
    api_keys: Vec<Arc<ApiKeyFile>>,
    #[cfg(feature = "redis")]
    shared_store: Option<Arc<SharedStore>>,
    /// Keeps the connection to it; ends with the last runtime that uses it.
    #[cfg(feature = "redis")]
    store_task: OnceLock<Arc<AbortOnDrop>>,
    pub(crate) introspectors: Vec<Arc<Introspector>>,
    pub(crate) fetch_timeout: Duration,
    refresh_interval: Duration,
    max_stale: Duration,
    pub(crate) waiting: Semaphore,
    tasks: Mutex<Vec<AbortHandle>>,
    /// Whose keys came from the edge before.
    inherited: Vec<KeyOwner>,
}

impl EdgeRuntime {
    /// A runtime for `edge`, with a source for the keys of everybody it trusts.
    ///
    /// # Errors
    /// [`SetupError`] if an issuer has no source or a source no issuer, or a source cannot be used.
    pub fn new(
        edge: Edge,
        sources: impl IntoIterator<Item = (KeyOwner, JwksSource)>,
    ) -> Result<Self, SetupError> {
        let sources: Vec<Arc<Source>> = sources
            .into_iter()
            .map(|(owner, source)| Source::new(owner, source).map(Arc::new))
            .collect::<Result<_, _>>()?;
        if let Some(owner) = edge.key_owners().find(|owner| !sources.iter().any(|s| s.owner == *owner)) {
            return Err(SetupError::NoSource(owner));
        }
        if let Some(source) = sources.iter().find(|s| !edge.key_owners().any(|owner| owner == s.owner)) {
            return Err(SetupError::NotTrusted(source.owner.clone()));
        }
        Ok(Self {
            edge,
            clock: Arc::new(system_time),
            sources,
            deny_list: None,
            api_keys: Vec::new(),
            #[cfg(feature = "redis")]
            shared_store: None,
            #[cfg(feature = "redis")]
            store_task: OnceLock::new(),
            fetch_timeout: Duration::from_secs(5),
            refresh_interval: Duration::from_secs(300),
            max_stale: DEFAULT_MAX_STALE,
            introspectors: Vec::new(),
            waiting: Semaphore::new(MAX_WAITING),
            tasks: Mutex::default(),
            inherited: Vec::new(),
        })
    }

    /// Tells the time by `clock` instead of the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long one fetch may take; default 5 seconds.
    #[must_use]
    pub const fn with_fetch_timeout(mut self, timeout: Duration) -> Self {
        self.fetch_timeout = timeout;
        self
    }

    /// How often keys are fetched again; default 5 minutes.
    #[must_use]
    pub const fn with_refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval;
        self
    }

    /// How long keys are believed that their issuer cannot be asked about; default a day. Afterwards requests that need
    /// them are refused as our own trouble.
    #[must_use]
    pub const fn with_max_stale(mut self, longest: Duration) -> Self {
        self.max_stale = longest;
        self
    }

    /// Asks about the opaque tokens of the resource called `resource`.
    ///
    /// # Errors
    /// [`SetupError`] if the resource takes none, or the endpoint's URL cannot be used.
    pub fn with_introspection(
        mut self,
        resource: impl Into<String>,
        source: IntrospectionSource,
    ) -> Result<Self, SetupError> {
        let resource = resource.into();
        let rules = self.edge.resource(&resource).and_then(|resource| resource.introspection.as_ref());
        let Some(issuer) = rules.map(|rules| rules.issuer.clone()) else {
            return Err(SetupError::NoOpaqueTokensWanted(resource));
        };
        let introspector = Introspector::new(resource.clone(), issuer, source);
        let introspector = introspector.map_err(|error| SetupError::Introspection(resource, error))?;
        self.introspectors.push(Arc::new(introspector));
        Ok(self)
    }

    /// Pulls a deny list. Whether nothing passes without one is the edge's setting.
    ///
    /// # Errors
    /// [`SetupError`] if its issuer is no attestation service of the edge, or its URL cannot be used.
    pub fn with_deny_list(mut self, source: DenyListSource) -> Result<Self, SetupError> {
        if self.edge.service(&source.issuer).is_none() {
            return Err(SetupError::DenyListIssuer(source.issuer));
        }
        self.deny_list = Some(Arc::new(DenyListPull::new(source).map_err(SetupError::DenyListUrl)?));
        Ok(self)
    }

    /// Takes the API keys of the resource called `resource` from a file of mode 0600, as `countersign keys api` writes
    /// it. It is read now, and every ten seconds; while it cannot be used later, the last keys stay.
    ///
    /// # Errors
    /// [`SetupError`] if no route of the resource asks for API keys, or the file cannot be used.
    pub fn with_api_keys(
        mut self,
        resource: impl Into<String>,
        path: impl Into<PathBuf>,
    ) -> Result<Self, SetupError> {
        let (resource, path) = (resource.into(), path.into());
        if !self.edge.resource(&resource).is_some_and(Resource::takes_api_keys) {
            return Err(SetupError::NoApiKeysWanted(resource));
        }
        let file = ApiKeyFile::new(resource, path.clone());
        file.load(&self.edge).map_err(|error| SetupError::ApiKeys(path, error))?;
        self.api_keys.push(Arc::new(file));
        Ok(self)
    }

    /// Shares with other edges what has been used: the routes that say so ask the store of `settings`, and nonces are
    /// made with the keys that stand in it. While it cannot be had, each route does what it says.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn with_shared_store(mut self, settings: SharedStoreSettings) -> Self {
        self.shared_store = Some(Arc::new(SharedStore::new(settings)));
        self
    }

    /// How many questions to the shared store ended how, by a stable name; empty without one.
    pub fn store_outcomes(&self) -> Vec<(&'static str, u64)> {
        #[cfg(feature = "redis")]
        if let Some(store) = &self.shared_store {
            return store.outcomes();
        }
        Vec::new()
    }

    /// Whether the shared store can be used now; `None` without one.
    pub fn is_store_connected(&self) -> Option<bool> {
        #[cfg(feature = "redis")]
        return self.shared_store.as_ref().map(|store| store.is_connected());
        #[cfg(not(feature = "redis"))]
        None
    }

    /// Takes the place of `earlier`: [`Edge::succeed`], with the keys of every issuer whose source is the same. Only what
    /// is not handed over is fetched by [`Self::start`]. Where both have a shared store, it is that of `earlier`.
    #[must_use]
    pub fn succeeding(mut self, earlier: &Self) -> Self {
        let before = |source: &Arc<Source>| {
            let same = |before: &&Arc<Source>| {
                before.owner == source.owner && before.place.is_same_place(&source.place)
            };
            earlier.sources.iter().find(same).cloned()
        };
        let kept: Vec<Arc<Source>> = self.sources.iter().filter_map(before).collect();
        self.edge.succeed(&earlier.edge, |owner| kept.iter().any(|source| source.owner == *owner));
        for source in &mut self.sources {
            if let Some(before) = before(source) {
                *source = before;
            }
        }
        if let (Some(pull), Some(before)) = (&mut self.deny_list, &earlier.deny_list)
            && pull.is_same_place(before)
        {
            *pull = Arc::clone(before);
        }
        #[cfg(feature = "redis")]
        if let (Some(store), Some(before)) = (&mut self.shared_store, &earlier.shared_store) {
            *store = Arc::clone(before);
            self.store_task = earlier.store_task.clone();
        }
        self.inherited = kept.into_iter().map(|source| source.owner.clone()).collect();
        self
    }

    /// Reads the files of API keys again, now; what cannot be used is logged, and the last keys stay.
    pub async fn reload_api_keys(self: &Arc<Self>) {
        for file in &self.api_keys {
            let (file, runtime) = (Arc::clone(file), Arc::clone(self));
            // The file may lie on a disk that is slow.
            let loaded = tokio::task::spawn_blocking(move || {
                if let Err(error) = file.load(&runtime.edge) {
                    let resource = &file.resource;
                    tracing::error!(resource, %error, "API keys cannot be read; the last ones stay");
                }
            });
            let _ = loaded.await;
        }
    }

    /// Fetches everything once, and from then on regularly until the runtime is dropped. What could not be fetched is
    /// logged and tried again soon; until it comes, requests that need it are refused.
    pub async fn start(self) -> Arc<Self> {
        let runtime = Arc::new(self);
        let mut tasks = Vec::new();
        #[cfg(feature = "redis")]
        let is_supervised = runtime.store_task.get().is_some();
        #[cfg(feature = "redis")]
        if let (Some(store), false) = (&runtime.shared_store, is_supervised) {
            let task = tokio::spawn(Arc::clone(store).supervise()).abort_handle();
            runtime.store_task.get_or_init(|| Arc::new(AbortOnDrop(task)));
        }
        let failed = runtime.fetch_missing().await;
        #[cfg(feature = "redis")]
        if let Some(store) = &runtime.shared_store {
            // Those that were handed over are of this store.
            let first = if is_supervised { None } else { store.first_nonce_keys().await };
            if let Some(keys) = first {
                runtime.edge.replace_nonce_keys(keys);
            }
            let keys = keep_nonce_keys_fresh(Arc::downgrade(&runtime), store.nonce_keys());
            tasks.push(tokio::spawn(keys).abort_handle());
        }
        for index in 0..runtime.sources.len() {
            let failed = runtime.sources.get(index).is_some_and(|source| failed.contains(&source.owner));
            tasks.push(tokio::spawn(keep_keys_fresh(Arc::downgrade(&runtime), index, failed)).abort_handle());
        }
        if runtime.deny_list.is_some() {
            tasks.push(tokio::spawn(keep_deny_list_fresh(Arc::downgrade(&runtime))).abort_handle());
        }
        if !runtime.api_keys.is_empty() {
            tasks.push(tokio::spawn(keep_api_keys_fresh(Arc::downgrade(&runtime))).abort_handle());
        }
        runtime.tasks.lock().unwrap_or_else(PoisonError::into_inner).append(&mut tasks);
        runtime
    }

    /// Fetches what was not handed over. Returns whose keys are still to come.
    async fn fetch_missing(self: &Arc<Self>) -> Vec<KeyOwner> {
        let is_missing = |source: &Source| !self.inherited.contains(&source.owner);
        let flight = |(index, source): (usize, &Arc<Source>)| is_missing(source).then(|| self.join(index));
        let flights: Vec<_> = self.sources.iter().enumerate().map(flight).collect();
        let mut failed = Vec::new();
        for (source, flight) in self.sources.iter().zip(flights) {
            let has_come = match flight {
                Some(flight) => landed(flight).await.is_ok(),
                None => self.has_keys(&source.owner),
            };
            if !has_come {
                failed.push(source.owner.clone());
            }
        }
        if self.edge.deny_list().is_none() {
            self.pull_deny_list().await;
        }
        failed
    }

    /// Fetches everything now, and reads the files of API keys. Returns whose keys did not come.
    pub async fn refresh(self: &Arc<Self>) -> Vec<KeyOwner> {
        let flights: Vec<_> = (0..self.sources.len()).map(|index| self.join(index)).collect();
        let mut failed = Vec::new();
        for (source, flight) in self.sources.iter().zip(flights) {
            if landed(flight).await.is_err() {
                failed.push(source.owner.clone());
            }
        }
        self.pull_deny_list().await;
        self.reload_api_keys().await;
        failed
    }

    /// Decides about `request` at the resource called `resource`, fetching keys where they are missing. Answers
    /// [`Decision::Needs`] only for the body of a request whose content is [`Deferred`].
    ///
    /// [`Deferred`]: countersign_verifier::check::Content::Deferred
    pub async fn decide(self: &Arc<Self>, resource: &str, request: &Request<'_>) -> Decision {
        for _ in 0..ROUNDS {
            match self.edge.check(resource, request, self.now()) {
                Decision::Needs(Lookup::Keys(owner)) => {
                    if !self.look_up(&owner).await {
                        break;
                    }
                }
                Decision::Pending(pending) => {
                    let answer = self.ask_store(pending.question()).await;
                    return self.edge.conclude(*pending, answer, self.now());
                }
                Decision::Needs(Lookup::Introspection(token)) => {
                    if self.introspect(resource, token).await.is_err() {
                        return self.edge.unavailable(
                            resource,
                            request,
                            Reason::IntrospectionUnavailable,
                            self.now(),
                        );
                    }
                }
                decided => return decided,
            }
        }
        self.edge.lookup_failed(resource, request, self.now())
    }

    /// The edge itself.
    pub const fn edge(&self) -> &Edge {
        &self.edge
    }

    /// The time as this runtime tells it.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Whether every issuer's keys have come, and the shared store was there once: what a readiness probe should ask.
    /// A store that is lost later makes no edge unready, or all of them would be at once.
    pub fn is_ready(&self) -> bool {
        #[cfg(feature = "redis")]
        if self.shared_store.as_ref().is_some_and(|store| !store.was_reached()) {
            return false;
        }
        self.edge.is_ready()
    }

    #[cfg(feature = "redis")]
    async fn ask_store(&self, question: &Question) -> Result<StoreAnswer, StoreUnavailable> {
        let store = self.shared_store.as_ref().ok_or(StoreUnavailable)?;
        store.ask(question).await.map_err(|_| StoreUnavailable)
    }

    /// Without a store nothing can be said.
    #[cfg(not(feature = "redis"))]
    async fn ask_store(&self, _: &Question) -> Result<StoreAnswer, StoreUnavailable> {
        Err(StoreUnavailable)
    }

    /// Whose keys are kept here, and when they last said what they are; `None` before they did.
    pub fn keys_as_of(&self) -> impl Iterator<Item = (&str, Option<Timestamp>)> {
        self.sources.iter().map(|source| {
            let as_of = source.as_of.lock().unwrap_or_else(PoisonError::into_inner);
            (issuer(&source.owner), *as_of)
        })
    }

    async fn pull_deny_list(self: &Arc<Self>) {
        let Some(pull) = &self.deny_list else { return };
        let owner = KeyOwner::AttestationService(pull.issuer().to_owned());
        let pulled = tokio::time::timeout(self.fetch_timeout, pull.pull(&self.edge, self.now())).await;
        match pulled.unwrap_or(Err(FetchError::TimedOut.into())) {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(issuer = issuer(&owner), %error, "deny list not pulled; the last one stays");
                // Signed with a key that we do not have yet: fetch it, and take the list at the next pull.
                if error.is_unknown_key() {
                    self.look_up(&owner).await;
                }
            }
        }
    }
}

/// A task that ends with whoever holds this last.
#[cfg(feature = "redis")]
struct AbortOnDrop(AbortHandle);

#[cfg(feature = "redis")]
impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for EdgeRuntime {
    fn drop(&mut self) {
        for task in self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

impl std::fmt::Debug for EdgeRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let owners: Vec<_> = self.sources.iter().map(|source| &source.owner).collect();
        f.debug_struct("EdgeRuntime").field("issuers", &owners).finish_non_exhaustive()
    }
}

pub(crate) fn issuer(owner: &KeyOwner) -> &str {
    match owner {
        KeyOwner::AttestationService(issuer) | KeyOwner::AuthorizationServer(issuer) => issuer,
    }
}

async fn keep_deny_list_fresh(runtime: Weak<EdgeRuntime>) {
    loop {
        let interval =
            runtime.upgrade().and_then(|runtime| Some(runtime.deny_list.as_ref()?.wait(&runtime.edge)));
        let Some(interval) = interval else { return };
        tokio::time::sleep(interval).await;
        let Some(runtime) = runtime.upgrade() else { return };
        runtime.pull_deny_list().await;
    }
}

#[cfg(feature = "redis")]
async fn keep_nonce_keys_fresh(runtime: Weak<EdgeRuntime>, mut keys: watch::Receiver<Option<MacKeyRing>>) {
    // One may have come since the start stopped waiting for it.
    keys.mark_changed();
    while keys.changed().await.is_ok() {
        let Some(runtime) = runtime.upgrade() else { return };
        if let Some(keys) = keys.borrow_and_update().clone() {
            runtime.edge.replace_nonce_keys(keys);
        }
    }
}

async fn keep_api_keys_fresh(runtime: Weak<EdgeRuntime>) {
    loop {
        tokio::time::sleep(api_keys::INTERVAL).await;
        let Some(runtime) = runtime.upgrade() else { return };
        runtime.reload_api_keys().await;
    }
}
