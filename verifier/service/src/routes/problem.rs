//! Refusals of the attestation service as a device sees them (RFC 9457): a public code, a reference, one cure.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_core::enrolment::{Cure, Problem};

use crate::store::Reference;

/// What a device is told. The precise reason stays in the audit record under the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublicCode {
    /// The message cannot be read, or does not prove possession of its keys.
    InvalidMessage,
    /// The message is larger than 64 KiB.
    MessageTooLarge,
    /// The challenge is not of this service, too old, or used.
    ChallengeNotUsable,
    /// There is no such instance, or the message is not of its key.
    UnknownInstance,
    /// The evidence could not be verified.
    EvidenceNotVerified,
    /// The evidence is genuine, and the policy refuses what it says.
    Refused,
    /// The service cannot answer now.
    Unavailable,
}

impl PublicCode {
    /// The code, as it ends the problem's type.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::InvalidMessage => "invalid-message",
            Self::MessageTooLarge => "message-too-large",
            Self::ChallengeNotUsable => "challenge-not-usable",
            Self::UnknownInstance => "unknown-instance",
            Self::EvidenceNotVerified => "evidence-not-verified",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidMessage | Self::ChallengeNotUsable => StatusCode::BAD_REQUEST,
            Self::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownInstance => StatusCode::NOT_FOUND,
            Self::EvidenceNotVerified | Self::Refused => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::InvalidMessage => "The message is not a valid enrolment or renewal.",
            Self::MessageTooLarge => "The message is too large.",
            Self::ChallengeNotUsable => "The challenge is unknown, expired or used.",
            Self::UnknownInstance => "The instance is not known here.",
            Self::EvidenceNotVerified => "The evidence could not be verified.",
            Self::Refused => "The app or device is not accepted.",
            Self::Unavailable => "The service cannot answer now.",
        }
    }
}

/// The answer to a refused call.
pub(crate) fn problem(code: PublicCode, cure: Option<Cure>, reference: Option<Reference>) -> Response {
    let body = Problem {
        kind: format!("urn:countersign:problem:{}", code.name()),
        status: code.status().as_u16(),
        title: code.title().to_owned(),
        reference: reference.map(|reference| reference.to_string()),
        cure,
    };
    let text = serde_json::to_string(&body).unwrap_or_default();
    let headers = [(header::CONTENT_TYPE, "application/problem+json"), (header::CACHE_CONTROL, "no-store")];
    let mut response = (code.status(), headers, text).into_response();
    if code == PublicCode::Unavailable {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_has_code_reference_and_cure_and_nothing_else() {
        let response =
            problem(PublicCode::UnknownInstance, Some(Cure::ReEnrol), Some(Reference::from_random([0; 5])));
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:countersign:problem:unknown-instance",
                "status": 404,
                "title": "The instance is not known here.",
                "reference": "00000000",
                "cure": "re-enrol",
            })
        );
    }
}
