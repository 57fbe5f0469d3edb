//! What others can make a phone do while its app wants to call an API every twenty seconds: how often it uses the network,
//! its key store and its platform's services. By the day, unless a test says otherwise.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use countersign_core::attester::{
    Answer, Currency, EdgeAnswer, Effect, Event, EvidenceFailure, KeyFailure, Platform,
};
use countersign_core::enrolment::EnrolmentAnswer;
use countersign_core::token::result::ResultClaims;

use crate::faults::{attest_fails, make_key_fails, sign_fails, unreachable};
use crate::phone::{ANDROID, API, IPHONE, Outcome, Phone};
use crate::service::{json, problem};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const STEP: u64 = 20;

/// What was done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Work {
    calls: usize,
    keys: usize,
    evidence: usize,
    signatures: usize,
}

impl Work {
    fn of(log: &[&str]) -> Self {
        let count = |names: &[&str]| log.iter().filter(|name| names.contains(*name)).count();
        Self {
            calls: count(&["challenge", "key set", "enrol", "renew"]),
            keys: count(&["make key", "make app attest key"]),
            evidence: count(&["attest"]),
            signatures: count(&["sign"]),
        }
    }

    fn is_within(self, most: Self) -> bool {
        self.calls <= most.calls
            && self.keys <= most.keys
            && self.evidence <= most.evidence
            && self.signatures <= most.signatures
    }
}

/// Lives for so many seconds; `before` comes before each wish of the app.
fn live(phone: &mut Phone, seconds: u64, mut before: impl FnMut(&mut Phone)) -> Work {
    let last = phone.uptime + Duration::from_secs(seconds);
    while phone.uptime < last {
        before(phone);
        // As a host does: whoever is told to wait, or to wake the attester, does.
        if phone.attester.currency(phone.now()) != Currency::Current {
            phone.run(Event::ResultWanted);
        }
        phone.advance(STEP);
        phone.run(Event::Tick);
    }
    Work::of(&phone.log)
}

fn assert_within(phone: &mut Phone, name: &str, most: Work) {
    let work = live(phone, DAY, |_| {});
    assert!(work.is_within(most), "{name}: {work:?}");
}

/// Every envelope gets this answer.
fn refusing(platform: Platform, answer: Answer) -> Phone {
    let mut phone = Phone::new(platform);
    phone.intercept = Some(Box::new(move |effect| match effect {
        Effect::Fetch { id, call } if call.url.contains("/v1/instances") => {
            Some(Event::Fetched { id: *id, outcome: Ok(answer.clone()) })
        }
        _ => None,
    }));
    phone
}

fn altering(platform: Platform, alter: fn(&mut EnrolmentAnswer, &mut ResultClaims)) -> Phone {
    let mut phone = Phone::new(platform);
    phone.service.altered = Some(alter);
    phone
}

#[test]
fn honest_use_is_what_the_protocol_says() {
    let work = live(&mut Phone::new(ANDROID), 6 * HOUR, |_| {});
    // A renewal every five minutes, and evidence at enrolment alone; the key set and the challenge once.
    assert_eq!(work.keys, 1);
    assert!((70..=75).contains(&work.calls) && work.evidence <= 1, "{work:?}");
}

#[test]
fn a_service_that_is_not_there_is_asked_ever_less_often() {
    let mut phone = Phone::new(ANDROID);
    phone.intercept = Some(Box::new(unreachable));
    assert_within(&mut phone, "unreachable", Work { calls: 1_200, ..Work::default() });
    let mut phone = Phone::new(ANDROID);
    phone.intercept = Some(Box::new(|effect| match effect {
        Effect::Fetch { id, call } if call.url.ends_with("/v1/challenge") => {
            let empty = json(200, r#"{"attestation_challenge":"","expires_in":0,"server_time":0}"#);
            Some(Event::Fetched { id: *id, outcome: Ok(empty) })
        }
        _ => None,
    }));
    assert_within(&mut phone, "empty challenges", Work { calls: 600, ..Work::default() });
}

#[test]
fn a_refusal_for_ever_costs_few_keys_and_little_evidence() {
    let named = |cure: Option<&str>| format!("{cure:?}");
    for platform in [IPHONE, ANDROID] {
        for cure in [Some("retry"), Some("re-enrol"), Some("update-app"), None] {
            let mut phone = refusing(platform, problem(403, cure));
            let most = Work { calls: 150, keys: 80, evidence: 60, signatures: 60 };
            assert_within(&mut phone, &named(cure), most);
        }
    }
}

#[test]
fn what_answers_in_the_services_place_for_ever_costs_few_keys_and_little_evidence() {
    for platform in [IPHONE, ANDROID] {
        for (status, retry_after) in [(302, None), (401, Some(0)), (503, None), (429, Some(u64::MAX))] {
            let mut phone = refusing(platform, Answer { retry_after, ..json(status, "<html>") });
            let most = Work { calls: 700, keys: 80, evidence: 80, signatures: 80 };
            assert_within(&mut phone, "another answers", most);
        }
        let mut phone = refusing(platform, json(200, "<html>"));
        let most = Work { calls: 100, keys: 60, evidence: 40, signatures: 40 };
        assert_within(&mut phone, "no answer of ours", most);
    }
}

#[test]
fn a_retry_after_without_end_is_no_silence() {
    let mut phone = refusing(ANDROID, Answer { retry_after: Some(u64::MAX), ..problem(503, None) });
    let work = live(&mut phone, DAY, |_| {});
    assert!(work.calls >= 24, "{work:?}");
    phone.intercept = None;
    phone.advance(3_600);
    phone.run(Event::ResultWanted);
    assert_eq!(phone.attester.currency(phone.now()), Currency::Current);
}

#[test]
fn results_without_life_are_not_renewed_for_ever() {
    let most = Work { calls: 100, keys: 60, evidence: 40, signatures: 40 };
    let too_short: [fn(&mut EnrolmentAnswer, &mut ResultClaims); 3] = [
        |_, claims| claims.expires_at = claims.issued_at,
        |_, claims| claims.expires_at = claims.issued_at.plus(1),
        |_, claims| claims.expires_at = claims.issued_at.plus(29),
    ];
    let too_long: fn(&mut EnrolmentAnswer, &mut ResultClaims) =
        |_, claims| claims.expires_at = claims.issued_at.plus(100 * 365 * 86_400);
    for alter in too_short.into_iter().chain([too_long]) {
        assert_within(&mut altering(ANDROID, alter), "lifetime", most);
    }
}

#[test]
fn results_near_their_end_are_not_renewed_for_ever() {
    // As a service may repeat an answer, once; here for ever.
    let alter = |_: &mut EnrolmentAnswer, claims: &mut ResultClaims| {
        claims.issued_at = claims.issued_at.minus(595);
        claims.expires_at = claims.expires_at.minus(595);
    };
    let most = Work { calls: 100, keys: 60, evidence: 40, signatures: 40 };
    assert_within(&mut altering(ANDROID, alter), "near the end", most);
}

#[test]
fn a_renewal_time_in_the_past_is_brought_into_range() {
    let mut phone = altering(ANDROID, |answer, _| answer.renew_after = 0);
    let hour = live(&mut phone, HOUR, |_| {});
    assert!(hour.calls <= 63 && hour.keys == 1, "once a minute: {hour:?}");
    let mut phone = altering(ANDROID, |answer, claims| {
        claims.expires_at = claims.issued_at.plus(30);
        answer.renew_after = 0;
    });
    // The shortest result that a service can be set to.
    assert_eq!(phone.obtain(), Outcome::Ready);
    phone.advance(14);
    assert_eq!(phone.attester.currency(phone.now()), Currency::Current);
    phone.advance(1);
    assert_eq!(phone.attester.currency(phone.now()), Currency::Due);
}

#[test]
fn a_renewal_time_without_end_still_renews_ahead_of_expiry() {
    let mut phone = altering(ANDROID, |answer, _| answer.renew_after = u64::MAX);
    let mut missing = 0;
    live(&mut phone, HOUR, |phone| {
        missing += usize::from(phone.attester.currency(phone.now()) == Currency::Missing)
    });
    assert_eq!(missing, 1, "at the very beginning");
}

#[test]
fn a_service_that_wants_a_new_enrolment_after_each_is_heard_once_an_hour() {
    let mut phone = Phone::new(IPHONE);
    phone.intercept = Some(Box::new(|effect| match effect {
        Effect::Fetch { id, call } if call.url.ends_with("/results") => {
            Some(Event::Fetched { id: *id, outcome: Ok(problem(404, Some("re-enrol"))) })
        }
        _ => None,
    }));
    let most = Work { calls: 320, keys: 60, evidence: 170, signatures: 170 };
    assert_within(&mut phone, "re-enrol after each", most);
}

#[test]
fn a_platform_that_fails_for_ever_is_asked_ever_less_often() {
    type Fault = fn(&Effect) -> Option<Event>;
    let cases: [(&str, Platform, Fault, Work); 7] = [
        (
            "app attest fails",
            IPHONE,
            |effect| attest_fails(effect, EvidenceFailure::Other),
            Work { calls: 90, keys: 60, evidence: 60, signatures: 0 },
        ),
        // The same key, as long as its challenge lives.
        (
            "server unavailable",
            IPHONE,
            |effect| attest_fails(effect, EvidenceFailure::ServerUnavailable),
            Work { calls: 150, keys: 100, evidence: 600, signatures: 0 },
        ),
        (
            "no attestation keys",
            ANDROID,
            |effect| make_key_fails(effect, KeyFailure::NoAttestationKeys),
            Work { calls: 90, keys: 60, evidence: 0, signatures: 0 },
        ),
        (
            "key store away",
            ANDROID,
            |effect| make_key_fails(effect, KeyFailure::Unavailable),
            Work { calls: 150, keys: 600, evidence: 0, signatures: 0 },
        ),
        (
            "unsupported",
            ANDROID,
            |effect| make_key_fails(effect, KeyFailure::Unsupported),
            Work { calls: 60, keys: 60, evidence: 0, signatures: 0 },
        ),
        (
            "locked",
            ANDROID,
            |effect| sign_fails(effect, KeyFailure::Unavailable),
            Work { calls: 150, keys: 100, evidence: 0, signatures: 600 },
        ),
        (
            "lost",
            ANDROID,
            |effect| sign_fails(effect, KeyFailure::Lost),
            Work { calls: 150, keys: 80, evidence: 0, signatures: 80 },
        ),
    ];
    for (name, platform, fault, most) in cases {
        let mut phone = Phone::new(platform);
        phone.intercept = Some(Box::new(fault));
        assert_within(&mut phone, name, most);
    }
}

#[test]
fn an_edge_that_is_never_content_brings_little_evidence() {
    for platform in [IPHONE, Platform::Android { play_integrity: true }] {
        let honest = live(&mut Phone::new(platform), 4 * HOUR, |_| {});
        let mut phone = Phone::new(platform);
        let wish = r#"DPoP error="use_fresh_attestation""#;
        let work = live(&mut phone, 4 * HOUR, |phone| {
            for error in
                [wish, r#"DPoP error="invalid_client_attestation""#, r#"DPoP error="use_dpop_nonce""#]
            {
                let answer = EdgeAnswer { status: 401, challenge: None, www_authenticate: &[error] };
                let now = phone.now();
                phone.attester.observe(API, &answer, now);
            }
        });
        let more = Work {
            calls: honest.calls + 10,
            keys: honest.keys,
            evidence: honest.evidence + 20,
            signatures: honest.signatures + 10,
        };
        assert!(work.is_within(more), "{work:?} instead of {honest:?}");
    }
}

#[test]
fn a_phone_in_a_drawer_does_nothing() {
    let mut phone = Phone::new(ANDROID);
    phone.obtain();
    phone.log.clear();
    for _ in 0..DAY / 60 {
        phone.advance(60);
        phone.run(Event::Tick);
    }
    assert_eq!(phone.log, [""; 0], "nobody called, so nothing was renewed");
}

#[test]
fn state_is_written_once_for_each_result_and_not_for_each_call() {
    let mut phone = Phone::new(ANDROID);
    let writes = Rc::new(Cell::new(0));
    let seen = Rc::clone(&writes);
    phone.intercept = Some(Box::new(move |effect| {
        seen.set(seen.get() + usize::from(matches!(effect, Effect::Store(_))));
        None
    }));
    let work = live(&mut phone, HOUR, |_| {});
    assert!(writes.get() <= work.calls + 2, "{} writes for {work:?}", writes.get());
}
