//! nginx with `auth_request`.

use countersign_core::encoding::{base64url, from_base64url};
use countersign_core::request::sha256;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::http::{Got, Sent};
use crate::nginx_process::{Nginx, is_installed};
use crate::world::{RESOURCE, World};

const IDENTITY: [&str; 9] = [
    "x-attested-instance",
    "x-attested-client",
    "x-attested-tier",
    "x-attested-assurance",
    "x-attested-protection",
    "x-attested-subject",
    "x-attested-scope",
    "x-attested-content",
    "attestation-verdict",
];

/// A world with nginx in front of it; `None` where nginx is not installed.
async fn behind_nginx() -> Option<(World, Nginx)> {
    if !is_installed() {
        return None;
    }
    let world = World::new("nginx").await;
    let nginx = Nginx::start(&world).await;
    Some((world, nginx))
}

/// What the API was told in the identity fields.
fn identity(echo: &Value) -> Vec<(&'static str, &Value)> {
    IDENTITY.into_iter().filter_map(|name| Some((name, echo["lines"].get(name)?))).collect()
}

fn challenge(got: &Got) -> &str {
    got.one("www-authenticate")
}

#[tokio::test]
async fn a_permitted_request_reaches_the_api_with_its_identity() {
    let Some((world, nginx)) = behind_nginx().await else { return };
    let mut sent = world.proven_with("POST", "/v1/pay?to=bob&x=%2F", |proof| proof.body = Some(b"10 euro"));
    sent.body = b"10 euro".to_vec();
    let got = sent.send(nginx.address).await;
    assert_eq!(got.status, 200, "{got:?}");
    let echo = got.json();
    assert_eq!((&echo["method"], &echo["target"]), (&json!("POST"), &json!("/v1/pay?to=bob&x=%2F")));
    assert_eq!(echo["body"], "10 euro");
    assert_eq!(echo["lines"]["x-attested-client"], json!(["app"]));
    assert_eq!(echo["lines"]["x-attested-subject"], json!(["alice"]));
    assert_eq!(echo["lines"]["x-attested-tier"], json!(["affirming"]));
    assert_eq!(echo["lines"]["x-attested-protection"], json!(["secure-enclave"]));
    assert_eq!(echo["lines"]["x-attested-content"], json!([base64url(&sha256(b"10 euro"))]));
    let told: Vec<_> = got.lines.iter().filter(|(name, _)| name.starts_with("x-attest")).collect();
    assert!(told.is_empty(), "identity is not for the client: {told:?}");
}

#[tokio::test]
async fn identity_that_a_client_sends_never_reaches_the_api() {
    let Some((world, nginx)) = behind_nginx().await else { return };
    let mut spoofed = world.proven("GET", "/v1/account");
    let mut stranger = Sent::new("GET", "/v1/observed");
    for name in IDENTITY {
        for alias in [name.to_owned(), name.to_uppercase(), name.replace('-', "_")] {
            spoofed = spoofed.with(&alias, "spoofed").with(&alias, "spoofed");
            stranger = stranger.with(&alias, "spoofed");
        }
    }
    let echo = spoofed.send(nginx.address).await.json();
    assert!(!echo.to_string().contains("spoofed"), "{echo}");
    assert_eq!(echo["lines"]["x-attested-subject"], json!(["alice"]));
    let echo = stranger.send(nginx.address).await.json();
    assert!(!echo.to_string().contains("spoofed"), "{echo}");
    let verdict = json!(["refused; reason=no_credential"]);
    assert_eq!(identity(&echo), [("attestation-verdict", &verdict)], "an observed request has no identity");
}

#[tokio::test]
async fn a_client_cannot_tell_the_edge_another_target() {
    let Some((world, nginx)) = behind_nginx().await else { return };
    let proven = world.proven("GET", "/v1/account");
    let moved = proven.to("/v1/pay").with("X-Original-URI", "/v1/account").with("X-Original-Method", "GET");
    let got = moved.send(nginx.address).await;
    assert_eq!(got.status, 401);
    let source = Sent::new("GET", "/v1/account").with("X-Original-Source", "not an address");
    assert_eq!(source.send(nginx.address).await.status, 401, "overwritten, so it is no misconfiguration");
    assert_eq!(world.upstream.requests(), 0);
}

#[tokio::test]
async fn each_refusal_reaches_the_client_with_its_status_and_challenge() {
    let Some((world, nginx)) = behind_nginx().await else { return };
    let honest = || world.proven("GET", "/v1/account");
    let proof = honest().line("Attestation-Proof").to_owned();
    let result = honest().line("Attestation-Result").to_owned();
    let invalid = r#"DPoP error="invalid_client_attestation""#;
    for (what, sent, status, expected) in [
        ("nothing", Sent::new("GET", "/v1/account"), 401, "DPoP algs="),
        ("a stolen token", honest().without("Attestation-Result").without("Attestation-Proof"), 401, invalid),
        ("another path", honest().to("/v1/accounts"), 401, invalid),
        ("another query", honest().to("/v1/account?a"), 401, invalid),
        ("two proofs", honest().with("Attestation-Proof", &proof), 400, r#"error="invalid_request""#),
        ("two results", honest().with("attestation-result", &result), 400, r#"error="invalid_request""#),
        (
            "joined proofs",
            honest().without("Attestation-Proof").with("Attestation-Proof", &format!("{proof}, {proof}")),
            400,
            "invalid_request",
        ),
        ("both flavours", honest().with("DPoP", "a.b.c"), 400, r#"error="invalid_request""#),
        ("a token in the query", honest().to("/v1/account?access_token=a"), 400, "invalid_request"),
        ("no scope", world.proven("GET", "/v1/scope"), 403, r#"scope="pay""#),
        ("no route", world.proven("GET", "/v2"), 404, ""),
    ] {
        let got = sent.send(nginx.address).await;
        assert_eq!(got.status, status, "{what}: {got:?}");
        assert!(challenge(&got).contains(expected), "{what}: {got:?}");
        assert_eq!(got.one("cache-control"), "no-store", "{what}");
        assert!(!got.one("date").is_empty(), "{what}");
    }
    assert_eq!(world.upstream.requests(), 0);
}

#[tokio::test]
async fn two_access_tokens_are_refused() {
    let Some((world, nginx)) = behind_nginx().await else { return };
    let sent = world.proven("GET", "/v1/account");
    let authorization = sent.line("Authorization").to_owned();
    let got = sent.with("Authorization", &authorization).send(nginx.address).await;
    assert_eq!(got.status, 400, "nginx refuses this one itself");
    assert_eq!(world.upstream.requests(), 0);
}

#[tokio::test]
async fn a_replayed_request_is_refused_and_says_so() {
    let Some((world, nginx)) = behind_nginx().await else { return };
    let sent = world.proven("GET", "/v1/account");
    assert_eq!(sent.send(nginx.address).await.status, 200);
    let got = sent.send(nginx.address).await;
    assert_eq!(got.status, 401);
    assert!(challenge(&got).contains(r#"reason="replayed""#), "{got:?}");
    assert_eq!(world.upstream.requests(), 1);
}

#[tokio::test]
async fn a_nonce_makes_its_round_trip() {
    let Some((world, nginx)) = behind_nginx().await else { return };
    let refused = world.proven("GET", "/v1/nonce").send(nginx.address).await;
    assert_eq!(refused.status, 401);
    let nonce = refused.one("oauth-client-attestation-challenge");
    assert!(challenge(&refused).contains(&format!(r#"attestation_challenge="{nonce}""#)), "{refused:?}");
    let nonce = from_base64url(nonce).unwrap();
    let nonce: &'static [u8] = nonce.leak();
    let again = world.proven_with("GET", "/v1/nonce", |proof| proof.nonce = Some(nonce));
    assert_eq!(again.send(nginx.address).await.status, 200);
}

#[tokio::test]
async fn who_fails_too_often_waits() {
    let Some((world, nginx)) = behind_nginx().await else { return };
    let forged =
        world.proven("GET", "/v1/account").without("Attestation-Result").with("Attestation-Result", "forged");
    let mut last = forged.send(nginx.address).await;
    for _ in 0..20 {
        assert_eq!(last.status, 400);
        last = forged.send(nginx.address).await;
    }
    assert_eq!((last.status, last.one("retry-after")), (429, "10"), "{last:?}");
    assert_eq!(world.upstream.requests(), 0);
}

#[tokio::test]
async fn a_warned_client_is_told_and_an_observed_one_is_not() {
    let Some((_world, nginx)) = behind_nginx().await else { return };
    let warned = Sent::new("GET", "/v1/warned").send(nginx.address).await;
    assert_eq!(warned.status, 200);
    assert!(challenge(&warned).starts_with("DPoP algs="), "{warned:?}");
    let observed = Sent::new("GET", "/v1/observed").send(nginx.address).await;
    assert_eq!((observed.status, challenge(&observed)), (200, ""));
}

#[tokio::test]
async fn paths_with_two_readings_never_reach_the_api() {
    let Some((world, nginx)) = behind_nginx().await else { return };
    for target in [
        "/v1/observed/../account",
        "/v1/observed/%2e%2e/account",
        "/v1//account",
        "/v1/observed/..%2faccount",
        "/v1/observed;/../account",
        "/v1/account%00",
        "/v1/observed\\..\\account",
        "http://api.example/v1/observed/../account",
    ] {
        let got = Sent::new("GET", target).send(nginx.address).await;
        assert!((400..500).contains(&got.status), "{target}: {got:?}");
    }
    assert_eq!(world.upstream.requests(), 0);
}

#[tokio::test]
async fn the_question_to_the_edge_is_not_for_clients() {
    let Some((world, nginx)) = behind_nginx().await else { return };
    let got = Sent::new("GET", "/countersign-check")
        .with("X-Original-URI", "/v1/observed")
        .with("X-Original-Method", "GET")
        .send(nginx.address)
        .await;
    assert_eq!(got.status, 404);
    assert_eq!(world.upstream.requests(), 0);
}

#[tokio::test]
async fn what_a_challenge_points_to_can_be_read_by_anybody() {
    let Some((world, nginx)) = behind_nginx().await else { return };
    let refused = Sent::new("GET", "/v1/account").send(nginx.address).await;
    let path = "/.well-known/oauth-protected-resource";
    assert!(challenge(&refused).contains(&format!(r#"resource_metadata="{RESOURCE}{path}""#)), "{refused:?}");
    let metadata = Sent::new("GET", path).send(nginx.address).await;
    assert_eq!((metadata.status, &metadata.json()["resource"]), (200, &json!(RESOURCE)));
    assert_eq!(world.upstream.requests(), 0);
}

#[tokio::test]
async fn the_apis_own_answers_stay_as_they_are() {
    let Some((world, nginx)) = behind_nginx().await else { return };
    for status in [200, 400, 401, 403, 404, 429, 500, 503] {
        let got = world.proven("GET", &format!("/v1/status/{status}")).send(nginx.address).await;
        assert_eq!(got.status, status);
        assert_eq!((got.one("www-authenticate"), got.one("x-own")), ("Upstream", "kept"));
        assert_eq!(got.body, b"the API's own words");
    }
}

#[tokio::test]
async fn without_an_edge_nothing_passes() {
    if !is_installed() {
        return;
    }
    let world = World::new("nginx").await;
    let sent = world.proven("GET", "/v1/account");
    let observed = Sent::new("GET", "/v1/observed");
    let nginx = Nginx::start(&world).await;
    let upstream = world.stop_edge().await;
    for sent in [sent, observed] {
        let got = sent.send(nginx.address).await;
        assert_eq!((got.status, got.one("retry-after")), (503, "5"), "{got:?}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn an_edge_that_never_answers_lets_nothing_pass() {
    if !is_installed() {
        return;
    }
    let world = World::new("nginx").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nginx = Nginx::start_asking(silent.local_addr().unwrap(), &world).await;
    let got = world.proven("GET", "/v1/account").send(nginx.address).await;
    assert_eq!(got.status, 503, "{got:?}");
    assert_eq!(world.upstream.requests(), 0);
}

#[tokio::test]
async fn an_edge_that_answers_nonsense_lets_nothing_pass() {
    if !is_installed() {
        return;
    }
    let world = World::new("nginx").await;
    // The API itself answers 404, 302, 204 … to what it does not know; only 2xx of an edge means yes.
    let nonsense =
        axum::Router::new().fallback(async || (axum::http::StatusCode::FOUND, [("location", "/")]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, nonsense).await });
    let nginx = Nginx::start_asking(address, &world).await;
    let got = world.proven("GET", "/v1/account").send(nginx.address).await;
    assert_eq!(got.status, 503, "{got:?}");
    assert_eq!(world.upstream.requests(), 0);
}

#[test]
fn the_settings_of_the_example_are_valid() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/nginx/countersign.toml");
    let settings =
        countersign_service::settings::Settings::load(&file).map_err(|problems| problems.to_string());
    assert_eq!(settings.map(|settings| settings.resources.len()), Ok(1));
}
