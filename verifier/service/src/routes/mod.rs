//! What each listener answers.

mod challenge;
mod health;
mod instances;
mod problem;
#[cfg(test)]
mod tests;
mod well_known;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::service::Service;

/// For devices.
pub(crate) fn public(service: &Arc<Service>) -> Router {
    Router::new()
        .route("/v1/challenge", post(challenge::issue))
        .route("/v1/instances", post(instances::enrol))
        .route("/v1/instances/{id}/results", post(instances::renew))
        .route("/.well-known/jwks.json", get(well_known::jwks))
        .route("/.well-known/oauth-protected-resource", get(well_known::only_resource))
        .route("/.well-known/oauth-protected-resource/{*path}", get(well_known::resource))
        .with_state(Arc::clone(service))
}

/// For gateways.
pub(crate) fn edge(service: &Arc<Service>) -> Router {
    Router::new().with_state(Arc::clone(service))
}

/// For operators.
pub(crate) fn admin(service: &Arc<Service>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .with_state(Arc::clone(service))
}
