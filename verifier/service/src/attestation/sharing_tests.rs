//! One attestation key behind several instances that enrol at the same time: a limit holds also for those that race.

use countersign_core::enrolment::Cure;
use countersign_verifier::policy::{AppraisalPolicy, Constraint, Enforcement};
use countersign_virtual_device::VirtualPhone;

use super::call::Judged;
use super::*;
use crate::virtual_world::{CLIENT, World, android, session, trust};

/// The usual policy, with at most one instance for each attestation key.
fn alone(enforcement: Enforcement) -> Trust {
    let usual = trust();
    let mut app = usual.policy.app(CLIENT).unwrap().clone();
    app.maximum_instances_per_certificate.remote = Some(1);
    app.maximum_instances_per_certificate.factory = Some(1);
    app.enforcements.set(Constraint::AttestationKeySharing, None, enforcement);
    let policy = AppraisalPolicy::new("alone/1").with_app(app).with_danger(usual.policy.danger().clone());
    let mut trust = Trust::new(policy).unwrap();
    trust.revocation = usual.revocation;
    trust
}

/// An enrolment that was judged and is not committed yet.
struct Racer<'a> {
    call: Call<'a>,
    known: Known,
    judged: Judged,
}

impl<'a> Racer<'a> {
    async fn judged(world: &'a World, trust: &'a std::sync::Arc<Trust>, body: &'a [u8]) -> Self {
        let call = Call { service: world.service(), trust, body, addressed: None, now: world.now() };
        let mut known = Known::default();
        let judged = call.judged(&mut known).await.unwrap();
        Self { call, known, judged }
    }

    async fn conclude(mut self, again: u8) -> Result<Tier, Cause> {
        let done = self.call.conclude(self.judged, again, &mut self.known).await;
        done.map(|(_, tier)| tier)
    }
}

/// What comes of two phones behind one attestation key that are both judged before either is committed.
async fn race(enforcement: Enforcement, again: u8) -> (World, [Result<Tier, Cause>; 2]) {
    let world = World::new().await;
    world.service().replace_trust(alone(enforcement)).await;
    let trust = world.service().trust.load_full();
    // Each enrolment makes a new key on the same chip.
    let mut phone: VirtualPhone = android();
    let envelopes = [(); 2].map(|()| phone.enrol(&world.call(), &session("first")));
    let first = Racer::judged(&world, &trust, &envelopes[0]).await;
    let second = Racer::judged(&world, &trust, &envelopes[1]).await;
    assert_eq!([first.judged.admission.tier(), second.judged.admission.tier()], [Tier::Affirming; 2]);
    let outcomes = [first.conclude(again).await, second.conclude(again).await];
    drop(envelopes);
    (world, outcomes)
}

#[tokio::test]
async fn of_two_enrolments_that_race_behind_one_attestation_key_only_one_passes_a_limit_of_one() {
    let (world, outcomes) = race(Enforcement::Require, 1).await;
    assert_eq!(outcomes, [Ok(Tier::Affirming), Err(Cause::Policy)]);
    assert_eq!(world.service().store.withdrawn_count().await.unwrap().0, 1);
}

#[tokio::test]
async fn who_is_judged_again_gets_the_tier_that_the_limit_leaves() {
    let (world, outcomes) = race(Enforcement::Warn, 1).await;
    assert_eq!(outcomes, [Ok(Tier::Affirming), Ok(Tier::Warning)]);
    let metrics = world.service().metrics.to_prometheus();
    assert!(metrics.contains("countersign_objections_total{constraint=\"attestation-key-sharing\"} 1\n"));
}

#[tokio::test]
async fn who_loses_the_race_too_often_is_refused_and_asked_to_try_again() {
    let (world, outcomes) = race(Enforcement::Warn, 0).await;
    let [Ok(Tier::Affirming), Err(cause)] = outcomes else { panic!("{outcomes:?}") };
    assert_eq!((cause.reason(), cause.cure()), ("attestation_key_shared_more", Some(Cure::Retry)));
    assert_eq!(
        world.service().store.withdrawn_count().await.unwrap().0,
        1,
        "nothing of the other is on the disk"
    );
}
