//! The edge: what it holds between requests, and how a decision becomes an answer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use countersign_core::challenge::{Challenge, MacKeyRing};
use countersign_core::request::{RequestError, split_query};
use countersign_core::time::Timestamp;

use super::anomaly::Anomalies;
use super::budget::{self, Budget};
use super::credential::CachedToken;
use super::decision::{Decision, Limits, Randomness, RandomnessUnavailable};
use super::deny_list::DenyList;
use super::enforcement::{self, Caller};
use super::first_use::FirstUse;
use super::introspection::OpaqueTokens;
use super::limits::LimitTable;
use super::refusal::{Code, Reason, Refusal};
use super::replay::ReplaySet;
use super::request::Request;
use super::result::VerifiedResult;
use super::route::{Mode, NoncePolicy, Resource, Route, StepUp};
use super::route_table::{Found, RouteTable};
use super::steps::{self, Context, REPLAY_WINDOW, Spoken, Stop};
use super::trace::{Trace, Untraced};
use super::trust::{IssuerKeys, KeyOwner, ServiceKeys};
use super::witness::{Seen, Witness};
use crate::cache::Generations;
use crate::credential::api_key::ApiKeys;
use crate::credential::client_certificate::ClientCertificates;
use crate::credential::jwks::Jwks;

/// The edge: what it protects, whom it trusts, and what it remembers.
pub struct Edge {
    pub(super) resources: HashMap<String, Arc<Protected>>,
    pub(super) services: Vec<Arc<IssuerKeys<ServiceKeys>>>,
    pub(super) servers: Vec<Arc<IssuerKeys<Jwks>>>,
    pub(super) nonce_keys: Arc<ArcSwap<MacKeyRing>>,
    pub(super) randomness: Box<dyn Randomness>,
    pub(super) deny_list: Arc<ArcSwapOption<DenyList>>,
    pub(super) deny_list_required: bool,
    pub(super) results: Arc<Generations<Box<str>, Arc<VerifiedResult>>>,
    pub(super) access_tokens: Generations<([u8; 32], u32), Arc<CachedToken>>,
    pub(super) first_uses: Arc<FirstUse>,
    pub(super) replay: Arc<ReplaySet>,
    pub(super) source_failures: Arc<Budget>,
    pub(super) instance_failures: Arc<Budget>,
    pub(super) instance_requests: Arc<Budget>,
    /// Tokens about which their server was asked for an instance, and which it refused.
    pub(super) refused_tokens: Arc<Budget>,
    pub(super) quotas: Arc<LimitTable>,
    /// Whether a route has a limit: the table has room only then.
    pub(super) counts_quotas: bool,
    /// By the resource's name; only resources that have rules.
    pub(super) anomalies: HashMap<String, Arc<Anomalies>>,
    pub(super) witness: Option<Box<dyn Witness>>,
}

/// A resource with what belongs to it alone.
pub(super) struct Protected {
    pub(super) name: String,
    pub(super) number: u32,
    pub(super) resource: Resource,
    pub(super) takes_api_keys: bool,
    /// What is known of opaque tokens; `None` where it takes none.
    pub(super) opaque_tokens: Option<OpaqueTokens>,
    pub(super) table: RouteTable,
    /// `None` before the first have come.
    pub(super) api_keys: ArcSwapOption<ApiKeys>,
    /// `None` is an empty list: no certificate passes.
    pub(super) client_certificates: ArcSwapOption<ClientCertificates>,
}

impl Protected {
    /// The route of a request whose path passed step 1.
    pub(super) fn route(&self, method: &str, path: &str) -> Result<&Route, Reason> {
        match self.table.find(method, path) {
            Found::Route(index) => self.resource.routes.get(index).ok_or(Reason::NoRoute),
            Found::None => Err(Reason::NoRoute),
            Found::Ambiguous => Err(Reason::Request(RequestError::AmbiguousPath)),
        }
    }
}

impl Edge {
    /// An edge for `resources` (by the name that the gateway's configuration uses), trusting the results of
    /// `services` (issuers) and the tokens of `servers` (issuers). With `deny_list_required`, nothing passes without
    /// a current deny list.
    pub fn new(
        resources: HashMap<String, Resource>,
        services: impl IntoIterator<Item = String>,
        servers: impl IntoIterator<Item = String>,
        nonce_keys: MacKeyRing,
        randomness: Box<dyn Randomness>,
        deny_list_required: bool,
        limits: Limits,
    ) -> Self {
        let has_limits =
            resources.values().any(|resource| resource.routes.iter().any(|route| !route.limits.is_empty()));
        let protected = |(number, (name, mut resource)): (u32, (String, Resource))| {
            let takes_api_keys = resource.takes_api_keys();
            resource.bind_limits();
            let table = RouteTable::new(&resource.routes, resource.path_case);
            let tokens = || OpaqueTokens::new(limits.access_tokens);
            let opaque_tokens = resource.introspection.is_some().then(tokens);
            let protected = Protected {
                name: name.clone(),
                number,
                resource,
                takes_api_keys,
                opaque_tokens,
                table,
                api_keys: ArcSwapOption::empty(),
                client_certificates: ArcSwapOption::empty(),
            };
            (name, Arc::new(protected))
        };
        Self {
            resources: (0..).zip(resources).map(protected).collect(),
            services: services.into_iter().map(|issuer| Arc::new(IssuerKeys::new(issuer))).collect(),
            servers: servers.into_iter().map(|issuer| Arc::new(IssuerKeys::new(issuer))).collect(),
            nonce_keys: Arc::new(ArcSwap::from_pointee(nonce_keys)),
            randomness,
            deny_list: Arc::default(),
            deny_list_required,
            results: Arc::new(Generations::new(limits.results)),
            access_tokens: Generations::new(limits.access_tokens),
            first_uses: Arc::new(FirstUse::new(limits.first_uses)),
            replay: Arc::new(ReplaySet::new(limits.proofs, REPLAY_WINDOW)),
            source_failures: Arc::new(Budget::tightening(limits.addresses, limits.failures)),
            instance_failures: Arc::new(Budget::tightening(limits.addresses, limits.failures)),
            instance_requests: Arc::new(Budget::new(limits.results, limits.instance_requests)),
            refused_tokens: Arc::new(Budget::new(limits.addresses, limits.failures)),
            quotas: Arc::new(LimitTable::new(if has_limits { limits.callers } else { 0 })),
            counts_quotas: has_limits,
            anomalies: HashMap::new(),
            witness: None,
        }
    }

    /// The resource of a name.
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.get(name).map(|protected| &protected.resource)
    }

    /// The names of all resources.
    pub fn resources(&self) -> impl Iterator<Item = (&str, &Resource)> {
        self.resources.iter().map(|(name, protected)| (name.as_str(), &protected.resource))
    }

    /// The keys of an attestation service that this edge trusts.
    pub fn service(&self, issuer: &str) -> Option<&IssuerKeys<ServiceKeys>> {
        self.services.iter().find(|service| service.issuer == issuer).map(Arc::as_ref)
    }

    /// The keys of an authorization server that this edge trusts.
    pub fn authorization_server(&self, issuer: &str) -> Option<&IssuerKeys<Jwks>> {
        self.servers.iter().find(|server| server.issuer == issuer).map(Arc::as_ref)
    }

    /// Everybody whose keys this edge needs.
    pub fn key_owners(&self) -> impl Iterator<Item = KeyOwner> + '_ {
        let services = self.services.iter().map(|keys| KeyOwner::AttestationService(keys.issuer.clone()));
        let servers = self.servers.iter().map(|keys| KeyOwner::AuthorizationServer(keys.issuer.clone()));
        services.chain(servers)
    }

    /// Whether every issuer's keys have come, and the API keys of each resource that takes them.
    pub fn is_ready(&self) -> bool {
        let has_api_keys =
            |protected: &Arc<Protected>| !protected.takes_api_keys || protected.api_keys.load().is_some();
        self.services.iter().all(|keys| keys.is_ready())
            && self.servers.iter().all(|keys| keys.is_ready())
            && self.resources.values().all(has_api_keys)
    }

    /// Puts API keys of the resource called `resource` in force, in the place of all that it had; false if there is
    /// no such resource. A key that is not among them, or revoked, is refused from the next request on.
    pub fn replace_api_keys(&self, resource: &str, keys: ApiKeys) -> bool {
        let protected = self.resources.get(resource);
        protected.inspect(|protected| protected.api_keys.store(Some(Arc::new(keys)))).is_some()
    }

    /// Puts an allow-list of client certificates in force at the resource called `resource`, in the place of the one that
    /// it had; false if there is no such resource.
    pub fn replace_client_certificates(&self, resource: &str, list: ClientCertificates) -> bool {
        let protected = self.resources.get(resource);
        protected.inspect(|protected| protected.client_certificates.store(Some(Arc::new(list)))).is_some()
    }

    /// Replaces the nonce keys.
    pub fn replace_nonce_keys(&self, keys: MacKeyRing) {
        self.nonce_keys.store(Arc::new(keys));
    }

    /// The deny list in force.
    pub fn deny_list(&self) -> Option<Arc<DenyList>> {
        self.deny_list.load_full()
    }

    /// Puts a deny list in force; [`DenyList::verify`] says whether it may be.
    pub fn replace_deny_list(&self, list: DenyList) {
        self.deny_list.store(Some(Arc::new(list)));
    }

    /// Decides about `request` at the resource called `resource`.
    pub fn check(&self, resource: &str, request: &Request<'_>, now: Timestamp) -> Decision {
        self.traced_check(resource, request, now, &mut Untraced)
    }

    /// The same, told step by step to `trace`.
    pub(super) fn traced_check<T: Trace>(
        &self,
        resource: &str,
        request: &Request<'_>,
        now: Timestamp,
        trace: &mut T,
    ) -> Decision {
        let Some(protected) = self.resources.get(resource) else {
            return Decision::Refusal(Refusal::new(Reason::NoRoute));
        };
        let resource = &protected.resource;
        let mut spoken = Spoken::default();
        let (path, query) = split_query(request.path_and_query);
        let (route, ended) = match steps::caps(request, path) {
            Err(reason) => (None, Err(Stop::Refuse(reason))),
            Ok(()) => match protected.route(request.method, path) {
                Err(reason) => (None, Err(Stop::Refuse(reason))),
                Ok(route) => {
                    let context =
                        Context { edge: self, protected, resource, route, request, path, query, now };
                    (Some(route), context.decide(&mut spoken, trace))
                }
            },
        };
        let user_agent = request.fields.user_agent.as_str();
        let seen = Seen { resource: &protected.name, route, source: request.source, user_agent };
        let ended = ended.and_then(|permit| match self.passed(seen, &permit, now) {
            Ok(()) => Ok(permit),
            Err((reason, seconds)) => Err(Stop::Wait(reason, seconds)),
        });
        let (reason, wait) = match ended {
            Ok(permit) => return Decision::Permit(permit),
            Err(Stop::Needs(lookup)) => return Decision::Needs(lookup),
            Err(Stop::Ask(pending)) => return Decision::Pending(pending),
            Err(Stop::Refuse(reason)) => (reason, None),
            Err(Stop::Wait(reason, seconds)) => (reason, Some(seconds)),
        };
        self.refuse((reason, wait), &spoken, resource, seen, now)
    }

    /// The one place that every request comes by which is refused or observed for a reason, for so many seconds where
    /// that can be told.
    pub(super) fn refuse(
        &self,
        (reason, wait): (Reason, Option<u64>),
        spoken: &Spoken,
        resource: &Resource,
        seen: Seen<'_>,
        now: Timestamp,
    ) -> Decision {
        let instance = spoken.result.as_ref().map(|result| result.claims.instance);
        let mode = enforcement::mode(resource, seen.route, Caller { instance, source: seen.source });
        self.note_failure(seen.source, spoken, reason, mode, now);
        self.failed(seen, spoken, reason, mode, now);
        let refusal = self.refusal(reason, spoken, resource, seen.route, now);
        enforcement::decision(mode, Refusal { retry_after: wait.or(refusal.retry_after), ..refusal })
    }

    fn note_failure(
        &self,
        source: Option<IpAddr>,
        spoken: &Spoken,
        reason: Reason,
        mode: Mode,
        now: Timestamp,
    ) {
        // Where nothing is refused, nobody uses up what guards the other routes: apps that do not attest yet are
        // what such a route is for.
        if mode != Mode::Require {
            return;
        }
        if let Some(source) = source
            && reason.counts_against_source()
        {
            self.source_failures.spend(budget::key_of_source(source), now);
        }
        // A result is no secret: whoever caught one must not fail in the name of its instance.
        if let Some(result) = &spoken.result
            && spoken.is_proven
            && reason.counts_against_instance()
        {
            self.instance_failures.spend(budget::key_of_instance(&result.claims.instance), now);
        }
    }

    /// The decision about a request whose lookup the runtime could not make: our own trouble, so nothing passes but
    /// what its route only watches.
    pub fn lookup_failed(&self, resource: &str, request: &Request<'_>, now: Timestamp) -> Decision {
        self.unavailable(resource, request, Reason::KeysUnavailable, now)
    }

    /// As [`Self::lookup_failed`], for a lookup of another kind: `reason` says what could not be had.
    pub fn unavailable(
        &self,
        resource: &str,
        request: &Request<'_>,
        reason: Reason,
        now: Timestamp,
    ) -> Decision {
        let refusal = Refusal { retry_after: Some(5), ..Refusal::new(reason) };
        let (path, _) = split_query(request.path_and_query);
        let Some(protected) = self.resources.get(resource) else { return Decision::Refusal(refusal) };
        let fits = steps::caps(request, path).is_ok();
        let route = fits.then(|| protected.route(request.method, path).ok()).flatten();
        let caller = Caller { instance: None, source: request.source };
        let mode = enforcement::mode(&protected.resource, route, caller);
        let user_agent = request.fields.user_agent.as_str();
        let seen = Seen { resource, route, source: request.source, user_agent };
        self.failed(seen, &Spoken::default(), reason, mode, now);
        enforcement::decision(mode, refusal)
    }

    fn refusal(
        &self,
        reason: Reason,
        spoken: &Spoken,
        resource: &Resource,
        route: Option<&Route>,
        now: Timestamp,
    ) -> Refusal {
        let code = reason.code(spoken.proof);
        let needs_nonce = matches!(code, Code::UseAttestationChallenge | Code::UseDpopNonce);
        let is_of_attestation = matches!(code, Code::InvalidClientAttestation | Code::InvalidDpopProof)
            // The same request comes again, proven with the other key: one round trip for both wishes.
            || reason == Reason::AssuranceTooLow;
        let wants_nonce = needs_nonce
            || (is_of_attestation && route.is_some_and(|r| r.nonce != NoncePolicy::Off))
            // A wrong clock is cured by a nonce, also where none is asked for.
            || matches!(reason, Reason::ProofTime);
        let nonce = if wants_nonce { self.issue_nonce(resource, now).ok() } else { None };
        if needs_nonce && nonce.is_none() {
            return Refusal { retry_after: Some(1), ..Refusal::new(Reason::RandomnessUnavailable) };
        }
        Refusal {
            reason,
            scheme: spoken.scheme,
            proof: spoken.proof,
            nonce,
            retry_after: match code {
                Code::RateLimited => Some(budget::seconds_left(now)),
                Code::Unavailable => Some(5),
                _ => None,
            },
            scope: match code {
                Code::InsufficientScope => route.map(|route| route.scopes.join(" ")),
                _ => None,
            },
            step_up: match code {
                Code::InsufficientUserAuthentication => {
                    route.map(|route| route.step_up.clone()).unwrap_or_default()
                }
                _ => StepUp::default(),
            },
            credentials: match code {
                Code::NoCredential => route.map(|route| route.credentials.clone()).unwrap_or_default(),
                _ => Vec::new(),
            },
            metadata_url: resource.metadata_url.clone(),
        }
    }

    pub(super) fn issue_nonce(&self, resource: &Resource, now: Timestamp) -> Result<Challenge, Reason> {
        let random =
            self.randomness.fresh().map_err(|RandomnessUnavailable| Reason::RandomnessUnavailable)?;
        Ok(self.nonce_keys.load().issue(steps::nonce_scope(resource), now, &random))
    }
}
