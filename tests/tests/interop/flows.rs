//! What works: an app that logs in with its attestation, calls the API, renews, and goes on.

use countersign_core::token::jose::Jws;
use serde_json::{Value, json};

use crate::app::{Answer, App, Flavour, Mode, line};
use crate::programs;
use crate::world::World;

/// Enrolled, logged in.
async fn logged_in(world: &World, mode: Mode, owner: &str) -> (App, Answer) {
    let mut app = App::install(world, mode, owner).await;
    let tokens = app.log_in(world).await;
    assert_eq!(tokens.status, 200, "{tokens:?} {}", world.login.detail());
    (app, tokens)
}

/// Calls the API in both flavours.
async fn calls_the_api(world: &World, app: &mut App, token: &str) {
    for flavour in Flavour::ALL {
        let response = app.call(world, "/v1/account", token, flavour).await;
        assert_eq!(response.status(), 200, "{flavour:?} {:?}", line(&response, "www-authenticate"));
        let echo: Value = response.json().await.unwrap();
        assert_eq!(echo["lines"]["x-attested-subject"], json!(["alice"]), "{flavour:?}");
        assert_eq!(echo["lines"]["x-attested-client"], json!([app.mode.client_id()]), "{flavour:?}");
    }
}

async fn logs_in_and_goes_on(mode: Mode) {
    if !programs::are_installed() {
        return;
    }
    let world = World::start().await;
    let (mut app, tokens) = logged_in(&world, mode, "alice").await;
    assert_eq!(tokens.text("token_type"), "DPoP");
    let access_token = tokens.text("access_token");
    let token = Jws::decode(access_token).unwrap();
    assert!(token.is_typ("at+jwt"), "RFC 9068");
    assert_eq!(token.claims["aud"], world.resource);
    assert_eq!(
        (&token.claims["client_id"], &token.claims["sub"]),
        (&json!(mode.client_id()), &json!("alice"))
    );
    let instance_key = app.device.phone().instance_key().thumbprint().to_base64url();
    assert_eq!(token.claims["cnf"]["jkt"], instance_key, "bound to the attested key");
    calls_the_api(&world, &mut app, access_token).await;

    // A new session key and a new result; the instance key stays, and with it what the tokens are bound to.
    let mut tokens = tokens;
    for _ in 0..2 {
        app.device.restart();
        app.obtain(&world).await;
        tokens = app.refresh(&world, tokens.text("refresh_token")).await;
        assert_eq!(tokens.status, 200, "{tokens:?} {}", world.login.detail());
        let token = Jws::decode(tokens.text("access_token")).unwrap();
        assert_eq!(token.claims["cnf"]["jkt"], instance_key);
        calls_the_api(&world, &mut app, tokens.text("access_token")).await;
    }
    assert_eq!(world.upstream.requests(), 6);
}

#[tokio::test]
async fn an_iphone_logs_in_with_pop_and_refreshes_after_renewals() {
    logs_in_and_goes_on(Mode::Pop).await;
}

#[tokio::test]
async fn an_android_phone_logs_in_with_dpop_alone_and_refreshes_after_renewals() {
    logs_in_and_goes_on(Mode::Dpop).await;
}
