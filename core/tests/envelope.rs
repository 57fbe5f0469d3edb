//! The envelope of an enrolment: it reads the same elsewhere, and hostile shapes of it are refused.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use ed25519_dalek::Signer;
use serde_cbor::Value;

use countersign_core::binding::Purpose;
use countersign_core::cbor::CborError;
use countersign_core::challenge::{Challenge, LENGTH};
use countersign_core::enrolment::{
    Cure, DecodedEnrolment, Enrolment, EnrolmentAnswer, Evidence, MAX_APP_VERSION, MAX_ENVELOPE, MAX_NAME,
    Problem,
};
use countersign_core::token::cose::{Header, Unsigned, typ};
use countersign_core::token::keys::{Algorithm, PublicKey, PureRust};
use countersign_core::token::result::{InstanceId, Protection};

fn instance_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[1; 32]).unwrap()
}

fn session_key() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[2; 32])
}

fn enrolment() -> Enrolment {
    let mut challenge = [3; LENGTH];
    challenge[0] = 1;
    let mut enrolment = Enrolment {
        instance: None,
        issuer: "https://attest.example".to_owned(),
        challenge: Challenge::from_bytes(&challenge).unwrap(),
        client_id: "app".to_owned(),
        instance_key: PublicKey::from_p256_sec1(
            instance_key().verifying_key().to_sec1_point(false).as_bytes(),
        )
        .unwrap(),
        session_key: PublicKey::from_ed25519(session_key().verifying_key().to_bytes()).unwrap(),
        possession: [0; 64],
        evidence: vec![Evidence::AppAttest { attestation_object: vec![4; 40], key_id: [5; 32] }],
        environment: 6,
        app_version: "1.2.3".to_owned(),
        protection: Protection::SecureEnclave,
    };
    enrolment.possession = session_key().sign(&enrolment.possession_hash()).to_bytes();
    enrolment
}

fn sign(unsigned: &Unsigned) -> Vec<u8> {
    let signature: p256::ecdsa::Signature = instance_key().sign(&unsigned.to_be_signed());
    unsigned.with_signature(&signature.to_bytes().into())
}

fn seal(enrolment: &Enrolment) -> Vec<u8> {
    sign(&enrolment.to_unsigned())
}

fn decode(bytes: &[u8]) -> Result<Enrolment, CborError> {
    DecodedEnrolment::decode(bytes).map(|decoded| decoded.enrolment)
}

fn members(message: &[u8]) -> BTreeMap<Value, Value> {
    use coset::CborSerializable;
    let payload = coset::CoseSign1::from_slice(message).unwrap().payload.unwrap();
    match serde_cbor::from_slice(&payload).unwrap() {
        Value::Map(members) => members,
        other => panic!("an envelope is a map, not {other:?}"),
    }
}

const HEADER: Header<'static> = Header { algorithm: Algorithm::Esp256, key_id: None, typ: typ::ENROLMENT };

fn changed(change: impl FnOnce(&mut BTreeMap<Value, Value>)) -> Result<Enrolment, CborError> {
    let mut members = members(&seal(&enrolment()));
    change(&mut members);
    decode(&sign(&Unsigned::new(&HEADER, serde_cbor::to_vec(&Value::Map(members)).unwrap())))
}

fn key(label: i128) -> Value {
    Value::Integer(label)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn evidence_of_every_kind() -> [Evidence; 5] {
    [
        Evidence::AppAttest { attestation_object: vec![1], key_id: [2; 32] },
        Evidence::AppAttestAssertion { assertion: vec![3] },
        Evidence::AndroidKey { chain: vec![vec![4], vec![5]] },
        Evidence::PlayIntegrity { token: "token".to_owned() },
        Evidence::DevelopmentKey { key_id: "dev".to_owned(), signature: [6; 64] },
    ]
}

#[test]
fn names_that_would_fill_the_audit_record_or_break_its_lines_are_refused() {
    for (label, longest) in [(2, MAX_NAME), (4, MAX_NAME), (10, MAX_APP_VERSION)] {
        let with = |value: &str| changed(|members| drop(members.insert(key(label), text(value)))).map(drop);
        assert_eq!(with(&"a".repeat(longest)), Ok(()), "{label}");
        assert_eq!(with(&"a".repeat(longest + 1)), Err(CborError::Unexpected), "{label}");
        assert_eq!(with("a\n"), Err(CborError::Unexpected), "{label}");
    }
}

#[test]
fn an_envelope_comes_back_as_it_was() {
    for evidence in evidence_of_every_kind() {
        for instance in [None, Some(InstanceId::from_bytes([7; 16]))] {
            let sent = Enrolment { instance, evidence: vec![evidence.clone()], ..enrolment() };
            let bytes = seal(&sent);
            let decoded = DecodedEnrolment::decode(&bytes).unwrap();
            assert_eq!(decoded.enrolment, sent);
            assert_eq!(decoded.message.verify(&sent.instance_key, &PureRust), Ok(()));
        }
    }
    assert_eq!(enrolment().verify_possession(&PureRust), Ok(()));
}

#[test]
fn an_envelope_reads_the_same_elsewhere() {
    let members = members(&seal(&enrolment()));
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    assert_eq!(members[&key(1)], text("enrol"));
    assert_eq!(members[&key(2)], text("https://attest.example"));
    assert_eq!(members[&key(3)], bytes(enrolment().challenge.as_bytes()));
    assert_eq!(members[&key(4)], text("app"));
    let point = enrolment().instance_key.to_p256_sec1().unwrap();
    let cose_key = BTreeMap::from([
        (key(1), key(2)),
        (key(-1), key(1)),
        (key(-2), bytes(&point[1..33])),
        (key(-3), bytes(&point[33..])),
    ]);
    assert_eq!(members[&key(5)], Value::Map(cose_key));
    assert_eq!(members[&key(7)], bytes(&enrolment().possession));
    let evidence = Value::Array(vec![text("app-attest"), bytes(&[4; 40]), bytes(&[5; 32])]);
    assert_eq!(members[&key(8)], Value::Array(vec![evidence]));
    assert_eq!((&members[&key(9)], &members[&key(10)]), (&key(6), &text("1.2.3")));
    assert_eq!(members[&key(12)], key(3));
    assert_eq!(members.len(), 11);
}

#[test]
fn no_byte_of_an_envelope_can_be_changed() {
    let message = seal(&enrolment());
    let registered = enrolment().instance_key;
    for index in 0..message.len() {
        let mut altered = message.clone();
        altered[index] ^= 1;
        let passed = DecodedEnrolment::decode(&altered)
            .is_ok_and(|d| d.message.verify(&registered, &PureRust).is_ok());
        assert!(!passed, "byte {index}");
        assert!(decode(&message[..index]).is_err(), "cut at {index}");
    }
}

#[test]
fn possession_is_of_this_session_key_under_this_challenge() {
    let mut other = enrolment();
    other.client_id.push('x');
    assert!(other.verify_possession(&PureRust).is_err());
    let mut other = enrolment();
    other.possession = session_key().sign(&other.binding(Purpose::Renew, true, true).hash()).to_bytes();
    assert!(other.verify_possession(&PureRust).is_err(), "a signature for another purpose");
}

#[test]
fn evidence_is_of_one_platform_and_each_kind_once() {
    let all = evidence_of_every_kind();
    let platform = |evidence: &Evidence| match evidence {
        Evidence::AppAttest { .. } | Evidence::AppAttestAssertion { .. } => 0,
        Evidence::AndroidKey { .. } | Evidence::PlayIntegrity { .. } => 1,
        Evidence::DevelopmentKey { .. } => 2,
    };
    for first in &all {
        for second in &all {
            let sent = Enrolment { evidence: vec![first.clone(), second.clone()], ..enrolment() };
            let fits = platform(first) == platform(second) && first.kind() != second.kind();
            assert_eq!(decode(&seal(&sent)).is_ok(), fits, "{first:?} and {second:?}");
        }
    }
    let none = Enrolment { evidence: vec![], ..enrolment() };
    assert_eq!(decode(&seal(&none)), Ok(none), "an envelope may bring none; whether that suffices is policy");
}

#[test]
fn the_purpose_follows_from_the_instance() {
    let say = |purpose: &str| changed(|m| drop(m.insert(key(1), text(purpose))));
    assert_eq!(say("enrol"), Ok(enrolment()));
    for purpose in ["renew", "possess", "", "ENROL"] {
        assert_eq!(say(purpose), Err(CborError::Unexpected), "{purpose}");
    }
    let add = |m: &mut BTreeMap<Value, Value>| drop(m.insert(key(11), Value::Bytes(vec![7; 16])));
    assert_eq!(changed(add), Err(CborError::Unexpected), "an instance and the purpose enrol");
    let renewal = changed(|m| {
        add(m);
        m.insert(key(1), text("renew"));
    });
    assert_eq!(renewal.map(|renewal| renewal.purpose()), Ok(Purpose::Renew));
}

#[test]
fn members_are_exactly_the_known_ones() {
    for label in (1..=10).chain([12]) {
        let decoded = changed(|m| drop(m.remove(&key(label)).unwrap()));
        assert_eq!(decoded, Err(CborError::Missing), "{label}");
        let decoded = changed(|m| drop(m.insert(key(label), Value::Null)));
        assert_eq!(decoded, Err(CborError::Unexpected), "{label}");
    }
    for label in [0, 13, 255] {
        let decoded = changed(|m| drop(m.insert(key(label), Value::Null)));
        assert_eq!(decoded, Err(CborError::UnknownCritical), "{label}");
    }
}

#[test]
fn keys_are_of_their_kind() {
    let swapped = changed(|m| {
        let (instance, session) = (m[&key(5)].clone(), m[&key(6)].clone());
        m.insert(key(5), session);
        m.insert(key(6), instance);
    });
    assert_eq!(swapped, Err(CborError::Unexpected));
    let private = changed(|m| {
        let Some(Value::Map(cose_key)) = m.get_mut(&key(6)) else { panic!("a key is a map") };
        cose_key.insert(key(-4), Value::Bytes(vec![0; 32]));
    });
    assert_eq!(private, Err(CborError::Unexpected));
}

#[test]
fn evidence_of_another_shape_is_refused() {
    let bytes = |length: usize| Value::Bytes(vec![0; length]);
    let refused = [
        vec![],
        vec![text("app-attest")],
        vec![text("app-attest"), bytes(1), bytes(31)],
        vec![text("app-attest"), bytes(1), bytes(32), bytes(1)],
        vec![text("app-attest-assertion"), text("x")],
        vec![text("android-key"), bytes(1)],
        vec![text("android-key"), Value::Array(vec![bytes(1); 11])],
        vec![text("play-integrity"), bytes(1)],
        vec![text("development-key"), text("dev"), bytes(63)],
        vec![text("safetynet"), bytes(1)],
        vec![key(1), bytes(1)],
    ];
    for evidence in refused {
        let decoded = changed(|m| drop(m.insert(key(8), Value::Array(vec![Value::Array(evidence.clone())]))));
        assert_eq!(decoded, Err(CborError::Unexpected), "{evidence:?}");
    }
}

#[test]
fn an_envelope_has_a_size_and_a_header() {
    let big = |length: usize| Enrolment {
        evidence: vec![Evidence::AppAttestAssertion { assertion: vec![0; length] }],
        ..enrolment()
    };
    let overhead = seal(&big(60_000)).len() - 60_000;
    let largest = big(MAX_ENVELOPE - overhead);
    assert_eq!(seal(&largest).len(), MAX_ENVELOPE);
    assert_eq!(decode(&seal(&largest)), Ok(largest));
    assert_eq!(decode(&seal(&big(MAX_ENVELOPE - overhead + 1))), Err(CborError::Unexpected));
    for header in [
        Header { typ: typ::RESULT, ..HEADER },
        Header { key_id: Some(b"kid"), ..HEADER },
        Header { algorithm: Algorithm::Ed25519, ..HEADER },
    ] {
        let payload = serde_cbor::to_vec(&Value::Map(members(&seal(&enrolment())))).unwrap();
        assert_eq!(decode(&sign(&Unsigned::new(&header, payload))), Err(CborError::Unexpected), "{header:?}");
    }
}

#[test]
fn an_older_app_reads_a_newer_services_answer() {
    let json = r#"{"instance_id":"a","result":"b","client_attestation_as":"c","client_attestation_rs":"d",
        "renew_after":1,"server_time":2,"next_challenge":"e","later":{}}"#;
    assert!(serde_json::from_str::<EnrolmentAnswer>(json).is_ok());
    let twice = json.replace(r#""later":{}"#, r#""result":"f""#);
    assert!(serde_json::from_str::<EnrolmentAnswer>(&twice).is_err(), "one value for one member");
}

#[test]
fn a_problem_names_one_cure_or_none() {
    let problem = Problem {
        kind: "urn:x".to_owned(),
        status: 403,
        title: "No.".to_owned(),
        reference: Some("AB12CD34".to_owned()),
        cure: Some(Cure::ReEnrol),
    };
    let json = serde_json::to_value(&problem).unwrap();
    assert_eq!((&json["type"], &json["cure"]), (&"urn:x".into(), &"re-enrol".into()));
    assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
    let bare = Problem { reference: None, cure: None, ..problem };
    assert_eq!(serde_json::to_value(&bare).unwrap().as_object().unwrap().len(), 3);
}

#[test]
fn evidence_is_not_printed() {
    let printed = format!("{:?}", evidence_of_every_kind());
    assert!(!printed.contains("token") && printed.contains("play-integrity"), "{printed}");
}
