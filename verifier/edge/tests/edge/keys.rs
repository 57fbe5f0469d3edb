//! Sources of keys: rotating, failing, lying.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use countersign_core::time::Timestamp;
use countersign_edge::{CountersignLayer, JwksSource, Limits};
use countersign_verifier::check::trust::KeyOwner;
use http::StatusCode;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::api::{below, send_plain, server_keys};
use crate::scene::{
    AUTHORIZATION_SERVER, AUTHORIZATION_SERVER_SEED, NOW, RESOURCE, SERVICE, SERVICE_SEED, Scene, Sent,
    key_set,
};

const NEXT_SEED: [u8; 32] = [77; 32];

/// An issuer's web server on loopback.
#[derive(Clone)]
struct Issuer {
    answer: Arc<Mutex<Answer>>,
    /// Requests that it answers while this has permits.
    gate: Arc<Semaphore>,
    fetches: Arc<AtomicUsize>,
    elsewhere: Arc<AtomicUsize>,
    fetched: mpsc::UnboundedSender<()>,
    url: String,
}

#[derive(Clone)]
enum Answer {
    Keys(String),
    Status(u16),
    Redirect,
    Never,
}

impl Issuer {
    async fn new(keys: String) -> (Self, mpsc::UnboundedReceiver<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (fetched, fetches) = mpsc::unbounded_channel();
        let issuer = Self {
            answer: Arc::new(Mutex::new(Answer::Keys(keys))),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            fetches: Arc::default(),
            elsewhere: Arc::default(),
            fetched,
            url,
        };
        let (jwks, elsewhere) = (issuer.clone(), issuer.clone());
        let router = Router::new()
            .route("/jwks", get(async move || jwks.answer().await))
            .route("/elsewhere", get(async move || elsewhere.elsewhere()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (issuer, fetches)
    }

    async fn answer(&self) -> Response {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let _ = self.fetched.send(());
        let _permit = self.gate.acquire().await.unwrap();
        let answer = self.answer.lock().unwrap().clone();
        match answer {
            Answer::Keys(keys) => keys.into_response(),
            Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
            Answer::Redirect => Redirect::temporary("/elsewhere").into_response(),
            Answer::Never => std::future::pending().await,
        }
    }

    fn elsewhere(&self) -> String {
        self.elsewhere.fetch_add(1, Ordering::Relaxed);
        key_set("service-1", SERVICE_SEED)
    }

    fn says(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }

    fn source(&self) -> JwksSource {
        JwksSource::url(format!("{}/jwks", self.url))
    }
}

fn first_keys() -> String {
    key_set("service-1", SERVICE_SEED)
}

/// A clock that tests set.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    /// Far enough before the scene's time that a fetch made then delays none.
    pub(crate) fn before() -> Self {
        Self::at(NOW.minus(60))
    }

    pub(crate) fn at(now: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(now.as_unix_seconds())))
    }

    pub(crate) fn set(&self, now: Timestamp) {
        self.0.store(now.as_unix_seconds(), Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.0.load(Ordering::Relaxed))
    }
}

async fn layer(service: JwksSource, clock: &Clock) -> CountersignLayer {
    let clock = clock.clone();
    CountersignLayer::builder(RESOURCE)
        .attestation_service(SERVICE, service)
        .authorization_server(AUTHORIZATION_SERVER, server_keys())
        .client("app", AUTHORIZATION_SERVER, "client")
        .clock(move || clock.now())
        .fetch_timeout(Duration::from_millis(200))
        .start()
        .await
        .unwrap()
}

/// A request whose result is signed with another key of the service.
fn sent_with_key(scene: &Scene, key_id: &str, seed: [u8; 32]) -> Sent {
    let device = scene.device([4; 32]);
    let result = scene.result_signed(&device, key_id, seed, |_| {});
    let proof = scene.proof(&device, &result, |_| {});
    Sent { result: Some(result), proof: Some(proof), ..scene.sent() }
}

fn service() -> KeyOwner {
    KeyOwner::AttestationService(SERVICE.to_owned())
}

#[tokio::test]
async fn a_rotation_refuses_nobody_and_costs_one_fetch() {
    let (issuer, _) = Issuer::new(first_keys()).await;
    let (scene, clock) = (Arc::new(Scene::new()), Clock::before());
    let layer = layer(issuer.source(), &clock).await;
    clock.set(NOW);
    assert_eq!(issuer.fetches(), 1);
    issuer.says(Answer::Keys(key_set("service-2", NEXT_SEED)));
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let (api, sent) = (below(&layer), sent_with_key(&scene, "service-2", NEXT_SEED));
        requests.spawn(async move { send_plain(&api, &sent).await.status });
    }
    while let Some(status) = requests.join_next().await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn a_withdrawn_key_is_believed_no_longer() {
    let (issuer, _) = Issuer::new(first_keys()).await;
    let (scene, clock) = (Scene::new(), Clock::before());
    let layer = layer(issuer.source(), &clock).await;
    clock.set(NOW);
    assert_eq!(send_plain(&below(&layer), &scene.sent()).await.status, StatusCode::OK);
    issuer.says(Answer::Keys(key_set("service-2", NEXT_SEED)));
    assert_eq!(layer.runtime().refresh().await, []);
    assert_eq!(send_plain(&below(&layer), &scene.sent()).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_flood_of_made_up_key_ids_causes_one_fetch_in_thirty_seconds() {
    let (issuer, _) = Issuer::new(first_keys()).await;
    let (scene, clock) = (Scene::new(), Clock::before());
    let layer = layer(issuer.source(), &clock).await;
    let api = below(&layer);
    for (now, fetches) in [(NOW, 2), (NOW.plus(29), 2), (NOW.plus(30), 3)] {
        clock.set(now);
        for number in 0..40 {
            let sent = sent_with_key(&scene, &format!("made-up-{number}"), [66; 32]);
            assert_eq!(send_plain(&api, &sent).await.status, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(issuer.fetches(), fetches, "at {now}");
    }
}

#[tokio::test]
async fn whatever_an_issuer_answers_the_last_good_keys_stay() {
    let (issuer, _) = Issuer::new(first_keys()).await;
    let (scene, clock) = (Scene::new(), Clock::before());
    let layer = layer(issuer.source(), &clock).await;
    clock.set(NOW);
    let with_private_part = first_keys().replace(r#""use""#, r#""d":"AQ","use""#);
    for (what, answer) in [
        ("down", Answer::Status(500)),
        ("gone", Answer::Status(404)),
        ("nothing to say", Answer::Status(204)),
        ("unchanged, though nobody asked", Answer::Status(304)),
        ("redirecting", Answer::Redirect),
        ("slow", Answer::Never),
        ("huge", Answer::Keys(format!("{}{}", first_keys(), " ".repeat(300_000)))),
        ("no keys", Answer::Keys(r#"{"keys":[]}"#.into())),
        ("not JSON", Answer::Keys("<html>".into())),
        ("a secret", Answer::Keys(with_private_part)),
    ] {
        issuer.says(answer);
        assert_eq!(layer.runtime().refresh().await, [service()], "{what}");
        assert_eq!(send_plain(&below(&layer), &scene.sent()).await.status, StatusCode::OK, "{what}");
    }
    assert_eq!(issuer.elsewhere.load(Ordering::Relaxed), 0, "redirects are not followed");
}

#[tokio::test]
async fn without_any_keys_requests_are_our_trouble_until_they_come() {
    let (issuer, _) = Issuer::new(first_keys()).await;
    issuer.says(Answer::Status(500));
    let (scene, clock) = (Scene::new(), Clock::before());
    let layer = layer(issuer.source(), &clock).await;
    assert!(!layer.runtime().is_ready());
    clock.set(NOW);
    let got = send_plain(&below(&layer), &scene.sent()).await;
    assert_eq!((got.status, got.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    issuer.says(Answer::Keys(first_keys()));
    clock.set(NOW.plus(30));
    assert_eq!(send_plain(&below(&layer), &scene.sent()).await.status, StatusCode::OK);
    assert!(layer.runtime().is_ready());
}

#[tokio::test]
async fn nobody_listens_where_the_keys_should_be() {
    let (scene, clock) = (Scene::new(), Clock::before());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    drop(listener);
    let layer = layer(JwksSource::url(url), &clock).await;
    clock.set(NOW);
    assert_eq!(send_plain(&below(&layer), &scene.sent()).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_make_the_fetch_begin_again() {
    let (issuer, mut fetches) = Issuer::new(first_keys()).await;
    let (scene, clock) = (Scene::new(), Clock::before());
    let layer = builder_with_long_timeout(&issuer, &clock).await;
    clock.set(NOW);
    while fetches.try_recv().is_ok() {}
    issuer.says(Answer::Keys(key_set("service-2", NEXT_SEED)));
    let gate = issuer.gate.forget_permits(Semaphore::MAX_PERMITS);
    for _ in 0..3 {
        let (api, sent) = (below(&layer), sent_with_key(&scene, "service-2", NEXT_SEED));
        let request = tokio::spawn(async move { send_plain(&api, &sent).await.status });
        if issuer.fetches() < 2 {
            fetches.recv().await.unwrap();
        } else {
            tokio::task::yield_now().await;
        }
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
    }
    issuer.gate.add_permits(gate);
    let sent = sent_with_key(&scene, "service-2", NEXT_SEED);
    assert_eq!(send_plain(&below(&layer), &sent).await.status, StatusCode::OK);
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn the_number_of_requests_that_wait_for_keys_is_bounded() {
    let (issuer, _) = Issuer::new(first_keys()).await;
    let (scene, clock) = (Scene::new(), Clock::before());
    let layer = builder_with_long_timeout(&issuer, &clock).await;
    clock.set(NOW);
    issuer.says(Answer::Keys(key_set("service-2", NEXT_SEED)));
    let gate = issuer.gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut requests = JoinSet::new();
    for _ in 0..1024 + 10 {
        let (api, sent) = (below(&layer), sent_with_key(&scene, "service-2", NEXT_SEED));
        requests.spawn(async move { send_plain(&api, &sent).await.status });
    }
    for _ in 0..10 {
        assert_eq!(requests.join_next().await.unwrap().unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    }
    issuer.gate.add_permits(gate);
    while let Some(status) = requests.join_next().await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn keys_are_fetched_again_and_again_until_the_layer_is_gone() {
    let (issuer, mut fetches) = Issuer::new(first_keys()).await;
    let layer = CountersignLayer::builder(RESOURCE)
        .attestation_service(SERVICE, issuer.source())
        .authorization_server(AUTHORIZATION_SERVER, server_keys())
        .client("app", AUTHORIZATION_SERVER, "client")
        .refresh_interval(Duration::from_millis(1))
        .start()
        .await
        .unwrap();
    for _ in 0..5 {
        fetches.recv().await.unwrap();
    }
    let runtime = Arc::downgrade(layer.runtime());
    drop(layer);
    // A fetch under way may still hold it for a moment.
    while runtime.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_key_set_in_a_file_is_read_again_and_its_loss_forgets_nothing() {
    let path = std::env::temp_dir().join(format!("countersign-edge-jwks-{}.json", std::process::id()));
    std::fs::write(&path, key_set("other", NEXT_SEED)).unwrap();
    let (scene, clock) = (Scene::new(), Clock::before());
    let layer = layer(JwksSource::file(&path), &clock).await;
    clock.set(NOW);
    std::fs::write(&path, first_keys()).unwrap();
    assert_eq!(send_plain(&below(&layer), &scene.sent()).await.status, StatusCode::OK);
    std::fs::write(&path, " ".repeat(300_000)).unwrap();
    assert_eq!(layer.runtime().refresh().await, [service()]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(layer.runtime().refresh().await, [service()]);
    assert_eq!(send_plain(&below(&layer), &scene.sent()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn keys_of_an_issuer_in_this_process_follow_its_rotation() {
    let keys = Arc::new(Mutex::new(first_keys()));
    let (scene, clock, published) = (Scene::new(), Clock::before(), Arc::clone(&keys));
    let source = JwksSource::from_fn(move || published.lock().unwrap().clone().into_bytes());
    let layer = layer(source, &clock).await;
    clock.set(NOW);
    *keys.lock().unwrap() = key_set("service-2", NEXT_SEED);
    let sent = sent_with_key(&scene, "service-2", NEXT_SEED);
    assert_eq!(send_plain(&below(&layer), &sent).await.status, StatusCode::OK);
}

#[tokio::test]
async fn both_issuers_are_looked_up_for_one_request() {
    let (service, _) = Issuer::new(first_keys()).await;
    let (server, _) = Issuer::new(key_set("server-1", AUTHORIZATION_SERVER_SEED)).await;
    service.says(Answer::Status(500));
    server.says(Answer::Status(500));
    let (scene, clock) = (Scene::new(), Clock::before());
    let times = clock.clone();
    let layer = CountersignLayer::builder(RESOURCE)
        .attestation_service(SERVICE, service.source())
        .authorization_server(AUTHORIZATION_SERVER, server.source())
        .client("app", AUTHORIZATION_SERVER, "client")
        .clock(move || times.now())
        .start()
        .await
        .unwrap();
    service.says(Answer::Keys(first_keys()));
    server.says(Answer::Keys(key_set("server-1", AUTHORIZATION_SERVER_SEED)));
    clock.set(NOW);
    assert_eq!(send_plain(&below(&layer), &scene.sent()).await.status, StatusCode::OK);
    assert_eq!((service.fetches(), server.fetches()), (2, 2));
}

/// For tests in which the issuer takes its time.
async fn builder_with_long_timeout(issuer: &Issuer, clock: &Clock) -> CountersignLayer {
    let clock = clock.clone();
    CountersignLayer::builder(RESOURCE)
        .attestation_service(SERVICE, issuer.source())
        .authorization_server(AUTHORIZATION_SERVER, server_keys())
        .client("app", AUTHORIZATION_SERVER, "client")
        .clock(move || clock.now())
        .fetch_timeout(Duration::from_secs(60))
        .limits(Limits { instance_requests: u32::MAX, ..Limits::default() })
        .start()
        .await
        .unwrap()
}
