//! The edge's whole decision at any time: raw header fields, and tokens whose content is the input and whose
//! signatures are sound.

use std::collections::HashMap;

use countersign_core::challenge::{MacKey, MacKeyRing, RANDOM_LENGTH};
use countersign_core::encoding::base64url;
use countersign_core::request::{Origin, sha256};
use countersign_core::time::Timestamp;
use countersign_core::token::cose::{Header, Unsigned, typ};
use countersign_core::token::keys::Algorithm;
use countersign_core::token::proof::{DecodedProof, ProofClaims};
use countersign_core::token::result::DecodedResult;
use countersign_verifier::check::decision::{Randomness, RandomnessUnavailable};
use countersign_verifier::check::route::OAuthClient;
use countersign_verifier::check::trust::service_keys;
use countersign_verifier::check::{
    Content, Decision, Edge, Field, Fields, Limits, PathCase, Request, Resource, Route,
};
use countersign_verifier::credential::jwks::Jwks;
use countersign_verifier::issue::jwks;
use countersign_virtual_device::{Seed, SessionKey};

use super::world::{self, NOW};
use super::{choose, chosen};

const SERVER: &str = "https://as.example";
const RESOURCE: &str = "https://api.example";
const PATH: &str = "/v1/accounts?page=1";
const TARGET: &str = "https://api.example/v1/accounts";

struct Constant;

impl Randomness for Constant {
    fn fresh(&self) -> Result<[u8; RANDOM_LENGTH], RandomnessUnavailable> {
        Ok([7; RANDOM_LENGTH])
    }
}

/// What a request carries.
struct Sent {
    authorization: String,
    result: String,
    proof: String,
}

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    let Some((now, input)) = world::time(data) else { return };
    let mut sent = honest();
    let mut path = PATH.to_owned();
    match choice {
        // Three fields as lines; the last line is the path.
        0 => {
            let mut lines = input.split(|byte| *byte == b'\n');
            let mut line = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
            let raw = Sent { authorization: line(), result: line(), proof: line() };
            path = line();
            let permitted = decide(&raw, &path, now);
            if permitted {
                assert!(raw.result == sent.result && raw.authorization == sent.authorization);
                assert!(raw.proof == sent.proof && path == PATH, "a message that nobody made");
            }
            return;
        }
        1 => sent.proof = sign(&device(), Header { key_id: None, typ: typ::PROOF, ..HEADER }, input),
        2 => {
            sent.result = sign(&service(), Header { typ: typ::RESULT, ..HEADER }, input);
            sent.proof = proof(&sent.result, &sent.authorization);
        }
        3 => {
            let claims = format!("{}.{}", base64url(TOKEN_HEADER), base64url(input));
            let signature = base64url(&server().sign(claims.as_bytes()));
            sent.authorization = format!("DPoP {claims}.{signature}");
            sent.proof = proof(&sent.result, &sent.authorization);
        }
        _ => path = String::from_utf8_lossy(input).into_owned(),
    }
    if decide(&sent, &path, now) {
        holds(&sent, &path, now);
    }
}

/// What must be true of every request that passed, said without the edge's own code.
fn holds(sent: &Sent, path: &str, now: Timestamp) {
    let bytes = |field: &str| countersign_core::encoding::from_base64url(field).expect("base64url");
    let (result, proof) = (bytes(&sent.result), bytes(&sent.proof));
    let result_claims = DecodedResult::decode(&result).expect("a result").claims;
    let proof_claims = DecodedProof::decode(&proof).expect("a proof").claims;
    let token = sent.authorization.strip_prefix("DPoP ").expect("bound tokens travel under DPoP");
    assert!(now < result_claims.expires_at && result_claims.issued_at <= now.plus(60));
    assert!(result_claims.issuer == world::ISSUER && result_claims.client_id == world::CLIENT);
    assert_eq!(result_claims.confirmation, device().public_key());
    assert_eq!(proof_claims.result, sha256(&result));
    assert_eq!(proof_claims.audience, RESOURCE);
    assert_eq!(proof_claims.ath, Some(sha256(token.as_bytes())));
    assert_eq!(proof_claims.method, "GET");
    assert!(proof_claims.issued_at < result_claims.expires_at);
    assert_eq!(proof_claims.query, path.split_once('?').map(|(_, query)| sha256(query.as_bytes())));
    let claims = token.split('.').nth(1).expect("claims");
    let claims: serde_json::Value = serde_json::from_slice(&bytes(claims)).expect("JSON");
    assert!(claims["exp"].as_u64().is_some_and(|end| now.as_unix_seconds() < end));
    assert_eq!(claims["cnf"]["jkt"], result_claims.instance_jkt.to_base64url());
    assert_eq!(claims["client_id"], "client");
}

const HEADER: Header<'static> =
    Header { algorithm: Algorithm::Ed25519, key_id: Some(b"key-1"), typ: typ::RESULT };
const TOKEN_HEADER: &[u8] = br#"{"alg":"EdDSA","typ":"at+jwt","kid":"key-1"}"#;

fn decide(sent: &Sent, path: &str, now: Timestamp) -> bool {
    let request = Request {
        method: "GET",
        path_and_query: path,
        source: None,
        client_certificate: None,
        fields: Fields {
            authorization: Field::from_lines([sent.authorization.as_bytes()]),
            attestation_result: Field::from_lines([sent.result.as_bytes()]),
            attestation_proof: Field::from_lines([sent.proof.as_bytes()]),
            ..Fields::default()
        },
        content: Content::Unseen,
    };
    let edge = edge();
    let permitted = matches!(edge.check("api", &request, now), Decision::Permit(_));
    if permitted {
        let again = edge.check("api", &request, now);
        assert!(matches!(again, Decision::Refusal(_)), "a proof passes once");
    }
    permitted
}

/// A new edge for each input: what one leaves behind must not decide the next.
fn edge() -> Edge {
    let client = OAuthClient { issuer: SERVER.to_owned(), client_id: "client".to_owned() };
    let resource = Resource {
        identifier: RESOURCE.to_owned(),
        origin: Origin::parse(RESOURCE).expect("an origin"),
        metadata_url: None,
        authorization_servers: vec![SERVER.to_owned()],
        clients: HashMap::from([(world::CLIENT.to_owned(), vec![client])]),
        introspection: None,
        path_case: PathCase::Unknown,
        replay_domain: String::new(),
        routes: vec![Route::new("/")],
    };
    let limits = Limits {
        results: 4,
        access_tokens: 4,
        first_uses: 4,
        addresses: 4,
        proofs: 16,
        failures: 20,
        callers: 16,
        instance_requests: 100,
    };
    let edge = Edge::new(
        HashMap::from([("api".to_owned(), resource)]),
        [world::ISSUER.to_owned()],
        [SERVER.to_owned()],
        MacKeyRing::new(MacKey::new(1, [3; 32]), vec![]),
        Box::new(Constant),
        false,
        limits,
    );
    let keys = |key: &SessionKey| {
        Jwks::decode(jwks([("key-1", &key.public_key())]).to_string().as_bytes()).expect("a key set")
    };
    edge.service(world::ISSUER).expect("known").replace(service_keys(&keys(&service())));
    edge.authorization_server(SERVER).expect("known").replace(keys(&server()));
    edge
}

fn service() -> SessionKey {
    SessionKey::from_seed(&Seed::from_text("service"))
}

fn server() -> SessionKey {
    SessionKey::from_seed(&Seed::from_text("server"))
}

fn device() -> SessionKey {
    SessionKey::from_seed(&Seed::from_text("device"))
}

fn sign(key: &SessionKey, header: Header<'_>, payload: &[u8]) -> String {
    let unsigned = Unsigned::new(&header, payload.to_vec());
    base64url(&unsigned.with_signature(&key.sign(&unsigned.to_be_signed())))
}

fn honest() -> Sent {
    let unsigned = world::result_claims(device().public_key()).to_unsigned("key-1");
    let result = base64url(&unsigned.with_signature(&service().sign(&unsigned.to_be_signed())));
    let input = format!("{}.{}", base64url(TOKEN_HEADER), base64url(token_claims().as_bytes()));
    let token = format!("{input}.{}", base64url(&server().sign(input.as_bytes())));
    let authorization = format!("DPoP {token}");
    Sent { proof: proof(&result, &authorization), authorization, result }
}

fn token_claims() -> String {
    let jkt = device().public_key().thumbprint().to_base64url();
    serde_json::json!({
        "iss": SERVER, "sub": "user", "client_id": "client", "aud": RESOURCE, "jti": "1", "scope": "read",
        "iat": NOW.minus(60).as_unix_seconds(), "exp": NOW.plus(540).as_unix_seconds(), "cnf": {"jkt": jkt},
    })
    .to_string()
}

fn proof(result: &str, authorization: &str) -> String {
    let result = countersign_core::encoding::from_base64url(result).expect("base64url");
    let token = authorization.strip_prefix("DPoP ").unwrap_or_default();
    let unsigned = proof_claims(sha256(&result), sha256(token.as_bytes())).to_unsigned();
    base64url(&unsigned.with_signature(&device().sign(&unsigned.to_be_signed())))
}

fn proof_claims(result: [u8; 32], ath: [u8; 32]) -> ProofClaims<'static> {
    ProofClaims {
        audience: RESOURCE,
        issued_at: NOW,
        token_id: &[9; 12],
        nonce: None,
        result,
        ath: Some(ath),
        method: "GET",
        target: TARGET,
        query: Some(sha256(b"page=1")),
        content: None,
        environment: None,
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let sent = honest();
    let payload = |field: &str| {
        let bytes = countersign_core::encoding::from_base64url(field).expect("base64url");
        countersign_core::token::cose::Sign1::decode(&bytes).expect("COSE").payload().to_vec()
    };
    let fields = format!("{}\n{}\n{}\n{PATH}", sent.authorization, sent.result, sent.proof);
    let seed = |choice, seconds: i32, input: &[u8]| chosen(choice, &[&seconds.to_le_bytes(), input].concat());
    vec![
        seed(0, 0, fields.as_bytes()),
        seed(0, 301, fields.as_bytes()),
        seed(1, 0, &payload(&sent.proof)),
        seed(2, 0, &payload(&sent.result)),
        seed(3, 0, token_claims().as_bytes()),
        seed(4, 0, PATH.as_bytes()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_honest_request_passes_and_its_seeds_reach_the_permit() {
        let sent = honest();
        assert!(decide(&sent, PATH, NOW));
        assert!(!decide(&sent, PATH, NOW.plus(301)));
    }
}
