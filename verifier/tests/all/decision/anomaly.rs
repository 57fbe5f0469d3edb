//! What no single request shows: keys that left their phone, accounts that are passed around, versions that are copied.

use std::sync::{Arc, Mutex};

use countersign_core::token::result::InstanceId;
use countersign_verifier::check::anomaly::{Action, Anomaly, AnomalyRule, Signal};
use countersign_verifier::check::limits::{Per, RateLimit};
use countersign_verifier::check::{Code, Decided, Decision, ProofKind, Reason, Route, Witness};

use super::scene::{NOW, Scene, Sent};

/// What was raised: signal, count and what was usual.
#[derive(Clone, Default)]
struct Raised(Arc<Mutex<Vec<(Signal, u32, u32)>>>);

impl Raised {
    fn all(&self) -> Vec<(Signal, u32, u32)> {
        self.0.lock().unwrap().clone()
    }
}

impl Witness for Raised {
    fn decided(&self, _: &Decided<'_>) {}

    fn anomaly(&self, anomaly: &Anomaly<'_>) {
        self.0.lock().unwrap().push((anomaly.signal, anomaly.count, anomaly.usual));
    }
}

fn scene(route: Route, signal: Signal, threshold: u32, action: Action) -> (Scene, Raised) {
    let raised = Raised::default();
    let rule = AnomalyRule::new(signal, threshold, 600, action).unwrap();
    let scene = Scene::with_route(route)
        .with_edge(|edge| edge.with_anomaly_rules("api", vec![rule]).with_witness(raised.clone()));
    (scene, raised)
}

fn from(scene: &Scene, network: u8) -> Sent {
    Sent { source: Some([192, 0, network, 1].into()), ..scene.sent() }
}

fn of_instance(scene: &Scene, number: u8) -> Sent {
    let instance = InstanceId::from_bytes([number; 16]);
    scene.sent_by(&scene.device([4; 32]), |claims| claims.instance = instance, |_| {})
}

fn of_subject(scene: &Scene, number: u8) -> Sent {
    let token = scene.token(&scene.device([4; 32]), |claims| {
        claims.insert("sub".to_owned(), format!("user {number}").into());
    });
    scene.sent_with("DPoP", &token)
}

const KEYS: Signal = Signal::SessionKeyManyAddresses;

#[test]
fn a_session_key_that_left_its_phone_is_told_of_once_and_by_default_refused_nowhere() {
    let (scene, raised) = scene(Route::new("/"), KEYS, 3, Action::Observe);
    for network in 0..10 {
        assert_eq!(scene.verdict(&from(&scene, network)), None);
    }
    assert_eq!(raised.all(), [(KEYS, 4, 3)]);
}

#[test]
fn a_session_key_that_left_its_phone_is_refused_until_the_window_ends() {
    let (scene, raised) = scene(Route::new("/"), KEYS, 3, Action::Refuse);
    for network in 0..3 {
        assert_eq!(scene.verdict(&from(&scene, network)), None);
    }
    let Decision::Refusal(refusal) = scene.check(&from(&scene, 3)) else { panic!("passed") };
    assert_eq!(refusal.reason, Reason::Anomaly(KEYS));
    assert_eq!((refusal.code(), refusal.retry_after), (Code::RateLimited, Some(600)));
    assert_eq!(scene.refused(&from(&scene, 0)), Reason::Anomaly(KEYS), "from everywhere");
    assert_eq!(raised.all().len(), 1);
    // Another key of the same instance is not concerned.
    let other = scene.device([6; 32]);
    let bound_elsewhere = |claims: &mut countersign_core::token::result::ResultClaims| {
        claims.instance_jkt = scene.device([4; 32]).instance_jkt();
    };
    assert_eq!(scene.verdict(&scene.sent_by(&other, bound_elsewhere, |_| {})), None);
}

#[test]
fn what_is_refused_for_an_anomaly_tells_a_client_no_more_than_a_rate_limit_does() {
    let (scene, _) = scene(Route::new("/"), KEYS, 1, Action::Refuse);
    scene.verdict(&from(&scene, 0));
    let Decision::Refusal(refusal) = scene.check(&from(&scene, 1)) else { panic!("passed") };
    let limit = Reason::RateLimit(Per::Instance);
    assert_eq!(refusal.code(), limit.code(ProofKind::Compact));
    assert_eq!((refusal.www_authenticate(), refusal.nonce), (None, None));
}

#[test]
fn a_phone_that_moves_within_its_network_raises_nothing() {
    let (scene, raised) = scene(Route::new("/"), KEYS, 1, Action::Refuse);
    for host in 0..50 {
        let sent = Sent { source: Some([192, 0, 2, host].into()), ..scene.sent() };
        assert_eq!(scene.verdict(&sent), None);
    }
    assert_eq!(raised.all(), []);
}

#[test]
fn nobody_raises_a_signal_in_anothers_name_with_requests_that_he_caught_or_made_up() {
    let (scene, raised) = scene(Route::new("/"), KEYS, 2, Action::Refuse);
    let caught = scene.sent();
    assert_eq!(scene.verdict(&caught), None);
    let thief = scene.device([9; 32]);
    for network in 0..50 {
        let source = Some([203, 0, network, 1].into());
        scene.refused(&Sent { source, ..caught.clone() });
        scene.refused(&Sent { source, proof: None, ..caught.clone() });
        scene.refused(&Sent { source, ..scene.sent_by(&thief, |_| {}, |_| {}) });
    }
    assert_eq!(raised.all(), []);
    assert_eq!(scene.verdict(&scene.sent()), None, "the phone itself goes on");
}

#[test]
fn a_phone_that_logs_in_to_bought_accounts_is_refused() {
    let signal = Signal::InstanceManySubjects;
    let (scene, raised) = scene(Route::new("/"), signal, 2, Action::Refuse);
    let verdicts = [1, 2, 1, 3, 1].map(|user| scene.verdict(&of_subject(&scene, user)));
    let refused = Some(Reason::Anomaly(signal));
    assert_eq!(verdicts, [None, None, None, refused, refused]);
    assert_eq!(raised.all(), [(signal, 3, 2)]);
    assert_eq!(scene.verdict_at(&of_subject(&scene, 4), NOW.plus(30)), refused);
}

#[test]
fn an_account_that_is_passed_around_keeps_the_phones_that_it_had() {
    let signal = Signal::SubjectManyInstances;
    let (scene, raised) = scene(Route::new("/"), signal, 2, Action::Refuse);
    let verdicts = [1, 2, 3, 1, 2, 4].map(|number| scene.verdict(&of_instance(&scene, number)));
    let refused = Some(Reason::Anomaly(signal));
    assert_eq!(verdicts, [None, None, refused, None, None, refused], "who steals a token locks nobody out");
    assert_eq!(raised.all(), [(signal, 3, 2)]);
}

#[test]
fn a_signal_that_tightens_halves_the_adaptive_limit_of_its_instance() {
    let limit = RateLimit::new(Per::Instance, "8/min".parse().unwrap(), 8).unwrap().adaptive().unwrap();
    let route = Route { limits: vec![limit], ..Route::new("/") };
    let (scene, _) = scene(route, KEYS, 1, Action::Tighten);
    let passed = (0..20).take_while(|network| scene.verdict(&from(&scene, *network)).is_none()).count();
    assert!((4..8).contains(&passed), "{passed}");
}

#[test]
fn a_copied_version_shows_in_its_refusals_against_its_own_baseline() {
    let signal = Signal::RefusalRatioJump;
    let raised = Raised::default();
    let rule = AnomalyRule::new(signal, 20, 10, Action::Observe).unwrap();
    let scene = Scene::new()
        .with_edge(|edge| edge.with_anomaly_rules("api", vec![rule]).with_witness(raised.clone()));
    // Its proofs are good and its tokens another client's.
    let refused = || {
        let token = scene.token(&scene.device([4; 32]), |claims| {
            claims.insert("client_id".to_owned(), "another".into());
        });
        scene.sent_with("DPoP", &token)
    };
    let window = |number: u64, bad: usize| {
        for index in 0..60 {
            let sent = if index < bad { refused() } else { scene.sent() };
            assert_eq!(scene.verdict_at(&sent, NOW.plus(number * 10)).is_some(), index < bad);
        }
    };
    for (number, bad) in [(0, 6), (1, 6), (2, 6), (3, 12)] {
        window(number, bad);
    }
    assert_eq!(raised.all(), [], "a tenth is usual, and a fifth within what is allowed");
    window(4, 30);
    let all = raised.all();
    assert!(matches!(all[..], [(Signal::RefusalRatioJump, 50..=60, 10..=13)]), "{all:?}");
}

#[test]
fn a_resource_without_rules_remembers_nothing() {
    let raised = Raised::default();
    let rule = AnomalyRule::new(KEYS, 1, 600, Action::Refuse).unwrap();
    let scene = Scene::new().with_edge(|edge| {
        let edge = edge.with_anomaly_rules("api", vec![rule]).with_anomaly_rules("api", Vec::new());
        edge.with_anomaly_rules("another", vec![rule]).with_witness(raised.clone())
    });
    for network in 0..10 {
        assert_eq!(scene.verdict(&from(&scene, network)), None);
    }
    assert_eq!(raised.all(), []);
}
