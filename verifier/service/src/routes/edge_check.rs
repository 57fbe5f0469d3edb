//! `/edge/check/{resource}`: forward authentication for gateways.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use countersign_core::request::sha256;
use countersign_edge::{Answer, Cors, EdgeRuntime, answer, pass_preflight};
use countersign_verifier::check::{Content, Decision, Fields, Request};

use crate::edge::EdgeInForce;
use crate::gateways::{Misconfigured, Original, client_certificate};
use crate::settings::{AddressRange, ClientCertificateField, Gateway, is_trusted_gateway};
use crate::telemetry::Metrics;

/// What stands before the resource's name.
const PREFIX: &str = "/edge/check/";

/// What the edge listener knows.
#[derive(Clone)]
pub(crate) struct EdgeListener {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) edge: Arc<EdgeInForce>,
    pub(crate) gateway: Gateway,
    /// The field in which the gateway tells of certificates.
    pub(crate) client_certificate: Option<ClientCertificateField>,
    /// Who may ask; nobody named: whoever reaches the listener.
    pub(crate) trusted_gateways: Arc<[AddressRange]>,
}

/// Decides about the original request that the gateway tells of.
pub(super) async fn check(
    State(listener): State<EdgeListener>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return rejection.status().into_response(),
    };
    let resource = resource(&uri);
    let prefix = format!("{PREFIX}{resource}");
    let original = match Original::read(listener.gateway, &method, &uri, &prefix, &headers) {
        Ok(original) => original,
        Err(misconfigured) => return misconfiguration(misconfigured),
    };
    let edition = listener.edge.edition();
    let edge = &edition.runtime;
    if !knows(edge, resource) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let lines = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let cors = edition.cors.get(resource);
    let is_preflight =
        |cors: &Cors| cors.preflight(original.method, original.path_and_query, lines).is_some();
    if cors.is_some_and(is_preflight) {
        return respond(listener.gateway, pass_preflight());
    }
    let certificate = client_certificate(listener.client_certificate, lines);
    let request = Request {
        method: original.method,
        path_and_query: original.path_and_query,
        source: original.source,
        client_certificate: certificate.as_ref(),
        fields: Fields::collect(lines),
        content: content(listener.gateway, &headers, &body),
    };
    let decision = listener.decide(edge, resource, &request).await;
    let mut answer = answer(&decision, edge.now());
    // What passes is answered by the upstream, which says itself who may read it.
    if let Some(cors) = cors.filter(|_| !answer.status.is_success()) {
        answer.headers.extend(cors.fields(original.path_and_query, lines));
    }
    respond(listener.gateway, answer)
}

impl EdgeListener {
    /// Decides about a request by `edge`, and counts the decision.
    pub(super) async fn decide(
        &self,
        edge: &Arc<EdgeRuntime>,
        resource: &str,
        request: &Request<'_>,
    ) -> Decision {
        let decision = edge.decide(resource, request).await;
        self.metrics.decided(resource, &decision);
        decision
    }
}

/// Whether the settings of `edge` have this resource; if not, tells the operator.
pub(super) fn knows(edge: &EdgeRuntime, resource: &str) -> bool {
    let known = edge.edge().resource(resource).is_some();
    if !known {
        tracing::error!(resource, "the gateway names a resource that is not in the settings");
    }
    known
}

/// The resource's name, as it stands in the path. It is not decoded: behind it Envoy has the client's own path, in which
/// an escape may stand for anything.
fn resource(uri: &Uri) -> &str {
    let rest = uri.path().strip_prefix(PREFIX).unwrap_or_default();
    rest.split_once('/').map_or(rest, |(resource, _)| resource)
}

/// Lets nobody ask but the gateways that the settings name. Who is told no gets no decision, so a gateway that is not
/// named lets nothing through.
pub(super) async fn only_trusted_gateways(
    State(listener): State<EdgeListener>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    if is_trusted_gateway(&listener.trusted_gateways, peer.ip()) {
        return next.run(request).await;
    }
    tracing::error!(peer = %peer.ip(), "who asked is not in `trusted_gateways` of [listen], and was refused");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// The body, if this gateway sends it and it is all there. Envoy's field alone proves nothing, since an Envoy that is
/// not told to send bodies lets a client's own field through: an empty body is one that was not seen. Oathkeeper sends
/// every body, and one that breaks off is no request.
fn content(gateway: Gateway, headers: &HeaderMap, body: &[u8]) -> Content {
    let only = |name: &str| {
        let mut lines = headers.get_all(name).iter();
        lines.next().filter(|_| lines.next().is_none()).and_then(|line| line.to_str().ok())
    };
    let length = only("content-length").and_then(|length| length.parse::<usize>().ok());
    let whole = only("x-envoy-auth-partial-body") == Some("false");
    let seen = match gateway {
        Gateway::EnvoyHttp => whole && length == Some(body.len()),
        Gateway::Oathkeeper => true,
        _ => false,
    };
    if seen && !body.is_empty() { Content::Hash(sha256(body)) } else { Content::Unseen }
}

fn respond(gateway: Gateway, answer: Answer) -> Response {
    let passes = answer.status.is_success();
    let answer = match gateway {
        Gateway::Nginx => answer.for_auth_request(),
        Gateway::Oathkeeper => answer.for_authorizer(),
        _ => answer,
    };
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
