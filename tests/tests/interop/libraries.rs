//! Libraries of others verify what we sign, and refuse what was changed.

use countersign_core::attester::ClientProof;
use serde_json::{Value, json};

use crate::app::{App, Flavour, Mode, value};
use crate::programs;
use crate::world::{ATTESTER, World};

/// Everything that a phone and its service have signed.
async fn signed(mode: Mode) -> (World, Value) {
    let world = World::start().await;
    let mut app = App::install(&world, mode, "alice").await;
    let (issuer, endpoint) = (world.login.issuer.clone(), format!("{}/token", world.login.issuer));
    let pop = app.proof(&world, &ClientProof::Pop { issuer: &issuer, challenge: Some("challenge") });
    let dpop = app.proof(&world, &ClientProof::Dpop { endpoint: &endpoint, nonce: None });
    let compact = app.prove(&world, "/v1/account", "token", Flavour::Compact);
    let oauth = app.prove(&world, "/v1/account", "token", Flavour::OAuth);
    let input = json!({
        "jwks": world.jwks().await,
        "issuer": ATTESTER,
        "clientId": mode.client_id(),
        "resource": world.resource,
        "issued": {
            "server": value(&pop, "oauth-client-attestation"),
            "resource": value(&oauth, "oauth-client-attestation"),
        },
        "pop": { "jwt": value(&pop, "oauth-client-attestation-pop"), "issuer": issuer },
        "dpop": { "jwt": value(&dpop, "dpop"), "target": endpoint },
        "result": value(&compact, "attestation-result"),
        "proof": value(&compact, "attestation-proof"),
    });
    (world, input)
}

/// Both platforms' tokens go through a script, which says how many it verified and how many forgeries it refused.
async fn every_token_is_verified_by(script: &str, expected: Value) {
    if !programs::are_installed() {
        return;
    }
    for mode in Mode::ALL {
        let (_world, input) = signed(mode).await;
        assert_eq!(programs::run(script, &input), expected, "{mode:?}");
    }
}

#[tokio::test]
async fn jose_verifies_our_jwts_and_no_forgery() {
    every_token_is_verified_by("verify-jwts.mjs", json!({ "verified": 4, "refused": 28 })).await;
}

#[tokio::test]
async fn pyjwt_verifies_our_jwts_and_no_forgery() {
    every_token_is_verified_by("verify_jwts.py", json!({ "verified": 3, "refused": 18 })).await;
}

#[tokio::test]
async fn python_cwt_verifies_our_results_and_proofs_and_no_forgery() {
    every_token_is_verified_by("verify_cwts.py", json!({ "verified": 2, "refused": 14 })).await;
}
