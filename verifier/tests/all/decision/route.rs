//! Which route a request takes, and what that one demands.

use countersign_core::request::RequestError;
use countersign_core::token::result::{Protection, ResultClaims, Tier};
use countersign_verifier::check::{Code, Decision, Mode, PathMatch, ProofKind, Reason, Route};

use super::scene::{NOW, Scene, Sent};

#[test]
fn paths_with_two_readings_and_unknown_routes_are_refused() {
    let scene = Scene::with_route(Route::new("/v1"));
    for path in
        ["/v1/../admin", "/v1//accounts", "/v1/%2e%2e/admin", "/v1/a%2Fb", "/v1/a;b", "/v1\\a", "/v1/%00"]
    {
        let sent = Sent { path_and_query: path.into(), ..scene.sent() };
        assert!(matches!(scene.refused(&sent), Reason::Request(_)), "{path}");
    }
    let elsewhere = Sent { path_and_query: "/admin".into(), ..scene.sent() };
    assert_eq!(scene.refused(&elsewhere), Reason::NoRoute);
    for query in ["page=1&access_token=x", "access%5Ftoken=x", "%61ccess_token", "a;access_token=x"] {
        let in_query = Sent { path_and_query: format!("/v1/accounts/1?{query}"), ..scene.sent() };
        assert_eq!(scene.refused(&in_query), Reason::TokenInQuery, "{query}");
    }
}

#[test]
fn a_tolerant_upstream_serves_no_operation_under_a_laxer_route() {
    let template = |path: &str| Route { path_match: PathMatch::Template, ..Route::new(path) };
    let lax = Route { mode: Mode::Observe, ..Route::new("/") };
    let scene = Scene::with_routes(vec![lax, template("/v1/accounts/{id}"), template("/admin")]);
    let check = |path: &str| {
        scene.edge.check("api", &Sent { path_and_query: path.into(), ..scene.sent() }.request(), NOW)
    };
    for path in ["/Admin", "/admin/", "/%41DMIN", "/V1/accounts/1", "/v1/accounts/", "/v1/accounts/1/"] {
        let Decision::Refusal(refusal) = check(path) else { panic!("{path} passed") };
        assert_eq!(refusal.reason, Reason::Request(RequestError::AmbiguousPath), "{path}");
        let request = Sent { path_and_query: path.into(), ..scene.sent() };
        let without_keys = scene.edge.lookup_failed("api", &request.request(), NOW);
        assert!(matches!(without_keys, Decision::Refusal(_)), "{path}");
    }
    assert!(matches!(check("/other"), Decision::Observed { .. }), "the lax route is there");
}

#[test]
fn what_the_route_demands_of_the_attestation_holds() {
    let with = |route: Route, change: fn(&mut ResultClaims)| {
        let scene = Scene::with_route(route);
        let sent = scene.sent_by(&scene.device([4; 32]), change, |_| {});
        scene.verdict(&sent)
    };
    let warning = |claims: &mut ResultClaims| claims.tier = Tier::Warning;
    assert_eq!(with(Route::new("/"), warning), Some(Reason::TierTooLow));
    assert_eq!(with(Route { tier: Tier::Warning, ..Route::new("/") }, warning), None);
    let hardware =
        || Route { protection: vec![Protection::Strongbox, Protection::SecureEnclave], ..Route::new("/") };
    assert_eq!(
        with(hardware(), |claims| claims.protection = Protection::Tee),
        Some(Reason::ProtectionTooLow)
    );
    assert_eq!(with(hardware(), |claims| claims.protection = Protection::Strongbox), None);
    let fresh = || Route { max_evidence_age: Some(3600), ..Route::new("/") };
    assert_eq!(with(fresh(), |claims| claims.evidence_time = NOW.minus(3601)), Some(Reason::EvidenceTooOld));
    assert_eq!(with(fresh(), |claims| claims.evidence_time = NOW.minus(3600)), None);
    assert_eq!(Reason::EvidenceTooOld.code(ProofKind::Compact), Code::UseFreshAttestation);
}

#[test]
fn scopes_are_whole_words() {
    let scene = Scene::with_route(Route { scopes: vec!["read".into()], ..Route::new("/") });
    let device = scene.device([4; 32]);
    let with_scope = |scope: &str| {
        let token = scene.token(&device, |claims| claims["scope"] = scope.into());
        scene.verdict(&scene.sent_with("DPoP", &token))
    };
    assert_eq!(with_scope("write read"), None);
    for scope in ["readwrite", "READ", "read,write", "", "read\u{a0}x"] {
        assert_eq!(with_scope(scope), Some(Reason::ScopeMissing), "{scope:?}");
    }
}

#[test]
fn an_observed_route_passes_without_identity_and_a_warned_one_is_told() {
    for (mode, expected) in [(Mode::Observe, false), (Mode::Warn, true)] {
        let scene = Scene::with_route(Route { mode, ..Route::new("/") });
        let sent = Sent { proof: None, ..scene.sent() };
        let decision = scene.check(&sent);
        let Decision::Observed { refusal, told } = &decision else { panic!("{decision:?}") };
        assert_eq!((refusal.reason, *told), (Reason::NoAttestation, expected));
        let values = countersign_verifier::check::identity::identity_values(&decision);
        assert!(values.iter().all(String::is_empty));
    }
}

#[test]
fn a_route_without_credential_still_binds_one_that_comes() {
    let scene = Scene::with_route(Route { credentials: Vec::new(), ..Route::new("/") });
    let device = scene.device([4; 32]);
    let mut sent = scene.sent_by(&device, |_| {}, |proof| proof.ath = None);
    sent.authorization = None;
    assert_eq!(scene.verdict(&sent), None);
    let foreign = |claims: &mut ResultClaims| claims.client_id = "other-app".into();
    let mut foreign = scene.sent_by(&device, foreign, |proof| proof.ath = None);
    foreign.authorization = None;
    assert_eq!(scene.refused(&foreign), Reason::AppNotAccepted, "a genuine but foreign app, without a token");
    let stripped = Sent { authorization: None, ..scene.sent() };
    assert_eq!(scene.refused(&stripped), Reason::ProofCredential, "a token taken out of the request");
}
