//! An attestation service with its edge, an API, and a phone that has enrolled; time stands still until a test moves it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use countersign_core::challenge::Challenge;
use countersign_core::encoding::base64url;
use countersign_core::request::sha256;
use countersign_core::time::Timestamp;
use countersign_core::token::dpop::DpopProof;
use countersign_core::token::keys::PublicKey;
use countersign_service::clock::Clock;
use countersign_service::settings::Settings;
use countersign_service::trust::Trust;
use countersign_service::{RunningService, Service};
use countersign_verifier::policy::{AppPolicy, AppleApp, AppraisalPolicy, Danger};
use countersign_virtual_device::{
    AppleAuthority, ClientAuthority, ProofRequest, Seed, ServiceCall, Session, SessionKey, VirtualIphone,
    VirtualPhone,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::Sent;
use crate::upstream::Upstream;

pub(crate) const ISSUER: &str = "https://attest.example";
pub(crate) const LOGIN: &str = "https://login.example";
pub(crate) const RESOURCE: &str = "https://api.example";
pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

/// Routes of every demand that a gateway's answer can depend on.
pub(crate) const ROUTES: &str = "
[[resource.route]]
path = '/v1'
[[resource.route]]
path = '/v1/nonce'
nonce = 'required'
[[resource.route]]
path = '/v1/scope'
scopes = ['pay']
[[resource.route]]
path = '/v1/observed'
mode = 'observe'
[[resource.route]]
path = '/v1/warned'
mode = 'warn'
";

/// Only a gateway that hands bodies to the edge may have such a route.
pub(crate) const BODY_ROUTE: &str = "
[[resource.route]]
path = '/v1/body'
methods = ['POST']
body = 'required'
";

/// Everything but the gateway.
pub(crate) struct World {
    pub(crate) upstream: Upstream,
    pub(crate) edge: SocketAddr,
    pub(crate) public: SocketAddr,
    service: Option<RunningService>,
    clock: Arc<AtomicU64>,
    phone: VirtualPhone,
    token: String,
    session: Session,
    client_attestation: String,
    proofs: AtomicU8,
    pub(crate) directory: TempDir,
}

impl World {
    /// A world whose edge speaks to `gateway`.
    pub(crate) async fn new(gateway: &str) -> Self {
        Self::with(gateway, "", "").await
    }

    /// As [`World::new`], with more lines of `[listen]`, and more tables of the resource. `authority.pem` is the
    /// authority of [`client_authority`].
    pub(crate) async fn with(gateway: &str, listen: &str, tables: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = client_authority().certificate_pem();
        std::fs::write(directory.path().join("authority.pem"), authority).unwrap();
        let clock = Arc::new(AtomicU64::new(NOW.as_unix_seconds()));
        let service = start_service(directory.path(), gateway, &clock, listen, tables).await;
        let mut phone: VirtualPhone = VirtualIphone::new(&AppleAuthority::from_seed(&seed()), &seed())
            .app("ABCDE12345", "com.example")
            .into();
        let (session, client_attestation) = enrol(service.address("public").unwrap(), &mut phone).await;
        Self {
            upstream: Upstream::start().await,
            edge: service.address("edge").unwrap(),
            public: service.address("public").unwrap(),
            service: Some(service),
            clock,
            token: access_token(&phone.instance_key(), None),
            phone,
            session,
            client_attestation,
            proofs: AtomicU8::new(0),
            directory,
        }
    }

    /// A request that the phone has proven, with the user's token.
    pub(crate) fn proven(&self, method: &'static str, target: &str) -> Sent {
        self.proven_with(method, target, |_| {})
    }

    /// As [`World::proven`], with a proof of something else.
    pub(crate) fn proven_with(
        &self,
        method: &'static str,
        target: &str,
        change: impl FnOnce(&mut ProofRequest<'_>),
    ) -> Sent {
        let uri = format!("{RESOURCE}{target}");
        let mut request = self.proof_of(method, &uri);
        change(&mut request);
        let fields = self.session.prove(&request);
        Sent::new(method, target)
            .with("Authorization", &format!("DPoP {}", self.token))
            .with("Attestation-Result", &fields.result)
            .with("Attestation-Proof", &fields.proof)
    }

    /// The same request, which the instance key has proven in the words of OAuth.
    pub(crate) fn proven_by_instance_key(
        &self,
        method: &'static str,
        target: &str,
        nonce: Option<&str>,
    ) -> Sent {
        let number = self.proofs.fetch_add(1, Ordering::Relaxed);
        let proof = DpopProof {
            token_id: &format!("a-proof-of-its-own-{number}"),
            method,
            target: &format!("{RESOURCE}{target}"),
            issued_at: self.now(),
            nonce,
            ath: Some(sha256(self.token.as_bytes())),
            query: None,
            content: None,
        };
        let unsigned = proof.to_unsigned(&self.phone.instance_key());
        let proof = unsigned.with_signature(&self.phone.sign(unsigned.to_be_signed()));
        Sent::new(method, target)
            .with("Authorization", &format!("DPoP {}", self.token))
            .with("OAuth-Client-Attestation", &self.client_attestation)
            .with("DPoP", &proof)
    }

    /// Lets time pass, for device and edge alike.
    pub(crate) fn wait(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    /// The clock that [`World::wait`] moves.
    pub(crate) fn clock(&self) -> Clock {
        let clock = Arc::clone(&self.clock);
        Clock::from_fn(move || Timestamp::from_unix_seconds(clock.load(Ordering::Relaxed)))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.clock.load(Ordering::Relaxed))
    }

    /// A proof with the user's token and a new identifier.
    fn proof_of<'a>(&'a self, method: &'a str, uri: &'a str) -> ProofRequest<'a> {
        ProofRequest {
            resource: RESOURCE,
            method,
            uri,
            body: None,
            credential: Some(&self.token),
            nonce: None,
            token_id: [self.proofs.fetch_add(1, Ordering::Relaxed); 16],
            now: self.now(),
        }
    }

    /// A request that the phone has proven with another access token, or with none.
    pub(crate) fn proven_as(&self, token: Option<&str>, method: &'static str, target: &str) -> Sent {
        let uri = format!("{RESOURCE}{target}");
        let fields = self.session.prove(&ProofRequest { credential: token, ..self.proof_of(method, &uri) });
        let sent = Sent::new(method, target)
            .with("Attestation-Result", &fields.result)
            .with("Attestation-Proof", &fields.proof);
        match token {
            Some(token) => sent.with("Authorization", &format!("DPoP {token}")),
            None => sent,
        }
    }

    /// The user's access token, bound to a client certificate too.
    pub(crate) fn token_bound_to(&self, certificate: &[u8]) -> String {
        access_token(&self.phone.instance_key(), Some(certificate))
    }

    /// Ends service and edge.
    pub(crate) async fn stop_edge(mut self) -> Upstream {
        self.end_service().await;
        self.upstream
    }

    /// As [`World::stop_edge`], with the rest of the world left as it is.
    pub(crate) async fn end_service(&mut self) {
        self.service.take().expect("it runs").shut_down().await;
    }
}

async fn start_service(
    directory: &Path,
    gateway: &str,
    clock: &Arc<AtomicU64>,
    listen: &str,
    tables: &str,
) -> RunningService {
    std::fs::write(directory.join("policy.toml"), "").unwrap();
    let public = PublicKey::from_ed25519(login_key().public_key().as_ref().try_into().unwrap()).unwrap();
    let keys = countersign_verifier::issue::jwks([("login", &public)]).to_string();
    std::fs::write(directory.join("login.jwks"), keys).unwrap();
    let body_route = if gateway.starts_with("envoy") || gateway == "oathkeeper" { BODY_ROUTE } else { "" };
    let text = format!(
        "issuer = '{ISSUER}'\n[listen]\npublic = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\nedge = '127.0.0.1:0'\n\
         gateway = '{gateway}'\n{listen}\n[[resource]]\nname = 'api'\nidentifier = '{RESOURCE}'\n\
         [[resource.authorization_server]]\nissuer = '{LOGIN}'\njwks = 'login.jwks'\n\
         clients = {{ app = ['mobile'] }}\n{ROUTES}{body_route}{tables}"
    );
    let settings = Settings::parse(&directory.join("countersign.toml"), &text).unwrap();
    let roots = vec![AppleAuthority::from_seed(&seed()).root_certificate_der()];
    let mut app = AppPolicy::new("app");
    app.apple.push(AppleApp::new("ABCDE12345", "com.example"));
    let danger = Danger { app_attest_roots: roots, ..Danger::default() };
    let trust = Trust::new(AppraisalPolicy::new("test/1").with_app(app).with_danger(danger)).unwrap();
    let clock = Arc::clone(clock);
    let clock = Clock::from_fn(move || Timestamp::from_unix_seconds(clock.load(Ordering::Relaxed)));
    Service::start_with(settings, trust, clock).await.unwrap()
}

/// Enrols over HTTP, as a device does: the session, and the client attestation for APIs.
async fn enrol(service: SocketAddr, phone: &mut VirtualPhone) -> (Session, String) {
    let answer = Sent::new("POST", "/v1/challenge").send(service).await.json();
    let call = ServiceCall {
        issuer: ISSUER,
        client_id: "app",
        challenge: Challenge::from_base64url(answer["attestation_challenge"].as_str().unwrap()).unwrap(),
        app_version: "1.0",
        environment: 0,
        now: NOW,
    };
    let key = SessionKey::from_seed(&seed());
    let mut envelope = Sent::new("POST", "/v1/instances").with("Content-Type", "application/cbor");
    envelope.body = phone.enrol(&call, &key);
    let answer = envelope.send(service).await.json();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    (Session { key, result: text("result") }, text("client_attestation_rs"))
}

/// Who issues certificates to clients, and to the gateways of tests.
pub(crate) fn client_authority() -> ClientAuthority {
    ClientAuthority::from_seed(&seed(), NOW)
}

/// The user's access token, bound to the phone's instance key, and to a client certificate.
fn access_token(instance_key: &PublicKey, certificate: Option<&[u8]>) -> String {
    let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": "login"});
    let mut claims = json!({
        "iss": LOGIN, "aud": RESOURCE, "sub": "alice", "client_id": "mobile", "jti": "1", "scope": "read",
        "iat": NOW.as_unix_seconds(), "exp": NOW.plus(600).as_unix_seconds(),
        "cnf": {"jkt": instance_key.thumbprint().to_base64url()},
    });
    if let Some(certificate) = certificate {
        claims["cnf"]["x5t#S256"] = base64url(&sha256(certificate)).into();
    }
    let segment = |value: &Value| base64url(value.to_string().as_bytes());
    let input = format!("{}.{}", segment(&header), segment(&claims));
    let signature = login_key().sign(input.as_bytes());
    format!("{input}.{}", base64url(signature.as_ref()))
}

fn login_key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[6; 32]).unwrap()
}

fn seed() -> Seed {
    Seed::from_text("gateways")
}
