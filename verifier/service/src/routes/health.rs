//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_core::time::Timestamp;
use countersign_edge::EdgeRuntime;

use crate::edge::store_metrics;
use crate::service::Service;

/// Alive: the process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready: an enrolment could be committed now, edges get a deny list (without one they refuse everything soon), and the
/// edge of this process has the keys that it decides with.
pub(super) async fn readyz(State(service): State<Arc<Service>>) -> Response {
    let keys_missing = service.edge.as_ref().is_some_and(|edge| !edge.runtime().is_ready());
    let usable = match service.store.check_writable().await {
        Ok(()) => service.deny_list().await.map(drop),
        Err(error) => Err(error),
    };
    match usable {
        Ok(()) if keys_missing => {
            let no_store =
                service.edge.as_ref().is_some_and(|edge| edge.runtime().is_store_connected() == Some(false));
            let sentence = if no_store {
                "the shared store has not been reached yet\n"
            } else {
                "the keys of an authorization server have not come yet, or are too old to be believed\n"
            };
            (StatusCode::SERVICE_UNAVAILABLE, sentence).into_response()
        }
        Ok(()) => {
            let (trust, now) = (service.trust.load(), service.clock.now());
            let age = trust.revocation_age(now);
            let list = age.map(|(age, stale)| {
                let verdict = if stale { ", which is too old for the policy" } else { "" };
                format!("the status list is {} hours old{verdict}\n", age / 3600)
            });
            let bundle = trust.bundle_time_left(now).map(|left| match left {
                0 => "the trust bundle has expired: no device gets a result\n".to_owned(),
                left => format!("the trust bundle expires in {} hours\n", left / 3600),
            });
            format!("ready\n{}{}", list.unwrap_or_default(), bundle.unwrap_or_default()).into_response()
        }
        Err(error) => {
            service.metrics.store_error(error.reason());
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
        }
    }
}

/// Prometheus' text format.
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let mut text = service.metrics.to_prometheus();
    if let Some(edge) = &service.edge {
        let edge = edge.runtime();
        keys_as_of(&edge, &mut text);
        text.push_str(&store_metrics(&edge));
    }
    (content_type, text).into_response()
}

/// When each issuer last said which keys are in force; 0 before it did.
pub(super) fn keys_as_of(edge: &EdgeRuntime, text: &mut String) {
    const NAME: &str = "countersign_edge_keys_as_of_seconds";
    text.push_str(&format!(
        "# HELP {NAME} When an issuer's keys were last fetched; 0: not yet.\n# TYPE {NAME} gauge\n"
    ));
    for (issuer, as_of) in edge.keys_as_of() {
        let issuer = issuer.replace('\\', "\\\\").replace('"', "\\\"");
        let seconds = as_of.map(Timestamp::as_unix_seconds).unwrap_or_default();
        text.push_str(&format!("{NAME}{{issuer=\"{issuer}\"}} {seconds}\n"));
    }
}
