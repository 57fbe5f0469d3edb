//! What an edge that runs apart from the service answers beside its decisions: health, metrics, and the metadata that
//! its challenges point to.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{health::keys_as_of, well_known};
use crate::abuse::Attempts;
use crate::edge::{EdgeInForce, store_metrics};
use crate::telemetry::Metrics;

/// What its routes share.
#[derive(Debug)]
pub(crate) struct EdgeState {
    pub(crate) edge: Arc<EdgeInForce>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) attempts: Arc<Attempts>,
}

/// Ready: every key set has come, and there is a deny list that is still good.
pub(super) async fn readyz(State(state): State<Arc<EdgeState>>) -> Response {
    let edge = state.edge.runtime();
    let listed = edge.edge().deny_list().is_some_and(|list| edge.now() < list.expires_at);
    let missing = match (edge.is_ready(), listed) {
        (true, true) => return "ready\n".into_response(),
        (false, _) if edge.is_store_connected() == Some(false) => {
            "the shared store has not been reached yet\n"
        }
        (false, _) => "keys of the attestation service or of an authorization server have not come yet\n",
        (true, false) => {
            "there is no current deny list: the attestation service has not answered for ten minutes\n"
        }
    };
    (StatusCode::SERVICE_UNAVAILABLE, missing).into_response()
}

/// Prometheus' text format.
pub(super) async fn metrics(State(state): State<Arc<EdgeState>>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let edge = state.edge.runtime();
    let ends = edge.edge().deny_list().map_or(0, |list| list.expires_at.as_unix_seconds());
    let mut text = format!(
        "{}# HELP countersign_deny_list_expires_at_seconds End of the deny list in force, since the epoch; 0: none.\n\
         # TYPE countersign_deny_list_expires_at_seconds gauge\ncountersign_deny_list_expires_at_seconds {ends}\n",
        state.metrics.to_prometheus()
    );
    keys_as_of(&edge, &mut text);
    text.push_str(&store_metrics(&edge));
    (content_type, text).into_response()
}

/// Metadata of the only protected resource (RFC 9728).
pub(super) async fn only_resource(State(state): State<Arc<EdgeState>>) -> Response {
    well_known::only(&state.edge.edition().resources)
}

/// Metadata of the protected resource of a name, or whose identifier ends in this path (RFC 9728 section 3.1).
pub(super) async fn resource(State(state): State<Arc<EdgeState>>, Path(path): Path<String>) -> Response {
    well_known::named(&state.edge.edition().resources, &path)
}
