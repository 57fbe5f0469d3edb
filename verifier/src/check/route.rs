//! What a resource demands: where it is, whose tokens it takes, and what each of its routes asks for.

use std::collections::HashMap;

use countersign_core::request::{Origin, decoded};
use countersign_core::token::result::{Protection, Tier};

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
    /// Its routes; the longest matching path prefix decides. A request that matches none is refused.
    pub routes: Vec<Route>,
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
    /// Path prefix, matched at segment borders: `/v1` matches `/v1` and `/v1/a`, not `/v10`.
    pub path: String,
    /// Methods it speaks of; empty for all.
    pub methods: Vec<String>,
    /// What a refusal does.
    pub mode: Mode,
    /// The kinds of credential of which a request needs one. Empty: it needs none, and one that comes is checked.
    pub credentials: Vec<CredentialKind>,
    /// How access token and instance belong together; an API key belongs to the app.
    pub token_binding: TokenBinding,
    /// Whether proofs carry a nonce of ours.
    pub nonce: NoncePolicy,
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
}

impl Route {
    /// A route for everything below `path` with the safe defaults: enforced, token bound to the instance, no nonce,
    /// tier affirming.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            methods: Vec::new(),
            mode: Mode::Require,
            credentials: vec![CredentialKind::Jwt],
            token_binding: TokenBinding::Instance,
            nonce: NoncePolicy::Off,
            tier: Tier::Affirming,
            protection: Vec::new(),
            max_evidence_age: None,
            assurance: Assurance::Session,
            danger_unbound_pop: false,
            danger_unbound_query: false,
            content_required: false,
            scopes: Vec::new(),
            step_up: StepUp::default(),
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
    /// An opaque access token, about which its authorization server is asked (RFC 7662), as `Authorization: DPoP` or
    /// `Bearer`. Only at a resource with [`Resource::introspection`].
    Opaque,
    /// The certificate of the TLS connection, for systems that call: one of the resource's allow-list. Nothing but that
    /// connection binds it to the proof.
    ClientCertificate,
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

    /// The route of a request: the longest matching prefix whose methods include `method`; of two that are equally
    /// long, the one that names the method.
    pub fn route(&self, method: &str, path: &str) -> Option<&Route> {
        // Some servers take `post` for POST and answer HEAD as GET: neither shall find a laxer route. The proof's
        // `htm` is compared exactly.
        let is_named = |name: &String| {
            name.eq_ignore_ascii_case(method)
                || (method.eq_ignore_ascii_case("HEAD") && name.eq_ignore_ascii_case("GET"))
        };
        let matches = |route: &&Route| {
            (route.methods.is_empty() || route.methods.iter().any(is_named)) && is_below(path, &route.path)
        };
        self.routes
            .iter()
            .filter(matches)
            .max_by_key(|route| (decoded(&route.path).count(), !route.methods.is_empty()))
    }
}

/// Whether `path` is `prefix` or below it, as a server sees it that undoes every escape before it matches: otherwise
/// `/%40me` would evade the rules of `/@me`.
fn is_below(path: &str, prefix: &str) -> bool {
    let mut path = decoded(path).peekable();
    let mut last = b'/';
    for byte in decoded(prefix) {
        if path.next() != Some(byte) {
            return false;
        }
        last = byte;
    }
    last == b'/' || matches!(path.peek(), None | Some(b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_character_does_not_evade_a_prefix() {
        for path in ["/%40me", "/@me/a", "/%40%6De", "/%40me/%61"] {
            assert!(is_below(path, "/@me"), "{path}");
        }
        assert!(!is_below("/%2540me", "/@me"), "undone once");
    }

    #[test]
    fn prefixes_match_at_segment_borders_after_normalisation() {
        for (path, prefix) in
            [("/v1", "/v1"), ("/v1/a", "/v1"), ("/v1/", "/v1/"), ("/%761/a", "/v1"), ("/a", "/")]
        {
            assert!(is_below(path, prefix), "{path} {prefix}");
        }
        for (path, prefix) in [("/v10", "/v1"), ("/V1", "/v1"), ("/v", "/v1"), ("/v1", "/v1/"), ("/", "/v1")]
        {
            assert!(!is_below(path, prefix), "{path} {prefix}");
        }
    }

    #[test]
    fn a_route_that_names_the_method_goes_before_one_for_all_in_any_order() {
        let (all, post) = (Route::new("/v1"), Route { methods: vec!["POST".into()], ..Route::new("/v1") });
        for routes in [vec![all.clone(), post.clone()], vec![post, all]] {
            let resource = Resource { routes, ..resource() };
            let methods = |method| resource.route(method, "/v1/a").map(|route| route.methods.len());
            assert_eq!((methods("POST"), methods("GET")), (Some(1), Some(0)));
        }
    }

    fn resource() -> Resource {
        Resource {
            identifier: "https://api.example".into(),
            origin: Origin::parse("https://api.example").unwrap(),
            metadata_url: None,
            clients: HashMap::new(),
            authorization_servers: Vec::new(),
            introspection: None,
            replay_domain: String::new(),
            routes: Vec::new(),
        }
    }

    #[test]
    fn the_longest_prefix_of_the_method_decides() {
        let resource = Resource {
            routes: vec![Route::new("/v1"), Route { methods: vec!["POST".into()], ..Route::new("/v1/pay") }],
            ..resource()
        };
        let route = |method, path| resource.route(method, path).map(|route| route.path.as_str());
        assert_eq!(route("POST", "/v1/pay/1"), Some("/v1/pay"));
        assert_eq!(route("GET", "/v1/pay/1"), Some("/v1"));
        assert_eq!(route("post", "/v1/pay"), Some("/v1/pay"), "no other spelling finds a laxer route");
        assert_eq!(route("GET", "/v2"), None);
    }

    #[test]
    fn a_route_of_get_is_heads_too_and_no_other_methods() {
        let get = Route { methods: vec!["GET".into()], ..Route::new("/v1") };
        let resource = Resource { routes: vec![get], ..resource() };
        for (method, found) in
            [("GET", true), ("HEAD", true), ("head", true), ("POST", false), ("DELETE", false)]
        {
            assert_eq!(resource.route(method, "/v1").is_some(), found, "{method}");
        }
        let post = Route { methods: vec!["POST".into()], ..Route::new("/v1") };
        let resource = Resource { routes: vec![post], ..self::resource() };
        assert!(resource.route("HEAD", "/v1").is_none());
    }
}
