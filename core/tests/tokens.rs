//! The compact result and proof: they read the same elsewhere, and nothing in them can be changed, left out or added.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use ed25519_dalek::{Signer, SigningKey};
use serde_cbor::Value;
use std::collections::BTreeMap;

use countersign_core::cbor::CborError;
use countersign_core::time::Timestamp;
use countersign_core::token::client_attestation::ClientAttestation;
use countersign_core::token::cose::{Header, Unsigned, typ};
use countersign_core::token::jose::Jws;
use countersign_core::token::keys::{Algorithm, PublicKey, PureRust, Thumbprint};
use countersign_core::token::proof::{DecodedProof, ProofClaims};
use countersign_core::token::result::{DecodedResult, InstanceId, Protection, ResultClaims, Tier, VouchedBy};
use countersign_core::token::trust_vector::{TrustClaim, TrustVector};

const KID: &str = "service-1";

fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::from_ed25519(signing_key(seed).verifying_key().to_bytes()).unwrap()
}

fn p256() -> PublicKey {
    let key = p256::ecdsa::SigningKey::from_slice(&[1; 32]).unwrap();
    PublicKey::from_p256_sec1(key.verifying_key().to_sec1_point(false).as_bytes()).unwrap()
}

fn trust_vector() -> TrustVector {
    let mut vector = TrustVector::default();
    vector.worsen(TrustClaim::Hardware, 2);
    vector.worsen(TrustClaim::Configuration, 32);
    vector
}

fn result_claims() -> ResultClaims {
    ResultClaims {
        issuer: "https://attest.example".to_owned(),
        client_id: "app".to_owned(),
        issued_at: Timestamp::from_unix_seconds(1_800_000_000),
        expires_at: Timestamp::from_unix_seconds(1_800_000_600),
        confirmation: public(2),
        tier: Tier::Warning,
        instance: InstanceId::from_bytes([3; 16]),
        instance_jkt: Thumbprint::from_bytes([4; 32]),
        protection: Protection::Strongbox,
        vouched_by: VouchedBy::AttestedApp,
        evidence_time: Timestamp::from_unix_seconds(1_799_999_000),
        app_version: Some("1.2.3".to_owned()),
        policy: "shop/7".to_owned(),
        labels: vec!["beta".to_owned()],
        trust_vector: trust_vector(),
    }
}

fn proof_claims() -> ProofClaims<'static> {
    ProofClaims {
        audience: "https://api.example",
        issued_at: Timestamp::from_unix_seconds(1_800_000_010),
        token_id: &[5; 16],
        nonce: Some(&[6; 42]),
        result: [7; 32],
        ath: Some([8; 32]),
        method: "POST",
        target: "https://api.example/orders",
        query: Some([9; 32]),
        content: Some([10; 32]),
        environment: Some(3),
    }
}

fn sign(unsigned: &Unsigned, seed: u8) -> Vec<u8> {
    unsigned.with_signature(&signing_key(seed).sign(&unsigned.to_be_signed()).to_bytes())
}

fn result() -> Vec<u8> {
    sign(&result_claims().to_unsigned(KID), 1)
}

fn proof() -> Vec<u8> {
    sign(&proof_claims().to_unsigned(), 2)
}

const RESULT_HEADER: Header<'static> =
    Header { algorithm: Algorithm::Ed25519, key_id: Some(b"service-1"), typ: typ::RESULT };
const PROOF_HEADER: Header<'static> = Header { algorithm: Algorithm::Ed25519, key_id: None, typ: typ::PROOF };

/// The claims of a message as an independent decoder reads them.
fn claims(message: &[u8]) -> BTreeMap<Value, Value> {
    use coset::CborSerializable;
    let payload = coset::CoseSign1::from_slice(message).unwrap().payload.unwrap();
    match serde_cbor::from_slice(&payload).unwrap() {
        Value::Map(claims) => claims,
        other => panic!("claims are a map, not {other:?}"),
    }
}

fn key(label: i64) -> Value {
    Value::Integer(i128::from(label))
}

/// The message with its claims changed, signed again.
fn changed(message: &[u8], header: &Header<'_>, change: impl FnOnce(&mut BTreeMap<Value, Value>)) -> Vec<u8> {
    let mut claims = claims(message);
    change(&mut claims);
    let payload = serde_cbor::to_vec(&Value::Map(claims)).unwrap();
    sign(&Unsigned::new(header, payload), 1)
}

fn changed_result(change: impl FnOnce(&mut BTreeMap<Value, Value>)) -> Result<ResultClaims, CborError> {
    DecodedResult::decode(&changed(&result(), &RESULT_HEADER, change)).map(|decoded| decoded.claims)
}

fn changed_proof(change: impl FnOnce(&mut BTreeMap<Value, Value>)) -> Result<(), CborError> {
    DecodedProof::decode(&changed(&proof(), &PROOF_HEADER, change)).map(drop)
}

#[test]
fn a_result_comes_back_as_it_was() {
    let bare = ResultClaims { app_version: None, labels: vec![], ..result_claims() };
    for claims in [result_claims(), bare] {
        let message = sign(&claims.to_unsigned(KID), 1);
        let decoded = DecodedResult::decode(&message).unwrap();
        assert_eq!(decoded.claims, claims);
        assert_eq!(decoded.message.header(), &RESULT_HEADER);
        assert_eq!(decoded.message.verify(&public(1), &PureRust), Ok(()));
        assert!(decoded.message.verify(&public(2), &PureRust).is_err());
    }
}

#[test]
fn a_proof_comes_back_as_it_was() {
    let bare = ProofClaims {
        nonce: None,
        ath: None,
        query: None,
        content: None,
        environment: None,
        token_id: &[0; 12],
        ..proof_claims()
    };
    for claims in [proof_claims(), bare] {
        let message = sign(&claims.to_unsigned(), 2);
        let decoded = DecodedProof::decode(&message).unwrap();
        assert_eq!(decoded.claims, claims);
        assert_eq!(decoded.message.verify(&public(2), &PureRust), Ok(()));
    }
}

#[test]
fn a_result_reads_the_same_elsewhere() {
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let text = |text: &str| Value::Text(text.to_owned());
    let cose_key = BTreeMap::from([
        (key(1), key(1)),
        (key(-1), key(6)),
        (key(-2), bytes(&signing_key(2).verifying_key().to_bytes())),
    ]);
    let expected = BTreeMap::from([
        (key(1), text("https://attest.example")),
        (key(2), text("app")),
        (key(4), key(1_800_000_600)),
        (key(6), key(1_800_000_000)),
        (key(8), Value::Map(BTreeMap::from([(key(1), Value::Map(cose_key))]))),
        (key(-66001), key(32)),
        (key(-66002), bytes(&[3; 16])),
        (key(-66003), bytes(&[4; 32])),
        (key(-66004), key(2)),
        (key(-66005), key(2)),
        (key(-66006), key(1_799_999_000)),
        (key(-66501), text("1.2.3")),
        (key(-66502), text("shop/7")),
        (key(-66503), Value::Array(vec![text("beta")])),
        (key(-66504), Value::Map(BTreeMap::from([(key(1), key(32)), (key(4), key(2))]))),
    ]);
    assert_eq!(claims(&result()), expected);
}

#[test]
fn a_proof_reads_the_same_elsewhere() {
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let text = |text: &str| Value::Text(text.to_owned());
    let expected = BTreeMap::from([
        (key(3), text("https://api.example")),
        (key(6), key(1_800_000_010)),
        (key(7), bytes(&[5; 16])),
        (key(39), bytes(&[6; 42])),
        (key(-66020), bytes(&[7; 32])),
        (key(-66021), bytes(&[8; 32])),
        (key(-66022), text("POST")),
        (key(-66023), text("https://api.example/orders")),
        (key(-66024), bytes(&[9; 32])),
        (key(-66025), bytes(&[10; 32])),
        (key(-66520), key(3)),
    ]);
    assert_eq!(claims(&proof()), expected);
}

#[test]
fn no_bit_of_a_result_can_be_changed() {
    let message = result();
    for index in 0..message.len() {
        for bit in 0..8 {
            let mut altered = message.clone();
            altered[index] ^= 1 << bit;
            let passed = DecodedResult::decode(&altered)
                .is_ok_and(|d| d.message.verify(&public(1), &PureRust).is_ok());
            assert!(!passed, "bit {bit} of byte {index}");
        }
        assert!(DecodedResult::decode(&message[..index]).is_err(), "cut at {index}");
    }
}

#[test]
fn no_bit_of_a_proof_can_be_changed() {
    let message = proof();
    for index in 0..message.len() {
        for bit in 0..8 {
            let mut altered = message.clone();
            altered[index] ^= 1 << bit;
            let passed =
                DecodedProof::decode(&altered).is_ok_and(|d| d.message.verify(&public(2), &PureRust).is_ok());
            assert!(!passed, "bit {bit} of byte {index}");
        }
        assert!(DecodedProof::decode(&message[..index]).is_err(), "cut at {index}");
    }
}

#[test]
fn a_result_lives_between_one_second_and_ten_minutes() {
    let with_expiry =
        |expires_at: i128| changed_result(|c| drop(c.insert(key(4), Value::Integer(expires_at))));
    for seconds in [1, 600] {
        assert!(with_expiry(1_800_000_000 + seconds).is_ok(), "{seconds}");
    }
    for seconds in [601, 0, -1, -1_800_000_001, 1 << 62] {
        assert_eq!(with_expiry(1_800_000_000 + seconds).err(), Some(CborError::Unexpected), "{seconds}");
    }
}

#[test]
fn every_claim_that_is_required_is_missed() {
    for label in [1, 2, 4, 6, 8, -66001, -66002, -66003, -66004, -66005, -66006, -66502] {
        let decoded = changed_result(|c| drop(c.remove(&key(label)).unwrap()));
        assert_eq!(decoded.err(), Some(CborError::Missing), "{label}");
    }
    for label in [3, 6, 7, -66020, -66022, -66023] {
        let decoded = changed_proof(|c| drop(c.remove(&key(label)).unwrap()));
        assert_eq!(decoded.err(), Some(CborError::Missing), "{label}");
    }
}

#[test]
fn an_unknown_critical_claim_is_refused_and_another_is_ignored() {
    for label in [-66010, -66019, -66026, -66499] {
        let add = |c: &mut BTreeMap<Value, Value>| drop(c.insert(key(label), Value::Bool(true)));
        assert_eq!(changed_result(add).err(), Some(CborError::UnknownCritical), "{label}");
        assert_eq!(changed_proof(add).err(), Some(CborError::UnknownCritical), "{label}");
    }
    for label in [40, 1_000_000, -66000, -66500, -66999, -70_000] {
        let nested = Value::Array(vec![Value::Map(BTreeMap::from([(key(1), Value::Null)]))]);
        let add = |c: &mut BTreeMap<Value, Value>| drop(c.insert(key(label), nested.clone()));
        assert_eq!(changed_result(add), Ok(result_claims()), "{label}");
        assert_eq!(changed_proof(add), Ok(()), "{label}");
    }
    let text = |c: &mut BTreeMap<Value, Value>| drop(c.insert(Value::Text("iss".to_owned()), key(1)));
    assert_eq!(changed_result(text).err(), Some(CborError::Unexpected), "claims have integer keys only");
}

#[test]
fn a_claim_of_another_type_or_value_is_refused() {
    let wrong = [
        (1, Value::Bytes(b"https://attest.example".to_vec())),
        (2, key(1)),
        (4, Value::Text("1800000600".to_owned())),
        (6, key(-1)),
        (-66001, key(96)),
        (-66001, key(0)),
        (-66002, Value::Bytes(vec![0; 15])),
        (-66003, Value::Bytes(vec![0; 33])),
        (-66004, key(4)),
        (-66004, key(260)),
        (-66005, key(0)),
        (-66006, Value::Null),
        (-66501, Value::Array(vec![])),
        (-66503, Value::Text("beta".to_owned())),
        (-66503, Value::Array(vec![key(1)])),
        (-66504, Value::Array(vec![])),
        (-66504, Value::Map(BTreeMap::from([(key(8), key(2))]))),
        (-66504, Value::Map(BTreeMap::from([(key(0), key(128))]))),
    ];
    for (label, value) in wrong {
        let decoded = changed_result(|c| drop(c.insert(key(label), value.clone())));
        assert_eq!(decoded.err(), Some(CborError::Unexpected), "{label} {value:?}");
    }
    let wrong = [
        (3, Value::Array(vec![Value::Text("https://api.example".to_owned())])),
        (7, Value::Bytes(vec![0; 11])),
        (7, Value::Bytes(vec![0; 17])),
        (7, Value::Text("0123456789abcdef".to_owned())),
        (39, Value::Text("nonce".to_owned())),
        (-66020, Value::Bytes(vec![0; 31])),
        (-66021, Value::Null),
        (-66520, key(-1)),
    ];
    for (label, value) in wrong {
        let decoded = changed_proof(|c| drop(c.insert(key(label), value.clone())));
        assert_eq!(decoded.err(), Some(CborError::Unexpected), "{label} {value:?}");
    }
}

#[test]
fn a_text_label_is_no_number() {
    for label in ["1", "4", "-66001", "exp", ""] {
        let add = |c: &mut BTreeMap<Value, Value>| {
            drop(c.insert(Value::Text(label.to_owned()), Value::Integer(1)));
        };
        assert_eq!(changed_result(add).err(), Some(CborError::Unexpected), "{label:?}");
        assert_eq!(changed_proof(add).err(), Some(CborError::Unexpected), "{label:?}");
    }
}

#[test]
fn a_float_is_no_time() {
    let decoded = changed_result(|c| drop(c.insert(key(4), Value::Float(1_800_000_600.0))));
    assert_eq!(decoded.err(), Some(CborError::Float));
}

#[test]
fn who_a_proof_speaks_for_is_said_by_the_result_alone() {
    for label in [1, 2] {
        let decoded = changed_proof(|c| drop(c.insert(key(label), Value::Text("app".to_owned()))));
        assert_eq!(decoded.err(), Some(CborError::Unexpected), "{label}");
    }
}

#[test]
fn a_confirmation_is_one_public_ed25519_key() {
    let Value::Map(confirmation) = claims(&result())[&key(8)].clone() else { panic!("cnf is a map") };
    let Value::Map(cose_key) = confirmation[&key(1)].clone() else { panic!("a COSE_Key is a map") };
    let with = |confirmation: Value| changed_result(|c| drop(c.insert(key(8), confirmation))).err();
    let wrapped =
        |cose_key: BTreeMap<Value, Value>| Value::Map(BTreeMap::from([(key(1), Value::Map(cose_key))]));
    assert_eq!(with(wrapped(cose_key.clone())), None);
    let mut private = cose_key.clone();
    private.insert(key(-4), Value::Bytes(vec![0; 32]));
    let mut labelled = cose_key.clone();
    labelled.insert(key(2), Value::Bytes(vec![1]));
    let mut two = confirmation.clone();
    two.insert(key(3), Value::Bytes(vec![1]));
    let hardware = ResultClaims { confirmation: p256(), ..result_claims() };
    let hardware = claims(&sign(&hardware.to_unsigned(KID), 1))[&key(8)].clone();
    let by_id = Value::Map(BTreeMap::from([(key(3), Value::Bytes(vec![1]))]));
    for refused in
        [wrapped(private), wrapped(labelled), Value::Map(two), hardware, by_id, Value::Map(BTreeMap::new())]
    {
        assert_eq!(with(refused.clone()), Some(CborError::Unexpected), "{refused:?}");
    }
}

#[test]
fn a_message_of_one_type_is_none_of_another() {
    assert!(DecodedProof::decode(&result()).is_err());
    assert!(DecodedResult::decode(&proof()).is_err());
    let payload = |message: &[u8]| serde_cbor::to_vec(&Value::Map(claims(message))).unwrap();
    let as_result = |header: &Header<'_>| {
        DecodedResult::decode(&sign(&Unsigned::new(header, payload(&result())), 1)).err()
    };
    let as_proof =
        |header: &Header<'_>| DecodedProof::decode(&sign(&Unsigned::new(header, payload(&proof())), 1)).err();
    assert_eq!(as_result(&RESULT_HEADER), None);
    assert_eq!(as_proof(&PROOF_HEADER), None);
    let upper = RESULT_HEADER.typ.to_uppercase();
    for header in [
        Header { typ: typ::PROOF, ..RESULT_HEADER },
        Header { typ: typ::DENY_LIST, ..RESULT_HEADER },
        Header { typ: &upper, ..RESULT_HEADER },
        Header { typ: "", ..RESULT_HEADER },
        Header { algorithm: Algorithm::Esp256, ..RESULT_HEADER },
    ] {
        assert_eq!(as_result(&header), Some(CborError::Unexpected), "{header:?}");
    }
    assert_eq!(as_result(&Header { key_id: None, ..RESULT_HEADER }), Some(CborError::Missing));
    for header in [
        Header { typ: typ::RESULT, ..PROOF_HEADER },
        Header { algorithm: Algorithm::Esp256, ..PROOF_HEADER },
        Header { key_id: Some(b"kid"), ..PROOF_HEADER },
    ] {
        assert_eq!(as_proof(&header), Some(CborError::Unexpected), "{header:?}");
    }
}

#[test]
fn numbers_on_the_wire_are_a_closed_set() {
    for number in 0..=255 {
        let known = [
            Tier::from_number(number).map(Tier::number),
            Protection::from_number(number).map(Protection::number),
            VouchedBy::from_number(number).map(VouchedBy::number),
        ];
        assert!(known.into_iter().flatten().all(|back| back == number));
    }
    assert_eq!((0..=255).filter_map(Tier::from_number).count(), 2);
    assert_eq!((0..=255).filter_map(Protection::from_number).count(), 4);
    assert_eq!((0..=255).filter_map(VouchedBy::from_number).count(), 3);
}

#[test]
fn a_client_attestation_serves_a_resource_only_with_the_results_claims() {
    let (claims, instance_key) = (result_claims(), p256());
    let attestation = ClientAttestation {
        issuer: "https://attest.example",
        client_id: "app",
        issued_at: claims.issued_at,
        expires_at: claims.expires_at,
        instance_key: &instance_key,
        result: None,
    };
    let token = attestation.to_unsigned(KID).with_signature(&[0; 64]);
    let for_server = Jws::decode(&token).unwrap();
    assert!(!for_server.claims.contains_key("countersign"));
    assert!(for_server.is_typ("oauth-client-attestation+jwt"));
    assert_eq!((for_server.algorithm(), for_server.key_id()), ("ES256", Some(KID)));
    let jwk = for_server.claims["cnf"]["jwk"].as_object().unwrap();
    assert_eq!(PublicKey::from_jwk(jwk), Ok(instance_key));

    let token =
        ClientAttestation { result: Some(&claims), ..attestation }.to_unsigned(KID).with_signature(&[0; 64]);
    let for_resource = Jws::decode(&token).unwrap();
    let member = &for_resource.claims["countersign"];
    assert_eq!(
        (&member["tier"], &member["protection"], &member["vouched_by"]),
        (&32.into(), &2.into(), &2.into())
    );
    assert_eq!(member["instance"], claims.instance.to_base64url());
    assert_eq!(member["instance_jkt"], claims.instance_jkt.to_base64url());
    assert_eq!(member["labels"], serde_json::json!(["beta"]));
    assert_eq!(member["trust_vector"], serde_json::json!({"configuration": 32, "hardware": 2}));
}
