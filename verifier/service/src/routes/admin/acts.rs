//! `/admin/v1/acts`: who changed what, and when.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Deserialize;

use super::message::{Refused, found, query};
use crate::administration::{Cursor, Limit, act, page};
use crate::service::Service;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

/// A page of acts, the latest first.
pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refused> {
    let asked: ListQuery = query(&uri)?;
    let before = asked.cursor.as_ref().map(Cursor::number).transpose()?;
    let Limit(limit) = asked.limit;
    let acts = service.store.acts(before, limit).await;
    let acts = acts.map_err(|error| Refused::store(&service, &error))?;
    let last = acts.last().map(|act| act.number.to_string());
    Ok(found(page("acts", acts.iter().map(act).collect(), limit, last)))
}
