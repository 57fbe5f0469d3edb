//! Routes whose proofs must cover the body.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use countersign_core::request::sha256;
use countersign_edge::{Mode, Route};
use http::StatusCode;
use http_body::Frame;

use crate::api::{below, builder, request, send};
use crate::scene::{Scene, Sent};

const LIMIT: usize = 1000;

async fn api(route: Route) -> Router {
    below(&builder().route(route).max_content(LIMIT).start().await.unwrap())
}

fn covering() -> Route {
    Route { content_required: true, ..Route::new("/") }
}

/// A request whose proof covers `body`.
fn sent(scene: &Scene, body: &[u8]) -> Sent {
    let hash = sha256(body);
    let change = |proof: &mut countersign_core::token::proof::ProofClaims<'_>| {
        (proof.method, proof.content) = ("POST", Some(hash));
    };
    Sent { method: "POST", ..scene.sent_by(&scene.device([4; 32]), |_| {}, change) }
}

/// A body that comes in frames without saying how long it is, and counts how many were asked for.
struct Streamed {
    frames: Vec<&'static [u8]>,
    asked: Arc<AtomicUsize>,
}

impl Streamed {
    fn body(frames: &[&'static [u8]]) -> (Body, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let frames = frames.iter().rev().copied().collect();
        (Body::new(Self { frames, asked: Arc::clone(&asked) }), asked)
    }
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(self.frames.pop().map(|frame| Ok(Frame::data(Bytes::from_static(frame)))))
    }
}

#[tokio::test]
async fn a_covered_body_reaches_the_handler_whole() {
    let (scene, api) = (Scene::new(), api(covering()).await);
    let (body, _) = Streamed::body(&[b"pay ", b"10 ", b"euro"]);
    let echo = send(&api, request(&sent(&scene, b"pay 10 euro"), body)).await.echo();
    assert_eq!(echo["body"], "pay 10 euro");
    assert_eq!(echo["content"].as_array().map(Vec::len), Some(32));
}

#[tokio::test]
async fn an_altered_body_is_refused() {
    let (scene, api) = (Scene::new(), api(covering()).await);
    for body in ["pay 99 euro", "pay 10 euro ", ""] {
        let got = send(&api, request(&sent(&scene, b"pay 10 euro"), body)).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{body}");
        assert!(got.header("www-authenticate").contains("invalid_client_attestation"), "{body}");
    }
}

#[tokio::test]
async fn a_request_that_is_refused_anyway_has_no_body_read() {
    let (scene, api) = (Scene::new(), api(covering()).await);
    let honest = sent(&scene, b"body");
    for sent in [
        Sent { result: None, proof: None, ..honest.clone() },
        Sent { authorization: None, ..honest.clone() },
        Sent { path_and_query: "/v1/accounts/2".into(), ..honest.clone() },
        Sent {
            method: "POST",
            ..scene.sent_by(&scene.device([4; 32]), |_| {}, |proof| proof.method = "POST")
        },
    ] {
        let (body, asked) = Streamed::body(&[b"body"]);
        assert_eq!(send(&api, request(&sent, body)).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn a_body_up_to_the_limit_is_read_and_no_longer_one() {
    let (scene, api) = (Scene::new(), api(covering()).await);
    let (fits, exceeds) = (vec![b'a'; LIMIT], vec![b'a'; LIMIT + 1]);
    assert_eq!(send(&api, request(&sent(&scene, &fits), fits.clone())).await.echo()["length"], LIMIT);
    let announced = send(&api, request(&sent(&scene, &exceeds), exceeds.clone())).await;
    assert_eq!(announced.status, StatusCode::PAYLOAD_TOO_LARGE);
    let (body, asked) = Streamed::body(&[&[b'a'; LIMIT], b"a", b"never read"]);
    let streamed = send(&api, request(&sent(&scene, &exceeds), body)).await;
    assert_eq!(streamed.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_body_too_long_to_check_still_reaches_a_watching_route_whole() {
    let (scene, api) = (Scene::new(), api(Route { mode: Mode::Observe, ..covering() }).await);
    let (body, _) = Streamed::body(&[&[b'a'; LIMIT], b"b", b"c"]);
    let echo = send(&api, request(&sent(&scene, b"whatever"), body)).await.echo();
    assert_eq!(
        (echo["reason"].as_str(), echo["length"].as_u64()),
        (Some("content_too_large"), Some(LIMIT as u64 + 2))
    );
    assert!(echo["body"].as_str().unwrap().ends_with("abc"));
}

#[tokio::test]
async fn an_empty_body_needs_no_cover() {
    let (scene, api) = (Scene::new(), api(covering()).await);
    assert_eq!(send(&api, request(&scene.sent(), Body::empty())).await.status, StatusCode::OK);
    let removed = send(&api, request(&sent(&scene, b"pay 10 euro"), Body::empty())).await;
    assert_eq!(removed.status, StatusCode::UNAUTHORIZED, "a covered body that was taken out");
}

#[tokio::test]
async fn where_nobody_asks_the_body_is_left_alone_and_the_handler_gets_its_hash() {
    let (scene, api) = (Scene::new(), api(Route::new("/")).await);
    let long = vec![b'a'; 10 * LIMIT];
    let echo = send(&api, request(&sent(&scene, b"another body"), long)).await.echo();
    assert_eq!(echo["length"], 10 * LIMIT);
    let hash: Vec<u8> = serde_json::from_value(echo["content"].clone()).unwrap();
    assert_eq!(hash, sha256(b"another body"));
}
