//! Enrolments and renewals, honest ones and attacks, against a whole service.

use countersign_core::challenge::ChallengeError;
use countersign_core::encoding::from_base64url;
use countersign_core::enrolment::Cure;
use countersign_core::token::keys::PureRust;
use countersign_core::token::result::{DecodedResult, Protection, ResultClaims, VouchedBy};
use countersign_core::token::trust_vector::{TrustClaim, TrustTier};
use countersign_verifier::enrolment::{CHALLENGE_LIFETIME, EnrolmentError};
use countersign_verifier::evidence::EvidenceError;
use countersign_virtual_device::{
    AndroidAttack, EnrolmentAttack, GoogleAuthority, ServiceCall, VirtualAndroid, VirtualPhone,
};

use super::*;
use crate::virtual_world::{World, android, foreign_challenge, iphone, seed, session};

/// The result in an answer, if the service's published key verifies it.
fn claims(world: &World, answer: &EnrolmentAnswer) -> ResultClaims {
    use countersign_verifier::issue::Signer;

    let bytes = from_base64url(&answer.result).unwrap();
    let DecodedResult { message, claims } = DecodedResult::decode(&bytes).unwrap();
    let key = world.service().keys.results.current();
    assert_eq!(message.header().key_id, Some(key.key_id().as_bytes()));
    message.verify(key.public_key(), &PureRust).unwrap();
    claims
}

fn cause(refused: Result<EnrolmentAnswer, Denial>) -> Cause {
    let Err(denial) = refused else { panic!("an attack passed") };
    assert!(denial.reference.is_some());
    denial.cause
}

fn id(answer: &EnrolmentAnswer) -> InstanceId {
    InstanceId::from_base64url(&answer.instance_id).unwrap()
}

async fn decisions(world: &World, verdict: &str) -> usize {
    world.service().store.decisions_of(verdict).await
}

#[tokio::test]
async fn both_phones_enrol_and_renew() {
    let world = World::new().await;
    for (mut phone, vouched_by, protection) in [
        (iphone(), VouchedBy::AttestedApp, Protection::SecureEnclave),
        (android(), VouchedBy::Platform, Protection::Tee),
    ] {
        let envelope = phone.enrol(&world.call(), &session("first"));
        let answer = world.service().attest(None, &envelope).await.unwrap();
        let enrolled = claims(&world, &answer);
        assert_eq!(
            (enrolled.tier, enrolled.vouched_by, enrolled.protection),
            (Tier::Affirming, vouched_by, protection)
        );
        assert_eq!(enrolled.confirmation, session("first").public_key());
        assert_eq!(enrolled.instance_jkt, phone.instance_key().thumbprint());
        assert_eq!(enrolled.policy, "test/1");
        assert_eq!(enrolled.trust_vector.tier(), TrustTier::Affirming);
        assert_eq!(enrolled.trust_vector.value(TrustClaim::Hardware), 2);
        assert!((240..=300).contains(&answer.renew_after));

        world.wait(300);
        let envelope = phone.renew(&world.call(), id(&answer), &session("second"));
        let renewed = claims(&world, &world.service().attest(Some(id(&answer)), &envelope).await.unwrap());
        assert_eq!(renewed.instance, enrolled.instance);
        assert_eq!(renewed.confirmation, session("second").public_key());
        assert_eq!((renewed.tier, renewed.evidence_time), (Tier::Affirming, world.now()));
    }
    assert_eq!(decisions(&world, "affirming").await, 4);
}

#[tokio::test]
async fn the_next_challenge_of_an_answer_is_good_for_a_renewal() {
    let world = World::new().await;
    let mut phone = iphone();
    let envelope = phone.enrol(&world.call(), &session("first"));
    let answer = world.service().attest(None, &envelope).await.unwrap();
    let challenge = countersign_core::challenge::Challenge::from_base64url(&answer.next_challenge).unwrap();
    let call = ServiceCall { challenge, ..world.call() };
    let envelope = phone.renew(&call, id(&answer), &session("second"));
    assert!(world.service().attest(Some(id(&answer)), &envelope).await.is_ok());
}

#[tokio::test]
async fn a_lost_answer_costs_nothing() {
    let world = World::new().await;
    let mut phone = iphone();
    let envelope = phone.enrol(&world.call(), &session("first"));
    let first = world.service().attest(None, &envelope).await.unwrap();
    let again = world.service().attest(None, &envelope).await.unwrap();
    assert_eq!(claims(&world, &first), claims(&world, &again));

    // The counter in the assertion is the stored one by now, and the same bytes are answered all the same.
    let envelope = phone.renew(&world.call(), id(&first), &session("second"));
    let renewed = world.service().attest(Some(id(&first)), &envelope).await.unwrap();
    let again = world.service().attest(Some(id(&first)), &envelope).await.unwrap();
    assert_eq!(claims(&world, &renewed), claims(&world, &again));
    assert_eq!(decisions(&world, "affirming").await, 2);
}

#[tokio::test]
async fn the_same_bytes_again_do_not_extend_the_life_of_their_answer() {
    let world = World::new().await;
    let mut phone = iphone();
    let enrolment = phone.enrol(&world.call(), &session("first"));
    let first = world.service().attest(None, &enrolment).await.unwrap();
    let renewal = phone.renew(&world.call(), id(&first), &session("second"));
    let renewed = world.service().attest(Some(id(&first)), &renewal).await.unwrap();
    let ask = async |addressed: Option<InstanceId>, envelope: &[u8]| {
        world.service().attest(addressed, envelope).await
    };
    world.wait(599);
    for (addressed, envelope, answer) in [(None, &enrolment, &first), (Some(id(&first)), &renewal, &renewed)]
    {
        let again = ask(addressed, envelope).await.unwrap();
        assert_eq!(claims(&world, &again), claims(&world, answer));
        assert!(again.renew_after <= 1, "{}", again.renew_after);
    }
    world.wait(1);
    for (addressed, envelope) in [(None, &enrolment), (Some(id(&first)), &renewal)] {
        let expired = cause(ask(addressed, envelope).await);
        assert_eq!((expired.clone(), expired.cure()), (Cause::AnswerExpired, Some(Cure::Retry)));
    }
    assert!(
        world
            .service()
            .attest(Some(id(&first)), &phone.renew(&world.call(), id(&first), &session("third")))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_flood_of_signed_refusals_writes_so_much_and_no_more() {
    let world = World::new().await;
    let rooted = VirtualAndroid::new(&GoogleAuthority::from_seed(&seed()), &seed())
        .app("com.example.app", 1, [8; 32])
        .attack(AndroidAttack::Rooted);
    let mut phone = VirtualPhone::from(rooted);
    let (mut with, mut without) = (0, 0);
    for number in 0..2 * record_budget::PER_SOURCE {
        if number % (record_budget::PER_SECOND / 2) == 0 {
            world.wait(1);
        }
        let envelope = phone.enrol(&world.call(), &session("first"));
        let denial = world.service().attest(None, &envelope).await.err().unwrap();
        assert_eq!(denial.cause, Cause::Policy, "refused all the same");
        if denial.reference.is_some() { with += 1 } else { without += 1 }
    }
    assert_eq!((with, without), (record_budget::PER_SOURCE, record_budget::PER_SOURCE));
    assert_eq!(decisions(&world, "refused").await, record_budget::PER_SOURCE as usize);
    let metrics = world.service().metrics.to_prometheus();
    assert!(metrics.contains("countersign_refusals_not_recorded_total 20\n"), "{metrics}");
    let elsewhere = IpAddr::from([192, 0, 2, 2]);
    let envelope = phone.enrol(&world.call(), &session("first"));
    assert!(world.service().attest_from(elsewhere, None, &envelope).await.err().unwrap().reference.is_some());
}

#[tokio::test]
async fn one_challenge_enrols_one_request() {
    let world = World::new().await;
    let call = world.call();
    let first = iphone().enrol(&call, &session("first"));
    world.service().attest(None, &first).await.unwrap();
    let other = android().enrol(&call, &session("second"));
    assert_eq!(cause(world.service().attest(None, &other).await), Cause::ChallengeUsed);
}

#[tokio::test]
async fn the_same_request_sent_twice_at_once_enrols_once() {
    let world = World::new().await;
    let envelope = iphone().enrol(&world.call(), &session("first"));
    let service = world.service();
    let (one, two) = tokio::join!(service.attest(None, &envelope), service.attest(None, &envelope));
    assert_eq!(one.unwrap().instance_id, two.unwrap().instance_id);
    assert_eq!(decisions(&world, "affirming").await, 1);
}

#[tokio::test]
async fn a_challenge_is_ours_and_fresh() {
    let world = World::new().await;
    let call = ServiceCall { challenge: foreign_challenge(), ..world.call() };
    let foreign = iphone().enrol(&call, &session("first"));
    let unrecognised = Cause::Enrolment(EnrolmentError::Challenge(ChallengeError::Unrecognised));
    assert_eq!(cause(world.service().attest(None, &foreign).await), unrecognised);

    let envelope = iphone().enrol(&world.call(), &session("first"));
    world.wait(CHALLENGE_LIFETIME + 1);
    let expired = Cause::Enrolment(EnrolmentError::Challenge(ChallengeError::Expired));
    assert_eq!(cause(world.service().attest(None, &envelope).await), expired);
    assert_eq!(decisions(&world, "refused").await, 0, "what nobody signed is not recorded");
}

#[tokio::test]
async fn no_lie_in_an_envelope_enrols() {
    let world = World::new().await;
    for mut phone in [iphone(), android()] {
        for attack in EnrolmentAttack::ALL {
            let envelope = phone.forge_enrolment(&world.call(), &session("first"), *attack);
            let refused = world.service().attest(None, &envelope).await;
            assert!(refused.is_err(), "{attack:?}");
        }
    }
    assert_eq!(decisions(&world, "affirming").await, 0);
}

#[tokio::test]
async fn no_lie_in_an_envelope_renews() {
    let world = World::new().await;
    for mut phone in [iphone(), android()] {
        let instance = world.enrol(&mut phone).await;
        for attack in EnrolmentAttack::ALL.iter().filter(|attack| **attack != EnrolmentAttack::NoEvidence) {
            let envelope = phone.forge_renewal(&world.call(), instance, &session("second"), *attack);
            let refused = world.service().attest(Some(instance), &envelope).await;
            assert!(refused.is_err(), "{attack:?}");
        }
    }
}

#[tokio::test]
async fn a_renewal_without_evidence_lowers_the_tier_of_an_iphone() {
    let world = World::new().await;
    let mut phone = iphone();
    let instance = world.enrol(&mut phone).await;
    let attack = EnrolmentAttack::NoEvidence;
    let envelope = phone.forge_renewal(&world.call(), instance, &session("second"), attack);
    let answer = world.service().attest(Some(instance), &envelope).await.unwrap();
    assert_eq!(claims(&world, &answer).tier, Tier::Warning);
}

#[tokio::test]
async fn a_renewal_under_anothers_id_is_refused() {
    let world = World::new().await;
    let (mut mine, mut theirs) = (iphone(), iphone().of_somebody_else());
    world.enrol(&mut mine).await;
    let other = world.enrol(&mut theirs).await;
    let envelope = mine.renew(&world.call(), other, &session("second"));
    let mismatch = Cause::Enrolment(EnrolmentError::InstanceMismatch);
    assert_eq!(cause(world.service().attest(Some(other), &envelope).await), mismatch);
}

#[tokio::test]
async fn the_id_in_the_path_is_the_id_in_the_envelope() {
    let world = World::new().await;
    let (mut mine, mut theirs) = (iphone(), iphone().of_somebody_else());
    let instance = world.enrol(&mut mine).await;
    let other = world.enrol(&mut theirs).await;
    let envelope = mine.renew(&world.call(), instance, &session("second"));
    let mismatch = Cause::Enrolment(EnrolmentError::InstanceMismatch);
    for addressed in [Some(other), None] {
        assert_eq!(cause(world.service().attest(addressed, &envelope).await), mismatch);
    }
}

#[tokio::test]
async fn an_instance_that_is_not_registered_is_sent_to_enrol() {
    let world = World::new().await;
    let nobody = InstanceId::from_bytes([5; 16]);
    let envelope = iphone().renew(&world.call(), nobody, &session("first"));
    let cause = cause(world.service().attest(Some(nobody), &envelope).await);
    assert_eq!(cause, Cause::Enrolment(EnrolmentError::UnknownInstance));
    assert_eq!(cause.cure(), Some(Cure::ReEnrol));
}

#[tokio::test]
async fn a_banned_instance_neither_renews_nor_enrols_again() {
    let world = World::new().await;
    let mut phone = iphone();
    let instance = world.enrol(&mut phone).await;
    world.service().store.set_banned(&instance, true, world.now()).await.unwrap();
    let renewal = phone.renew(&world.call(), instance, &session("second"));
    assert_eq!(cause(world.service().attest(Some(instance), &renewal).await), Cause::Banned);
    let enrolment = phone.enrol(&world.call(), &session("second"));
    assert_eq!(cause(world.service().attest(None, &enrolment).await), Cause::Banned);
}

#[tokio::test]
async fn enrolling_again_keeps_the_instance() {
    let world = World::new().await;
    let mut phone = iphone();
    let first = world.enrol(&mut phone).await;
    assert_eq!(world.enrol(&mut phone).await, first);
}

#[tokio::test]
async fn an_assertion_is_good_once() {
    let world = World::new().await;
    let mut phone = iphone();
    let instance = world.enrol(&mut phone).await;
    let earlier = phone.clone();
    let envelope = phone.renew(&world.call(), instance, &session("second"));
    world.service().attest(Some(instance), &envelope).await.unwrap();
    // A copy of the phone as it was before: its next assertion has a counter that was seen.
    let envelope = earlier.clone().renew(&world.call(), instance, &session("third"));
    let rollback = EvidenceError::CounterNotGreater { previous: 1, received: 1 };
    let refused = cause(world.service().attest(Some(instance), &envelope).await);
    assert_eq!(refused, Cause::Enrolment(EnrolmentError::Evidence(rollback)));
}

#[tokio::test]
async fn of_renewals_that_race_with_one_counter_one_passes() {
    let world = World::new().await;
    let mut phone = iphone();
    let instance = world.enrol(&mut phone).await;
    let envelopes: Vec<_> =
        ["a", "b", "c"].map(|name| phone.clone().renew(&world.call(), instance, &session(name))).into();
    let [a, b, c] = envelopes.as_slice() else { unreachable!() };
    let service = world.service();
    let (a, b, c) = tokio::join!(
        service.attest(Some(instance), a),
        service.attest(Some(instance), b),
        service.attest(Some(instance), c)
    );
    assert_eq!([a, b, c].iter().filter(|answer| answer.is_ok()).count(), 1);
}

#[tokio::test]
async fn what_the_policy_refuses_is_recorded_with_every_reason() {
    let world = World::new().await;
    let rooted = VirtualAndroid::new(&GoogleAuthority::from_seed(&seed()), &seed())
        .app("com.example.other", 1, [8; 32])
        .attack(AndroidAttack::Rooted);
    let envelope = VirtualPhone::from(rooted).enrol(&world.call(), &session("first"));
    let denial = world.service().attest(None, &envelope).await.err().unwrap();
    assert_eq!((denial.cause.clone(), denial.cause.cure()), (Cause::Policy, None));
    let decision = world.service().store.decision(denial.reference.unwrap().as_str()).await.unwrap().unwrap();
    for label in ["app-identity", "boot-state", "device-locked"] {
        assert!(decision.reasons.iter().any(|reason| reason == label), "{label} in {decision:?}");
    }
    assert_eq!(decision.verdict, "refused");
}

#[tokio::test]
async fn a_refusal_uses_nothing_up() {
    let world = World::new().await;
    let mut phone = iphone();
    let instance = world.enrol(&mut phone).await;
    let call = world.call();
    let forged =
        phone.clone().forge_renewal(&call, instance, &session("second"), EnrolmentAttack::RelayedEvidence);
    assert!(world.service().attest(Some(instance), &forged).await.is_err());
    let honest = phone.renew(&call, instance, &session("second"));
    assert!(world.service().attest(Some(instance), &honest).await.is_ok());
}

#[test]
fn renewal_is_due_between_two_fifths_and_half_of_the_life() {
    for jitter in 0..=255 {
        let after = renew_after(600, jitter);
        assert!((240..=300).contains(&after), "{after}");
    }
    assert_eq!(renew_after(30, 0), 15);
}
