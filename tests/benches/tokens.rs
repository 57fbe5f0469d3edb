//! What one request costs in the edge, as tokens of OAuth and as compact ones, for `cargo xtask bench edge`, which sets
//! other published libraries beside it.
//!
//! `--on-demand SECONDS FOLDER` writes requests into FOLDER for the others, of which each proof passes once; then it
//! measures once to warm up, and once more for each line on standard input (`tests/peers/README.md`).
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "prints its table; borrows a module of another benchmark"
)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::{Request as HttpRequest, Response};
use countersign_core::challenge::{MacKey, MacKeyRing};
use countersign_core::encoding::base64url;
use countersign_core::request::{Origin, sha256};
use countersign_core::time::Timestamp;
use countersign_core::token::client_attestation::ClientAttestation;
use countersign_core::token::dpop::DpopProof;
use countersign_core::token::keys::{Algorithm, PublicKey};
use countersign_core::token::result::{InstanceId, Protection, ResultClaims, Tier, VouchedBy};
use countersign_core::token::trust_vector::TrustVector;
use countersign_edge::{CountersignLayer, EdgeRuntime, JwksSource, OsRandomness};
use countersign_verifier::check::route::OAuthClient;
use countersign_verifier::check::trust::{KeyOwner, service_keys};
use countersign_verifier::check::{
    Content, Decision, Edge, Field, Fields, Limits, PathCase, Request, Resource, Route,
};
use countersign_verifier::credential::jwks::Jwks;
use countersign_verifier::issue::jwks;
use countersign_virtual_device::session::{ProofRequest, Session};
use countersign_virtual_device::{Seed, SessionKey};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

const SERVICE: &str = "https://attest.example";
const LOGIN: &str = "https://login.example";
const RESOURCE: &str = "https://api.example";
const PATH: &str = "/v1/accounts/1234567890/transactions";
const PHONES: usize = 64;
/// A measurement ends after so many at the latest: a proof passes once.
const REQUESTS: usize = 6000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(at) = arguments.iter().position(|argument| argument == "--on-demand") else {
        println!("tokens: measured by `cargo xtask bench edge`");
        return;
    };
    let seconds: f64 = arguments[at + 1].parse().expect("SECONDS");
    let crowds = [("es256", Algorithm::Esp256), ("eddsa", Algorithm::Ed25519)]
        .map(|(name, algorithm)| (name, Crowd::new(algorithm, now())));
    for (name, crowd) in &crowds {
        crowd.write(&Path::new(&arguments[at + 2]).join(format!("{name}.json")));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let measure_all = |seconds| {
        for (name, crowd) in &crowds {
            for (kind, remembers) in [("each-time", false), ("remembered", true)] {
                println!("{name}/{kind} {}", check(crowd, remembers, seconds));
                println!("{name}-tower/{kind} {}", runtime.block_on(tower(crowd, remembers, seconds)));
            }
        }
        println!("end");
    };
    measure_all(seconds);
    for _ in std::io::stdin().lines() {
        measure_all(seconds);
    }
}

/// How many requests [`Edge::check`] permitted in about so many seconds of the processor's time, and in how many exactly.
fn check(crowd: &Crowd, remembers: bool, limit: f64) -> String {
    let edge = crowd.edge(remembers);
    edge.service(SERVICE)
        .unwrap()
        .replace(service_keys(&Jwks::decode(crowd.service_keys().as_bytes()).unwrap()));
    let keys = Jwks::decode(crowd.login_keys().as_bytes()).unwrap();
    edge.authorization_server(LOGIN).unwrap().replace(keys);
    let permit = |sent: &Sent| {
        let phone = &crowd.phones[sent.phone];
        let authorization = phone.authorization.as_bytes();
        let own = Field::from_lines([phone.attestation_field(crowd.algorithm).as_bytes()]);
        let proof = Field::from_lines([sent.proof_field(crowd.algorithm).as_bytes()]);
        let authorization = Field::from_lines([authorization]);
        let fields = match crowd.algorithm {
            Algorithm::Esp256 => {
                Fields { authorization, client_attestation: own, dpop: proof, ..Fields::default() }
            }
            Algorithm::Ed25519 => Fields {
                authorization,
                attestation_result: own,
                attestation_proof: proof,
                ..Fields::default()
            },
        };
        let request = Request {
            method: "GET",
            path_and_query: PATH,
            source: None,
            client_certificate: None,
            fields,
            content: Content::Unseen,
        };
        let decision = edge.check("api", &request, crowd.now);
        assert!(matches!(decision, Decision::Permit(_)), "{decision:?}");
    };
    let (warming, measured) = crowd.requests.split_at(PHONES);
    warming.iter().for_each(permit);
    let (start, mut calls) = (processor_time(), 0);
    for chunk in measured.chunks(16) {
        chunk.iter().for_each(permit);
        calls += chunk.len();
        if (processor_time() - start).as_secs_f64() > limit {
            break;
        }
    }
    format!("{calls} {:.6}", (processor_time() - start).as_secs_f64())
}

/// The same through the tower layer, in front of a handler that does nothing.
async fn tower(crowd: &Crowd, remembers: bool, limit: f64) -> String {
    let sources = [
        (KeyOwner::AttestationService(SERVICE.to_owned()), JwksSource::fixed(crowd.service_keys())),
        (KeyOwner::AuthorizationServer(LOGIN.to_owned()), JwksSource::fixed(crowd.login_keys())),
    ];
    let at = crowd.now;
    let runtime =
        EdgeRuntime::new(crowd.edge(remembers), sources).unwrap().with_clock(move || at).start().await;
    let layer = CountersignLayer::new(runtime, "api").unwrap();
    let service = layer
        .layer(service_fn(async |_: HttpRequest<Body>| Ok::<_, Infallible>(Response::new(Body::empty()))));
    let (warming, measured) = crowd.requests.split_at(PHONES);
    for sent in warming {
        let Ok(response) = service.clone().oneshot(crowd.http(sent)).await;
        assert_eq!(response.status(), 200, "{response:?}");
    }
    let (mut elapsed, mut calls) = (Duration::ZERO, 0);
    for chunk in measured.chunks(16) {
        let requests: Vec<_> = chunk.iter().map(|sent| crowd.http(sent)).collect();
        let start = processor_time();
        for request in requests {
            let Ok(response) = service.clone().oneshot(request).await;
            assert_eq!(response.status(), 200);
        }
        elapsed += processor_time() - start;
        calls += chunk.len();
        if elapsed.as_secs_f64() > limit {
            break;
        }
    }
    format!("{calls} {:.6}", elapsed.as_secs_f64())
}

/// Phones, their issuers and their requests, all signing with one algorithm.
struct Crowd {
    algorithm: Algorithm,
    now: Timestamp,
    phones: Vec<Phone>,
    requests: Vec<Sent>,
}

struct Phone {
    key: Key,
    /// The client attestation, a JWT.
    attestation: String,
    /// The same as a compact result, where the algorithm is Ed25519.
    result: String,
    token: String,
    /// `DPoP` and the token.
    authorization: String,
}

struct Sent {
    phone: usize,
    /// The DPoP proof.
    proof: String,
    /// The same as a compact proof, where the algorithm is Ed25519.
    compact: String,
}

impl Phone {
    fn attestation_field(&self, algorithm: Algorithm) -> &str {
        if algorithm == Algorithm::Esp256 { &self.attestation } else { &self.result }
    }
}

impl Sent {
    fn proof_field(&self, algorithm: Algorithm) -> &str {
        if algorithm == Algorithm::Esp256 { &self.proof } else { &self.compact }
    }
}

impl Crowd {
    fn new(algorithm: Algorithm, now: Timestamp) -> Self {
        let phones = (0..PHONES).map(|number| Phone::new(number, algorithm, now)).collect::<Vec<_>>();
        let requests = (0..REQUESTS).map(|number| {
            let phone = number % PHONES;
            phones[phone].sends(phone, number, now)
        });
        Self { algorithm, now, requests: requests.collect(), phones }
    }

    fn service_keys(&self) -> String {
        // Compact results are always signed with Ed25519.
        let results = Key::of("service", Algorithm::Ed25519).public();
        let attestations = Key::of("service", Algorithm::Esp256).public();
        jwks([("results", &results), ("key", &attestations)]).to_string()
    }

    fn login_keys(&self) -> String {
        jwks([("key", &Key::of("login", self.algorithm).public())]).to_string()
    }

    fn edge(&self, remembers: bool) -> Edge {
        let client = OAuthClient { issuer: LOGIN.to_owned(), client_id: "mobile".to_owned() };
        let resource = Resource {
            identifier: RESOURCE.to_owned(),
            origin: Origin::parse(RESOURCE).unwrap(),
            metadata_url: None,
            authorization_servers: vec![LOGIN.to_owned()],
            clients: HashMap::from([("app".to_owned(), vec![client])]),
            introspection: None,
            path_case: PathCase::Unknown,
            replay_domain: String::new(),
            routes: vec![Route::new("/v1")],
        };
        let sizes = Limits { instance_requests: u32::MAX, ..Limits::default() };
        // Two of each are always remembered; the phones take turns, so none is found.
        let limits = if remembers { sizes } else { Limits { results: 1, access_tokens: 1, ..sizes } };
        Edge::new(
            HashMap::from([("api".to_owned(), resource)]),
            [SERVICE.to_owned()],
            [LOGIN.to_owned()],
            MacKeyRing::new(MacKey::new(1, [3; 32]), vec![]),
            Box::new(OsRandomness),
            false,
            limits,
        )
    }

    fn http(&self, sent: &Sent) -> HttpRequest<Body> {
        let phone = &self.phones[sent.phone];
        let (attestation, proof) = match self.algorithm {
            Algorithm::Esp256 => ("oauth-client-attestation", "dpop"),
            Algorithm::Ed25519 => ("attestation-result", "attestation-proof"),
        };
        HttpRequest::get(PATH)
            .header("authorization", &phone.authorization)
            .header(attestation, phone.attestation_field(self.algorithm))
            .header(proof, sent.proof_field(self.algorithm))
            .body(Body::empty())
            .unwrap()
    }

    /// For the drivers of the others, which take JWTs alone.
    fn write(&self, path: &Path) {
        let phone = |phone: &Phone| json!({"attestation": phone.attestation, "token": phone.token});
        let target = format!("{RESOURCE}{PATH}");
        let request = |sent: &Sent| json!({"phone": sent.phone, "proof": sent.proof, "method": "GET", "target": target});
        let keys = |name| jwks([("key", &Key::of(name, self.algorithm).public())]);
        let file = json!({
            "issuer": SERVICE, "login": LOGIN, "resource": RESOURCE,
            "keys": {"service": keys("service"), "login": keys("login")},
            "phones": self.phones.iter().map(phone).collect::<Vec<_>>(),
            "requests": self.requests.iter().map(request).collect::<Vec<_>>(),
        });
        std::fs::write(path, file.to_string()).unwrap();
    }
}

impl Phone {
    fn new(number: usize, algorithm: Algorithm, now: Timestamp) -> Self {
        let key = Key::of(&format!("phone {number}"), algorithm);
        let public = key.public();
        let thumbprint = public.thumbprint();
        let mut instance = [0; 16];
        instance[..8].copy_from_slice(&number.to_be_bytes());
        let claims = ResultClaims {
            issuer: SERVICE.to_owned(),
            client_id: "app".to_owned(),
            issued_at: now.minus(60),
            expires_at: now.plus(540),
            confirmation: public,
            tier: Tier::Affirming,
            instance: InstanceId::from_bytes(instance),
            instance_jkt: thumbprint,
            protection: Protection::Tee,
            vouched_by: VouchedBy::Platform,
            evidence_time: now.minus(60),
            app_version: Some("4.12.0".to_owned()),
            policy: "default/12".to_owned(),
            labels: Vec::new(),
            trust_vector: TrustVector::default(),
        };
        let (attestation, result) = match algorithm {
            Algorithm::Esp256 => {
                let attestation = ClientAttestation {
                    issuer: SERVICE,
                    client_id: "app",
                    issued_at: claims.issued_at,
                    expires_at: claims.expires_at,
                    instance_key: &public,
                    result: Some(&claims),
                };
                let unsigned = attestation.to_unsigned("key");
                let signature = Key::of("service", algorithm).sign(unsigned.to_be_signed());
                (unsigned.with_signature(&signature), String::new())
            }
            Algorithm::Ed25519 => {
                let unsigned = claims.to_unsigned("results");
                let signature = Key::of("service", algorithm).sign(&unsigned.to_be_signed());
                // Ours are ES256 always; of Ed25519 there are some for the others, of the same content.
                let jwk = ed25519_jwk(&public);
                let body = json!({
                    "iss": SERVICE, "sub": "app", "iat": claims.issued_at.as_unix_seconds(),
                    "exp": claims.expires_at.as_unix_seconds(), "cnf": {"jwk": jwk},
                    "countersign": {"tier": "affirming", "protection": "tee", "policy": "default/12",
                        "instance": claims.instance.to_base64url(), "instance_jkt": thumbprint.to_base64url(),
                        "app_version": "4.12.0"},
                });
                let jwt = jwt("oauth-client-attestation+jwt", &Key::of("service", algorithm), &body);
                (jwt, base64url(&unsigned.with_signature(&signature)))
            }
        };
        let body = json!({
            "iss": LOGIN, "sub": "248289761001", "client_id": "mobile", "aud": RESOURCE,
            "jti": format!("b4b3f9e2c7f14a2f9d0e6a5c{number}"), "scope": "accounts transactions",
            "iat": now.minus(60).as_unix_seconds(), "exp": now.plus(1740).as_unix_seconds(),
            "cnf": {"jkt": thumbprint.to_base64url()},
        });
        let token = jwt("at+jwt", &Key::of("login", algorithm), &body);
        Self { key, attestation, result, authorization: format!("DPoP {token}"), token }
    }

    fn sends(&self, phone: usize, number: usize, now: Timestamp) -> Sent {
        let proof = DpopProof {
            token_id: &format!("a-proof-of-its-own-{number}"),
            method: "GET",
            target: &format!("{RESOURCE}{PATH}"),
            issued_at: now,
            nonce: None,
            ath: Some(sha256(self.token.as_bytes())),
            query: None,
            content: None,
        };
        let public = self.key.public();
        let proof = match &self.key {
            Key::P256(_) => {
                let unsigned = proof.to_unsigned(&public);
                unsigned.with_signature(&self.key.sign(unsigned.to_be_signed()))
            }
            // Ours say RFC 9864's name of the algorithm, which not all of the others know.
            Key::Ed25519(_) => {
                let header = json!({"alg": "EdDSA", "typ": "dpop+jwt", "jwk": ed25519_jwk(&public)});
                signed(&header, &serde_json::to_value(&proof).unwrap(), &self.key)
            }
        };
        let mut token_id = [0; 16];
        token_id[..8].copy_from_slice(&number.to_be_bytes());
        let compact = match &self.key {
            Key::P256(_) => String::new(),
            Key::Ed25519(key) => {
                let session = Session { key: key.clone(), result: self.result.clone() };
                let request = ProofRequest {
                    resource: RESOURCE,
                    method: "GET",
                    uri: &format!("{RESOURCE}{PATH}"),
                    body: None,
                    credential: Some(&self.token),
                    nonce: None,
                    token_id,
                    now,
                };
                session.prove(&request).proof
            }
        };
        Sent { phone, proof, compact }
    }
}

enum Key {
    P256(SigningKey),
    Ed25519(SessionKey),
}

impl Key {
    fn of(name: &str, algorithm: Algorithm) -> Self {
        let seed = Seed::from_text("tokens beside other libraries").child(name);
        match algorithm {
            Algorithm::Esp256 => Self::P256(seed.p256_key("key")),
            Algorithm::Ed25519 => Self::Ed25519(SessionKey::from_seed(&seed)),
        }
    }

    fn public(&self) -> PublicKey {
        match self {
            Self::P256(key) => {
                PublicKey::from_p256_sec1(key.verifying_key().to_sec1_point(false).as_bytes()).unwrap()
            }
            Self::Ed25519(key) => key.public_key(),
        }
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        match self {
            Self::P256(key) => {
                let signature: Signature = key.sign(message);
                signature.to_bytes().into()
            }
            Self::Ed25519(key) => key.sign(message),
        }
    }
}

fn jwt(typ: &str, key: &Key, claims: &Value) -> String {
    let alg = if matches!(key, Key::P256(_)) { "ES256" } else { "EdDSA" };
    signed(&json!({"alg": alg, "typ": typ, "kid": "key"}), claims, key)
}

fn ed25519_jwk(key: &PublicKey) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": jwks([("", key)])["keys"][0]["x"]})
}

fn signed(header: &Value, claims: &Value, key: &Key) -> String {
    let segment = |value: &Value| base64url(value.to_string().as_bytes());
    let input = format!("{}.{}", segment(header), segment(claims));
    let signature = key.sign(input.as_bytes());
    format!("{input}.{}", base64url(&signature))
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    Timestamp::from_unix_seconds(since_epoch.as_secs())
}

/// Of the whole process.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
