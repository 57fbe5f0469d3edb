//! The order of the decision, cheap before dear. Each step stands at its number; the order is part of the contract:
//! it decides which reason a request with several faults is refused for.

use std::sync::Arc;

use countersign_core::challenge::Scope;
use countersign_core::request::{RequestError, TargetUri, check_method, check_path};
use countersign_core::time::Timestamp;
use countersign_core::token::result::ResultClaims;

use super::budget;
use super::decision::{Credential, Lookup, Permit};
use super::deny_list::SubjectDigest;
use super::edge::{Edge, Protected};
use super::limits::Draw;
use super::pending::{AnswerTo, Asked, Pending};
use super::presented::{Attestation, attestation, credential, has_credential};
use super::proof::Proof;
use super::refusal::{ProofKind, Reason, Scheme};
use super::replay::Replay;
use super::request::{Content, Request};
use super::result::{MAX_TOKEN, VerifiedResult};
use super::route::{NoncePolicy, Resource, Route, StepUp, TokenBinding};
use super::trace::{Step, Trace};
use super::trust::{IssuerKeys, KeyOwner};
use crate::credential::jwt::AccessToken;
use crate::crypto::sha256;

/// Clocks of service and edge may differ by this many seconds.
const CLOCK_SKEW: u64 = 60;
/// A proof without a nonce is at most this old, in seconds,
const PROOF_MAX_AGE: u64 = 60;
/// and at most this far ahead.
const PROOF_MAX_AHEAD: u64 = 10;
/// With a nonce, the nonce tells the time; the device's clock may be wrong by this much.
const PROOF_SKEW_WITH_NONCE: u64 = 600;
/// Life of a nonce, in seconds.
const NONCE_LIFETIME: u64 = 120;
/// Replay entries outlive every proof: nonce life, its clock allowance, and some.
pub(super) const REPLAY_WINDOW: u64 = 150;
/// SHA-256 of no bytes.
const EMPTY: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// How the request speaks, since its answer speaks the same way, and as whom.
#[derive(Clone, Default)]
pub(super) struct Spoken {
    pub(super) scheme: Scheme,
    pub(super) proof: ProofKind,
    /// From step 2 on: whether a credential came, good or not.
    pub(super) has_credential: bool,
    /// From step 5 on: whose result came. Others may have caught it.
    pub(super) result: Option<Arc<VerifiedResult>>,
    /// From step 10 on: the instance has signed this very request.
    pub(super) is_proven: bool,
}

/// How a check ended early.
pub(super) enum Stop {
    Refuse(Reason),
    /// As `Refuse`, for so many seconds.
    Wait(Reason, u64),
    Needs(Lookup),
    /// Nothing is left but the store that edges share.
    Ask(Box<Pending>),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Refuse(reason)
    }
}

/// Step 1: caps and shape of what every later step reads.
pub(super) fn caps(request: &Request<'_>, path: &str) -> Result<(), Reason> {
    if request.path_and_query.len() > countersign_core::request::MAX_URI {
        return Err(Reason::Request(RequestError::TooLong));
    }
    check_method(request.method).map_err(Reason::Request)?;
    check_path(path).map_err(Reason::Request)
}

pub(super) const fn nonce_scope(resource: &Resource) -> Scope<'_> {
    Scope::Nonce { resource: resource.identifier.as_str(), replay_domain: resource.replay_domain.as_str() }
}

/// One check under way.
pub(super) struct Context<'a> {
    pub(super) edge: &'a Edge,
    pub(super) protected: &'a Arc<Protected>,
    pub(super) resource: &'a Resource,
    pub(super) route: &'a Route,
    pub(super) request: &'a Request<'a>,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) now: Timestamp,
}

impl Context<'_> {
    /// Decides. What `trace` says of a step that failed, it says to somebody who asks for reasons: a request that one
    /// step refuses gets no permit, whatever the trace.
    pub(super) fn decide<T: Trace>(&self, spoken: &mut Spoken, trace: &mut T) -> Result<Permit, Stop> {
        let now = self.now;
        trace.enter(Step::Parse)?;
        // 2. Parse: one flavour, one credential, nothing twice, no token in the query.
        let fields = &self.request.fields;
        let credential = credential(fields, self.protected.takes_api_keys)?
            .map(|presented| presented.told_apart(self.protected.opaque_tokens.is_some()));
        if let Some(presented) = credential {
            spoken.scheme = presented.scheme();
        }
        if self.query.is_some_and(has_credential) {
            trace.refuse(Reason::TokenInQuery)?;
        }
        let certificate = self.well_formed_certificate()?;
        spoken.has_credential = credential.is_some() || certificate.is_some();
        let presented = attestation(fields)?;
        spoken.proof = presented.map_or(ProofKind::Compact, |presented| presented.kind());
        trace.enter(Step::FailureBudget)?;
        // 3. Failure budget of the source address. Whoever shares the address of an attacker and comes with a result
        // that is known here goes on.
        if let Some(source) = self.request.source
            && self.edge.source_failures.is_spent(budget::key_of_source(source), now)
            && presented.is_none_or(|presented| self.edge.results.find(presented.result()).is_none())
        {
            trace.refuse(Reason::FailureBudget)?;
        }
        trace.enter(Step::Presence)?;
        // 4. Presence.
        match credential {
            None if certificate.is_some() => {}
            None if !self.route.credentials.is_empty() => trace.refuse(Reason::NoCredential)?,
            // Where none is asked for, one that comes is checked, whatever its kind.
            Some(presented) if !self.route.takes(presented.kind()) => {
                trace.refuse(Reason::CredentialNotAccepted)?;
            }
            _ => {}
        }
        let presented = presented.ok_or(Reason::NoAttestation)?;
        if matches!(presented, Attestation::Pop { .. }) && !self.route.danger_unbound_pop {
            trace.refuse(Reason::ProofUnbound)?;
        }
        // The route's wish is no secret, and a client that hears it first comes back with what it takes.
        if self.route.assurance > presented.assurance() {
            trace.refuse(Reason::AssuranceTooLow)?;
        }
        trace.enter(Step::Result)?;
        // 5. Result: its signature once, its life every time.
        let result = self.result(presented)?;
        spoken.result = Some(Arc::clone(&result));
        let claims = &result.claims;
        if now >= claims.expires_at {
            trace.refuse(Reason::ResultExpired)?;
        }
        if claims.issued_at > now.plus(CLOCK_SKEW) {
            trace.refuse(Reason::ResultFromTheFuture)?;
        }
        trace.enter(Step::DenyList)?;
        // 6. Deny list.
        self.deny_list(&result).or_else(|reason| trace.refuse(reason))?;
        trace.enter(Step::Time)?;
        let mut buffer = [0; MAX_TOKEN];
        let proof = Proof::decode(presented, &result, &mut buffer)?;
        // 7. Time and 8. nonce. A nonce replaces the device's clock, so it is judged first.
        trace.enter(Step::Nonce)?;
        let nonce_issued = self.nonce(&proof).or_else(|reason| trace.refuse(reason).map(|()| Some(now)))?;
        trace.enter(Step::Time)?;
        self.time(&proof, claims, nonce_issued.is_some()).or_else(|reason| trace.refuse(reason))?;
        trace.enter(Step::ProofSignature)?;
        // 9. Proof signature.
        proof.verify(&result).or_else(|reason| trace.refuse(reason))?;
        trace.enter(Step::RequestBinding)?;
        // 10. Request binding.
        let ath = credential.map(|presented| sha256(presented.characters().as_bytes()));
        self.request_binding(&proof, ath, trace)?;
        spoken.is_proven = proof.covered().is_some();
        trace.enter(Step::App)?;
        // 11. The app must be one of the resource's, also where no token says whose client it is.
        let Some(clients) = self.resource.clients.get(&claims.client_id) else {
            return Err(Reason::AppNotAccepted.into());
        };
        trace.enter(Step::Credential)?;
        // 12. Credential and token binding.
        let credential = match (credential, ath) {
            (Some(presented), Some(ath)) => Some(self.credential(presented, ath, &result, clients)?),
            _ => certificate.map(|certificate| self.certificate_holder(certificate, claims)).transpose()?,
        };
        trace.enter(Step::RoutePolicy)?;
        // 13. Route policy.
        self.route_policy(claims, credential.as_ref(), trace)?;
        // A digest that the proof has is compared wherever the body can be had, also where none is asked for.
        let covers_body = self.route.content_required || proof.content().is_some();
        if self.request.content == Content::Deferred && covers_body {
            return Err(Stop::Needs(Lookup::Content));
        }
        trace.enter(Step::Replay)?;
        // 14. Replay: only what passed everything else is remembered, and only so much of one instance.
        let instance = budget::key_of_instance(&claims.instance);
        if self.edge.instance_requests.is_spent(instance, now) {
            return Err(Reason::InstanceBudget.into());
        }
        // A bearer token becomes the instance's own only by a request that may pass.
        let first_use = match (self.route.token_binding, &credential, ath) {
            (TokenBinding::FirstUse, Some(Credential::AccessToken(token)), Some(ath)) => {
                Some((ath, token.expires_at))
            }
            _ => None,
        };
        match (first_use, self.route.shared_store) {
            (Some((ath, end)), None) => self.edge.first_uses.claim(ath, claims.instance, end, now)?,
            // Only the store makes an owner: a thief who comes here first must not bar the owner that it knows.
            (Some((ath, _)), Some(_)) if self.edge.first_uses.is_of_another(&ath, claims.instance) => {
                return Err(Reason::TokenUsedElsewhere.into());
            }
            _ => {}
        }
        let identity = proof.identity(&result);
        match self.edge.replay.insert(identity, now) {
            Replay::Fresh => self.edge.instance_requests.spend(instance, now),
            Replay::Replayed => return Err(Reason::Replayed.into()),
            Replay::Full => return Err(Reason::ReplaySetFull.into()),
        }
        trace.enter(Step::RateLimits)?;
        // 15. Rate limits, which a shared store counts where there is one.
        let source = self.request.source;
        let draw = Draw { route: self.route, result: claims, credential: credential.as_ref(), source, now };
        let charges = match self.route.shared_store {
            Some(_) => self.edge.charges(draw).collect(),
            None => {
                self.edge.draw(draw)?;
                Vec::new()
            }
        };
        let offers = match (self.route.nonce, nonce_issued) {
            (NoncePolicy::Off, _) => false,
            (_, None) => true,
            // A nonce rides on success only past its half-life, so that it costs little.
            (_, Some(issued)) => now.seconds_since(issued) > NONCE_LIFETIME / 2,
        };
        let permit = Permit {
            content: proof.content(),
            environment: proof.environment(),
            proof: presented.kind(),
            nonce: if offers { self.edge.issue_nonce(self.resource, now).ok() } else { None },
            settled_alone: false,
            result,
            credential,
        };
        let Some(when_store_fails) = self.route.shared_store else { return Ok(permit) };
        let answer_to = AnswerTo {
            protected: Arc::clone(self.protected),
            route: self.resource.routes.iter().position(|route| std::ptr::eq(route, self.route)),
            spoken: spoken.clone(),
            source: self.request.source,
            user_agent: self.edge.heard_user_agent(self.request),
        };
        let asked = Asked { proof: identity, first_use, charges };
        Err(Stop::Ask(Box::new(Pending::new(asked, permit, when_store_fails, answer_to, now))))
    }

    /// A fetch of keys that are missing, if it is time for one.
    pub(super) fn needs<K>(&self, keys: &IssuerKeys<K>, owner: impl FnOnce() -> KeyOwner) -> Option<Stop> {
        keys.may_refresh(self.now).then(|| Stop::Needs(Lookup::Keys(owner())))
    }

    fn deny_list(&self, result: &VerifiedResult) -> Result<(), Reason> {
        let list = self.edge.deny_list.load();
        // A list speaks of its own issuer's instances alone.
        let Some(list) = list.as_deref().filter(|list| list.issuer == result.claims.issuer) else {
            return if self.edge.deny_list_required { Err(Reason::DenyListStale) } else { Ok(()) };
        };
        if list.instances.contains(&result.claims.instance) {
            return Err(Reason::InstanceDenied);
        }
        if list.key_ids.contains(&result.key_id) {
            return Err(Reason::KeyDenied);
        }
        if self.edge.deny_list_required && self.now >= list.expires_at {
            return Err(Reason::DenyListStale);
        }
        Ok(())
    }

    /// Whether the attestation service that vouches for the device has banned the user. Step 6 has seen to it that
    /// there is a list where one is required.
    pub(super) fn subject_deny_list(
        &self,
        subject: &SubjectDigest,
        result: &ResultClaims,
    ) -> Result<(), Reason> {
        let list = self.edge.deny_list.load();
        match list.as_deref() {
            Some(list) if list.issuer == result.issuer && list.subjects.contains(subject) => {
                Err(Reason::SubjectDenied)
            }
            _ => Ok(()),
        }
    }

    /// When the proof's nonce was issued; `None` without one.
    fn nonce(&self, proof: &Proof<'_>) -> Result<Option<Timestamp>, Reason> {
        let Some(nonce) = proof.nonce() else {
            return match self.route.nonce {
                NoncePolicy::Required => Err(Reason::NonceMissing),
                NoncePolicy::Off | NoncePolicy::Offered => Ok(None),
            };
        };
        let keys = self.edge.nonce_keys.load();
        let issued =
            nonce.and_then(|nonce| keys.verify(&nonce, nonce_scope(self.resource), NONCE_LIFETIME, self.now));
        issued.map(Some).map_err(Reason::Nonce)
    }

    fn time(&self, proof: &Proof<'_>, result: &ResultClaims, has_nonce: bool) -> Result<(), Reason> {
        let (age, ahead) = if has_nonce {
            (PROOF_SKEW_WITH_NONCE, PROOF_SKEW_WITH_NONCE)
        } else {
            (PROOF_MAX_AGE, PROOF_MAX_AHEAD)
        };
        if proof.issued_at().plus(age) < self.now || proof.issued_at() > self.now.plus(ahead) {
            return Err(Reason::ProofTime);
        }
        if proof.issued_at() < result.issued_at.minus(CLOCK_SKEW) || proof.issued_at() >= result.expires_at {
            return Err(Reason::ProofOutlivesResult);
        }
        Ok(())
    }

    fn request_binding<T: Trace>(
        &self,
        proof: &Proof<'_>,
        ath: Option<[u8; 32]>,
        trace: &mut T,
    ) -> Result<(), Reason> {
        if proof.audience().is_some_and(|audience| audience != self.resource.identifier) {
            trace.refuse(Reason::ProofAudience)?;
        }
        // Only `danger_unbound_pop` lets a proof come this far that covers nothing.
        let Some(covered) = proof.covered() else { return Ok(()) };
        if covered.method != self.request.method {
            trace.refuse(Reason::ProofMethod)?;
        }
        let target = TargetUri::parse(covered.target);
        let is_here =
            |target: TargetUri<'_>| target.query.is_none() && target.is_at(&self.resource.origin, self.path);
        if !target.is_ok_and(is_here) {
            trace.refuse(Reason::ProofTarget)?;
        }
        let is_left_out = covered.query.is_none() && matches!(proof, Proof::Dpop(_));
        let may_be_left_out = is_left_out && self.route.danger_unbound_query;
        if covered.query != self.query.map(|query| sha256(query.as_bytes())) && !may_be_left_out {
            trace.refuse(Reason::ProofQuery)?;
        }
        let required = self.route.content_required;
        match (self.request.content, proof.content()) {
            (Content::Hash(seen), Some(proven)) if seen == proven => {}
            // An empty body leaves nothing to cover.
            (Content::Hash(EMPTY), None) => {}
            // Step 13 asks for the body.
            (Content::Deferred, Some(_)) => {}
            (Content::Unseen | Content::Deferred | Content::TooLarge, _) if !required => {}
            (Content::Hash(_), None) if !required => {}
            (Content::TooLarge, _) => trace.refuse(Reason::ContentTooLarge)?,
            _ => trace.refuse(Reason::ProofContent)?,
        }
        if covered.ath != ath {
            trace.refuse(Reason::ProofCredential)?;
        }
        Ok(())
    }

    fn route_policy<T: Trace>(
        &self,
        result: &ResultClaims,
        credential: Option<&Credential>,
        trace: &mut T,
    ) -> Result<(), Reason> {
        let route = self.route;
        if result.tier < route.tier {
            trace.refuse(Reason::TierTooLow)?;
        }
        if !route.protection.is_empty() && !route.protection.contains(&result.protection) {
            trace.refuse(Reason::ProtectionTooLow)?;
        }
        let age = self.now.seconds_since(result.evidence_time);
        if route.max_evidence_age.is_some_and(|oldest| age > oldest) {
            trace.refuse(Reason::EvidenceTooOld)?;
        }
        let granted = credential.map(Credential::scopes).unwrap_or_default();
        if !route.scopes.iter().all(|scope| granted.contains(scope)) {
            trace.refuse(Reason::ScopeMissing)?;
        }
        match credential {
            _ if route.step_up.is_none() => Ok(()),
            Some(Credential::AccessToken(token)) => {
                self.step_up(token).or_else(|reason| trace.refuse(reason))
            }
            _ => trace.refuse(Reason::AuthenticationTooWeak),
        }
    }

    /// RFC 9470 section 3. A token that does not tell has not been said to be good enough.
    fn step_up(&self, token: &AccessToken) -> Result<(), Reason> {
        let StepUp { acr_values, max_age } = &self.route.step_up;
        let acr = token.acr.as_ref();
        if !acr_values.is_empty() && !acr.is_some_and(|acr| acr_values.contains(acr)) {
            return Err(Reason::AuthenticationTooWeak);
        }
        if let Some(most) = *max_age {
            let is_recent =
                |time: Timestamp| time <= self.now.plus(CLOCK_SKEW) && self.now.seconds_since(time) <= most;
            if !token.auth_time.is_some_and(is_recent) {
                return Err(Reason::AuthenticationTooOld);
            }
        }
        Ok(())
    }
}
