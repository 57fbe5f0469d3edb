//! `/.well-known/…`: what others need to know to trust this service and to call the APIs behind it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use reqwest::Url;
use serde_json::{Value, json};

use crate::service::Service;
use crate::settings::{ResourceSettings, TokenBinding};

/// The public keys: current, next, and previous until their last token has expired (RFC 7517).
pub(super) async fn jwks(State(service): State<Arc<Service>>) -> Response {
    cacheable(service.keys.public_jwks())
}

/// Metadata of the only protected resource (RFC 9728).
pub(super) async fn only_resource(State(service): State<Arc<Service>>) -> Response {
    match &service.edge {
        Some(edge) => only(&edge.edition().resources),
        None => only(&service.settings.resources),
    }
}

/// As [`only_resource`], of these resources.
pub(super) fn only(resources: &[ResourceSettings]) -> Response {
    match resources {
        [resource] => cacheable(metadata(resource)),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Metadata of the protected resource of a name, or whose identifier ends in this path (RFC 9728 section 3.1).
pub(super) async fn resource(State(service): State<Arc<Service>>, Path(path): Path<String>) -> Response {
    match &service.edge {
        Some(edge) => named(&edge.edition().resources, &path),
        None => named(&service.settings.resources, &path),
    }
}

/// As [`resource`], of these resources.
pub(super) fn named(resources: &[ResourceSettings], path: &str) -> Response {
    let is_meant = |resource: &&ResourceSettings| {
        let identifier = Url::parse(resource.identifier.as_str());
        resource.name == path || identifier.is_ok_and(|url| url.path().trim_start_matches('/') == path)
    };
    match resources.iter().find(is_meant) {
        Some(resource) => cacheable(metadata(resource)),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Where a resource's metadata are by its identifier: the well-known part stands between host and path.
pub(crate) fn metadata_url(identifier: &str) -> Option<String> {
    let url = Url::parse(identifier).ok()?;
    let path = url.path().trim_end_matches('/');
    Some(format!("{}/.well-known/oauth-protected-resource{path}", url.origin().ascii_serialization()))
}

/// RFC 9728 section 2, and the members of draft-ietf-oauth-attestation-based-client-auth for resource servers: what a
/// client of the OAuth flavour can send, and beside it our own method. Instance keys are P-256 keys, so DPoP proofs are
/// ES256. There is no challenge endpoint, because nonces come with the answers that ask for them.
pub(crate) fn metadata(resource: &ResourceSettings) -> Value {
    let servers: Vec<&str> =
        resource.authorization_servers.iter().map(|server| server.issuer.as_str()).collect();
    let mut scopes: Vec<&str> =
        resource.routes.iter().flat_map(|route| &route.scopes).map(String::as_str).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let bound = resource.routes.iter().all(|route| route.token_binding == TokenBinding::Instance);
    let mut methods = vec!["dpop_combined"];
    if resource.routes.iter().any(|route| route.danger_unbound_pop) {
        methods.push("attestation_pop_jwt");
    }
    methods.push("countersign_proof");
    json!({
        "resource": resource.identifier,
        "authorization_servers": servers,
        "scopes_supported": scopes,
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "dpop_bound_access_tokens_required": bound,
        "client_attestation_signing_alg_values_supported": ["ES256"],
        "client_attestation_pop_signing_alg_values_supported": ["ES256"],
        "client_attestation_pop_methods_supported": methods,
    })
}

pub(crate) fn cacheable(body: Value) -> Response {
    ([(header::CACHE_CONTROL, "public, max-age=300")], Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_part_stands_between_host_and_path() {
        for (identifier, url) in [
            ("https://api.example", "https://api.example/.well-known/oauth-protected-resource"),
            ("https://api.example/", "https://api.example/.well-known/oauth-protected-resource"),
            (
                "https://api.example:8443/v1",
                "https://api.example:8443/.well-known/oauth-protected-resource/v1",
            ),
        ] {
            assert_eq!(metadata_url(identifier).as_deref(), Some(url));
        }
    }
}
