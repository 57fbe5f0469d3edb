//! What only Envoy has: it can hand bodies to the edge; and over gRPC the edge sees every header line and has some removed.

use std::path::Path;

use serde_json::json;

use crate::gateway::Gateway;
use crate::http::Sent;
use crate::process::Running;
use crate::world::World;

/// Changes the configuration; what is to be replaced stands in the example.
fn replace(folder: &Path, gateway: Gateway, from: &str, to: &str) {
    let file = folder.join(gateway.main_file());
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

/// Envoy over HTTP and over gRPC, told to send bodies by the line that the examples hold for whoever wants it.
async fn with_bodies(attack: impl AsyncFn(&World, &Running)) {
    for gateway in [Gateway::EnvoyHttp, Gateway::EnvoyGrpc].into_iter().filter(|one| one.is_installed()) {
        let world = World::new(gateway.setting()).await;
        let envoy = Running::start_changed(gateway, world.edge, &world, |folder| {
            replace(folder, gateway, "# with_request_body:", "with_request_body:");
        })
        .await;
        attack(&world, &envoy).await;
    }
}

/// Envoy over gRPC, with a part of its configuration changed.
async fn over_grpc(from: &str, to: &str) -> Option<(World, Running)> {
    let gateway = Gateway::EnvoyGrpc;
    if !gateway.is_installed() {
        return None;
    }
    let world = World::new(gateway.setting()).await;
    let change = |folder: &Path| replace(folder, gateway, from, to);
    let envoy = Running::start_changed(gateway, world.edge, &world, change).await;
    Some((world, envoy))
}

#[tokio::test]
async fn a_body_that_was_proven_passes_and_another_does_not() {
    with_bodies(async |world, envoy| {
        let pay = |body: &[u8]| Sent {
            body: body.to_vec(),
            ..world.proven_with("POST", "/v1/body", |proof| proof.body = Some(b"10 euro"))
        };
        let got = pay(b"10 euro").send(envoy.address).await;
        assert_eq!((got.status, &got.json()["body"]), (200, &"10 euro".into()), "{got:?}");
        assert_eq!(pay(b"99 euro").send(envoy.address).await.status, 401);
        assert_eq!(pay(b"").send(envoy.address).await.status, 401);
        assert_eq!(world.upstream.requests(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_says_its_body_is_whole_or_partial_changes_nothing() {
    with_bodies(async |world, envoy| {
        for said in ["false", "true"] {
            let mut sent = world
                .proven_with("POST", "/v1/body", |proof| proof.body = Some(b"10 euro"))
                .with("x-envoy-auth-partial-body", said);
            sent.body = b"99 euro".to_vec();
            assert_eq!(sent.send(envoy.address).await.status, 401, "{said}");
        }
        assert_eq!(world.upstream.requests(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_body_too_large_to_hand_over_is_refused() {
    with_bodies(async |world, envoy| {
        let mut sent = world.proven_with("POST", "/v1/body", |proof| proof.body = Some(b"10 euro"));
        sent.body = vec![b'a'; 70_000];
        assert_eq!(sent.send(envoy.address).await.status, 413);
        assert_eq!(world.upstream.requests(), 0);
    })
    .await;
}

#[tokio::test]
async fn the_largest_body_that_is_handed_over_is_compared() {
    with_bodies(async |world, envoy| {
        let body: &'static [u8] = vec![b'a'; 65_536].leak();
        let mut sent = world.proven_with("POST", "/v1/body", |proof| proof.body = Some(body));
        sent.body = body.to_vec();
        assert_eq!(sent.send(envoy.address).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn an_envoy_that_sends_no_bodies_passes_none_where_the_body_must_be_proven() {
    for gateway in [Gateway::EnvoyHttp, Gateway::EnvoyGrpc].into_iter().filter(|one| one.is_installed()) {
        let world = World::new(gateway.setting()).await;
        let envoy = Running::start(gateway, &world).await;
        let mut sent = world
            .proven_with("POST", "/v1/body", |proof| proof.body = Some(b"10 euro"))
            .with("x-envoy-auth-partial-body", "false");
        sent.body = b"10 euro".to_vec();
        assert_eq!(sent.send(envoy.address).await.status, 401);
        assert_eq!(world.upstream.requests(), 0);
    }
}

#[tokio::test]
async fn over_grpc_the_edge_itself_removes_what_poses_as_identity() {
    // The gateway's own removal of these fields is switched off.
    let removed = "x[-_.]attested[-_.].*|attestation[-_.]verdict|";
    let Some((world, envoy)) = over_grpc(removed, "").await else { return };
    let mut proven = world.proven("GET", "/v1/account");
    let mut observed = Sent::new("GET", "/v1/observed");
    for name in ["X-Attested-Subject", "x_attested_subject", "x.attested.scope", "X-Attested-New"] {
        proven = proven.with(name, "spoofed").with(name, "spoofed");
        observed = observed.with(name, "spoofed");
    }
    let echo = proven.send(envoy.address).await.json();
    assert!(!echo.to_string().contains("spoofed"), "{echo}");
    assert_eq!(echo["lines"]["x-attested-subject"], json!(["alice"]));
    let echo = observed.send(envoy.address).await.json();
    assert!(!echo.to_string().contains("spoofed"), "{echo}");
    assert_eq!(echo["lines"]["attestation-verdict"], json!(["refused; reason=no_credential"]));
}

#[tokio::test]
async fn lines_that_envoy_has_joined_are_refused_as_two() {
    let Some((world, envoy)) = over_grpc("encode_raw_headers: true", "encode_raw_headers: false").await
    else {
        return;
    };
    assert_eq!(world.proven("GET", "/v1/account").send(envoy.address).await.status, 200);
    for name in ["Attestation-Proof", "Attestation-Result", "Authorization"] {
        let sent = world.proven("GET", "/v1/account");
        let line = sent.line(name).to_owned();
        assert_eq!(sent.with(name, &line).send(envoy.address).await.status, 400, "{name}");
    }
    assert_eq!(world.upstream.requests(), 1);
}

#[tokio::test]
async fn a_route_that_names_no_resource_or_an_unknown_one_lets_nothing_pass() {
    for other in ["{}", "{ resource: other }"] {
        let Some((world, envoy)) = over_grpc("{ resource: api }", other).await else { return };
        for sent in [world.proven("GET", "/v1/account"), Sent::new("GET", "/v1/observed")] {
            let got = sent.with("resource", "api").send(envoy.address).await;
            assert_eq!((got.status, got.one("retry-after")), (503, "5"), "{got:?}");
        }
        assert_eq!(world.upstream.requests(), 0);
    }
}
