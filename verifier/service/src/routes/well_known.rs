//! `/.well-known/…`: what others need to know to trust this service.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::service::Service;

/// The public keys: current, next, and previous until their last token has expired (RFC 7517).
pub(super) async fn jwks(State(service): State<Arc<Service>>) -> Response {
    ([(header::CACHE_CONTROL, "public, max-age=300")], Json(service.keys.public_jwks())).into_response()
}
