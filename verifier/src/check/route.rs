//! What a resource demands: where it is, whose tokens it takes, and what each of its routes asks for.

use std::collections::HashMap;

use countersign_core::request::Origin;
use countersign_core::token::result::{Protection, Tier};

use super::limits::RateLimit;
use super::pending::WhenStoreFails;
use crate::credential::introspection::Introspection;

/// A protected API.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The RFC 9728 resource identifier: `aud` of proofs and access tokens.
    pub identifier: String,
    /// Where clients reach it; `htu` is this followed by the path. Never taken from `Host`.
    pub origin: Origin,
    /// URL of its RFC 9728 metadata, for challenges.
    pub metadata_url: Option<String>,
    /// Which client of an authorization server each attested app is: `sub` of results to (issuer, `client_id`).
    /// An app that is absent is refused; one without clients may call only where no access token is asked for.
    pub clients: HashMap<String, Vec<OAuthClient>>,
    /// Issuers whose access tokens it takes.
    pub authorization_servers: Vec<String>,
    /// Whose opaque access tokens it takes; there is one such issuer, since the token itself names none.
    pub introspection: Option<Introspection>,
    /// The edges that share one replay store; enters the nonce's scope.
    pub replay_domain: String,
    /// Its routes; the most particular path that matches decides. A request that matches none is refused.
    pub routes: Vec<Route>,
    /// How the server behind the edge reads the case of paths.
    pub path_case: PathCase,
}

/// How the server behind the edge reads the case of paths. Letters beyond ASCII are compared as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathCase {
    /// Not known: a path that meets its route only when case is ignored is refused as ambiguous.
    #[default]
    Unknown,
    /// `/Admin` is not `/admin`.
    Sensitive,
    /// `/Admin` is `/admin`.
    Insensitive,
}

/// What a route's path stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathMatch {
    /// Itself and everything below it.
    #[default]
    Prefix,
    /// Exactly its segments. `{name}` in one stands for one or more characters: a template, as OpenAPI writes it.
    Template,
}

/// A client as one authorization server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthClient {
    /// `iss` of its access tokens.
    pub issuer: String,
    /// `client_id` in its access tokens.
    pub client_id: String,
}

/// What requests below one path need.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its path. A prefix is matched at segment borders: `/v1` matches `/v1` and `/v1/a`, not `/v10`.
    pub path: String,
    /// Whether the path is a prefix or a template.
    pub path_match: PathMatch,
    /// Methods it speaks of; empty for all.
    pub methods: Vec<String>,
    /// What a refusal does.
    pub mode: Mode,
    /// Of how many of a hundred instances [`Mode::Require`] refuses requests; those of the others pass as observed. A
    /// tool to roll a route out: below 100, an attacker may choose to be one of the others.
    pub percentage: u8,
    /// The kinds of credential of which a request needs one. Empty: it needs none, and one that comes is checked.
    pub credentials: Vec<CredentialKind>,
    /// How access token and instance belong together; an API key belongs to the app.
    pub token_binding: TokenBinding,
    /// Whether proofs carry a nonce of ours.
    pub nonce: NoncePolicy,
    /// Where a proof passes once.
    pub replay: ReplayPolicy,
    /// How often it may be called; each limit holds for itself.
    pub limits: Vec<RateLimit>,
    /// The worst tier that passes.
    pub tier: Tier,
    /// Where the instance key must live; empty for anywhere.
    pub protection: Vec<Protection>,
    /// Oldest platform evidence that passes, in seconds.
    pub max_evidence_age: Option<u64>,
    /// How near the hardware the key must be that signs each request.
    pub assurance: Assurance,
    /// Takes the OAuth draft's own proof, which says nothing of the request: caught, it serves another one until it
    /// is a minute old or was used here.
    pub danger_unbound_pop: bool,
    /// Takes DPoP proofs that leave out the query, as all but ours do: caught, they serve another query.
    pub danger_unbound_query: bool,
    /// Whether the proof must cover the body.
    pub content_required: bool,
    /// Scopes that the credential must all have.
    pub scopes: Vec<String>,
    /// How the user must have been authenticated.
    pub step_up: StepUp,
    /// Set where edges share a store, which then has the last word: what happens while it does not answer.
    pub shared_store: Option<WhenStoreFails>,
}

impl Route {
    /// A route for everything below `path` with the safe defaults: enforced, token bound to the instance, no nonce,
    /// tier affirming.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            path_match: PathMatch::Prefix,
            methods: Vec::new(),
            mode: Mode::Require,
            percentage: 100,
            credentials: vec![CredentialKind::Jwt],
            token_binding: TokenBinding::Instance,
            nonce: NoncePolicy::Off,
            replay: ReplayPolicy::Strict,
            limits: Vec::new(),
            tier: Tier::Affirming,
            protection: Vec::new(),
            max_evidence_age: None,
            assurance: Assurance::Session,
            danger_unbound_pop: false,
            danger_unbound_query: false,
            content_required: false,
            scopes: Vec::new(),
            step_up: StepUp::default(),
            shared_store: None,
        }
    }
}

/// A kind of credential beside the attestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialKind {
    /// A JWT access token (RFC 9068), as `Authorization: DPoP` or `Bearer`.
    Jwt,
    /// An API key of the attested app, as `X-API-Key`. It is the same on each of the app's installations.
    ApiKey,
    /// The certificate of the TLS connection, for systems that call: one of the resource's allow-list. Nothing but that
    /// connection binds it to the proof.
    ClientCertificate,
    /// An opaque access token, about which its authorization server is asked (RFC 7662), as `Authorization: DPoP` or
    /// `Bearer`. Only at a resource with [`Resource::introspection`].
    Opaque,
}

/// How and when the user must have been authenticated (RFC 9470); by default somehow, and at any time. An API key tells
/// of no user and meets no demand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepUp {
    /// One of these must be the token's `acr`; empty for any.
    pub acr_values: Vec<String>,
    /// Most seconds since the token's `auth_time`.
    pub max_age: Option<u64>,
}

impl StepUp {
    /// Whether nothing is demanded.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What a refusal does to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is recorded; the request passes without identity.
    Observe,
    /// As observe, and the client is told.
    Warn,
    /// The request is refused.
    Require,
}

/// How near the hardware the key is that signs each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assurance {
    /// A session key in the app's memory, which the instance key vouched for within the last ten minutes.
    Session,
    /// The instance key itself: the OAuth flavour. Where that key lives, `protection` says.
    Hardware,
}

/// How an access token and an instance belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenBinding {
    /// The token's `cnf.jkt` is the instance key: stolen, it is of no use anywhere else.
    Instance,
    /// A bearer token belongs to the first instance that used it, until its `exp`: stolen before that, it serves
    /// the thief.
    FirstUse,
    /// The token need only be of the app's client: stolen, it works on any genuine install.
    DangerClientOnly,
}

/// Whether proofs carry a nonce of this edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoncePolicy {
    /// None is given out; one that comes is checked.
    Off,
    /// One rides on answers, so that clients with wrong clocks have one.
    Offered,
    /// A proof without one is refused with a fresh one.
    Required,
}

/// Where a proof passes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayPolicy {
    /// At all edges together, so that several need a store that they share.
    Strict,
    /// At each edge: caught, it passes once more at every other edge within its window.
    Windowed,
}

/// Whether a path is a template that routes can have: in each segment at most one `{name}`, no other braces.
pub fn is_template(path: &str) -> bool {
    let is_plain = |text: &str| !text.contains(['{', '}']);
    let is_segment = |segment: &str| match segment.split_once('{') {
        None => is_plain(segment),
        Some((before, rest)) => rest.split_once('}').is_some_and(|(name, after)| {
            !name.is_empty() && is_plain(before) && is_plain(name) && is_plain(after)
        }),
    };
    path.starts_with('/') && path.split('/').all(is_segment)
}

impl Route {
    /// Whether a credential of this kind may come.
    pub fn takes(&self, kind: CredentialKind) -> bool {
        self.credentials.is_empty() || self.credentials.contains(&kind)
    }
}

impl Resource {
    /// Whether any of its routes asks for API keys; where none does, `X-API-Key` is not looked at.
    pub fn takes_api_keys(&self) -> bool {
        self.routes.iter().any(|route| route.credentials.contains(&CredentialKind::ApiKey))
    }

    /// Gives each rate limit quotas of its own.
    pub(super) fn bind_limits(&mut self) {
        for route in &mut self.routes {
            let mut limits = std::mem::take(&mut route.limits);
            limits.iter_mut().for_each(|limit| limit.bind(&self.identifier, route));
            route.limits = limits;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_at_most_one_named_parameter_in_a_segment() {
        for path in ["/", "/a", "/a/{b}/c/{d}", "/{a}.json", "/v1/{name}:cancel"] {
            assert!(is_template(path), "{path}");
        }
        for path in ["", "a", "/{a}{b}", "/{a}-{b}", "/{}", "/{a", "/a}", "/{{a}}", "/{a/b}"] {
            assert!(!is_template(path), "{path}");
        }
    }
}
