//! What comes with a decision: nonces, waiting times, identity, and what the edge says of itself.

use countersign_core::challenge::{Challenge, MacKey, MacKeyRing};
use countersign_core::encoding::base64url;
use countersign_core::request::sha256;
use countersign_core::time::Timestamp;
use countersign_core::token::proof::ProofClaims;
use countersign_verifier::check::decision::Permit;
use countersign_verifier::check::identity::{identity_values, verdict_value};
use countersign_verifier::check::refusal::Refusal;
use countersign_verifier::check::trust::KeyOwner;
use countersign_verifier::check::{CredentialKind, Decision, Mode, NoncePolicy, Reason, Route};

use super::scene::{AUTHORIZATION_SERVER, NOW, PARTNER_SERVER, SERVICE, Scene, Sent};

fn with_nonce(policy: NoncePolicy) -> Scene {
    Scene::with_route(Route { nonce: policy, ..Route::new("/") })
}

fn permit(decision: Decision) -> Permit {
    match decision {
        Decision::Permit(permit) => permit,
        other => panic!("{other:?}"),
    }
}

fn refusal(decision: Decision) -> Refusal {
    match decision {
        Decision::Refusal(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

/// A request whose proof carries a nonce that was issued at that time.
fn with_nonce_of(scene: &Scene, issued: Timestamp, now: Timestamp) -> Sent {
    let mut asking = scene.sent_by(&scene.device([4; 32]), |_| {}, |proof| proof.issued_at = issued);
    asking.source = None;
    let nonce = refusal(scene.edge.check("api", &asking.request(), issued)).nonce.expect("a nonce");
    let change = |proof: &mut ProofClaims<'_>| {
        proof.nonce = Some(nonce.as_bytes().to_vec().leak());
        proof.issued_at = now;
    };
    scene.sent_by(&scene.device([4; 32]), |_| {}, change)
}

#[test]
fn a_nonce_rides_on_success_where_none_came_or_the_one_that_came_is_half_spent() {
    assert_eq!(permit(with_nonce(NoncePolicy::Off).check(&Scene::new().sent())).nonce(), None);
    let offered = with_nonce(NoncePolicy::Offered);
    assert!(permit(offered.check(&offered.sent())).nonce().is_some());
    for (age, expected) in [(0, false), (60, false), (61, true), (119, true)] {
        let scene = with_nonce(NoncePolicy::Required);
        let now = NOW.plus(age);
        let sent = with_nonce_of(&scene, NOW, now);
        let permit = permit(scene.edge.check("api", &sent.request(), now));
        assert_eq!(permit.nonce().is_some(), expected, "{age} seconds");
    }
}

#[test]
fn the_nonces_of_a_withdrawn_key_are_worth_nothing() {
    let scene = with_nonce(NoncePolicy::Required);
    let sent = with_nonce_of(&scene, NOW, NOW);
    scene.edge.replace_nonce_keys(MacKeyRing::new(MacKey::new(2, [9; 32]), vec![]));
    assert!(matches!(scene.refused(&sent), Reason::Nonce(_)));
}

#[test]
fn only_a_refusal_that_a_nonce_may_cure_brings_one() {
    let nonce = |policy, change: fn(&mut ProofClaims<'_>)| -> Option<Challenge> {
        let scene = with_nonce(policy);
        refusal(scene.check(&scene.sent_by(&scene.device([4; 32]), |_| {}, change))).nonce
    };
    let forged: fn(&mut ProofClaims<'_>) = |proof| proof.method = "POST";
    assert!(nonce(NoncePolicy::Off, forged).is_none());
    assert!(nonce(NoncePolicy::Offered, forged).is_some());
    let late: fn(&mut ProofClaims<'_>) = |proof| proof.issued_at = NOW.minus(3600);
    assert!(nonce(NoncePolicy::Off, late).is_some(), "a wrong clock");
    let scene = with_nonce(NoncePolicy::Offered);
    let stripped = refusal(scene.check(&Sent { authorization: None, ..scene.sent() }));
    assert!(stripped.nonce.is_none(), "no attestation is at fault");
}

#[test]
fn a_nonce_that_is_due_and_cannot_be_made_is_our_own_trouble() {
    let scene = Scene::without_randomness(Route { nonce: NoncePolicy::Required, ..Route::new("/") });
    let refused = refusal(scene.check(&scene.sent()));
    assert_eq!(refused.reason, Reason::RandomnessUnavailable);
    assert_eq!(refused.retry_after, Some(1));
    let late = |proof: &mut ProofClaims<'_>| proof.issued_at = NOW.minus(3600);
    let scene = Scene::without_randomness(Route::new("/"));
    let refused = refusal(scene.check(&scene.sent_by(&scene.device([4; 32]), |_| {}, late)));
    assert_eq!(
        (refused.reason, refused.nonce),
        (Reason::ProofTime, None),
        "where it would have been a kindness"
    );
}

#[test]
fn who_has_to_wait_is_told_how_long_and_nobody_else() {
    let scene = Scene::new();
    let source = Some("192.0.2.1".parse().unwrap());
    let stranger = Sent { result: Some("garbage".into()), source, ..scene.sent() };
    for _ in 0..20 {
        assert_eq!(refusal(scene.check(&stranger)).retry_after, None);
    }
    let waits = refusal(scene.check(&stranger));
    assert_eq!((waits.reason, waits.retry_after), (Reason::FailureBudget, Some(10)));
    let scene = Scene::with_required_deny_list();
    let stale = refusal(scene.check(&scene.sent()));
    assert_eq!((stale.reason, stale.retry_after), (Reason::DenyListStale, Some(5)));
}

#[test]
fn the_scopes_that_a_route_demands_are_told_where_they_are_missing_and_only_there() {
    let route = Route { scopes: vec!["admin".to_owned(), "read".to_owned()], ..Route::new("/") };
    let scene = Scene::with_route(route);
    let refused = refusal(scene.check(&scene.sent()));
    assert_eq!((refused.reason, refused.scope.as_deref()), (Reason::ScopeMissing, Some("admin read")));
    assert_eq!(refusal(scene.check(&Sent { proof: None, ..scene.sent() })).scope, None);
}

#[test]
fn a_lookup_that_failed_lets_pass_what_its_route_only_watches_and_nothing_else() {
    let routes = vec![
        Route::new("/"),
        Route { mode: Mode::Observe, ..Route::new("/watched") },
        Route { mode: Mode::Warn, ..Route::new("/warned") },
    ];
    let scene = Scene::with_routes(routes);
    let failed = |path: &str| {
        let sent = Sent { path_and_query: path.to_owned(), ..scene.sent() };
        scene.edge.lookup_failed("api", &sent.request(), NOW)
    };
    for path in ["/v1", "/watched/../v1", "//watched", "/watched%2f"] {
        let refused = refusal(failed(path));
        assert_eq!((refused.reason, refused.retry_after), (Reason::KeysUnavailable, Some(5)), "{path}");
    }
    assert!(matches!(failed("/watched/a"), Decision::Observed { told: false, .. }));
    assert!(matches!(failed("/warned?a=b"), Decision::Observed { told: true, .. }));
    assert!(matches!(scene.edge.lookup_failed("other", &scene.sent().request(), NOW), Decision::Refusal(_)));
}

#[test]
fn a_resource_that_is_not_there_has_no_routes() {
    let scene = Scene::new();
    let sent = scene.sent();
    assert_eq!(refusal(scene.edge.check("other", &sent.request(), NOW)).reason, Reason::NoRoute);
    assert!(scene.edge.resource("api").is_some() && scene.edge.resource("other").is_none());
    let names: Vec<_> =
        scene.edge.resources().map(|(name, resource)| (name, resource.routes.len())).collect();
    assert_eq!(names, [("api", 1)]);
}

#[test]
fn the_upstream_is_told_whom_the_request_is_from_and_what_the_proof_covers() {
    let scene = Scene::new();
    let hash = sha256(b"body");
    let change = |proof: &mut ProofClaims<'_>| {
        proof.content = Some(hash);
        proof.environment = Some(4);
    };
    let decision = scene.check(&scene.sent_by(&scene.device([4; 32]), |_| {}, change));
    let values = identity_values(&decision);
    let instance = base64url(&[5; 16]);
    let body = base64url(&hash);
    assert_eq!(values, [&instance, "app", "affirming", "session", "tee", "user", "read", &body, ""]);
    let permit = permit(decision);
    assert_eq!((permit.content(), permit.environment()), (Some(&hash), Some(4)));
    let plain = self::permit(scene.check(&scene.sent()));
    assert_eq!((plain.content(), plain.environment()), (None, None), "a proof that says nothing of them");
}

#[test]
fn a_watched_request_bears_the_reason_and_no_identity() {
    assert_eq!(verdict_value(Reason::Replayed), "refused; reason=replayed");
    let scene = Scene::with_route(Route { mode: Mode::Observe, ..Route::new("/") });
    assert_eq!(scene.verdict(&scene.sent()), None);
    let decision = scene.check(&Sent { proof: None, ..scene.sent() });
    assert_eq!(identity_values(&decision), [const { String::new() }; 9]);
}

#[test]
fn an_edge_is_ready_once_the_keys_of_every_issuer_have_come() {
    let scene = Scene::new();
    let owners: Vec<_> = scene.edge.key_owners().collect();
    let expected = [
        KeyOwner::AttestationService(SERVICE.to_owned()),
        KeyOwner::AuthorizationServer(PARTNER_SERVER.to_owned()),
        KeyOwner::AuthorizationServer(AUTHORIZATION_SERVER.to_owned()),
    ];
    assert_eq!(owners, expected);
    let edge = Scene::without_keys();
    assert!(!edge.is_ready());
    edge.service(SERVICE).unwrap().replace(scene.service_keys());
    edge.authorization_server(AUTHORIZATION_SERVER).unwrap().replace(scene.server_keys());
    assert!(!edge.is_ready(), "one authorization server's are missing");
    edge.authorization_server(PARTNER_SERVER).unwrap().replace(scene.server_keys());
    assert!(edge.is_ready());
    let servers_first = Scene::without_keys();
    for issuer in [AUTHORIZATION_SERVER, PARTNER_SERVER] {
        servers_first.authorization_server(issuer).unwrap().replace(scene.server_keys());
    }
    assert!(!servers_first.is_ready(), "the attestation service's are missing");
}

#[test]
fn the_list_in_force_is_the_one_that_was_put_in_force_last() {
    let scene = Scene::new();
    assert!(scene.edge.deny_list().is_none());
    scene.edge.replace_deny_list(scene.deny_list(7, |_| {}));
    assert_eq!(scene.edge.deny_list().map(|list| list.sequence), Some(7));
}

#[test]
fn a_permit_is_shown_by_its_instance_and_without_keys() {
    let scene = Scene::new();
    let shown = format!("{:?}", permit(scene.check(&scene.sent())));
    assert!(shown.contains("VerifiedResult(InstanceId"), "{shown}");
    assert!(!shown.contains("confirmation: PublicKey"), "{shown}");
}

#[test]
fn http_basic_is_answered_with_what_the_route_takes_instead() {
    let tokens = "DPoP algs=\"ES256\", resource_metadata=\"https://api.example/m\", Bearer \
                  resource_metadata=\"https://api.example/m\"";
    let keys = "ApiKey header=\"X-API-Key\", resource_metadata=\"https://api.example/m\"";
    let (jwt, opaque, key) = (CredentialKind::Jwt, CredentialKind::Opaque, CredentialKind::ApiKey);
    for (credentials, expected) in [
        (vec![jwt], tokens.to_owned()),
        (vec![opaque], tokens.to_owned()),
        (vec![jwt, opaque], tokens.to_owned()),
        (vec![key], keys.to_owned()),
        (vec![key, opaque], format!("{tokens}, {keys}")),
    ] {
        let scene = Scene::with_route(Route { credentials: credentials.clone(), ..Route::new("/") });
        for basic in ["Basic", "basic", "BASIC"] {
            let refusal = refusal(scene.check(&scene.sent_with(basic, "dXNlcjpwYXNz")));
            assert_eq!((refusal.reason, refusal.code().status()), (Reason::BasicRefused, 401));
            assert_eq!(refusal.www_authenticate(), Some(expected.clone()), "{credentials:?}");
        }
    }
}
