//! Envelopes and proofs, judged by core's own decoders and the little that has to hold between their members.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use countersign_core::{
    binding::Purpose,
    challenge::{Challenge, MacKey, MacKeyRing, Scope},
    encoding::from_base64url,
    enrolment::{DecodedEnrolment, Enrolment, Evidence},
    request::TargetUri,
    time::Timestamp,
    token::{
        keys::PureRust,
        proof::DecodedProof,
        result::{DecodedResult, InstanceId, Protection, ResultClaims, Tier, VouchedBy},
        trust_vector::TrustVector,
    },
};
use countersign_virtual_device::{
    AppleAuthority, EnrolmentAttack, GoogleAuthority, HeaderFields, ProofAttack, ProofRequest, Seed,
    ServiceCall, Session, SessionKey, VirtualAndroid, VirtualIphone, VirtualPhone, app_attest::nonce,
    apple_authority::nonce_extension,
};
use der::Decode;
use minicbor::Decoder;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);
const ISSUER: &str = "https://attest.example";
const CLIENT: &str = "app";
const INSTANCE: InstanceId = InstanceId::from_bytes([9; 16]);

fn keys() -> MacKeyRing {
    MacKeyRing::new(MacKey::new(1, [3; 32]), Vec::new())
}

fn call() -> ServiceCall<'static> {
    let challenge = keys().issue(Scope::Challenge { issuer: ISSUER }, NOW, &[7; 16]);
    ServiceCall { issuer: ISSUER, client_id: CLIENT, challenge, app_version: "1.0", environment: 0, now: NOW }
}

fn phones() -> [VirtualPhone; 2] {
    let seed = Seed::from_text("protocol");
    [
        VirtualIphone::new(&AppleAuthority::from_seed(&seed), &seed).into(),
        VirtualAndroid::new(&GoogleAuthority::from_seed(&seed), &seed).into(),
    ]
}

fn session_key() -> SessionKey {
    SessionKey::from_seed(&Seed::from_text("protocol"))
}

/// What is wrong with an envelope, as far as its members must agree with each other; `Ok` if nothing is.
fn judge(
    bytes: &[u8],
    app_attest_key_and_registered: Option<&VirtualPhone>,
) -> Result<Enrolment, &'static str> {
    let decoded = DecodedEnrolment::decode(bytes).map_err(|_| "shape")?;
    let enrolment = decoded.enrolment;
    if enrolment.issuer != ISSUER || enrolment.client_id != CLIENT {
        return Err("addressee");
    }
    let scope = Scope::Challenge { issuer: ISSUER };
    keys().verify(&enrolment.challenge, scope, 1200, NOW).map_err(|_| "challenge")?;
    if app_attest_key_and_registered.is_some_and(|phone| phone.instance_key() != enrolment.instance_key) {
        return Err("registered key");
    }
    decoded.message.verify(&enrolment.instance_key, &PureRust).map_err(|_| "envelope signature")?;
    enrolment.verify_possession(&PureRust).map_err(|_| "possession")?;
    let renewal = enrolment.purpose() == Purpose::Renew;
    match &enrolment.evidence[..] {
        [Evidence::AppAttest { attestation_object, .. }] if !renewal => {
            let hash = enrolment.binding(Purpose::Enrol, true, false).hash();
            let (leaf, data) = leaf_and_data(attestation_object);
            // The nonce extension is searched as bytes: which extension it is, is told elsewhere.
            let expected = nonce_extension(&nonce(&data, &hash));
            let found = leaf.windows(expected.len()).any(|window| window == expected);
            if !found {
                return Err("evidence");
            }
        }
        [Evidence::AndroidKey { chain }] => {
            let hash = if renewal {
                enrolment.binding(Purpose::Renew, true, true).hash()
            } else {
                enrolment.binding(Purpose::Enrol, false, false).hash()
            };
            let key = Certificate::from_der(&chain[0]).unwrap();
            let key = key.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes().to_vec();
            let is_envelope_key = enrolment.instance_key.to_p256_sec1().unwrap() == *key;
            if !chain[0].windows(32).any(|window| window == hash) || (!renewal && !is_envelope_key) {
                return Err("evidence");
            }
        }
        [Evidence::AppAttestAssertion { assertion }] if renewal => {
            let Some(VirtualPhone::Iphone(phone)) = app_attest_key_and_registered else {
                return Err("platform");
            };
            let hash = enrolment.binding(Purpose::Renew, true, true).hash();
            if !assertion_verifies(phone, assertion, &hash) {
                return Err("evidence");
            }
        }
        _ => return Err("evidence kinds"),
    }
    Ok(enrolment)
}

fn leaf_and_data(object: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut decoder = Decoder::new(object);
    decoder.map().unwrap();
    for _ in 0..3 {
        decoder.skip().unwrap();
    }
    decoder.map().unwrap();
    decoder.skip().unwrap();
    let count = decoder.array().unwrap().unwrap();
    let leaf = decoder.bytes().unwrap().to_vec();
    for _ in 1..count + 3 {
        decoder.skip().unwrap();
    }
    (leaf, decoder.bytes().unwrap().to_vec())
}

fn assertion_verifies(phone: &VirtualIphone, assertion: &[u8], hash: &[u8; 32]) -> bool {
    use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};
    let mut decoder = Decoder::new(assertion);
    decoder.map().unwrap();
    decoder.skip().unwrap();
    let signature = Signature::from_der(decoder.bytes().unwrap()).unwrap();
    decoder.skip().unwrap();
    let data = decoder.bytes().unwrap();
    let key = VerifyingKey::from_sec1_bytes(&phone.app_attest_key().to_p256_sec1().unwrap()).unwrap();
    key.verify(&nonce(data, hash), &signature).is_ok()
}

#[test]
fn honest_envelopes_hold_together() {
    for mut phone in phones() {
        let enrolment = judge(&phone.enrol(&call(), &session_key()), None).unwrap();
        assert_eq!(enrolment.instance_key, phone.instance_key());
        assert_eq!(enrolment.session_key, session_key().public_key());
        let renewal = phone.renew(&call(), INSTANCE, &session_key());
        let renewal = judge(&renewal, Some(&phone)).unwrap();
        assert_eq!(renewal.instance, Some(INSTANCE));
        assert_eq!(renewal.instance_key, enrolment.instance_key);
    }
}

#[test]
fn every_attack_on_an_enrolment_breaks_it() {
    for phone in phones() {
        for attack in EnrolmentAttack::ALL {
            let forged = phone.clone().forge_enrolment(&call(), &session_key(), *attack);
            assert!(judge(&forged, None).is_err(), "{attack:?}");
        }
    }
}

#[test]
fn every_attack_on_a_renewal_breaks_it() {
    for mut phone in phones() {
        phone.enrol(&call(), &session_key());
        for attack in EnrolmentAttack::ALL {
            let forged = phone.forge_renewal(&call(), INSTANCE, &session_key(), *attack);
            assert!(judge(&forged, Some(&phone)).is_err(), "{attack:?}");
        }
    }
}

/// Only the evidence gives a relay away: all signatures of the envelope are right.
#[test]
fn relayed_evidence_breaks_at_the_evidence_and_nowhere_else() {
    for mut phone in phones() {
        let forged = phone.forge_enrolment(&call(), &session_key(), EnrolmentAttack::RelayedEvidence);
        assert_eq!(judge(&forged, None), Err("evidence"));
    }
}

#[test]
fn somebody_elses_phone_has_other_keys_and_enrols_too() {
    for phone in phones() {
        let mut other = phone.of_somebody_else();
        assert_ne!(other.instance_key(), phone.instance_key());
        judge(&other.enrol(&call(), &session_key()), None).unwrap();
    }
}

fn result_claims() -> ResultClaims {
    let [iphone, _] = phones();
    ResultClaims {
        issuer: ISSUER.to_owned(),
        client_id: CLIENT.to_owned(),
        issued_at: NOW,
        expires_at: NOW.plus(600),
        confirmation: session_key().public_key(),
        tier: Tier::Affirming,
        instance: INSTANCE,
        instance_jkt: iphone.instance_key().thumbprint(),
        protection: Protection::SecureEnclave,
        vouched_by: VouchedBy::AttestedApp,
        evidence_time: NOW,
        app_version: None,
        policy: "test".to_owned(),
        labels: Vec::new(),
        trust_vector: TrustVector::default(),
    }
}

fn service_key() -> SessionKey {
    SessionKey::from_seed(&Seed::from_text("service"))
}

fn session() -> Session {
    let unsigned = result_claims().to_unsigned("service-1");
    let result = unsigned.with_signature(&service_key().sign(&unsigned.to_be_signed()));
    Session { key: session_key(), result: countersign_core::encoding::base64url(&result) }
}

const URI: &str = "https://api.example/orders?open=1";

fn request(nonce: &Challenge) -> ProofRequest<'_> {
    ProofRequest {
        resource: "https://api.example",
        method: "POST",
        uri: URI,
        body: Some(b"{}"),
        credential: Some("token"),
        nonce: Some(nonce.as_bytes()),
        token_id: [1; 16],
        now: NOW,
    }
}

/// What is wrong with the fields of the request above; `Ok` if nothing is.
fn judge_fields(fields: &HeaderFields, nonce: &Challenge) -> Result<(), &'static str> {
    let sha256 = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(bytes).into() };
    let result = from_base64url(&fields.result).map_err(|_| "base64url")?;
    let proof = from_base64url(&fields.proof).map_err(|_| "base64url")?;
    let decoded = DecodedResult::decode(&result).map_err(|_| "result shape")?;
    decoded.message.verify(&service_key().public_key(), &PureRust).map_err(|_| "result signature")?;
    let proof = DecodedProof::decode(&proof).map_err(|_| "proof shape")?;
    proof.message.verify(&decoded.claims.confirmation, &PureRust).map_err(|_| "proof signature")?;
    let claims = proof.claims;
    let uri = TargetUri::parse(URI).unwrap();
    let holds = claims.audience == "https://api.example"
        && claims.method == "POST"
        && claims.target == uri.to_htu()
        && claims.query == uri.query_hash()
        && claims.content == Some(sha256(b"{}"))
        && claims.ath == Some(sha256(b"token"))
        && claims.result == sha256(&result)
        && claims.nonce == Some(nonce.as_bytes())
        && claims.issued_at == NOW;
    if holds { Ok(()) } else { Err("binding") }
}

#[test]
fn an_honest_proof_holds_and_every_attack_breaks_it() {
    let scope = Scope::Nonce { resource: "https://api.example", replay_domain: "one" };
    let nonce = keys().issue(scope, NOW, &[8; 16]);
    assert_eq!(judge_fields(&session().prove(&request(&nonce)), &nonce), Ok(()));
    for attack in ProofAttack::ALL {
        assert!(judge_fields(&session().forge(&request(&nonce), *attack), &nonce).is_err(), "{attack:?}");
    }
    let fields = session().forge(&request(&nonce), ProofAttack::SelfIssuedResult);
    assert_eq!(judge_fields(&fields, &nonce), Err("result signature"));
}

#[test]
fn header_fields_print_no_token() {
    let nonce = keys().issue(Scope::Challenge { issuer: ISSUER }, NOW, &[8; 16]);
    let fields = session().prove(&request(&nonce));
    assert!(!format!("{fields:?}").contains(&fields.proof));
}
