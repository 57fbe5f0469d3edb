//! What each listener answers.

mod admin;
mod challenge;
mod deny_list;
mod edge_check;
#[cfg(test)]
mod edge_check_tests;
mod edge_only;
mod envoy_check;
mod health;
mod instances;
mod problem;
#[cfg(test)]
mod tests;
mod well_known;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{any, get, post};

pub(crate) use deny_list::LastDenyList;
pub(crate) use edge_check::EdgeListener;
pub(crate) use edge_only::EdgeState;
pub(crate) use well_known::{cacheable, metadata, metadata_url};

use crate::gateways::ext_authz::CHECK_PATH;
use crate::service::Service;
use crate::settings::Gateway;

/// For devices.
pub(crate) fn public(service: &Arc<Service>) -> Router {
    Router::new()
        .route("/v1/challenge", post(challenge::issue))
        .route("/v1/instances", post(instances::enrol))
        .route("/v1/instances/{id}/results", post(instances::renew))
        .route("/v1/deny-list", get(deny_list::current))
        .route("/.well-known/jwks.json", get(well_known::jwks))
        .route("/.well-known/oauth-protected-resource", get(well_known::only_resource))
        .route("/.well-known/oauth-protected-resource/{*path}", get(well_known::resource))
        .with_state(Arc::clone(service))
}

/// For gateways. Envoy over HTTP asks with the original path behind the resource's name.
pub(crate) fn edge(listener: EdgeListener) -> Router {
    let router = match listener.gateway {
        Gateway::EnvoyGrpc => Router::new().route(CHECK_PATH, post(envoy_check::check)),
        _ => Router::new()
            .route("/edge/check/{resource}", any(edge_check::check))
            .route("/edge/check/{resource}/", any(edge_check::check))
            .route("/edge/check/{resource}/{*original}", any(edge_check::check)),
    };
    router
        .layer(middleware::from_fn_with_state(listener.clone(), edge_check::only_trusted_gateways))
        .with_state(listener)
}

/// For operators: health and metrics for whoever reaches the listener, the administration for whoever holds a key.
pub(crate) fn admin(service: &Arc<Service>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .nest("/admin/v1", admin::router(service))
        .with_state(Arc::clone(service))
}

/// For operators of an edge that runs apart from the service.
pub(crate) fn edge_admin(state: &Arc<EdgeState>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(edge_only::readyz))
        .route("/metrics", get(edge_only::metrics))
        .with_state(Arc::clone(state))
}

/// For everybody, through the gateway: what the challenges of such an edge point to.
pub(crate) fn resource_metadata(state: &Arc<EdgeState>) -> Router {
    Router::new()
        .route("/.well-known/oauth-protected-resource", get(edge_only::only_resource))
        .route("/.well-known/oauth-protected-resource/{*path}", get(edge_only::resource))
        .with_state(Arc::clone(state))
}
