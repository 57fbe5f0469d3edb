//! A protected API that echoes what reached it, and requests to it.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use axum::routing::any;
use countersign_edge::{Attested, CountersignBuilder, CountersignLayer, JwksSource, Route, Verdict};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::scene::{
    AUTHORIZATION_SERVER, AUTHORIZATION_SERVER_SEED, NOW, RESOURCE, SERVICE, SERVICE_SEED, Sent, key_set,
};

/// What a client gets back.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// What the handler saw; a request that was refused reached none.
    pub(crate) fn echo(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A description of the scene's API, without routes.
pub(crate) fn builder() -> CountersignBuilder {
    CountersignLayer::builder(RESOURCE)
        .attestation_service(SERVICE, JwksSource::fixed(key_set("service-1", SERVICE_SEED)))
        .authorization_server(AUTHORIZATION_SERVER, server_keys())
        .client("app", AUTHORIZATION_SERVER, "client")
        .clock(|| NOW)
}

pub(crate) fn server_keys() -> JwksSource {
    JwksSource::fixed(key_set("server-1", AUTHORIZATION_SERVER_SEED))
}

/// The API below a layer with one route.
pub(crate) async fn api(route: Route) -> Router {
    below(&builder().route(route).start().await.unwrap())
}

/// The API below a layer.
pub(crate) fn below(layer: &CountersignLayer) -> Router {
    unprotected().layer(layer.clone())
}

pub(crate) fn unprotected() -> Router {
    Router::new()
        .route("/v1/accounts/{id}", any(echo))
        .route("/strict", any(async |attested: Attested| attested.client_id().to_owned()))
}

async fn echo(attested: Option<Attested>, verdict: Verdict, headers: HeaderMap, body: Bytes) -> String {
    let lines = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])
    };
    let echo = json!({
        "subject": attested.as_ref().and_then(Attested::subject),
        "instance": attested.as_ref().map(|attested| attested.instance().to_base64url()),
        "content": attested.as_ref().and_then(Attested::content),
        "reason": verdict.reason().map(|reason| reason.reason()),
        "headers": headers.iter().map(lines).collect::<Vec<_>>(),
        "debug": format!("{headers:?}"),
        "length": body.len(),
        "body": String::from_utf8_lossy(&body),
    });
    echo.to_string()
}

/// The request that the scene describes, with `body`.
pub(crate) fn request(sent: &Sent, body: impl Into<Body>) -> http::Request<Body> {
    let fields = [
        ("authorization", &sent.authorization),
        ("x-api-key", &sent.api_key),
        ("attestation-result", &sent.result),
        ("attestation-proof", &sent.proof),
    ];
    let mut request = http::Request::builder().method(sent.method).uri(&sent.path_and_query);
    for (name, value) in fields {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    request.body(body.into()).unwrap()
}

pub(crate) async fn send(api: &Router, request: http::Request<Body>) -> Got {
    let response: Response = api.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Got { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
}

pub(crate) async fn send_plain(api: &Router, sent: &Sent) -> Got {
    send(api, request(sent, Body::empty())).await
}
