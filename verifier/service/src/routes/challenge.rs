//! `POST /v1/challenge`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use countersign_core::challenge::{Challenge, RANDOM_LENGTH, Scope};
use countersign_core::enrolment::{ChallengeAnswer, Cure};
use countersign_core::time::Timestamp;
use countersign_verifier::enrolment::CHALLENGE_LIFETIME;

use super::problem::{PublicCode, problem};
use crate::service::Service;

/// A fresh challenge. Nothing is stored: the MAC says that it is ours, and when it was given out.
pub(super) async fn issue(State(service): State<Arc<Service>>) -> Response {
    let now = service.clock.now();
    let Some(challenge) = service.fresh_challenge(now) else {
        return problem(PublicCode::Unavailable, Some(Cure::Retry), None);
    };
    let answer = ChallengeAnswer {
        attestation_challenge: challenge.to_base64url(),
        expires_in: CHALLENGE_LIFETIME,
        server_time: now.as_unix_seconds(),
    };
    ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

impl Service {
    /// The scope of this service's challenges.
    pub(crate) fn challenge_scope(&self) -> Scope<'_> {
        Scope::Challenge { issuer: self.settings.issuer.as_str() }
    }

    /// A fresh challenge; `None` if the system gives no randomness.
    pub(crate) fn fresh_challenge(&self, now: Timestamp) -> Option<Challenge> {
        let mut random = [0; RANDOM_LENGTH];
        getrandom::fill(&mut random).ok()?;
        Some(self.keys.challenges.issue(self.challenge_scope(), now, &random))
    }
}
