//! `GET /v1/deny-list`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_core::enrolment::Cure;
use countersign_core::token::cose::typ;
use countersign_verifier::issue::Signer;

use super::problem::{PublicCode, problem};
use crate::service::Service;

/// The signed list of banned instances. Its tag changes with its content, and often enough that nobody keeps a list
/// until it expires.
pub(super) async fn current(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    let unavailable = || problem(PublicCode::Unavailable, Some(Cure::Retry), None);
    let list = match service.deny_list().await {
        Ok(list) => list,
        Err(error) => {
            service.metrics.store_error(error.reason());
            tracing::error!(%error, "bans cannot be read");
            return unavailable();
        }
    };
    let key = service.keys.results.current();
    let epoch = list.issued_at.as_unix_seconds() / 60;
    let Ok(tag) = HeaderValue::try_from(format!("\"{}-{}-{epoch}\"", key.key_id(), list.sequence)) else {
        return unavailable();
    };
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let message = list.to_unsigned(key.key_id());
    let Ok(signature) = key.sign(&message.to_be_signed()) else { return unavailable() };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(typ::DENY_LIST)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::ETAG, tag),
    ];
    (headers, message.with_signature(&signature)).into_response()
}
