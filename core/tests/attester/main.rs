//! The attester against a phone and a service in memory.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "modules of a test binary, in which what cannot go on fails"
)]

mod authenticating;
mod bounds;
mod faults;

mod offline;
mod origins;
mod phone;
mod platform;
mod proving;
mod recovery;
mod service;
mod untrusted;

use countersign_core::attester::{
    AttestRequest, AttesterError, Currency, Effect, Event, EvidenceFailure, KeyFailure, Platform, ResultKeys,
};
use countersign_core::enrolment::Evidence;

use phone::{ANDROID, IPHONE, Outcome, Phone};
use service::Service;

#[test]
fn an_iphone_enrols_in_order() {
    let mut phone = Phone::new(IPHONE);
    assert_eq!(phone.attester.currency(phone.now()), Currency::Missing);
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(
        phone.log,
        ["key set", "challenge", "make key", "make app attest key", "attest", "sign", "enrol"]
    );
    let sent = phone.service.last_enrolment();
    assert!(matches!(sent.evidence[..], [Evidence::AppAttest { .. }]));
    assert_eq!(sent.app_version, "1.2.3");
    assert_eq!(phone.attester.currency(phone.now()), Currency::Current);
    assert_eq!(phone.attester.standing().instance, phone.service.instances.keys().next().copied());
}

#[test]
fn an_android_phone_enrols_with_a_key_born_under_the_challenge() {
    let mut phone = Phone::new(ANDROID);
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.log, ["key set", "challenge", "make key", "sign", "enrol"]);
    assert!(matches!(phone.service.last_enrolment().evidence[..], [Evidence::AndroidKey { .. }]));
}

#[test]
fn a_development_key_signs_in_the_platforms_place() {
    let mut phone = Phone::new(Platform::Development);
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.log, ["key set", "challenge", "make key", "attest", "sign", "enrol"]);
    assert!(matches!(phone.service.last_enrolment().evidence[..], [Evidence::DevelopmentKey { .. }]));
}

#[test]
fn a_renewal_is_one_round_trip() {
    for (platform, expected) in [(IPHONE, &["attest", "sign", "renew"][..]), (ANDROID, &["sign", "renew"])] {
        let mut phone = Phone::new(platform);
        assert_eq!(phone.obtain(), Outcome::Ready);
        let first = phone.service.last_enrolment();
        phone.advance(301);
        assert_eq!(phone.attester.currency(phone.now()), Currency::Due);
        phone.log.clear();
        assert_eq!(phone.obtain(), Outcome::Ready);
        assert_eq!(phone.log, expected);
        let second = phone.service.last_enrolment();
        assert_eq!(second.instance_key, first.instance_key);
        assert_ne!(second.session_key, first.session_key, "each result has a session key of its own");
        assert_ne!(second.challenge, first.challenge);
        assert_eq!(phone.attester.currency(phone.now()), Currency::Current);
    }
}

#[test]
fn a_current_result_is_not_renewed() {
    let mut phone = Phone::new(IPHONE);
    assert_eq!(phone.obtain(), Outcome::Ready);
    phone.log.clear();
    phone.advance(299);
    assert_eq!(phone.run(Event::ResultWanted), Outcome::Ready);
    assert_eq!(phone.run(Event::Tick), Outcome::Waiting);
    assert!(phone.log.is_empty());
}

#[test]
fn however_many_ask_one_enrolment_is_under_way() {
    let mut phone = Phone::new(IPHONE);
    let first = phone.step(Event::ResultWanted);
    assert_eq!(first.len(), 3, "key set, challenge and a deadline: {first:?}");
    let deadline = first.iter().find(|effect| matches!(effect, Effect::WaitUntil(_))).cloned().unwrap();
    for _ in 0..1_000 {
        assert_eq!(phone.step(Event::ResultWanted), std::slice::from_ref(&deadline));
    }
}

#[test]
fn android_evidence_is_fresh_once_a_day() {
    let mut phone = Phone::new(ANDROID);
    assert_eq!(phone.obtain(), Outcome::Ready);
    phone.advance(24 * 3600 - 1);
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.service.last_enrolment().evidence, []);
    phone.advance(601);
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert!(matches!(phone.service.last_enrolment().evidence[..], [Evidence::AndroidKey { .. }]));
    assert!(matches!(phone.attested[..], [AttestRequest::AndroidThrowawayKey { .. }]));
}

#[test]
fn a_play_integrity_token_is_asked_for_when_due_and_never_blocks() {
    let mut phone = Phone::new(Platform::Android { play_integrity: true });
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert!(matches!(
        phone.service.last_enrolment().evidence[..],
        [Evidence::AndroidKey { .. }, Evidence::PlayIntegrity { .. }]
    ));
    phone.advance(601);
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.service.last_enrolment().evidence, [], "not due after ten minutes");
    phone.advance(6 * 3600);
    phone.intercept = Some(Box::new(|effect| faults::attest_fails(effect, EvidenceFailure::Other)));
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.service.last_enrolment().evidence, []);
}

#[test]
fn where_no_key_is_attested_play_integrity_vouches_alone_or_nothing_is_sent() {
    let mut phone = Phone::new(Platform::Android { play_integrity: true });
    phone.attests_keys = false;
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert!(matches!(phone.service.last_enrolment().evidence[..], [Evidence::PlayIntegrity { .. }]));

    let mut phone = Phone::new(Platform::Android { play_integrity: true });
    phone.attests_keys = false;
    phone.intercept = Some(Box::new(|effect| faults::attest_fails(effect, EvidenceFailure::Other)));
    assert_eq!(phone.obtain(), Outcome::Failed(AttesterError::PlatformUnavailable));
    assert!(!phone.log.contains(&"enrol"), "{:?}", phone.log);

    let mut phone = Phone::new(ANDROID);
    phone.attests_keys = false;
    assert_eq!(phone.obtain(), Outcome::Failed(AttesterError::Unsupported));
}

#[test]
fn a_restarted_process_renews_with_the_stored_challenge() {
    for platform in [IPHONE, ANDROID] {
        let mut phone = Phone::new(platform);
        assert_eq!(phone.obtain(), Outcome::Ready);
        let instance = phone.attester.standing().instance;
        phone.restart();
        assert_eq!(phone.attester.currency(phone.now()), Currency::Missing, "the session key died");
        phone.log.clear();
        assert_eq!(phone.obtain(), Outcome::Ready);
        assert!(!phone.log.contains(&"challenge") && !phone.log.contains(&"make key"), "{:?}", phone.log);
        assert_eq!(phone.attester.standing().instance, instance);
    }
}

#[test]
fn an_old_challenge_is_not_even_tried() {
    let mut phone = Phone::new(IPHONE);
    assert_eq!(phone.obtain(), Outcome::Ready);
    phone.advance(19 * 60);
    phone.log.clear();
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.log, ["challenge", "attest", "sign", "renew"]);
}

#[test]
fn pinned_keys_need_no_key_set() {
    let service = Service::new();
    let keys = vec![(service.key_id.clone(), service.public_key())];
    let mut phone = Phone::with(service, |settings| settings.result_keys = ResultKeys::Pinned(keys));
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert!(!phone.log.contains(&"key set"));
}

#[test]
fn a_device_that_cannot_says_so() {
    let mut phone = Phone::new(IPHONE);
    phone.intercept = Some(Box::new(|effect| faults::make_key_fails(effect, KeyFailure::Unsupported)));
    assert_eq!(phone.obtain(), Outcome::Failed(AttesterError::Unsupported));
    let mut phone = Phone::new(IPHONE);
    phone.intercept = Some(Box::new(|effect| faults::attest_fails(effect, EvidenceFailure::Unsupported)));
    assert_eq!(phone.obtain(), Outcome::Failed(AttesterError::Unsupported));
    let mut phone = Phone::new(ANDROID);
    let made = Phone::new(ANDROID).make_key(None);
    phone
        .keys
        .insert(made.handle.as_bytes().to_vec(), p256::ecdsa::SigningKey::from_slice(&[1; 32]).unwrap());
    phone.intercept = Some(Box::new(move |effect| match effect {
        countersign_core::attester::Effect::MakeKey { id, .. } => {
            Some(Event::KeyMade { id: *id, outcome: Ok(made.clone()) })
        }
        _ => None,
    }));
    assert_eq!(
        phone.obtain(),
        Outcome::Failed(AttesterError::Unsupported),
        "a chain is what Android must give"
    );
    assert!(phone.keys.is_empty(), "a key without a chain is not kept");
}
