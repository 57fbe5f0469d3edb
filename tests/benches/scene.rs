//! An edge, the two issuers it trusts, and one device with its requests, or as many as are wanted; all signatures are
//! Ed25519.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_core::challenge::{MacKey, MacKeyRing, RANDOM_LENGTH};
use countersign_core::encoding::base64url;
use countersign_core::request::Origin;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::{PublicKey, Thumbprint};
use countersign_core::token::result::{InstanceId, Protection, ResultClaims, Tier, VouchedBy};
use countersign_core::token::trust_vector::TrustVector;
use countersign_verifier::check::decision::{Randomness, RandomnessUnavailable};
use countersign_verifier::check::deny_list::{DenyList, SubjectDigest};
use countersign_verifier::check::route::OAuthClient;
use countersign_verifier::check::trust::service_keys;
use countersign_verifier::check::{
    Content, Decision, Edge, Field, Fields, Limits, PathCase, Request, Resource, Route,
};
use countersign_verifier::credential::introspection::Introspection;
use countersign_verifier::credential::jwks::Jwks;
use countersign_verifier::issue::jwks;
use countersign_virtual_device::session::{ProofRequest, Session};
use countersign_virtual_device::{Seed, SessionKey};
use serde_json::{Value, json};

pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const SERVICE: &str = "https://attest.example";
const SERVER: &str = "https://as.example";
const RESOURCE: &str = "https://api.example";
const JKT: Thumbprint = Thumbprint::from_bytes([6; 32]);

/// The edge, and the one device that speaks to it.
pub(crate) struct Scene {
    pub(crate) edge: Edge,
    service: SessionKey,
    server: SessionKey,
    session: Session,
    token: String,
}

/// A request's header values, and where it comes from.
pub(crate) struct Sent {
    pub(crate) source: Option<IpAddr>,
    pub(crate) authorization: String,
    pub(crate) result: String,
    pub(crate) proof: String,
}

struct NoNonces;

impl Randomness for NoNonces {
    fn fresh(&self) -> Result<[u8; RANDOM_LENGTH], RandomnessUnavailable> {
        Err(RandomnessUnavailable)
    }
}

impl Scene {
    /// A scene that remembers `proofs` requests.
    pub(crate) fn new(proofs: usize) -> Self {
        Self::with_routes(proofs, vec![Route::new("/")])
    }

    /// The same with these routes.
    pub(crate) fn with_routes(proofs: usize, routes: Vec<Route>) -> Self {
        let small = Limits {
            results: 16,
            access_tokens: 16,
            first_uses: 16,
            addresses: 16,
            proofs,
            failures: 20,
            callers: 16,
            instance_requests: u32::MAX,
        };
        Self::with_limits(small, routes, None)
    }

    /// The same with tables of these sizes, and opaque tokens if the resource takes them.
    pub(crate) fn with_limits(
        limits: Limits,
        routes: Vec<Route>,
        introspection: Option<Introspection>,
    ) -> Self {
        let signer = |name| SessionKey::from_seed(&Seed::from_text(name));
        let (service, server, device) = (signer("service"), signer("server"), signer("device"));
        let client = OAuthClient { issuer: SERVER.to_owned(), client_id: "client".to_owned() };
        let resource = Resource {
            identifier: RESOURCE.to_owned(),
            origin: Origin::parse(RESOURCE).unwrap(),
            metadata_url: None,
            authorization_servers: vec![SERVER.to_owned()],
            clients: HashMap::from([("app".to_owned(), vec![client])]),
            introspection,
            path_case: PathCase::Unknown,
            replay_domain: String::new(),
            routes,
        };
        let edge = Edge::new(
            HashMap::from([("api".to_owned(), resource)]),
            [SERVICE.to_owned()],
            [SERVER.to_owned()],
            MacKeyRing::new(MacKey::new(1, [3; 32]), vec![]),
            Box::new(NoNonces),
            false,
            limits,
        );
        // Bans of others: what every request is compared with.
        edge.replace_deny_list(DenyList {
            issuer: SERVICE.to_owned(),
            sequence: 1,
            issued_at: NOW,
            expires_at: NOW.plus(600),
            instances: (100..200).map(|number| InstanceId::from_bytes([number; 16])).collect(),
            key_ids: [b"stolen".to_vec()].into(),
            subjects: (100..200).map(|number| SubjectDigest::from_bytes([number; 32])).collect(),
        });
        edge.service(SERVICE).unwrap().replace(service_keys(&key_set(&service)));
        edge.authorization_server(SERVER).unwrap().replace(key_set(&server));
        let result = result(&service, device.public_key(), InstanceId::from_bytes([5; 16]), NOW);
        let token = access_token(&server, "248289761001", true, NOW);
        Self { edge, service, server, session: Session { key: device, result }, token }
    }

    /// A request of another instance with another user, from an address of its own. A token that is not bound is a
    /// bearer token.
    pub(crate) fn sent_by(&self, number: u32, is_bound: bool, now: Timestamp) -> Sent {
        let mut instance = [9; 16];
        instance[..4].copy_from_slice(&number.to_be_bytes());
        let key = self.session.key.clone();
        let result = result(&self.service, key.public_key(), InstanceId::from_bytes(instance), now);
        let token = access_token(&self.server, &format!("user-{number}"), is_bound, now);
        let sent = Session { key, result };
        let scheme = if is_bound { "DPoP" } else { "Bearer" };
        Sent { source: Some(address(number)), ..prove(&sent, &token, scheme, now) }
    }

    /// A further request of the device.
    pub(crate) fn sent(&self) -> Sent {
        prove(&self.session, &self.token, "DPoP", NOW)
    }

    /// The same from this address.
    pub(crate) fn sent_from(&self, source: IpAddr) -> Sent {
        Sent { source: Some(source), ..self.sent() }
    }

    /// A further request of the device with another access token.
    pub(crate) fn sent_with(&self, token: &str) -> Sent {
        prove(&self.session, token, "DPoP", NOW)
    }

    /// The same request of whoever sent `sent`, proven anew.
    pub(crate) fn again(&self, sent: &Sent, now: Timestamp) -> Sent {
        let session = Session { key: self.session.key.clone(), result: sent.result.clone() };
        let (scheme, token) = sent.authorization.split_once(' ').unwrap();
        Sent { source: sent.source, ..prove(&session, token, scheme, now) }
    }

    pub(crate) fn check(&self, sent: &Sent) -> Decision {
        self.check_at(sent, NOW)
    }

    pub(crate) fn check_at(&self, sent: &Sent, now: Timestamp) -> Decision {
        let request = Request {
            method: "GET",
            path_and_query: "/v1/accounts/1234567890/transactions?page=1",
            source: sent.source,
            client_certificate: None,
            fields: Fields {
                authorization: Field::from_lines([sent.authorization.as_bytes()]),
                attestation_result: Field::from_lines([sent.result.as_bytes()]),
                attestation_proof: Field::from_lines([sent.proof.as_bytes()]),
                ..Fields::default()
            },
            content: Content::Unseen,
        };
        self.edge.check("api", &request, now)
    }
}

/// An address that no other number has.
pub(crate) fn address(number: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + number).to_be_bytes())
}

fn prove(session: &Session, token: &str, scheme: &str, now: Timestamp) -> Sent {
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    let mut token_id = [0; 16];
    token_id[..8].copy_from_slice(&REQUESTS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let fields = session.prove(&ProofRequest {
        resource: RESOURCE,
        method: "GET",
        uri: "https://api.example/v1/accounts/1234567890/transactions?page=1",
        body: None,
        credential: Some(token),
        nonce: None,
        token_id,
        now,
    });
    let authorization = format!("{scheme} {token}");
    Sent { source: None, authorization, result: fields.result, proof: fields.proof }
}

fn key_set(key: &SessionKey) -> Jwks {
    Jwks::decode(jwks([("key-1", &key.public_key())]).to_string().as_bytes()).unwrap()
}

fn result(service: &SessionKey, confirmation: PublicKey, instance: InstanceId, now: Timestamp) -> String {
    let claims = ResultClaims {
        issuer: SERVICE.to_owned(),
        client_id: "app".to_owned(),
        issued_at: now.minus(1),
        expires_at: now.plus(599),
        confirmation,
        tier: Tier::Affirming,
        instance,
        instance_jkt: JKT,
        protection: Protection::Tee,
        vouched_by: VouchedBy::Platform,
        evidence_time: now.minus(1),
        app_version: Some("4.12.0".to_owned()),
        policy: "default/12".to_owned(),
        labels: Vec::new(),
        trust_vector: TrustVector::default(),
    };
    let message = claims.to_unsigned("key-1");
    base64url(&message.with_signature(&service.sign(&message.to_be_signed())))
}

fn access_token(server: &SessionKey, subject: &str, is_bound: bool, now: Timestamp) -> String {
    let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "key-1"});
    let mut claims = json!({
        "iss": SERVER, "sub": subject, "client_id": "client", "aud": RESOURCE,
        "jti": "b4b3f9e2c7f14a2f9d0e6a5c", "scope": "accounts transactions",
        "iat": now.minus(60).as_unix_seconds(), "exp": now.plus(1740).as_unix_seconds(),
    });
    if is_bound {
        claims["cnf"] = json!({"jkt": JKT.to_base64url()});
    }
    let segment = |value: &Value| base64url(value.to_string().as_bytes());
    let input = format!("{}.{}", segment(&header), segment(&claims));
    let signature = server.sign(input.as_bytes());
    format!("{input}.{}", base64url(&signature))
}
