//! A process that was just started while the service is away: the instance key proves with what an earlier process
//! obtained, for as long as that lives.

use countersign_core::attester::{
    Advice, AttesterError, ClientProof, Currency, EdgeAnswer, Event, InstanceKeyHeaders, ProofRequest,
    ProveError,
};
use countersign_core::token::dpop::DecodedDpop;

use crate::faults::{enrolled, scripted, unreachable};
use crate::phone::{ANDROID, API, IPHONE, Outcome, Phone};
use crate::service::{START, Scripted, problem};

const REQUEST: ProofRequest<'static> = ProofRequest {
    method: "GET",
    uri: "https://api.example/orders",
    credential: Some("token"),
    content: None,
    nonce: None,
    environment: None,
};

/// An enrolled phone whose app was started again, five minutes later and without the service.
fn restarted_offline() -> Phone {
    let mut phone = enrolled(ANDROID);
    phone.restart();
    phone.intercept = Some(Box::new(unreachable));
    phone
}

/// A proof by the instance key, signed by the phone.
fn prove(phone: &Phone) -> Result<InstanceKeyHeaders, ProveError> {
    let prepared = phone.attester.prepare_instance_key_proof(&REQUEST, phone.now(), &[1; 16])?;
    let signature = phone.sign(prepared.handle(), prepared.message()).unwrap();
    Ok(prepared.finish(&signature).unwrap())
}

#[test]
fn a_process_started_offline_proves_with_the_instance_key() {
    let mut phone = restarted_offline();
    assert_eq!(phone.attester.currency(phone.now()), Currency::Missing);
    let told = phone.run(Event::ResultWanted);
    assert_eq!(told, Outcome::Failed(AttesterError::Unreachable), "at once: nobody is kept waiting");
    assert_eq!(phone.attester.prove(&REQUEST, phone.now(), &[0; 16]), Err(ProveError::NoResult));

    let headers = prove(&phone).unwrap();
    assert_eq!(headers.client_attestation, "rs.rs.rs");
    let dpop = DecodedDpop::decode(&headers.dpop).unwrap();
    assert_eq!(dpop.key, phone.service.last_enrolment().instance_key);
    assert_eq!(dpop.issued_at.as_unix_seconds(), START + 301);
    assert_eq!(phone.attester.standing().expires_at.map(|time| time.as_unix_seconds()), Some(START + 600));
}

#[test]
fn a_process_started_offline_authenticates_its_client() {
    let phone = restarted_offline();
    let proof = ClientProof::Dpop { endpoint: "https://as.example/token", nonce: None };
    let prepared = phone.attester.prepare_client_authentication(&proof, phone.now(), &[1; 16]).unwrap();
    let signature = phone.sign(prepared.handle(), prepared.message()).unwrap();
    assert_eq!(prepared.finish(&signature).unwrap().client_attestation, "as.as.as");
    assert_eq!(phone.attester.client_attestation(phone.now()), Some("as.as.as"));
}

#[test]
fn the_service_is_asked_again_as_soon_as_the_pause_is_over() {
    let mut phone = restarted_offline();
    phone.run(Event::ResultWanted);
    phone.intercept = None;
    phone.sit_out();
    phone.log.clear();
    assert_eq!(phone.run(Event::ResultWanted), Outcome::Ready);
    assert_eq!(phone.log, ["key set", "renew"], "what was signed is sent again; the key set comes beside it");
    assert!(phone.attester.prove(&REQUEST, phone.now(), &[0; 16]).is_ok());
}

#[test]
fn what_an_earlier_process_obtained_ends_with_its_result() {
    let mut phone = restarted_offline();
    phone.advance(288);
    assert!(prove(&phone).is_ok());
    phone.advance(1);
    assert_eq!(prove(&phone).err(), Some(ProveError::NoResult));
    assert_eq!(phone.attester.client_attestation(phone.now()), None);
}

#[test]
fn a_wall_clock_that_was_set_ends_it_too() {
    for (error, proves) in [(0, true), (200, true), (-300, true), (300, false), (-400, false)] {
        let mut phone = restarted_offline();
        phone.wall_error = error;
        assert_eq!(prove(&phone).is_ok(), proves, "{error} seconds");
    }
}

#[test]
fn the_offset_of_a_wrong_wall_clock_is_kept() {
    let mut phone = Phone::new(IPHONE);
    phone.wall_error = -1_000_000;
    assert_eq!(phone.obtain(), Outcome::Ready);
    phone.restart();
    let dpop = prove(&phone).unwrap().dpop;
    assert_eq!(DecodedDpop::decode(&dpop).unwrap().issued_at.as_unix_seconds(), START);
}

#[test]
fn an_edge_that_refuses_it_ends_it() {
    for error in ["invalid_dpop_proof", "invalid_client_attestation"] {
        let mut phone = restarted_offline();
        let www = format!(r#"DPoP error="{error}""#);
        let answer = EdgeAnswer { status: 401, challenge: None, www_authenticate: &[&www] };
        let now = phone.now();
        assert_eq!(phone.attester.observe(REQUEST.uri, &answer, now), Advice::RenewAndProveAgain);
        assert_eq!(prove(&phone).err(), Some(ProveError::NoResult));
        assert_eq!(phone.attester.observe(REQUEST.uri, &answer, now), Advice::Accept, "once");
    }
}

#[test]
fn whom_the_service_refuses_has_nothing_left_after_a_restart() {
    for cure in [None, Some("update-app"), Some("re-enrol")] {
        let mut phone = enrolled(IPHONE);
        let refusal = || Scripted::Instead(problem(403, cure));
        scripted(&mut phone, [refusal(), refusal()]);
        assert!(matches!(phone.obtain(), Outcome::Failed(_)), "{cure:?}");
        phone.restart();
        assert_eq!(prove(&phone).err(), Some(ProveError::NoResult), "{cure:?}");
    }
}

#[test]
fn an_outage_of_the_service_takes_nothing_away() {
    let mut phone = restarted_offline();
    phone.intercept = None;
    for _ in 0..3 {
        phone.service.script.push_back(Scripted::Instead(problem(503, Some("retry"))));
        assert!(matches!(phone.run(Event::ResultWanted), Outcome::Failed(AttesterError::Unavailable { .. })));
        phone.sit_out();
    }
    assert!(prove(&phone).is_ok());
}

#[test]
fn on_another_phone_the_stored_word_proves_nothing() {
    let mut phone = restarted_offline();
    phone.keys.clear();
    let prepared = phone.attester.prepare_instance_key_proof(&REQUEST, phone.now(), &[1; 16]).unwrap();
    assert!(phone.sign(prepared.handle(), prepared.message()).is_err(), "the key did not come along");
    assert!(prepared.finish(&[1; 64]).is_err(), "and no other key's signature is taken");
    phone.attester.instance_key_failed();
    assert_eq!(prove(&phone).err(), Some(ProveError::NoResult));
    phone.intercept = None;
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.service.last_enrolment().instance, None, "enrolled anew");
}

#[test]
fn a_key_that_fails_a_proof_is_found_out_at_once() {
    let mut phone = enrolled(ANDROID);
    phone.keys.clear();
    phone.attester.instance_key_failed();
    assert_eq!(phone.attester.currency(phone.now()), Currency::Due, "the session goes on");
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert!(prove(&phone).is_ok());
    assert_eq!(phone.service.last_enrolment().instance, None);
}

#[test]
fn a_process_started_offline_names_no_other_host() {
    let phone = restarted_offline();
    let elsewhere = ProofRequest { uri: "https://evil.example/", ..REQUEST };
    let prepared = phone.attester.prepare_instance_key_proof(&elsewhere, phone.now(), &[1; 16]);
    assert_eq!(prepared.err(), Some(ProveError::UnknownOrigin));
    assert!(REQUEST.uri.starts_with(API));
}
