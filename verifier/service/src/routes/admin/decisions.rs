//! `/admin/v1/decisions`: what was decided and why.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::message::{Code, Refused, Segment, found, query, without_query};
use crate::administration::{Cursor, Explanation, Limit, Time, page_of_readable};
use crate::service::Service;
use crate::store::{DecisionFilter, DecisionNumber, Reference};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    since: Option<Time>,
    before: Option<Time>,
    verdict: Option<Verdict>,
    reason: Option<String>,
    client_id: Option<String>,
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Affirming,
    Warning,
    Refused,
    Withdrawn,
    Restored,
    Lowered,
    Raised,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Restored => "restored",
            Self::Lowered => "lowered",
            Self::Raised => "raised",
        }
    }
}

/// A page of decisions, the latest first.
pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refused> {
    let asked: ListQuery = query(&uri)?;
    let before = asked.cursor.as_ref().map(Cursor::number).transpose()?.map(DecisionNumber);
    let filter = DecisionFilter {
        since: asked.since.map(|Time(time)| time),
        before: asked.before.map(|Time(time)| time),
        verdict: asked.verdict.map(|verdict| verdict.name().to_owned()),
        reason: asked.reason,
        client_id: asked.client_id,
    };
    let Limit(limit) = asked.limit;
    let decisions = service.store.decisions(&filter, before, limit).await;
    let decisions = decisions.map_err(|error| Refused::store(&service, &error))?;
    let last = decisions.last.map(|DecisionNumber(number)| number.to_string());
    let entries = decisions.whole.iter().map(|decision| {
        json!({
            "reference": decision.reference.as_str(),
            "time": decision.time.as_unix_seconds(),
            "client_id": decision.client_id,
            "instance": decision.instance.map(|id| id.to_base64url()),
            "verdict": decision.verdict,
            "reasons": decision.reasons,
        })
    });
    Ok(found(page_of_readable("decisions", entries.collect(), decisions.unreadable, limit, last)))
}

/// The decision of a reference, with all that led to it.
pub(super) async fn explain(
    State(service): State<Arc<Service>>,
    Segment(reference): Segment,
    uri: Uri,
) -> Result<Response, Refused> {
    without_query(&uri)?;
    let not_found = || Refused::new(Code::NotFound);
    let reference = Reference::from_text(&reference.to_ascii_uppercase()).ok_or_else(not_found)?;
    let decision = service.store.decision(reference.as_str()).await;
    let decision = decision.map_err(|error| Refused::store(&service, &error))?.ok_or_else(not_found)?;
    Ok(found(Explanation::of(&decision).to_json()))
}
