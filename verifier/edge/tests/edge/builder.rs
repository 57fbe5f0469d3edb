//! Descriptions that cannot be meant.

use countersign_core::challenge::{MacKey, MacKeyRing};
use countersign_core::encoding::base64url;
use countersign_edge::{
    BuildError, CountersignLayer, DenyListSource, JwksSource, ReplayPolicy, Route, SetupError, SourceError,
    WhenStoreFails,
};

use crate::api::{builder, server_keys};
use crate::scene::{AUTHORIZATION_SERVER, RESOURCE, SERVICE};

async fn error(builder: countersign_edge::CountersignBuilder) -> BuildError {
    builder.start().await.expect_err("refused")
}

#[tokio::test]
async fn an_api_without_attestation_cannot_be_described() {
    let tokens_alone = CountersignLayer::builder(RESOURCE)
        .authorization_server(AUTHORIZATION_SERVER, server_keys())
        .client("app", AUTHORIZATION_SERVER, "client");
    assert_eq!(error(tokens_alone).await, BuildError::NoAttestationService);
}

#[tokio::test]
async fn everything_that_tokens_need_is_asked_for() {
    let attested = || CountersignLayer::builder(RESOURCE).attestation_service(SERVICE, server_keys());
    assert_eq!(error(attested()).await, BuildError::NoAuthorizationServer);
    let with_server = || attested().authorization_server(AUTHORIZATION_SERVER, server_keys());
    assert_eq!(error(with_server()).await, BuildError::NoClient);
    let other = "https://other.example";
    let strange = with_server().client("app", other, "client");
    assert_eq!(error(strange).await, BuildError::ClientOfUnknownIssuer(other.into()));
    let without_tokens = Route { credentials: Vec::new(), ..Route::new("/") };
    assert!(attested().route(without_tokens).start().await.is_ok());
}

#[tokio::test]
async fn names_that_nobody_can_prove_are_refused() {
    for resource in ["api.example", "http://api.example", "https://api.example/?a", "https://", "ftp://a"] {
        let wrong = CountersignLayer::builder(resource);
        assert_eq!(error(wrong).await, BuildError::Resource(resource.into()));
        assert_eq!(error(builder().origin(resource)).await, BuildError::Resource(resource.into()));
    }
    let plain = "http://attest.example";
    assert_eq!(
        error(builder().attestation_service(plain, server_keys())).await,
        BuildError::Issuer(plain.into())
    );
    let twice = builder().attestation_service(SERVICE, server_keys());
    assert_eq!(error(twice).await, BuildError::DuplicateIssuer(SERVICE.into()));
}

#[tokio::test]
async fn routes_that_match_nothing_or_twice_are_refused() {
    for path in ["", "v1", "/v1/../v2", "/v1//a", "/a;b", "/a?b"] {
        assert_eq!(error(builder().route(Route::new(path))).await, BuildError::RoutePath(path.into()));
    }
    let method = Route { methods: vec!["GET,POST".into()], ..Route::new("/") };
    assert_eq!(error(builder().route(method)).await, BuildError::RouteMethod("GET,POST".into()));
    let twice = builder().route(Route::new("/a")).route(Route::new("/a"));
    assert_eq!(error(twice).await, BuildError::DuplicateRoute("/a".into()));
    let get = |methods: &[&str]| Route {
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        ..Route::new("/a")
    };
    let overlapping = builder().route(get(&["GET", "PUT"])).route(get(&["PUT"]));
    assert_eq!(error(overlapping).await, BuildError::DuplicateRoute("/a".into()));
    assert!(builder().route(get(&["GET"])).route(get(&["PUT"])).start().await.is_ok());
}

#[tokio::test]
async fn keys_in_plain_from_another_machine_are_refused() {
    let plain = builder().attestation_service("https://b.example", JwksSource::url("http://b.example/jwks"));
    let BuildError::Setup(SetupError::Source(_, why)) = error(plain).await else { panic!("accepted") };
    assert_eq!(why, SourceError::NotHttps);
    let foreign = builder().deny_list(DenyListSource::of("https://other.example"));
    let BuildError::Setup(SetupError::DenyListIssuer(issuer)) = error(foreign).await else {
        panic!("accepted")
    };
    assert_eq!(issuer, "https://other.example");
}

#[tokio::test]
async fn every_error_is_a_sentence_about_what_was_written() {
    let errors = [
        BuildError::Resource("x".into()),
        BuildError::Issuer("x".into()),
        BuildError::ClientOfUnknownIssuer("x".into()),
        BuildError::RoutePath("x".into()),
        BuildError::DuplicateRoute("x".into()),
    ];
    for error in errors {
        assert!(error.to_string().contains("`x`"), "{error}");
    }
    // Keys and nonces are never part of a description's text.
    let described = format!("{:?}", builder());
    assert!(!described.contains(&base64url(&[1; 32])) && described.contains(RESOURCE));
}

#[tokio::test]
async fn a_route_asks_a_shared_store_only_where_there_is_one() {
    let asks = Route { shared_store: Some(WhenStoreFails::Closed), ..Route::new("/a") };
    assert_eq!(error(builder().route(asks)).await, BuildError::NoSharedStore("/a".into()));
}

#[tokio::test]
async fn several_edges_promise_no_more_than_they_can_keep() {
    let ring = || MacKeyRing::new(MacKey::new(1, [1; 32]), Vec::new());
    let strict = builder().route(Route::new("/a")).shared_nonces("edges", ring());
    assert_eq!(error(strict).await, BuildError::StrictAlone("/a".into()));
    let windowed = Route { replay: ReplayPolicy::Windowed, ..Route::new("/a") };
    assert!(builder().route(windowed).shared_nonces("edges", ring()).start().await.is_ok());
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_strict_route_never_lets_an_edge_decide_alone() {
    use countersign_edge::{SharedStoreSettings, StoreAddress};

    let store = SharedStoreSettings::new(StoreAddress::new("redis://127.0.0.1:1").unwrap());
    let torn = Route { shared_store: Some(WhenStoreFails::Local), ..Route::new("/a") };
    let built = builder().route(torn).shared_store(store);
    assert_eq!(error(built).await, BuildError::StrictButLocal("/a".into()));
}
