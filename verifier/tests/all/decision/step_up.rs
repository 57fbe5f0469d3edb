//! How the user was authenticated: what a route may demand of the token beyond its scopes (RFC 9470).

use countersign_verifier::check::{Code, Decision, Reason, Refusal, Route, StepUp};
use serde_json::{Map, Value, json};

use super::scene::{NOW, Scene, Sent};

fn demanding(acr_values: &[&str], max_age: Option<u64>) -> Scene {
    let acr_values = acr_values.iter().map(|value| (*value).to_owned()).collect();
    Scene::with_route(Route { step_up: StepUp { acr_values, max_age }, ..Route::new("/") })
}

fn sent(scene: &Scene, change: impl FnOnce(&mut Map<String, Value>)) -> Sent {
    let device = scene.device([4; 32]);
    scene.sent_with("DPoP", &scene.token(&device, change))
}

fn with(name: &'static str, value: Value) -> impl FnOnce(&mut Map<String, Value>) {
    move |claims| drop(claims.insert(name.to_owned(), value))
}

fn refusal(scene: &Scene, sent: &Sent) -> Refusal {
    match scene.check(sent) {
        Decision::Refusal(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_password_does_not_pass_where_more_is_demanded() {
    let scene = demanding(&["phr", "phrh"], None);
    for (acr, verdict) in [
        (json!("phr"), None),
        (json!("phrh"), None),
        (json!("pwd"), Some(Reason::AuthenticationTooWeak)),
        (json!("phr phrh"), Some(Reason::AuthenticationTooWeak)),
        (json!("PHR"), Some(Reason::AuthenticationTooWeak)),
    ] {
        assert_eq!(scene.verdict(&sent(&scene, with("acr", acr.clone()))), verdict, "{acr}");
    }
    let silent = sent(&scene, |_| {});
    assert_eq!(scene.refused(&silent), Reason::AuthenticationTooWeak, "a token that does not tell");
}

#[test]
fn a_login_of_yesterday_does_not_pass_where_one_of_now_is_demanded() {
    let scene = demanding(&[], Some(300));
    for (time, verdict) in [
        (NOW.minus(300), None),
        (NOW.plus(60), None),
        (NOW.minus(301), Some(Reason::AuthenticationTooOld)),
        (NOW.plus(61), Some(Reason::AuthenticationTooOld)),
    ] {
        let sent = sent(&scene, with("auth_time", time.as_unix_seconds().into()));
        assert_eq!(scene.verdict(&sent), verdict, "{time:?}");
    }
    assert_eq!(
        scene.refused(&sent(&scene, |_| {})),
        Reason::AuthenticationTooOld,
        "a token that does not tell"
    );
}

#[test]
fn the_client_is_told_what_to_ask_the_user_for() {
    let scene = demanding(&["phr", "phrh"], Some(300));
    let refusal = refusal(&scene, &sent(&scene, with("acr", json!("pwd"))));
    assert_eq!((refusal.code(), refusal.code().status()), (Code::InsufficientUserAuthentication, 401));
    let header = refusal.www_authenticate().unwrap();
    let expected = "DPoP error=\"insufficient_user_authentication\", acr_values=\"phr phrh\", max_age=\"300\", \
                    resource_metadata=\"https://api.example/m\"";
    assert_eq!(header, expected);
}

#[test]
fn claims_of_another_type_are_no_claims() {
    let scene = demanding(&[], None);
    for (name, value) in
        [("acr", json!(["phr"])), ("acr", json!("")), ("auth_time", json!("1")), ("auth_time", json!(-1))]
    {
        let reason = scene.refused(&sent(&scene, with(name, value.clone())));
        assert!(matches!(reason, Reason::AccessToken(_)), "{name} {value}");
    }
}
