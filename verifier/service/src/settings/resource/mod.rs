//! Protected resources and their routes: which tokens an API accepts, from whom, and how strictly.

mod anomaly;
mod authorization_server;
mod client_certificate;
mod cors;
mod demand;
mod introspection;
mod limit;
mod route;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use anomaly::{AnomalyAction, AnomalySettings, AnomalySignal};
pub use authorization_server::AuthorizationServerSettings;
pub(super) use authorization_server::check_jwks;
pub use client_certificate::ClientCertificateSettings;
pub use cors::CorsSettings;
pub use demand::{
    Assurance, BodyBinding, CredentialKind, KeyProtection, Mode, NonceDemand, PathCase, PathMatch,
    ReplayDemand, Tier, TokenBinding,
};
pub use introspection::{ClientAuthentication, IntrospectionSettings};
pub use limit::{LimitPer, RateLimitSettings, RateText};
pub use route::RouteSettings;

use super::values::{Origin, WebUrl};
use super::{Gateway, private_url};
use crate::document::Problems;
use crate::openapi;

/// One protected API (RFC 9728).
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceSettings {
    /// A short name for URLs and metrics: lower-case letters, digits and hyphens.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9][a-z0-9-]*$"))]
    pub name: String,
    /// The resource identifier: `aud` of every proof and access token.
    pub identifier: WebUrl,
    /// The origin that clients call it under, such as `https://api.example`. Default: that of the identifier.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// The authorization servers whose access tokens are accepted.
    #[serde(default, rename = "authorization_server")]
    pub authorization_servers: Vec<AuthorizationServerSettings>,
    /// The file of its API keys, as `countersign keys api` writes it. Default: it takes none.
    #[serde(default)]
    pub api_keys: Option<PathBuf>,
    /// The client certificates that are a credential here. Default: none is.
    #[serde(default, rename = "client_certificate")]
    #[schemars(length(max = 1024))]
    pub client_certificates: Vec<ClientCertificateSettings>,
    /// Apps (the `sub` of results) that may call with an API key or a client certificate, or where a route asks for no credential, beside the
    /// clients of the authorization servers.
    #[serde(default)]
    pub apps: Vec<String>,
    /// An OpenAPI document (3.1 or 3.0; YAML, or JSON by a name that ends in `.json`): each operation becomes a route,
    /// beside those that stand here (docs/openapi.md).
    #[serde(default)]
    pub openapi: Option<PathBuf>,
    /// How the API reads the case of paths. Default: not known, and a path that meets a route only if case is ignored is
    /// refused.
    #[serde(default)]
    pub path_case: Option<PathCase>,
    /// Which pages may call it from a browser. Default: none, and no answer has CORS fields.
    #[serde(default)]
    pub cors: Option<CorsSettings>,
    /// What is watched for across requests: keys, accounts and versions that behave as no honest ones do.
    #[serde(default, rename = "anomaly")]
    pub anomalies: Vec<AnomalySettings>,
    /// The rules; the most particular path that matches decides: segment by segment, what is written out goes before
    /// `{name}`, and the longer prefix before the shorter. A request that matches none is refused.
    #[serde(default, rename = "route")]
    pub routes: Vec<RouteSettings>,
    /// How many of the routes stand in the settings themselves; those of the OpenAPI document follow.
    #[serde(skip)]
    pub(crate) written_routes: usize,
}

/// Checks what the schema cannot say about the resources.
pub(super) fn check(resources: &[ResourceSettings], gateway: Option<Gateway>, problems: &mut Problems) {
    let (mut names, mut identifiers) = (BTreeSet::new(), BTreeSet::new());
    let (mut key_sets, mut key_files) = (BTreeMap::new(), BTreeSet::new());
    for (index, resource) in resources.iter().enumerate() {
        let at = format!("/resource/{index}");
        if !names.insert(&resource.name) {
            problems.at(
                &format!("{at}/name"),
                format!("`{}` names an earlier resource too; rename one", resource.name),
            );
        }
        if !identifiers.insert(&resource.identifier) {
            problems.at(
                &format!("{at}/identifier"),
                "an earlier resource has the same identifier; each needs its own",
            );
        }
        private_url(&resource.identifier, &format!("{at}/identifier"), problems);
        let mut issuers = BTreeSet::new();
        for (index, server) in resource.authorization_servers.iter().enumerate() {
            let at = format!("{at}/authorization_server/{index}");
            if !issuers.insert(&server.issuer) {
                problems.at(&format!("{at}/issuer"), "this issuer stands here twice; join the two");
            }
            if *key_sets.entry(&server.issuer).or_insert(&server.jwks) != &server.jwks {
                problems.at(
                    &format!("{at}/jwks"),
                    "an earlier resource has another `jwks` for this issuer; one is right",
                );
            }
            server.check(&at, problems);
        }
        resource.check_api_keys(&at, &mut key_files, problems);
        resource.check_introspection(&at, problems);
        resource.check_client_certificates(&at, problems);
        if let Some(cors) = &resource.cors {
            cors.check(&format!("{at}/cors"), problems);
        }
        anomaly::check(&resource.anomalies, &resource.routes, &at, problems);
        let wants_token = resource.asks_for(CredentialKind::Jwt);
        if resource.authorization_servers.is_empty() && wants_token {
            problems.at(
                &at,
                "a route asks for an access token, and no authorization server is named; add \
                 [[resource.authorization_server]], or write `credentials = []` in the routes",
            );
        }
        if resource.authorization_servers.is_empty() && resource.apps.is_empty() {
            problems
                .at(&at, "no app may call this resource; write for example `apps = [\"com.example.app\"]`");
        }
        if resource.routes.is_empty() && resource.openapi.is_none() {
            problems.at(
                &at,
                "it has no route; add [[resource.route]], or name an OpenAPI document with `openapi`",
            );
        }
        let mut seen = BTreeSet::new();
        for (index, route) in resource.routes.iter().take(resource.written_routes).enumerate() {
            let at = format!("{at}/route/{index}");
            route.check(&at, gateway, problems);
            let methods = if route.methods.is_empty() {
                vec!["*"]
            } else {
                route.methods.iter().map(String::as_str).collect()
            };
            for method in methods {
                if !seen.insert((route.path.as_str(), route.path_match, method)) {
                    let what = if method == "*" { "all methods" } else { method };
                    problems.at(&at, format!("`{}` has a route for {what} already; remove one", route.path));
                }
            }
        }
    }
}

impl ResourceSettings {
    /// Adds the routes of its OpenAPI document; every problem of that document is one of the line that names it.
    pub(super) fn complete(&mut self, at: &str, gateway: Option<Gateway>, problems: &mut Problems) {
        self.written_routes = self.routes.len();
        let Some(file) = &self.openapi else { return };
        let file = problems.directory().join(file);
        match openapi::routes(&file, &self.origin_text(), gateway) {
            Ok(routes) => self.routes.extend(routes),
            Err(found) => {
                for line in found.to_string().lines() {
                    problems.at(&format!("{at}/openapi"), line);
                }
            }
        }
    }

    /// The origin that clients call it under.
    pub(crate) fn origin_text(&self) -> String {
        match &self.origin {
            Some(origin) => origin.as_str().to_owned(),
            None => Url::parse(self.identifier.as_str())
                .map(|url| url.origin().ascii_serialization())
                .unwrap_or_default(),
        }
    }

    /// Whether any of its routes asks for an API key.
    pub fn takes_api_keys(&self) -> bool {
        self.asks_for(CredentialKind::ApiKey)
    }

    /// The authorization server that is asked about opaque tokens.
    pub fn opaque_token_server(&self) -> Option<(&AuthorizationServerSettings, &IntrospectionSettings)> {
        self.authorization_servers
            .iter()
            .find_map(|server| server.introspection.as_ref().map(|introspection| (server, introspection)))
    }

    /// The authorization servers whose JWTs it takes, and whose keys it needs for that: where no route asks for a JWT, the
    /// server of opaque tokens may have none.
    pub fn jwt_servers(&self) -> impl Iterator<Item = &AuthorizationServerSettings> {
        let takes_jwts = self.asks_for(CredentialKind::Jwt);
        self.authorization_servers
            .iter()
            .filter(move |server| takes_jwts || server.jwks.is_some() || server.introspection.is_none())
    }

    /// Whether any of its routes asks for a client certificate.
    pub fn takes_client_certificates(&self) -> bool {
        self.asks_for(CredentialKind::ClientCertificate)
    }

    /// Whether `app` (the `sub` of a result) may call it at all.
    pub fn has_app(&self, app: &str) -> bool {
        self.apps.iter().any(|known| known == app)
            || self.authorization_servers.iter().any(|server| server.clients.contains_key(app))
    }

    /// The apps that may call it.
    pub(crate) fn all_apps(&self) -> impl Iterator<Item = String> + '_ {
        let clients = self.authorization_servers.iter().flat_map(|server| server.clients.keys());
        self.apps.iter().chain(clients).cloned()
    }

    /// Has relative paths start from `directory`.
    pub(super) fn resolve(&mut self, directory: &Path) {
        let authorities = self.client_certificates.iter_mut().filter_map(|entry| entry.ca_file.as_mut());
        for file in self.api_keys.iter_mut().chain(&mut self.openapi).chain(authorities) {
            *file = directory.join(&file);
        }
        for server in &mut self.authorization_servers {
            if let Some(jwks) = server.jwks.as_mut().filter(|jwks| !jwks.contains("://")) {
                *jwks = directory.join(&jwks).display().to_string();
            }
            if let Some(introspection) = &mut server.introspection {
                introspection.resolve(directory);
            }
        }
    }

    fn asks_for(&self, kind: CredentialKind) -> bool {
        self.routes.iter().any(|route| route.credentials.contains(&kind))
    }

    fn check_introspection(&self, at: &str, problems: &mut Problems) {
        let mut asked =
            (0..).zip(&self.authorization_servers).filter(|(_, server)| server.introspection.is_some());
        let wanted = self.asks_for(CredentialKind::Opaque);
        let at_server = |index: i32| format!("{at}/authorization_server/{index}/introspection");
        match asked.next() {
            None if wanted => problems.at(
                at,
                "a route asks for opaque tokens; write in their authorization server how it is asked about them, for \
                 example `introspection = { client_id = \"edge\", client_secret_file = \"edge.secret\" }`",
            ),
            Some((index, _)) if !wanted && self.routes.iter().all(|route| !route.credentials.is_empty()) => problems
                .at(
                    &at_server(index),
                    "no route asks for opaque tokens; add \"opaque\" to the `credentials` of one, or remove this line",
                ),
            _ => {}
        }
        if let Some((index, _)) = asked.next() {
            problems.at(
                &at_server(index),
                "an opaque token does not say whose it is, so a resource takes those of one server; remove one of the two",
            );
        }
    }

    fn check_client_certificates(&self, at: &str, problems: &mut Problems) {
        match (self.client_certificates.is_empty(), self.takes_client_certificates()) {
            (true, true) => problems.at(
                at,
                "a route asks for client certificates; list them as [[resource.client_certificate]], each with `app` and \
                 `thumbprint`, or `san` and `ca_file`",
            ),
            (false, false) => problems.at(
                &format!("{at}/client_certificate"),
                "no route asks for client certificates; add \"client_certificate\" to the `credentials` of one, or remove \
                 these lines",
            ),
            _ => {}
        }
        let mut seen = BTreeSet::new();
        for (index, entry) in self.client_certificates.iter().enumerate() {
            let at = format!("{at}/client_certificate/{index}");
            entry.check(&at, self.has_app(&entry.app), &mut seen, problems);
        }
    }

    fn check_api_keys<'s>(&'s self, at: &str, files: &mut BTreeSet<&'s Path>, problems: &mut Problems) {
        match (&self.api_keys, self.takes_api_keys()) {
            (None, true) => problems.at(
                at,
                "a route asks for API keys; write where they are kept, for example `api_keys = \"api-keys.json\"`, \
                 and make the first one with `countersign keys api new`",
            ),
            (Some(_), false) => problems.at(
                &format!("{at}/api_keys"),
                "no route asks for API keys; add \"api_key\" to the `credentials` of one, or remove this line",
            ),
            _ => {}
        }
        if let Some(file) = &self.api_keys
            && !files.insert(file)
        {
            problems.at(
                &format!("{at}/api_keys"),
                "an earlier resource keeps its API keys there, and a key is for one resource; name another file",
            );
        }
    }
}
