//! Everything that this service makes or takes is recognised and told.

use countersign_core::encoding::base64url;
use countersign_core::time::Timestamp;
use countersign_virtual_device::ProofRequest;

use super::*;
use crate::virtual_world::{RESOURCE, World, access_token, android, iphone, session};

fn text(input: &[u8], keys: Option<&Jwks>) -> String {
    inspect(input, keys).unwrap().to_text(Timestamp::from_unix_seconds(1_790_000_060))
}

fn keys(world: &World) -> Jwks {
    Jwks::decode(world.service().keys.public_jwks().to_string().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_result_is_told_and_its_signature_verified() {
    let world = World::new().await;
    let session = world.session(&mut iphone()).await;
    let told = text(session.result.as_bytes(), None);
    for part in
        ["attestation result", "affirming", "secure-enclave", "(60 s ago)", "(in 9 min)", "was not verified"]
    {
        assert!(told.contains(part), "{part} in {told}");
    }
    let field = format!("Attestation-Result: {}\r\n", session.result);
    assert!(text(field.as_bytes(), Some(&keys(&world))).contains("The signature is good."));
    let foreign = keys(&World::new().await);
    let forged = inspect(session.result.as_bytes(), Some(&foreign)).unwrap();
    assert!(forged.is_forged());
}

#[tokio::test]
async fn a_proof_names_its_request() {
    let world = World::new().await;
    let session = world.session(&mut iphone()).await;
    let fields = session.prove(&ProofRequest {
        resource: RESOURCE,
        method: "POST",
        uri: "https://api.example/v1/pay?x",
        body: None,
        credential: None,
        nonce: None,
        token_id: [1; 16],
        now: world.now(),
    });
    let told = text(fields.proof.as_bytes(), None);
    for part in ["attestation proof", "POST", "https://api.example/v1/pay"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[tokio::test]
async fn an_envelope_is_told_with_its_evidence() {
    let world = World::new().await;
    let envelope = iphone().enrol(&world.call(), &session("first"));
    let told = text(&envelope, None);
    for part in ["enrol", "app-attest", "App Attest attestation object", "production", "certificate"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let envelope = android().enrol(&world.call(), &session("first"));
    for input in [envelope.clone(), base64url(&envelope).into_bytes()] {
        let told = text(&input, None);
        for part in ["android-key", "KeyDescription", "com.example.app", "not_after"] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }
}

#[tokio::test]
async fn the_services_answer_is_told_token_by_token() {
    let world = World::new().await;
    let envelope = iphone().enrol(&world.call(), &session("first"));
    let answer = world.service().attest(None, &envelope).await.unwrap();
    let json = serde_json::to_string(&answer).unwrap();
    let finding = inspect(json.as_bytes(), Some(&keys(&world))).unwrap();
    assert!(!finding.is_forged());
    let all = finding.to_json();
    let parts: Vec<_> = all["parts"].as_array().unwrap().iter().map(|part| &part["what"]).collect();
    assert_eq!(
        parts,
        [
            "attestation result (compact)",
            "client attestation JWT for an authorization server",
            "client attestation JWT for resources",
        ]
    );
    assert!(all["parts"].as_array().unwrap().iter().all(|part| part["signature"] == "good"));
}

#[test]
fn an_unbound_access_token_is_pointed_out() {
    let now = Timestamp::from_unix_seconds(1_790_000_000);
    let unbound = format!("Authorization: Bearer {}", access_token("alice", None, now));
    assert!(text(unbound.as_bytes(), None).contains("bound to no key"));
    let bound = access_token("alice", Some(&iphone().instance_key()), now);
    assert!(text(bound.as_bytes(), None).contains("bound to the key with the thumbprint"));
}

#[tokio::test]
async fn private_keys_are_not_shown() {
    let set =
        br#"{"keys":[{"kty":"oct","k":"c2VjcmV0"},{"kty":"OKP","crv":"Ed25519","x":"AA","d":"c2VjcmV0"}]}"#;
    let told = text(set, None);
    assert!(told.contains("PRIVATE") && !told.contains("c2VjcmV0"), "{told}");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let told =
        Finding::new("thing", serde_json::json!({ "name": "a\u{1b}[31mb\nc" })).to_text(Timestamp::EPOCH);
    assert!(!told.contains('\u{1b}') && told.lines().count() == 2, "{told:?}");
}

#[test]
fn broken_evidence_is_told_with_what_breaks_it() {
    let told = text(b"\xa1\x67attStmt\xa0", None);
    assert!(told.contains("App Attest attestation object") && told.contains("It cannot be read"), "{told}");
}

#[test]
fn noise_is_nothing_that_is_known() {
    for noise in [&b""[..], b"hello", b"{}", b"a.b.c", b"\xff\x00", b"-----BEGIN CERTIFICATE-----", b"d284"] {
        assert!(inspect(noise, None).is_none(), "{noise:?}");
    }
}
