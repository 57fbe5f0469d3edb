//! Answers that are not the service's, or not for us; and state that is not what was stored.

use countersign_core::attester::{
    Answer, AnswerError, AttesterError, Currency, Effect, Event, EvidenceFailure, KeyFailure, MAX_ANSWER,
    Platform, ProofRequest,
};
use countersign_core::encoding::from_base64url;
use countersign_core::enrolment::{DecodedEnrolment, EnrolmentAnswer, Evidence};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::Thumbprint;
use countersign_core::token::proof::DecodedProof;
use countersign_core::token::result::{InstanceId, ResultClaims};

use crate::faults::{enrolled, reference, scripted, unreachable};
use crate::phone::{ANDROID, API, IPHONE, Outcome, Phone};
use crate::service::{START, Scripted, json, problem};

const REQUEST: ProofRequest<'static> =
    ProofRequest { method: "GET", uri: API, credential: None, content: None, nonce: None, environment: None };

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

const CENTURY: u64 = 100 * 365 * 86_400;

#[test]
fn a_clock_far_in_the_future_is_forgotten_with_the_next_honest_answer() {
    let alter = |answer: &mut EnrolmentAnswer, claims: &mut ResultClaims| {
        answer.server_time += CENTURY;
        claims.issued_at = claims.issued_at.plus(CENTURY);
        claims.expires_at = claims.expires_at.plus(CENTURY);
        claims.evidence_time = claims.evidence_time.plus(CENTURY);
    };
    for restart in [false, true] {
        let mut phone = Phone::new(Platform::Android { play_integrity: true });
        phone.service.altered = Some(alter);
        assert_eq!(phone.obtain(), Outcome::Ready, "all of it says the same, so nothing is wrong with it");
        phone.service.altered = None;
        if restart {
            phone.restart();
        }
        phone.advance(301);
        assert_eq!(phone.obtain(), Outcome::Ready);
        let headers = phone.attester.prove(&REQUEST, phone.now(), &[1; 16]).unwrap();
        let proof = from_base64url(&headers.proof).unwrap();
        assert_eq!(DecodedProof::decode(&proof).unwrap().claims.issued_at, phone.service.now);
        // What was said to be evidence of the next century is not waited for.
        phone.advance(301);
        assert_eq!(phone.obtain(), Outcome::Ready);
        let later = phone.service.envelopes.iter().skip(1);
        let is_token = |evidence: &Evidence| matches!(evidence, Evidence::PlayIntegrity { .. });
        let brings_token = |envelope: &Vec<u8>| {
            DecodedEnrolment::decode(envelope).unwrap().enrolment.evidence.iter().any(is_token)
        };
        assert_eq!(later.map(brings_token).filter(|brings| *brings).count(), 1, "restarted: {restart}");
    }
}

#[test]
fn a_time_that_nobody_signed_moves_no_clock_that_is_known() {
    let mut phone = enrolled(IPHONE);
    phone.advance(1_000);
    let challenge = phone.service.new_challenge().to_base64url();
    let time = phone.service.now.plus(CENTURY);
    let body = format!(r#"{{"attestation_challenge":"{challenge}","expires_in":1200,"server_time":{time}}}"#);
    // The result has expired, so the time is taken, and costs nothing but this: the honest answer puts it right.
    phone.service.challenge_answer = Some(json(200, &body));
    assert_eq!(phone.obtain(), Outcome::Ready);
    // The result lives: the same answer changes nothing.
    phone.advance(301);
    scripted(&mut phone, [Scripted::Instead(problem(400, Some("retry")))]);
    phone.service.challenge_answer = Some(json(200, &body));
    phone.run(Event::ResultWanted);
    phone.intercept = Some(Box::new(|effect| match effect {
        Effect::Fetch { call, .. } if call.url.ends_with("/results") => unreachable(effect),
        _ => None,
    }));
    phone.sit_out();
    phone.run(Event::Tick);
    assert!(phone.service.challenge_answer.is_none(), "it was heard");
    assert_eq!(phone.attester.currency(phone.now()), Currency::Due);
    let headers = phone.attester.prove(&REQUEST, phone.now(), &[1; 16]).unwrap();
    let proof = from_base64url(&headers.proof).unwrap();
    assert_eq!(DecodedProof::decode(&proof).unwrap().claims.issued_at, phone.service.now);
}

#[test]
fn another_algorithm_is_not_taken_under_the_name_of_ours() {
    let mut phone = enrolled(IPHONE);
    phone.restart();
    // The key set has a P-256 key under the `kid` that the result names.
    phone.intercept = Some(Box::new(|effect| match effect {
        Effect::Fetch { id, call } if call.url.ends_with("jwks.json") => {
            let key = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"service-1","x":"AA","y":"AA"},
                {"kty":"oct","kid":"service-1","k":"AA"},{"kty":"OKP","crv":"Ed25519","x":"AA","d":"AA","kid":"service-1"}]}"#;
            Some(Event::Fetched { id: *id, outcome: Ok(json(200, key)) })
        }
        _ => None,
    }));
    let unknown = AttesterError::UntrustedAnswer(AnswerError::UnknownKey);
    assert_eq!(phone.obtain(), Outcome::Failed(unknown));
    phone.intercept = None;
    phone.sit_out();
    assert_eq!(phone.obtain(), Outcome::Ready);
}

#[test]
fn an_answer_that_is_not_taken_changes_nothing_and_the_next_one_is() {
    type Alter = fn(&mut EnrolmentAnswer, &mut ResultClaims);
    let alters: [Alter; 4] = [
        |_, claims| claims.issuer.push('/'),
        |_, claims| claims.instance = InstanceId::from_bytes([0; 16]),
        |_, claims| claims.expires_at = claims.issued_at.plus(29),
        |answer, _| answer.server_time += CENTURY,
    ];
    let answers = alters.into_iter().map(Scripted::Altered).chain([
        Scripted::ForeignKey,
        Scripted::Instead(json(200, "{}")),
        Scripted::Instead(Answer { status: 200, retry_after: None, body: vec![b' '; MAX_ANSWER + 1] }),
    ]);
    for (index, answer) in answers.enumerate() {
        let mut phone = enrolled(ANDROID);
        let (standing, stored) = (phone.attester.standing(), phone.storage.clone());
        scripted(&mut phone, [answer]);
        assert_ne!(phone.run(Event::ResultWanted), Outcome::Ready, "answer {index}");
        let after = phone.attester.standing();
        assert_eq!(
            (after.instance, after.tier, after.expires_at),
            (standing.instance, standing.tier, standing.expires_at)
        );
        assert_eq!(phone.storage, stored, "answer {index}");
        assert!(
            phone.attester.prove(&REQUEST, phone.now(), &[1; 16]).is_ok(),
            "the earlier result still serves"
        );
        phone.sit_out();
        phone.run(Event::Tick);
        assert_eq!(phone.obtain(), Outcome::Ready, "answer {index}");
        assert_eq!(phone.attester.standing().instance, standing.instance);
        assert_eq!(phone.keys.len(), 1);
    }
}
