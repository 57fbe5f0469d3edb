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
use crate::settings::Gateway;
use crate::telemetry::Metrics;

/// What the edge listener knows.
#[derive(Clone)]
pub(crate) struct EdgeListener {
    pub(crate) metrics: Arc<Metrics>,
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
        // The client's TLS ends at the gateway, and what a field says of it could be the client's own words.
        client_certificate: None,
        fields: Fields::collect(|name| headers.get_all(name).iter().map(HeaderValue::as_bytes)),
        content: content(listener.gateway, &headers, &body),
    };
    let decision = listener.edge.decide(&resource, &request).await;
    listener.metrics.decided(&resource, &decision);
    respond(&listener, &decision)
}

/// The path of a check: the resource, and for Envoy the original path behind it, which is read from the raw URI.
#[derive(Debug, serde::Deserialize)]
pub(super) struct ResourcePath {
    resource: String,
}

/// The body, if this gateway sends it and it is all there. Envoy's field alone proves nothing, since an Envoy that is
/// not told to send bodies lets a client's own field through: an empty body is one that was not seen.
fn content(gateway: Gateway, headers: &HeaderMap, body: &[u8]) -> Content {
    let only = |name: &str| {
        let mut lines = headers.get_all(name).iter();
        lines.next().filter(|_| lines.next().is_none()).and_then(|line| line.to_str().ok())
    };
    let length = only("content-length").and_then(|length| length.parse::<usize>().ok());
    let whole = only("x-envoy-auth-partial-body") == Some("false");
    if gateway == Gateway::EnvoyHttp && whole && !body.is_empty() && length == Some(body.len()) {
        Content::Hash(sha256(body))
    } else {
        Content::Unseen
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

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_body_was_seen_only_if_it_is_there_in_full() {
        let whole = ("x-envoy-auth-partial-body", "false");
        let seen = headers(&[whole, ("content-length", "3")]);
        assert_eq!(content(Gateway::EnvoyHttp, &seen, b"abc"), Content::Hash(sha256(b"abc")));
        assert_eq!(content(Gateway::Nginx, &seen, b"abc"), Content::Unseen);
        for (lines, body) in [
            (&[whole][..], &b""[..]),
            (&[whole, ("content-length", "0")], b""),
            (&[whole, ("content-length", "3")], b""),
            (&[whole, ("content-length", "4")], b"abc"),
            (&[whole], b"abc"),
            (&[whole, ("content-length", "3"), ("content-length", "3")], b"abc"),
            (&[whole, ("x-envoy-auth-partial-body", "true"), ("content-length", "3")], b"abc"),
            (&[("x-envoy-auth-partial-body", "true"), ("content-length", "3")], b"abc"),
            (&[("content-length", "3")], b"abc"),
        ] {
            assert_eq!(content(Gateway::EnvoyHttp, &headers(lines), body), Content::Unseen, "{lines:?}");
        }
    }
}
