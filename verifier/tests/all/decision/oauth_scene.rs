//! A phone that speaks the OAuth flavour, and its honest requests.

use countersign_core::encoding::base64url;
use countersign_core::request::sha256;
use countersign_core::token::client_attestation::{ClientAttestation, ClientAttestationPop};
use countersign_core::token::dpop::DpopProof;
use countersign_core::token::jose::UnsignedJwt;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::{InstanceId, Protection, ResultClaims, Tier, VouchedBy};
use countersign_core::token::trust_vector::TrustVector;
use countersign_verifier::check::trust::{ServiceKeys, service_keys};
use countersign_verifier::check::{Content, Decision, Field, Fields, Reason, Refusal, Request, Route};
use countersign_verifier::credential::jwks::Jwks;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Map, Value, json};

use super::scene::{self, AUTHORIZATION_SERVER_SEED, NOW, RESOURCE, SERVICE, SERVICE_SEED, Scene};

const TARGET: &str = "https://api.example/v1/accounts/1";

/// A phone by its instance key.
pub(super) struct Phone(pub(super) SigningKey);

/// A request as it is sent.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) method: &'static str,
    pub(super) path_and_query: &'static str,
    pub(super) authorization: Option<String>,
    pub(super) attestation: Option<String>,
    pub(super) dpop: Option<String>,
    pub(super) pop: Option<String>,
    pub(super) content: Content,
}

impl Sent {
    pub(super) fn request(&self) -> Request<'_> {
        fn line(value: &Option<String>) -> Field<'_> {
            Field::from_lines(value.as_deref().map(str::as_bytes))
        }
        Request {
            method: self.method,
            path_and_query: self.path_and_query,
            source: None,
            client_certificate: None,
            fields: Fields {
                authorization: line(&self.authorization),
                client_attestation: line(&self.attestation),
                client_attestation_pop: line(&self.pop),
                dpop: line(&self.dpop),
                ..Fields::default()
            },
            content: self.content,
        }
    }
}

pub(super) fn scene(route: Route) -> Scene {
    let scene = Scene::with_route(route);
    scene.edge.service(SERVICE).unwrap().replace(keys());
    scene
}

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

pub(super) fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_p256_sec1(key.verifying_key().to_sec1_point(false).as_bytes()).unwrap()
}

pub(super) fn phone() -> Phone {
    Phone(key(5))
}

pub(super) fn service_key() -> SigningKey {
    key(9)
}

/// The service's set: one key for results, one for client attestations.
pub(super) fn keys() -> ServiceKeys {
    let mut set: Value = serde_json::from_str(&scene::key_set("service-1", SERVICE_SEED)).unwrap();
    let mut jwk = json!(public(&service_key()).to_jwk());
    jwk["kid"] = "jwt-1".into();
    set["keys"].as_array_mut().unwrap().push(jwk);
    service_keys(&Jwks::decode(set.to_string().as_bytes()).unwrap())
}

pub(super) fn signed(unsigned: &UnsignedJwt, key: &SigningKey) -> String {
    let signature: Signature = key.sign(unsigned.to_be_signed());
    unsigned.with_signature(&signature.to_bytes().into())
}

/// A JWT whose header and claims somebody changed before it was signed.
pub(super) fn changed(
    jwt: &str,
    key: &SigningKey,
    change: impl FnOnce(&mut Value, &mut Map<String, Value>),
) -> String {
    let mut parts = jwt.split('.').map(|part| {
        let bytes = countersign_core::encoding::from_base64url(part).unwrap_or_default();
        serde_json::from_slice::<Value>(&bytes).unwrap_or_default()
    });
    let (mut header, mut claims) = (parts.next().unwrap(), parts.next().unwrap());
    change(&mut header, claims.as_object_mut().unwrap());
    let segment = |value: &Value| base64url(value.to_string().as_bytes());
    let input = format!("{}.{}", segment(&header), segment(&claims));
    let signature: Signature = key.sign(input.as_bytes());
    format!("{input}.{}", base64url(&signature.to_bytes()))
}

impl Phone {
    pub(super) fn claims(&self) -> ResultClaims {
        ResultClaims {
            issuer: SERVICE.to_owned(),
            client_id: "app".to_owned(),
            issued_at: NOW.minus(300),
            expires_at: NOW.plus(300),
            confirmation: public(&self.0),
            tier: Tier::Affirming,
            instance: InstanceId::from_bytes([5; 16]),
            instance_jkt: public(&self.0).thumbprint(),
            protection: Protection::Strongbox,
            vouched_by: VouchedBy::Platform,
            evidence_time: NOW.minus(300),
            app_version: Some("1.0".to_owned()),
            policy: "test/1".to_owned(),
            labels: vec!["beta".to_owned()],
            trust_vector: TrustVector::default(),
        }
    }

    pub(super) fn attestation_of(&self, claims: &ResultClaims) -> String {
        let attestation = ClientAttestation {
            issuer: &claims.issuer,
            client_id: &claims.client_id,
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
            instance_key: &public(&self.0),
            result: Some(claims),
        };
        signed(&attestation.to_unsigned("jwt-1"), &service_key())
    }

    pub(super) fn attestation(&self) -> String {
        self.attestation_of(&self.claims())
    }

    pub(super) fn dpop<'a>(&self, token: &str, change: impl FnOnce(&mut DpopProof<'a>)) -> String {
        let mut proof = DpopProof {
            token_id: "0123456789abcdef",
            method: "GET",
            target: TARGET,
            issued_at: NOW,
            nonce: None,
            ath: Some(sha256(token.as_bytes())),
            query: Some(sha256(b"page=1")),
            content: None,
        };
        change(&mut proof);
        signed(&proof.to_unsigned(&public(&self.0)), &self.0)
    }

    pub(super) fn pop(&self, change: impl FnOnce(&mut ClientAttestationPop<'_>)) -> String {
        let mut pop = ClientAttestationPop {
            audience: RESOURCE,
            token_id: "0123456789abcdef",
            issued_at: NOW,
            challenge: None,
        };
        change(&mut pop);
        signed(&pop.to_unsigned(), &self.0)
    }
}

/// An access token of the authorization server, bound to the phone's instance key or to nothing.
pub(super) fn token(bound_to: Option<&Phone>) -> String {
    use aws_lc_rs::signature::Ed25519KeyPair;

    let header = json!({"alg": "Ed25519", "typ": "at+jwt", "kid": "server-1"});
    let mut claims = json!({
        "iss": scene::AUTHORIZATION_SERVER, "sub": "user", "client_id": "client", "aud": RESOURCE, "jti": "1",
        "iat": NOW.minus(10).as_unix_seconds(), "exp": NOW.plus(600).as_unix_seconds(), "scope": "read",
    });
    if let Some(phone) = bound_to {
        claims["cnf"] = json!({"jkt": public(&phone.0).thumbprint().to_base64url()});
    }
    let segment = |value: &Value| base64url(value.to_string().as_bytes());
    let input = format!("{}.{}", segment(&header), segment(&claims));
    let pair = Ed25519KeyPair::from_seed_unchecked(&AUTHORIZATION_SERVER_SEED).unwrap();
    format!("{input}.{}", base64url(pair.sign(input.as_bytes()).as_ref()))
}

/// The honest request.
pub(super) fn sent() -> Sent {
    sent_with(|_| {})
}

/// The honest phone's request with another proof.
pub(super) fn sent_with<'a>(change: impl FnOnce(&mut DpopProof<'a>)) -> Sent {
    let (phone, token) = (phone(), token(Some(&phone())));
    Sent {
        method: "GET",
        path_and_query: "/v1/accounts/1?page=1",
        authorization: Some(format!("DPoP {token}")),
        attestation: Some(phone.attestation()),
        dpop: Some(phone.dpop(&token, change)),
        pop: None,
        content: Content::Unseen,
    }
}

/// A request with the OAuth draft's own proof and an unbound token.
pub(super) fn sent_with_pop(change: impl FnOnce(&mut ClientAttestationPop<'_>)) -> Sent {
    Sent {
        authorization: Some(format!("Bearer {}", token(None))),
        dpop: None,
        pop: Some(phone().pop(change)),
        ..sent()
    }
}

pub(super) fn refusal(scene: &Scene, sent: &Sent) -> Refusal {
    match scene.edge.check("api", &sent.request(), NOW) {
        Decision::Refusal(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

pub(super) fn refused(scene: &Scene, sent: &Sent) -> Reason {
    refusal(scene, sent).reason
}

pub(super) fn passes(scene: &Scene, sent: &Sent) -> bool {
    matches!(scene.edge.check("api", &sent.request(), NOW), Decision::Permit(_))
}
