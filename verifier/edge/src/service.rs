//! The tower service: one request in, through or back.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::OriginalUri;
use axum::response::{IntoResponse, Response};
use countersign_core::request::sha256;
use countersign_core::token::field;
use countersign_verifier::check::decision::Lookup;
use countersign_verifier::check::request::API_KEY_FIELD;
use countersign_verifier::check::{Code, Content, Decision, Fields, Reason, Refusal, Request};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tower::{BoxError, Service};

use crate::attested::{Attested, Verdict};
use crate::body::{Read, read};
use crate::cors::{self, Cors};
use crate::layer::{CertificateOf, SourceAddress};
use crate::respond::{passing_fields, refusal_response, strip_identity, verdict_field};
use crate::runtime::EdgeRuntime;

/// The service that [`CountersignLayer`](crate::CountersignLayer) puts before another one.
#[derive(Clone)]
pub struct CountersignService<S> {
    inner: S,
    gate: Arc<Gate>,
}

/// What every clone of a service shares.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) runtime: Arc<EdgeRuntime>,
    pub(crate) resource: String,
    pub(crate) max_content: usize,
    pub(crate) source: Arc<SourceAddress>,
    pub(crate) client_certificate: Arc<CertificateOf>,
    pub(crate) cors: Option<Arc<Cors>>,
}

/// What to add to the response.
type Told = Vec<(HeaderName, HeaderValue)>;

impl<S> CountersignService<S> {
    pub(crate) const fn new(inner: S, gate: Arc<Gate>) -> Self {
        Self { inner, gate }
    }
}

impl<S> fmt::Debug for CountersignService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountersignService").field("resource", &self.gate.resource).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<http::Request<B>> for CountersignService<S>
where
    S: Service<http::Request<Body>, Response = http::Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        // The clone may not be ready; the one that is takes the call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let gate = Arc::clone(&self.gate);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let for_pages = match gate.for_pages(&parts) {
                ForPages::Preflight(answer) => return Ok(answer),
                ForPages::Fields(fields) => fields,
            };
            let mut response = match gate.admit(parts, Body::new(body)).await {
                Err(refusal) => refusal,
                Ok((request, told)) => {
                    let mut response = inner.call(request).await?.map(Body::new);
                    for (name, value) in told {
                        response.headers_mut().insert(name, value);
                    }
                    response
                }
            };
            cors::put(response.headers_mut(), for_pages);
            Ok(response)
        })
    }
}

/// What pages of other origins are told.
enum ForPages {
    /// All that they asked.
    Preflight(Response),
    /// Whether they may read the response.
    Fields(Told),
}

impl Gate {
    fn for_pages(&self, parts: &Parts) -> ForPages {
        let Some(cors) = &self.cors else { return ForPages::Fields(Vec::new()) };
        let lines = |name| parts.headers.get_all(name).iter().map(HeaderValue::as_bytes);
        match cors.preflight(parts.method.as_str(), path_and_query(parts), lines) {
            Some(fields) => {
                ForPages::Preflight((StatusCode::NO_CONTENT, HeaderMap::from_iter(fields)).into_response())
            }
            None => ForPages::Fields(cors.fields(path_and_query(parts), lines)),
        }
    }

    /// The request as the inner service gets it, or the response that refuses it.
    async fn admit(&self, mut parts: Parts, body: Body) -> Result<(http::Request<Body>, Told), Response> {
        // An empty body has been seen whole; any other waits until everything else has passed.
        let content = if body.is_end_stream() { Content::Hash(sha256(b"")) } else { Content::Deferred };
        let (decision, body) = match self.decide(&parts, content).await {
            Decision::Needs(Lookup::Content) => {
                let (content, body) = match read(body, self.max_content).await {
                    Ok(Read::Whole(bytes)) => (Content::Hash(sha256(&bytes)), Body::from(bytes)),
                    Ok(Read::TooLarge(body)) => (Content::TooLarge, body),
                    // The client broke off; nobody reads this answer.
                    Err(_) => return Err(StatusCode::BAD_REQUEST.into_response()),
                };
                (self.decide(&parts, content).await, body)
            }
            decision => (decision, body),
        };
        let told = passing_fields(&decision);
        strip_identity(&mut parts.headers);
        let verdict = match decision {
            Decision::Permit(permit) => Verdict::Attested(Attested::new(permit)),
            Decision::Observed { refusal, told } => {
                let reason = refusal.reason.reason();
                tracing::info!(resource = self.resource, reason, told, "passed without attestation");
                parts.headers.extend(verdict_field(refusal.reason));
                Verdict::Observed(Arc::new(refusal))
            }
            Decision::Refusal(refusal) => return Err(self.refuse(&refusal)),
            Decision::Needs(_) | Decision::Pending(_) => {
                return Err(self.refuse(&Refusal::new(Reason::KeysUnavailable)));
            }
        };
        parts.extensions.insert(verdict);
        hide_secrets(&mut parts.headers);
        Ok((http::Request::from_parts(parts, body), told))
    }

    async fn decide(&self, parts: &Parts, content: Content) -> Decision {
        let lines = |name| parts.headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let certificate = (self.client_certificate)(parts);
        let request = Request {
            method: parts.method.as_str(),
            path_and_query: path_and_query(parts),
            source: (self.source)(parts),
            client_certificate: certificate.as_ref(),
            fields: Fields::collect(lines),
            content,
        };
        self.runtime.decide(&self.resource, &request).await
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let reason = refusal.reason.reason();
        match refusal.code() {
            Code::Unavailable => tracing::warn!(resource = self.resource, reason, "refused"),
            _ => tracing::debug!(resource = self.resource, reason, "refused"),
        }
        refusal_response(refusal, self.runtime.now())
    }
}

/// Path and query as the client wrote them. Inside a nested axum router the URI lacks the part that the nest matched;
/// axum keeps the whole one, which is believed as long as the rest of it is what the inner service sees.
fn path_and_query(parts: &Parts) -> &str {
    // Neither `*` nor a CONNECT target is a path; both are refused as one.
    let seen = parts.uri.path_and_query().map_or("*", http::uri::PathAndQuery::as_str);
    let Some(OriginalUri(original)) = parts.extensions.get::<OriginalUri>() else { return seen };
    let nested = original.query() == parts.uri.query()
        && (original.path().ends_with(parts.uri.path()) || parts.uri.path() == "/");
    match original.path_and_query() {
        Some(original) if nested => original.as_str(),
        _ => seen,
    }
}

/// Marks tokens, so that nothing below prints them.
fn hide_secrets(headers: &mut HeaderMap) {
    const SECRET: [&str; 7] = [
        "authorization",
        API_KEY_FIELD,
        field::ATTESTATION_RESULT,
        field::ATTESTATION_PROOF,
        field::CLIENT_ATTESTATION,
        field::CLIENT_ATTESTATION_POP,
        field::DPOP,
    ];
    for name in SECRET {
        if let http::header::Entry::Occupied(mut lines) = headers.entry(name) {
            lines.iter_mut().for_each(|line| line.set_sensitive(true));
        }
    }
}
