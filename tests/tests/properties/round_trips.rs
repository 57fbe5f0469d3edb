//! What we write we read as it was; and `coset` with `serde_cbor`, which are not ours, read the same from it.

use std::collections::BTreeMap;

use coset::CborSerializable;
use countersign_core::challenge::{Challenge, MacKey, MacKeyRing, Scope};
use countersign_core::encoding::{base64url, from_base64url};
use countersign_core::enrolment::{DecodedEnrolment, Enrolment, Evidence};
use countersign_core::token::client_attestation::ClientAttestation;
use countersign_core::token::cose::Unsigned;
use countersign_core::token::jose::Jws;
use countersign_core::token::keys::{PublicKey, SIGNATURE_LENGTH};
use countersign_core::token::proof::{DecodedProof, ProofClaims};
use countersign_core::token::result::{DecodedResult, InstanceId, ResultClaims};
use countersign_verifier::check::deny_list::DenyList;
use serde_cbor::Value;

use crate::random::Random;

const ROUNDS: usize = 200;

/// The members of a message's payload, as others read them.
fn read_elsewhere(message: &[u8], typ: &str) -> BTreeMap<i128, Value> {
    let message = coset::CoseSign1::from_slice(message).unwrap();
    assert!(message.unprotected.is_empty());
    let read = message.protected.header.rest;
    assert_eq!(read, [(coset::Label::Int(16), coset::cbor::Value::Text(typ.to_owned()))]);
    let Value::Map(members) = serde_cbor::from_slice(&message.payload.unwrap()).unwrap() else {
        panic!("a payload is a map");
    };
    let label = |label| match label {
        Value::Integer(label) => label,
        other => panic!("labels are integers, not {other:?}"),
    };
    members.into_iter().map(|(name, value)| (label(name), value)).collect()
}

fn number(number: impl Into<i128>) -> Value {
    Value::Integer(number.into())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

fn map(members: impl IntoIterator<Item = (i128, Value)>) -> Value {
    Value::Map(members.into_iter().map(|(label, value)| (number(label), value)).collect())
}

fn cose_key(key: &PublicKey) -> Value {
    match (key.as_ed25519(), key.to_p256_sec1()) {
        (Some(x), _) => map([(1, number(1)), (-1, number(6)), (-2, bytes(x))]),
        (_, Some(point)) => {
            let (x, y) = (bytes(&point[1..33]), bytes(&point[33..]));
            map([(1, number(2)), (-1, number(1)), (-2, x), (-3, y)])
        }
        _ => panic!("a key of neither kind"),
    }
}

fn seal(unsigned: &Unsigned, random: &mut Random) -> (Vec<u8>, [u8; SIGNATURE_LENGTH]) {
    let signature = random.bytes();
    (unsigned.with_signature(&signature), signature)
}

#[test]
fn results() {
    let mut random = Random::new("results");
    for _ in 0..ROUNDS {
        let claims = random.result();
        let (message, signature) = seal(&claims.to_unsigned("kid"), &mut random);
        let decoded = DecodedResult::decode(&message).unwrap();
        assert_eq!(decoded.claims, claims);
        assert_eq!(decoded.claims.to_unsigned("kid").with_signature(&signature), message);
        assert_eq!(
            read_elsewhere(&message, "application/vnd.countersign.result+cwt"),
            result_elsewhere(&claims)
        );
    }
}

fn result_elsewhere(claims: &ResultClaims) -> BTreeMap<i128, Value> {
    let mut expected = BTreeMap::from([
        (1, text(&claims.issuer)),
        (2, text(&claims.client_id)),
        (4, number(claims.expires_at.as_unix_seconds())),
        (6, number(claims.issued_at.as_unix_seconds())),
        (8, map([(1, cose_key(&claims.confirmation))])),
        (-66001, number(claims.tier.number())),
        (-66002, bytes(claims.instance.as_bytes())),
        (-66003, bytes(claims.instance_jkt.as_bytes())),
        (-66004, number(claims.protection.number())),
        (-66005, number(claims.vouched_by.number())),
        (-66006, number(claims.evidence_time.as_unix_seconds())),
        (-66502, text(&claims.policy)),
        (-66504, map(claims.trust_vector.claims().map(|(claim, value)| (claim.key().into(), number(value))))),
    ]);
    if let Some(version) = &claims.app_version {
        expected.insert(-66501, text(version));
    }
    if !claims.labels.is_empty() {
        expected.insert(-66503, Value::Array(claims.labels.iter().map(|label| text(label)).collect()));
    }
    expected
}

#[test]
fn proofs() {
    let mut random = Random::new("proofs");
    for _ in 0..ROUNDS {
        let (audience, method, target) = (random.text(80), random.text(20), random.text(200));
        let (token_id, nonce) = (random.bytes::<16>(), random.bytes::<42>());
        let claims = ProofClaims {
            audience: &audience,
            issued_at: random.time(),
            token_id: &token_id[..12 + random.below(5) as usize],
            nonce: random.flip().then_some(&nonce),
            result: random.bytes(),
            ath: random.flip().then(|| random.bytes()),
            method: &method,
            target: &target,
            query: random.flip().then(|| random.bytes()),
            content: random.flip().then(|| random.bytes()),
            environment: random.flip().then(|| random.number()),
        };
        let (message, signature) = seal(&claims.to_unsigned(), &mut random);
        let decoded = DecodedProof::decode(&message).unwrap();
        assert_eq!(decoded.claims, claims);
        assert_eq!(decoded.claims.to_unsigned().with_signature(&signature), message);
        let optional = [
            (39, claims.nonce.map(bytes)),
            (-66021, claims.ath.map(|hash| bytes(&hash))),
            (-66024, claims.query.map(|hash| bytes(&hash))),
            (-66025, claims.content.map(|hash| bytes(&hash))),
            (-66520, claims.environment.map(number)),
        ];
        let mut expected = BTreeMap::from([
            (3, text(&audience)),
            (6, number(claims.issued_at.as_unix_seconds())),
            (7, bytes(claims.token_id)),
            (-66020, bytes(&claims.result)),
            (-66022, text(&method)),
            (-66023, text(&target)),
        ]);
        expected.extend(optional.into_iter().filter_map(|(label, value)| Some((label, value?))));
        assert_eq!(read_elsewhere(&message, "application/vnd.countersign.proof+cwt"), expected);
    }
}

#[test]
fn envelopes() {
    let mut random = Random::new("envelopes");
    for _ in 0..ROUNDS {
        let enrolment = random.enrolment();
        let (message, signature) = seal(&enrolment.to_unsigned(), &mut random);
        let decoded = DecodedEnrolment::decode(&message).unwrap().enrolment;
        assert_eq!(decoded, enrolment);
        assert_eq!(decoded.to_unsigned().with_signature(&signature), message);
        let read = read_elsewhere(&message, "application/attestation-enrolment+cbor");
        assert_eq!(read, envelope_elsewhere(&enrolment));
    }
}

fn envelope_elsewhere(enrolment: &Enrolment) -> BTreeMap<i128, Value> {
    let evidence = enrolment.evidence.iter().map(|evidence| {
        let content = match evidence {
            Evidence::AppAttest { attestation_object, key_id } => {
                vec![bytes(attestation_object), bytes(key_id)]
            }
            Evidence::AppAttestAssertion { assertion } => vec![bytes(assertion)],
            Evidence::AndroidKey { chain } => {
                vec![Value::Array(chain.iter().map(|certificate| bytes(certificate)).collect())]
            }
            Evidence::PlayIntegrity { token } => vec![text(token)],
            Evidence::DevelopmentKey { key_id, signature } => vec![text(key_id), bytes(signature)],
        };
        Value::Array([vec![text(evidence.kind())], content].concat())
    });
    let mut expected = BTreeMap::from([
        (1, text(enrolment.purpose().as_str())),
        (2, text(&enrolment.issuer)),
        (3, bytes(enrolment.challenge.as_bytes())),
        (4, text(&enrolment.client_id)),
        (5, cose_key(&enrolment.instance_key)),
        (6, cose_key(&enrolment.session_key)),
        (7, bytes(&enrolment.possession)),
        (8, Value::Array(evidence.collect())),
        (9, number(enrolment.environment)),
        (10, text(&enrolment.app_version)),
        (12, number(enrolment.protection.number())),
    ]);
    if let Some(instance) = &enrolment.instance {
        expected.insert(11, bytes(instance.as_bytes()));
    }
    expected
}

#[test]
fn deny_lists() {
    let mut random = Random::new("deny lists");
    for _ in 0..ROUNDS {
        let list = random.deny_list();
        let (message, signature) = seal(&list.to_unsigned("kid"), &mut random);
        let (_, decoded) = DenyList::claimed(&message).unwrap();
        assert_eq!(decoded, list);
        assert_eq!(decoded.to_unsigned("kid").with_signature(&signature), message);
        let mut instances: Vec<_> = list.instances.iter().collect();
        instances.sort();
        let mut key_ids: Vec<_> = list.key_ids.iter().collect();
        key_ids.sort();
        let read: Vec<_> =
            read_elsewhere(&message, "application/attestation-denylist+cwt").into_values().collect();
        let instances = instances.into_iter().map(|instance| bytes(instance.as_bytes())).collect();
        let key_ids = key_ids.into_iter().map(|key_id| bytes(key_id)).collect();
        for member in [
            text(&list.issuer),
            number(list.sequence),
            number(list.issued_at.as_unix_seconds()),
            number(list.expires_at.as_unix_seconds()),
            Value::Array(instances),
            Value::Array(key_ids),
        ] {
            assert!(read.contains(&member), "{member:?}");
        }
        let mut subjects: Vec<_> = list.subjects.iter().collect();
        subjects.sort();
        if !subjects.is_empty() {
            let subjects = subjects.iter().map(|subject| bytes(subject.as_bytes())).collect();
            assert!(read.contains(&Value::Array(subjects)));
        }
        assert_eq!(read.len(), 6 + usize::from(!list.subjects.is_empty()));
    }
}

#[test]
fn challenges_and_identifiers() {
    let mut random = Random::new("challenges");
    for _ in 0..ROUNDS {
        let ring = MacKeyRing::new(MacKey::new(random.bytes::<1>()[0], random.bytes()), vec![]);
        let issuer = random.text(80);
        let (scope, now) = (Scope::Challenge { issuer: &issuer }, random.time());
        let challenge = ring.issue(scope, now, &random.bytes());
        let read = Challenge::from_base64url(&challenge.to_base64url()).unwrap();
        assert_eq!((read, read.issued_at()), (challenge, now));
        assert_eq!(ring.verify(&read, scope, 0, now), Ok(now));
        let instance = InstanceId::from_bytes(random.bytes());
        assert_eq!(InstanceId::from_base64url(&instance.to_base64url()), Ok(instance));
        let any = random.some_bytes(200);
        assert_eq!(from_base64url(&base64url(&any)), Ok(any));
    }
}

#[test]
fn keys_and_client_attestations() {
    let mut random = Random::new("keys");
    for _ in 0..ROUNDS / 4 {
        let instance_key = random.p256();
        for key in [instance_key, random.session_key().public_key()] {
            let jwk = serde_json::to_value(key.to_jwk()).unwrap();
            assert_eq!(PublicKey::from_jwk(jwk.as_object().unwrap()), Ok(key));
            let mut cose = Vec::new();
            key.encode_cose(&mut minicbor::Encoder::new(&mut cose));
            assert_eq!(PublicKey::decode_cose(&mut minicbor::Decoder::new(&cose)), Ok(key));
            assert_eq!(serde_cbor::from_slice::<Value>(&cose).unwrap(), cose_key(&key));
        }
        let (issuer, client_id, claims) = (random.text(80), random.text(80), random.result());
        let attestation = ClientAttestation {
            issuer: &issuer,
            client_id: &client_id,
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
            instance_key: &instance_key,
            result: random.flip().then_some(&claims),
        };
        let token = attestation.to_unsigned("kid").with_signature(&random.bytes());
        let jws = Jws::decode(&token).unwrap();
        assert_eq!(jws.claims["iss"], issuer.as_str());
        assert_eq!(jws.claims["sub"], client_id.as_str());
        assert_eq!(jws.claims["exp"], claims.expires_at.as_unix_seconds());
        let key = PublicKey::from_jwk(jws.claims["cnf"]["jwk"].as_object().unwrap());
        assert_eq!(key, Ok(instance_key));
        assert_eq!(jws.claims.contains_key("countersign"), attestation.result.is_some());
    }
}
