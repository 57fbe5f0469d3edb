//! Requests that wait for the store which edges share: nothing passes without its word, or the route's.

use countersign_core::token::result::{InstanceId, ResultClaims};
use countersign_verifier::check::identity::identity_values;
use countersign_verifier::check::limits::{Per, RateLimit, Wait};
use countersign_verifier::check::pending::{StoreAnswer, StoreUnavailable};
use countersign_verifier::check::{Decision, Mode, Pending, Reason, Route, TokenBinding, WhenStoreFails};

use super::scene::{NOW, Scene, Sent};

fn shared(when: WhenStoreFails) -> Route {
    Route { shared_store: Some(when), ..Route::new("/") }
}

fn pending(scene: &Scene, sent: &Sent) -> Pending {
    match scene.check(sent) {
        Decision::Pending(pending) => *pending,
        other => panic!("{other:?}"),
    }
}

fn concluded(scene: &Scene, sent: &Sent, answer: Result<StoreAnswer, StoreUnavailable>) -> Decision {
    scene.edge.conclude(pending(scene, sent), answer, NOW)
}

fn refused(decision: Decision) -> Reason {
    match decision {
        Decision::Refusal(refusal) => refusal.reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_stores_word_counts_in_every_mode_of_its_failure() {
    for when in [WhenStoreFails::Closed, WhenStoreFails::Local] {
        let scene = Scene::with_route(shared(when));
        let permitted = concluded(&scene, &scene.sent(), Ok(StoreAnswer::Fresh));
        assert!(matches!(&permitted, Decision::Permit(permit) if !permit.is_settled_alone()));
        assert_eq!(identity_values(&permitted).last().unwrap(), "");
        for (answer, reason) in [
            (StoreAnswer::Replayed, Reason::Replayed),
            (StoreAnswer::UsedElsewhere, Reason::TokenUsedElsewhere),
            // Nothing was asked of this quota.
            (StoreAnswer::Limited { charge: 0, wait: Wait::from_micros(1) }, Reason::StoreUnavailable),
        ] {
            assert_eq!(refused(concluded(&scene, &scene.sent(), Ok(answer))), reason);
        }
    }
}

#[test]
fn without_its_word_a_closed_route_refuses_and_a_local_one_tells_the_upstream() {
    let scene = Scene::with_route(shared(WhenStoreFails::Closed));
    assert_eq!(refused(concluded(&scene, &scene.sent(), Err(StoreUnavailable))), Reason::StoreUnavailable);
    let scene = Scene::with_route(shared(WhenStoreFails::Local));
    let sent = scene.sent();
    let permitted = concluded(&scene, &sent, Err(StoreUnavailable));
    assert!(matches!(&permitted, Decision::Permit(permit) if permit.is_settled_alone()));
    assert_eq!(identity_values(&permitted).last().unwrap(), "local");
    assert_eq!(scene.refused(&sent), Reason::Replayed, "this edge is not asked twice");
}

#[test]
fn a_watched_request_passes_whatever_the_store_says_and_without_identity() {
    let scene = Scene::with_route(Route { mode: Mode::Observe, ..shared(WhenStoreFails::Closed) });
    let decision = concluded(&scene, &scene.sent(), Err(StoreUnavailable));
    assert!(
        matches!(&decision, Decision::Observed { refusal, .. } if refusal.reason == Reason::StoreUnavailable)
    );
    assert!(identity_values(&decision).iter().all(String::is_empty));
}

#[test]
fn what_is_refused_anyway_asks_nothing() {
    let scene = Scene::with_route(Route { scopes: vec!["pay".to_owned()], ..shared(WhenStoreFails::Closed) });
    assert_eq!(scene.refused(&scene.sent()), Reason::ScopeMissing);
    assert_eq!(scene.refused(&Sent { proof: None, ..scene.sent() }), Reason::NoAttestation);
}

#[test]
fn a_thief_whom_the_store_refuses_becomes_no_owner_here() {
    let route = Route { token_binding: TokenBinding::FirstUse, ..shared(WhenStoreFails::Local) };
    let scene = Scene::with_route(route);
    let (owner, thief) = (scene.device([4; 32]), scene.device([9; 32]));
    let token = scene.token(&owner, |claims| drop(claims.remove("cnf")));
    let by = |device, instance| {
        let change = |claims: &mut ResultClaims| claims.instance = InstanceId::from_bytes(instance);
        scene.sent_by_with(device, "Bearer", &token, change, |_| {})
    };
    let stolen = concluded(&scene, &by(&thief, [6; 16]), Ok(StoreAnswer::UsedElsewhere));
    assert_eq!(refused(stolen), Reason::TokenUsedElsewhere);
    let owned = pending(&scene, &by(&owner, [5; 16]));
    let claim = owned.question().first_use.clone().unwrap();
    assert_eq!((claim.instance, claim.lifetime), (InstanceId::from_bytes([5; 16]), 660));
    assert!(matches!(scene.edge.conclude(owned, Err(StoreUnavailable), NOW), Decision::Permit(_)));
    assert_eq!(scene.refused(&by(&thief, [6; 16])), Reason::TokenUsedElsewhere, "without asking");
}

#[test]
fn quotas_are_the_stores_to_count_until_it_fails() {
    let limit = RateLimit::new(Per::Instance, "1/min".parse().unwrap(), 1).unwrap();
    let scene = Scene::with_route(Route { limits: vec![limit], ..shared(WhenStoreFails::Local) });
    for _ in 0..3 {
        let asked = pending(&scene, &scene.sent());
        assert_eq!(asked.question().charges.len(), 1);
        assert!(matches!(scene.edge.conclude(asked, Ok(StoreAnswer::Fresh), NOW), Decision::Permit(_)));
    }
    let used_up = StoreAnswer::Limited { charge: 0, wait: Wait::from_micros(41_500_000) };
    match concluded(&scene, &scene.sent(), Ok(used_up)) {
        Decision::Refusal(refusal) => {
            assert_eq!((refusal.reason, refusal.retry_after), (Reason::RateLimit(Per::Instance), Some(42)));
        }
        other => panic!("{other:?}"),
    }
    let alone = || concluded(&scene, &scene.sent(), Err(StoreUnavailable));
    assert!(matches!(alone(), Decision::Permit(_)));
    assert_eq!(refused(alone()), Reason::RateLimit(Per::Instance));
}
