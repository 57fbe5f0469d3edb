//! Edges that share a store, two phones, and the requests of their apps; the edges' clocks stand still.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use countersign_core::challenge::{Challenge, MacKey, MacKeyRing};
use countersign_core::encoding::base64url;
use countersign_core::request::Origin;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::Thumbprint;
use countersign_core::token::result::{InstanceId, Protection, ResultClaims, Tier, VouchedBy};
use countersign_core::token::trust_vector::TrustVector;
use countersign_edge::shared_store::NonceRotation;
use countersign_edge::{EdgeRuntime, JwksSource, OsRandomness, SharedStoreSettings, StoreAddress};
use countersign_verifier::check::limits::{Per, RateLimit};
use countersign_verifier::check::route::OAuthClient;
use countersign_verifier::check::trust::KeyOwner;
use countersign_verifier::check::{
    Content, Decision, Edge, Field, Fields, Limits, NoncePolicy, PathCase, Permit, Reason, ReplayPolicy,
    Request, Resource, Route, TokenBinding, WhenStoreFails,
};
use countersign_verifier::issue::jwks;
use countersign_virtual_device::session::{ProofRequest, Session};
use countersign_virtual_device::{Seed, SessionKey};
use serde_json::{Value, json};

pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const SERVICE: &str = "https://attest.example";
const SERVER: &str = "https://login.example";
const RESOURCE: &str = "https://api.example";

/// Whoever tests need waits no longer than this for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store at this port, which a slow machine has the time to answer.
pub(crate) fn store(port: u16) -> SharedStoreSettings {
    let mut settings =
        SharedStoreSettings::new(StoreAddress::new(&format!("redis://127.0.0.1:{port}/")).unwrap());
    settings.deadline = Duration::from_secs(2);
    settings.nonce_rotation = NonceRotation { pull: Duration::from_millis(50), ..NonceRotation::default() };
    settings
}

/// The same with the URL in a secret file.
pub(crate) fn store_with_password(port: u16, password: &str, directory: &Path) -> SharedStoreSettings {
    use std::os::unix::fs::PermissionsExt;

    let file = directory.join(password);
    std::fs::write(&file, format!("redis://:{password}@127.0.0.1:{port}/")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    SharedStoreSettings { address: StoreAddress::from_file(&file).unwrap(), ..store(port) }
}

/// An edge with this store.
pub(crate) async fn edge(store: SharedStoreSettings) -> Arc<EdgeRuntime> {
    edge_at(NOW, store).await
}

/// An edge whose clock says `now`.
pub(crate) async fn edge_at(now: Timestamp, store: SharedStoreSettings) -> Arc<EdgeRuntime> {
    let client = OAuthClient { issuer: SERVER.to_owned(), client_id: "mobile".to_owned() };
    let route = |path: &str, when| Route {
        shared_store: Some(when),
        replay: match when {
            WhenStoreFails::Closed => ReplayPolicy::Strict,
            WhenStoreFails::Local => ReplayPolicy::Windowed,
        },
        ..Route::new(path)
    };
    let limit = |per, burst| RateLimit::new(per, "1/h".parse().unwrap(), burst).unwrap();
    let limits = vec![limit(Per::Instance, 3), limit(Per::Route, 5)];
    let resource = Resource {
        identifier: RESOURCE.to_owned(),
        origin: Origin::parse(RESOURCE).unwrap(),
        metadata_url: None,
        authorization_servers: vec![SERVER.to_owned()],
        clients: HashMap::from([("app".to_owned(), vec![client])]),
        introspection: None,
        path_case: PathCase::Unknown,
        replay_domain: store.key_prefix.clone(),
        routes: vec![
            route("/closed", WhenStoreFails::Closed),
            route("/local", WhenStoreFails::Local),
            Route { token_binding: TokenBinding::FirstUse, ..route("/first", WhenStoreFails::Closed) },
            Route { token_binding: TokenBinding::FirstUse, ..route("/first/local", WhenStoreFails::Local) },
            Route { limits: limits.clone(), ..route("/limited", WhenStoreFails::Closed) },
            Route { limits, ..route("/limited/local", WhenStoreFails::Local) },
            Route { nonce: NoncePolicy::Required, ..route("/nonce", WhenStoreFails::Closed) },
        ],
    };
    let own = MacKeyRing::new(MacKey::new(0, [now.as_unix_seconds() as u8; 32]), Vec::new());
    let edge = Edge::new(
        HashMap::from([("api".to_owned(), resource)]),
        [SERVICE.to_owned()],
        [SERVER.to_owned()],
        own,
        Box::new(OsRandomness),
        false,
        Limits { instance_requests: u32::MAX, ..Limits::default() },
    );
    let keys = |name| JwksSource::fixed(jwks([("key", &key(name).public_key())]).to_string());
    let sources = [
        (KeyOwner::AttestationService(SERVICE.to_owned()), keys("service")),
        (KeyOwner::AuthorizationServer(SERVER.to_owned()), keys("server")),
    ];
    let runtime = EdgeRuntime::new(edge, sources).unwrap().with_clock(move || now).with_shared_store(store);
    runtime.start().await
}

/// A phone with the app.
pub(crate) struct Phone {
    session: Session,
    jkt: Thumbprint,
}

/// A request as it was sent; sent again, it is a replay.
#[derive(Clone)]
pub(crate) struct Call {
    path: &'static str,
    authorization: String,
    result: String,
    proof: String,
}

impl Phone {
    /// The phone of this number, below 100.
    pub(crate) fn new(number: u8) -> Self {
        let (service, device) = (key("service"), key(&format!("device {number}")));
        let jkt = Thumbprint::from_bytes([number; 32]);
        let claims = ResultClaims {
            issuer: SERVICE.to_owned(),
            client_id: "app".to_owned(),
            issued_at: NOW.minus(300),
            expires_at: NOW.plus(300),
            confirmation: device.public_key(),
            tier: Tier::Affirming,
            instance: InstanceId::from_bytes([number; 16]),
            instance_jkt: jkt,
            protection: Protection::Tee,
            vouched_by: VouchedBy::Platform,
            evidence_time: NOW.minus(300),
            app_version: None,
            policy: "test/1".to_owned(),
            labels: Vec::new(),
            trust_vector: TrustVector::default(),
        };
        let message = claims.to_unsigned("key");
        let result = base64url(&message.with_signature(&service.sign(&message.to_be_signed())));
        Self { session: Session { key: device, result }, jkt }
    }

    /// A further request for `path`, with a token that is bound to this phone.
    pub(crate) fn call(&self, path: &'static str) -> Call {
        self.call_with_nonce(path, None)
    }

    /// As [`Self::call`], with the edge's nonce in the proof.
    pub(crate) fn call_with_nonce(&self, path: &'static str, nonce: Option<&Challenge>) -> Call {
        let token = token(json!({"cnf": {"jkt": self.jkt.to_base64url()}, "jti": "bound"}));
        self.sent(path, "DPoP", &token, nonce)
    }

    /// A further request for `path` with the bearer token of this name, which is bound to nobody.
    pub(crate) fn call_with_bearer(&self, path: &'static str, name: &str) -> Call {
        self.sent(path, "Bearer", &token(json!({"jti": name})), None)
    }

    fn sent(&self, path: &'static str, scheme: &str, token: &str, nonce: Option<&Challenge>) -> Call {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let mut token_id = [0; 16];
        token_id[..8].copy_from_slice(&CALLS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let fields = self.session.prove(&ProofRequest {
            resource: RESOURCE,
            method: "GET",
            uri: &format!("{RESOURCE}{path}"),
            body: None,
            credential: Some(token),
            nonce: nonce.map(|nonce| nonce.as_bytes().as_slice()),
            token_id,
            now: NOW,
        });
        let authorization = format!("{scheme} {token}");
        Call { path, authorization, result: fields.result, proof: fields.proof }
    }
}

/// The edge's decision, which must come: one that does not fails the test.
pub(crate) async fn decide(edge: &Arc<EdgeRuntime>, call: &Call) -> Decision {
    let request = Request {
        method: "GET",
        path_and_query: call.path,
        source: None,
        client_certificate: None,
        fields: Fields {
            authorization: Field::from_lines([call.authorization.as_bytes()]),
            attestation_result: Field::from_lines([call.result.as_bytes()]),
            attestation_proof: Field::from_lines([call.proof.as_bytes()]),
            ..Fields::default()
        },
        content: Content::Unseen,
    };
    tokio::time::timeout(PATIENCE, edge.decide("api", &request)).await.expect("a decision")
}

/// The permit of a request that passes.
pub(crate) async fn permit(edge: &Arc<EdgeRuntime>, call: &Call) -> Permit {
    match decide(edge, call).await {
        Decision::Permit(permit) => permit,
        other => panic!("{other:?}"),
    }
}

/// Why a request is refused; `None` for one that passes.
pub(crate) async fn refusal(edge: &Arc<EdgeRuntime>, call: &Call) -> Option<Reason> {
    match decide(edge, call).await {
        Decision::Permit(_) => None,
        Decision::Refusal(refusal) => Some(refusal.reason),
        other => panic!("{other:?}"),
    }
}

/// How many questions of `edge` ended so.
pub(crate) fn questions(edge: &EdgeRuntime, outcome: &str) -> u64 {
    let mut outcomes = edge.store_outcomes().into_iter();
    outcomes.find(|(name, _)| *name == outcome).map(|(_, count)| count).unwrap()
}

/// Waits until something holds that must become true by itself.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waits = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn key(name: &str) -> SessionKey {
    SessionKey::from_seed(&Seed::from_text(name))
}

fn token(more: Value) -> String {
    let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "key"});
    let mut claims = json!({
        "iss": SERVER, "sub": "alice", "client_id": "mobile", "aud": RESOURCE,
        "iat": NOW.minus(60).as_unix_seconds(), "exp": NOW.plus(540).as_unix_seconds(),
    });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let segment = |value: &Value| base64url(value.to_string().as_bytes());
    let input = format!("{}.{}", segment(&header), segment(&claims));
    let signature = key("server").sign(input.as_bytes());
    format!("{input}.{}", base64url(&signature))
}
