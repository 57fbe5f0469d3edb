//! Each thing that goes wrong, and its way out.

use countersign_core::attester::{
    Answer, AnswerError, AttestRequest, AttesterError, Currency, Effect, Event, EvidenceFailure, KeyFailure,
    Platform, ResultKeys, Unreached,
};
use countersign_core::enrolment::{EnrolmentAnswer, Evidence};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::Thumbprint;
use countersign_core::token::result::{InstanceId, ResultClaims};

use crate::phone::{ANDROID, IPHONE, Outcome, Phone};
use crate::service::{START, Scripted, Service, json, problem};

pub fn attest_fails(effect: &Effect, failure: EvidenceFailure) -> Option<Event> {
    match effect {
        Effect::Attest { id, .. } => Some(Event::Attested { id: *id, outcome: Err(failure) }),
        _ => None,
    }
}

pub fn make_key_fails(effect: &Effect, failure: KeyFailure) -> Option<Event> {
    match effect {
        Effect::MakeKey { id, .. } => Some(Event::KeyMade { id: *id, outcome: Err(failure) }),
        _ => None,
    }
}

fn sign_fails(effect: &Effect, failure: KeyFailure) -> Option<Event> {
    match effect {
        Effect::Sign { id, .. } => Some(Event::Signed { id: *id, outcome: Err(failure) }),
        _ => None,
    }
}

fn scripted(phone: &mut Phone, script: impl IntoIterator<Item = Scripted>) {
    phone.service.script.extend(script);
}

fn enrolled(platform: countersign_core::attester::Platform) -> Phone {
    let mut phone = Phone::new(platform);
    assert_eq!(phone.obtain(), Outcome::Ready);
    phone.advance(301);
    phone.log.clear();
    phone
}

fn reference(error: AttesterError) -> Option<String> {
    error.reference().map(ToString::to_string)
}

#[test]
fn a_lost_answer_is_asked_for_with_the_same_bytes() {
    for lost in [Scripted::Lost, Scripted::Unreached, Scripted::Instead(json(503, ""))] {
        let mut phone = Phone::new(ANDROID);
        scripted(&mut phone, [lost]);
        assert_eq!(phone.run(Event::ResultWanted), Outcome::Waiting);
        assert_eq!(phone.run(Event::ResultWanted), Outcome::Waiting, "the pause holds for others too");
        assert_eq!(phone.service.envelopes.len(), 1);
        phone.sit_out();
        assert_eq!(phone.run(Event::Tick), Outcome::Ready);
        assert_eq!(phone.service.envelopes[0], phone.service.envelopes[1]);
        assert_eq!(phone.service.instances.len(), 1);
        assert_eq!(phone.keys.len(), 1);
    }
}

#[test]
fn the_same_bytes_are_not_sent_after_their_challenge_has_died() {
    let mut phone = Phone::new(ANDROID);
    scripted(&mut phone, [Scripted::Unreached, Scripted::Unreached]);
    assert_eq!(phone.obtain(), Outcome::Failed(AttesterError::Unreachable));
    phone.advance(1_200);
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_ne!(phone.service.envelopes[1], phone.service.envelopes[2]);
    assert_eq!(phone.keys.len(), 1, "the key of the dead challenge is forgotten");
}

#[test]
fn pauses_grow_and_are_told() {
    let mut phone = Phone::new(IPHONE);
    phone.intercept = Some(Box::new(|effect| match effect {
        Effect::Fetch { id, .. } => Some(Event::Fetched { id: *id, outcome: Err(Unreached) }),
        _ => None,
    }));
    let mut pauses = Vec::new();
    for _ in 0..12 {
        assert_eq!(phone.obtain(), Outcome::Failed(AttesterError::Unreachable));
        pauses.push(phone.wake.unwrap() - phone.uptime);
        phone.log.clear();
        assert_eq!(phone.run(Event::ResultWanted), Outcome::Failed(AttesterError::Unreachable));
        assert!(phone.log.is_empty(), "nothing is tried within the pause");
        phone.sit_out();
    }
    assert!(pauses[0].as_secs() <= 2 && pauses[11].as_secs() >= 150, "{pauses:?}");
    assert!(pauses.iter().all(|pause| pause.as_secs() <= 300), "{pauses:?}");
}

#[test]
fn two_phones_do_not_come_back_together() {
    let pause = |skip: usize| {
        let mut phone = Phone::new(ANDROID);
        for _ in 0..skip {
            let _ = phone.fresh_random();
        }
        scripted(&mut phone, [Scripted::Unreached]);
        phone.run(Event::ResultWanted);
        phone.wake.unwrap()
    };
    assert_ne!(pause(0), pause(1));
}

#[test]
fn retry_after_is_kept() {
    let mut phone = Phone::new(ANDROID);
    let busy = Answer { retry_after: Some(90), ..problem(429, None) };
    scripted(&mut phone, [Scripted::Instead(busy)]);
    let Outcome::Failed(error) = phone.run(Event::ResultWanted) else { panic!("told at once") };
    assert_eq!(reference(error).as_deref(), Some("AB12CD34"));
    assert_eq!(phone.wake.unwrap() - phone.uptime, std::time::Duration::from_secs(90));
}

#[test]
fn the_cure_retry_takes_a_new_challenge() {
    let mut phone = enrolled(IPHONE);
    scripted(&mut phone, [Scripted::Instead(problem(400, Some("retry")))]);
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.log, ["attest", "sign", "renew", "challenge", "attest", "sign", "renew"]);
}

#[test]
fn the_cure_re_enrol_forgets_the_keys_once() {
    for platform in [IPHONE, ANDROID] {
        let mut phone = enrolled(platform);
        let before = phone.service.last_enrolment();
        scripted(&mut phone, [Scripted::Instead(problem(403, Some("re-enrol")))]);
        assert_eq!(phone.obtain(), Outcome::Ready);
        let after = phone.service.last_enrolment();
        assert_ne!(after.instance_key, before.instance_key);
        assert_eq!(after.instance, None);
        assert_eq!(phone.keys.len(), 1);
    }
}

#[test]
fn a_service_that_always_says_re_enrol_is_not_obeyed_for_ever() {
    let mut phone = enrolled(ANDROID);
    let again = || Scripted::Instead(problem(403, Some("re-enrol")));
    scripted(&mut phone, [again(), again(), again()]);
    let Outcome::Failed(error) = phone.obtain() else { panic!("one restart for one demand") };
    assert!(matches!(error, AttesterError::Refused { .. }));
    assert_eq!(phone.log.iter().filter(|name| **name == "make key").count(), 1);
}

#[test]
fn update_app_and_a_ban_carry_the_reference_and_pause_long() {
    let mut phone = enrolled(IPHONE);
    scripted(&mut phone, [Scripted::Instead(problem(403, Some("update-app")))]);
    let Outcome::Failed(error) = phone.obtain() else { panic!("told at once") };
    assert_eq!((error.reason(), reference(error).as_deref()), ("update_required", Some("AB12CD34")));
    assert!(phone.wake.unwrap() - phone.uptime >= std::time::Duration::from_secs(1_800));

    for cure in [None, Some("some-later-cure")] {
        let mut phone = enrolled(IPHONE);
        scripted(&mut phone, [Scripted::Instead(problem(403, cure))]);
        let Outcome::Failed(error) = phone.obtain() else { panic!("told at once") };
        assert_eq!((error.reason(), reference(error).as_deref()), ("refused", Some("AB12CD34")));
        assert!(phone.wake.unwrap() - phone.uptime >= std::time::Duration::from_secs(30));
        assert_eq!(phone.keys.len(), 1, "a ban gives no new identity");
    }
}

#[test]
fn a_reference_that_is_none_is_not_shown() {
    let mut phone = enrolled(IPHONE);
    let body = r#"{"type":"urn:x","status":403,"title":"No.","reference":"<script>"}"#;
    scripted(&mut phone, [Scripted::Instead(json(403, body))]);
    let Outcome::Failed(error) = phone.obtain() else { panic!("told at once") };
    assert_eq!(reference(error), None);
}

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
fn a_result_of_another_is_refused() {
    type Alter = fn(&mut EnrolmentAnswer, &mut ResultClaims);
    let cases: [(Alter, AnswerError); 13] = [
        (|_, claims| claims.issuer.push('/'), AnswerError::OtherIssuer),
        (|_, claims| claims.client_id.push('x'), AnswerError::OtherClient),
        (
            |_, claims| {
                claims.confirmation = countersign_core::token::keys::PublicKey::from_ed25519(
                    ed25519_dalek::SigningKey::from_bytes(&[5; 32]).verifying_key().to_bytes(),
                )
                .unwrap();
            },
            AnswerError::OtherSessionKey,
        ),
        (|_, claims| claims.instance_jkt = Thumbprint::from_bytes([0; 32]), AnswerError::OtherInstance),
        (|_, claims| claims.instance = InstanceId::from_bytes([0; 16]), AnswerError::OtherInstance),
        (
            |answer, claims| {
                claims.instance = InstanceId::from_bytes([0; 16]);
                answer.instance_id = claims.instance.to_base64url();
            },
            AnswerError::OtherInstance,
        ),
        (
            |_, claims| {
                claims.issued_at = claims.issued_at.minus(600);
                claims.expires_at = claims.expires_at.minus(600);
            },
            AnswerError::NotCurrent,
        ),
        (
            |_, claims| {
                claims.issued_at = claims.issued_at.plus(61);
                claims.expires_at = claims.expires_at.plus(61);
            },
            AnswerError::NotCurrent,
        ),
        (|_, claims| claims.expires_at = claims.expires_at.plus(1), AnswerError::Malformed),
        (|answer, _| answer.result = "AA".to_owned(), AnswerError::Malformed),
        (|answer, _| answer.next_challenge.clear(), AnswerError::Malformed),
        (|answer, _| answer.instance_id.push('='), AnswerError::Malformed),
        (|answer, _| answer.client_attestation_as = "a\r\nX-Header: b".to_owned(), AnswerError::Malformed),
    ];
    for (index, (alter, expected)) in cases.into_iter().enumerate() {
        let mut phone = enrolled(IPHONE);
        scripted(&mut phone, [Scripted::Altered(alter)]);
        assert_eq!(phone.obtain(), Outcome::Failed(AttesterError::UntrustedAnswer(expected)), "case {index}");
        assert_eq!(phone.attester.currency(phone.now()), Currency::Due, "the earlier result still serves");
    }
}

#[test]
fn a_result_signed_with_another_key_is_refused() {
    let mut phone = Phone::new(IPHONE);
    scripted(&mut phone, [Scripted::ForeignKey]);
    let expected = AttesterError::UntrustedAnswer(AnswerError::InvalidSignature);
    assert_eq!(phone.obtain(), Outcome::Failed(expected));
    assert_eq!(phone.attester.currency(phone.now()), Currency::Missing);
    assert_eq!(phone.attester.standing().instance, None);
}

#[test]
fn a_rotated_service_key_is_fetched_once() {
    let mut phone = enrolled(IPHONE);
    phone.service.key_id = "service-2".to_owned();
    phone.service.signing_key = ed25519_dalek::SigningKey::from_bytes(&[43; 32]);
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.log, ["attest", "sign", "renew", "key set"]);

    let service = Service::new();
    let keys = vec![("another".to_owned(), service.public_key())];
    let mut phone = Phone::with(service, |settings| settings.result_keys = ResultKeys::Pinned(keys));
    let expected = AttesterError::UntrustedAnswer(AnswerError::UnknownKey);
    assert_eq!(phone.obtain(), Outcome::Failed(expected), "pinned keys are the only ones");
    assert!(!phone.log.contains(&"key set"));
}

#[test]
fn an_answer_waits_for_a_key_set_that_comes_late_or_not_at_all() {
    let mut phone = Phone::new(ANDROID);
    let mut failing = 2;
    phone.intercept = Some(Box::new(move |effect| match effect {
        Effect::Fetch { id, call } if call.url.ends_with("jwks.json") && failing > 0 => {
            failing -= 1;
            Some(Event::Fetched { id: *id, outcome: Ok(json(502, "")) })
        }
        _ => None,
    }));
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.service.envelopes.len(), 1, "the answer at hand is used");
}

#[test]
fn an_answer_that_waited_for_long_is_asked_for_again() {
    let mut phone = Phone::new(ANDROID);
    phone.intercept = Some(Box::new(|effect| match effect {
        Effect::Fetch { id, call } if call.url.ends_with("jwks.json") => {
            Some(Event::Fetched { id: *id, outcome: Err(Unreached) })
        }
        _ => None,
    }));
    assert_eq!(phone.obtain(), Outcome::Failed(AttesterError::Unreachable));
    phone.intercept = None;
    phone.advance(900);
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.service.envelopes.len(), 2);
    assert_eq!(phone.service.envelopes[0], phone.service.envelopes[1]);
    assert_eq!(phone.attester.currency(phone.now()), Currency::Current);
}

#[test]
fn a_wrong_wall_clock_does_not_matter() {
    for error in [-1_000_000_000, 1_000_000_000] {
        let mut phone = Phone::new(ANDROID);
        phone.wall_error = error;
        assert_eq!(phone.obtain(), Outcome::Ready);
        phone.wall_error = -error;
        phone.advance(10);
        assert_eq!(phone.attester.currency(phone.now()), Currency::Current);
        phone.advance(580);
        assert_eq!(phone.attester.currency(phone.now()), Currency::Missing, "expired by the service's clock");
    }
}

#[test]
fn a_host_that_never_answers_is_not_waited_for_for_ever() {
    let mut phone = Phone::new(ANDROID);
    let effects = phone.step(Event::ResultWanted);
    let Some(Effect::WaitUntil(deadline)) =
        effects.iter().find(|effect| matches!(effect, Effect::WaitUntil(_)))
    else {
        panic!("a deadline is set: {effects:?}")
    };
    phone.wake = Some(*deadline);
    assert_eq!(phone.run(Event::Tick), Outcome::Waiting, "too early");
    phone.sit_out();
    assert_eq!(phone.run(Event::Tick), Outcome::Waiting);
    phone.sit_out();
    assert_eq!(phone.run(Event::Tick), Outcome::Ready);
}

#[test]
fn an_answer_to_nothing_is_ignored() {
    let mut phone = Phone::new(ANDROID);
    let effects = phone.step(Event::ResultWanted);
    let ids: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Fetch { id, .. } => Some(*id),
            _ => None,
        })
        .collect();
    for id in ids {
        assert_eq!(phone.step(Event::Signed { id, outcome: Ok(vec![0; 64]) }), []);
        assert_eq!(phone.step(Event::KeyMade { id, outcome: Err(KeyFailure::Lost) }), []);
        assert_eq!(phone.step(Event::Attested { id, outcome: Err(EvidenceFailure::Other) }), []);
    }
}

#[test]
fn a_hostile_service_gets_errors_and_no_more() {
    let bodies: [&[u8]; 6] = [
        b"",
        b"<html>",
        b"{}",
        b"[]",
        &[0xff; 70_000],
        br#"{"attestation_challenge":"AA","expires_in":1,"server_time":1}"#,
    ];
    for body in bodies {
        for status in [200, 201, 302, 404, 500] {
            let answer = Answer { status, retry_after: Some(u64::MAX), body: body.to_vec() };
            let mut phone = Phone::new(IPHONE);
            phone.service.challenge_answer = Some(answer.clone());
            assert!(matches!(phone.run(Event::ResultWanted), Outcome::Failed(_) | Outcome::Waiting));
            let mut phone = enrolled(IPHONE);
            scripted(&mut phone, [Scripted::Instead(answer)]);
            assert!(matches!(phone.run(Event::ResultWanted), Outcome::Failed(_) | Outcome::Waiting));
            assert!(phone.wake.unwrap() <= phone.uptime + std::time::Duration::from_secs(3_600));
            phone.advance(3_700);
            assert_eq!(phone.obtain(), Outcome::Ready);
        }
    }
}

#[test]
fn damaged_storage_enrols_anew() {
    let mut phone = enrolled(IPHONE);
    phone.storage.as_mut().unwrap()[20] ^= 1;
    phone.restart();
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.service.last_enrolment().instance, None);
}

#[test]
fn storage_holds_no_secret() {
    let mut phone = Phone::new(IPHONE);
    assert_eq!(phone.obtain(), Outcome::Ready);
    let stored = phone.storage.unwrap();
    // The seed of the step that made the session key, as the phone counts its random bytes.
    for step in 1..40u64 {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&step.to_be_bytes());
        assert!(!stored.windows(32).any(|window| window == seed));
    }
    assert_eq!(phone.service.now, Timestamp::from_unix_seconds(START));
}
