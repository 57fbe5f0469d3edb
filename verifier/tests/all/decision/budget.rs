//! What one address or instance may use up, and that nobody uses up what is another's.

use std::net::IpAddr;

use countersign_core::token::result::{InstanceId, ResultClaims};
use countersign_verifier::check::{Decision, Mode, ProofKind, Reason, Route};

use super::scene::{NOW, Scene, Sent};

#[test]
fn an_address_that_keeps_failing_waits() {
    let scene = Scene::new();
    let source: IpAddr = "192.0.2.1".parse().unwrap();
    let bad = Sent { proof: Some("garbage".into()), source: Some(source), ..scene.sent() };
    let stranger = Sent { result: Some("garbage".into()), ..bad.clone() };
    for _ in 0..20 {
        assert_ne!(scene.refused(&stranger), Reason::FailureBudget);
    }
    assert_eq!(scene.refused(&stranger), Reason::FailureBudget);
    let newcomer = Sent { source: Some(source), ..scene.sent() };
    assert_eq!(scene.refused(&newcomer), Reason::FailureBudget);
    assert_eq!(scene.verdict_at(&newcomer, NOW.plus(10)), None, "ten seconds later");
}

#[test]
fn an_attacker_behind_the_same_address_does_not_lock_out_phones_that_are_known() {
    let scene = Scene::new();
    let source: IpAddr = "192.0.2.1".parse().unwrap();
    let known = scene.sent();
    assert_eq!(scene.verdict(&known), None);
    let stranger = Sent { result: Some("garbage".into()), source: Some(source), ..scene.sent() };
    for _ in 0..30 {
        scene.refused(&stranger);
    }
    let device = scene.device([4; 32]);
    let proof = scene.proof(&device, known.result.as_deref().unwrap(), |_| {});
    let again = Sent { proof: Some(proof), source: Some(source), ..known };
    assert_eq!(scene.verdict(&again), None);
}

#[test]
fn everyday_refusals_lock_nobody_out() {
    let scene = Scene::new();
    let source: IpAddr = "192.0.2.1".parse().unwrap();
    let without_app = Sent { result: None, proof: None, source: Some(source), ..scene.sent() };
    for _ in 0..30 {
        assert_eq!(scene.refused(&without_app), Reason::NoAttestation);
    }
    assert_eq!(scene.verdict(&Sent { source: Some(source), ..scene.sent() }), None);
}

#[test]
fn one_instance_cannot_fill_the_replay_set_for_everybody() {
    let scene = Scene::new();
    for _ in 0..300 {
        assert_eq!(scene.verdict(&scene.sent()), None);
    }
    assert_eq!(scene.refused(&scene.sent()), Reason::InstanceBudget);
    assert_eq!(Reason::InstanceBudget.code(ProofKind::Compact).status(), 429);
    let change = |claims: &mut ResultClaims| claims.instance = InstanceId::from_bytes([6; 16]);
    let other = scene.sent_by(&scene.device([4; 32]), change, |_| {});
    assert_eq!(scene.verdict(&other), None);
}

#[test]
fn a_route_that_only_watches_uses_up_nobodys_budget() {
    let routes = vec![Route { mode: Mode::Observe, ..Route::new("/") }, Route::new("/v1")];
    let scene = Scene::with_routes(routes);
    let source: IpAddr = "192.0.2.1".parse().unwrap();
    let old_app = Sent {
        path_and_query: "/feed".into(),
        proof: None,
        result: None,
        source: Some(source),
        ..scene.sent()
    };
    for _ in 0..100 {
        assert!(matches!(scene.check(&old_app), Decision::Observed { .. }));
    }
    let new_app_behind_the_same_address = Sent { source: Some(source), ..scene.sent() };
    assert_eq!(scene.verdict(&new_app_behind_the_same_address), None);
}
