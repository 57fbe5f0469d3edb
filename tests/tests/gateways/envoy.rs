//! What only Envoy has: it can hand bodies to the edge.

use crate::gateway::Gateway;
use crate::http::Sent;
use crate::process::Running;
use crate::world::World;

async fn with_bodies() -> Option<(World, Running)> {
    if !Gateway::Envoy.is_installed() {
        return None;
    }
    let world = World::new("envoy-http").await;
    let envoy = Running::start_changed(Gateway::Envoy, world.edge, &world, |folder| {
        let file = folder.join("envoy.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        // The line stands in the example, for whoever wants it.
        let line = "# with_request_body:";
        assert!(text.contains(line));
        std::fs::write(file, text.replace(line, "with_request_body:")).unwrap();
    })
    .await;
    Some((world, envoy))
}

#[tokio::test]
async fn a_body_that_was_proven_passes_and_another_does_not() {
    let Some((world, envoy)) = with_bodies().await else { return };
    let pay = |body: &[u8]| Sent {
        body: body.to_vec(),
        ..world.proven_with("POST", "/v1/body", |proof| proof.body = Some(b"10 euro"))
    };
    let got = pay(b"10 euro").send(envoy.address).await;
    assert_eq!((got.status, &got.json()["body"]), (200, &"10 euro".into()), "{got:?}");
    assert_eq!(pay(b"99 euro").send(envoy.address).await.status, 401);
    assert_eq!(pay(b"").send(envoy.address).await.status, 401);
    assert_eq!(world.upstream.requests(), 1);
}

#[tokio::test]
async fn a_body_too_large_to_hand_over_is_refused() {
    let Some((world, envoy)) = with_bodies().await else { return };
    let mut sent = world.proven_with("POST", "/v1/body", |proof| proof.body = Some(b"10 euro"));
    sent.body = vec![b'a'; 70_000];
    assert_eq!(sent.send(envoy.address).await.status, 413);
    assert_eq!(world.upstream.requests(), 0);
}
