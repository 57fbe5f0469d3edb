//! What only nginx has.

use crate::gateway::Gateway;
use crate::http::Sent;
use crate::process::Running;
use crate::world::World;

#[tokio::test]
async fn the_question_to_the_edge_is_not_for_clients() {
    if !Gateway::Nginx.is_installed() {
        return;
    }
    let world = World::new("nginx").await;
    let nginx = Running::start(Gateway::Nginx, &world).await;
    let got = Sent::new("GET", "/countersign-check")
        .with("X-Original-URI", "/v1/observed")
        .with("X-Original-Method", "GET")
        .send(nginx.address)
        .await;
    assert_eq!(got.status, 404);
    assert_eq!(world.upstream.requests(), 0);
}
