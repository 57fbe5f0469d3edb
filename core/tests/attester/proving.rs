//! Proofs: for whom, over what, and what the API's answers change.

use countersign_core::attester::{
    Advice, Attester, Currency, EdgeAnswer, Event, ProofHeaders, ProofRequest, ProveError,
};
use countersign_core::challenge::{Challenge, MacKey, MacKeyRing, Scope};
use countersign_core::encoding::from_base64url;
use countersign_core::request::{RequestError, sha256};
use countersign_core::token::jose::Jws;
use countersign_core::token::keys::{PublicKey, PureRust};
use countersign_core::token::proof::DecodedProof;
use countersign_core::token::result::DecodedResult;

use crate::phone::{API, IPHONE, Outcome, Phone};

const REQUEST: ProofRequest<'static> = ProofRequest {
    method: "POST",
    uri: "https://api.example/orders?page=2",
    credential: Some("token"),
    content: Some(b"body"),
    nonce: None,
    environment: None,
};

fn ready() -> Phone {
    let mut phone = Phone::new(IPHONE);
    assert_eq!(phone.obtain(), Outcome::Ready);
    phone
}

fn prove(phone: &Phone, request: &ProofRequest<'_>) -> Result<ProofHeaders, ProveError> {
    phone.attester.prove(request, phone.now(), &[7; 16])
}

fn nonce() -> Challenge {
    let scope = Scope::Nonce { resource: API, replay_domain: "" };
    let issued = countersign_core::time::Timestamp::from_unix_seconds(crate::service::START);
    MacKeyRing::new(MacKey::new(1, [8; 32]), vec![]).issue(scope, issued, &[3; 16])
}

fn nonce_of(phone: &Phone) -> Option<Vec<u8>> {
    let proof = from_base64url(&prove(phone, &REQUEST).unwrap().proof).unwrap();
    DecodedProof::decode(&proof).unwrap().claims.nonce.map(<[u8]>::to_vec)
}

fn observe(phone: &mut Phone, uri: &str, status: u16, challenge: Option<&str>, www: &[&str]) -> Advice {
    let now = phone.now();
    phone.attester.observe(uri, &EdgeAnswer { status, challenge, www_authenticate: www }, now)
}

#[test]
fn a_proof_covers_the_request_and_the_result() {
    let phone = ready();
    let headers = prove(&phone, &REQUEST).unwrap();
    let (result, proof) = (from_base64url(&headers.result).unwrap(), from_base64url(&headers.proof).unwrap());
    let result_claims = DecodedResult::decode(&result).unwrap().claims;
    let proof = DecodedProof::decode(&proof).unwrap();
    assert_eq!(proof.message.verify(&result_claims.confirmation, &PureRust), Ok(()));
    let claims = proof.claims;
    assert_eq!((claims.audience, claims.method, claims.target), (API, "POST", "https://api.example/orders"));
    assert_eq!(claims.result, sha256(&result));
    assert_eq!(claims.ath, Some(sha256(b"token")));
    assert_eq!(claims.query, Some(sha256(b"page=2")));
    assert_eq!(claims.content, Some(sha256(b"body")));
    assert_eq!(claims.token_id, [7; 16]);
    assert_eq!((claims.nonce, claims.environment), (None, None));
    assert_eq!(headers.fields().map(|(name, _)| name), ["attestation-result", "attestation-proof"]);
}

#[test]
fn what_the_request_has_not_is_not_in_the_proof() {
    let phone = ready();
    let bare = ProofRequest {
        uri: "https://api.example",
        credential: None,
        content: None,
        method: "GET",
        ..REQUEST
    };
    let proof = from_base64url(&prove(&phone, &bare).unwrap().proof).unwrap();
    let claims = DecodedProof::decode(&proof).unwrap().claims;
    assert_eq!((claims.ath, claims.query, claims.content), (None, None, None));
    assert_eq!(claims.target, "https://api.example/");
    let big = vec![0; 1024 * 1024 + 1];
    for (content, hashed) in [(&big[..1024 * 1024], true), (&big[..], false)] {
        let request = ProofRequest { content: Some(content), ..REQUEST };
        let proof = from_base64url(&prove(&phone, &request).unwrap().proof).unwrap();
        assert_eq!(DecodedProof::decode(&proof).unwrap().claims.content.is_some(), hashed);
    }
}

#[test]
fn no_token_for_a_host_that_was_not_named() {
    let phone = ready();
    for uri in [
        "https://api.example.evil/",
        "https://evil/?https://api.example/",
        "http://api.example/",
        "https://api.example:8443/",
        "https://attest.example/v1/challenge",
    ] {
        let request = ProofRequest { uri, ..REQUEST };
        assert_eq!(prove(&phone, &request), Err(ProveError::UnknownOrigin), "{uri}");
    }
    let prepared = phone.attester.prepare_instance_key_proof(
        &ProofRequest { uri: "https://evil/", ..REQUEST },
        phone.now(),
        &[0; 16],
    );
    assert_eq!(prepared.err(), Some(ProveError::UnknownOrigin));
}

#[test]
fn a_request_with_two_readings_is_not_proven() {
    let phone = ready();
    for (uri, error) in [
        ("https://api.example/a/../b", RequestError::AmbiguousPath),
        ("https://user@api.example/", RequestError::Authority),
        ("https://api.example/#a", RequestError::Fragment),
        ("api.example/", RequestError::Scheme),
    ] {
        let request = ProofRequest { uri, ..REQUEST };
        assert_eq!(prove(&phone, &request), Err(ProveError::Request(error)), "{uri}");
    }
    let request = ProofRequest { method: "GET /", ..REQUEST };
    assert_eq!(prove(&phone, &request), Err(ProveError::Request(RequestError::Method)));
}

#[test]
fn an_expired_result_proves_nothing() {
    let mut phone = ready();
    phone.advance(589);
    assert!(prove(&phone, &REQUEST).is_ok());
    phone.advance(1);
    assert_eq!(prove(&phone, &REQUEST), Err(ProveError::NoResult));
    assert_eq!(prove(&Phone::new(IPHONE), &REQUEST), Err(ProveError::NoResult));
    assert_eq!(phone.attester.client_attestation(phone.now()), None);
}

#[test]
fn the_environment_is_the_requests_or_the_last_noted() {
    let mut phone = ready();
    phone.attester.note_environment(5);
    let environment = |phone: &Phone, environment| {
        let proof =
            from_base64url(&prove(phone, &ProofRequest { environment, ..REQUEST }).unwrap().proof).unwrap();
        DecodedProof::decode(&proof).unwrap().claims.environment
    };
    assert_eq!(environment(&phone, None), Some(5));
    assert_eq!(environment(&phone, Some(9)), Some(9));
    phone.advance(301);
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.service.last_enrolment().environment, 5);
}

#[test]
fn a_nonce_is_used_while_it_lives() {
    let mut phone = ready();
    let text = nonce().to_base64url();
    let challenge = format!(r#"Bearer error="use_attestation_challenge", attestation_challenge="{text}""#);
    let uri = REQUEST.uri;
    assert_eq!(observe(&mut phone, uri, 401, None, &["Basic", &challenge]), Advice::ProveAgain);
    assert_eq!(nonce_of(&phone).as_deref(), Some(&nonce().as_bytes()[..]));
    phone.advance(110);
    assert_eq!(nonce_of(&phone), None, "an edge would not take it for much longer");
    // A nonce may also ride on success.
    assert_eq!(observe(&mut phone, uri, 200, Some(&text), &[]), Advice::Accept);
    assert!(nonce_of(&phone).is_some());
    // One that the caller brings goes first, and garbage changes nothing.
    assert_eq!(
        observe(&mut phone, uri, 401, Some("garbage"), &[r#"Bearer error="use_attestation_challenge""#]),
        Advice::Accept
    );
    assert!(nonce_of(&phone).is_some());
}

#[test]
fn a_host_that_was_not_named_gives_no_advice() {
    let mut phone = ready();
    let text = nonce().to_base64url();
    let www = [r#"Bearer error="use_fresh_attestation""#];
    assert_eq!(observe(&mut phone, "https://evil/", 401, Some(&text), &www), Advice::Accept);
    assert_eq!(nonce_of(&phone), None);
    assert_eq!(phone.attester.currency(phone.now()), Currency::Current);
}

#[test]
fn a_wish_for_fresh_evidence_renews_once() {
    let mut phone = ready();
    let www = [r#"DPoP error="use_fresh_attestation""#];
    assert_eq!(observe(&mut phone, REQUEST.uri, 401, None, &www), Advice::RenewAndProveAgain);
    assert_eq!(phone.attester.currency(phone.now()), Currency::Due);
    phone.log.clear();
    assert_eq!(phone.run(Event::ResultWanted), Outcome::Ready);
    assert_eq!(phone.log, ["attest", "sign", "renew"]);
    assert_eq!(phone.attester.currency(phone.now()), Currency::Current);
    assert_eq!(
        observe(&mut phone, REQUEST.uri, 401, None, &www),
        Advice::ProveAgain,
        "it was under way then"
    );
    phone.advance(30);
    assert_eq!(
        observe(&mut phone, REQUEST.uri, 401, None, &www),
        Advice::Accept,
        "an edge that is never content"
    );
    assert_eq!(phone.attester.currency(phone.now()), Currency::Current);
    phone.advance(30);
    assert_eq!(observe(&mut phone, REQUEST.uri, 401, None, &www), Advice::RenewAndProveAgain);
}

#[test]
fn a_wish_that_many_requests_are_told_is_one_renewal() {
    let mut phone = ready();
    let www = [r#"DPoP error="use_fresh_attestation""#];
    phone.log.clear();
    for _ in 0..20 {
        assert_eq!(observe(&mut phone, REQUEST.uri, 401, None, &www), Advice::RenewAndProveAgain);
    }
    assert_eq!(phone.run(Event::ResultWanted), Outcome::Ready);
    for _ in 0..20 {
        assert_eq!(observe(&mut phone, REQUEST.uri, 401, None, &www), Advice::ProveAgain);
        assert_eq!(phone.run(Event::ResultWanted), Outcome::Ready);
    }
    assert_eq!(phone.log, ["attest", "sign", "renew"]);
}

#[test]
fn a_replayed_proof_is_repeated_for_idempotent_methods_only() {
    let mut phone = ready();
    let www = [r#"DPoP error="invalid_client_attestation", reason="replayed""#];
    assert_eq!(observe(&mut phone, REQUEST.uri, 401, None, &www), Advice::ProveAgainIfIdempotent);
}

#[test]
fn what_only_the_service_may_say_is_not_believed_from_an_api() {
    let mut phone = ready();
    for www in [
        r#"Bearer error="re-enrol""#,
        r#"Bearer error="invalid_token", cure="re-enrol""#,
        r#"Bearer error="update-app""#,
        r#"Bearer error="invalid_client_attestation""#,
    ] {
        assert_eq!(observe(&mut phone, REQUEST.uri, 401, None, &[www]), Advice::Accept, "{www}");
    }
    assert_eq!(
        observe(&mut phone, REQUEST.uri, 200, None, &[r#"Bearer error="use_fresh_attestation""#]),
        Advice::Accept
    );
    assert_eq!(phone.attester.currency(phone.now()), Currency::Current);
}

#[test]
fn the_instance_key_proves_where_hardware_is_demanded() {
    let mut phone = ready();
    let www = [r#"DPoP error="use_fresh_attestation", assurance="hardware""#];
    assert_eq!(observe(&mut phone, REQUEST.uri, 401, None, &www), Advice::ProveWithInstanceKey);
    let prepare =
        |phone: &Phone| phone.attester.prepare_instance_key_proof(&REQUEST, phone.now(), &[1; 16]).unwrap();
    let proof = prepare(&phone);
    let signature = phone.sign(proof.handle(), proof.message()).unwrap();
    let headers = proof.finish(&signature).unwrap();
    let jws = Jws::decode(&headers.dpop).unwrap();
    let jwk = PublicKey::from_jwk(jws.header["jwk"].as_object().unwrap()).unwrap();
    assert_eq!(jwk, phone.service.last_enrolment().instance_key);
    assert_eq!(jws.claims["htu"], "https://api.example/orders");
    assert!(jws.claims.contains_key("countersign_query") && jws.claims.contains_key("countersign_content"));
    assert_eq!(headers.fields()[0], ("oauth-client-attestation", "rs.rs.rs"));
    assert!(prepare(&phone).finish(&[1; 64]).is_err(), "another key's signature is no proof");
}

#[test]
fn nothing_that_could_be_replayed_is_printed() {
    let phone = ready();
    let headers = prove(&phone, &REQUEST).unwrap();
    let printed =
        format!("{:?} {headers:?} {REQUEST:?} {:?}", phone.attester, phone.service.last_enrolment());
    for secret in [&headers.result[..16], &headers.proof[..16], "token", "page=2", "body", "as.as.as"] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
    let _: &Attester = &phone.attester;
}
