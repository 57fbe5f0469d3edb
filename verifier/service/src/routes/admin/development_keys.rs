//! `/admin/v1/development-keys`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::access::Administrator;
use super::message::{Bare, Refused, Segment, body, done, found, without_query};
use crate::administration::{Expiry, Time, client_ids, development_key, from_jwk, name, page, public_key};
use crate::attestation::fresh_reference;
use crate::service::Service;
use crate::store::DevelopmentKeyRecord;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    id: String,
    public_key: Key,
    client_ids: Vec<String>,
    expires: Time,
}

/// A JWK, or text in PEM.
#[derive(Deserialize)]
#[serde(untagged, expecting = "`public_key` is a JWK, or text in PEM")]
enum Key {
    Jwk(Map<String, Value>),
    Pem(String),
}

/// All development keys.
pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refused> {
    without_query(&uri)?;
    let keys = service.store.development_keys().await;
    let keys = keys.map_err(|error| Refused::store(&service, &error))?;
    let now = service.clock.now();
    let entries = keys.iter().map(|key| development_key(key, now)).collect();
    Ok(found(page("development_keys", entries, 0, None)))
}

/// Registers a development key.
pub(super) async fn add(
    State(service): State<Arc<Service>>,
    Extension(administrator): Extension<Administrator>,
    uri: Uri,
    headers: HeaderMap,
    said: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    without_query(&uri)?;
    let Registration { id, public_key: key, client_ids: clients, expires: Time(expires) } =
        body(&headers, said)?;
    let by = administrator.actor();
    name("id", &id)?;
    client_ids(&clients, &service.trust.load().policy)?;
    let expires = Expiry::At(expires).of_development_key(by.now)?;
    let read = match &key {
        Key::Jwk(object) => from_jwk(object),
        Key::Pem(text) => public_key(text.as_bytes()),
    };
    let public_key = read.map_err(|error| Refused::invalid(error.to_string()))?;
    let key =
        DevelopmentKeyRecord { id, public_key, client_ids: clients, created: by.now, expires, revoked: None };
    service.store.add_development_key(&key, &by).await.map_err(|error| Refused::change(&service, &error))?;
    Ok((StatusCode::CREATED, Json(development_key(&key, by.now))).into_response())
}

/// Revokes a development key.
pub(super) async fn revoke(
    State(service): State<Arc<Service>>,
    Extension(administrator): Extension<Administrator>,
    Segment(id): Segment,
    _: Bare,
) -> Result<Response, Refused> {
    let revoked = service.store.revoke_development_key(&id, &administrator.actor(), fresh_reference).await;
    let withdrawn = revoked.map_err(|error| Refused::store(&service, &error))?;
    // The edge of this process hears of the withdrawn now.
    service.bans_changed.notify_one();
    done(withdrawn.is_some())
}
