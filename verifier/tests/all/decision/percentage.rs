//! A route that refuses a percentage of instances alone.

use countersign_core::token::result::InstanceId;
use countersign_verifier::check::{Decision, Mode, Reason, Route};

use super::scene::{NOW, Scene, Sent};

fn scene(percentage: u8) -> Scene {
    Scene::with_route(Route { percentage, ..Route::new("/") })
}

fn is_refused(scene: &Scene, sent: &Sent) -> bool {
    match scene.check(sent) {
        Decision::Refusal(_) => true,
        Decision::Observed { told, .. } => {
            assert!(!told);
            false
        }
        decision => panic!("{decision:?}"),
    }
}

/// A request of each of 200 instances that its route refuses: the credential is another's.
fn refused_instances(scene: &Scene) -> Vec<u8> {
    let of = |number: &u8| {
        let instance = InstanceId::from_bytes([*number; 16]);
        let device = scene.device([9; 32]);
        is_refused(scene, &scene.sent_by(&device, |claims| claims.instance = instance, |_| {}))
    };
    (0..200).filter(of).collect()
}

fn without_attestation(scene: &Scene, source: Option<&str>) -> Sent {
    Sent { result: None, proof: None, source: source.map(|source| source.parse().unwrap()), ..scene.sent() }
}

fn refused_addresses(scene: &Scene) -> Vec<u8> {
    let of = |number: &u8| is_refused(scene, &without_attestation(scene, Some(&format!("192.0.2.{number}"))));
    (0..200).filter(of).collect()
}

#[test]
fn about_that_many_of_a_hundred_instances_are_refused_and_always_the_same_ones() {
    let fifth = refused_instances(&scene(20));
    assert!((20..=60).contains(&fifth.len()), "{}", fifth.len());
    assert_eq!(fifth, refused_instances(&scene(20)));
}

#[test]
fn raising_the_percentage_only_adds() {
    let mut before = Vec::new();
    for percentage in [1, 5, 20, 50, 99, 100] {
        let now = refused_instances(&scene(percentage));
        assert!(before.iter().all(|number| now.contains(number)), "{percentage}");
        before = now;
    }
    assert_eq!(before.len(), 200);
}

#[test]
fn who_shows_no_instance_is_drawn_by_the_address() {
    let tenth = refused_addresses(&scene(10));
    assert!((5..=40).contains(&tenth.len()), "{}", tenth.len());
    let half = refused_addresses(&scene(50));
    assert!(tenth.iter().all(|address| half.contains(address)));
    assert_eq!(refused_addresses(&scene(100)).len(), 200);
}

#[test]
fn a_host_cannot_draw_again_within_its_64() {
    let scene = scene(50);
    let verdict =
        |host: u16| is_refused(&scene, &without_attestation(&scene, Some(&format!("2001:db8::{host:x}"))));
    assert!((1..50).all(|host| verdict(host) == verdict(0)));
}

#[test]
fn a_gateway_that_tells_no_addresses_makes_a_percentage_refuse_nobody_unattested() {
    let outside = scene(99);
    assert!(!is_refused(&outside, &without_attestation(&outside, None)));
    let all = scene(100);
    assert!(is_refused(&all, &without_attestation(&all, None)));
}

#[test]
fn each_route_draws_for_itself() {
    let routes = ["/", "/v1"].map(|path| Route { percentage: 50, ..Route::new(path) });
    let scene = Scene::with_routes(routes.into());
    let drawn = |path: &str| -> Vec<bool> {
        let of = |number: u8| {
            let sent = without_attestation(&scene, Some(&format!("192.0.2.{number}")));
            is_refused(&scene, &Sent { path_and_query: path.to_owned(), ..sent })
        };
        (0..100).map(of).collect()
    };
    assert_eq!(drawn("/v1/a"), drawn("/v1/b"));
    assert_ne!(drawn("/v1/a"), drawn("/v2"));
}

#[test]
fn what_passes_outside_the_percentage_has_no_identity_and_what_is_good_passes_with_one() {
    let scene = scene(1);
    let Decision::Observed { refusal, told: false } = scene.check(&without_attestation(&scene, None)) else {
        panic!("refused or permitted")
    };
    assert_eq!(refusal.reason, Reason::NoAttestation);
    assert!(matches!(scene.check(&scene.sent()), Decision::Permit(_)));
}

#[test]
fn a_percentage_makes_no_route_strict_that_only_watches() {
    let route = Route { mode: Mode::Warn, percentage: 100, ..Route::new("/") };
    let scene = Scene::with_route(route);
    let sent = without_attestation(&scene, Some("192.0.2.1"));
    assert!(matches!(scene.check(&sent), Decision::Observed { told: true, .. }));
}

#[test]
fn a_lookup_that_failed_goes_by_the_percentage_too() {
    let scene = scene(50);
    let failed = |number: u8| {
        let sent = without_attestation(&scene, Some(&format!("192.0.2.{number}")));
        matches!(scene.edge.lookup_failed("api", &sent.request(), NOW), Decision::Refusal(_))
    };
    let by_check = refused_addresses(&scene);
    assert_eq!((0..200).filter(|number| failed(*number)).collect::<Vec<_>>(), by_check);
}
