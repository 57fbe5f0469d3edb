//! What a step found, in a sentence: which key, which times, what was expected and what came. Never a token or a key
//! itself.

use countersign_core::encoding::base64url;
use countersign_core::request::{sha256, split_query};
use countersign_core::time::Timestamp;
use countersign_verifier::check::decision::Lookup;
use countersign_verifier::check::trust::KeyOwner;
use countersign_verifier::check::{Mode, Reason, Resource, Route, Step};

use super::presented::{ClaimedCredential, ClaimedProof, ClaimedResult, Presented};
use crate::commands::inspect::capture::{Body, Captured};
use crate::commands::inspect::explanation::{distance, rfc3339};

/// All that a sentence may be about.
pub(super) struct Scene<'a> {
    pub(super) request: &'a Captured,
    pub(super) presented: &'a Presented,
    pub(super) resource: &'a Resource,
    pub(super) route: Option<&'a Route>,
    pub(super) now: Timestamp,
    /// Whether the registry's bans were looked at.
    pub(super) knows_bans: bool,
}

/// The first characters of a hash: enough to compare, too few to be used.
pub(super) fn short(hash: &[u8]) -> String {
    let text = base64url(hash);
    format!("{}…", text.get(..8).unwrap_or(&text))
}

/// `42 s ago`, `in 580 s`, and far times in larger units.
pub(super) fn when(time: Timestamp, now: Timestamp) -> String {
    let written = rfc3339(time).unwrap_or_else(|| time.as_unix_seconds().to_string());
    let (ago, ahead) = (now.seconds_since(time), time.seconds_since(now));
    let relative = match (ago, ahead) {
        (0, 0) => "now".to_owned(),
        (1..=900, _) => format!("{ago} s ago"),
        (_, 1..=900) => format!("in {ahead} s"),
        _ => distance(time, now),
    };
    format!("{relative} ({written})")
}

impl Scene<'_> {
    /// What stands behind a step that passed.
    pub(super) fn passed(&self, step: Step) -> String {
        let Presented { result, proof, credential, .. } = self.presented;
        let (result, proof, credential) = (result.as_ref(), proof.as_ref(), credential.as_ref());
        match step {
            Step::Request => self.route.map_or_else(String::new, |route| {
                let mode = match route.mode {
                    Mode::Observe => ", which only observes",
                    Mode::Warn => ", which only warns",
                    Mode::Require if route.percentage < 100 => ", enforced for a part of the instances",
                    Mode::Require => "",
                };
                format!("{} {} is of route {}{mode}", self.request.method, self.path(), route.path)
            }),
            Step::Parse => {
                let proof = proof.map_or("no proof that can be read", |proof| proof.kind);
                let credential = credential.map_or("no credential", |credential| credential.scheme.as_str());
                format!("proof: {proof}; credential: {credential}")
            }
            Step::FailureBudget => "a capture does not tell what else came from the address".to_owned(),
            Step::Presence => "the route's credential and assurance are there".to_owned(),
            Step::Result => result.map_or_else(String::new, |result| {
                format!(
                    "key {} of {}; issued {}, expires {}",
                    result.key_id,
                    result.claims.issuer,
                    when(result.claims.issued_at, self.now),
                    when(result.claims.expires_at, self.now)
                )
            }),
            Step::DenyList if self.knows_bans => "instance and key are not banned in the registry".to_owned(),
            Step::DenyList => "not looked at: the registry of the service is not here".to_owned(),
            Step::Time => {
                proof.map_or_else(String::new, |proof| format!("made {}", when(proof.issued_at, self.now)))
            }
            Step::Nonce => match proof.and_then(|proof| proof.nonce.as_ref()) {
                Some(nonce) => format!("given out {}", when(nonce.issued_at(), self.now)),
                None => "none came, and the route does not require one".to_owned(),
            },
            Step::ProofSignature => result.map_or_else(String::new, |result| {
                let jkt = result.claims.confirmation.thumbprint();
                format!("by the key that the result names, jkt {}", short(jkt.as_bytes()))
            }),
            Step::RequestBinding => self.bound(),
            Step::App => result.map_or_else(String::new, |result| {
                format!("{} may call {}", result.claims.client_id, self.resource.identifier)
            }),
            Step::Credential => {
                credential.map_or_else(|| "none is asked for".to_owned(), |it| self.credential(it))
            }
            Step::RoutePolicy => result.map_or_else(String::new, |result| {
                format!(
                    "tier {:?}, key in {:?}, evidence {}",
                    result.claims.tier,
                    result.claims.protection,
                    when(result.claims.evidence_time, self.now)
                )
            }),
            Step::Replay => {
                "its first use in this capture; what an edge has seen before is not known here".to_owned()
            }
            Step::RateLimits if self.route.is_some_and(|route| route.limits.is_empty()) => "none".to_owned(),
            Step::RateLimits => {
                "not used up by this capture; what else was called is not known here".to_owned()
            }
        }
    }

    /// What was expected, and what came.
    pub(super) fn refused(&self, reason: Reason) -> String {
        let Presented { result, proof, credential, .. } = self.presented;
        let found = match (reason, result, proof, credential) {
            (Reason::NoRoute, ..) => {
                let paths: Vec<_> = self.resource.routes.iter().map(|route| route.path.as_str()).collect();
                format!(
                    "no route of the resource speaks of {} {}; there are {}",
                    self.request.method,
                    self.path(),
                    paths.join(", ")
                )
            }
            (
                Reason::FieldMalformed
                | Reason::ResultEncoding(_)
                | Reason::ClientAttestation(_)
                | Reason::ProofEncoding(_)
                | Reason::Dpop(_)
                | Reason::ClientAttestationPop(_),
                ..,
            ) => self.malformed_fields(),
            (Reason::AuthorizationMalformed, ..) if self.request.values("authorization").nth(1).is_some() => {
                "two Authorization lines; one may come".to_owned()
            }
            (Reason::AuthorizationMalformed, ..) => {
                "Authorization is not `Bearer` or `DPoP`, one space and a token".to_owned()
            }
            (Reason::NoCredential, ..) => self.route.map_or_else(String::new, |route| {
                format!("route {} asks for one of {:?}, and none came", route.path, route.credentials)
            }),
            (Reason::CredentialNotAccepted, .., Some(credential)) => {
                self.route.map_or_else(String::new, |route| {
                    format!("{} came; the route takes {:?}", credential.scheme, route.credentials)
                })
            }
            (Reason::NoAttestation, ..) => self.missing_attestation(),
            (Reason::AssuranceTooLow, ..) => {
                "the route wants the instance key itself (OAuth flavour); the session key has signed"
                    .to_owned()
            }
            (Reason::ResultUnknownIssuer, Some(result), ..) => {
                format!("its issuer is {}, which this edge does not trust", result.claims.issuer)
            }
            (Reason::ResultUnknownKey, Some(result), ..) => {
                format!("{} has no key {} in the set that is here", result.claims.issuer, result.key_id)
            }
            (Reason::ResultSignature, Some(result), ..) => {
                format!("key {} of {} did not sign it", result.key_id, result.claims.issuer)
            }
            (Reason::ResultExpired, Some(result), ..) => {
                format!("it expired {}", when(result.claims.expires_at, self.now))
            }
            (Reason::ResultFromTheFuture, Some(result), ..) => {
                format!(
                    "it was issued {}; 60 s are allowed for clocks",
                    when(result.claims.issued_at, self.now)
                )
            }
            (Reason::InstanceDenied, Some(result), ..) => {
                format!("instance {} is banned or withdrawn", result.claims.instance.to_base64url())
            }
            (Reason::ProofOfAnotherResult, result, Some(proof), _) => other_result(proof, result.as_ref()),
            (Reason::ProofTime, _, Some(proof), _) => {
                let window = match proof.nonce {
                    Some(_) => "with a nonce 600 s either way",
                    None => "without a nonce from 60 s ago to 10 s ahead",
                };
                format!("it was made {}; allowed is {window}", when(proof.issued_at, self.now))
            }
            (Reason::ProofOutlivesResult, Some(result), Some(proof), _) => format!(
                "it was made {}, and its result lives from {} to {}",
                when(proof.issued_at, self.now),
                when(result.claims.issued_at, self.now),
                when(result.claims.expires_at, self.now)
            ),
            (Reason::NonceMissing, ..) => "the route requires one, and the proof has none".to_owned(),
            (Reason::Nonce(_), _, Some(proof), _) => match &proof.nonce {
                Some(nonce) => format!(
                    "it says that it was given out {}; it lives 120 s and serves the resource that gave it out",
                    when(nonce.issued_at(), self.now)
                ),
                None => "it is none of an edge".to_owned(),
            },
            (Reason::ProofSignature, Some(result), ..) => format!(
                "the key that the result names (jkt {}) did not sign it",
                short(result.claims.confirmation.thumbprint().as_bytes())
            ),
            (Reason::ProofAudience, _, Some(proof), _) => expected(
                "it is for",
                proof.audience.as_deref().unwrap_or("nobody"),
                "the resource is",
                &self.resource.identifier,
            ),
            (Reason::ProofMethod, _, Some(ClaimedProof { request: Some((method, _)), .. }), _) => {
                expected("it covers", method, "the request is", &self.request.method)
            }
            (Reason::ProofTarget, _, Some(ClaimedProof { request: Some((_, target)), .. }), _) => {
                let here = format!("{}{}", origin(self.resource), self.path());
                expected("it covers", target, "the request is for", &here)
            }
            (Reason::ProofQuery, _, Some(proof), _) => {
                let query = split_query(&self.request.target).1.map(|query| sha256(query.as_bytes()));
                hashes("a query", proof.query, query)
            }
            (Reason::ProofContent, _, Some(proof), _) => {
                let body = match &self.request.body {
                    Body::Whole(body) => Some(sha256(body)),
                    Body::NotShown => None,
                };
                hashes("a body", proof.content, body)
            }
            (Reason::ProofCredential, _, Some(proof), credential) => {
                hashes("a credential", proof.ath, credential.as_ref().map(|credential| credential.digest))
            }
            (Reason::AppNotAccepted, Some(result), ..) => {
                let mut apps: Vec<_> = self.resource.clients.keys().map(String::as_str).collect();
                apps.sort_unstable();
                let app = &result.claims.client_id;
                format!("the app is {app}; this resource is for {}", apps.join(", "))
            }
            (reason, result, _, Some(credential)) => {
                self.refused_credential(reason, result.as_ref(), credential)
            }
            _ => String::new(),
        };
        if found.is_empty() { what_it_means(reason).to_owned() } else { found }
    }

    /// What is lacking, and how it can be had.
    pub(super) fn needs(&self, lookup: &Lookup) -> String {
        match lookup {
            Lookup::Keys(KeyOwner::AttestationService(issuer) | KeyOwner::AuthorizationServer(issuer)) => {
                format!(
                    "the keys of {issuer}, or this one of them, are not here: --jwks-of {issuer}=FILE, or --fetch"
                )
            }
            Lookup::Introspection(_) => {
                "an opaque token: its authorization server would have to be asked about it".to_owned()
            }
            Lookup::Content => match self.presented.proof.as_ref().and_then(|proof| proof.content) {
                Some(hash) => {
                    format!("all else passes; the body would have to be one of SHA-256 {}", short(&hash))
                }
                None => {
                    "all else passes; the route wants the body, which the capture does not show".to_owned()
                }
            },
        }
    }

    fn refused_credential(
        &self,
        reason: Reason,
        result: Option<&ClaimedResult>,
        credential: &ClaimedCredential,
    ) -> String {
        let instance =
            || result.map(|result| short(result.claims.instance_jkt.as_bytes())).unwrap_or_default();
        match reason {
            Reason::AccessToken(error) => {
                let issuer = credential.text("iss").unwrap_or("nobody that can be read");
                let servers = self.resource.authorization_servers.join(", ");
                format!(
                    "{}: it is of {issuer} for {}; the resource is {} and takes tokens of {servers}",
                    error.reason(),
                    credential.audiences().join(", "),
                    self.resource.identifier
                )
            }
            Reason::AccessTokenTime => match credential.time("exp") {
                Some(end) => format!("the access token's exp is {}", when(end, self.now)),
                None => String::new(),
            },
            Reason::SchemeMismatch => match credential.jkt() {
                Some(_) => format!("the token is bound to a key (cnf.jkt) and came as {}", credential.scheme),
                None => format!("the token is bound to no key (cnf.jkt) and came as {}", credential.scheme),
            },
            Reason::ClientMismatch => {
                let app = result.map(|result| result.claims.client_id.as_str()).unwrap_or_default();
                let clients = self.resource.clients.get(app).map(|clients| {
                    clients.iter().map(|client| client.client_id.as_str()).collect::<Vec<_>>().join(", ")
                });
                format!(
                    "the token is of client {}; app {app} has {}",
                    credential.text("client_id").unwrap_or("that cannot be read"),
                    clients.filter(|clients| !clients.is_empty()).unwrap_or_else(|| "none".to_owned())
                )
            }
            Reason::TokenUnbound => {
                "the token is bound to no key (cnf.jkt), and the route asks for it".to_owned()
            }
            Reason::TokenOfAnotherInstance => {
                let bound = credential.jkt().and_then(|jkt| jkt.get(..8)).unwrap_or_default();
                format!("the token is bound to key {bound}…; the instance has {}", instance())
            }
            Reason::ScopeMissing => {
                let asked = self.route.map(|route| route.scopes.join(" ")).unwrap_or_default();
                format!(
                    "the route asks for {asked}; the token has {}",
                    credential.text("scope").unwrap_or("none")
                )
            }
            _ => String::new(),
        }
    }

    fn path(&self) -> &str {
        split_query(&self.request.target).0
    }

    /// What the proof covers.
    fn bound(&self) -> String {
        let Some(proof) = &self.presented.proof else { return String::new() };
        if proof.request.is_none() {
            return "the proof covers no request: the route takes such (danger_unbound_pop)".to_owned();
        }
        let parts = [
            ("query", proof.query.is_some()),
            ("body", proof.content.is_some()),
            ("credential", proof.ath.is_some()),
        ];
        let covered: Vec<_> = parts.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        let body = match &self.request.body {
            Body::Whole(body) if !body.is_empty() && proof.content.is_none() => "; the body is not covered",
            _ => "",
        };
        ["method, URI"].into_iter().chain(covered).collect::<Vec<_>>().join(", ")
            + " are covered and match"
            + body
    }

    fn credential(&self, credential: &ClaimedCredential) -> String {
        match &credential.jwt {
            Some((key_id, _)) => format!(
                "key {key_id} of {}; client {}; expires {}; {}",
                credential.text("iss").unwrap_or_default(),
                credential.text("client_id").unwrap_or_default(),
                credential.time("exp").map(|end| when(end, self.now)).unwrap_or_default(),
                credential.jkt().map_or("bound to no key", |_| "bound to the instance key")
            ),
            None => format!("{} is one of the app's", credential.scheme),
        }
    }

    fn missing_attestation(&self) -> String {
        let named = |name: &str| self.request.values(&name.to_ascii_lowercase()).next().is_some();
        let missing = |names: &[&'static str]| {
            let missing: Vec<_> = names.iter().copied().filter(|name| !named(name)).collect();
            missing.join(" and ")
        };
        let missing = if named("OAuth-Client-Attestation") || named("DPoP") {
            missing(&["OAuth-Client-Attestation", "DPoP"])
        } else {
            missing(&["Attestation-Result", "Attestation-Proof"])
        };
        format!("the request has no {missing}")
    }

    fn malformed_fields(&self) -> String {
        let names = [
            "Attestation-Result",
            "Attestation-Proof",
            "OAuth-Client-Attestation",
            "OAuth-Client-Attestation-PoP",
            "DPoP",
            "X-API-Key",
        ];
        let faults = names.iter().filter_map(|name| {
            let count = self.request.values(&name.to_ascii_lowercase()).count();
            let unreadable = self.presented.unreadable.iter().find(|(field, _)| field == name);
            match (count, unreadable) {
                (2.., _) => Some(format!("{name} comes {count} times")),
                (1, Some((_, reason))) => Some(format!("{name}: {reason}")),
                _ => None,
            }
        });
        faults.collect::<Vec<_>>().join("; ")
    }
}

fn other_result(proof: &ClaimedProof, result: Option<&ClaimedResult>) -> String {
    match (proof.result, result.and_then(|result| result.digest)) {
        (Some(named), Some(came)) => {
            format!(
                "it names the result of SHA-256 {}, and the one that came has {}",
                short(&named),
                short(&came)
            )
        }
        _ => "it is by another key than the attestation vouches for".to_owned(),
    }
}

fn expected(what: &str, found: &str, wanted: &str, expected: &str) -> String {
    format!("{what} {found}; {wanted} {expected}")
}

/// What a proof covers of something, beside what came.
pub(super) fn hashes(what: &str, covered: Option<[u8; 32]>, came: Option<[u8; 32]>) -> String {
    match (covered, came) {
        (Some(covered), Some(came)) => {
            format!("it covers {what} of SHA-256 {}; the one that came has {}", short(&covered), short(&came))
        }
        (Some(covered), None) => format!("it covers {what} of SHA-256 {}, and none came", short(&covered)),
        (None, Some(_)) => format!("it covers no {}, and one came", what.trim_start_matches("a ")),
        (None, None) => String::new(),
    }
}

/// The origin as it stands in `htu`.
fn origin(resource: &Resource) -> String {
    let origin = &resource.origin;
    let (scheme, usual) = if origin.is_https() { ("https", 443) } else { ("http", 80) };
    match origin.port() {
        port if port == usual => format!("{scheme}://{}", origin.host()),
        port => format!("{scheme}://{}:{port}", origin.host()),
    }
}

/// What can be said without knowing more.
fn what_it_means(reason: Reason) -> &'static str {
    match reason {
        Reason::Request(_) => "path or method are such as servers read in two ways, or too long",
        Reason::TokenInQuery => "a token or an API key stands in the query, where logs keep it",
        Reason::TwoCredentials => "an access token and an API key came",
        Reason::TwoFlavours => "fields of both flavours, or two proofs, came",
        Reason::BasicRefused => "HTTP Basic is no credential here",
        Reason::ProofUnbound => {
            "OAuth-Client-Attestation-PoP covers no request, and the route does not take it"
        }
        Reason::Replayed => "the same proof came before, in this capture",
        Reason::KeysUnavailable => "keys are missing",
        Reason::TierTooLow => "the tier is worse than the route allows",
        Reason::ProtectionTooLow => "the instance key lives where the route does not allow",
        Reason::EvidenceTooOld => "the evidence is older than the route allows",
        Reason::DenyListStale => "there is no current deny list",
        Reason::ApiKey(_) => "the API key is not one that may be used",
        Reason::ApiKeysUnavailable => "the file of API keys could not be read",
        Reason::AuthenticationTooWeak => "acr is none of those that the route asks for",
        Reason::AuthenticationTooOld => "the user was authenticated longer ago than the route allows",
        Reason::ClientCertificate(_) | Reason::CertificateMissing | Reason::CertificateMismatch => {
            "a capture does not show client certificates"
        }
        _ => "",
    }
}
