//! Bans that are faster than `exp`.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use countersign_core::token::result::InstanceId;
use countersign_edge::{CountersignLayer, DenyListSource};
use http::{HeaderMap, StatusCode};

use crate::api::{below, builder, send_plain};
use crate::scene::{SERVICE, SERVICE_SEED, Scene};

/// What the service publishes, with its tag.
type Published = Arc<Mutex<(Vec<u8>, &'static str)>>;

async fn publisher() -> (Published, DenyListSource) {
    let published: Published = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/deny-list", listener.local_addr().unwrap());
    let list = Arc::clone(&published);
    let answer = async move |headers: HeaderMap| {
        let (bytes, tag) = list.lock().unwrap().clone();
        if headers.get("if-none-match").is_some_and(|asked| asked == tag) {
            return (StatusCode::NOT_MODIFIED, [("etag", tag)], Vec::new());
        }
        (StatusCode::OK, [("etag", tag)], bytes)
    };
    tokio::spawn(
        async move { axum::serve(listener, Router::new().route("/v1/deny-list", get(answer))).await },
    );
    (published, DenyListSource { url, ..DenyListSource::of(SERVICE) })
}

fn list(scene: &Scene, sequence: u64, banned: bool, seed: [u8; 32]) -> Vec<u8> {
    let list = scene.deny_list(sequence, |list| {
        if banned {
            list.instances.insert(InstanceId::from_bytes([5; 16]));
        }
    });
    scene.signed_deny_list(&list, seed)
}

async fn status(scene: &Scene, layer: &CountersignLayer) -> u16 {
    send_plain(&below(layer), &scene.sent()).await.status.as_u16()
}

#[tokio::test]
async fn a_banned_instance_is_refused_from_the_next_pull_on() {
    let (scene, (published, source)) = (Scene::new(), publisher().await);
    *published.lock().unwrap() = (list(&scene, 1, false, SERVICE_SEED), "\"1\"");
    let layer = builder().deny_list(source).start().await.unwrap();
    assert_eq!(status(&scene, &layer).await, 200);
    *published.lock().unwrap() = (list(&scene, 2, true, SERVICE_SEED), "\"2\"");
    layer.runtime().refresh().await;
    assert_eq!(status(&scene, &layer).await, 401);
}

#[tokio::test]
async fn neither_a_forged_nor_an_old_nor_a_missing_list_lifts_a_ban() {
    let (scene, (published, source)) = (Scene::new(), publisher().await);
    *published.lock().unwrap() = (list(&scene, 2, true, SERVICE_SEED), "\"2\"");
    let layer = builder().deny_list(source).start().await.unwrap();
    assert_eq!(status(&scene, &layer).await, 401);
    for (what, bytes) in [
        ("forged", list(&scene, 3, false, [66; 32])),
        ("old", list(&scene, 1, false, SERVICE_SEED)),
        ("garbage", b"garbage".to_vec()),
        ("empty", Vec::new()),
    ] {
        *published.lock().unwrap() = (bytes, "\"x\"");
        layer.runtime().refresh().await;
        assert_eq!(status(&scene, &layer).await, 401, "{what}");
    }
    *published.lock().unwrap() = (list(&scene, 3, false, SERVICE_SEED), "\"3\"");
    layer.runtime().refresh().await;
    assert_eq!(status(&scene, &layer).await, 200, "the service itself may lift it");
    layer.runtime().refresh().await;
    assert_eq!(status(&scene, &layer).await, 200, "an unchanged list stays in force");
}

#[tokio::test]
async fn nothing_passes_without_a_list_that_is_required() {
    let (scene, (published, source)) = (Scene::new(), publisher().await);
    let layer = builder().deny_list_required(source).start().await.unwrap();
    assert_eq!(status(&scene, &layer).await, 503);
    *published.lock().unwrap() = (list(&scene, 1, false, SERVICE_SEED), "\"1\"");
    layer.runtime().refresh().await;
    assert_eq!(status(&scene, &layer).await, 200);
}
