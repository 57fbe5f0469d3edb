//! A short way to a layer for one API; every mistake is named before the first request.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use countersign_core::challenge::{MacKey, MacKeyRing};
use countersign_core::request::{Origin, RequestError, TargetUri, check_method, check_path};
use countersign_core::time::Timestamp;
#[cfg(feature = "redis")]
use countersign_verifier::check::WhenStoreFails;
use countersign_verifier::check::anomaly::AnomalyRule;
use countersign_verifier::check::route::{OAuthClient, is_template};
use countersign_verifier::check::trust::KeyOwner;
use countersign_verifier::check::{
    CredentialKind, Decided, Edge, Limits, Mode, PathCase, PathMatch, ReplayPolicy, Resource, Route, Witness,
};
use countersign_verifier::credential::client_certificate::ClientCertificates;
use countersign_verifier::credential::introspection::Introspection;
use http::request::Parts;

use crate::deny_list::DenyListSource;
use crate::introspection::IntrospectionSource;
use crate::layer::{CountersignLayer, DEFAULT_MAX_CONTENT, SourceAddress};
use crate::runtime::EdgeRuntime;
use crate::setup_error::SetupError;
#[cfg(feature = "redis")]
use crate::shared_store::SharedStoreSettings;
use crate::source::JwksSource;
use crate::system::{OsRandomness, system_time};

/// The one resource of an edge that the builder makes.
const RESOURCE: &str = "api";

/// Describes the protection of one API. Attestation cannot be left out: a request with a bearer token alone passes
/// only on a route whose mode says that it merely watches.
#[must_use = "a builder protects nothing; call `start`"]
pub struct CountersignBuilder {
    resource: String,
    origin: Option<String>,
    metadata_url: Option<String>,
    services: Vec<(String, JwksSource)>,
    servers: Vec<(String, JwksSource)>,
    clients: Vec<(String, OAuthClient)>,
    apps: Vec<String>,
    routes: Vec<Route>,
    deny_list: Option<(DenyListSource, bool)>,
    api_keys: Option<PathBuf>,
    client_certificates: Option<ClientCertificates>,
    introspection: Option<(Introspection, IntrospectionSource)>,
    shared: Option<(String, MacKeyRing)>,
    #[cfg(feature = "redis")]
    shared_store: Option<SharedStoreSettings>,
    limits: Limits,
    max_content: usize,
    source: Option<Box<SourceAddress>>,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    fetch_timeout: Duration,
    refresh_interval: Duration,
    max_stale: Option<Duration>,
    witness: Option<Box<dyn Witness>>,
    anomaly_rules: Vec<AnomalyRule>,
}

/// Hears of refusals alone.
struct OnRefusal<F>(F);

impl<F: Fn(&Decided<'_>) + Send + Sync> Witness for OnRefusal<F> {
    fn decided(&self, decided: &Decided<'_>) {
        if decided.outcome.reason().is_some() {
            (self.0)(decided);
        }
    }
}

/// What is wrong with the description of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The resource identifier or origin is not a URL of scheme `https` (or `http` to this machine) without query.
    Resource(String),
    /// No attestation service: nobody's results could be believed.
    NoAttestationService,
    /// An issuer is not a URL of scheme `https`, or `http` to this machine.
    Issuer(String),
    /// An issuer is named twice.
    DuplicateIssuer(String),
    /// A route asks for an access token, and no authorization server is named.
    NoAuthorizationServer,
    /// No app may call: nobody's results map to a client.
    NoClient,
    /// A route asks for API keys, and no file of them is named.
    NoApiKeys,
    /// A route asks for client certificates, and no list of them is given.
    NoClientCertificates,
    /// A route asks for opaque tokens, and nobody says whom to ask about them.
    NoIntrospection,
    /// A client is of an authorization server that is not named.
    ClientOfUnknownIssuer(String),
    /// A route's path cannot match any request.
    RoutePath(String),
    /// A route's method is no method name.
    RouteMethod(String),
    /// A route promises that a proof passes once at all edges, and lets each edge decide alone while the shared store
    /// does not answer.
    StrictButLocal(String),
    /// A route promises that a proof passes once at all edges, of which there are several without a shared store.
    StrictAlone(String),
    /// A route asks a shared store, and none is named.
    NoSharedStore(String),
    /// Two routes speak of one path and method.
    DuplicateRoute(String),
    /// A key source or the deny list.
    Setup(SetupError),
    /// The operating system gives no randomness.
    Randomness,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource(url) => {
                write!(f, "`{url}` must be an https URL without query, such as https://api.example")
            }
            Self::NoAttestationService => {
                f.write_str("name the attestation service whose results are believed: `.attestation_service(…)`")
            }
            Self::Issuer(issuer) => write!(f, "the issuer `{issuer}` must be an https URL, as in its tokens' `iss`"),
            Self::DuplicateIssuer(issuer) => write!(f, "the issuer `{issuer}` is named twice"),
            Self::NoAuthorizationServer => f.write_str(
                "a route asks for an access token: name who issues them with `.authorization_server(…)`, or set \
                 `credentials: Vec::new()`",
            ),
            Self::NoClientCertificates => {
                f.write_str("a route asks for client certificates: list them with `.client_certificates(…)`")
            }
            Self::NoApiKeys => {
                f.write_str("a route asks for API keys: name the file that they stand in with `.api_keys(…)`")
            }
            Self::NoIntrospection => f.write_str(
                "a route asks for opaque tokens: name who is asked about them with `.introspection(…)`",
            ),
            Self::NoClient => f.write_str("name at least one app that may call: `.client(…)`"),
            Self::ClientOfUnknownIssuer(issuer) => {
                write!(f, "a client is of `{issuer}`, which no `.authorization_server(…)` or `.introspection(…)` names")
            }
            Self::RoutePath(path) => {
                write!(f, "the route path `{path}` matches nothing; write a plain prefix such as /v1/pay")
            }
            Self::RouteMethod(method) => write!(f, "`{method}` is no HTTP method"),
            Self::StrictButLocal(path) => write!(
                f,
                "the route `{path}` lets each edge decide alone while the store fails, so a proof can pass at each: write \
                 `replay: ReplayPolicy::Windowed`, or `shared_store: Some(WhenStoreFails::Closed)`"
            ),
            Self::StrictAlone(path) => write!(
                f,
                "`.shared_nonces(…)` is for several edges, and a proof passes at each of them: give them a store with \
                 `.shared_store(…)`, or write `replay: ReplayPolicy::Windowed` in the route `{path}`"
            ),
            Self::NoSharedStore(path) => {
                write!(f, "the route `{path}` asks a shared store: name it with `.shared_store(…)`")
            }
            Self::DuplicateRoute(path) => write!(f, "two routes for `{path}` speak of one method; join them"),
            Self::Setup(error) => error.fmt(f),
            Self::Randomness => f.write_str("the operating system gives no random bytes"),
        }
    }
}

impl std::error::Error for BuildError {}

impl From<SetupError> for BuildError {
    fn from(error: SetupError) -> Self {
        Self::Setup(error)
    }
}

impl CountersignBuilder {
    pub(crate) fn new(resource: String) -> Self {
        Self {
            resource,
            origin: None,
            metadata_url: None,
            services: Vec::new(),
            servers: Vec::new(),
            clients: Vec::new(),
            apps: Vec::new(),
            routes: Vec::new(),
            deny_list: None,
            api_keys: None,
            client_certificates: None,
            introspection: None,
            shared: None,
            #[cfg(feature = "redis")]
            shared_store: None,
            limits: Limits::default(),
            max_content: DEFAULT_MAX_CONTENT,
            source: None,
            clock: Box::new(system_time),
            fetch_timeout: Duration::from_secs(5),
            refresh_interval: Duration::from_secs(300),
            max_stale: None,
            witness: None,
            anomaly_rules: Vec::new(),
        }
    }

    /// Where clients reach the API, if not at the resource identifier's scheme, host and port.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// URL of the API's RFC 9728 metadata, for challenges.
    pub fn metadata_url(mut self, url: impl Into<String>) -> Self {
        self.metadata_url = Some(url.into());
        self
    }

    /// An attestation service whose results are believed: its issuer, exactly as in `iss`, and its keys.
    pub fn attestation_service(mut self, issuer: impl Into<String>, keys: JwksSource) -> Self {
        self.services.push((issuer.into(), keys));
        self
    }

    /// An authorization server whose access tokens are accepted: its issuer, exactly as in `iss`, and its keys.
    pub fn authorization_server(mut self, issuer: impl Into<String>, keys: JwksSource) -> Self {
        self.servers.push((issuer.into(), keys));
        self
    }

    /// Takes the opaque access tokens of an authorization server, on routes that ask for
    /// [`CredentialKind::Opaque`]: `rules` says whose, and what answers about them must hold; `source` whom to ask.
    pub fn introspection(mut self, rules: Introspection, source: IntrospectionSource) -> Self {
        self.introspection = Some((rules, source));
        self
    }

    /// The app that the attestation service calls `app` is the client `client_id` of the authorization server
    /// `issuer`. An app that is not named is refused; call again for further ones.
    pub fn client(
        mut self,
        app: impl Into<String>,
        issuer: impl Into<String>,
        client_id: impl Into<String>,
    ) -> Self {
        let client = OAuthClient { issuer: issuer.into(), client_id: client_id.into() };
        self.clients.push((app.into(), client));
        self
    }

    /// What requests below one path need; the longest matching path decides, and a request that matches no route is
    /// refused. Without any, everything is protected with [`Route::new`]'s defaults.
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Pulls a deny list, so that bans are faster than the ten minutes that a result lives. While it cannot be had,
    /// the last one stays.
    pub fn deny_list(mut self, source: DenyListSource) -> Self {
        self.deny_list = Some((source, false));
        self
    }

    /// As [`Self::deny_list`], and nothing passes without a current list.
    pub fn deny_list_required(mut self, source: DenyListSource) -> Self {
        self.deny_list = Some((source, true));
        self
    }

    /// The app that the attestation service calls `app` may call without being a client of an authorization server:
    /// with an API key, or where a route asks for no credential.
    pub fn app(mut self, app: impl Into<String>) -> Self {
        self.apps.push(app.into());
        self
    }

    /// Takes API keys from a file, as [`EdgeRuntime::with_api_keys`].
    pub fn api_keys(mut self, file: impl Into<PathBuf>) -> Self {
        self.api_keys = Some(file.into());
        self
    }

    /// Nonces are recognised by every edge that has the same domain name and keys. Unset, this process makes its own
    /// keys, and a nonce is good where it was given out.
    pub fn shared_nonces(mut self, replay_domain: impl Into<String>, keys: MacKeyRing) -> Self {
        self.shared = Some((replay_domain.into(), keys));
        self
    }

    /// Tells `witness` of every decision: for records, metrics and alarms.
    pub fn witness(mut self, witness: impl Witness + 'static) -> Self {
        self.witness = Some(Box::new(witness));
        self
    }

    /// Tells `hear` of every request that is refused, or observed on a route that only watches; in the place of a witness.
    /// It runs on the thread of the request: it must neither block nor take long.
    pub fn on_refusal(self, hear: impl Fn(&Decided<'_>) + Send + Sync + 'static) -> Self {
        self.witness(OnRefusal(hear))
    }

    /// Watches for what no single request shows. Without a witness, a rule that only observes does nothing.
    pub fn anomaly_rule(mut self, rule: AnomalyRule) -> Self {
        self.anomaly_rules.push(rule);
        self
    }

    /// Shares with other edges what has been used, and the nonce keys, as [`EdgeRuntime::with_shared_store`]. Every route
    /// asks the store; while it does not answer, those refuse that do not say otherwise in [`Route::shared_store`].
    #[cfg(feature = "redis")]
    pub fn shared_store(mut self, settings: SharedStoreSettings) -> Self {
        self.shared_store = Some(settings);
        self
    }

    /// Sizes of the edge's tables.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Takes these client certificates where a route asks for some; [`CountersignLayer::with_client_certificate`] says
    /// which one a request came with.
    pub fn client_certificates(mut self, list: ClientCertificates) -> Self {
        self.client_certificates = Some(list);
        self
    }

    /// As [`CountersignLayer::with_max_content`].
    pub const fn max_content(mut self, bytes: usize) -> Self {
        self.max_content = bytes;
        self
    }

    /// As [`CountersignLayer::with_source`].
    pub fn source(mut self, source: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Tells the time by `clock` instead of the system's.
    pub fn clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// How long one fetch of keys may take; default 5 seconds.
    pub const fn fetch_timeout(mut self, timeout: Duration) -> Self {
        self.fetch_timeout = timeout;
        self
    }

    /// How often keys are fetched again; default 5 minutes.
    pub const fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval;
        self
    }

    /// As [`EdgeRuntime::with_max_stale`]; default a day.
    pub const fn max_stale(mut self, longest: Duration) -> Self {
        self.max_stale = Some(longest);
        self
    }

    /// Checks the description, fetches keys for the first time, and keeps them fresh from then on.
    ///
    /// Keys that cannot be fetched now are no error: they are tried again soon, and until they come requests are
    /// refused with 503. [`EdgeRuntime::is_ready`] tells.
    ///
    /// # Errors
    /// [`BuildError`]: what is wrong, as a sentence that says what to do.
    pub async fn start(self) -> Result<CountersignLayer, BuildError> {
        let resource = self.check()?;
        let is_lax = |route: &&Route| route.mode != Mode::Require || route.percentage < 100;
        for route in resource.routes.iter().filter(is_lax) {
            tracing::warn!(path = route.path, mode = ?route.mode, "this route lets unattested requests through");
        }
        let (_, nonce_keys) = match self.shared {
            Some(shared) => shared,
            None => (String::new(), own_nonce_keys()?),
        };
        let edge = Edge::new(
            HashMap::from([(RESOURCE.to_owned(), resource)]),
            self.services.iter().map(|(issuer, _)| issuer.clone()),
            self.servers.iter().map(|(issuer, _)| issuer.clone()),
            nonce_keys,
            Box::new(OsRandomness),
            self.deny_list.as_ref().is_some_and(|(_, required)| *required),
            self.limits,
        );
        let edge = edge.with_anomaly_rules(RESOURCE, self.anomaly_rules);
        let edge = match self.witness {
            Some(witness) => edge.with_witness(witness),
            None => edge,
        };
        if let Some(list) = self.client_certificates {
            edge.replace_client_certificates(RESOURCE, list);
        }
        let services =
            self.services.into_iter().map(|(issuer, keys)| (KeyOwner::AttestationService(issuer), keys));
        let servers =
            self.servers.into_iter().map(|(issuer, keys)| (KeyOwner::AuthorizationServer(issuer), keys));
        let mut runtime = EdgeRuntime::new(edge, services.chain(servers))?
            .with_clock(self.clock)
            .with_fetch_timeout(self.fetch_timeout)
            .with_refresh_interval(self.refresh_interval);
        if let Some(longest) = self.max_stale {
            runtime = runtime.with_max_stale(longest);
        }
        if let Some((_, source)) = self.introspection {
            runtime = runtime.with_introspection(RESOURCE, source)?;
        }
        if let Some((source, _)) = self.deny_list {
            runtime = runtime.with_deny_list(source)?;
        }
        #[cfg(feature = "redis")]
        if let Some(store) = self.shared_store {
            runtime = runtime.with_shared_store(store);
        }
        if let Some(file) = self.api_keys {
            runtime = runtime.with_api_keys(RESOURCE, file)?;
        }
        let layer = CountersignLayer::new(runtime.start().await, RESOURCE)
            .map_err(|unknown| BuildError::Resource(unknown.0))?
            .with_max_content(self.max_content);
        Ok(match self.source {
            Some(source) => layer.with_source(source),
            None => layer,
        })
    }

    fn check(&self) -> Result<Resource, BuildError> {
        let origin = origin_of(&self.resource).map_err(|_| BuildError::Resource(self.resource.clone()))?;
        let origin = match &self.origin {
            Some(text) => Origin::parse(text)
                .ok()
                .filter(is_private)
                .ok_or_else(|| BuildError::Resource(text.clone()))?,
            None => origin,
        };
        if self.services.is_empty() {
            return Err(BuildError::NoAttestationService);
        }
        for issuers in [&self.services, &self.servers] {
            check_issuers(issuers)?;
        }
        if let Some((rules, _)) = &self.introspection {
            origin_of(&rules.issuer).map_err(|_| BuildError::Issuer(rules.issuer.clone()))?;
        }
        let routes = if self.routes.is_empty() { vec![Route::new("/")] } else { self.routes.clone() };
        check_routes(&routes)?;
        let routes = self.sharing(routes)?;
        let asks_for = |kind| routes.iter().any(|route| route.credentials.contains(&kind));
        let (wants_token, wants_key) = (asks_for(CredentialKind::Jwt), asks_for(CredentialKind::ApiKey));
        if wants_token && self.servers.is_empty() {
            return Err(BuildError::NoAuthorizationServer);
        }
        let wants_opaque = asks_for(CredentialKind::Opaque);
        if wants_opaque && self.introspection.is_none() {
            return Err(BuildError::NoIntrospection);
        }
        let wants_certificate = asks_for(CredentialKind::ClientCertificate);
        let has_apps = !self.clients.is_empty() || !self.apps.is_empty();
        let wants_client = wants_token || wants_opaque;
        if (wants_client && self.clients.is_empty()) || ((wants_key || wants_certificate) && !has_apps) {
            return Err(BuildError::NoClient);
        }
        if wants_key && self.api_keys.is_none() {
            return Err(BuildError::NoApiKeys);
        }
        if wants_certificate && self.client_certificates.is_none() {
            return Err(BuildError::NoClientCertificates);
        }
        let mut clients: HashMap<String, Vec<OAuthClient>> =
            self.apps.iter().map(|app| (app.clone(), Vec::new())).collect();
        for (app, client) in &self.clients {
            let is_asked =
                self.introspection.as_ref().is_some_and(|(rules, _)| rules.issuer == client.issuer);
            if !is_asked && !self.servers.iter().any(|(issuer, _)| *issuer == client.issuer) {
                return Err(BuildError::ClientOfUnknownIssuer(client.issuer.clone()));
            }
            clients.entry(app.clone()).or_default().push(client.clone());
        }
        Ok(Resource {
            identifier: self.resource.clone(),
            origin,
            metadata_url: self.metadata_url.clone(),
            clients,
            authorization_servers: self.servers.iter().map(|(issuer, _)| issuer.clone()).collect(),
            introspection: self.introspection.as_ref().map(|(rules, _)| rules.clone()),
            path_case: PathCase::Unknown,
            replay_domain: self.replay_domain(),
            routes,
        })
    }
}

impl CountersignBuilder {
    /// The routes, asking the store if there is one.
    #[cfg(feature = "redis")]
    fn sharing(&self, routes: Vec<Route>) -> Result<Vec<Route>, BuildError> {
        if self.shared_store.is_none() {
            return self.none_asks(routes);
        }
        let is_torn = |route: &&Route| {
            route.replay == ReplayPolicy::Strict && route.shared_store == Some(WhenStoreFails::Local)
        };
        if let Some(route) = routes.iter().find(is_torn) {
            return Err(BuildError::StrictButLocal(route.path.clone()));
        }
        let share =
            |route: Route| Route { shared_store: Some(route.shared_store.unwrap_or_default()), ..route };
        Ok(routes.into_iter().map(share).collect())
    }

    #[cfg(not(feature = "redis"))]
    fn sharing(&self, routes: Vec<Route>) -> Result<Vec<Route>, BuildError> {
        self.none_asks(routes)
    }

    fn none_asks(&self, routes: Vec<Route>) -> Result<Vec<Route>, BuildError> {
        if let Some(route) = routes.iter().find(|route| route.shared_store.is_some()) {
            return Err(BuildError::NoSharedStore(route.path.clone()));
        }
        let strict = routes.iter().find(|route| route.replay == ReplayPolicy::Strict);
        match strict.filter(|_| self.shared.is_some()) {
            Some(route) => Err(BuildError::StrictAlone(route.path.clone())),
            None => Ok(routes),
        }
    }

    fn replay_domain(&self) -> String {
        #[cfg(feature = "redis")]
        if let Some(store) = &self.shared_store {
            return store.key_prefix.clone();
        }
        self.shared.as_ref().map(|(domain, _)| domain.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for CountersignBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountersignBuilder").field("resource", &self.resource).finish_non_exhaustive()
    }
}

fn own_nonce_keys() -> Result<MacKeyRing, BuildError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| BuildError::Randomness)?;
    Ok(MacKeyRing::new(MacKey::new(1, bytes), Vec::new()))
}

/// The origin of a resource identifier or issuer.
fn origin_of(url: &str) -> Result<Origin, RequestError> {
    let uri = TargetUri::parse(url)?;
    let origin = uri.origin();
    if uri.query.is_some() || !is_private(&origin) {
        return Err(RequestError::Scheme);
    }
    Ok(origin)
}

/// Whether nobody on the way can read along.
fn is_private(origin: &Origin) -> bool {
    let host = origin.host().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    origin.is_https() || host == "localhost" || is_loopback()
}

fn check_issuers(issuers: &[(String, JwksSource)]) -> Result<(), BuildError> {
    for (index, (issuer, _)) in issuers.iter().enumerate() {
        origin_of(issuer).map_err(|_| BuildError::Issuer(issuer.clone()))?;
        if issuers.iter().take(index).any(|(earlier, _)| earlier == issuer) {
            return Err(BuildError::DuplicateIssuer(issuer.clone()));
        }
    }
    Ok(())
}

fn check_routes(routes: &[Route]) -> Result<(), BuildError> {
    for (index, route) in routes.iter().enumerate() {
        let is_broken = route.path_match == PathMatch::Template && !is_template(&route.path);
        if route.path.is_empty() || check_path(&route.path).is_err() || is_broken {
            return Err(BuildError::RoutePath(route.path.clone()));
        }
        if let Some(method) = route.methods.iter().find(|method| check_method(method).is_err()) {
            return Err(BuildError::RouteMethod(method.clone()));
        }
        let overlap = |other: &Route| {
            other.path == route.path
                && other.path_match == route.path_match
                && (other.methods == route.methods || other.methods.iter().any(|m| route.methods.contains(m)))
        };
        if routes.iter().take(index).any(overlap) {
            return Err(BuildError::DuplicateRoute(route.path.clone()));
        }
    }
    Ok(())
}
