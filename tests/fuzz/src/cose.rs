//! Deterministic CBOR, COSE_Sign1, result, proof and deny list.

use coset::CborSerializable;
use countersign_core::cbor;
use countersign_core::time::Timestamp;
use countersign_core::token::cose::{Sign1, typ};
use countersign_core::token::proof::{DecodedProof, ProofClaims};
use countersign_core::token::result::{DecodedResult, InstanceId};
use countersign_verifier::check::deny_list::DenyList;
use countersign_verifier::check::trust::service_keys;
use countersign_verifier::credential::jwks::Jwks;

use super::world;

pub fn run(data: &[u8]) {
    if cbor::deterministic(data).is_ok() {
        let value: coset::cbor::Value = coset::cbor::from_reader(data).expect("ciborium reads it");
        let mut again = Vec::new();
        coset::cbor::into_writer(&value, &mut again).expect("ciborium writes it");
        assert_eq!(again, data, "one encoding per value");
        serde_cbor::from_slice::<serde_cbor::Value>(data).expect("serde_cbor reads it");
    }
    let Ok(message) = Sign1::decode(data) else {
        assert!(DecodedResult::decode(data).is_err() && DecodedProof::decode(data).is_err());
        return;
    };
    let theirs = coset::CoseSign1::from_slice(data).expect("coset reads it");
    assert_eq!(theirs.payload.as_deref(), Some(message.payload()));
    assert_eq!(theirs.signature, message.signature());
    assert_eq!(theirs.protected.header.key_id, message.header().key_id.unwrap_or_default());
    let mut buffer = vec![0; data.len() + 64];
    let ours = message.to_be_signed(&mut buffer).expect("the buffer is long enough");
    assert_eq!(theirs.tbs_data(&[]), ours, "one Sig_structure");

    let signature = message.signature().try_into().expect("64 bytes");
    if let Ok(result) = DecodedResult::decode(data) {
        let key_id = result.message.header().key_id.map(std::str::from_utf8);
        if let Some(Ok(key_id)) = key_id {
            let again = result.claims.to_unsigned(key_id).with_signature(signature);
            let again = DecodedResult::decode(&again).expect("what we write we read");
            assert_eq!(again.claims, result.claims);
        }
        assert_eq!(message.header().typ, typ::RESULT);
    }
    if let Ok(proof) = DecodedProof::decode(data) {
        let again = proof.claims.to_unsigned().with_signature(signature);
        let again = DecodedProof::decode(&again).expect("what we write we read");
        assert_eq!(again.claims, proof.claims);
        assert_eq!(message.header().typ, typ::PROOF);
    }
    if let Ok((message, list)) = DenyList::claimed(data) {
        let key_id = message.header().key_id.map(std::str::from_utf8);
        if let Some(Ok(key_id)) = key_id {
            let again = list.to_unsigned(key_id).with_signature(signature);
            assert_eq!(DenyList::claimed(&again).expect("what we write we read").1, list);
        }
        let key = countersign_verifier::issue::jwks([("key-1", &world::session().public_key())]).to_string();
        let keys = service_keys(&Jwks::decode(key.as_bytes()).expect("a key set"));
        let taken = DenyList::verify(data, world::ISSUER, &keys, None, world::NOW);
        assert!(taken.is_err() || data == deny_list(), "only what the service signed");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let key = world::session();
    let result = world::result_claims(key.public_key()).to_unsigned("key-1");
    let proof = ProofClaims {
        audience: "https://api.example",
        issued_at: world::NOW,
        token_id: &[9; 12],
        nonce: Some(world::challenge().as_bytes()),
        result: [1; 32],
        ath: Some([2; 32]),
        method: "GET",
        target: "https://api.example/v1",
        query: Some([3; 32]),
        content: Some([4; 32]),
        environment: Some(5),
    }
    .to_unsigned();
    let [mut iphone, mut android] = world::phones();
    vec![
        result.with_signature(&key.sign(&result.to_be_signed())),
        proof.with_signature(&key.sign(&proof.to_be_signed())),
        deny_list(),
        iphone.enrol(&world::call(), &key),
        android.enrol(&world::call(), &key),
    ]
}

fn deny_list() -> Vec<u8> {
    let key = world::session();
    let list = DenyList {
        issuer: world::ISSUER.to_owned(),
        sequence: 7,
        issued_at: world::NOW,
        expires_at: Timestamp::from_unix_seconds(world::NOW.as_unix_seconds() + 600),
        instances: [InstanceId::from_bytes([5; 16])].into(),
        key_ids: [b"old".to_vec()].into(),
    };
    let unsigned = list.to_unsigned("key-1");
    unsigned.with_signature(&key.sign(&unsigned.to_be_signed()))
}
