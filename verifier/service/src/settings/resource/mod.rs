//! Protected resources and their routes: which tokens an API accepts, from whom, and how strictly.

mod authorization_server;
mod demand;
mod route;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use authorization_server::AuthorizationServerSettings;
pub(super) use authorization_server::check_jwks;
pub use demand::{
    Assurance, BodyBinding, CredentialKind, KeyProtection, Mode, NonceDemand, Tier, TokenBinding,
};
pub use route::RouteSettings;

use super::values::{Origin, WebUrl};
use super::{Gateway, private_url};
use crate::document::Problems;

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
    /// Apps (the `sub` of results) that may call with an API key, or where a route asks for no credential, beside the
    /// clients of the authorization servers.
    #[serde(default)]
    pub apps: Vec<String>,
    /// The rules; the longest matching path decides. A request that matches none is refused.
    #[serde(rename = "route")]
    #[schemars(length(min = 1))]
    pub routes: Vec<RouteSettings>,
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
        let mut seen = BTreeSet::new();
        for (index, route) in resource.routes.iter().enumerate() {
            let at = format!("{at}/route/{index}");
            route.check(&at, gateway, problems);
            let methods = if route.methods.is_empty() {
                vec!["*"]
            } else {
                route.methods.iter().map(String::as_str).collect()
            };
            for method in methods {
                if !seen.insert((route.path.as_str(), method)) {
                    let what = if method == "*" { "all methods" } else { method };
                    problems.at(&at, format!("`{}` has a route for {what} already; remove one", route.path));
                }
            }
        }
    }
}

impl ResourceSettings {
    /// Whether any of its routes asks for an API key.
    pub fn takes_api_keys(&self) -> bool {
        self.asks_for(CredentialKind::ApiKey)
    }

    /// Whether `app` (the `sub` of a result) may call it at all.
    pub fn has_app(&self, app: &str) -> bool {
        self.apps.iter().any(|known| known == app)
            || self.authorization_servers.iter().any(|server| server.clients.contains_key(app))
    }

    /// Has relative paths start from `directory`.
    pub(super) fn resolve(&mut self, directory: &Path) {
        if let Some(file) = &mut self.api_keys {
            *file = directory.join(&file);
        }
        for server in self.authorization_servers.iter_mut().filter(|server| !server.jwks.contains("://")) {
            server.jwks = directory.join(&server.jwks).display().to_string();
        }
    }

    fn asks_for(&self, kind: CredentialKind) -> bool {
        self.routes.iter().any(|route| route.credentials.contains(&kind))
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
