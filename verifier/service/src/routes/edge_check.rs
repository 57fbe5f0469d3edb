//! `/edge/check/{resource}`: forward authentication for gateways.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use countersign_core::request::sha256;
use countersign_edge::{EdgeRuntime, answer};
use countersign_verifier::check::{Content, Decision, Fields, Request};

use crate::gateways::{Misconfigured, Original};
use crate::service::Service;
use crate::settings::Gateway;

/// What the edge listener knows.
#[derive(Clone)]
pub(crate) struct EdgeListener {
    pub(crate) service: Arc<Service>,
    pub(crate) edge: Arc<EdgeRuntime>,
    pub(crate) gateway: Gateway,
}

/// Decides about the original request that the gateway tells of.
pub(super) async fn check(
    State(listener): State<EdgeListener>,
    Path(path): Path<ResourcePath>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let resource = path.resource;
    let prefix = format!("/edge/check/{resource}");
    let original = match Original::read(listener.gateway, &method, &uri, &prefix, &headers) {
        Ok(original) => original,
        Err(misconfigured) => return misconfiguration(misconfigured),
    };
    if listener.edge.edge().resource(&resource).is_none() {
        tracing::error!(resource, "the gateway names a resource that is not in the settings");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let request = Request {
        method: original.method,
        path_and_query: original.path_and_query,
        source: original.source,
        fields: Fields::collect(|name| headers.get_all(name).iter().map(HeaderValue::as_bytes)),
        content: content(listener.gateway, &headers, &body),
    };
    let decision = listener.edge.decide(&resource, &request).await;
    record(&listener, &resource, &decision);
    respond(&listener, &decision)
}

/// The path of a check: the resource, and for Envoy the original path behind it, which is read from the raw URI.
#[derive(Debug, serde::Deserialize)]
pub(super) struct ResourcePath {
    resource: String,
}

/// The body, if this gateway says that it sends all of it.
fn content(gateway: Gateway, headers: &HeaderMap, body: &[u8]) -> Content {
    let whole = headers.get("x-envoy-auth-partial-body").is_some_and(|value| value == "false");
    if gateway == Gateway::EnvoyHttp && whole { Content::Hash(sha256(body)) } else { Content::Unseen }
}

fn record(listener: &EdgeListener, resource: &str, decision: &Decision) {
    let (verdict, reason) = match decision {
        Decision::Permit(_) => ("permit", "ok"),
        Decision::Observed { refusal, .. } => ("observed", refusal.reason.reason()),
        Decision::Refusal(refusal) => ("refused", refusal.reason.reason()),
        Decision::Needs(_) => ("refused", "keys_unavailable"),
    };
    listener.service.metrics.edge_decision(resource, verdict, reason);
    if let Decision::Observed { told: true, .. } = decision {
        tracing::warn!(resource, reason, "an unattested request was let through");
    }
}

fn respond(listener: &EdgeListener, decision: &Decision) -> Response {
    let answer = answer(decision, listener.edge.now());
    let passes = answer.status.is_success();
    let answer = if listener.gateway == Gateway::Nginx { answer.for_auth_request() } else { answer };
    let mut response = answer.status.into_response();
    // What identifies is for the upstream; with a refusal it would go to the client.
    let identity = if passes { answer.identity } else { Vec::new() };
    for (name, value) in answer.headers.into_iter().chain(identity) {
        response.headers_mut().append(name, value);
    }
    response
}

fn misconfiguration(misconfigured: Misconfigured) -> Response {
    tracing::error!("{}", misconfigured.advice());
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
