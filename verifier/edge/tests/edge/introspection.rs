//! Opaque tokens through the layer, with a fake authorization server that is down, slow, lying, huge, redirecting, or does
//! not know us.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use countersign_core::encoding::base64url;
use countersign_core::time::Timestamp;
use countersign_edge::{
    BuildError, ClientAuthentication, ClientSecret, CountersignBuilder, CountersignLayer, CredentialKind,
    Introspection, IntrospectionSource, JwksSource, Limits, Route, SetupError, SourceError, TokenBinding,
};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::api::{Got, below, builder, send_plain};
use crate::fake_server::{FakeServer, Says};
use crate::keys::Clock;
use crate::scene::{AUTHORIZATION_SERVER, NOW, RESOURCE, SERVICE, SERVICE_SEED, Scene, Sent, key_set};

const TOKEN: &str = "2YotnFZFEjr1zCsicMWpAA";
const SECRET: &str = "s3cret:&+";
const PATH: &str = "/introspect";

fn source() -> IntrospectionSource {
    IntrospectionSource::new("the edge", ClientSecret::new(SECRET).unwrap())
}

fn opaque() -> Route {
    Route { credentials: vec![CredentialKind::Opaque], ..Route::new("/") }
}

fn described(source: IntrospectionSource, clock: &Clock) -> CountersignBuilder {
    let clock = clock.clone();
    CountersignLayer::builder(RESOURCE)
        .attestation_service(SERVICE, JwksSource::fixed(key_set("service-1", SERVICE_SEED)))
        .introspection(Introspection::new(AUTHORIZATION_SERVER), source)
        .client("app", AUTHORIZATION_SERVER, "client")
        .clock(move || clock.now())
        .limits(Limits { instance_requests: u32::MAX, ..Limits::default() })
        .route(opaque())
}

/// The scene, an API that asks the fake server, and the time.
struct World {
    scene: Arc<Scene>,
    server: FakeServer,
    clock: Clock,
    api: Router,
}

impl World {
    async fn new() -> Self {
        let (server, _) = FakeServer::start().await;
        let clock = Clock::at(NOW);
        let layer = described(source().at(server.at(PATH)), &clock)
            .fetch_timeout(Duration::from_millis(300))
            .start()
            .await
            .unwrap();
        let world = Self { scene: Arc::new(Scene::new()), server, clock, api: below(&layer) };
        world.server.says(PATH, Says::json(&world.honest()));
        world
    }

    fn honest(&self) -> Value {
        honest(&self.scene)
    }

    /// An honest device's request with this token, made at the clock's time.
    fn sent(&self, token: &str) -> Sent {
        let (device, now) = (self.scene.device([4; 32]), self.clock.now());
        self.scene.sent_by_with(&device, "DPoP", token, |_| {}, |proof| proof.issued_at = now)
    }

    async fn got(&self, token: &str) -> Got {
        send_plain(&self.api, &self.sent(token)).await
    }

    async fn status(&self, token: &str) -> u16 {
        self.got(token).await.status.as_u16()
    }

    fn questions(&self) -> usize {
        self.server.asked(PATH).len()
    }
}

/// What an honest server says about a token of the honest device.
fn honest(scene: &Scene) -> Value {
    json!({
        "active": true, "client_id": "client", "sub": "user", "aud": RESOURCE, "scope": "read", "token_type": "DPoP",
        "exp": NOW.plus(600).as_unix_seconds(), "cnf": {"jkt": scene.device([4; 32]).instance_jkt().to_base64url()},
    })
}

#[tokio::test]
async fn a_token_passes_with_one_question_for_many_requests() {
    let world = World::new().await;
    let echo = world.got(TOKEN).await.echo();
    assert_eq!(echo["subject"], "user");
    for _ in 0..5 {
        assert_eq!(world.status(TOKEN).await, 200);
    }
    assert_eq!(world.questions(), 1);
}

#[tokio::test]
async fn the_edge_tells_who_asks_and_about_what() {
    let world = World::new().await;
    assert_eq!(world.status("a+b/c==").await, 200);
    let asked = &world.server.asked(PATH)[0];
    assert_eq!(asked.body, "token=a%2Bb%2Fc%3D%3D&token_type_hint=access_token");
    // RFC 6749 section 2.3.1: `the+edge:s3cret%3A%26%2B`, in Base64.
    assert_eq!(asked.authorization.as_deref(), Some("Basic dGhlK2VkZ2U6czNjcmV0JTNBJTI2JTJC"));
}

#[tokio::test]
async fn client_secret_post_stands_in_the_body_alone() {
    let (server, _) = FakeServer::start().await;
    let (scene, clock) = (Scene::new(), Clock::at(NOW));
    server.says(PATH, Says::json(&honest(&scene)));
    let source = source().at(server.at(PATH)).with_authentication(ClientAuthentication::SecretPost);
    let layer = described(source, &clock).start().await.unwrap();
    assert_eq!(send_plain(&below(&layer), &scene.sent_with("DPoP", TOKEN)).await.status, StatusCode::OK);
    let asked = &server.asked(PATH)[0];
    assert_eq!(asked.authorization, None);
    assert!(asked.body.ends_with("&client_id=the+edge&client_secret=s3cret%3A%26%2B"), "{}", asked.body);
}

#[tokio::test]
async fn a_revoked_token_is_refused_within_a_minute() {
    let world = World::new().await;
    assert_eq!(world.status(TOKEN).await, 200);
    world.server.says(PATH, Says::json(&json!({"active": false})));
    world.clock.set(NOW.plus(59));
    assert_eq!(world.status(TOKEN).await, 200);
    world.clock.set(NOW.plus(60));
    let got = world.got(TOKEN).await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    assert!(got.header("www-authenticate").starts_with("DPoP error=\"invalid_token\""), "{got:?}");
}

#[tokio::test]
async fn an_inactive_token_is_not_asked_about_again_and_again() {
    let world = World::new().await;
    world.server.says(PATH, Says::json(&json!({"active": false})));
    for _ in 0..20 {
        assert_eq!(world.status("made-up").await, 401);
    }
    assert_eq!(world.questions(), 1);
    world.clock.set(NOW.plus(10));
    assert_eq!(world.status("made-up").await, 401);
    assert_eq!(world.questions(), 2);
}

#[tokio::test]
async fn whoever_proves_nothing_causes_no_question() {
    let world = World::new().await;
    let stranger = world.scene.sent_by_with(&world.scene.device([9; 32]), "DPoP", TOKEN, |_| {}, |_| {});
    let honest = world.sent(TOKEN);
    for sent in [
        Sent { proof: None, result: None, ..honest.clone() },
        Sent { proof: stranger.proof, ..honest.clone() },
        Sent { authorization: Some("DPoP another".into()), ..honest },
    ] {
        assert_eq!(send_plain(&world.api, &sent).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.questions(), 0);
}

#[tokio::test]
async fn a_lying_server_lets_nothing_pass() {
    let end = |seconds: Timestamp| json!(seconds.as_unix_seconds());
    for (what, name, value, status) in [
        ("active as a text", "active", json!("true"), 503),
        ("active as a number", "active", json!(1), 503),
        ("another issuer", "iss", json!("https://evil.example"), 401),
        ("another resource", "aud", json!(["https://other.example"]), 401),
        ("another client", "client_id", json!("other"), 401),
        ("an end that has passed", "exp", end(NOW.minus(1)), 401),
        ("an end as a text", "exp", json!("2099-01-01"), 401),
        ("another key", "cnf", json!({"jkt": base64url(&[0; 32])}), 401),
        ("a confirmation that nobody can check", "cnf", json!({"jku": "http://127.0.0.1/"}), 401),
        ("no confirmation, and a bound token", "cnf", json!(null), 401),
    ] {
        let world = World::new().await;
        let mut answer = world.honest();
        answer[name] = value;
        world.server.says(PATH, Says::json(&answer));
        assert_eq!(world.status(TOKEN).await, status, "{what}");
    }
}

#[tokio::test]
async fn trouble_of_the_server_is_ours_and_no_fault_of_the_token() {
    for (what, says) in [
        ("down", Says::Status(500)),
        ("overloaded", Says::Status(429)),
        ("does not know us", Says::Status(401)),
        ("does not let us", Says::Status(403)),
        ("nothing to say", Says::Status(204)),
        ("redirecting to this machine", Says::Redirect("/elsewhere")),
        ("slow", Says::Never),
        ("not JSON", Says::Text("<html>".into())),
        ("two answers in one", Says::Text(r#"{"active":false,"active":true}"#.into())),
        ("huge", Says::Text(format!(r#"{{"active":true,"a":"{}"}}"#, "a".repeat(100_000)))),
    ] {
        let world = World::new().await;
        world.server.says("/elsewhere", Says::json(&world.honest()));
        world.server.says(PATH, says);
        let got = world.got(TOKEN).await;
        assert_eq!((got.status.as_u16(), got.header("retry-after")), (503, "5"), "{what}");
        assert!(world.server.asked("/elsewhere").is_empty(), "{what}");
        world.server.says(PATH, Says::json(&world.honest()));
        assert_eq!(world.status(TOKEN).await, 200, "{what}, and back");
    }
}

#[tokio::test]
async fn nobody_listens_where_the_server_should_be() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{PATH}", listener.local_addr().unwrap());
    drop(listener);
    let layer = described(source().at(url), &Clock::at(NOW)).start().await.unwrap();
    let sent = Scene::new().sent_with("DPoP", TOKEN);
    assert_eq!(send_plain(&below(&layer), &sent).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_server_that_fails_is_left_alone_for_half_a_minute_while_known_tokens_pass() {
    let world = World::new().await;
    assert_eq!(world.status("known").await, 200);
    world.server.says(PATH, Says::Status(500));
    for number in 0..20 {
        assert_eq!(world.status(&format!("new-{number}")).await, 503);
    }
    assert_eq!(world.questions(), 1 + 5);
    assert_eq!(world.status("known").await, 200);
    world.clock.set(NOW.plus(30));
    assert_eq!(world.status("new-0").await, 503, "one shows that it still fails");
    assert_eq!(world.status("new-1").await, 503);
    assert_eq!(world.questions(), 1 + 5 + 1);
    world.server.says(PATH, Says::json(&world.honest()));
    assert_eq!(world.status("new-1").await, 503, "and nobody asks before the next pause is over");
    world.clock.set(NOW.plus(60));
    for number in 0..3 {
        assert_eq!(world.status(&format!("new-{number}")).await, 200);
    }
}

#[tokio::test]
async fn a_token_that_the_server_chokes_on_stops_no_question_about_others() {
    let world = World::new().await;
    world.server.says(PATH, Says::Status(400));
    for number in 0..10 {
        assert_eq!(world.status(&format!("choke-{number}")).await, 503);
    }
    world.server.says(PATH, Says::json(&world.honest()));
    assert_eq!(world.status(TOKEN).await, 200);
}

#[tokio::test]
async fn many_requests_with_one_token_ask_once_and_many_tokens_a_bounded_number_of_times() {
    let (server, mut arrived) = FakeServer::start().await;
    let (scene, clock) = (Arc::new(Scene::new()), Clock::at(NOW));
    server.says(PATH, Says::json(&honest(&scene)));
    let builder = described(source().at(server.at(PATH)), &clock).fetch_timeout(Duration::from_secs(60));
    let api = below(&builder.start().await.unwrap());
    let permits = server.gate.forget_permits(Semaphore::MAX_PERMITS);
    let mut requests = JoinSet::new();
    let mut request = |token: String| {
        let (api, sent) = (api.clone(), scene.sent_with("DPoP", &token));
        requests.spawn(async move { send_plain(&api, &sent).await.status.as_u16() });
    };
    for _ in 0..50 {
        request(TOKEN.to_owned());
    }
    for number in 0..300 {
        request(format!("token-{number}"));
    }
    for _ in 0..350 - 256 - 49 {
        assert_eq!(requests.join_next().await.unwrap().unwrap(), 503, "no room for a further question");
    }
    for _ in 0..256 {
        arrived.recv().await.unwrap();
    }
    server.gate.add_permits(permits);
    while let Some(status) = requests.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    let about_one = server.asked(PATH).iter().filter(|asked| asked.body.contains(TOKEN)).count();
    assert_eq!((server.asked(PATH).len(), about_one), (256, 1));
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_make_the_edge_ask_again() {
    let (server, mut arrived) = FakeServer::start().await;
    let (scene, clock) = (Scene::new(), Clock::at(NOW));
    server.says(PATH, Says::json(&honest(&scene)));
    let builder = described(source().at(server.at(PATH)), &clock).fetch_timeout(Duration::from_secs(60));
    let api = below(&builder.start().await.unwrap());
    let permits = server.gate.forget_permits(Semaphore::MAX_PERMITS);
    let (first, sent) = (api.clone(), scene.sent_with("DPoP", TOKEN));
    let request = tokio::spawn(async move { send_plain(&first, &sent).await.status });
    arrived.recv().await.unwrap();
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    server.gate.add_permits(permits);
    assert_eq!(send_plain(&api, &scene.sent_with("DPoP", TOKEN)).await.status, StatusCode::OK);
    assert_eq!(server.asked(PATH).len(), 1);
}

#[tokio::test]
async fn the_endpoint_is_found_by_the_issuers_metadata_once() {
    let (server, _) = FakeServer::start().await;
    let (scene, clock) = (Scene::new(), Clock::at(NOW));
    let metadata = "/.well-known/oauth-authorization-server";
    server.says(
        metadata,
        Says::json(&json!({"issuer": server.url, "introspection_endpoint": server.at(PATH)})),
    );
    server.says(PATH, Says::json(&honest(&scene)));
    let layer = CountersignLayer::builder(RESOURCE)
        .attestation_service(SERVICE, JwksSource::fixed(key_set("service-1", SERVICE_SEED)))
        .introspection(Introspection::new(&server.url), source())
        .client("app", &server.url, "client")
        .clock(move || clock.now())
        .route(opaque())
        .start()
        .await
        .unwrap();
    for token in ["one", "two"] {
        let got = send_plain(&below(&layer), &scene.sent_with("DPoP", token)).await;
        assert_eq!(got.status, StatusCode::OK, "{token}");
    }
    assert_eq!((server.asked(metadata).len(), server.asked(PATH).len()), (1, 2));
}

#[tokio::test]
async fn metadata_that_name_no_endpoint_or_are_anothers_lead_nowhere() {
    for metadata in [
        json!({"issuer": "https://evil.example", "introspection_endpoint": "PATH"}),
        json!({"issuer": "ISSUER"}),
        json!({"issuer": "ISSUER", "introspection_endpoint": "http://as.example/introspect"}),
        json!({"issuer": "ISSUER", "introspection_endpoint": 1}),
    ] {
        let (server, _) = FakeServer::start().await;
        let (scene, clock) = (Scene::new(), Clock::at(NOW));
        let text = metadata.to_string().replace("ISSUER", &server.url).replace("PATH", &server.at(PATH));
        server.says("/.well-known/oauth-authorization-server", Says::Text(text));
        server.says(PATH, Says::json(&honest(&scene)));
        let layer = CountersignLayer::builder(RESOURCE)
            .attestation_service(SERVICE, JwksSource::fixed(key_set("service-1", SERVICE_SEED)))
            .introspection(Introspection::new(&server.url), source())
            .client("app", &server.url, "client")
            .clock(move || clock.now())
            .route(opaque())
            .start()
            .await
            .unwrap();
        let got = send_plain(&below(&layer), &scene.sent_with("DPoP", TOKEN)).await;
        assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE, "{metadata}");
        assert!(server.asked(PATH).is_empty(), "{metadata}");
    }
}

#[tokio::test]
async fn one_route_takes_jwts_and_opaque_tokens() {
    let (server, _) = FakeServer::start().await;
    let scene = Scene::new();
    server.says(PATH, Says::json(&honest(&scene)));
    let both = vec![CredentialKind::Jwt, CredentialKind::Opaque];
    let layer = builder()
        .introspection(Introspection::new(AUTHORIZATION_SERVER), source().at(server.at(PATH)))
        .route(Route { credentials: both, ..Route::new("/") })
        .start()
        .await
        .unwrap();
    assert_eq!(send_plain(&below(&layer), &scene.sent()).await.status, StatusCode::OK);
    assert_eq!(server.asked(PATH).len(), 0, "a JWT speaks for itself");
    let opaque = scene.sent_with("DPoP", TOKEN);
    assert_eq!(send_plain(&below(&layer), &opaque).await.status, StatusCode::OK);
}

#[tokio::test]
async fn descriptions_that_cannot_be_meant_are_named() {
    let clock = Clock::at(NOW);
    let refused = async |builder: CountersignBuilder| builder.start().await.expect_err("refused");
    assert_eq!(refused(builder().route(opaque())).await, BuildError::NoIntrospection);
    for (url, error) in [
        ("http://as.example/introspect", SourceError::NotHttps),
        ("https://user:word@as.example/introspect", SourceError::Credentials),
        ("/introspect", SourceError::NotAUrl),
    ] {
        let expected = BuildError::Setup(SetupError::Introspection("api".into(), error));
        assert_eq!(refused(described(source().at(url), &clock)).await, expected, "{url}");
    }
    let plain = CountersignLayer::builder(RESOURCE)
        .attestation_service(SERVICE, JwksSource::fixed(key_set("service-1", SERVICE_SEED)))
        .introspection(Introspection::new("http://as.example"), source())
        .route(opaque());
    assert_eq!(refused(plain).await, BuildError::Issuer("http://as.example".into()));
    assert!(!format!("{:?}", source()).contains(SECRET));
}

#[tokio::test]
async fn a_bearer_token_of_a_route_that_takes_one_passes() {
    let (server, _) = FakeServer::start().await;
    let (scene, clock) = (Scene::new(), Clock::at(NOW));
    let mut answer = honest(&scene);
    answer.as_object_mut().unwrap().retain(|name, _| name != "cnf" && name != "token_type");
    server.says(PATH, Says::json(&answer));
    let route = Route { token_binding: TokenBinding::FirstUse, ..opaque() };
    let layer = described(source().at(server.at(PATH)), &clock).route(Route { path: "/v1".into(), ..route });
    let layer = layer.start().await.unwrap();
    let sent = scene.sent_with("Bearer", TOKEN);
    assert_eq!(send_plain(&below(&layer), &sent).await.status, StatusCode::OK);
}
