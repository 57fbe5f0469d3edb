//! The order of the decision, cheap before dear. Each step stands at its number; the order is part of the contract:
//! it decides which reason a request with several faults is refused for.

use std::sync::Arc;

use countersign_core::challenge::{Challenge, Scope};
use countersign_core::encoding::{from_base64url, from_base64url_into};
use countersign_core::request::{RequestError, TargetUri, check_method, check_path, decoded};
use countersign_core::time::Timestamp;
use countersign_core::token::MAX_COMPACT_FIELD;
use countersign_core::token::cose::SIG_STRUCTURE_OVERHEAD;
use countersign_core::token::proof::{DecodedProof, ProofClaims};
use countersign_core::token::result::{DecodedResult, ResultClaims};

use super::budget;
use super::decision::{Lookup, Permit};
use super::deny_list::SubjectDigest;
use super::edge::Edge;
use super::refusal::{Reason, Scheme};
use super::replay::Replay;
use super::request::{Content, Field, Fields, Request};
use super::route::{NoncePolicy, OAuthClient, Resource, Route, TokenBinding};
use super::trust::{IssuerKeys, KeyOwner};
use crate::credential::jwks::Jwks;
use crate::credential::jwt::{AccessToken, AccessTokenError, UnverifiedAccessToken};
use crate::crypto::{VerifyingKey, sha256, sha256_of};

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
/// Longest compact token, in bytes.
const MAX_TOKEN: usize = MAX_COMPACT_FIELD / 4 * 3;
/// SHA-256 of no bytes.
const EMPTY: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];
/// Longest `Authorization` value.
const MAX_AUTHORIZATION: usize = 8192 + 8;
/// A result whose signature has been verified.
pub(super) struct VerifiedResult {
    pub(super) claims: ResultClaims,
    /// SHA-256 of its COSE bytes.
    pub(super) digest: [u8; 32],
    /// The session key, parsed.
    pub(super) key: VerifyingKey,
    pub(super) key_id: Vec<u8>,
    /// Edition of the service's keys that verified it.
    pub(super) edition: u64,
}

impl std::fmt::Debug for VerifiedResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("VerifiedResult").field(&self.claims.instance).finish()
    }
}

/// An access token whose signature has been verified.
pub(super) struct CachedToken {
    pub(super) token: Arc<AccessToken>,
    /// Its user, as deny lists name him.
    pub(super) subject: SubjectDigest,
    /// Edition of the authorization server's keys that verified it.
    pub(super) edition: u64,
}

/// How a check ended early.
pub(super) enum Stop {
    Refuse(Reason),
    Needs(Lookup),
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
    pub(super) number: u32,
    pub(super) resource: &'a Resource,
    pub(super) route: &'a Route,
    pub(super) request: &'a Request<'a>,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) now: Timestamp,
}

impl Context<'_> {
    pub(super) fn decide(&self, scheme: &mut Scheme) -> Result<Permit, Stop> {
        let now = self.now;
        // 2. Parse: one flavour, one credential, nothing twice, no token in the query.
        let fields = &self.request.fields;
        let credential = credential(&fields.authorization)?;
        if let Some((presented, _)) = credential {
            *scheme = presented;
        }
        if self.query.is_some_and(has_access_token) {
            return Err(Reason::TokenInQuery.into());
        }
        let flavour = compact_fields(fields)?;
        // 3. Failure budget of the source address. Whoever shares the address of an attacker and comes with a result
        // that is known here goes on.
        if let Some(source) = self.request.source
            && self.edge.source_failures.is_spent(budget::key_of_source(source), now)
            && flavour.is_none_or(|(result, _)| self.edge.results.find(result).is_none())
        {
            return Err(Reason::FailureBudget.into());
        }
        // 4. Presence.
        if credential.is_none() && self.route.credential_required {
            return Err(Reason::NoCredential.into());
        }
        let (result, proof) = flavour.ok_or(Reason::NoAttestation)?;
        // 5. Result: its signature once, its life every time.
        let result = self.result(result)?;
        let claims = &result.claims;
        if now >= claims.expires_at {
            return Err(Reason::ResultExpired.into());
        }
        if claims.issued_at > now.plus(CLOCK_SKEW) {
            return Err(Reason::ResultFromTheFuture.into());
        }
        // 6. Deny list.
        self.deny_list(&result)?;
        let mut buffer = [0; MAX_TOKEN];
        let bytes = from_base64url_into(proof.as_bytes(), &mut buffer).map_err(|_| Reason::FieldMalformed)?;
        let proof = DecodedProof::decode(bytes).map_err(Reason::ProofEncoding)?;
        if proof.claims.result != result.digest {
            return Err(Reason::ProofOfAnotherResult.into());
        }
        // 7. Time and 8. nonce. A nonce replaces the device's clock, so it is judged first.
        let nonce_issued = self.nonce(&proof.claims)?;
        self.time(&proof.claims, claims, nonce_issued.is_some())?;
        // 9. Proof signature.
        let mut message = [0; MAX_TOKEN + SIG_STRUCTURE_OVERHEAD];
        let message = proof.message.to_be_signed(&mut message).ok_or(Reason::FieldMalformed)?;
        result.key.verify(message, proof.message.signature()).map_err(|_| Reason::ProofSignature)?;
        // 10. Request binding.
        let ath = credential.map(|(_, token)| sha256(token.as_bytes()));
        self.request_binding(&proof.claims, ath)?;
        // 11. The app must be one of the resource's, also where no token says whose client it is.
        let Some(clients) = self.resource.clients.get(&claims.client_id) else {
            return Err(Reason::AppNotAccepted.into());
        };
        // 12. Credential and token binding.
        let access_token = match (credential, ath) {
            (Some((scheme, token)), Some(ath)) => {
                let verified = self.access_token(token, ath)?;
                self.subject_deny_list(&verified.subject, claims)?;
                self.token_binding(&verified.token, scheme, ath, claims, clients)?;
                Some(Arc::clone(&verified.token))
            }
            _ => None,
        };
        // 13. Route policy.
        self.route_policy(claims, access_token.as_deref())?;
        // A digest that the proof has is compared wherever the body can be had, also where none is asked for.
        let covers_body = self.route.content_required || proof.claims.content.is_some();
        if self.request.content == Content::Deferred && covers_body {
            return Err(Stop::Needs(Lookup::Content));
        }
        // 14. Replay: only what passed everything else is remembered, and only so much of one instance.
        let instance = budget::key_of_instance(&claims.instance);
        if self.edge.instance_requests.is_spent(instance, now) {
            return Err(Reason::InstanceBudget.into());
        }
        let key = sha256_of(&[&result.digest, proof.claims.token_id]);
        let mut replay_key = [0; 16];
        replay_key.copy_from_slice(&key[..16]);
        match self.edge.replay.insert(replay_key, now) {
            Replay::Fresh => self.edge.instance_requests.spend(instance, now),
            Replay::Replayed => return Err(Reason::Replayed.into()),
            Replay::Full => return Err(Reason::ReplaySetFull.into()),
        }
        let offers = match (self.route.nonce, nonce_issued) {
            (NoncePolicy::Off, _) => false,
            (_, None) => true,
            // A nonce rides on success only past its half-life, so that it costs little.
            (_, Some(issued)) => now.seconds_since(issued) > NONCE_LIFETIME / 2,
        };
        Ok(Permit {
            content: proof.claims.content,
            environment: proof.claims.environment,
            nonce: if offers { self.edge.issue_nonce(self.resource, now).ok() } else { None },
            result,
            access_token,
        })
    }

    fn result(&self, field: &str) -> Result<Arc<VerifiedResult>, Stop> {
        if let Some(result) = self.edge.results.find(field) {
            let service = self.edge.service(&result.claims.issuer);
            if service.is_some_and(|service| service.current().edition == result.edition) {
                return Ok(result);
            }
        }
        let bytes = from_base64url(field).map_err(|_| Reason::FieldMalformed)?;
        let DecodedResult { message, claims } =
            DecodedResult::decode(&bytes).map_err(Reason::ResultEncoding)?;
        let service = self.edge.service(&claims.issuer).ok_or(Reason::ResultUnknownIssuer)?;
        let key_id = message.header().key_id.unwrap_or_default();
        let needs = || self.needs(service, || KeyOwner::AttestationService(service.issuer.clone()));
        let current = service.current();
        let Some(keys) = &current.keys else {
            return Err(needs().unwrap_or(Reason::KeysUnavailable.into()));
        };
        let Some(key) = keys.get(key_id) else {
            return Err(needs().unwrap_or(Reason::ResultUnknownKey.into()));
        };
        let mut buffer = [0; MAX_TOKEN + SIG_STRUCTURE_OVERHEAD];
        let signed = message.to_be_signed(&mut buffer).ok_or(Reason::FieldMalformed)?;
        key.verify(signed, message.signature()).map_err(|_| Reason::ResultSignature)?;
        let result = Arc::new(VerifiedResult {
            digest: sha256(&bytes),
            key: VerifyingKey::new(claims.confirmation),
            key_id: key_id.to_vec(),
            edition: current.edition,
            claims,
        });
        self.edge.results.insert(field.into(), Arc::clone(&result));
        Ok(result)
    }

    /// A fetch of keys that are missing, if it is time for one.
    fn needs<K>(&self, keys: &IssuerKeys<K>, owner: impl FnOnce() -> KeyOwner) -> Option<Stop> {
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
    fn subject_deny_list(&self, subject: &SubjectDigest, result: &ResultClaims) -> Result<(), Reason> {
        let list = self.edge.deny_list.load();
        match list.as_deref() {
            Some(list) if list.issuer == result.issuer && list.subjects.contains(subject) => {
                Err(Reason::SubjectDenied)
            }
            _ => Ok(()),
        }
    }

    /// When the proof's nonce was issued; `None` without one.
    fn nonce(&self, proof: &ProofClaims<'_>) -> Result<Option<Timestamp>, Reason> {
        let Some(bytes) = proof.nonce else {
            return match self.route.nonce {
                NoncePolicy::Required => Err(Reason::NonceMissing),
                NoncePolicy::Off | NoncePolicy::Offered => Ok(None),
            };
        };
        let nonce = Challenge::from_bytes(bytes).map_err(Reason::Nonce)?;
        let keys = self.edge.nonce_keys.load();
        let issued = keys.verify(&nonce, nonce_scope(self.resource), NONCE_LIFETIME, self.now);
        issued.map(Some).map_err(Reason::Nonce)
    }

    fn time(&self, proof: &ProofClaims<'_>, result: &ResultClaims, has_nonce: bool) -> Result<(), Reason> {
        let (age, ahead) = if has_nonce {
            (PROOF_SKEW_WITH_NONCE, PROOF_SKEW_WITH_NONCE)
        } else {
            (PROOF_MAX_AGE, PROOF_MAX_AHEAD)
        };
        if proof.issued_at.plus(age) < self.now || proof.issued_at > self.now.plus(ahead) {
            return Err(Reason::ProofTime);
        }
        if proof.issued_at < result.issued_at.minus(CLOCK_SKEW) || proof.issued_at >= result.expires_at {
            return Err(Reason::ProofOutlivesResult);
        }
        Ok(())
    }

    fn request_binding(&self, proof: &ProofClaims<'_>, ath: Option<[u8; 32]>) -> Result<(), Reason> {
        if proof.audience != self.resource.identifier {
            return Err(Reason::ProofAudience);
        }
        if proof.method != self.request.method {
            return Err(Reason::ProofMethod);
        }
        let target = TargetUri::parse(proof.target).map_err(|_| Reason::ProofTarget)?;
        if target.query.is_some() || !target.is_at(&self.resource.origin, self.path) {
            return Err(Reason::ProofTarget);
        }
        if proof.query != self.query.map(|query| sha256(query.as_bytes())) {
            return Err(Reason::ProofQuery);
        }
        let required = self.route.content_required;
        match (self.request.content, proof.content) {
            (Content::Hash(seen), Some(proven)) if seen == proven => {}
            // An empty body leaves nothing to cover.
            (Content::Hash(EMPTY), None) => {}
            // Step 13 asks for the body.
            (Content::Deferred, Some(_)) => {}
            (Content::Unseen | Content::Deferred | Content::TooLarge, _) if !required => {}
            (Content::Hash(_), None) if !required => {}
            (Content::TooLarge, _) => return Err(Reason::ContentTooLarge),
            _ => return Err(Reason::ProofContent),
        }
        if proof.ath != ath {
            return Err(Reason::ProofCredential);
        }
        Ok(())
    }

    fn access_token(&self, token: &str, ath: [u8; 32]) -> Result<Arc<CachedToken>, Stop> {
        let cached = self.edge.access_tokens.find(&(ath, self.number)).filter(|cached| {
            let server = self.edge.authorization_server(&cached.token.issuer);
            server.is_some_and(|server| server.current().edition == cached.edition)
        });
        let verified = match cached {
            Some(cached) => cached,
            None => self.verify_access_token(token, ath)?,
        };
        if !verified.token.is_current(self.now) {
            return Err(Reason::AccessTokenTime.into());
        }
        Ok(verified)
    }

    fn verify_access_token(&self, token: &str, ath: [u8; 32]) -> Result<Arc<CachedToken>, Stop> {
        let token = UnverifiedAccessToken::decode(token).map_err(Reason::AccessToken)?;
        let accepted = |server: &&IssuerKeys<Jwks>| {
            server.issuer == token.issuer() && self.resource.authorization_servers.contains(&server.issuer)
        };
        let server = self.edge.servers.iter().find(accepted);
        let server = server.ok_or(Reason::AccessToken(AccessTokenError::UnknownIssuer))?;
        let needs = || self.needs(server, || KeyOwner::AuthorizationServer(server.issuer.clone()));
        let current = server.current();
        let Some(jwks) = &current.keys else {
            return Err(needs().unwrap_or(Reason::KeysUnavailable.into()));
        };
        let token = match token.verify(&server.issuer, jwks, &self.resource.identifier) {
            Ok(token) => Arc::new(token),
            Err(AccessTokenError::UnknownKey) => {
                let unknown = Reason::AccessToken(AccessTokenError::UnknownKey);
                return Err(needs().unwrap_or(unknown.into()));
            }
            Err(error) => return Err(Reason::AccessToken(error).into()),
        };
        let subject = SubjectDigest::of(&token.issuer, &token.subject);
        let verified = Arc::new(CachedToken { token, subject, edition: current.edition });
        self.edge.access_tokens.insert((ath, self.number), Arc::clone(&verified));
        Ok(verified)
    }

    fn token_binding(
        &self,
        token: &AccessToken,
        scheme: Scheme,
        ath: [u8; 32],
        result: &ResultClaims,
        clients: &[OAuthClient],
    ) -> Result<(), Reason> {
        // RFC 9449 section 7.2: a bound token never passes as a bearer token. The other way round, `DPoP` with an
        // unbound token claims a protection that is not there.
        if token.confirmation.jkt.is_some() != (scheme == Scheme::Dpop) {
            return Err(Reason::SchemeMismatch);
        }
        let is_ours =
            |client: &OAuthClient| client.issuer == token.issuer && client.client_id == token.client_id;
        if !clients.iter().any(is_ours) {
            return Err(Reason::ClientMismatch);
        }
        // Every member of `cnf` must hold, whatever the route's mode.
        if token.confirmation.jkt.is_some_and(|jkt| jkt != result.instance_jkt) {
            return Err(Reason::TokenOfAnotherInstance);
        }
        if token.confirmation.certificate.is_some() {
            return Err(Reason::CertificateMissing);
        }
        match self.route.token_binding {
            TokenBinding::Instance if token.confirmation.jkt.is_none() => Err(Reason::TokenUnbound),
            TokenBinding::Instance | TokenBinding::DangerClientOnly => Ok(()),
            TokenBinding::FirstUse => {
                self.edge.first_uses.claim(ath, result.instance, token.expires_at, self.now)
            }
        }
    }

    fn route_policy(&self, result: &ResultClaims, token: Option<&AccessToken>) -> Result<(), Reason> {
        let route = self.route;
        if result.tier < route.tier {
            return Err(Reason::TierTooLow);
        }
        if !route.protection.is_empty() && !route.protection.contains(&result.protection) {
            return Err(Reason::ProtectionTooLow);
        }
        let age = self.now.seconds_since(result.evidence_time);
        if route.max_evidence_age.is_some_and(|oldest| age > oldest) {
            return Err(Reason::EvidenceTooOld);
        }
        let granted = token.map(|token| token.scopes.as_slice()).unwrap_or_default();
        if !route.scopes.iter().all(|scope| granted.contains(scope)) {
            return Err(Reason::ScopeMissing);
        }
        Ok(())
    }
}

/// The presented access token and its scheme.
fn credential<'a>(authorization: &Field<'a>) -> Result<Option<(Scheme, &'a str)>, Reason> {
    let value = match authorization {
        Field::Absent => return Ok(None),
        Field::Malformed => return Err(Reason::AuthorizationMalformed),
        Field::One(value) => value.expose(),
    };
    if value.len() > MAX_AUTHORIZATION {
        return Err(Reason::AuthorizationMalformed);
    }
    let (name, token) = value.split_once(' ').ok_or(Reason::AuthorizationMalformed)?;
    let scheme = if name.eq_ignore_ascii_case("bearer") {
        Scheme::Bearer
    } else if name.eq_ignore_ascii_case("dpop") {
        Scheme::Dpop
    } else if name.eq_ignore_ascii_case("basic") {
        return Err(Reason::BasicRefused);
    } else {
        return Err(Reason::AuthorizationMalformed);
    };
    // token68 (RFC 9110 section 11.2), nothing before, between or after.
    let is_token68 = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(is_token68) {
        return Err(Reason::AuthorizationMalformed);
    }
    Ok(Some((scheme, token)))
}

/// Result and proof of the compact flavour; `None` if neither came.
fn compact_fields<'a>(fields: &Fields<'a>) -> Result<Option<(&'a str, &'a str)>, Reason> {
    let compact = [fields.attestation_result, fields.attestation_proof];
    let oauth = [fields.client_attestation, fields.client_attestation_pop, fields.dpop];
    let malformed = |field: &Field<'_>| match field {
        Field::Malformed => true,
        Field::One(value) => value.expose().len() > MAX_COMPACT_FIELD,
        Field::Absent => false,
    };
    if compact.iter().any(malformed) || oauth.contains(&Field::Malformed) {
        return Err(Reason::FieldMalformed);
    }
    let has_compact = !compact.iter().all(Field::is_absent);
    let has_oauth = !oauth.iter().all(Field::is_absent);
    match (has_compact, has_oauth) {
        (true, true) => return Err(Reason::TwoFlavours),
        (false, true) => return Err(Reason::FlavourNotAccepted),
        (_, false) => {}
    }
    match compact {
        [Field::One(result), Field::One(proof)] => Ok(Some((result.expose(), proof.expose()))),
        _ => Ok(None),
    }
}

/// Whether a query carries a token (RFC 6750 section 2.3, which RFC 9700 forbids).
fn has_access_token(query: &str) -> bool {
    query.split(['&', ';']).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        decoded(name).eq(*b"access_token")
    })
}
