//! What the administration reads and answers: strict queries and bodies in, JSON or problems (RFC 9457) out.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use countersign_core::token::jose::strict_object;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::administration::{Invalid, WINDOW};
use crate::service::Service;
use crate::store::{ChangeError, StoreError};

/// Longest body of a call, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// Query or body break the rules.
    InvalidRequest,
    /// No good key came.
    Unauthorized,
    /// A key came in the query.
    KeyInQuery,
    KeyInPath,
    /// There is no such thing.
    NotFound,
    /// There is such a thing, and it is not called so.
    MethodNotAllowed,
    /// The name is taken.
    Taken,
    /// There are as many as there may be.
    Full,
    /// The body is too long.
    TooLarge,
    /// The address failed too often.
    TooManyFailures,
    /// The database cannot be used.
    Unavailable,
}

impl Code {
    const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid-request",
            Self::Unauthorized => "unauthorized",
            Self::KeyInQuery => "key-in-query",
            Self::KeyInPath => "key-in-path",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Taken => "name-taken",
            Self::Full => "limit-reached",
            Self::TooLarge => "body-too-large",
            Self::TooManyFailures => "too-many-failures",
            Self::Unavailable => "unavailable",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest | Self::KeyInQuery | Self::KeyInPath => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Taken | Self::Full => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyFailures => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The call is not as it must be.",
            Self::Unauthorized => "A good admin key is needed.",
            Self::KeyInQuery => {
                "Logs keep queries: revoke this admin key, and send another in Authorization."
            }
            Self::KeyInPath => "Logs keep paths: revoke this admin key, and send another in Authorization.",
            Self::NotFound => "There is nothing here by this name.",
            Self::MethodNotAllowed => "This is called in another way.",
            Self::Taken => "Another has this name already, or had it before.",
            Self::Full => "There are as many as there may be.",
            Self::TooLarge => "The body is too long.",
            Self::TooManyFailures => "Too many calls from this address came without a good admin key.",
            Self::Unavailable => "The database cannot be used now.",
        }
    }
}

/// A refused call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    code: Code,
    detail: Option<String>,
}

impl Refused {
    /// A refusal that needs no more words.
    pub(super) const fn new(code: Code) -> Self {
        Self { code, detail: None }
    }

    /// The database cannot be used, which operators are to hear of.
    pub(super) fn store(service: &Service, error: &StoreError) -> Self {
        service.metrics.store_error(error.reason());
        tracing::error!(%error, "a call of the administration failed");
        Self::new(Code::Unavailable)
    }

    /// A change was not made.
    pub(super) fn change(service: &Service, error: &ChangeError) -> Self {
        match error {
            ChangeError::Taken => Self::new(Code::Taken),
            ChangeError::Full => Self::new(Code::Full),
            ChangeError::Store(error) => Self::store(service, error),
        }
    }

    /// What is wrong with the call.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self { code: Code::InvalidRequest, detail: Some(detail.into()) }
    }
}

impl From<Invalid> for Refused {
    fn from(invalid: Invalid) -> Self {
        Self::invalid(invalid.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("urn:countersign:problem:{}", self.code.name()),
            "status": self.code.status().as_u16(),
            "title": self.code.title(),
        });
        if let (Some(detail), Some(members)) = (self.detail, body.as_object_mut()) {
            members.insert("detail".to_owned(), detail.into());
        }
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.code.status(), kind, body.to_string()).into_response();
        let headers = response.headers_mut();
        match self.code {
            Code::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Code::TooManyFailures => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(WINDOW));
            }
            Code::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}

/// The query of a call: every member known, none twice.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refused> {
    let read = Query::<T>::try_from_uri(uri);
    read.map(|Query(query)| query).map_err(|error| Refused::invalid(error.body_text()))
}

/// A call that takes no query.
pub(super) fn without_query(uri: &Uri) -> Result<(), Refused> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(_) => Err(Refused::invalid("this call takes no query")),
    }
}

/// The body of a call: a JSON object, every member known, none twice.
pub(super) fn body<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Refused> {
    let body = bytes(body)?;
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind.as_bytes() != b"application/json") {
        return Err(Refused::invalid("the Content-Type of the body is application/json"));
    }
    let object = strict_object(&body)
        .map_err(|_| Refused::invalid("the body is a JSON object, in which no member stands twice"))?;
    serde_json::from_value(Value::Object(object)).map_err(|error| Refused::invalid(error.to_string()))
}

/// The part of the path that names something. What is no text names nothing.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let read = Path::<String>::from_request_parts(parts, state).await;
        read.map(|Path(text)| Self(text)).map_err(|_| Refused::new(Code::NotFound))
    }
}

/// A call that takes neither query nor body, and came with neither. The last argument of its handler.
pub(super) struct Bare;

impl<S: Send + Sync> FromRequest<S> for Bare {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        without_query(request.uri())?;
        if bytes(Bytes::from_request(request, state).await)?.is_empty() {
            Ok(Self)
        } else {
            Err(Refused::invalid("this call takes no body"))
        }
    }
}

fn bytes(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refused> {
    match body {
        Ok(body) if body.len() <= MAX_BODY => Ok(body),
        Ok(_) => Err(Refused::new(Code::TooLarge)),
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Refused::new(Code::TooLarge)),
        Err(_) => Err(Refused::invalid("the body did not arrive")),
    }
}

/// An answer with content.
pub(super) fn found(content: Value) -> Response {
    Json(content).into_response()
}

/// A change was made, if there was what was to be changed.
pub(super) fn done(changed: bool) -> Result<Response, Refused> {
    if changed { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(Refused::new(Code::NotFound)) }
}

/// The reason of a ban.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BanBody {
    pub(super) reason: String,
}
