//! `/admin/v1/attempts`: requests that the edge refused, or would have.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::message::{Refused, found, query};
use crate::abuse::{Attempt, AttemptFilter};
use crate::administration::{Cursor, Limit, Time, page};
use crate::service::Service;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    since: Option<Time>,
    before: Option<Time>,
    source: Option<String>,
    resource: Option<String>,
    route: Option<String>,
    client_id: Option<String>,
    instance: Option<String>,
    app_version: Option<String>,
    reason: Option<String>,
    class: Option<String>,
    verdict: Option<String>,
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

/// A page of attempts, the latest first.
pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refused> {
    let asked: ListQuery = query(&uri)?;
    let before = asked.cursor.as_ref().map(Cursor::number).transpose()?.map(i64::unsigned_abs);
    let filter = AttemptFilter {
        since: asked.since.map(|Time(time)| time),
        before: asked.before.map(|Time(time)| time),
        source: asked.source,
        resource: asked.resource,
        route: asked.route,
        client_id: asked.client_id,
        instance: asked.instance,
        app_version: asked.app_version,
        reason: asked.reason,
        class: asked.class,
        verdict: asked.verdict,
    };
    let Limit(limit) = asked.limit;
    let attempts = service.attempts.list(&filter, before, limit, service.clock.now());
    let last = attempts.last().map(|(number, _)| number.to_string());
    let entry = |(_, attempt): &(u64, Attempt)| {
        json!({
            "time": attempt.time.as_unix_seconds(),
            "source": attempt.source,
            "user_agent": attempt.user_agent,
            "resource": attempt.resource,
            "route": attempt.route,
            "client_id": attempt.client_id,
            "instance": attempt.instance.map(|id| id.to_base64url()),
            "app_version": attempt.app_version,
            "proven": attempt.is_proven,
            "reason": attempt.reason,
            "class": attempt.class.name(),
            "verdict": attempt.verdict,
        })
    };
    Ok(found(page("attempts", attempts.iter().map(entry).collect(), limit, last)))
}
