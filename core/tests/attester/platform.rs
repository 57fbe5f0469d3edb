//! What key stores and the platforms' evidence services do wrong, and its way out.

use countersign_core::attester::{
    AttestRequest, AttesterError, Effect, Event, EvidenceFailure, KeyFailure, Platform,
};
use countersign_core::enrolment::Evidence;
use countersign_core::token::result::Protection;

use crate::faults::{attest_fails, enrolled, make_key_fails, sign_fails};
use crate::phone::{ANDROID, IPHONE, Outcome, Phone};

#[test]
fn server_unavailable_keeps_key_and_hash_while_the_challenge_lives() {
    let mut phone = Phone::new(IPHONE);
    phone.intercept = Some(Box::new(|effect| attest_fails(effect, EvidenceFailure::ServerUnavailable)));
    assert_eq!(phone.obtain(), Outcome::Failed(AttesterError::PlatformUnavailable));
    let asked = |phone: &mut Phone| {
        let request = std::rc::Rc::new(std::cell::Cell::new(None));
        let seen = request.clone();
        phone.intercept = Some(Box::new(move |effect| {
            if let Effect::Attest { request, .. } = effect {
                seen.set(Some(*request));
            }
            attest_fails(effect, EvidenceFailure::ServerUnavailable)
        }));
        phone.sit_out();
        phone.run(Event::ResultWanted);
        phone.run(Event::Tick);
        request.get().unwrap()
    };
    let first = asked(&mut phone);
    assert!(matches!(first, AttestRequest::AppAttest { key_id: [1, ..], .. }));
    assert_eq!(asked(&mut phone), first);
    // A new process has only what was stored.
    phone.restart();
    assert_eq!(asked(&mut phone), first);
    phone.advance(1_200);
    let later = asked(&mut phone);
    assert!(matches!(later, AttestRequest::AppAttest { key_id: [2, ..], .. }), "{later:?}");
    phone.intercept = None;
    phone.restart();
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.service.instances.len(), 1);
}

#[test]
fn any_other_app_attest_error_discards_the_key() {
    for failure in [EvidenceFailure::Other, EvidenceFailure::KeyLost] {
        let mut phone = Phone::new(IPHONE);
        let mut failing = true;
        phone.intercept = Some(Box::new(move |effect| {
            let event = attest_fails(effect, failure).filter(|_| failing);
            failing &= event.is_none();
            event
        }));
        assert_eq!(phone.obtain(), Outcome::Ready);
        assert!(matches!(phone.attested[..], [AttestRequest::AppAttest { key_id: [2, ..], .. }]));
        assert_eq!(phone.keys.len(), 1, "the instance key stays");
    }
}

#[test]
fn a_lost_app_attest_key_enrols_anew_with_the_same_instance_key() {
    let mut phone = enrolled(IPHONE);
    let before = (phone.service.last_enrolment().instance_key, phone.attester.standing().instance);
    let mut failing = true;
    phone.intercept = Some(Box::new(move |effect| {
        let event = attest_fails(effect, EvidenceFailure::KeyLost).filter(|_| failing);
        failing &= event.is_none();
        event
    }));
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.log, ["attest", "make app attest key", "attest", "sign", "enrol"]);
    let after = (phone.service.last_enrolment().instance_key, phone.attester.standing().instance);
    assert_eq!(before, after);
}

#[test]
fn an_assertion_that_cannot_be_had_does_not_block_renewal() {
    let mut phone = enrolled(IPHONE);
    phone.intercept = Some(Box::new(|effect| attest_fails(effect, EvidenceFailure::Other)));
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.service.last_enrolment().evidence, []);
}

/// A phone for which Google Play alone vouches, enrolled.
fn enrolled_by_google_alone() -> Phone {
    let mut phone = Phone::new(Platform::Android { play_integrity: true });
    phone.attests_keys = false;
    // Hardware that attests no keys attests no throwaway keys either.
    phone.intercept = Some(Box::new(throwaway_key_fails));
    assert_eq!(phone.obtain(), Outcome::Ready);
    phone
}

fn throwaway_key_fails(effect: &Effect) -> Option<Event> {
    match effect {
        Effect::Attest { request: AttestRequest::AndroidThrowawayKey { .. }, .. } => {
            attest_fails(effect, EvidenceFailure::Other)
        }
        _ => None,
    }
}

fn brings_a_token(phone: &Phone) -> bool {
    matches!(phone.service.last_enrolment().evidence[..], [Evidence::PlayIntegrity { .. }])
}

#[test]
fn a_token_that_google_was_not_asked_about_is_brought_anew_with_each_renewal() {
    let mut phone = enrolled_by_google_alone();
    phone.service.google_is_unreachable = true;
    for _ in 0..3 {
        phone.advance(6 * 3600);
        assert_eq!(phone.obtain(), Outcome::Ready);
        assert!(brings_a_token(&phone));
        phone.advance(600);
        assert_eq!(phone.obtain(), Outcome::Ready);
        assert!(brings_a_token(&phone), "the last one did not count");
    }
    phone.service.google_is_unreachable = false;
    phone.advance(600);
    assert_eq!(phone.obtain(), Outcome::Ready);
    phone.advance(600);
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert!(!brings_a_token(&phone), "that one did");
}

#[test]
fn a_verdict_that_is_overdue_is_made_up_for_without_a_new_instance() {
    let mut phone = enrolled_by_google_alone();
    let instance = phone.attester.standing().instance;
    phone.advance(30 * 3600);
    // Google Play's services on the phone are not to be had, and then they are.
    phone.intercept = Some(Box::new(|effect| attest_fails(effect, EvidenceFailure::Other)));
    assert!(matches!(phone.obtain(), Outcome::Failed(AttesterError::Unavailable { .. })));
    phone.intercept = Some(Box::new(throwaway_key_fails));
    phone.sit_out();
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert!(brings_a_token(&phone));
    assert_eq!(phone.attester.standing().instance, instance);
    assert_eq!(phone.keys.len(), 1);
}

#[test]
fn an_outage_of_google_when_a_verdict_is_overdue_costs_no_instance() {
    let mut phone = enrolled_by_google_alone();
    let instance = phone.attester.standing().instance;
    phone.advance(30 * 3600);
    phone.service.google_is_unreachable = true;
    assert!(matches!(phone.obtain(), Outcome::Failed(AttesterError::Unavailable { .. })));
    phone.service.google_is_unreachable = false;
    phone.sit_out();
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.attester.standing().instance, instance);
}

#[test]
fn a_phone_whose_hardware_attests_keys_by_now_enrols_with_one() {
    let mut phone = enrolled_by_google_alone();
    phone.advance(30 * 3600);
    (phone.intercept, phone.attests_keys) = (None, true);
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert!(matches!(phone.service.last_enrolment().evidence[..], [Evidence::AndroidKey { .. }, ..]));
    assert_eq!(phone.keys.len(), 1);
}

#[test]
fn state_restored_without_its_keys_enrols_anew() {
    for platform in [IPHONE, ANDROID] {
        let mut phone = enrolled(platform);
        phone.keys.clear();
        phone.intercept = Some(Box::new(|_| None));
        phone.restart();
        // The host tolerates deleting what is not there.
        phone.keys.insert(vec![1], p256::ecdsa::SigningKey::from_slice(&[99; 32]).unwrap());
        assert_eq!(phone.obtain(), Outcome::Ready, "another key under the same handle is not ours");
        assert_eq!(phone.service.last_enrolment().instance, None);
    }
}

#[test]
fn a_key_that_the_system_invalidated_enrols_anew_once() {
    let mut phone = enrolled(ANDROID);
    phone.intercept = Some(Box::new(|effect| sign_fails(effect, KeyFailure::Lost)));
    assert_eq!(phone.obtain(), Outcome::Failed(AttesterError::PlatformUnavailable));
    assert_eq!(phone.log.iter().filter(|name| **name == "make key").count(), 1);
    phone.intercept = None;
    phone.sit_out();
    assert_eq!(phone.obtain(), Outcome::Ready);
}

#[test]
fn a_locked_device_keeps_its_evidence_until_the_key_can_sign() {
    let mut phone = Phone::new(IPHONE);
    let mut failing = true;
    phone.intercept = Some(Box::new(move |effect| {
        let event = sign_fails(effect, KeyFailure::Unavailable).filter(|_| failing);
        failing &= event.is_none();
        event
    }));
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.attested.len(), 1, "App Attest keys are attested once");
}

#[test]
fn a_phone_out_of_attestation_keys_waits_for_them() {
    let mut phone = Phone::new(ANDROID);
    phone.intercept = Some(Box::new(|effect| make_key_fails(effect, KeyFailure::NoAttestationKeys)));
    let told = phone.run(Event::ResultWanted);
    assert_eq!(told, Outcome::Failed(AttesterError::NoAttestationKeys), "at once: it takes its time");
    assert!(phone.wake.unwrap() - phone.uptime >= std::time::Duration::from_secs(15), "as Android advises");
    phone.intercept = None;
    phone.sit_out();
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.service.calls.iter().filter(|path| path.ends_with("/v1/challenge")).count(), 1);
}

#[test]
fn an_enrolled_phone_out_of_attestation_keys_renews_without_fresh_evidence() {
    let mut phone = enrolled(ANDROID);
    phone.advance(24 * 3600);
    phone.intercept = Some(Box::new(|effect| attest_fails(effect, EvidenceFailure::Other)));
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.service.last_enrolment().evidence, []);
}

#[test]
fn a_phone_without_strongbox_says_so() {
    for protection in [Protection::Strongbox, Protection::Tee] {
        let mut phone = Phone::new(ANDROID);
        phone.protection = protection;
        assert_eq!(phone.obtain(), Outcome::Ready);
        assert_eq!(phone.attester.standing().protection, Some(protection), "to the app");
        assert_eq!(phone.service.last_enrolment().protection, protection, "and to the service");
        phone.restart();
        assert_eq!(phone.attester.standing().protection, Some(protection));
    }
}

#[test]
fn a_reinstalled_app_enrols_anew() {
    for platform in [IPHONE, ANDROID] {
        let mut phone = enrolled(platform);
        let before = phone.service.last_enrolment().instance_key;
        // Keys may outlive their app, as in a keychain; nobody knows them any more.
        phone.storage = None;
        phone.restart();
        assert_eq!(phone.obtain(), Outcome::Ready);
        let enrolment = phone.service.last_enrolment();
        assert_eq!(enrolment.instance, None);
        assert_ne!(enrolment.instance_key, before);
    }
}

#[test]
fn a_switch_between_development_and_production_enrols_anew() {
    let mut phone = enrolled(IPHONE);
    for platform in [Platform::Apple { production: false }, Platform::Development, IPHONE] {
        phone.restart_with(|settings| settings.platform = platform);
        assert_eq!(phone.attester.standing().instance, None);
        assert_eq!(phone.attester.client_attestation(phone.now()), None, "nothing of the other one is used");
        assert_eq!(phone.obtain(), Outcome::Ready);
        assert_eq!(phone.service.last_enrolment().instance, None);
    }
}
