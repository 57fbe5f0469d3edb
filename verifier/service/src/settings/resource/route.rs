//! What a request to some paths of a resource must show.

use countersign_verifier::check::route::is_template;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::demand::{
    Assurance, BodyBinding, CredentialKind, KeyProtection, Mode, NonceDemand, PathMatch, ReplayDemand, Tier,
    TokenBinding,
};
use super::limit::{self, RateLimitSettings};
use crate::document::Problems;
use crate::settings::values::TimeSpan;
use crate::settings::{Gateway, WhenStoreFails};

/// What a request to some paths of a resource must show.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// A path prefix that ends on a segment: `/` is everything, `/v1/pay` covers `/v1/pay` and `/v1/pay/now`.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
    /// Whether the path is a prefix or a template such as `/pets/{id}`, which matches exactly its segments.
    #[serde(default, rename = "match")]
    pub path_match: PathMatch,
    /// The methods that the route is for. Default: all.
    #[serde(default)]
    pub methods: Vec<String>,
    /// What happens to a request that fails the check.
    #[serde(default)]
    pub mode: Mode,
    /// Of how many of a hundred instances the mode `require` refuses requests, always the same ones; those of the others
    /// pass as with `observe`. For rolling a route out: below 100, an attacker may choose to be one of the others.
    #[serde(default = "default_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: u8,
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
    /// Where a proof passes once.
    #[serde(default)]
    pub replay: ReplayDemand,
    /// How often it may be called, such as `[{ per = "instance", rate = "60/min", burst = 20 }]`; each limit holds for
    /// itself. Default: as often as 300 requests of an instance within ten seconds.
    #[serde(default)]
    pub limits: Vec<RateLimitSettings>,
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
    /// What happens while the shared store does not answer. Default: `closed`.
    #[serde(default)]
    pub when_store_fails: Option<WhenStoreFails>,
}

fn default_credentials() -> Vec<CredentialKind> {
    vec![CredentialKind::Jwt]
}

const fn default_percent() -> u8 {
    100
}

impl RouteSettings {
    pub(super) fn check(&self, at: &str, gateway: Option<Gateway>, problems: &mut Problems) {
        self.check_path(at, problems);
        self.check_demands(at, gateway, problems);
    }

    fn check_path(&self, at: &str, problems: &mut Problems) {
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
        let has_braces = self.path.contains(['{', '}']);
        match self.path_match {
            PathMatch::Prefix if has_braces => problems.at(
                &path,
                "braces stand for themselves in a prefix; with `match = \"template\"` they are parameters",
            ),
            PathMatch::Template if self.path.starts_with('/') && !is_template(&self.path) => problems
                .at(&path, "this is no template: a segment has at most one `{name}`, and no other braces"),
            _ => {}
        }
        for (index, method) in self.methods.iter().enumerate() {
            if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
                problems.at(
                    &format!("{at}/methods/{index}"),
                    "a method is written in capitals, such as \"POST\"",
                );
            }
        }
    }

    /// What the demands say against each other or against the gateway.
    pub(crate) fn check_demands(&self, at: &str, gateway: Option<Gateway>, problems: &mut Problems) {
        if self.body == BodyBinding::Required && gateway.is_some_and(|gateway| !gateway.sends_body()) {
            problems.at(
                &format!("{at}/body"),
                "the gateway in [listen] sends no bodies to the edge, so they cannot be checked; use \"offered\", \
                 and check the header X-Attested-Content in the API",
            );
        }
        if self.percent < 100 && self.mode != Mode::Require {
            problems.at(
                &format!("{at}/percent"),
                "only the mode \"require\" refuses anybody; remove this line, or write `mode = \"require\"`",
            );
        }
        let has_users = !self.credentials.is_empty() && !self.credentials.contains(&CredentialKind::ApiKey);
        limit::check(&self.limits, has_users, at, problems);
        let steps_up = !self.acr_values.is_empty() || self.max_age.is_some();
        let is_token = |kind: &CredentialKind| matches!(kind, CredentialKind::Jwt | CredentialKind::Opaque);
        if steps_up && (self.credentials.is_empty() || !self.credentials.iter().all(is_token)) {
            problems.at(
                &format!("{at}/credentials"),
                "only an access token tells how a user was authenticated; with `acr_values` or `max_age`, write \
                 `credentials = [\"jwt\"]` or [\"opaque\"]",
            );
        }
        for (index, scope) in self.scopes.iter().enumerate() {
            // They stand between quotes and spaces in `WWW-Authenticate`.
            let is_fit = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
            if scope.is_empty() || !scope.bytes().all(is_fit) {
                problems.at(
                    &format!("{at}/scopes/{index}"),
                    "a scope is one word of visible ASCII, without quotes and backslashes; write each in quotes of its \
                     own",
                );
            }
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
