//! Pages of other origins, and who is told of refusals.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use countersign_edge::{Cors, Route};
use http::{HeaderMap, Request, StatusCode};
use tower::ServiceExt;

use crate::api::{below, builder, send_plain};
use crate::scene::{Scene, Sent};

const PAGE: &str = "https://app.example";

/// The status and fields of the answer to `method` from `origin`.
async fn answer(method: &str, origin: &str) -> (StatusCode, HeaderMap) {
    let layer = builder().route(Route::new("/")).start().await.unwrap();
    let api = below(&layer.with_cors(Cors::new([PAGE]).unwrap()));
    let request = Request::builder().method(method).uri("/v1/accounts/1").header("origin", origin);
    let request = request.header("access-control-request-method", "POST").body(Body::empty()).unwrap();
    let response = api.oneshot(request).await.unwrap();
    (response.status(), response.headers().clone())
}

#[tokio::test]
async fn the_preflight_of_a_page_on_the_list_is_answered_before_the_check() {
    let (status, headers) = answer("OPTIONS", PAGE).await;
    assert_eq!(status, 204);
    assert_eq!(headers["access-control-allow-origin"], PAGE);
    assert!(headers["access-control-allow-headers"].to_str().unwrap().contains("attestation-proof"));
}

#[tokio::test]
async fn the_preflight_of_any_other_page_is_refused_without_cors_fields() {
    for origin in ["https://evil.example", "null", "https://app.example.evil.example"] {
        let (status, headers) = answer("OPTIONS", origin).await;
        assert_eq!(status, 401, "{origin}");
        assert!(!headers.contains_key("access-control-allow-origin"), "{origin}");
        assert_eq!(headers["vary"], "Origin");
    }
}

#[tokio::test]
async fn a_page_on_the_list_reads_the_challenge_of_its_refusal() {
    let (status, headers) = answer("GET", PAGE).await;
    assert_eq!(status, 401);
    assert_eq!(headers["access-control-allow-origin"], PAGE);
    assert!(headers["access-control-expose-headers"].to_str().unwrap().contains("WWW-Authenticate"));
    assert!(headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn refusals_are_told_of_and_what_passes_is_not() {
    let heard = Arc::<Mutex<Vec<&str>>>::default();
    let ear = Arc::clone(&heard);
    let hear = move |decided: &countersign_edge::Decided<'_>| {
        ear.lock().unwrap().extend(decided.outcome.reason().map(countersign_edge::Reason::reason));
    };
    let api = below(&builder().route(Route::new("/")).on_refusal(hear).start().await.unwrap());
    let (scene, sent) = (Scene::new(), Scene::new().sent());
    assert_eq!(send_plain(&api, &sent).await.status, 200);
    assert_eq!(send_plain(&api, &sent).await.status, 401);
    send_plain(&api, &Sent { result: None, proof: None, ..scene.sent() }).await;
    assert_eq!(*heard.lock().unwrap(), ["replayed", "no_attestation"]);
}
