//! Answers that are not the service's, or not for us; and state that is not what was stored.

use countersign_core::attester::{
    Answer, AnswerError, AttesterError, Currency, Effect, Event, EvidenceFailure, KeyFailure,
};
use countersign_core::enrolment::EnrolmentAnswer;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::Thumbprint;
use countersign_core::token::result::{InstanceId, ResultClaims};

use crate::faults::{enrolled, reference, scripted};
use crate::phone::{ANDROID, IPHONE, Outcome, Phone};
use crate::service::{START, Scripted, json};

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

#[test]
fn a_reference_that_is_none_is_not_shown() {
    let mut phone = enrolled(IPHONE);
    let body = r#"{"type":"urn:x","status":403,"title":"No.","reference":"<script>"}"#;
    scripted(&mut phone, [Scripted::Instead(json(403, body))]);
    let Outcome::Failed(error) = phone.obtain() else { panic!("told at once") };
    assert_eq!(reference(error), None);
}
