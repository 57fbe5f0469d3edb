//! The status list from a publisher that keeps to the rules, and from one that does not.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use countersign_virtual_device::google_authority::status_list_json;

use super::status_list::{KeptList, RefreshError, Refreshed, StatusListFeed};
use crate::virtual_world::{START, World, trust};

/// What the publisher answers next, and what it was asked.
#[derive(Clone, Default)]
struct Publisher {
    answer: Arc<Mutex<Answer>>,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
}

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Default for Answer {
    fn default() -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), body: Vec::new() }
    }
}

impl Publisher {
    fn says(&self, status: u16, headers: &[(&'static str, &str)], body: impl Into<Vec<u8>>) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        *self.answer.lock().unwrap() = Answer { status, headers, body: body.into() };
    }

    fn last_asked(&self, name: &str) -> Option<String> {
        let asked = self.asked.lock().unwrap();
        asked.last().unwrap().get(name).map(|value| value.to_str().unwrap().to_owned())
    }
}

async fn answer(State(publisher): State<Publisher>, headers: HeaderMap) -> Response {
    publisher.asked.lock().unwrap().push(headers);
    let Answer { status, headers, body } = publisher.answer.lock().unwrap().clone();
    let mut response = (status, body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// A list with so many revoked serials.
fn list(entries: u32) -> String {
    let serials: Vec<String> = (1..=entries).map(|serial| format!("{serial:x}")).collect();
    let entries: Vec<(&str, &str)> = serials.iter().map(|serial| (serial.as_str(), "REVOKED")).collect();
    status_list_json(&entries)
}

async fn world_and_publisher() -> (World, Publisher, StatusListFeed) {
    let publisher = Publisher::default();
    publisher.says(200, &[("cache-control", "max-age=3600"), ("etag", "\"one\"")], list(10));
    let router = Router::new()
        .route("/status", axum::routing::get(answer))
        .route(
            "/elsewhere",
            axum::routing::get(|| async { Redirect::temporary("http://localhost:9/status") }),
        )
        .with_state(publisher.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    // The service's own task would fetch too: it is told of a list that is fresh for a day by the kept file.
    let settings = format!("[trust]\nrevocation_url = 'http://{address}/status'\n");
    let kept = serde_json::json!({
        "url": format!("http://{address}/status"), "as_of": START.as_unix_seconds(), "etag": null,
        "refresh_at": START.as_unix_seconds() + 86_400, "list": list(4),
    });
    let world = World::with(&settings, |directory| {
        std::fs::create_dir(directory.join("countersign-data")).unwrap();
        std::fs::write(directory.join("countersign-data/status-list.json"), kept.to_string()).unwrap();
    })
    .await;
    let feed = StatusListFeed::new(&world.service().settings).unwrap();
    (world, publisher, feed)
}

fn in_force(world: &World) -> (usize, u64) {
    let trust = world.service().trust.load();
    let list = trust.revocation.as_ref().unwrap();
    (list.len(), list.as_of().seconds_since(START))
}

fn kept(world: &World) -> KeptList {
    KeptList::read(&world.service().settings).unwrap()
}

fn refresh_at(world: &World) -> u64 {
    serde_json::to_value(kept(world)).unwrap()["refresh_at"].as_u64().unwrap() - world.now().as_unix_seconds()
}

#[tokio::test]
async fn a_fetched_list_is_in_force_and_kept() {
    let (world, publisher, feed) = world_and_publisher().await;
    world.wait(100);
    assert_eq!(world.service().refresh_status_list(&feed).await, Ok(Refreshed::Replaced(10)));
    assert_eq!(in_force(&world), (10, 100));
    assert_eq!(refresh_at(&world), 3600);
    assert_eq!(kept(&world).parse(world.now()).unwrap().len(), 10);
    assert_eq!(publisher.last_asked("if-none-match"), None, "the kept list had no tag");
    let metrics = world.service().metrics.to_prometheus();
    assert!(metrics.contains("countersign_status_list_refreshes_total{outcome=\"ok\"} 1\n"), "{metrics}");
    let as_of = format!("countersign_status_list_as_of_seconds {}\n", world.now().as_unix_seconds());
    assert!(metrics.contains(&as_of), "{metrics}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_kept_list_is_the_services_own_file() {
    use std::os::unix::fs::PermissionsExt;

    let (world, _, feed) = world_and_publisher().await;
    world.service().refresh_status_list(&feed).await.unwrap();
    let file = world.directory().join("countersign-data/status-list.json");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn an_unchanged_list_becomes_younger() {
    let (world, publisher, feed) = world_and_publisher().await;
    world.service().refresh_status_list(&feed).await.unwrap();
    let generation = world.service().trust.load().generation();
    publisher.says(304, &[("cache-control", "max-age=600")], "");
    world.wait(5000);
    assert_eq!(world.service().refresh_status_list(&feed).await, Ok(Refreshed::Confirmed));
    assert_eq!(publisher.last_asked("if-none-match").as_deref(), Some("\"one\""));
    assert_eq!(in_force(&world), (10, 5000));
    assert_eq!(refresh_at(&world), 600);
    assert_eq!(world.service().trust.load().generation(), generation, "nobody is appraised again for that");
}

#[tokio::test]
async fn what_a_cache_had_for_a_while_is_as_old_as_it_says() {
    let (world, publisher, feed) = world_and_publisher().await;
    world.wait(9000);
    publisher.says(200, &[("cache-control", "max-age=3600"), ("age", "2600")], list(10));
    world.service().refresh_status_list(&feed).await.unwrap();
    assert_eq!((in_force(&world), refresh_at(&world)), ((10, 6400), 1000));
}

#[tokio::test]
async fn the_next_fetch_is_neither_at_once_nor_never() {
    let (world, publisher, feed) = world_and_publisher().await;
    for (said, then) in
        [("max-age=0", 300), ("no-store", 300), ("max-age=31536000", 86_400), ("public", 4 * 3600)]
    {
        publisher.says(200, &[("cache-control", said)], list(10));
        world.service().refresh_status_list(&feed).await.unwrap();
        assert_eq!(refresh_at(&world), then, "{said}");
    }
}

#[tokio::test]
async fn nothing_that_is_not_a_believable_list_replaces_one() {
    let (world, publisher, feed) = world_and_publisher().await;
    world.service().refresh_status_list(&feed).await.unwrap();
    let before = (in_force(&world), kept(&world));
    world.wait(1000);
    let huge = format!("{}{}", list(10), " ".repeat(9 * 1024 * 1024));
    let cases: Vec<(u16, Vec<u8>, &str)> = vec![
        (500, list(20).into(), "status_list_status"),
        (404, list(20).into(), "status_list_status"),
        (206, list(20).into(), "status_list_status"),
        (200, b"<html>captive portal</html>".to_vec(), "revocation_list_malformed"),
        (200, list(20).into_bytes()[..50].to_vec(), "revocation_list_malformed"),
        (200, huge.into(), "status_list_too_large"),
        (200, list(0).into(), "status_list_empty"),
        (200, list(4).into(), "status_list_shrunken"),
    ];
    for (status, body, reason) in cases {
        publisher.says(status, &[], body);
        let refused = world.service().refresh_status_list(&feed).await;
        assert_eq!(refused.map_err(RefreshError::reason), Err(reason));
        assert_eq!((in_force(&world), kept(&world)), before, "{reason}");
    }
    publisher.says(200, &[], list(5));
    assert_eq!(
        world.service().refresh_status_list(&feed).await,
        Ok(Refreshed::Replaced(5)),
        "half is believed"
    );
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_confirms_nothing() {
    let (world, publisher, feed) = world_and_publisher().await;
    publisher.says(304, &[], "");
    world.wait(1000);
    assert_eq!(world.service().refresh_status_list(&feed).await, Err(RefreshError::Status(304)));
    assert_eq!(in_force(&world).1, 0);
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed() {
    let (world, _, _) = world_and_publisher().await;
    let mut settings = world.service().settings.clone();
    let elsewhere = settings.trust.revocation_url.unwrap().as_str().replace("/status", "/elsewhere");
    settings.trust.revocation_url = Some(elsewhere.try_into().unwrap());
    let feed = StatusListFeed::new(&settings).unwrap();
    assert_eq!(world.service().refresh_status_list(&feed).await, Err(RefreshError::Status(307)));
}

#[tokio::test]
async fn an_older_list_from_elsewhere_does_not_replace_a_newer_one() {
    let (world, _, feed) = world_and_publisher().await;
    world.wait(100);
    world.service().refresh_status_list(&feed).await.unwrap();
    world.service().adopt_status_list(trust().revocation.unwrap()).await;
    assert_eq!(in_force(&world), (10, 100));
}

#[tokio::test]
async fn the_kept_list_is_read_at_the_next_start_and_not_from_another_url() {
    let (world, _, feed) = world_and_publisher().await;
    world.service().refresh_status_list(&feed).await.unwrap();
    std::fs::write(world.directory().join("policy.toml"), "id = 'test/2'").unwrap();
    let settings = &world.service().settings;
    let loaded = super::Trust::load(settings, world.now()).unwrap();
    assert_eq!(loaded.revocation.map(|list| list.len()), Some(10));
    let mut other = settings.clone();
    other.trust.revocation_url = Some("https://other.example/status".to_owned().try_into().unwrap());
    assert!(super::Trust::load(&other, world.now()).unwrap().revocation.is_none());
    other.trust.revocation_url = None;
    assert!(super::Trust::load(&other, world.now()).unwrap().revocation.is_none());
}

#[tokio::test]
async fn a_kept_list_that_is_dated_in_the_future_is_not_taken() {
    let (world, _, feed) = world_and_publisher().await;
    world.wait(86_400);
    world.service().refresh_status_list(&feed).await.unwrap();
    assert!(kept(&world).parse(START).is_none());
}

#[tokio::test]
async fn after_a_clock_that_ran_ahead_the_list_is_fetched_anew_and_at_once() {
    let (world, publisher, feed) = world_and_publisher().await;
    let now = world.now();
    world.wait(86_400);
    world.service().refresh_status_list(&feed).await.unwrap();
    assert_eq!(super::status_list::until_due(world.service()), 3600);
    world.set_clock(now);
    assert_eq!(super::status_list::until_due(world.service()), 0);
    world.service().refresh_status_list(&feed).await.unwrap();
    assert_eq!(publisher.last_asked("if-none-match"), None, "what is not used is not asked to be confirmed");
    assert_eq!(kept(&world).parse(now).unwrap().len(), 10);
}

#[tokio::test]
async fn a_list_in_a_file_is_as_old_as_the_file() {
    let world = World::with("[trust]\nrevocation = 'status.json'\n", |directory| {
        std::fs::write(directory.join("status.json"), list(3)).unwrap();
        std::fs::write(directory.join("policy.toml"), "id = 'test/2'").unwrap();
    })
    .await;
    let date = |seconds: u64| {
        let file = std::fs::File::options().write(true).open(world.directory().join("status.json")).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
    };
    let load = || super::Trust::load(&world.service().settings, world.now());
    date(START.as_unix_seconds() - 3600);
    assert_eq!(load().unwrap().revocation_age(world.now()), Some((3600, false)));
    date(START.as_unix_seconds() + 86_400);
    let refused = load().unwrap_err().to_string();
    assert!(refused.contains("is dated in the future"), "{refused}");
}
