//! `Attested` and `Verdict` as arguments of axum handlers.

use std::fmt;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::attested::{Attested, Verdict};
use crate::respond;
use crate::system::system_time;

/// Why a handler that asks for [`Attested`] is not run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAttested {
    /// The route is not below the layer: a mistake of the server, answered with 500. Routes that are added to a router
    /// after `.layer(…)` are not protected by it.
    LayerMissing,
    /// The route only watches, and this request would have been refused: it is, here. A handler of a route that
    /// watches asks for `Option<Attested>` or [`Verdict`].
    Refused(std::sync::Arc<countersign_verifier::check::Refusal>),
}

impl fmt::Display for NotAttested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LayerMissing => {
                f.write_str("the handler asks for `Attested`, but is not below a `CountersignLayer`")
            }
            Self::Refused(refusal) => write!(f, "the request is not attested: {}", refusal.reason.reason()),
        }
    }
}

impl std::error::Error for NotAttested {}

impl IntoResponse for NotAttested {
    fn into_response(self) -> Response {
        match self {
            Self::LayerMissing => {
                tracing::error!("{self}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
            Self::Refused(refusal) => respond::refusal_response(&refusal, system_time()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Verdict {
    type Rejection = NotAttested;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get::<Self>().cloned().ok_or(NotAttested::LayerMissing)
    }
}

impl<S: Sync> FromRequestParts<S> for Attested {
    type Rejection = NotAttested;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        match parts.extensions.get::<Verdict>() {
            Some(Verdict::Attested(attested)) => Ok(attested.clone()),
            Some(Verdict::Observed(refusal)) => Err(NotAttested::Refused(refusal.clone())),
            None => Err(NotAttested::LayerMissing),
        }
    }
}

/// `None` where a route only watches and the request would have been refused. Without the layer it is an error, as
/// ever.
impl<S: Sync> OptionalFromRequestParts<S> for Attested {
    type Rejection = NotAttested;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        match parts.extensions.get::<Verdict>() {
            Some(Verdict::Attested(attested)) => Ok(Some(attested.clone())),
            Some(Verdict::Observed(_)) => Ok(None),
            None => Err(NotAttested::LayerMissing),
        }
    }
}
