//! Protected resources and their routes: which tokens an API accepts, from whom, and how strictly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Origin, TimeSpan, WebUrl};
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

/// An authorization server whose JWT access tokens (RFC 9068) a resource accepts.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationServerSettings {
    /// Its issuer URL, compared byte for byte with `iss`.
    pub issuer: WebUrl,
    /// Its public keys: an `https` URL, or the path of a JWK Set file.
    #[schemars(length(min = 1))]
    pub jwks: String,
    /// For each client of this service (the `sub` of a result), the client ids that its access tokens may carry.
    pub clients: BTreeMap<String, Vec<String>>,
}

/// What a request to some paths of a resource must show.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// A path prefix that ends on a segment: `/` is everything, `/v1/pay` covers `/v1/pay` and `/v1/pay/now`.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
    /// The methods that the route is for. Default: all.
    #[serde(default)]
    pub methods: Vec<String>,
    /// What happens to a request that fails the check.
    #[serde(default)]
    pub mode: Mode,
    /// How the access token must be tied to the device.
    #[serde(default)]
    pub token_binding: TokenBinding,
    /// The kinds of credential of which a request must carry one. An empty list is for requests before a login:
    /// the app and device are proven, the user is not.
    #[serde(default = "default_credentials")]
    pub credentials: Vec<CredentialKind>,
    /// Whether a proof must carry a nonce of this edge.
    #[serde(default)]
    pub nonce: NonceDemand,
    /// The lowest tier of a result that is let through.
    #[serde(default)]
    pub tier: Tier,
    /// Where the instance key must live. Default: anywhere that the policy accepts.
    #[serde(default)]
    pub protection: Vec<KeyProtection>,
    /// The oldest platform evidence that is let through. Default: as old as the service lets it become.
    #[serde(default)]
    pub max_evidence_age: Option<TimeSpan>,
    /// How near the hardware the key must be that signs each request.
    #[serde(default)]
    pub assurance: Assurance,
    /// Takes `OAuth-Client-Attestation-PoP`, which says nothing of the request: caught on its way, it serves another.
    #[serde(default)]
    pub danger_unbound_pop: bool,
    /// Takes DPoP proofs without the member `countersign_query`: caught on their way, they serve another query.
    #[serde(default)]
    pub danger_unbound_query: bool,
    /// Whether the proof must cover the body.
    #[serde(default)]
    pub body: BodyBinding,
    /// Scopes that the access token must have.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// One of these must be the token's `acr`: how the user was authenticated (RFC 9470). Default: anyhow.
    #[serde(default)]
    pub acr_values: Vec<String>,
    /// The longest time since the user was authenticated, by the token's `auth_time` (RFC 9470). Default: any.
    #[serde(default)]
    pub max_age: Option<TimeSpan>,
}

/// What happens to a request that fails the check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It passes, without identity; the verdict is recorded.
    Observe,
    /// As `observe`, and the verdict is logged as a warning.
    Warn,
    /// It is refused.
    #[default]
    Require,
}

/// How an access token is tied to the device that uses it (protocol section 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenBinding {
    /// `cnf.jkt` is the instance key of the result.
    #[default]
    Instance,
    /// A bearer token belongs to the first instance that used it.
    FirstUse,
    /// Only the client must match: a stolen token works on any genuine install.
    DangerClientOnly,
}

/// How near the hardware the key is that signs each request (protocol section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// A session key in the app's memory will do, for which the instance key vouched within the last ten minutes.
    #[default]
    Session,
    /// The instance key signs each request: `OAuth-Client-Attestation` and `DPoP`.
    Hardware,
}

/// A kind of credential that tells the user or caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A JWT access token (RFC 9068).
    Jwt,
    /// An API key of the attested app, in `X-API-Key`: the same on each of its installations.
    ApiKey,
}

/// Whether a proof must carry a nonce of this edge (protocol section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NonceDemand {
    /// None is given out; one that comes is checked.
    #[default]
    Off,
    /// One rides on answers, so that devices with wrong clocks have one.
    Offered,
    /// A proof without one is refused.
    Required,
}

/// The lowest tier (AR4SI) that is let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Only devices that the policy affirms.
    #[default]
    Affirming,
    /// Also devices that the policy warns about.
    Warning,
}

/// Where the durable key of an installation lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyProtection {
    /// In a trusted execution environment.
    Tee,
    /// In a StrongBox secure element.
    Strongbox,
    /// In Apple's Secure Enclave.
    SecureEnclave,
}

/// Whether the proof must cover the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyBinding {
    /// A digest is compared where the proof has one and the body can be read.
    #[default]
    Offered,
    /// A request with a body whose proof does not cover it is refused.
    Required,
}

fn default_credentials() -> Vec<CredentialKind> {
    vec![CredentialKind::Jwt]
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

impl AuthorizationServerSettings {
    fn check(&self, at: &str, problems: &mut Problems) {
        private_url(&self.issuer, &format!("{at}/issuer"), problems);
        let jwks = format!("{at}/jwks");
        if self.jwks.contains("://") {
            match WebUrl::try_from(self.jwks.clone()) {
                Ok(url) => private_url(&url, &jwks, problems),
                Err(_) => {
                    problems.at(&jwks, "this is neither a URL with http or https nor the path of a file")
                }
            }
        } else if !problems.directory().join(&self.jwks).is_file() {
            problems.at(
                &jwks,
                format!("the file {} does not exist", problems.directory().join(&self.jwks).display()),
            );
        }
        if self.clients.is_empty() {
            problems.at(
                &format!("{at}/clients"),
                "no client may use this authorization server; write for example \"my-app\" = [\"my-client-id\"]",
            );
        }
        for (client, ids) in &self.clients {
            if ids.is_empty() {
                problems.at(&format!("{at}/clients/{client}"), "no client id is listed; name at least one");
            }
        }
    }
}

impl RouteSettings {
    fn check(&self, at: &str, gateway: Option<Gateway>, problems: &mut Problems) {
        let path = format!("{at}/path");
        let segments = || self.path.split('/').skip(1);
        let crooked = segments().any(|segment| matches!(segment, "." | ".."))
            || self.path.contains("//")
            || self.path.contains(['\\', ';', '%', '?', '#', '*'])
            || !self.path.bytes().all(|byte| byte.is_ascii_graphic());
        if !self.path.starts_with('/') {
            problems.at(&path, "a path starts with `/`");
        } else if crooked {
            problems.at(
                &path,
                "this path cannot match: requests with `//`, `.`, `..`, `\\`, `;` are refused, and `%`, `?`, `#`, `*` \
                 have no meaning here; write a plain prefix such as \"/v1/pay\"",
            );
        } else if self.path.len() > 1 && self.path.ends_with('/') {
            problems.at(&path, "leave the last `/` away: the prefix covers what lies under it as well");
        }
        for (index, method) in self.methods.iter().enumerate() {
            if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
                problems.at(
                    &format!("{at}/methods/{index}"),
                    "a method is written in capitals, such as \"POST\"",
                );
            }
        }
        if self.body == BodyBinding::Required && gateway.is_some_and(|gateway| !gateway.sends_body()) {
            problems.at(
                &format!("{at}/body"),
                "the gateway in [listen] sends no bodies to the edge, so they cannot be checked; use \"offered\", \
                 and check the header X-Attested-Content in the API",
            );
        }
        let steps_up = !self.acr_values.is_empty() || self.max_age.is_some();
        if steps_up && self.credentials != [CredentialKind::Jwt] {
            problems.at(
                &format!("{at}/credentials"),
                "only an access token tells how a user was authenticated; with `acr_values` or `max_age`, write \
                 `credentials = [\"jwt\"]`",
            );
        }
        for (index, value) in self.acr_values.iter().enumerate() {
            // They stand between quotes and spaces in `WWW-Authenticate`.
            let is_fit = |byte: u8| byte.is_ascii_graphic() && !b"\"\\,".contains(&byte);
            if value.is_empty() || !value.bytes().all(is_fit) {
                problems.at(
                    &format!("{at}/acr_values/{index}"),
                    "a value of `acr` is one word of visible ASCII, without quotes, commas and backslashes",
                );
            }
        }
    }
}
