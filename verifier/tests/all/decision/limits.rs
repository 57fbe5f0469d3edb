//! How often a route may be called, and that nobody spends what is another's.

use countersign_core::token::proof::ProofClaims;
use countersign_core::token::result::{InstanceId, ResultClaims};
use countersign_verifier::check::limits::{AddressPrefix, Per, RateLimit};
use countersign_verifier::check::{ClientCertificate, Decision, Mode, ProofKind, Reason, Route};
use serde_json::json;

use super::scene::{NOW, Scene, Sent};

fn limit(per: Per, rate: &str, burst: u32) -> RateLimit {
    RateLimit::new(per, rate.parse().unwrap(), burst).unwrap()
}

fn limited(limits: Vec<RateLimit>) -> Route {
    Route { limits, ..Route::new("/") }
}

/// A scene with three requests a minute for each of `per`.
fn three_per_minute(per: Per) -> Scene {
    Scene::with_route(limited(vec![limit(per, "3/min", 3)]))
}

fn instance(number: u8) -> impl FnOnce(&mut ResultClaims) {
    move |claims| claims.instance = InstanceId::from_bytes([number; 16])
}

fn sent_by_instance(scene: &Scene, number: u8) -> Sent {
    scene.sent_by(&scene.device([4; 32]), instance(number), |_| {})
}

fn sent_from(scene: &Scene, source: &str) -> Sent {
    Sent { source: Some(source.parse().unwrap()), ..scene.sent() }
}

/// Sends requests until one is refused, and says how many passed and why no more.
fn passed(scene: &Scene, sent: impl Fn() -> Sent) -> (usize, Option<Reason>) {
    let verdicts: Vec<_> = (0..50).map(|_| scene.verdict(&sent())).collect();
    let passed = verdicts.iter().take_while(|verdict| verdict.is_none()).count();
    (passed, verdicts.get(passed).copied().flatten())
}

#[test]
fn a_burst_beyond_the_limit_waits_exactly_as_long_as_it_is_told() {
    let scene = three_per_minute(Per::Instance);
    assert_eq!(passed(&scene, || scene.sent()), (3, Some(Reason::RateLimit(Per::Instance))));
    let Decision::Refusal(refusal) = scene.check(&scene.sent()) else { panic!("passed") };
    assert_eq!((refusal.code().status(), refusal.retry_after), (429, Some(20)));
    assert_eq!(scene.verdict_at(&scene.sent(), NOW.plus(19)), Some(Reason::RateLimit(Per::Instance)));
    assert_eq!(scene.verdict_at(&scene.sent(), NOW.plus(20)), None);
}

#[test]
fn a_replay_does_not_spend_the_quota_of_whom_it_was_copied_from() {
    let scene = three_per_minute(Per::Instance);
    let caught = scene.sent();
    assert_eq!(scene.verdict(&caught), None);
    for _ in 0..50 {
        assert_eq!(scene.refused(&caught), Reason::Replayed);
    }
    assert_eq!(passed(&scene, || scene.sent()).0, 2);
}

#[test]
fn a_request_that_is_refused_for_anything_else_spends_no_quota() {
    let scene = three_per_minute(Per::Route);
    let thief = scene.device([9; 32]);
    for _ in 0..50 {
        scene.refused(&scene.sent_by(&thief, |_| {}, |_| {}));
        scene.refused(&Sent { proof: None, ..scene.sent() });
        scene.refused(&Sent { result: Some("made-up".to_owned()), ..scene.sent() });
    }
    assert_eq!(passed(&scene, || scene.sent()).0, 3);
}

#[test]
fn one_instance_cannot_spend_anothers_quota() {
    let scene = three_per_minute(Per::Instance);
    assert_eq!(passed(&scene, || sent_by_instance(&scene, 1)).0, 3);
    assert_eq!(passed(&scene, || sent_by_instance(&scene, 2)).0, 3);
}

#[test]
fn one_instance_cannot_use_up_what_all_share_with_requests_that_its_own_limit_refuses() {
    let limits = vec![limit(Per::Route, "10/min", 10), limit(Per::Instance, "3/min", 3)];
    let scene = Scene::with_route(limited(limits));
    assert_eq!(passed(&scene, || sent_by_instance(&scene, 1)), (3, Some(Reason::RateLimit(Per::Instance))));
    assert_eq!(passed(&scene, || sent_by_instance(&scene, 2)).0, 3);
    assert_eq!(passed(&scene, || sent_by_instance(&scene, 3)).0, 3);
    assert_eq!(passed(&scene, || sent_by_instance(&scene, 4)), (1, Some(Reason::RateLimit(Per::Route))));
}

#[test]
fn a_user_has_one_quota_on_all_devices_and_shares_it_with_nobody() {
    let scene = three_per_minute(Per::Subject);
    let sent = |user: &str, number: u8| {
        let device = scene.device([4; 32]);
        let token = scene.token(&device, |claims| {
            claims.insert("sub".to_owned(), json!(user));
        });
        scene.sent_by_with(&device, "DPoP", &token, instance(number), |_| {})
    };
    assert_eq!(passed(&scene, || sent("alice", 1)), (3, Some(Reason::RateLimit(Per::Subject))));
    assert_eq!(scene.refused(&sent("alice", 2)), Reason::RateLimit(Per::Subject));
    assert_eq!(passed(&scene, || sent("bob", 1)).0, 3);
}

#[test]
fn where_no_user_is_known_the_instance_stands_in_for_one() {
    let route = Route { credentials: Vec::new(), ..limited(vec![limit(Per::Subject, "3/min", 3)]) };
    let scene = Scene::with_route(route);
    let device = scene.device([4; 32]);
    let sent = |number| {
        let result = scene.result(&device, instance(number));
        let proof = scene.proof(&device, &result, |claims| claims.ath = None);
        Sent { authorization: None, result: Some(result), proof: Some(proof), ..scene.sent() }
    };
    assert_eq!(passed(&scene, || sent(1)), (3, Some(Reason::RateLimit(Per::Subject))));
    assert_eq!(passed(&scene, || sent(2)).0, 3);
}

#[test]
fn all_installations_of_an_app_share_its_quota() {
    let scene = three_per_minute(Per::Client);
    let numbers = std::cell::Cell::new(0);
    let next = || {
        numbers.set(numbers.get() + 1);
        sent_by_instance(&scene, numbers.get())
    };
    assert_eq!(passed(&scene, next), (3, Some(Reason::RateLimit(Per::Client))));
}

#[test]
fn a_host_cannot_hide_in_its_own_64_or_another_spelling() {
    let scene = three_per_minute(Per::Address);
    for number in 0..3 {
        assert_eq!(scene.verdict(&sent_from(&scene, &format!("2001:db8::{number}:1"))), None);
    }
    assert_eq!(scene.refused(&sent_from(&scene, "2001:db8::ffff:ffff")), Reason::RateLimit(Per::Address));
    assert_eq!(scene.verdict(&sent_from(&scene, "2001:db8:0:1::1")), None, "its neighbour's");
    assert_eq!(passed(&scene, || sent_from(&scene, "192.0.2.1")).0, 3);
    assert_eq!(scene.refused(&sent_from(&scene, "::ffff:192.0.2.1")), Reason::RateLimit(Per::Address));
    assert_eq!(scene.verdict(&sent_from(&scene, "192.0.2.2")), None);
}

#[test]
fn a_wider_prefix_counts_its_addresses_together() {
    let prefix = AddressPrefix { ipv4: 24, ipv6: 48 };
    let limit = limit(Per::Address, "3/min", 3).with_prefix(prefix).unwrap();
    let scene = Scene::with_route(limited(vec![limit]));
    for number in 1..4 {
        assert_eq!(scene.verdict(&sent_from(&scene, &format!("192.0.2.{number}"))), None);
    }
    assert_eq!(scene.refused(&sent_from(&scene, "192.0.2.4")), Reason::RateLimit(Per::Address));
    assert_eq!(scene.verdict(&sent_from(&scene, "192.0.3.4")), None);
}

#[test]
fn leaving_the_address_out_evades_no_limit() {
    let scene = three_per_minute(Per::Address);
    assert_eq!(passed(&scene, || scene.sent()), (3, Some(Reason::RateLimit(Per::Address))));
}

#[test]
fn each_route_counts_for_itself_and_one_without_limits_counts_nothing() {
    let limits = || vec![limit(Per::Instance, "3/min", 3)];
    let post = Route { methods: vec!["POST".to_owned()], ..limited(limits()) };
    let free = Route::new("/v1/accounts");
    let get = Route { methods: vec!["GET".to_owned()], ..limited(limits()) };
    let scene = Scene::with_routes(vec![post, get, free]);
    assert_eq!(passed(&scene, || scene.sent()), (50, None), "under the longer path");
    let sent = |method: &'static str| {
        let device = scene.device([4; 32]);
        let change = |claims: &mut ProofClaims<'_>| {
            claims.method = method;
            claims.target = "https://api.example/v1";
            claims.query = None;
        };
        Sent { method, path_and_query: "/v1".to_owned(), ..scene.sent_by(&device, |_| {}, change) }
    };
    assert_eq!(passed(&scene, || sent("GET")).0, 3);
    assert_eq!(passed(&scene, || sent("POST")).0, 3);
}

#[test]
fn a_clock_that_steps_back_locks_nobody_out_and_forgives_nothing() {
    let scene = three_per_minute(Per::Instance);
    let verdict_after = |seconds| {
        let later = |claims: &mut ProofClaims<'_>| claims.issued_at = NOW.plus(seconds);
        let sent = scene.sent_by(&scene.device([4; 32]), |_| {}, later);
        scene.verdict_at(&sent, NOW.plus(seconds))
    };
    for _ in 0..3 {
        assert_eq!(verdict_after(250), None);
    }
    let refused = Some(Reason::RateLimit(Per::Instance));
    let verdicts = [0, 0, 19, 20, 20, 40].map(verdict_after);
    assert_eq!(verdicts, [None, refused, refused, None, refused, None], "one, and then the rate");
}

#[test]
fn a_route_that_only_watches_shows_what_a_limit_would_refuse() {
    let route = Route { mode: Mode::Observe, ..limited(vec![limit(Per::Instance, "3/min", 3)]) };
    let scene = Scene::with_route(route);
    assert_eq!(passed(&scene, || scene.sent()), (3, Some(Reason::RateLimit(Per::Instance))));
    assert!(matches!(scene.check(&scene.sent()), Decision::Observed { told: false, .. }));
}

#[test]
fn each_limit_has_a_name_of_its_own_and_is_too_many_requests() {
    for (per, name) in [
        (Per::Instance, "limit_instance"),
        (Per::Subject, "limit_subject"),
        (Per::Address, "limit_address"),
        (Per::Client, "limit_client"),
        (Per::Route, "limit_route"),
    ] {
        let reason = Reason::RateLimit(per);
        assert_eq!((reason.reason(), reason.code(ProofKind::Compact).status()), (name, 429));
        assert!(!reason.counts_against_source() && !reason.counts_against_instance(), "waiting is no attack");
    }
}

/// A scene in which an instance may send 16 at once, as long as it does not keep failing.
fn adaptive(per: Per) -> Scene {
    Scene::with_route(limited(vec![limit(per, "16/min", 16).adaptive().unwrap()]))
}

#[test]
fn an_instance_that_keeps_trying_stolen_tokens_has_its_own_limit_tightened() {
    let scene = adaptive(Per::Instance);
    let thief = scene.device([9; 32]);
    for _ in 0..20 {
        let stolen = scene.sent_by(&thief, instance(9), |_| {});
        assert_eq!(scene.refused(&stolen), Reason::TokenOfAnotherInstance);
    }
    let own = || {
        let token = scene.token(&thief, |_| {});
        scene.sent_by_with(&thief, "DPoP", &token, instance(9), |_| {})
    };
    assert_eq!(passed(&scene, own), (8, Some(Reason::RateLimit(Per::Instance))));
    assert_eq!(passed(&scene, || scene.sent()).0, 16, "and nobody else's");
}

#[test]
fn who_caught_a_result_or_a_whole_request_cannot_tighten_its_owners_limit() {
    let scene = adaptive(Per::Instance);
    let caught = scene.sent();
    let elsewhere = Sent { path_and_query: "/v1/admin".to_owned(), ..caught.clone() };
    let other_token = scene.token(&scene.device([9; 32]), |_| {});
    let with_another_token = Sent { authorization: Some(format!("DPoP {other_token}")), ..caught.clone() };
    let other_certificate =
        Sent { client_certificate: Some(ClientCertificate::from_thumbprint([1; 32])), ..caught.clone() };
    let forged = Sent { proof: Some("AAAA".to_owned()), ..caught.clone() };
    let thief = scene.device([9; 32]);
    let own_proof = scene.proof(&thief, caught.result.as_deref().unwrap(), |_| {});
    let own_proof = Sent { proof: Some(own_proof), ..caught.clone() };
    assert_eq!(scene.verdict(&caught), None);
    for attack in [caught, elsewhere, with_another_token, other_certificate, forged, own_proof] {
        for _ in 0..30 {
            scene.refused(&attack);
        }
    }
    assert_eq!(passed(&scene, || scene.sent()).0, 15, "all but the one that passed");
}

#[test]
fn an_address_that_keeps_failing_has_its_limit_tightened_and_an_hour_of_quiet_gives_it_back() {
    let scene = adaptive(Per::Address);
    let source = "192.0.2.1";
    // A phone that is known here, so that the budget of refusals lets it pass.
    assert_eq!(scene.verdict(&sent_from(&scene, "192.0.2.2")), None);
    let device = scene.device([4; 32]);
    let result = scene.sent().result.unwrap();
    let sent = || {
        let proof = scene.proof(&device, &result, |_| {});
        Sent { result: Some(result.clone()), proof: Some(proof), ..sent_from(&scene, source) }
    };
    for _ in 0..20 {
        scene.refused(&Sent { result: Some("made-up".to_owned()), ..sent_from(&scene, source) });
    }
    assert_eq!(passed(&scene, sent), (8, Some(Reason::RateLimit(Per::Address))));
    assert_eq!(passed(&scene, || sent_from(&scene, "192.0.2.3")).0, 16, "its neighbours keep theirs");
}
