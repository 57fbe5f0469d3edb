//! `/admin/v1/subjects`. A ban is addressed by the digest that the deny list has, so that no user stands in a URL.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use countersign_core::encoding::from_base64url_array;
use countersign_verifier::check::deny_list::SubjectDigest;
use serde::Deserialize;

use super::access::Administrator;
use super::message::{Bare, Code, Refused, Segment, body, done, found, query, without_query};
use crate::administration::{Cursor, Limit, ban_reason, issuer, page, subject, subject_ban};
use crate::service::Service;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    issuer: Option<String>,
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ban {
    issuer: String,
    subject: String,
    reason: String,
}

/// A page of banned users.
pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refused> {
    let asked: ListQuery = query(&uri)?;
    let after = asked.cursor.as_ref().map(Cursor::bytes).transpose()?.map(SubjectDigest::from_bytes);
    let Limit(limit) = asked.limit;
    let bans = service.store.subject_bans(asked.issuer.as_deref(), after, limit).await;
    let entries: Vec<_> =
        bans.map_err(|error| Refused::store(&service, &error))?.iter().map(subject_ban).collect();
    let last = entries.last().and_then(|ban| Some(ban["id"].as_str()?.to_owned()));
    Ok(found(page("subjects", entries, limit, last)))
}

/// Bans a user.
pub(super) async fn ban(
    State(service): State<Arc<Service>>,
    Extension(administrator): Extension<Administrator>,
    uri: Uri,
    headers: HeaderMap,
    said: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    without_query(&uri)?;
    let said: Ban = body(&headers, said)?;
    let (issuer, subject, reason) =
        (issuer(&said.issuer)?, subject(&said.subject)?, ban_reason(&said.reason)?);
    let banned = service.store.ban_subject(issuer, subject, reason, &administrator.actor()).await;
    let ban = banned.map_err(|error| Refused::change(&service, &error))?;
    service.bans_changed.notify_one();
    Ok((StatusCode::CREATED, Json(subject_ban(&ban))).into_response())
}

/// Lifts the ban of a user.
pub(super) async fn unban(
    State(service): State<Arc<Service>>,
    Extension(administrator): Extension<Administrator>,
    Segment(id): Segment,
    _: Bare,
) -> Result<Response, Refused> {
    let digest = from_base64url_array(&id).map_err(|_| Refused::new(Code::NotFound))?;
    let unbanned =
        service.store.unban_subject(&SubjectDigest::from_bytes(digest), &administrator.actor()).await;
    let unbanned = unbanned.map_err(|error| Refused::store(&service, &error))?;
    service.bans_changed.notify_one();
    done(unbanned)
}
