//! What the service reads of text that it does not trust, for the fuzz targets to try: nothing of it is needed outside
//! otherwise, and nothing of it decides.

use std::net::IpAddr;

use axum::http::{HeaderName, HeaderValue, StatusCode};
use countersign_edge::{Answer, ClientCertificate};
use prost::Message;

use crate::document::Problems;
use crate::gateways::ext_authz::{CheckRequest, CheckResponse, HttpAnswer, Told, check_response};
use crate::settings::{ClientCertificateField, RouteSettings};

/// The routes of an OpenAPI document; JSON if `name` ends in `.json`, otherwise YAML.
///
/// # Errors
/// As when a resource names the document.
pub fn openapi_routes(name: &str, text: &str, origin: &str) -> Result<Vec<RouteSettings>, Problems> {
    crate::openapi::routes_of_text(name, text, origin)
}

/// The certificate in the lines of a gateway's field.
pub fn client_certificate(field: ClientCertificateField, lines: &[&[u8]]) -> Option<ClientCertificate> {
    crate::gateways::client_certificate(Some(field), |_| lines.iter().copied())
}

/// What was understood of a `CheckRequest`, and what a permit for it would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvoyCheck {
    /// From the context extensions.
    pub resource: String,
    /// Path and query.
    pub path: String,
    /// Envoy's peer.
    pub source: Option<IpAddr>,
    /// Lines of `Attestation-Proof` that arrived.
    pub proofs: usize,
    /// Fields that a permit sets for the upstream.
    pub set: Vec<String>,
    /// Fields that a permit removes.
    pub removed: Vec<String>,
}

/// Reads a `CheckRequest`; `None` if it is none, or says too little.
pub fn envoy_check(message: &[u8]) -> Option<EnvoyCheck> {
    let check = CheckRequest::decode(message).ok()?;
    let told = Told::read(&check).ok()?;
    let _ = (told.fields(), told.content());
    let identity = vec![
        (HeaderName::from_static("x-attested-subject"), HeaderValue::from_static("alice")),
        (HeaderName::from_static("x-attested-scope"), HeaderValue::from_static("")),
    ];
    let response = check_response(&told, &Answer { status: StatusCode::OK, headers: Vec::new(), identity });
    let CheckResponse { http_response: Some(HttpAnswer::Ok(ok)), .. } = response else { return None };
    Some(EnvoyCheck {
        resource: told.resource.to_owned(),
        path: told.original.path_and_query.to_owned(),
        source: told.original.source,
        proofs: told.lines("attestation-proof").count(),
        set: ok.headers.into_iter().filter_map(|option| Some(option.header?.key)).collect(),
        removed: ok.headers_to_remove,
    })
}
