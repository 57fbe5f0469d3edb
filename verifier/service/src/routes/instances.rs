//! `POST /v1/instances` and `POST /v1/instances/{id}/results`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{ConnectInfo, Path, State};
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
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    attest(&service, source(peer, &headers), None, &headers, body).await
}

/// Renews the result of an instance.
pub(super) async fn renew(
    State(service): State<Arc<Service>>,
    id: Result<Path<String>, PathRejection>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match id.map(|Path(id)| InstanceId::from_base64url(&id)) {
        Ok(Ok(id)) => attest(&service, source(peer, &headers), Some(id), &headers, body).await,
        _ => problem(PublicCode::UnknownInstance, Some(countersign_core::enrolment::Cure::ReEnrol), None),
    }
}

async fn attest(
    service: &Service,
    source: IpAddr,
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
    match service.attest_from(source, addressed, &body).await {
        Ok(answer) => {
            let status = if addressed.is_some() { StatusCode::OK } else { StatusCode::CREATED };
            (status, [(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
        }
        Err(Denial { reference, cause }) => problem(public_code(&cause), cause.cure(), reference),
    }
}

/// Where a call comes from: the peer, or behind a proxy on this machine the address that it added last. Without a
/// proxy that adds one, a client can claim any address there; all that this is used for is a bound per address
/// beside one for all.
fn source(peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
    let peer = peer.ip().to_canonical();
    let added = || {
        let line = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        line.rsplit(',').next()?.trim().parse::<IpAddr>().ok()
    };
    if peer.is_loopback() { added().unwrap_or(peer) } else { peer }
}

/// What the device is told; why exactly stays with the operator.
fn public_code(cause: &Cause) -> PublicCode {
    match cause {
        Cause::Enrolment(error) => match error {
            EnrolmentError::Challenge(_) => PublicCode::ChallengeNotUsable,
            EnrolmentError::UnknownInstance | EnrolmentError::InstanceMismatch => PublicCode::UnknownInstance,
            EnrolmentError::PlayIntegrityUnreachable => PublicCode::Unavailable,
            EnrolmentError::KeyNotAttested | EnrolmentError::EvidenceDue | EnrolmentError::Evidence(_) => {
                PublicCode::EvidenceNotVerified
            }
            EnrolmentError::UnknownClient
            | EnrolmentError::DevelopmentInstance
            | EnrolmentError::UnknownDevelopmentKey => PublicCode::Refused,
            _ => PublicCode::InvalidMessage,
        },
        Cause::ChallengeUsed | Cause::AnswerExpired => PublicCode::ChallengeNotUsable,
        Cause::CounterNotAbove => PublicCode::EvidenceNotVerified,
        Cause::Banned
        | Cause::Withdrawn
        | Cause::Policy
        | Cause::DevelopmentKey(_)
        | Cause::DevelopmentKeyMissing => PublicCode::Refused,
        Cause::RevocationListTooOld
        | Cause::TrustBundleExpired
        | Cause::AttestationKeySharedMore
        | Cause::Store(_)
        | Cause::Unable => PublicCode::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_a_proxy_on_this_machine_speaks_for_others() {
        let mut headers = HeaderMap::new();
        let source = |peer: &str, headers: &HeaderMap| {
            source(SocketAddr::new(peer.parse().unwrap(), 1), headers).to_string()
        };
        assert_eq!(source("127.0.0.1", &headers), "127.0.0.1");
        headers.append("x-forwarded-for", HeaderValue::from_static("203.0.113.1"));
        headers.append("x-forwarded-for", HeaderValue::from_static("198.51.100.9, 192.0.2.7"));
        for (peer, expected) in
            [("127.0.0.1", "192.0.2.7"), ("::ffff:127.0.0.1", "192.0.2.7"), ("203.0.113.5", "203.0.113.5")]
        {
            assert_eq!(source(peer, &headers), expected);
        }
    }

    #[test]
    fn what_the_policy_does_not_accept_is_refused_and_not_called_invalid() {
        for error in [
            EnrolmentError::UnknownClient,
            EnrolmentError::DevelopmentInstance,
            EnrolmentError::UnknownDevelopmentKey,
        ] {
            assert_eq!(public_code(&Cause::Enrolment(error.clone())), PublicCode::Refused, "{error:?}");
        }
        for error in [EnrolmentError::Signature, EnrolmentError::Issuer, EnrolmentError::UnexpectedEvidence] {
            assert_eq!(
                public_code(&Cause::Enrolment(error.clone())),
                PublicCode::InvalidMessage,
                "{error:?}"
            );
        }
    }
}
