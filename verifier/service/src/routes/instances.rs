//! `POST /v1/instances` and `POST /v1/instances/{id}/results`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_core::token::result::InstanceId;
use countersign_verifier::enrolment::EnrolmentError;

use super::problem::{PublicCode, problem};
use crate::attestation::{Cause, Denial};
use crate::service::Service;

const CBOR: &str = "application/cbor";

/// Enrols a device.
pub(super) async fn enrol(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    attest(&service, None, &headers, body).await
}

/// Renews the result of an instance.
pub(super) async fn renew(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match InstanceId::from_base64url(&id) {
        Ok(id) => attest(&service, Some(id), &headers, body).await,
        Err(_) => {
            problem(PublicCode::UnknownInstance, Some(countersign_core::enrolment::Cure::ReEnrol), None)
        }
    }
}

async fn attest(
    service: &Service,
    addressed: Option<InstanceId>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let is_cbor = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == CBOR.as_bytes());
    let body = match body {
        Ok(body) if is_cbor => body,
        Ok(_) => return problem(PublicCode::InvalidMessage, None, None),
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return problem(PublicCode::MessageTooLarge, None, None);
        }
        Err(_) => return problem(PublicCode::InvalidMessage, None, None),
    };
    match service.attest(addressed, &body).await {
        Ok(answer) => {
            let status = if addressed.is_some() { StatusCode::OK } else { StatusCode::CREATED };
            (status, [(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
        }
        Err(Denial { reference, cause }) => problem(public_code(&cause), cause.cure(), reference),
    }
}

/// What the device is told; why exactly stays with the operator.
fn public_code(cause: &Cause) -> PublicCode {
    match cause {
        Cause::Enrolment(error) => match error {
            EnrolmentError::Challenge(_) => PublicCode::ChallengeNotUsable,
            EnrolmentError::UnknownInstance | EnrolmentError::InstanceMismatch => PublicCode::UnknownInstance,
            EnrolmentError::KeyNotAttested | EnrolmentError::Evidence(_) => PublicCode::EvidenceNotVerified,
            EnrolmentError::UnknownDevelopmentKey => PublicCode::Refused,
            _ => PublicCode::InvalidMessage,
        },
        Cause::ChallengeUsed => PublicCode::ChallengeNotUsable,
        Cause::CounterNotAbove => PublicCode::EvidenceNotVerified,
        Cause::Banned | Cause::Policy => PublicCode::Refused,
        Cause::Store(_) | Cause::Unable => PublicCode::Unavailable,
    }
}
