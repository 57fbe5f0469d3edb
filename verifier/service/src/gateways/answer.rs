//! The answer to a gateway: passes or not, with every header field that upstream or client shall get.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_core::token::field;
use countersign_verifier::check::identity::{IDENTITY_FIELDS, VERDICT_FIELD, identity_values, verdict_value};
use countersign_verifier::check::{Decision, Refusal};

use crate::settings::Gateway;

/// The status that the client should get, for gateways that can only pass on some.
const STATUS_FIELD: HeaderName = HeaderName::from_static("x-attestation-status");

/// Says a decision in the words of `gateway`. [`Decision::Needs`] is not for gateways and is answered as trouble of
/// our own.
pub(crate) fn answer(gateway: Gateway, decision: &Decision) -> Response {
    match decision {
        Decision::Permit(permit) => {
            let mut response = passed(decision, "");
            if let Some(nonce) = permit.nonce() {
                set(&mut response, field::CLIENT_ATTESTATION_CHALLENGE, &nonce.to_base64url());
            }
            response
        }
        Decision::Observed { refusal, told } => {
            let mut response = passed(decision, &verdict_value(refusal.reason));
            if let (true, Some(challenge)) = (told, refusal.www_authenticate()) {
                set(&mut response, header::WWW_AUTHENTICATE.as_str(), &challenge);
            }
            response
        }
        Decision::Refusal(refusal) => refused(gateway, refusal),
        Decision::Needs(_) => status(gateway, 503).into_response(),
    }
}

/// Every identity field and the verdict, empty where there is nothing to say, so that no inbound copy survives.
fn passed(decision: &Decision, verdict: &str) -> Response {
    let mut response = StatusCode::OK.into_response();
    for (name, value) in IDENTITY_FIELDS.into_iter().zip(identity_values(decision)) {
        set(&mut response, name, &value);
    }
    set(&mut response, VERDICT_FIELD, verdict);
    response
}

fn refused(gateway: Gateway, refusal: &Refusal) -> Response {
    let intended = refusal.reason.code().status();
    let mut response = status(gateway, intended).into_response();
    if let Some(challenge) = refusal.www_authenticate() {
        set(&mut response, header::WWW_AUTHENTICATE.as_str(), &challenge);
    }
    if let Some(nonce) = &refusal.nonce {
        set(&mut response, field::CLIENT_ATTESTATION_CHALLENGE, &nonce.to_base64url());
    }
    if let Some(seconds) = refusal.retry_after {
        set(&mut response, header::RETRY_AFTER.as_str(), &seconds.to_string());
    }
    response.headers_mut().insert(STATUS_FIELD, HeaderValue::from(intended));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// nginx passes on 401 and 403 alone and makes everything else its own 500.
fn status(gateway: Gateway, intended: u16) -> StatusCode {
    let status = match (gateway, intended) {
        (Gateway::Nginx, 400) => 401,
        (Gateway::Nginx, 404 | 429) => 403,
        (Gateway::Nginx, 503) => 500,
        (_, intended) => intended,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Sets a field; a value that cannot stand in one is left empty, never left out.
fn set(response: &mut Response, name: &str, value: &str) {
    if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
        let value = HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""));
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use countersign_verifier::check::Reason;

    use super::*;

    fn refusal(reason: Reason) -> Decision {
        Decision::Refusal(Refusal::new(reason))
    }

    #[test]
    fn nginx_gets_only_what_it_can_pass_on() {
        for (reason, status) in [
            (Reason::TwoFlavours, 401),
            (Reason::NoCredential, 401),
            (Reason::ScopeMissing, 403),
            (Reason::NoRoute, 403),
            (Reason::FailureBudget, 403),
            (Reason::ReplaySetFull, 500),
        ] {
            let response = answer(Gateway::Nginx, &refusal(reason));
            assert_eq!(response.status().as_u16(), status, "{reason:?}");
            let intended = response.headers()["x-attestation-status"].to_str().unwrap().to_owned();
            assert_eq!(intended, reason.code().status().to_string());
        }
    }

    #[test]
    fn other_gateways_get_the_status_itself() {
        let response = answer(Gateway::Caddy, &refusal(Reason::TwoFlavours));
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(response.headers()["www-authenticate"].to_str().unwrap().contains("invalid_request"));
    }

    #[test]
    fn an_observed_request_passes_with_empty_identity_and_its_verdict() {
        let decision = Decision::Observed { refusal: Refusal::new(Reason::NoAttestation), told: false };
        let response = answer(Gateway::Nginx, &decision);
        assert_eq!(response.status(), 200);
        for name in IDENTITY_FIELDS {
            assert_eq!(response.headers()[name], "", "{name}");
        }
        assert_eq!(response.headers()["attestation-verdict"], "refused; reason=no_attestation");
    }
}
