//! Key sets that an issuer's metadata name (RFC 8414, OpenID Connect Discovery), and metadata that lie; and keys that
//! grow too old.

use std::time::Duration;

use countersign_edge::{
    BuildError, CountersignBuilder, CountersignLayer, JwksSource, SetupError, SourceError,
};
use countersign_verifier::check::trust::KeyOwner;
use http::StatusCode;
use serde_json::{Value, json};

use crate::api::{below, send_plain};
use crate::fake_server::{FakeServer, Says};
use crate::keys::Clock;
use crate::scene::{
    AUTHORIZATION_SERVER, AUTHORIZATION_SERVER_SEED, NOW, RESOURCE, SERVICE, SERVICE_SEED, Scene, Sent,
    key_set,
};

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

fn described(issuer: &str, clock: &Clock) -> CountersignBuilder {
    let clock = clock.clone();
    CountersignLayer::builder(RESOURCE)
        .attestation_service(SERVICE, JwksSource::fixed(key_set("service-1", SERVICE_SEED)))
        .authorization_server(issuer, JwksSource::discovery(issuer))
        .client("app", issuer, "client")
        .clock(move || clock.now())
        .fetch_timeout(Duration::from_millis(300))
}

fn server_keys() -> Says {
    Says::Text(key_set("server-1", AUTHORIZATION_SERVER_SEED))
}

/// An honest request with a token of this issuer.
fn sent(scene: &Scene, issuer: &str) -> Sent {
    let token = scene.token(&scene.device([4; 32]), |claims| claims["iss"] = issuer.into());
    scene.sent_with("DPoP", &token)
}

async fn status_with(metadata: impl Fn(&FakeServer) -> Says) -> (StatusCode, FakeServer) {
    let (server, _) = FakeServer::start().await;
    server.says(OAUTH, metadata(&server));
    server.says("/keys", server_keys());
    let layer = described(&server.url, &Clock::at(NOW)).start().await.unwrap();
    let status = send_plain(&below(&layer), &sent(&Scene::new(), &server.url)).await.status;
    (status, server)
}

fn metadata(issuer: &str, keys: &str) -> Value {
    json!({"issuer": issuer, "jwks_uri": keys, "token_endpoint": "https://as.example/token"})
}

#[tokio::test]
async fn keys_are_found_where_the_metadata_say() {
    let (status, server) =
        status_with(|server| Says::json(&metadata(&server.url, &server.at("/keys")))).await;
    assert_eq!(status, StatusCode::OK);
    assert!(server.asked(OPENID).is_empty());
}

#[tokio::test]
async fn openid_metadata_serve_where_there_are_no_others() {
    let (server, _) = FakeServer::start().await;
    let issuer = server.at("/tenant");
    server.says(&format!("/tenant{OPENID}"), Says::json(&metadata(&issuer, &server.at("/keys"))));
    server.says("/keys", server_keys());
    let layer = described(&issuer, &Clock::at(NOW)).start().await.unwrap();
    assert_eq!(send_plain(&below(&layer), &sent(&Scene::new(), &issuer)).await.status, StatusCode::OK);
    assert_eq!(
        server.asked(&format!("{OAUTH}/tenant")).len(),
        1,
        "the path stands behind the well-known part"
    );
}

#[tokio::test]
async fn metadata_of_another_issuer_are_not_believed_and_nothing_else_is_tried() {
    for issuer in ["https://evil.example", "URL/", "URL/tenant"] {
        let (status, server) = status_with(|server| {
            server.says(OPENID, Says::json(&metadata(&server.url, &server.at("/keys"))));
            Says::json(&metadata(&issuer.replace("URL", &server.url), &server.at("/keys")))
        })
        .await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{issuer}");
        assert!(server.asked("/keys").is_empty() && server.asked(OPENID).is_empty(), "{issuer}");
    }
}

#[tokio::test]
async fn metadata_that_lead_astray_are_not_followed() {
    for (what, keys) in [
        ("plain http elsewhere", "http://as.example/keys"),
        ("a file", "file:///etc/passwd"),
        ("no URL", "/keys"),
        ("a password", "http://user:word@127.0.0.1/keys"),
    ] {
        let (status, _) = status_with(|server| Says::json(&metadata(&server.url, keys))).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
    }
    for (what, says) in [
        ("redirecting to this machine", Says::Redirect("/elsewhere")),
        ("down", Says::Status(500)),
        ("slow", Says::Never),
        ("huge", Says::Text(" ".repeat(300_000))),
        ("not JSON", Says::Text("<html>".into())),
        ("nothing in it", Says::Text("{}".into())),
    ] {
        let (status, server) = status_with(|server| {
            server.says("/elsewhere", Says::json(&metadata(&server.url, &server.at("/keys"))));
            says.clone()
        })
        .await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
        assert!(server.asked("/elsewhere").is_empty() && server.asked("/keys").is_empty(), "{what}");
    }
}

#[tokio::test]
async fn a_key_set_that_redirects_is_not_followed() {
    let (status, server) = status_with(|server| {
        server.says("/moved", Says::Redirect("/keys"));
        Says::json(&metadata(&server.url, &server.at("/moved")))
    })
    .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(server.asked("/keys").is_empty());
}

#[tokio::test]
async fn a_rotation_behind_metadata_refuses_nobody() {
    let (server, _) = FakeServer::start().await;
    let (scene, clock) = (Scene::new(), Clock::before());
    server.says(OAUTH, Says::json(&metadata(&server.url, &server.at("/keys"))));
    server.says("/keys", Says::Text(key_set("old", [66; 32])));
    let layer = described(&server.url, &clock).start().await.unwrap();
    clock.set(NOW);
    server.says(OAUTH, Says::json(&metadata(&server.url, &server.at("/new-keys"))));
    server.says("/new-keys", server_keys());
    assert_eq!(send_plain(&below(&layer), &sent(&scene, &server.url)).await.status, StatusCode::OK);
    assert_eq!((server.asked("/keys").len(), server.asked("/new-keys").len()), (1, 1));
}

#[tokio::test]
async fn an_issuer_that_cannot_have_metadata_stops_the_start() {
    let error = described("http://as.example", &Clock::at(NOW)).start().await.expect_err("refused");
    assert_eq!(error, BuildError::Issuer("http://as.example".into()));
    let builder = CountersignLayer::builder(RESOURCE)
        .attestation_service(SERVICE, JwksSource::fixed(key_set("service-1", SERVICE_SEED)))
        .authorization_server(AUTHORIZATION_SERVER, JwksSource::discovery("http://as.example"))
        .client("app", AUTHORIZATION_SERVER, "client");
    let owner = KeyOwner::AuthorizationServer(AUTHORIZATION_SERVER.into());
    let expected = BuildError::Setup(SetupError::Source(owner, SourceError::NotHttps));
    assert_eq!(builder.start().await.expect_err("refused"), expected);
}

#[tokio::test]
async fn keys_that_nobody_confirms_are_believed_for_a_day_and_no_longer() {
    let (server, _) = FakeServer::start().await;
    let (scene, clock) = (Scene::new(), Clock::before());
    server.says(OAUTH, Says::json(&metadata(&server.url, &server.at("/keys"))));
    server.says("/keys", server_keys());
    let layer = described(&server.url, &clock).max_stale(Duration::from_secs(3600)).start().await.unwrap();
    let (api, owner) = (below(&layer), KeyOwner::AuthorizationServer(server.url.clone()));
    let fetched = clock.now();
    server.says("/keys", Says::Status(500));
    clock.set(NOW);
    assert_eq!(layer.runtime().refresh().await, std::slice::from_ref(&owner));
    let sent = || sent(&scene, &server.url);
    assert_eq!(send_plain(&api, &sent()).await.status, StatusCode::OK, "stale, and still believed");
    // Somebody who keeps the issuer from being heard would keep a withdrawn key good for as long.
    clock.set(fetched.plus(3600));
    assert_eq!(layer.runtime().refresh().await, [owner]);
    assert!(!layer.runtime().is_ready());
    clock.set(NOW.plus(1));
    assert_eq!(send_plain(&api, &sent()).await.status, StatusCode::SERVICE_UNAVAILABLE);
    server.says("/keys", server_keys());
    assert_eq!(layer.runtime().refresh().await, [], "the same set, come again");
    assert!(layer.runtime().is_ready());
    assert_eq!(send_plain(&api, &sent()).await.status, StatusCode::OK);
    let as_of = layer.runtime().keys_as_of().find(|(issuer, _)| *issuer == server.url).unwrap().1;
    assert_eq!(as_of, Some(NOW.plus(1)));
}
