//! Routes that only watch.

use axum::body::Body;
use countersign_edge::{Mode, Route};
use http::{HeaderName, HeaderValue, Request, StatusCode};

use crate::api::{api, send, send_plain};
use crate::scene::{Scene, Sent};

fn watching(mode: Mode) -> Route {
    Route { mode, ..Route::new("/") }
}

#[tokio::test]
async fn an_observed_request_passes_without_identity_and_with_its_verdict() {
    let (scene, api) = (Scene::new(), api(watching(Mode::Observe)).await);
    let got = send_plain(&api, &Sent { result: None, proof: None, ..scene.sent() }).await;
    let echo = got.echo();
    assert_eq!((echo["subject"].as_str(), echo["instance"].as_str()), (None, None));
    assert_eq!(echo["reason"], "no_attestation");
    assert!(
        echo["headers"].to_string().contains(r#"["attestation-verdict","refused; reason=no_attestation"]"#)
    );
    assert!(got.headers.get("www-authenticate").is_none(), "the client is not told");
}

#[tokio::test]
async fn a_client_cannot_write_its_own_verdict() {
    let api = api(watching(Mode::Observe)).await;
    let mut request = Request::get("/v1/accounts/1").body(Body::empty()).unwrap();
    for name in ["attestation-verdict", "attestation_verdict", "x-attested-tier"] {
        request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static("spoofed"));
    }
    let echo = send(&api, request).await.echo();
    assert!(!echo["headers"].to_string().contains("spoofed"), "{echo}");
}

#[tokio::test]
async fn a_warned_client_is_told_what_it_would_be_refused_for() {
    let (scene, api) = (Scene::new(), api(watching(Mode::Warn)).await);
    let got = send_plain(&api, &Sent { result: None, proof: None, ..scene.sent() }).await;
    assert_eq!(got.status, StatusCode::OK);
    assert!(got.header("www-authenticate").contains("invalid_client_attestation"), "{got:?}");
}

#[tokio::test]
async fn a_genuine_request_has_its_identity_on_a_watching_route_too() {
    let (scene, api) = (Scene::new(), api(watching(Mode::Observe)).await);
    let echo = send_plain(&api, &scene.sent()).await.echo();
    assert_eq!((echo["subject"].as_str(), echo["reason"].as_str()), (Some("user"), None));
}

#[tokio::test]
async fn a_handler_that_insists_refuses_where_the_route_only_watches() {
    let api = api(watching(Mode::Observe)).await;
    let got = send(&api, Request::get("/strict").body(Body::empty()).unwrap()).await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    assert!(got.header("www-authenticate").starts_with("DPoP algs="), "{got:?}");
}
