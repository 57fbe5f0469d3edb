//! What passes, what is refused and how, and what reaches the handler.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use countersign_core::encoding::from_base64url;
use countersign_core::token::result::Tier;
use countersign_edge::{
    Attested, ClientCertificate, CountersignLayer, JwksSource, NoncePolicy, Route, peer_address,
};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use tower::{Layer, Service, ServiceExt};

use crate::api::{api, below, builder, request, send, send_plain, server_keys, unprotected};
use crate::scene::{AUTHORIZATION_SERVER, NOW, RESOURCE, SERVICE, Scene, Sent};

#[tokio::test]
async fn a_genuine_request_reaches_the_handler_with_its_identity() {
    let (scene, api) = (Scene::new(), api(Route::new("/")).await);
    let got = send_plain(&api, &scene.sent()).await;
    let echo = got.echo();
    assert_eq!(echo["subject"], "user");
    assert_eq!(echo["instance"], "BQUFBQUFBQUFBQUFBQUFBQ");
    assert!(got.headers.get("oauth-client-attestation-challenge").is_none(), "no nonce unless asked for");
}

#[tokio::test]
async fn each_refusal_has_its_status_and_challenge() {
    let scene = Scene::new();
    let device = || scene.device([4; 32]);
    let routes = [
        Route { scopes: vec!["pay".into()], ..Route::new("/v1/accounts/scope") },
        Route { nonce: NoncePolicy::Required, ..Route::new("/v1/accounts/nonce") },
        Route::new("/v1"),
    ];
    let builder = routes.into_iter().fold(builder(), |builder, route| builder.route(route));
    let api = below(&builder.start().await.unwrap());
    let at = |path: &'static str, target: &'static str| {
        let change = move |proof: &mut countersign_core::token::proof::ProofClaims<'_>| {
            (proof.target, proof.query) = (target, None);
        };
        Sent { path_and_query: path.into(), ..scene.sent_by(&device(), |_| {}, change) }
    };
    let invalid = r#"DPoP error="invalid_client_attestation""#;
    let cases: [(&str, Sent, u16, &str); 13] = [
        (
            "nothing",
            Sent { authorization: None, result: None, proof: None, ..scene.sent() },
            401,
            "DPoP algs=",
        ),
        ("no attestation", Sent { result: None, proof: None, ..scene.sent() }, 401, invalid),
        (
            "a password",
            Sent { authorization: Some("Basic dXNlcjp3b3Jk".into()), ..scene.sent() },
            401,
            "DPoP algs=",
        ),
        (
            "joined lines",
            Sent { proof: Some("a,b".into()), ..scene.sent() },
            400,
            r#"error="invalid_request""#,
        ),
        (
            "token in query",
            Sent { path_and_query: "/v1/accounts/1?access_token=a".into(), ..scene.sent() },
            400,
            "DPoP",
        ),
        (
            "two readings",
            Sent { path_and_query: "/v1//accounts/1".into(), ..scene.sent() },
            400,
            "invalid_request",
        ),
        ("other path", Sent { path_and_query: "/v1/accounts/2".into(), ..scene.sent() }, 401, invalid),
        ("expired", scene.sent_by(&device(), |result| result.expires_at = NOW, |_| {}), 401, invalid),
        (
            "low tier",
            scene.sent_by(&device(), |r| r.tier = Tier::Warning, |_| {}),
            401,
            r#"error="use_fresh_attestation""#,
        ),
        (
            "stolen token",
            scene.sent_by(&scene.device([9; 32]), |_| {}, |_| {}),
            401,
            r#"DPoP error="invalid_token""#,
        ),
        ("scope", at("/v1/accounts/scope", "https://api.example/v1/accounts/scope"), 403, r#"scope="pay""#),
        (
            "nonce",
            at("/v1/accounts/nonce", "https://api.example/v1/accounts/nonce"),
            401,
            "use_attestation_challenge",
        ),
        ("no route", at("/v2", "https://api.example/v2"), 404, ""),
    ];
    for (what, sent, status, challenge) in cases {
        let got = send_plain(&api, &sent).await;
        assert_eq!(got.status, status, "{what}: {got:?}");
        assert!(got.header("www-authenticate").contains(challenge), "{what}: {got:?}");
        assert!(got.headers.get_all("www-authenticate").iter().count() <= 1, "{what}: one line");
        assert_eq!(got.header("cache-control"), "no-store", "{what}");
        assert_eq!(got.header("date"), "Fri, 15 Jan 2027 08:00:00 GMT", "{what}");
        assert!(got.body.is_empty(), "{what}");
    }
}

#[tokio::test]
async fn a_replayed_request_is_refused_and_says_so() {
    let (scene, api) = (Scene::new(), api(Route::new("/")).await);
    let sent = scene.sent();
    assert_eq!(send_plain(&api, &sent).await.status, StatusCode::OK);
    let got = send_plain(&api, &sent).await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    assert!(got.header("www-authenticate").contains(r#"reason="replayed""#));
}

#[tokio::test]
async fn one_proof_passes_once_through_all_clones_of_a_layer() {
    let scene = Scene::new();
    let layer = builder().start().await.unwrap();
    let (one, other) = (below(&layer), below(&layer.clone()));
    let sent = scene.sent();
    assert_eq!(send_plain(&one, &sent).await.status, StatusCode::OK);
    assert_eq!(send_plain(&other, &sent).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn repeated_lines_of_a_field_are_refused() {
    let (scene, api) = (Scene::new(), api(Route::new("/")).await);
    for name in ["authorization", "attestation-result", "attestation-proof"] {
        let mut request = request(&scene.sent(), Body::empty());
        let copy = request.headers()[name].clone();
        request.headers_mut().append(HeaderName::from_static(name), copy);
        let got = send(&api, request).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{name}");
    }
}

#[tokio::test]
async fn lines_that_somebody_has_joined_are_refused() {
    let (scene, api) = (Scene::new(), api(Route::new("/")).await);
    for name in ["authorization", "attestation-result", "attestation-proof"] {
        for (before, after) in [("", ",a"), ("a, ", ""), (",", "")] {
            let mut request = request(&scene.sent(), Body::empty());
            let joined = format!("{before}{}{after}", request.headers()[name].to_str().unwrap());
            request.headers_mut().insert(HeaderName::from_static(name), joined.parse().unwrap());
            let got = send(&api, request).await;
            assert_eq!(got.status, StatusCode::BAD_REQUEST, "{name}");
        }
    }
}

#[tokio::test]
async fn fields_of_both_flavours_are_refused() {
    let (scene, api) = (Scene::new(), api(Route::new("/")).await);
    for name in ["dpop", "oauth-client-attestation", "oauth-client-attestation-pop"] {
        let mut request = request(&scene.sent(), Body::empty());
        request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static("a.b.c"));
        assert_eq!(send(&api, request).await.status, StatusCode::BAD_REQUEST, "{name}");
    }
}

#[tokio::test]
async fn identity_that_a_client_sends_reaches_no_handler() {
    let (scene, api) = (Scene::new(), api(Route::new("/")).await);
    let mut request = request(&scene.sent(), Body::empty());
    let aliases = ["x-attested-subject", "x_attested_subject", "x.attested.subject", "attestation.verdict"];
    for name in aliases.into_iter().chain(["x-attested-tier", "attestation-verdict"]) {
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static("spoofed"));
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static("spoofed"));
    }
    let echo = send(&api, request).await.echo();
    assert!(!echo["headers"].to_string().contains("spoofed"), "{echo}");
    assert_eq!(echo["subject"], "user");
}

#[tokio::test]
async fn tokens_are_not_printed_by_what_prints_headers() {
    let (scene, api) = (Scene::new(), api(Route::new("/")).await);
    let sent = scene.sent();
    let echo = send_plain(&api, &sent).await.echo();
    let printed = echo["debug"].as_str().unwrap();
    for secret in [sent.authorization, sent.result, sent.proof] {
        assert!(!printed.contains(&secret.unwrap()), "{printed}");
    }
    assert!(printed.contains("Sensitive"));
}

#[tokio::test]
async fn a_handler_that_is_not_below_the_layer_fails_closed() {
    let (scene, sent) = (Scene::new(), Scene::new().sent());
    assert_eq!(send_plain(&unprotected(), &sent).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    let added_later = below(&builder().start().await.unwrap())
        .route("/later", get(async |attested: Attested| attested.client_id().to_owned()));
    let sent = Sent { path_and_query: "/later".into(), ..scene.sent() };
    assert_eq!(send_plain(&added_later, &sent).await.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn only_who_may_enter_learns_which_paths_exist() {
    let (scene, api) = (Scene::new(), api(Route::new("/")).await);
    let stranger = Request::get("/secret/path").body(Body::empty()).unwrap();
    assert_eq!(send(&api, stranger).await.status, StatusCode::UNAUTHORIZED);
    let nowhere = |proof: &mut countersign_core::token::proof::ProofClaims<'_>| {
        (proof.target, proof.query) = ("https://api.example/secret/path", None);
    };
    let sent = scene.sent_by(&scene.device([4; 32]), |_| {}, nowhere);
    let sent = Sent { path_and_query: "/secret/path".into(), ..sent };
    assert_eq!(send_plain(&api, &sent).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_required_nonce_makes_its_round_trip() {
    let (scene, api) = (Scene::new(), api(Route { nonce: NoncePolicy::Required, ..Route::new("/") }).await);
    let refused = send_plain(&api, &scene.sent()).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let nonce = refused.header("oauth-client-attestation-challenge");
    let parameter = format!(r#"attestation_challenge="{nonce}""#);
    assert!(refused.header("www-authenticate").contains(&parameter), "{refused:?}");
    assert_eq!(send_plain(&api, &with_nonce(&scene, nonce)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_offered_nonce_rides_on_success_and_its_response_is_not_stored() {
    let (scene, api) = (Scene::new(), api(Route { nonce: NoncePolicy::Offered, ..Route::new("/") }).await);
    let passed = send_plain(&api, &scene.sent()).await;
    assert_eq!(passed.header("cache-control"), "no-store");
    let nonce = passed.header("oauth-client-attestation-challenge");
    let again = send_plain(&api, &with_nonce(&scene, nonce)).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.header("oauth-client-attestation-challenge"), "", "the young one is good enough");
}

#[tokio::test]
async fn a_nonce_of_another_edge_is_answered_with_one_of_ours() {
    let scene = Scene::new();
    let route = || Route { nonce: NoncePolicy::Required, ..Route::new("/") };
    let (ours, other) = (api(route()).await, api(route()).await);
    let nonce =
        send_plain(&other, &scene.sent()).await.header("oauth-client-attestation-challenge").to_owned();
    let got = send_plain(&ours, &with_nonce(&scene, &nonce)).await;
    assert!(got.header("www-authenticate").contains("use_attestation_challenge"), "{got:?}");
}

#[tokio::test]
async fn a_nested_layer_checks_the_path_that_the_client_wrote() {
    let scene = Scene::new();
    let layer = CountersignLayer::builder(RESOURCE)
        .attestation_service(SERVICE, service_keys())
        .authorization_server(AUTHORIZATION_SERVER, server_keys())
        .client("app", AUTHORIZATION_SERVER, "client")
        .route(Route::new("/v1/accounts"))
        .clock(|| NOW)
        .start()
        .await
        .unwrap();
    let inner = Router::new()
        .route("/accounts/{id}", get(async |attested: Attested| attested.client_id().to_owned()));
    let api = Router::new().nest("/v1", inner.layer(layer));
    assert_eq!(send_plain(&api, &scene.sent()).await.body, "app");
    let elsewhere = Sent { path_and_query: "/v1/accounts/2?page=1".into(), ..scene.sent() };
    assert_eq!(send_plain(&api, &elsewhere).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_rewritten_path_is_judged_as_the_handler_sees_it() {
    let scene = Scene::new();
    let strict = Route { scopes: vec!["admin".into()], ..Route::new("/admin") };
    let layer = builder().route(Route::new("/")).route(strict).start().await.unwrap();
    let inner = Router::new().route("/admin", get(async |_: Attested| "admin")).layer(layer);
    let rewriting = tower::util::MapRequest::new(inner, |mut request: Request<Body>| {
        *request.uri_mut() = http::Uri::from_static("/admin");
        request
    });
    let api = Router::new().fallback_service(rewriting);
    let got = send_plain(&api, &scene.sent()).await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED, "the proof is for another path: {got:?}");
}

#[tokio::test]
async fn refused_requests_are_limited_by_address_only_where_the_address_is_known() {
    let scene = Scene::new();
    let direct = below(&builder().source(peer_address).start().await.unwrap());
    let behind_proxy = below(&builder().start().await.unwrap());
    let from = |address: [u8; 4]| {
        let mut request = request(&Sent { result: Some("forged".into()), ..scene.sent() }, Body::empty());
        let peer: SocketAddr = (IpAddr::from(address), 40000).into();
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    };
    for _ in 0..20 {
        assert_eq!(send(&direct, from([192, 0, 2, 1])).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(send(&behind_proxy, from([192, 0, 2, 1])).await.status, StatusCode::BAD_REQUEST);
    }
    let limited = send(&direct, from([192, 0, 2, 1])).await;
    assert_eq!((limited.status, limited.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "10"));
    assert_eq!(send(&direct, from([192, 0, 2, 2])).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(send(&behind_proxy, from([192, 0, 2, 1])).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn strange_requests_are_refused_and_nothing_panics() {
    let api = api(Route::new("/")).await;
    let values: [&[u8]; 8] =
        [b"", b" ", b"\xff\xfe", b"DPoP", b"DPoP  a", b"\t", b"Bearer \x80", b"\"\\\",=;"];
    for name in ["authorization", "attestation-result", "attestation-proof", "dpop"] {
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            let request = Request::get("/v1/accounts/1").header(name, value).body(Body::empty()).unwrap();
            assert!(send(&api, request).await.status.is_client_error(), "{name}");
        }
        let long = Request::get("/").header(name, "a".repeat(100_000)).body(Body::empty()).unwrap();
        assert!(send(&api, long).await.status.is_client_error(), "{name}");
    }
    for target in
        ["*", "http://other.example", "/%", "/%zz", "/a\\b", "/;a", "/..", "/%00", "?", "/?access_token"]
    {
        let Ok(request) = Request::get(target).body(Body::empty()) else { continue };
        assert!(send(&api, request).await.status.is_client_error(), "{target}");
    }
    let connect = Request::connect("api.example:443").body(Body::empty()).unwrap();
    assert!(send(&api, connect).await.status.is_client_error());
    let method = Request::builder().method("A".repeat(200).as_str()).uri("/").body(Body::empty()).unwrap();
    assert_eq!(send(&api, method).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_service_that_was_ready_takes_the_call() {
    /// Readiness belongs to one clone.
    struct Counted(Arc<AtomicBool>, bool);
    impl Clone for Counted {
        fn clone(&self) -> Self {
            Self(Arc::clone(&self.0), false)
        }
    }
    impl Service<Request<Body>> for Counted {
        type Response = http::Response<Body>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            self.1 = true;
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<Body>) -> Self::Future {
            self.0.store(self.1, Ordering::Relaxed);
            std::future::ready(Ok(http::Response::new(Body::empty())))
        }
    }
    let called_ready = Arc::new(AtomicBool::new(false));
    let service = builder().start().await.unwrap().layer(Counted(Arc::clone(&called_ready), false));
    let response = service.oneshot(request(&Scene::new().sent(), Body::empty())).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(called_ready.load(Ordering::Relaxed));
}

fn service_keys() -> JwksSource {
    JwksSource::fixed(crate::scene::key_set("service-1", crate::scene::SERVICE_SEED))
}

fn with_nonce(scene: &Scene, nonce: &str) -> Sent {
    let nonce: &'static [u8] = from_base64url(nonce).unwrap().leak();
    scene.sent_by(&scene.device([4; 32]), |_| {}, |proof| proof.nonce = Some(nonce))
}

#[tokio::test]
async fn a_certificate_is_taken_from_the_connection_and_from_no_field() {
    #[derive(Clone)]
    struct Shown([u8; 32]);
    let scene = Scene::new();
    let token = scene.token(&scene.device([4; 32]), |claims| {
        claims["cnf"]["x5t#S256"] = countersign_core::encoding::base64url(&[1; 32]).into();
    });
    let layer = builder().start().await.unwrap();
    let unaware = below(&layer);
    let aware = below(&layer.with_client_certificate(|parts| {
        parts.extensions.get::<Shown>().map(|Shown(hash)| ClientCertificate::from_thumbprint(*hash))
    }));
    let asked = async |api: &Router, shown: Option<[u8; 32]>| {
        let mut request = request(&scene.sent_with("DPoP", &token), Body::empty());
        for field in ["client-cert", "x-forwarded-client-cert", "x-client-cert-sha256"] {
            request.headers_mut().insert(field, HeaderValue::from_static(":AQ==:"));
        }
        request.extensions_mut().extend(shown.map(Shown).into_iter().fold(
            http::Extensions::new(),
            |mut extensions, shown| {
                extensions.insert(shown);
                extensions
            },
        ));
        send(api, request).await.status.as_u16()
    };
    assert_eq!(asked(&aware, Some([1; 32])).await, 200);
    assert_eq!(asked(&aware, Some([2; 32])).await, 401);
    assert_eq!(asked(&aware, None).await, 401);
    assert_eq!(asked(&unaware, Some([1; 32])).await, 401, "nobody said where it is told");
}

#[tokio::test]
async fn the_field_of_a_certificate_is_believed_of_the_gateway_alone() {
    #[derive(Clone)]
    struct FromGateway;
    let scene = Scene::new();
    let token = scene.token(&scene.device([4; 32]), |claims| {
        let thumbprint = countersign_core::request::sha256(b"certificate");
        claims["cnf"]["x5t#S256"] = countersign_core::encoding::base64url(&thumbprint).into();
    });
    let layer = builder().start().await.unwrap();
    let api = below(&layer.with_client_cert_field(|parts| parts.extensions.get::<FromGateway>().is_some()));
    let asked = async |is_of_gateway: bool, lines: &[&'static str]| {
        let mut request = request(&scene.sent_with("DPoP", &token), Body::empty());
        for line in lines {
            request.headers_mut().append("client-cert", HeaderValue::from_static(line));
        }
        if is_of_gateway {
            request.extensions_mut().insert(FromGateway);
        }
        send(&api, request).await.status.as_u16()
    };
    let right = ":Y2VydGlmaWNhdGU=:";
    assert_eq!(asked(true, &[right]).await, 200);
    assert_eq!(asked(false, &[right]).await, 401, "a client's own words");
    assert_eq!(asked(true, &[":b3RoZXI=:"]).await, 401);
    assert_eq!(asked(true, &[]).await, 401);
    assert_eq!(asked(true, &[right, right]).await, 400, "the gateway adds where it should overwrite");
}
