//! The library as a host uses it: ports in memory, a service in memory, no executor but a thread that waits.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "modules of a test binary, in which what cannot go on fails"
)]

#[path = "../../../core/tests/attester/service.rs"]
mod service;

mod faults;
mod files;
mod noticed;
mod phone;
mod processes;

use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use futures_util::future::join_all;

use countersign_core::encoding::from_base64url;
use countersign_core::token::keys::PureRust;
use countersign_core::token::proof::DecodedProof;
use countersign_core::token::result::DecodedResult;
use countersign_ffi::{
    Advice, ApiAnswer, ApiRequest, Attester, ClientProof, Configuration, CountersignError, DevicePlatform,
    KeyProtection, PinnedKey, Proof,
};

use phone::{ANDROID, IPHONE, Phone, block_on, configuration, request};
use service::{START, Scripted, problem};

#[test]
fn a_host_enrols_and_proves() {
    for platform in [IPHONE, ANDROID] {
        let phone = Phone::new();
        let attester = phone.attester(platform);
        assert_eq!(attester.prove(request()).unwrap_err(), CountersignError::NoResult);
        assert_eq!(phone.loads.load(Ordering::SeqCst), 0, "nothing is done before it is needed");
        let proof = block_on(attester.prove_when_ready(request())).unwrap();
        assert!(!proof.refresh_due);
        let [result, proof] = &proof.fields[..] else { panic!("two fields") };
        assert_eq!((result.name.as_str(), proof.name.as_str()), ("attestation-result", "attestation-proof"));
        let (result, proof) = (from_base64url(&result.value).unwrap(), from_base64url(&proof.value).unwrap());
        let key = DecodedResult::decode(&result).unwrap().claims.confirmation;
        assert_eq!(DecodedProof::decode(&proof).unwrap().message.verify(&key, &PureRust), Ok(()));
        let standing = attester.standing();
        assert_eq!(standing.protection, Some(KeyProtection::SecureEnclave));
        assert_eq!((standing.affirming, standing.expires_at), (Some(true), Some(START + 600)));
        assert_eq!(attester.client_attestation().as_deref(), Some("as.as.as"));
    }
}

#[test]
fn a_thousand_first_calls_cause_one_enrolment() {
    let phone = Phone::new();
    let attester = phone.attester(IPHONE);
    let calls = (0..1_000).map(|_| attester.prove_when_ready(request()));
    assert!(block_on(join_all(calls)).iter().all(Result::is_ok));
    assert_eq!((phone.calls("/v1/challenge"), phone.calls("/v1/instances")), (1, 1));
    assert_eq!(phone.keys.lock().unwrap().len(), 1);
}

#[test]
fn first_calls_of_many_threads_cause_one_enrolment() {
    let phone = Phone::new();
    let attester = phone.attester(ANDROID);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| block_on(attester.prove_when_ready(request())).unwrap());
        }
    });
    assert_eq!(phone.calls("/v1/instances"), 1);
}

#[test]
fn those_who_go_away_do_not_take_the_enrolment_with_them() {
    let phone = Phone::new();
    let attester = phone.attester(IPHONE);
    phone.held.store(true, Ordering::SeqCst);
    let mut cancelled = Box::pin(attester.refresh());
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..10 {
        assert!(cancelled.as_mut().poll(&mut cx).is_pending());
    }
    drop(cancelled);
    phone.held.store(false, Ordering::SeqCst);
    block_on(attester.refresh()).unwrap();
    assert_eq!((phone.calls("/v1/challenge"), phone.calls("/v1/instances")), (1, 1));
}

#[test]
fn a_refresh_is_due_before_the_result_expires() {
    let phone = Phone::new();
    let attester = phone.attester(IPHONE);
    block_on(attester.refresh()).unwrap();
    phone.advance(301);
    assert!(attester.prove(request()).unwrap().refresh_due);
    block_on(attester.refresh()).unwrap();
    assert!(!attester.prove(request()).unwrap().refresh_due);
    assert_eq!((phone.calls("/v1/challenge"), phone.calls("/results")), (1, 1));
    block_on(attester.refresh()).unwrap();
    assert_eq!(phone.calls("/results"), 1, "what is current is not renewed");
}

#[test]
fn a_new_process_goes_on_with_what_was_stored() {
    let phone = Phone::new();
    block_on(phone.attester(IPHONE).refresh()).unwrap();
    let attester = phone.attester(IPHONE);
    block_on(attester.refresh()).unwrap();
    assert_eq!((phone.calls("/v1/instances"), phone.calls("/results")), (1, 1));
}

#[test]
fn a_process_started_while_the_service_is_away_proves_with_the_instance_key() {
    let phone = Phone::new();
    block_on(phone.attester(IPHONE).refresh()).unwrap();
    let attester = phone.attester(IPHONE);
    phone.service.lock().unwrap().script.push_back(Scripted::Unreached);
    let names = |proof: Proof| proof.fields.into_iter().map(|field| field.name).collect::<Vec<_>>();
    let proof = block_on(attester.prove_when_ready(request())).unwrap();
    assert!(proof.refresh_due);
    assert_eq!(names(proof), ["oauth-client-attestation", "dpop"]);
    let standing = attester.standing();
    assert_eq!((standing.failure.as_deref(), standing.retry_after), (Some("service_unreachable"), Some(1)));
    phone.advance(2);
    let proof = block_on(attester.prove_when_ready(request())).unwrap();
    assert_eq!(names(proof), ["attestation-result", "attestation-proof"]);
    assert_eq!((attester.standing().failure, attester.standing().retry_after), (None, None));
}

#[test]
fn whom_the_service_refuses_is_told_so_although_it_was_vouched_for() {
    let phone = Phone::new();
    block_on(phone.attester(IPHONE).refresh()).unwrap();
    let attester = phone.attester(IPHONE);
    phone.service.lock().unwrap().script.push_back(Scripted::Instead(problem(403, None)));
    let refused = CountersignError::Refused { reference: Some("AB12CD34".to_owned()) };
    assert_eq!(block_on(attester.prove_when_ready(request())).unwrap_err(), refused);
    assert_eq!(block_on(attester.prove_with_instance_key(request())).unwrap_err(), refused);
    assert_eq!(attester.standing().reference.as_deref(), Some("AB12CD34"));
}

#[test]
fn a_full_disk_is_no_reason_to_stop() {
    let phone = Phone::new();
    phone.disk_full.store(true, Ordering::SeqCst);
    let attester = phone.attester(IPHONE);
    assert!(block_on(attester.prove_when_ready(request())).is_ok());
}

#[test]
fn a_lost_answer_costs_a_pause_and_nothing_else() {
    let phone = Phone::new();
    phone.service.lock().unwrap().script.push_back(Scripted::Lost);
    block_on(phone.attester(ANDROID).refresh()).unwrap();
    let service = phone.service.lock().unwrap();
    assert_eq!(service.envelopes[0], service.envelopes[1]);
}

#[test]
fn errors_are_typed_and_carry_the_reference() {
    let phone = Phone::new();
    phone.service.lock().unwrap().script.push_back(Scripted::Instead(problem(403, Some("update-app"))));
    let error = block_on(phone.attester(IPHONE).refresh()).unwrap_err();
    assert_eq!(error, CountersignError::UpdateRequired { reference: Some("AB12CD34".to_owned()) });
    assert_eq!(error.to_string(), "update_required (AB12CD34)");
    let unsupported = phone.attester(DevicePlatform::Development);
    assert_eq!(block_on(unsupported.refresh()), Err(CountersignError::DeviceUnsupported));
    let elsewhere = ApiRequest { uri: "https://evil.example/".to_owned(), ..request() };
    let fresh = phone.attester(IPHONE);
    assert_eq!(
        block_on(fresh.prove_when_ready(elsewhere)).unwrap_err(),
        CountersignError::UnknownOrigin,
        "and nothing is obtained for it"
    );
    assert_eq!(fresh.standing().instance, None);
}

#[test]
fn a_wrong_configuration_is_refused_by_its_rule() {
    let refused = |change: fn(&mut Configuration)| {
        let mut configuration = configuration(IPHONE);
        change(&mut configuration);
        match Attester::new(configuration, Phone::new().ports()) {
            Err(CountersignError::Configuration { reason }) => reason,
            _ => panic!("refused"),
        }
    };
    assert_eq!(refused(|c| c.issuer = "http://attest.example".to_owned()), "config_plaintext");
    assert_eq!(refused(|c| c.resources.clear()), "config_resources");
    assert_eq!(refused(|c| c.resources[0].origin.push_str("/path")), "request_authority");
    let pin = |x: &str| Some(vec![PinnedKey { key_id: "a".to_owned(), x: x.to_owned() }]);
    let mut pinned = configuration(IPHONE);
    pinned.pinned_keys = pin("AA");
    assert!(Attester::new(pinned, Phone::new().ports()).is_err());
}

#[test]
fn pinned_keys_are_used() {
    let phone = Phone::new();
    let x = phone.service.lock().unwrap().public_key().to_jwk().x;
    let pinned_keys = Some(vec![PinnedKey { key_id: "service-1".to_owned(), x }]);
    let configuration = Configuration { pinned_keys, ..configuration(IPHONE) };
    let attester = Attester::from_parts(configuration, phone.parts()).unwrap();
    block_on(attester.refresh()).unwrap();
    assert_eq!(phone.calls("jwks.json"), 0);
}

#[test]
fn an_apis_wish_is_followed() {
    let phone = Phone::new();
    let attester = phone.attester(IPHONE);
    block_on(attester.refresh()).unwrap();
    let answer =
        |www: &str| ApiAnswer { status: 401, challenge: None, www_authenticate: vec![www.to_owned()] };
    let observe = |www: &str| attester.observe(request().uri, answer(www));
    assert_eq!(observe(r#"DPoP error="use_fresh_attestation""#), Advice::RefreshAndProveAgain);
    block_on(attester.refresh()).unwrap();
    assert_eq!(phone.calls("/results"), 1);
    let hint = r#"DPoP error="use_fresh_attestation", assurance="hardware""#;
    assert_eq!(observe(hint), Advice::ProveWithInstanceKey);
    let proof = block_on(attester.prove_with_instance_key(request())).unwrap();
    let names: Vec<_> = proof.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["oauth-client-attestation", "dpop"]);
}

#[test]
fn an_app_authenticates_at_its_authorization_server() {
    let phone = Phone::new();
    let attester = phone.attester(IPHONE);
    let (issuer, endpoint) = ("https://login.example".to_owned(), "https://login.example/token".to_owned());
    for (proof, field) in [
        (ClientProof::Pop { issuer, challenge: None }, "oauth-client-attestation-pop"),
        (ClientProof::Dpop { endpoint, nonce: None }, "dpop"),
    ] {
        let proof = block_on(attester.authenticate_client(proof)).unwrap();
        let names: Vec<_> = proof.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["oauth-client-attestation", field]);
    }
    assert_eq!(phone.calls("/v1/instances"), 1, "the first one enrols");
    let plain = ClientProof::Dpop { endpoint: "http://login.example/token".to_owned(), nonce: None };
    let error = block_on(attester.authenticate_client(plain)).unwrap_err();
    assert!(matches!(error, CountersignError::InvalidRequest { .. }), "{error}");
}

#[test]
fn a_key_store_that_lost_its_key_ends_in_another_enrolment() {
    let phone = Phone::new();
    let attester = phone.attester(IPHONE);
    block_on(attester.refresh()).unwrap();
    phone.keys.lock().unwrap().clear();
    let error = block_on(attester.prove_with_instance_key(request())).unwrap_err();
    assert_eq!(error, CountersignError::PlatformUnavailable);
    phone.advance(301);
    phone.service.lock().unwrap().instances.clear();
    block_on(attester.refresh()).unwrap();
    assert_eq!(phone.calls("/v1/instances"), 2);
}

#[test]
fn nothing_that_could_be_replayed_is_printed() {
    let phone = Phone::new();
    let proof = block_on(phone.attester(IPHONE).prove_when_ready(request())).unwrap();
    let printed = format!("{proof:?} {:?} {:?}", proof.fields, request());
    for secret in [&proof.fields[0].value[..16], &proof.fields[1].value[..16], "token", "body", "page=2"] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
}
