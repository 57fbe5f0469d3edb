//! The warm path of the edge's decision allocates nothing: measured, not guessed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "a part of it is for other programs")]
#[path = "../benches/scene.rs"]
mod scene;

use countersign_verifier::check::limits::{Per, RateLimit};
use countersign_verifier::check::{Decision, PathMatch, Route};

use scene::Scene;

#[test]
fn a_warm_check_allocates_nothing() {
    let scene = Scene::new(4096);
    assert!(matches!(scene.check(&scene.sent()), Decision::Permit(_)), "warms the caches");
    let sent = scene.sent();
    let mut decision = None;
    let measured = allocation_counter::measure(|| decision = Some(scene.check(&sent)));
    assert!(matches!(decision, Some(Decision::Permit(_))));
    assert_eq!(measured.count_total, 0, "{} bytes", measured.bytes_total);
}

#[test]
fn a_warm_check_against_every_kind_of_limit_allocates_nothing() {
    let limit = |per| RateLimit::new(per, "100/s".parse().unwrap(), 100).unwrap();
    let limits = [Per::Instance, Per::Subject, Per::Address, Per::Client, Per::Route].map(limit).into();
    let scene = Scene::with_routes(4096, vec![Route { limits, percentage: 50, ..Route::new("/") }]);
    assert!(matches!(scene.check(&scene.sent()), Decision::Permit(_)), "warms the caches");
    let sent = scene.sent();
    let mut decision = None;
    let measured = allocation_counter::measure(|| decision = Some(scene.check(&sent)));
    assert!(matches!(decision, Some(Decision::Permit(_))));
    assert_eq!(measured.count_total, 0, "{} bytes", measured.bytes_total);
}

#[test]
fn a_warm_check_of_five_hundred_templates_allocates_nothing() {
    let template = |path: String| Route { path_match: PathMatch::Template, ..Route::new(path) };
    let mut routes: Vec<Route> = (0..499).map(|n| template(format!("/v1/accounts/{{id}}/part{n}"))).collect();
    routes.push(template("/v1/accounts/{id}/transactions".to_owned()));
    let scene = Scene::with_routes(4096, routes);
    assert!(matches!(scene.check(&scene.sent()), Decision::Permit(_)), "warms the caches");
    let sent = scene.sent();
    let measured = allocation_counter::measure(|| drop(scene.check(&sent)));
    assert_eq!(measured.count_total, 0, "{} bytes", measured.bytes_total);
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}
