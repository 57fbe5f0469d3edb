//! `GET /v1/deny-list`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_core::enrolment::Cure;
use countersign_core::time::Timestamp;
use countersign_core::token::cose::typ;
use countersign_verifier::issue::Signer;
use tokio::sync::Mutex;

use super::problem::{PublicCode, problem};
use crate::service::Service;
use crate::store::StoreError;

/// The list that was signed last, with its tag. It is read from the registry and signed once for each change and minute,
/// however often it is asked for: anybody may ask.
pub(crate) type LastDenyList = Mutex<Option<(HeaderValue, Bytes)>>;

/// The signed list of banned instances. Its tag changes with its content, and often enough that nobody keeps a list
/// until it expires.
pub(super) async fn current(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    match answer(&service, &headers).await {
        Ok(response) => response,
        Err(error) => {
            if let Some(error) = error {
                service.metrics.store_error(error.reason());
                tracing::error!(%error, "bans cannot be read");
            }
            problem(PublicCode::Unavailable, Some(Cure::Retry), None)
        }
    }
}

/// The answer; no error where it cannot be signed.
async fn answer(service: &Service, headers: &HeaderMap) -> Result<Response, Option<StoreError>> {
    let tag = tag_of(service, service.store.ban_sequence().await?, service.clock.now())?;
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    // Held while a list is made, so that those who ask meanwhile get the same one.
    let mut last = service.last_deny_list.lock().await;
    let (tag, message) = match &*last {
        Some((known, message)) if *known == tag => (tag, message.clone()),
        _ => {
            let list = service.deny_list().await?;
            let key = service.keys.results.current();
            let unsigned = list.to_unsigned(key.key_id());
            let signature = key.sign(&unsigned.to_be_signed()).map_err(|_| None)?;
            let message = Bytes::from(unsigned.with_signature(&signature));
            let tag = tag_of(service, list.sequence, list.issued_at)?;
            *last = Some((tag.clone(), message.clone()));
            (tag, message)
        }
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(typ::DENY_LIST)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::ETAG, tag),
    ];
    Ok((headers, message).into_response())
}

fn tag_of(service: &Service, sequence: u64, time: Timestamp) -> Result<HeaderValue, Option<StoreError>> {
    let (key, minute) = (service.keys.results.current(), time.as_unix_seconds() / 60);
    HeaderValue::try_from(format!("\"{}-{sequence}-{minute}\"", key.key_id())).map_err(|_| None)
}
