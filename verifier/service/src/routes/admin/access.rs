//! Who may call: an admin key in one `Authorization` field, and nowhere else.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use countersign_core::time::Timestamp;

use super::message::{Code, Refused};
use crate::administration::{AdminKey, KeyRefusal};
use crate::service::Service;
use crate::store::{Actor, StoreError};

/// Who calls: the key's name, under which the trail has what he does.
#[derive(Clone, Debug)]
pub(super) struct Administrator {
    name: String,
    now: Timestamp,
}

impl Administrator {
    /// Who acts, and when.
    pub(super) fn actor(&self) -> Actor<'_> {
        Actor { name: &self.name, now: self.now }
    }
}

/// Lets a call through that comes with a good key. The address counts as it connects: what a proxy says of others is
/// not looked at, since anybody may say it.
pub(super) async fn authorise(
    State(service): State<Arc<Service>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let (source, now) = (peer.ip(), service.clock.now());
    let refusal = if service.key_failures.is_spent(source, now) {
        KeyRefusal::BudgetSpent
    } else {
        match administrator(&service, presented(&request), now).await {
            Ok(Ok(administrator)) => {
                request.extensions_mut().insert(administrator);
                return uncached(next.run(request).await);
            }
            Ok(Err(refusal)) => refusal,
            Err(error) => return uncached(Refused::store(&service, &error).into_response()),
        }
    };
    service.metrics.admin_key_failure(refusal.reason());
    tracing::warn!(%source, reason = refusal.reason(), "a call of the administration is refused");
    // Whoever forgot the key guesses nothing.
    if !matches!(refusal, KeyRefusal::Absent | KeyRefusal::BudgetSpent) {
        service.key_failures.spend(source, now);
    }
    let code = match refusal {
        KeyRefusal::BudgetSpent => Code::TooManyFailures,
        KeyRefusal::InQuery => Code::KeyInQuery,
        KeyRefusal::InPath => Code::KeyInPath,
        _ => Code::Unauthorized,
    };
    uncached(Refused::new(code).into_response())
}

async fn administrator(
    service: &Service,
    presented: Result<AdminKey, KeyRefusal>,
    now: Timestamp,
) -> Result<Result<Administrator, KeyRefusal>, StoreError> {
    let key = match presented {
        Ok(key) => key,
        Err(refusal) => return Ok(Err(refusal)),
    };
    // Read for each call, so that a revocation counts at once, wherever it was made.
    let records = service.store.admin_keys().await?;
    let record = key.find(&records, now);
    Ok(record.map(|record| Administrator { name: record.name.clone(), now }))
}

/// The key of a call, if it came as it must.
fn presented(request: &Request) -> Result<AdminKey, KeyRefusal> {
    if has_key_in_query(request.uri()) {
        return Err(KeyRefusal::InQuery);
    }
    if has_key_in_path(request.uri()) {
        return Err(KeyRefusal::InPath);
    }
    let mut lines = request.headers().get_all(header::AUTHORIZATION).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Err(KeyRefusal::Absent),
        (Some(line), None) => AdminKey::from_authorization(line.as_bytes()).ok_or(KeyRefusal::Malformed),
        (Some(_), Some(_)) => Err(KeyRefusal::Malformed),
    }
}

/// Whether an admin key stands in the query, under whatever name.
fn has_key_in_query(uri: &Uri) -> bool {
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else { return false };
    pairs.iter().any(|(name, value)| [name, value].iter().any(|text| AdminKey::from_text(text).is_some()))
}

/// Whether a part of the path is an admin key.
fn has_key_in_path(uri: &Uri) -> bool {
    // Percent-encoding is undone as in a query; what else that does concerns no character of a key.
    let as_query = |part: &str| Uri::try_from(format!("/?{part}"));
    uri.path().split('/').any(|part| as_query(part).is_ok_and(|uri| has_key_in_query(&uri)))
}

fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
