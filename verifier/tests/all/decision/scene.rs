//! A resource, the two issuers it trusts, and devices that speak to it; time stands still.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use countersign_core::challenge::{MacKey, MacKeyRing, RANDOM_LENGTH};
use countersign_core::encoding::{base64url, from_base64url};
use countersign_core::request::{Origin, sha256};
use countersign_core::time::Timestamp;
use countersign_core::token::cose::Unsigned;
use countersign_core::token::keys::{PublicKey, Thumbprint};
use countersign_core::token::proof::ProofClaims;
use countersign_core::token::result::{InstanceId, Protection, ResultClaims, Tier, VouchedBy};
use countersign_core::token::trust_vector::TrustVector;
use countersign_verifier::check::decision::{Randomness, RandomnessUnavailable};
use countersign_verifier::check::deny_list::DenyList;
use countersign_verifier::check::explanation::Outcome;
use countersign_verifier::check::route::OAuthClient;
use countersign_verifier::check::trust::{ServiceKeys, service_keys};
use countersign_verifier::check::{
    ClientCertificate, Content, CredentialKind, Decision, Edge, Field, Fields, Limits, PathCase, Reason,
    Request, Resource, Route, Step,
};
use countersign_verifier::credential::introspection::Introspection;
use countersign_verifier::credential::jwks::Jwks;
use serde_json::{Map, Value, json};

pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
pub(crate) const SERVICE: &str = "https://attest.example";
pub(crate) const SERVICE_SEED: [u8; 32] = [1; 32];
pub(crate) const AUTHORIZATION_SERVER: &str = "https://as.example";
pub(crate) const AUTHORIZATION_SERVER_SEED: [u8; 32] = [2; 32];
/// An authorization server whose tokens another resource takes, with the same key as ours: what it signs is good, but
/// not here.
pub(crate) const PARTNER_SERVER: &str = "https://as.partner.example";
pub(crate) const RESOURCE: &str = "https://api.example";

/// The edge under attack.
pub(crate) struct Scene {
    pub(crate) edge: Edge,
    proofs: AtomicU64,
}

/// A device by its session key; its instance key's thumbprint follows from the seed.
pub(crate) struct Device {
    seed: [u8; 32],
}

/// A request as it is sent.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) method: &'static str,
    pub(crate) path_and_query: String,
    pub(crate) authorization: Option<String>,
    pub(crate) api_key: Option<String>,
    pub(crate) result: Option<String>,
    pub(crate) proof: Option<String>,
    pub(crate) content: Content,
    pub(crate) source: Option<IpAddr>,
    pub(crate) client_certificate: Option<ClientCertificate>,
}

struct Constant;

impl Randomness for Constant {
    fn fresh(&self) -> Result<[u8; RANDOM_LENGTH], RandomnessUnavailable> {
        Ok([7; RANDOM_LENGTH])
    }
}

struct Exhausted;

impl Randomness for Exhausted {
    fn fresh(&self) -> Result<[u8; RANDOM_LENGTH], RandomnessUnavailable> {
        Err(RandomnessUnavailable)
    }
}

impl Device {
    fn pair(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&self.seed).unwrap()
    }

    pub(crate) fn key(&self) -> PublicKey {
        public(&self.pair())
    }

    pub(crate) fn instance_jkt(&self) -> Thumbprint {
        Thumbprint::from_bytes(sha256(&self.seed))
    }
}

impl Sent {
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            method: self.method,
            path_and_query: &self.path_and_query,
            source: self.source,
            client_certificate: self.client_certificate.as_ref(),
            fields: Fields {
                authorization: Field::from_lines(self.authorization.as_deref().map(str::as_bytes)),
                api_key: Field::from_lines(self.api_key.as_deref().map(str::as_bytes)),
                attestation_result: Field::from_lines(self.result.as_deref().map(str::as_bytes)),
                attestation_proof: Field::from_lines(self.proof.as_deref().map(str::as_bytes)),
                ..Fields::default()
            },
            content: self.content,
        }
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with_route(Route::new("/"))
    }

    pub(crate) fn with_route(route: Route) -> Self {
        Self::with_routes(vec![route])
    }

    pub(crate) fn with_routes(routes: Vec<Route>) -> Self {
        Self::build(routes, false, Box::new(Constant))
    }

    /// The same scene with its edge set up further.
    pub(crate) fn with_edge(self, change: impl FnOnce(Edge) -> Edge) -> Self {
        Self { edge: change(self.edge), proofs: self.proofs }
    }

    /// An edge whose source of randomness has failed.
    pub(crate) fn without_randomness(route: Route) -> Self {
        Self::build(vec![route], false, Box::new(Exhausted))
    }

    pub(crate) fn with_required_deny_list() -> Self {
        Self::build(vec![Route::new("/")], true, Box::new(Constant))
    }

    fn build(routes: Vec<Route>, deny_list_required: bool, randomness: Box<dyn Randomness>) -> Self {
        let edge = edge(routes, deny_list_required, randomness);
        let scene = Self { edge, proofs: AtomicU64::new(0) };
        scene.edge.service(SERVICE).unwrap().replace(scene.service_keys());
        for issuer in [AUTHORIZATION_SERVER, PARTNER_SERVER] {
            let server = scene.edge.authorization_server(issuer).unwrap();
            server.replace(scene.server_keys());
        }
        scene
    }

    /// The same edge before any keys have come.
    pub(crate) fn without_keys() -> Edge {
        edge(vec![Route::new("/")], false, Box::new(Constant))
    }

    pub(crate) fn service_keys(&self) -> ServiceKeys {
        service_keys(&jwks("service-1", SERVICE_SEED))
    }

    pub(crate) fn server_keys(&self) -> Jwks {
        jwks("server-1", AUTHORIZATION_SERVER_SEED)
    }

    pub(crate) fn device(&self, seed: [u8; 32]) -> Device {
        Device { seed }
    }

    pub(crate) fn result(&self, device: &Device, change: impl FnOnce(&mut ResultClaims)) -> String {
        self.result_signed(device, "service-1", SERVICE_SEED, change)
    }

    pub(crate) fn result_signed(
        &self,
        device: &Device,
        key_id: &str,
        seed: [u8; 32],
        change: impl FnOnce(&mut ResultClaims),
    ) -> String {
        let mut claims = ResultClaims {
            issuer: SERVICE.to_owned(),
            client_id: "app".to_owned(),
            issued_at: NOW.minus(300),
            expires_at: NOW.plus(300),
            confirmation: device.key(),
            tier: Tier::Affirming,
            instance: InstanceId::from_bytes([5; 16]),
            instance_jkt: device.instance_jkt(),
            protection: Protection::Tee,
            vouched_by: VouchedBy::Platform,
            evidence_time: NOW.minus(300),
            app_version: Some("1.0".to_owned()),
            policy: "test/1".to_owned(),
            labels: Vec::new(),
            trust_vector: TrustVector::default(),
        };
        change(&mut claims);
        sign(&claims.to_unsigned(key_id), &seed)
    }

    pub(crate) fn proof(
        &self,
        device: &Device,
        result: &str,
        change: impl FnOnce(&mut ProofClaims<'_>),
    ) -> String {
        self.proof_for(device, result, &self.token(device, |_| {}), change)
    }

    fn proof_for(
        &self,
        device: &Device,
        result: &str,
        token: &str,
        change: impl FnOnce(&mut ProofClaims<'_>),
    ) -> String {
        let mut token_id = [0; 12];
        token_id[..8].copy_from_slice(&self.proofs.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let mut claims = ProofClaims {
            audience: RESOURCE,
            issued_at: NOW,
            token_id: &token_id,
            nonce: None,
            result: sha256(&from_base64url(result).unwrap()),
            ath: Some(sha256(token.as_bytes())),
            method: "GET",
            target: "https://api.example/v1/accounts/1",
            query: Some(sha256(b"page=1")),
            content: None,
            environment: None,
        };
        change(&mut claims);
        sign(&claims.to_unsigned(), &device.seed)
    }

    /// A token bound to the device's instance key.
    pub(crate) fn token(&self, device: &Device, change: impl FnOnce(&mut Map<String, Value>)) -> String {
        self.token_signed(device, "server-1", change)
    }

    pub(crate) fn token_signed(
        &self,
        device: &Device,
        key_id: &str,
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> String {
        let header = json!({"alg": "Ed25519", "typ": "at+jwt", "kid": key_id});
        let mut claims = json!({
            "iss": AUTHORIZATION_SERVER, "sub": "user", "client_id": "client", "aud": RESOURCE, "jti": "1",
            "iat": NOW.minus(10).as_unix_seconds(), "exp": NOW.plus(600).as_unix_seconds(), "scope": "read",
            "cnf": {"jkt": device.instance_jkt().to_base64url()},
        });
        change(claims.as_object_mut().unwrap());
        let segment = |value: &Value| base64url(value.to_string().as_bytes());
        let input = format!("{}.{}", segment(&header), segment(&claims));
        let pair = Ed25519KeyPair::from_seed_unchecked(&AUTHORIZATION_SERVER_SEED).unwrap();
        format!("{input}.{}", base64url(pair.sign(input.as_bytes()).as_ref()))
    }

    /// The honest request of the device that most tests begin with.
    pub(crate) fn sent(&self) -> Sent {
        self.sent_by(&self.device([4; 32]), |_| {}, |_| {})
    }

    /// The honest device's request with another credential.
    pub(crate) fn sent_with(&self, scheme: &str, token: &str) -> Sent {
        self.sent_by_with(&self.device([4; 32]), scheme, token, |_| {}, |_| {})
    }

    /// A device's request with the honest device's token.
    pub(crate) fn sent_by(
        &self,
        device: &Device,
        result: impl FnOnce(&mut ResultClaims),
        proof: impl FnOnce(&mut ProofClaims<'_>),
    ) -> Sent {
        let token = self.token(&self.device([4; 32]), |_| {});
        self.sent_by_with(device, "DPoP", &token, result, proof)
    }

    pub(crate) fn sent_by_with(
        &self,
        device: &Device,
        scheme: &str,
        token: &str,
        change_result: impl FnOnce(&mut ResultClaims),
        change_proof: impl FnOnce(&mut ProofClaims<'_>),
    ) -> Sent {
        let result = self.result(device, change_result);
        let proof = self.proof_for(device, &result, token, change_proof);
        Sent {
            method: "GET",
            path_and_query: "/v1/accounts/1?page=1".to_owned(),
            authorization: Some(format!("{scheme} {token}")),
            api_key: None,
            result: Some(result),
            proof: Some(proof),
            content: Content::Unseen,
            source: None,
            client_certificate: None,
        }
    }

    pub(crate) fn deny_list(&self, sequence: u64, change: impl FnOnce(&mut DenyList)) -> DenyList {
        let mut list = DenyList {
            issuer: SERVICE.to_owned(),
            sequence,
            issued_at: NOW,
            expires_at: NOW.plus(600),
            instances: Default::default(),
            key_ids: Default::default(),
            subjects: Default::default(),
        };
        change(&mut list);
        list
    }

    pub(crate) fn signed_deny_list(&self, list: &DenyList, seed: [u8; 32]) -> Vec<u8> {
        signed(&list.to_unsigned("service-1"), &seed)
    }

    pub(crate) fn check(&self, sent: &Sent) -> Decision {
        self.edge.check("api", &sent.request(), NOW)
    }

    /// Why a request is refused; `None` if it passes.
    pub(crate) fn verdict(&self, sent: &Sent) -> Option<Reason> {
        self.verdict_at(sent, NOW)
    }

    pub(crate) fn verdict_at(&self, sent: &Sent, now: Timestamp) -> Option<Reason> {
        reason(self.edge.check("api", &sent.request(), now))
    }

    pub(crate) fn verdict_of(&self, request: &Request<'_>) -> Option<Reason> {
        reason(self.edge.check("api", request, NOW))
    }

    /// Why a request is refused; its explanation says so too.
    pub(crate) fn refused(&self, sent: &Sent) -> Reason {
        let reason = self.verdict(sent).expect("refused");
        if !matches!(reason, Reason::FailureBudget | Reason::RateLimit(_)) {
            // Without the address, whose budget the question would spend.
            self.explained(&Request { source: None, ..sent.request() }, reason);
        }
        reason
    }

    /// What is explained is what was decided, and a fault that decides is among those of its step.
    fn explained(&self, request: &Request<'_>, expected: Reason) {
        let explanation = self.edge.explain("api", request, NOW);
        let (Decision::Refusal(refusal) | Decision::Observed { refusal, .. }) = &explanation.decision else {
            panic!("explained as {:?}, and refused for {expected:?}", explanation.decision)
        };
        assert_eq!(refusal.reason, expected);
        let step = explanation.decided_at.expect("a step refused");
        for (at, outcome) in &explanation.steps {
            match outcome {
                Outcome::Refused(reasons) if *at == step => assert_eq!(reasons.first(), Some(&expected)),
                Outcome::Refused(_) => assert!(*at > step || step == Step::Nonce, "{at:?} before {step:?}"),
                _ => assert!(*at != step, "{step:?} has refused"),
            }
        }
    }
}

fn edge(routes: Vec<Route>, deny_list_required: bool, randomness: Box<dyn Randomness>) -> Edge {
    let takes_opaque = routes.iter().any(|route| route.credentials.contains(&CredentialKind::Opaque));
    let client = OAuthClient { issuer: AUTHORIZATION_SERVER.to_owned(), client_id: "client".to_owned() };
    let resource = Resource {
        identifier: RESOURCE.to_owned(),
        origin: Origin::parse(RESOURCE).unwrap(),
        metadata_url: Some("https://api.example/m".to_owned()),
        authorization_servers: vec![AUTHORIZATION_SERVER.to_owned()],
        clients: HashMap::from([("app".to_owned(), vec![client])]),
        introspection: takes_opaque.then(|| Introspection::new(AUTHORIZATION_SERVER)),
        path_case: PathCase::Unknown,
        replay_domain: String::new(),
        routes,
    };
    Edge::new(
        HashMap::from([("api".to_owned(), resource)]),
        [SERVICE.to_owned()],
        [PARTNER_SERVER.to_owned(), AUTHORIZATION_SERVER.to_owned()],
        MacKeyRing::new(MacKey::new(1, [3; 32]), vec![]),
        randomness,
        deny_list_required,
        Limits { proofs: 4096, ..Limits::default() },
    )
}

fn reason(decision: Decision) -> Option<Reason> {
    match decision {
        Decision::Permit(_) => None,
        Decision::Refusal(refusal) | Decision::Observed { refusal, .. } => Some(refusal.reason),
        Decision::Needs(lookup) => panic!("needs {lookup:?}"),
        Decision::Pending(pending) => panic!("asks {:?}", pending.question()),
    }
}

/// The message as a header field has it.
fn sign(message: &Unsigned, seed: &[u8; 32]) -> String {
    base64url(&signed(message, seed))
}

fn signed(message: &Unsigned, seed: &[u8; 32]) -> Vec<u8> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
    let signature = pair.sign(&message.to_be_signed());
    message.with_signature(signature.as_ref().try_into().unwrap())
}

fn public(pair: &Ed25519KeyPair) -> PublicKey {
    PublicKey::from_ed25519(pair.public_key().as_ref().try_into().unwrap()).unwrap()
}

fn jwks(key_id: &str, seed: [u8; 32]) -> Jwks {
    Jwks::decode(key_set(key_id, seed).as_bytes()).unwrap()
}

/// A key set of one key, as its issuer publishes it.
pub(crate) fn key_set(key_id: &str, seed: [u8; 32]) -> String {
    let key = public(&Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()).to_jwk();
    json!({"keys": [{"kty": key.kty, "crv": key.crv, "x": key.x, "kid": key_id, "use": "sig"}]}).to_string()
}
