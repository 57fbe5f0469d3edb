//! `/admin/v1`: the administration over HTTP, on the admin listener alone, for whoever holds an admin key.

mod access;
#[cfg(test)]
mod access_tests;
mod acts;
mod attempts;
mod decisions;
mod development_keys;
mod instances;
#[cfg(test)]
mod instances_tests;
mod message;
#[cfg(test)]
mod office;
mod subjects;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::routing::{delete, get, post};
use axum::{Router, middleware};

use crate::service::Service;
use message::{Code, Refused};

/// Every call, behind the check of the key; what is not a call is refused behind it too, so that nobody without a
/// key learns which there are.
pub(super) fn router(service: &Arc<Service>) -> Router<Arc<Service>> {
    Router::new()
        .route("/instances", get(instances::list))
        .route("/instances/{id}", get(instances::show).delete(instances::erase))
        .route("/instances/{id}/ban", post(instances::ban))
        .route("/instances/{id}/unban", post(instances::unban))
        .route("/subjects", get(subjects::list).post(subjects::ban))
        .route("/subjects/{id}", delete(subjects::unban))
        .route("/decisions", get(decisions::list))
        .route("/decisions/{reference}", get(decisions::explain))
        .route("/development-keys", get(development_keys::list).post(development_keys::add))
        .route("/development-keys/{id}", delete(development_keys::revoke))
        .route("/acts", get(acts::list))
        .route("/attempts", get(attempts::list))
        .fallback(async || Refused::new(Code::NotFound))
        .method_not_allowed_fallback(async || Refused::new(Code::MethodNotAllowed))
        .layer(middleware::from_fn_with_state(Arc::clone(service), access::authorise))
}
