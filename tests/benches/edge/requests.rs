//! The phones, and the requests that they prove: made before they are measured, because a proof passes once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use countersign_core::challenge::Challenge;
use countersign_core::encoding::base64url;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::{PublicKey, Thumbprint};
use countersign_virtual_device::{
    AppleAuthority, ProofRequest, Seed, ServiceCall, Session, SessionKey, VirtualIphone, VirtualPhone,
};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://attest.example";
pub(crate) const LOGIN: &str = "https://login.example";
pub(crate) const RESOURCE: &str = "https://api.example";
pub(crate) const PATH: &str = "/v1/accounts/1234567890/transactions";

/// The budget of one instance is 300 requests in ten seconds.
const PHONES: usize = 128;

/// Phones that have enrolled at one service.
pub(crate) struct Crowd {
    phones: Vec<Member>,
}

struct Member {
    session: Session,
    token: String,
    bearer: String,
}

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// Access token, result and proof.
    Proof,
    /// An ES256 access token alone, for gateways that verify it by themselves.
    Bearer,
}

impl Crowd {
    /// Enrols over HTTP, as devices do.
    pub(crate) async fn enrol(service: SocketAddr) -> Self {
        let client = reqwest::Client::new();
        let authority = apple();
        let mut phones = Vec::with_capacity(PHONES);
        for number in 0..PHONES {
            let seed = seed().child(&format!("phone {number}"));
            let mut phone: VirtualPhone =
                VirtualIphone::new(&authority, &seed).app("ABCDE12345", "com.example").into();
            let url = format!("http://{service}/v1/challenge");
            let answer: Value = client.post(url).send().await.unwrap().json().await.unwrap();
            let call = ServiceCall {
                issuer: ISSUER,
                client_id: "app",
                challenge: Challenge::from_base64url(answer["attestation_challenge"].as_str().unwrap())
                    .unwrap(),
                app_version: "1.0",
                environment: 0,
                now: now(),
            };
            let key = SessionKey::from_seed(&seed);
            let request = client.post(format!("http://{service}/v1/instances"));
            let request = request.header("content-type", "application/cbor").body(phone.enrol(&call, &key));
            let answer: Value = request.send().await.unwrap().json().await.unwrap();
            let result = answer["result"].as_str().expect("the service enrols the phone").to_owned();
            let thumbprint = phone.instance_key().thumbprint();
            let login = SessionKey::from_seed(&seed_of_login());
            let token = jwt("EdDSA", &thumbprint, |input| login.sign(input));
            let bearer = jwt("ES256", &thumbprint, |input| {
                let signature: Signature = es256_key().sign(input);
                signature.to_bytes().into()
            });
            phones.push(Member { session: Session { key, result }, token, bearer });
        }
        Self { phones }
    }

    /// As many requests, of each phone in turn.
    pub(crate) fn requests(&self, carries: Carries, count: usize) -> Vec<Vec<u8>> {
        let members = self.phones.iter().cycle().take(count);
        members.map(|member| member.request(carries)).collect()
    }
}

impl Member {
    fn request(&self, carries: Carries) -> Vec<u8> {
        let target = format!("{PATH}?page=1");
        let head = format!("GET {target} HTTP/1.1\r\nHost: api.example\r\n");
        let credential = match carries {
            Carries::Bearer => format!("Authorization: Bearer {}\r\n\r\n", self.bearer),
            Carries::Proof => {
                static PROOFS: AtomicU64 = AtomicU64::new(0);
                let mut token_id = [0; 16];
                token_id[..8].copy_from_slice(&PROOFS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
                let fields = self.session.prove(&ProofRequest {
                    resource: RESOURCE,
                    method: "GET",
                    uri: &format!("{RESOURCE}{target}"),
                    body: None,
                    credential: Some(&self.token),
                    nonce: None,
                    token_id,
                    now: now(),
                });
                format!(
                    "Authorization: DPoP {}\r\nAttestation-Result: {}\r\nAttestation-Proof: {}\r\n\r\n",
                    self.token, fields.result, fields.proof
                )
            }
        };
        [head, credential].concat().into_bytes()
    }
}

/// The authority above the phones.
pub(crate) fn apple() -> AppleAuthority {
    AppleAuthority::from_seed(&seed())
}

/// The authorization server's keys: one of each algorithm.
pub(crate) fn login_keys() -> String {
    let ed25519 = SessionKey::from_seed(&seed_of_login()).public_key();
    let point = es256_key().verifying_key().to_sec1_point(false);
    let p256 = PublicKey::from_p256_sec1(point.as_bytes()).unwrap();
    countersign_verifier::issue::jwks([("EdDSA", &ed25519), ("ES256", &p256)]).to_string()
}

fn jwt(algorithm: &str, bound_to: &Thumbprint, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> String {
    let header = json!({"typ": "at+jwt", "alg": algorithm, "kid": algorithm});
    let (iat, exp) = (now().minus(60).as_unix_seconds(), now().plus(3600).as_unix_seconds());
    let claims = json!({
        "iss": LOGIN, "aud": RESOURCE, "sub": "248289761001", "client_id": "mobile",
        "jti": bound_to.to_base64url(), "scope": "accounts transactions", "iat": iat, "exp": exp,
        "cnf": {"jkt": bound_to.to_base64url()},
    });
    let segment = |value: &Value| base64url(value.to_string().as_bytes());
    let input = format!("{}.{}", segment(&header), segment(&claims));
    let signature = sign(input.as_bytes());
    format!("{input}.{}", base64url(&signature))
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    Timestamp::from_unix_seconds(since_epoch.as_secs())
}

fn es256_key() -> SigningKey {
    seed().p256_key("login")
}

fn seed_of_login() -> Seed {
    seed().child("login")
}

fn seed() -> Seed {
    Seed::from_text("the edge's benchmark")
}
