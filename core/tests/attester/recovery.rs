//! What goes wrong between device and service, and its way out.

use countersign_core::attester::{
    Answer, AnswerError, Attester, AttesterError, Currency, Effect, Event, ResultKeys, Unreached,
};

use crate::faults::{enrolled, reference, scripted};
use crate::phone::{ANDROID, IPHONE, Outcome, Phone};
use crate::service::{Scripted, Service, json, problem};

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
fn an_app_update_keeps_the_instance() {
    let mut phone = enrolled(ANDROID);
    let instance = phone.attester.standing().instance;
    phone.restart_with(|settings| settings.app_version = "2.0".to_owned());
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.log, ["key set", "sign", "renew"]);
    assert_eq!(phone.service.last_enrolment().app_version, "2.0");
    assert_eq!(phone.attester.standing().instance, instance);
}

#[test]
fn two_processes_of_one_app_settle_on_one_instance() {
    let mut phone = Phone::new(ANDROID);
    let mut other = Attester::new(phone.config.clone(), None);
    let stored_of = |phone: &Phone| phone.storage.clone().unwrap();
    assert_eq!(phone.obtain(), Outcome::Ready);
    // The other one finds what the first one stored, and both go on with it.
    other.restore(&stored_of(&phone));
    core::mem::swap(&mut phone.attester, &mut other);
    phone.log.clear();
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!(phone.log, ["key set", "sign", "renew"]);
    // Its challenge was used by the other process: one more round trip, no more.
    core::mem::swap(&mut phone.attester, &mut other);
    phone.advance(301);
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!((phone.service.instances.len(), phone.keys.len()), (1, 1));
}

#[test]
fn state_of_another_process_is_taken_between_attempts_only() {
    let mut phone = enrolled(ANDROID);
    let stored = phone.storage.clone().unwrap();
    let mut fresh = Phone::new(ANDROID);
    let effects = fresh.step(Event::ResultWanted);
    assert!(!effects.is_empty());
    fresh.attester.restore(&stored);
    assert_eq!(fresh.attester.standing().instance, None, "an attempt is under way");
    phone.attester.restore(b"damaged");
    assert!(phone.attester.standing().instance.is_some(), "what is known is not given up for damage");
}

#[test]
fn support_is_told_what_failed_and_when_it_is_tried_again() {
    let mut phone = enrolled(ANDROID);
    assert_eq!((phone.attester.standing().failure, phone.attester.standing().retry_at), (None, None));
    scripted(&mut phone, [Scripted::Instead(problem(403, None))]);
    let Outcome::Failed(error) = phone.obtain() else { panic!("told at once") };
    let standing = phone.attester.standing();
    assert_eq!((standing.failure, standing.retry_at), (Some(error), phone.wake));
    assert_eq!(standing.expires_at, Some(phone.service.now.plus(299)), "what is left of the last result");
    phone.sit_out();
    assert_eq!(phone.obtain(), Outcome::Ready);
    assert_eq!((phone.attester.standing().failure, phone.attester.standing().retry_at), (None, None));
}
