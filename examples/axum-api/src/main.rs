//! A protected Rust API. Its handlers run only for requests that a genuine app instance made, with an access token
//! that belongs to that very install.
//!
//! `ATTESTATION_SERVICE=https://attest.example AUTHORIZATION_SERVER=https://login.example cargo run -p axum-api`

use std::env;

use axum::routing::{get, post};
use axum::{Json, Router};
use countersign_edge::{
    Attested, CountersignLayer, DenyListSource, JwksSource, NoncePolicy, Route, peer_address,
};

/// Where clients reach this API: what their proofs and access tokens name.
const RESOURCE: &str = "https://api.example";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().init();
    let service = env::var("ATTESTATION_SERVICE").unwrap_or("https://attest.example".into());
    let server = env::var("AUTHORIZATION_SERVER").unwrap_or("https://login.example".into());
    let layer = CountersignLayer::builder(RESOURCE)
        .attestation_service(&service, JwksSource::url(format!("{service}/.well-known/jwks.json")))
        .authorization_server(&server, JwksSource::url(format!("{server}/jwks")))
        // The app, as the attestation service knows it and as the authorization server does.
        .client("com.example.bank", &server, "mobile-bank")
        .route(Route::new("/"))
        // Money moves only with a fresh nonce, the body under the proof, and the scope for it.
        .route(Route {
            nonce: NoncePolicy::Required,
            content_required: true,
            scopes: vec!["pay".into()],
            ..Route::new("/payments")
        })
        .deny_list(DenyListSource::of(&service))
        // Only without a proxy in front: who fails too often waits.
        .source(peer_address)
        .start()
        .await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
    axum::serve(listener, app(layer).into_make_service_with_connect_info::<std::net::SocketAddr>()).await?;
    Ok(())
}

fn app(layer: CountersignLayer) -> Router {
    Router::new()
        .route("/account", get(account))
        .route("/payments", post(pay))
        // After the routes that it protects, and before those that anybody may ask.
        .layer(layer)
        .route("/healthz", get(|| async { "ok" }))
}

async fn account(attested: Attested) -> String {
    format!("{} on {}", attested.subject().unwrap_or_default(), attested.instance().to_base64url())
}

async fn pay(attested: Attested, Json(cents): Json<u64>) -> String {
    format!("{} pays {cents}", attested.subject().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt;

    use super::*;

    const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    async fn status(request: Request<Body>) -> StatusCode {
        let layer = CountersignLayer::builder(RESOURCE)
            .attestation_service("https://attest.example", JwksSource::fixed(KEYS))
            .authorization_server("https://login.example", JwksSource::fixed(KEYS))
            .client("com.example.bank", "https://login.example", "mobile-bank");
        app(layer.start().await.unwrap()).oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn strangers_reach_the_health_check_and_nothing_else() {
        assert_eq!(status(Request::get("/healthz").body(Body::empty()).unwrap()).await, StatusCode::OK);
        for path in ["/account", "/payments", "/nowhere"] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            assert_eq!(status(request).await, StatusCode::UNAUTHORIZED, "{path}");
        }
    }

    #[tokio::test]
    async fn a_bearer_token_alone_pays_nothing() {
        let request = Request::post("/payments").header("authorization", "Bearer stolen");
        assert_eq!(status(request.body(Body::from("100")).unwrap()).await, StatusCode::UNAUTHORIZED);
    }
}
