//! OAuth clients of others read our metadata, make their own DPoP proofs, and understand our refusals. The instance key
//! is handed to them, which no genuine phone would do.

use countersign_core::attester::ClientProof;
use serde_json::json;

use crate::app::{App, Flavour, Mode, value};
use crate::programs;
use crate::world::World;

#[tokio::test]
async fn oauth4webapi_understands_our_metadata_and_challenges() {
    if !programs::are_installed() {
        return;
    }
    let world = World::start().await;
    let mut app = App::install(&world, Mode::Dpop, "alice").await;
    let tokens = app.log_in(&world).await;
    let token = tokens.text("access_token");
    let fields = app.prove(&world, "/v1/account", token, Flavour::OAuth);
    let input = json!({
        "resource": world.resource,
        "issuer": world.login.issuer,
        "accessToken": token,
        "clientAttestation": value(&fields, "oauth-client-attestation"),
        "key": app.device.phone().private_instance_key(),
    });
    let told = blocking(move || programs::run("resource-client.mjs", &input)).await;
    assert_eq!(told, json!({ "checked": 12 }));
}

#[tokio::test]
async fn openid_client_needs_our_attestation_in_a_header_and_nothing_else() {
    if !programs::are_installed() {
        return;
    }
    let world = World::start().await;
    let mut app = App::install(&world, Mode::Dpop, "alice").await;
    let tokens = app.log_in(&world).await;
    let to_the_edge = app.prove(&world, "/v1/account", "none", Flavour::OAuth);
    let endpoint = format!("{}/token", world.login.issuer);
    let to_the_server = app.proof(&world, &ClientProof::Dpop { endpoint: &endpoint, nonce: None });
    let input = json!({
        "resource": world.resource,
        "issuer": world.login.issuer,
        "clientId": app.mode.client_id(),
        "refreshToken": tokens.text("refresh_token"),
        "attestations": {
            "server": value(&to_the_server, "oauth-client-attestation"),
            "resource": value(&to_the_edge, "oauth-client-attestation"),
        },
        "key": app.device.phone().private_instance_key(),
    });
    let told = blocking(move || programs::run("openid-client.mjs", &input)).await;
    assert_eq!(told, json!({ "status": 200, "nonceStatus": 200, "refused": 401, "theft": "invalid_client" }));
}

/// The script calls what this test's own threads serve.
async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap()
}
