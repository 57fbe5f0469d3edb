//! Genuine-shaped input of every kind, and hostile input.

use countersign_core::challenge::{MacKey, MacKeyRing, Scope};
use countersign_core::encoding::base64url;
use countersign_core::time::Timestamp;
use countersign_core::token::client_attestation::ClientAttestation;
use countersign_core::token::keys::Thumbprint;
use countersign_core::token::result::{InstanceId, Protection, ResultClaims, Tier, VouchedBy};
use countersign_core::token::trust_vector::{TrustClaim, TrustVector};
use countersign_verifier::check::deny_list::{DenyList, SubjectDigest};
use countersign_verifier::issue::jwks;
use countersign_virtual_device::google_authority::status_list_json;
use countersign_virtual_device::{
    AndroidAttack, AssertionAttack, EnrolmentAttack, GoogleAuthority, HeaderFields, IphoneAttack,
    ProofRequest, Seed, ServiceCall, Session, SessionKey, VirtualAndroid, VirtualPhone,
};
use serde_json::{Value as Json, json};

use super::explanation::{Explanation, Outcome};
use super::key_set::KeySet;
use super::recognise::explain;
use crate::cli::Exit;
use crate::virtual_world::{CLIENT, ISSUER, START, android, foreign_challenge, iphone, seed};

const RESOURCE: &str = "https://api.example";

fn service_key() -> SessionKey {
    SessionKey::from_seed(&Seed::from_text("service"))
}

fn session() -> SessionKey {
    SessionKey::from_seed(&Seed::from_text("session"))
}

fn trust_vector() -> TrustVector {
    let mut vector = TrustVector::default();
    vector.worsen(TrustClaim::Hardware, 2);
    vector.worsen(TrustClaim::Configuration, 32);
    vector
}

fn claims() -> ResultClaims {
    ResultClaims {
        issuer: ISSUER.to_owned(),
        client_id: CLIENT.to_owned(),
        issued_at: START,
        expires_at: START.plus(600),
        confirmation: session().public_key(),
        tier: Tier::Affirming,
        instance: InstanceId::from_bytes([7; 16]),
        instance_jkt: Thumbprint::from_bytes([8; 32]),
        protection: Protection::Strongbox,
        vouched_by: VouchedBy::Platform,
        evidence_time: START.minus(60),
        app_version: Some("1.2".to_owned()),
        policy: "test/1".to_owned(),
        labels: vec!["beta".to_owned()],
        trust_vector: trust_vector(),
    }
}

fn result() -> Vec<u8> {
    let unsigned = claims().to_unsigned("k1");
    unsigned.with_signature(&service_key().sign(&unsigned.to_be_signed()))
}

fn proof() -> HeaderFields {
    let session = Session { key: session(), result: base64url(&result()) };
    session.prove(&ProofRequest {
        resource: RESOURCE,
        method: "GET",
        uri: "https://api.example/v1/x?y=1",
        body: None,
        credential: Some("token"),
        nonce: Some(foreign_challenge().as_bytes()),
        token_id: [3; 16],
        now: START,
    })
}

fn call() -> ServiceCall<'static> {
    ServiceCall {
        issuer: ISSUER,
        client_id: CLIENT,
        challenge: foreign_challenge(),
        app_version: "1.0",
        environment: 0,
        now: START,
    }
}

fn envelope(mut phone: VirtualPhone) -> Vec<u8> {
    phone.enrol(&call(), &session())
}

fn deny_list() -> Vec<u8> {
    let list = DenyList {
        issuer: ISSUER.to_owned(),
        sequence: 4,
        issued_at: START,
        expires_at: START.plus(600),
        instances: [InstanceId::from_bytes([7; 16])].into(),
        key_ids: [b"k0".to_vec()].into(),
        subjects: [SubjectDigest::of("https://login.example", "user")].into(),
    };
    let unsigned = list.to_unsigned("k1");
    unsigned.with_signature(&service_key().sign(&unsigned.to_be_signed()))
}

fn jwt(header: &Json, claims: &Json, sign: impl Fn(&[u8]) -> [u8; 64]) -> String {
    let input =
        format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
    format!("{input}.{}", base64url(&sign(input.as_bytes())))
}

fn access_token() -> String {
    let header = json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": "k1" });
    let claims = json!({ "iss": "https://as.example", "sub": "user", "exp": START.as_unix_seconds() + 300,
        "iat": START.as_unix_seconds(), "cnf": { "jkt": "thumbprint" }, "scope": "read" });
    jwt(&header, &claims, |message| service_key().sign(message))
}

fn dpop_proof() -> String {
    let phone = android();
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": phone.instance_key().to_jwk() });
    let claims =
        json!({ "htm": "GET", "htu": "https://api.example/", "jti": "1", "iat": START.as_unix_seconds() });
    jwt(&header, &claims, |message| phone.sign(message))
}

fn client_attestation() -> String {
    let claims = claims();
    let phone = android();
    let unsigned = ClientAttestation {
        issuer: ISSUER,
        client_id: CLIENT,
        issued_at: START,
        expires_at: START.plus(600),
        instance_key: &phone.instance_key(),
        result: Some(&claims),
    }
    .to_unsigned("k2");
    unsigned.with_signature(&phone.sign(unsigned.to_be_signed()))
}

fn chain() -> Vec<u8> {
    VirtualAndroid::new(&GoogleAuthority::from_seed(&seed()), &seed()).attest(b"challenge", START).concat()
}

fn attestation() -> Vec<u8> {
    let VirtualPhone::Iphone(phone) = iphone() else { unreachable!("it was made as an iPhone") };
    phone.attest(&[7; 32], START).object
}

fn assertion() -> Vec<u8> {
    let VirtualPhone::Iphone(mut phone) = iphone() else { unreachable!("it was made as an iPhone") };
    phone.assert(&[7; 32])
}

fn receipt() -> Vec<u8> {
    let VirtualPhone::Iphone(phone) = iphone() else { unreachable!("it was made as an iPhone") };
    phone.exchanged_receipt(3, START)
}

/// One of every kind, with the name under which it should be recognised.
fn one_of_each() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("compact-result", result()),
        ("compact-proof", countersign_core::encoding::from_base64url(&proof().proof).unwrap()),
        ("enrolment", envelope(iphone())),
        ("enrolment", envelope(android())),
        ("deny-list", deny_list()),
        ("access-token", access_token().into_bytes()),
        ("dpop-proof", dpop_proof().into_bytes()),
        ("client-attestation", client_attestation().into_bytes()),
        ("challenge", foreign_challenge().as_bytes().to_vec()),
        ("app-attest", attestation()),
        ("app-attest-assertion", assertion()),
        ("app-attest-receipt", receipt()),
        ("android-key", chain()),
        ("jwks", key_set_json(&service_key()).into_bytes()),
        ("status-list", status_list_json(&[("a1", "REVOKED")]).into_bytes()),
    ]
}

fn key_set_json(key: &SessionKey) -> String {
    jwks([("k1", &key.public_key())]).to_string()
}

fn key_set(key: &SessionKey) -> KeySet {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key_set_json(key)).unwrap();
    KeySet::read(file.path()).unwrap()
}

fn read_json(explanation: &Explanation, now: Timestamp) -> Json {
    serde_json::from_str(&explanation.json(now)).unwrap()
}

fn outcome(explanation: &Explanation, of: &str) -> Option<Outcome> {
    explanation.checks.iter().find(|check| check.of == of).map(|check| check.outcome)
}

#[test]
fn every_kind_is_recognised_in_every_encoding() {
    for (kind, bytes) in one_of_each() {
        let recognised = |input: &[u8]| explain(input, None).map(|explanation| explanation.kind).ok();
        assert_eq!(recognised(&bytes), Some(kind));
        if std::str::from_utf8(&bytes).is_ok() {
            assert_eq!(recognised(&[b" \n", &bytes[..], b"\n"].concat()), Some(kind));
            continue;
        }
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        for text in [
            base64url(&bytes),
            format!("{}\n", base64url(&bytes)),
            format!("Attestation-Result: {}", base64url(&bytes)),
            base64url(&bytes).replace('-', "+").replace('_', "/"),
            hex,
        ] {
            assert_eq!(recognised(text.as_bytes()), Some(kind), "{kind} {text:.40}");
        }
    }
}

#[test]
fn a_result_is_told_with_names_and_times() {
    let explanation = explain(&result(), None).unwrap();
    let report = read_json(&explanation, START.plus(1));
    assert_eq!(
        report["header"],
        json!({ "alg": "Ed25519 (-19)", "kid": "k1", "typ": "application/vnd.countersign.result+cwt" })
    );
    let claims = &report["claims"];
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(ISSUER), &json!(CLIENT)));
    assert_eq!((&claims["tier"], &claims["protection"]), (&json!("affirming"), &json!("strongbox")));
    assert_eq!(
        (&claims["iat"], &claims["exp"]),
        (&json!("2026-09-21T14:13:20Z"), &json!("2026-09-21T14:23:20Z"))
    );
    let text = explanation.text(START.plus(1));
    assert!(text.contains("current; expires in 9 minutes"), "{text}");
    assert!(text.contains("affirming (2)"), "{text}");
    assert!(text.contains("not verified:\n  signature"), "{text}");
    assert_eq!(explanation.exit(), Exit::Success);
}

#[test]
fn what_has_expired_is_explained_and_marked() {
    let explanation = explain(&result(), None).unwrap();
    assert_eq!(read_json(&explanation, START.plus(599))["expired"], json!(false));
    assert_eq!(read_json(&explanation, START.plus(600))["expired"], json!(true));
    assert!(explanation.text(START.plus(7200)).contains("EXPIRED 1 hour ago"));
    assert_eq!(explanation.exit(), Exit::Success);
}

#[test]
fn a_signature_is_verified_only_with_the_key_of_its_kid() {
    let (right, wrong) = (key_set(&service_key()), key_set(&session()));
    for token in [result(), deny_list(), access_token().into_bytes()] {
        let with = |keys: &KeySet| explain(&token, Some(keys)).unwrap();
        assert_eq!(outcome(&with(&right), "signature"), Some(Outcome::Verified));
        assert_eq!(outcome(&with(&wrong), "signature"), Some(Outcome::Failed));
        assert_eq!(with(&wrong).exit(), Exit::Failure);
        assert_eq!(outcome(&explain(&token, None).unwrap(), "signature"), Some(Outcome::NotVerified));
    }
    // The attestation's kid is not in the set.
    let attestation = explain(client_attestation().as_bytes(), Some(&right)).unwrap();
    assert_eq!(outcome(&attestation, "signature"), Some(Outcome::Failed));
}

#[test]
fn an_altered_result_does_not_verify() {
    let mut altered = result();
    *altered.last_mut().unwrap() ^= 1;
    let explanation = explain(&altered, Some(&key_set(&service_key()))).unwrap();
    assert_eq!(outcome(&explanation, "signature"), Some(Outcome::Failed));
}

#[test]
fn an_envelope_is_verified_with_the_keys_that_it_carries() {
    let honest = explain(&envelope(android()), None).unwrap();
    assert_eq!(outcome(&honest, "signature"), Some(Outcome::Verified));
    assert_eq!(outcome(&honest, "possession"), Some(Outcome::Verified));
    for (attack, of) in [
        (EnrolmentAttack::SignatureBit, "signature"),
        (EnrolmentAttack::KeyOfSomebodyElse, "signature"),
        (EnrolmentAttack::PossessionByOtherKey, "possession"),
        (EnrolmentAttack::OtherSessionKey, "possession"),
    ] {
        let forged = explain(&android().forge_enrolment(&call(), &session(), attack), None).unwrap();
        assert_eq!(outcome(&forged, of), Some(Outcome::Failed), "{attack:?}");
    }
}

#[test]
fn the_evidence_in_an_envelope_is_told() {
    let report = read_json(&explain(&envelope(iphone()), None).unwrap(), START);
    assert_eq!(report["evidence"][0]["kind"], "app-attest");
    assert_eq!(report["evidence"][0]["says"]["environment"], "production");
    let report = read_json(&explain(&envelope(android()), None).unwrap(), START);
    let leaf = &report["evidence"][0]["says"][0];
    assert_eq!(leaf["key_description"]["hardware_enforced"]["root_of_trust"]["device_locked"], true);
}

#[test]
fn the_signals_of_a_device_are_told_by_name() {
    let says = |environment: u64| {
        let noticed = android().enrol(&ServiceCall { environment, ..call() }, &session());
        read_json(&explain(&noticed, None).unwrap(), START)["content"]["environment"].clone()
    };
    assert_eq!(says(0), "0b0");
    assert_eq!(
        says(1 << 63 | 0b1001),
        format!("{:#b} (privileged-access, hooks, bit-63)", 1_u64 << 63 | 0b1001)
    );
}

#[test]
fn a_receipt_is_told_without_its_token() {
    let report = read_json(&explain(&receipt(), None).unwrap(), START);
    assert_eq!(report["says"]["type"], "receipt");
    assert_eq!(report["says"]["app_id"], "ABCDE12345.com.example.app");
    assert_eq!(report["says"]["risk_metric"], 3);
    assert_eq!(report["says"]["token"], "88 bytes, for Apple alone");
    assert_eq!(report["says"]["certificates"].as_array().unwrap().len(), 3);
}

#[test]
fn a_dpop_proof_is_verified_with_the_key_in_its_header() {
    let proof = dpop_proof();
    let honest = explain(proof.as_bytes(), None).unwrap();
    assert_eq!(outcome(&honest, "signature"), Some(Outcome::Verified));
    let (input, _) = proof.rsplit_once('.').unwrap();
    let forged = format!("{input}.{}", base64url(&iphone().sign(input.as_bytes())));
    assert_eq!(outcome(&explain(forged.as_bytes(), None).unwrap(), "signature"), Some(Outcome::Failed));
}

#[test]
fn a_private_key_is_never_shown() {
    let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I";
    let mut key = json!(android().instance_key().to_jwk());
    key["d"] = secret.into();
    let claims = json!({ "cnf": { "jwk": key } });
    let header = json!({ "typ": "oauth-client-attestation+jwt", "alg": "ES256", "jwk": key });
    let token = jwt(&header, &claims, |message| android().sign(message));
    let explanation = explain(token.as_bytes(), None).unwrap();
    assert!(!explanation.text(START).contains(secret) && !explanation.json(START).contains(secret));
    let set = explain(json!({ "keys": [key] }).to_string().as_bytes(), None);
    assert_eq!(set.map(drop).map_err(|fault| fault.reason), Err("jwks_private_key"));
}

#[test]
fn malformed_input_is_told_with_reason_and_place() {
    let result = result();
    let receipt = receipt();
    let faults: [(Vec<u8>, &str, &str); 16] = [
        (receipt[..receipt.len() - 2].to_vec(), "receipt_malformed_envelope", "CMS"),
        (result[..result.len() - 1].to_vec(), "cbor_truncated", "byte "),
        ([&result[..], &[0]].concat(), "cbor_trailing_bytes", &format!("byte {}", result.len())),
        ([&[0xd2], &result[..]].concat(), "cbor_tag", "byte 0"),
        (vec![0x84, 0x40, 0xa0, 0x40, 0x40], "cbor_unexpected", "the signature has 0 bytes"),
        (
            [&[0x84, 0x40, 0xa0, 0x41, 0xff, 0x58, 64][..], &[0; 64]].concat(),
            "cbor_indefinite_length",
            "byte 0 of the payload",
        ),
        (b"a.b.c".to_vec(), "jws_base64", "header"),
        (format!("{}.e30.AA", base64url(b"{}")).into_bytes(), "jws_alg", "alg"),
        (format!("{}.W10.AA", base64url(br#"{"alg":"x"}"#)).into_bytes(), "jws_json", "claims"),
        (b"{\"keys\":[}".to_vec(), "json_malformed", "line 1, column 10"),
        (
            b"{\"entries\":{\n\"zz\":{\"status\":\"REVOKED\"}}}".to_vec(),
            "revocation_list_malformed",
            "line 2",
        ),
        (b"[]".to_vec(), "unknown_document", "no object"),
        (b"{\"hello\":1}".to_vec(), "unknown_document", "hello"),
        (b"-----BEGIN PRIVATE KEY-----\n".to_vec(), "unknown_pem", "first line"),
        (vec![0xff; 42], "unknown_binary", "42 bytes that begin with ff ff ff ff"),
        (b" \n".to_vec(), "empty", "no byte"),
    ];
    for (input, reason, at) in faults {
        let fault = explain(&input, None).map(|explanation| explanation.kind).unwrap_err();
        assert_eq!(fault.reason, reason, "{fault:?}");
        assert!(fault.at.contains(at), "{fault:?}");
    }
}

#[test]
fn the_claim_at_fault_is_named() {
    use countersign_core::token::cose::{Header, Unsigned, typ};
    use countersign_core::token::keys::Algorithm;
    let header = Header { algorithm: Algorithm::Ed25519, key_id: Some(b"k1"), typ: typ::RESULT };
    let place = |payload: &[u8]| {
        let bytes = Unsigned::new(&header, payload.to_vec()).with_signature(&[0; 64]);
        explain(&bytes, None).map(|explanation| explanation.kind).unwrap_err().at
    };
    assert_eq!(place(&[0xa1, 1, 1]), "claim iss (1) is not text");
    assert!(place(&[0xa0]).starts_with("missing: iss (1), sub (2), exp (4)"));
}

#[test]
fn exit_codes_tell_explained_from_malformed_and_wrong_use() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        std::fs::write(directory.path().join(name), content).unwrap();
        directory.path().join(name).display().to_string()
    };
    let keys = file("keys.json", key_set_json(&service_key()).as_bytes());
    let other_keys = file("other.json", key_set_json(&session()).as_bytes());
    let (result, garbage) = (file("result", &result()), file("garbage", b"\x1b[2J"));
    let exit = |words: &[&str]| {
        crate::cli::main(["countersign", "inspect"].iter().chain(words).map(std::ffi::OsString::from))
    };
    for (words, code) in [
        (&[result.as_str()][..], 0),
        (&[&result, "--json", "--jwks", &keys], 0),
        (&[&result, "--jwks", &other_keys], 1),
        (&[&garbage], 2),
        (&[&garbage, "--json"], 2),
        (&["/missing"], 3),
        (&[&result, "--jwks", &garbage], 3),
        (&[&result, "--jwks", "/missing"], 3),
        (&[], 3),
    ] {
        assert_eq!(exit(words), std::process::ExitCode::from(code), "{words:?}");
    }
}

#[test]
fn too_long_input_is_not_looked_at() {
    let long = vec![b'A'; 1024 * 1024 + 1];
    assert_eq!(explain(&long, None).map(drop).map_err(|fault| fault.reason), Err("too_long"));
}

#[test]
fn every_forged_piece_of_evidence_is_explained_or_refused() {
    let explained = |bytes: &[u8]| {
        if let Ok(explanation) = explain(bytes, None) {
            assert!(!explanation.text(START).is_empty());
            assert!(explanation.checks.iter().any(|check| check.outcome == Outcome::NotVerified));
        }
    };
    let VirtualPhone::Iphone(phone) = iphone() else { unreachable!("it was made as an iPhone") };
    for attack in IphoneAttack::ALL {
        explained(&phone.clone().attack(*attack).attest(&[7; 32], START).object);
    }
    for attack in AssertionAttack::ALL {
        explained(&phone.clone().assertion_attack(*attack).assert(&[7; 32]));
    }
    for attack in AndroidAttack::ALL {
        let VirtualPhone::Android(phone) = android() else { unreachable!("it was made as an Android phone") };
        explained(&phone.attack(*attack).attest(b"challenge", START).concat());
    }
    for attack in EnrolmentAttack::ALL {
        explained(&android().forge_enrolment(&call(), &session(), *attack));
    }
}

#[test]
fn truncated_and_altered_input_is_survived() {
    for (_, bytes) in one_of_each() {
        let step = bytes.len() / 64 + 1;
        for at in (0..bytes.len()).step_by(step) {
            let _ = explain(&bytes[..at], None);
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut altered = bytes.clone();
                altered[at] ^= flip;
                if let Ok(explanation) = explain(&altered, None) {
                    let _ = (explanation.text(START), explanation.json(START));
                }
            }
        }
    }
}

#[test]
fn nesting_and_lengths_are_survived() {
    let hostile: [Vec<u8>; 8] = [
        vec![0x84; 100_000],
        [&[0xa1, 0x61, b'x'], &vec![0x81; 60_000][..]].concat(),
        vec![0xa1, 0x63, b'f', b'm', b't', 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        [0x30, 0x80].repeat(50_000),
        [0x30, 0x84, 0xff, 0xff, 0xff, 0xff].repeat(1000),
        vec![b'{'; 200_000],
        "[".repeat(200_000).into_bytes(),
        format!("{}.{}.AA", base64url(br#"{"alg":"x"}"#), base64url("{\"a\":".repeat(2000).as_bytes()))
            .into_bytes(),
    ];
    for input in hostile {
        assert!(explain(&input, None).is_err());
    }
}

#[test]
fn times_beyond_every_calendar_are_survived() {
    let ring = MacKeyRing::new(MacKey::new(1, [9; 32]), vec![]);
    let far =
        ring.issue(Scope::Challenge { issuer: ISSUER }, Timestamp::from_unix_seconds(u64::MAX), &[1; 16]);
    let explanation = explain(far.as_bytes(), None).unwrap();
    assert!(explanation.text(START).contains("beyond the year 9999"));
    assert_eq!(read_json(&explanation, START)["content"]["issued_at"], json!(u64::MAX));
}

#[tokio::test]
async fn the_services_answer_is_told_token_by_token() {
    let world = crate::virtual_world::World::new().await;
    let answer = world.service().attest(None, &iphone().enrol(&world.call(), &session())).await.unwrap();
    let json = serde_json::to_vec(&answer).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), world.service().keys.public_jwks().to_string()).unwrap();
    let keys = KeySet::read(file.path()).unwrap();
    let explanation = explain(&json, Some(&keys)).unwrap();
    assert_eq!(explanation.kind, "enrolment-answer");
    let outcomes: Vec<_> = explanation.checks.iter().map(|check| check.outcome).collect();
    assert_eq!(outcomes, [Outcome::Verified; 3]);
    let report = read_json(&explanation, START);
    assert_eq!(report["result"]["claims"]["protection"], "secure-enclave");
    assert_eq!(explain(&json, Some(&key_set(&service_key()))).unwrap().exit(), Exit::Failure);
}

#[test]
fn an_unbound_access_token_is_pointed_out() {
    let header = json!({ "typ": "at+jwt", "alg": "EdDSA" });
    let unbound = jwt(&header, &json!({ "sub": "user" }), |message| service_key().sign(message));
    assert!(explain(unbound.as_bytes(), None).unwrap().text(START).contains("bound to no key"));
    let bound = explain(format!("Authorization: DPoP {}", access_token()).as_bytes(), None).unwrap();
    assert!(!bound.text(START).contains("bound to no key"));
}

#[test]
fn an_extended_chain_is_pointed_out() {
    let VirtualPhone::Android(phone) = android() else { unreachable!("it was made as an Android phone") };
    let chain = phone.attack(AndroidAttack::ExtendedChain).attest(b"challenge", START).concat();
    assert!(explain(&chain, None).unwrap().what.contains("SEVERAL"));
}
