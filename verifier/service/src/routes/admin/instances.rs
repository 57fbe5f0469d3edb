//! `/admin/v1/instances`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use countersign_core::token::result::InstanceId;
use serde::Deserialize;

use super::access::Administrator;
use super::message::{BanBody, Bare, Code, Refused, Segment, body, done, found, query, without_query};
use crate::administration::{Cursor, Limit, TierName, Time, ban_reason, instance, page_of_instances};
use crate::service::Service;
use crate::store::{InstanceFilter, PlatformName};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    client_id: Option<String>,
    platform: Option<PlatformName>,
    tier: Option<TierName>,
    banned: Option<bool>,
    withdrawn: Option<bool>,
    updated_since: Option<Time>,
    updated_before: Option<Time>,
    app_version: Option<String>,
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

/// A page of instances.
pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refused> {
    let asked: ListQuery = query(&uri)?;
    let after = asked.cursor.as_ref().map(Cursor::bytes).transpose()?.map(InstanceId::from_bytes);
    let filter = InstanceFilter {
        client_id: asked.client_id,
        platform: asked.platform,
        tier: asked.tier.map(Into::into),
        banned: asked.banned,
        withdrawn: asked.withdrawn,
        updated_since: asked.updated_since.map(|Time(time)| time),
        updated_before: asked.updated_before.map(|Time(time)| time),
        app_version: asked.app_version,
    };
    let Limit(limit) = asked.limit;
    let records = service.store.instances(&filter, after, limit).await;
    let records = records.map_err(|error| Refused::store(&service, &error))?;
    Ok(found(page_of_instances(&records, limit)))
}

/// One instance.
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, Refused> {
    without_query(&uri)?;
    let record = service.store.instance(&named(&id)?).await;
    let record = record.map_err(|error| Refused::store(&service, &error))?;
    record.map(|record| found(instance(&record))).ok_or(Refused::new(Code::NotFound))
}

/// Erases an instance and its evidence.
pub(super) async fn erase(
    State(service): State<Arc<Service>>,
    Extension(administrator): Extension<Administrator>,
    Segment(id): Segment,
    _: Bare,
) -> Result<Response, Refused> {
    let erased = service.store.erase_instance(&named(&id)?, &administrator.actor()).await;
    changed(&service, erased.map_err(|error| Refused::change(&service, &error))?)
}

/// Bans an instance.
pub(super) async fn ban(
    State(service): State<Arc<Service>>,
    Extension(administrator): Extension<Administrator>,
    Segment(id): Segment,
    uri: Uri,
    headers: HeaderMap,
    said: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    without_query(&uri)?;
    let BanBody { reason } = body(&headers, said)?;
    let banned = service.store.ban_instance(&named(&id)?, ban_reason(&reason)?, &administrator.actor()).await;
    changed(&service, banned.map_err(|error| Refused::change(&service, &error))?)
}

/// Lifts the ban of an instance.
pub(super) async fn unban(
    State(service): State<Arc<Service>>,
    Extension(administrator): Extension<Administrator>,
    Segment(id): Segment,
    _: Bare,
) -> Result<Response, Refused> {
    let unbanned = service.store.unban_instance(&named(&id)?, &administrator.actor()).await;
    changed(&service, unbanned.map_err(|error| Refused::change(&service, &error))?)
}

/// What is no identifier names no instance.
fn named(id: &str) -> Result<InstanceId, Refused> {
    InstanceId::from_base64url(id).map_err(|_| Refused::new(Code::NotFound))
}

/// A change after which edges are to have another deny list.
fn changed(service: &Service, changed: bool) -> Result<Response, Refused> {
    service.bans_changed.notify_one();
    done(changed)
}
