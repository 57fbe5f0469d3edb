//! The same attacks behind every gateway: each test goes through all that are installed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use countersign_core::encoding::{base64url, from_base64url};
use countersign_core::request::sha256;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::gateway::Gateway;
use crate::http::{Got, Sent};
use crate::process::Running;
use crate::proxy;
use crate::world::{RESOURCE, World};

pub(crate) const IDENTITY: [&str; 10] = [
    "x-attested-instance",
    "x-attested-client",
    "x-attested-tier",
    "x-attested-assurance",
    "x-attested-protection",
    "x-attested-subject",
    "x-attested-scope",
    "x-attested-content",
    "x-attested-replay",
    "attestation-verdict",
];

/// Runs `attack` in a new world behind each gateway that is installed, and behind our own proxy.
pub(crate) async fn behind_every_gateway(attack: impl AsyncFn(&World, &Running)) {
    for gateway in installed() {
        let world = World::new(gateway.setting()).await;
        let running = Running::start(gateway, &world).await;
        attack(&world, &running).await;
    }
    let world = World::new("nginx").await;
    let running = proxy::start(&world).await;
    attack(&world, &running).await;
}

/// Each gateway that is installed; says which one it is, so that a failure is shown with its name.
#[allow(clippy::print_stdout, reason = "shown with a failure only")]
fn installed() -> impl Iterator<Item = Gateway> {
    Gateway::ALL
        .into_iter()
        .filter(|gateway| gateway.is_installed())
        .inspect(|gateway| println!("behind {gateway:?}"))
}

/// What the API was told in the identity fields; whether a gateway sends an empty field is its own affair.
fn identity(echo: &Value) -> Vec<(&'static str, &Value)> {
    let told = IDENTITY.into_iter().filter_map(|name| Some((name, echo["lines"].get(name)?)));
    told.filter(|(_, lines)| **lines != json!([""])).collect()
}

fn challenge(got: &Got) -> &str {
    got.one("www-authenticate")
}

#[tokio::test]
async fn a_permitted_request_reaches_the_api_with_its_identity() {
    behind_every_gateway(async |world, gateway| {
        let mut sent =
            world.proven_with("POST", "/v1/pay?to=bob&x=%2F", |proof| proof.body = Some(b"10 euro"));
        sent.body = b"10 euro".to_vec();
        let got = sent.send(gateway.address).await;
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
    })
    .await;
}

#[tokio::test]
async fn identity_that_a_client_sends_never_reaches_the_api() {
    behind_every_gateway(async |world, gateway| {
        let mut spoofed = world.proven("GET", "/v1/account");
        let mut stranger = Sent::new("GET", "/v1/observed");
        for name in IDENTITY {
            for alias in
                [name.to_owned(), name.to_uppercase(), name.replace('-', "_"), name.replace('-', ".")]
            {
                spoofed = spoofed.with(&alias, "spoofed").with(&alias, "spoofed");
                stranger = stranger.with(&alias, "spoofed");
            }
        }
        let echo = spoofed.send(gateway.address).await.json();
        assert!(!echo.to_string().contains("spoofed"), "{echo}");
        assert_eq!(echo["lines"]["x-attested-subject"], json!(["alice"]));
        let echo = stranger.send(gateway.address).await.json();
        assert!(!echo.to_string().contains("spoofed"), "{echo}");
        let verdict = json!(["refused; reason=no_credential"]);
        assert_eq!(
            identity(&echo),
            [("attestation-verdict", &verdict)],
            "an observed request has no identity"
        );
    })
    .await;
}

#[tokio::test]
async fn a_client_cannot_tell_the_edge_another_target() {
    behind_every_gateway(async |world, gateway| {
        let told = ["X-Original", "X-Forwarded"]
            .into_iter()
            .fold(world.proven("GET", "/v1/account").to("/v1/pay"), |sent, by| {
                sent.with(&format!("{by}-URI"), "/v1/account").with(&format!("{by}-Method"), "GET")
            });
        assert_eq!(told.send(gateway.address).await.status, 401);
        for name in ["X-Original-Source", "X-Forwarded-For"] {
            let sent = Sent::new("GET", "/v1/account").with(name, "nowhere").with(name, "nowhere");
            let got = sent.send(gateway.address).await;
            assert_eq!(got.status, 401, "overwritten, so it is no misconfiguration: {got:?}");
        }
        assert_eq!(world.upstream.requests(), 0);
    })
    .await;
}

#[tokio::test]
async fn no_other_method_than_the_checked_one_is_named_to_the_api() {
    behind_every_gateway(async |world, gateway| {
        let mut sent = world.proven("GET", "/v1/account");
        for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
            for alias in
                [name.to_owned(), name.to_lowercase(), name.replace('-', "_"), name.replace('-', ".")]
            {
                sent = sent.with(&alias, "DELETE").with(&alias, "DELETE");
            }
        }
        let got = sent.send(gateway.address).await;
        assert_eq!(got.status, 200, "{got:?}");
        let echo = got.json();
        assert_eq!(echo["method"], "GET");
        assert!(!echo.to_string().contains("DELETE"), "{echo}");
    })
    .await;
}

#[tokio::test]
async fn each_refusal_reaches_the_client_with_its_status_and_challenge() {
    behind_every_gateway(async |world, gateway| {
        let honest = || world.proven("GET", "/v1/account");
        let proof = honest().line("Attestation-Proof").to_owned();
        let result = honest().line("Attestation-Result").to_owned();
        let invalid = r#"DPoP error="invalid_client_attestation""#;
        for (what, sent, status, expected) in [
            ("nothing", Sent::new("GET", "/v1/account"), 401, "DPoP algs="),
            (
                "a stolen token",
                honest().without("Attestation-Result").without("Attestation-Proof"),
                401,
                invalid,
            ),
            ("another path", honest().to("/v1/accounts"), 401, invalid),
            ("another method", Sent { method: "DELETE", ..honest() }, 401, invalid),
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
            let got = sent.send(gateway.address).await;
            assert_eq!(got.status, status, "{what}: {got:?}");
            assert!(challenge(&got).contains(expected), "{what}: {got:?}");
            assert_eq!(got.one("cache-control"), "no-store", "{what}");
            assert!(!got.one("date").is_empty(), "{what}");
        }
        assert_eq!(world.upstream.requests(), 0);
    })
    .await;
}

#[tokio::test]
async fn two_access_tokens_are_refused() {
    behind_every_gateway(async |world, gateway| {
        let sent = world.proven("GET", "/v1/account");
        let authorization = sent.line("Authorization").to_owned();
        let got = sent.with("Authorization", &authorization).send(gateway.address).await;
        assert_eq!(got.status, 400, "{got:?}");
        assert_eq!(world.upstream.requests(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_replayed_request_is_refused_and_says_so() {
    behind_every_gateway(async |world, gateway| {
        let sent = world.proven("GET", "/v1/account");
        assert_eq!(sent.send(gateway.address).await.status, 200);
        let got = sent.send(gateway.address).await;
        assert_eq!(got.status, 401);
        assert!(challenge(&got).contains(r#"reason="replayed""#), "{got:?}");
        assert_eq!(world.upstream.requests(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_nonce_makes_its_round_trip_and_the_next_one_rides_on_success() {
    behind_every_gateway(async |world, gateway| {
        let field = "oauth-client-attestation-challenge";
        let proven = |nonce: &str| {
            let nonce: &'static [u8] = from_base64url(nonce).unwrap().leak();
            world.proven_with("GET", "/v1/nonce", |proof| proof.nonce = Some(nonce))
        };
        let refused = world.proven("GET", "/v1/nonce").send(gateway.address).await;
        let nonce = refused.one(field);
        assert_eq!(refused.status, 401);
        assert!(challenge(&refused).contains(&format!(r#"attestation_challenge="{nonce}""#)), "{refused:?}");
        let passed = proven(nonce).send(gateway.address).await;
        assert_eq!((passed.status, passed.one(field)), (200, ""), "it is young");
        world.wait(61);
        let passed = proven(nonce).send(gateway.address).await;
        let next = passed.one(field);
        assert_eq!((passed.status, passed.one("dpop-nonce")), (200, ""));
        assert!(next != nonce, "{passed:?}");
        world.wait(61);
        assert_eq!(proven(nonce).send(gateway.address).await.status, 401, "its time is over");
        assert_eq!(proven(next).send(gateway.address).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_dpop_nonce_makes_its_round_trip_and_the_next_one_rides_on_success() {
    behind_every_gateway(async |world, gateway| {
        let field = "dpop-nonce";
        let send =
            async |nonce| world.proven_by_instance_key("GET", "/v1/nonce", nonce).send(gateway.address).await;
        let refused = send(None).await;
        let nonce = refused.one(field);
        assert_eq!(refused.status, 401, "{refused:?}");
        assert!(challenge(&refused).contains("use_dpop_nonce"), "{refused:?}");
        let passed = send(Some(nonce)).await;
        assert_eq!((passed.status, passed.one(field)), (200, ""), "it is young");
        world.wait(61);
        let passed = send(Some(nonce)).await;
        let next = passed.one(field);
        assert_eq!((passed.status, passed.one("oauth-client-attestation-challenge")), (200, ""));
        assert!(!next.is_empty() && next != nonce, "{passed:?}");
        world.wait(61);
        assert_eq!(send(Some(nonce)).await.status, 401, "its time is over");
        assert_eq!(send(Some(next)).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn who_fails_too_often_waits_whatever_address_it_names() {
    behind_every_gateway(async |world, gateway| {
        let forged = || world.proven("GET", "/v1/account").without("Attestation-Result");
        let mut last = None;
        for attempt in 0..21 {
            let named = format!("192.0.2.{attempt}");
            let sent = forged().with("Attestation-Result", "forged");
            let sent = ["X-Forwarded-For", "X-Original-Source", "X-Real-IP", "Forwarded"]
                .into_iter()
                .fold(sent, |sent, name| sent.with(name, &named));
            let got = sent.send(gateway.address).await;
            assert!(attempt == 20 || got.status == 400, "{attempt}: {got:?}");
            last = Some((got.status, got.one("retry-after").to_owned()));
        }
        assert_eq!(last, Some((429, "10".to_owned())));
        assert_eq!(world.upstream.requests(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_warned_client_is_told_and_an_observed_one_is_not() {
    behind_every_gateway(async |_world, gateway| {
        let warned = Sent::new("GET", "/v1/warned").send(gateway.address).await;
        assert_eq!(warned.status, 200);
        assert!(challenge(&warned).starts_with("DPoP algs="), "{warned:?}");
        let observed = Sent::new("GET", "/v1/observed").send(gateway.address).await;
        assert_eq!((observed.status, challenge(&observed)), (200, ""));
    })
    .await;
}

#[tokio::test]
async fn paths_with_two_readings_never_reach_the_api() {
    behind_every_gateway(async |world, gateway| {
        let mut passed = 0;
        for target in [
            "/v1/observed/../account",
            "/v1/observed/%2e%2e/account",
            "/v1//account",
            "/v1/observed/..%2faccount",
            "/v1/observed/%252e%252e/account",
            "/v1/observed/%25%32%65%25%32%65/account",
            "/v1/observed;/../account",
            "/v1/account%00",
            "/v1/observed#/../account",
            "/v1/observed%5c..%5caccount",
            "/v1/./observed",
            "/v1/observed\\..\\account",
            "http://api.example/v1/observed/../account",
        ] {
            let got = Sent::new("GET", target).send(gateway.address).await;
            // Or what follows `#` is cut off, before the decision and for the API alike.
            let cut = target.split_once('#').filter(|_| got.status == 200);
            passed += usize::from(cut.is_some_and(|(before, _)| got.json()["target"] == before));
            assert!((400..500).contains(&got.status) || cut.is_some(), "{target}: {got:?}");
        }
        assert_eq!(world.upstream.requests(), passed);
    })
    .await;
}

#[tokio::test]
async fn what_a_challenge_points_to_can_be_read_by_anybody() {
    behind_every_gateway(async |world, gateway| {
        let refused = Sent::new("GET", "/v1/account").send(gateway.address).await;
        let path = "/.well-known/oauth-protected-resource";
        assert!(
            challenge(&refused).contains(&format!(r#"resource_metadata="{RESOURCE}{path}""#)),
            "{refused:?}"
        );
        let metadata = Sent::new("GET", path).send(gateway.address).await;
        assert_eq!((metadata.status, &metadata.json()["resource"]), (200, &json!(RESOURCE)));
        assert_eq!(world.upstream.requests(), 0);
    })
    .await;
}

#[tokio::test]
async fn the_apis_own_answers_stay_as_they_are() {
    behind_every_gateway(async |world, gateway| {
        for status in [200, 400, 401, 403, 404, 429, 500, 503] {
            let got = world.proven("GET", &format!("/v1/status/{status}")).send(gateway.address).await;
            assert_eq!(got.status, status);
            assert_eq!((got.one("www-authenticate"), got.one("x-own")), ("Upstream", "kept"));
            assert_eq!(got.body, b"the API's own words");
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_cannot_take_identity_away() {
    behind_every_gateway(async |world, gateway| {
        // A proxy removes what `Connection` names (RFC 9110 section 7.6.1): the edge's words must not be among it,
        // unless the gateway refuses such a request.
        let told = |got: &Got, name: &str, value: &str| {
            [400, 403].contains(&got.status)
                || got.status == 200 && got.json()["lines"][name] == json!([value])
        };
        let named = IDENTITY.join(", ");
        let got = world.proven("GET", "/v1/account").with("Connection", &named).send(gateway.address).await;
        assert!(told(&got, "x-attested-subject", "alice"), "{got:?}");
        let observed = Sent::new("GET", "/v1/observed").with("Connection", &named);
        for sent in [observed.clone(), observed.with("Connection", "Upgrade").with("Upgrade", "websocket")] {
            let got = sent.send(gateway.address).await;
            assert!(told(&got, "attestation-verdict", "refused; reason=no_credential"), "{got:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_identity_of_one_request_is_not_that_of_the_next_on_its_connection() {
    behind_every_gateway(async |world, gateway| {
        let proven = world.proven("GET", "/v1/account");
        let answers = proven.send_with_next(&Sent::new("GET", "/v1/observed"), gateway.address).await;
        assert_eq!(world.upstream.requests(), 2, "{answers}");
        assert_eq!(answers.matches("alice").count(), 1, "{answers}");
        assert_eq!(answers.matches("refused; reason=no_credential").count(), 1, "{answers}");
    })
    .await;
}

#[tokio::test]
async fn a_body_reaches_the_api_whole_although_the_edge_is_asked_first() {
    behind_every_gateway(async |world, gateway| {
        let body = "body".repeat(250_000);
        let mut sent = world.proven("PUT", "/v1/account");
        sent.body = body.clone().into_bytes();
        let got = sent.send(gateway.address).await;
        assert_eq!(got.status, 200);
        assert!(got.json()["body"] == body, "another body");
    })
    .await;
}

/// Something that gives every request the same answer.
async fn answers<R: IntoResponse + 'static>(
    answer: impl Fn() -> R + Clone + Send + Sync + 'static,
) -> SocketAddr {
    let router = axum::Router::new().fallback(async move || answer());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn without_an_edge_nothing_passes() {
    for gateway in installed() {
        let world = World::new(gateway.setting()).await;
        let requests = [world.proven("GET", "/v1/account"), Sent::new("GET", "/v1/observed")];
        let running = Running::start(gateway, &world).await;
        let upstream = world.stop_edge().await;
        for sent in requests {
            let got = sent.send(running.address).await;
            assert_eq!((got.status, got.one("retry-after")), (503, "5"), "{got:?}");
        }
        assert_eq!(upstream.requests(), 0);
    }
}

#[tokio::test]
async fn an_edge_that_never_answers_lets_nothing_pass() {
    for gateway in installed() {
        let world = World::new(gateway.setting()).await;
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = silent.accept().await {
                if stream.read_u8().await.is_ok() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                kept.push(stream);
            }
        });
        let running = Running::start_asking(gateway, address, &world).await;
        // The gateway's own limit ends the wait.
        let got = world.proven("GET", "/v1/account").send(running.address).await;
        assert_eq!((got.status, got.one("retry-after")), (503, "5"), "{got:?}");
        assert_eq!(
            asked.load(Ordering::Relaxed),
            1,
            "who asks again doubles the wait, and replays the proof"
        );
        assert_eq!(world.upstream.requests(), 0);
    }
}

#[tokio::test]
async fn an_edge_that_breaks_off_lets_nothing_pass() {
    for gateway in installed() {
        let world = World::new(gateway.setting()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // As one that is killed in the middle of permitting.
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Attested-Subject: al").await;
            }
        });
        let running = Running::start_asking(gateway, address, &world).await;
        let got = world.proven("GET", "/v1/account").send(running.address).await;
        assert_eq!(got.status, 503, "{got:?}");
        assert_eq!(world.upstream.requests(), 0);
    }
}

#[tokio::test]
async fn an_edge_that_answers_nonsense_lets_nothing_pass() {
    for gateway in installed() {
        let world = World::new(gateway.setting()).await;
        // The API itself answers 404, 302 … to what it does not know; only a permit of an edge means yes.
        let edge = answers(|| (StatusCode::FOUND, [("location", "/")])).await;
        let running = Running::start_asking(gateway, edge, &world).await;
        let got = world.proven("GET", "/v1/account").send(running.address).await;
        assert!([302, 503].contains(&got.status), "{got:?}");
        assert_eq!(world.upstream.requests(), 0);
    }
}

#[test]
fn the_settings_of_each_example_are_valid() {
    for gateway in Gateway::ALL {
        let file = gateway.settings();
        let settings =
            countersign_service::settings::Settings::load(&file).map_err(|problems| problems.to_string());
        let read = settings.map(|settings| settings.resources.len());
        assert_eq!(read, Ok(1), "{gateway:?}");
    }
}
