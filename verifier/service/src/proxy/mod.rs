//! `countersign proxy`: a reverse proxy for an API that has no gateway. It takes HTTP/1.1, has each request checked, and
//! passes on what the check has seen and nothing else.
//!
//! Every request is taken apart and written anew: the framing that the upstream reads is ours, so that no request hides
//! in another one's body.

mod body;
mod head;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use countersign_core::request::sha256;
use countersign_edge::{Answer, ContentRead, EdgeRuntime, answer, passing_fields, read_content};
use countersign_verifier::check::decision::Lookup;
use countersign_verifier::check::{self, Content, Decision, Fields, Reason, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use upstream::ProxySetupError;

use crate::edge::Edition;
use crate::routes::{EdgeState, cacheable, metadata, metadata_url};
use crate::settings::ProxySettings;
use crate::telemetry::Metrics;
use body::{ArrivingBody, Broken, Ending, LeavingBody, PassingBody};
use head::Forwarding;
use upstream::{Upstream, UpstreamError};

/// Longest wait for a free place when everything is busy.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bodies that are held in memory at the same time.
const HELD_BODIES: usize = 64;

/// A proxy before one API.
#[derive(Debug)]
pub(crate) struct Proxy {
    resource: String,
    encrypted: bool,
    front: ArcSwap<Front>,
    metrics: Arc<Metrics>,
    upstream: Upstream,
    places: Arc<Semaphore>,
    held_bodies: Arc<Semaphore>,
    response_timeout: Duration,
    body_timeout: Duration,
    max_body: u64,
    max_content: usize,
}

/// What follows from the settings of the resource, which may change; a request keeps the one that it came to.
#[derive(Debug)]
struct Front {
    edge: Arc<EdgeRuntime>,
    forwarding: Forwarding,
    /// Path of the resource's metadata, and the metadata: what challenges point to.
    metadata: Option<(String, serde_json::Value)>,
}

/// Why a request gets no answer of the upstream's.
enum Stop {
    /// The check refuses it.
    Refused(Box<Answer>),
    /// It is no request that a proxy can pass on, or it could not be passed on; with the name of the reason.
    Failed(StatusCode, &'static str),
    /// Everything is busy.
    Busy,
}

impl Proxy {
    /// The proxy of these settings, which were checked before; `encrypted` says whether its listener speaks TLS.
    pub(crate) fn new(
        settings: &ProxySettings,
        state: &EdgeState,
        encrypted: bool,
        concurrency: usize,
    ) -> Result<Self, ProxySetupError> {
        let unknown = || ProxySetupError::UnknownResource(settings.resource.clone());
        let front = Front::new(&settings.resource, encrypted, &state.edge.edition()).ok_or_else(unknown)?;
        Ok(Self {
            resource: settings.resource.clone(),
            encrypted,
            front: ArcSwap::from_pointee(front),
            metrics: Arc::clone(&state.metrics),
            upstream: Upstream::new(settings.upstream.as_str())?,
            places: Arc::new(Semaphore::new(concurrency)),
            held_bodies: Arc::new(Semaphore::new(HELD_BODIES)),
            response_timeout: Duration::from_secs(settings.response_timeout.as_seconds()),
            body_timeout: Duration::from_secs(settings.body_timeout.as_seconds()),
            max_body: settings.max_body,
            max_content: settings.max_content,
        })
    }

    /// Goes by another edge and its settings from now on. Where they have the resource no more, every request is refused.
    pub(crate) fn follow(&self, edition: &Edition) {
        let front = Front::new(&self.resource, self.encrypted, edition).unwrap_or_else(|| Front {
            edge: Arc::clone(&edition.runtime),
            forwarding: self.front.load().forwarding.clone(),
            metadata: None,
        });
        self.front.store(Arc::new(front));
    }

    pub(crate) fn into_router(self: Arc<Self>) -> Router {
        Router::new().fallback(serve).with_state(self)
    }
}

impl Front {
    fn new(resource: &str, encrypted: bool, edition: &Edition) -> Option<Self> {
        let edge = Arc::clone(&edition.runtime);
        let described = edition.resources.iter().find(|described| described.name == resource)?;
        let origin = edge.edge().resource(resource)?.origin.to_string();
        let path = metadata_url(described.identifier.as_str())
            .and_then(|url| reqwest::Url::parse(&url).ok().map(|url| url.path().to_owned()));
        Some(Self {
            edge,
            forwarding: Forwarding::new(&origin, encrypted)?,
            metadata: path.map(|path| (path, metadata(described))),
        })
    }
}

async fn serve(
    State(proxy): State<Arc<Proxy>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let started = Instant::now();
    let response = match proxy.pass(peer, request).await {
        Ok(response) => response,
        Err(stop) => proxy.stopped(stop),
    };
    proxy.metrics.request("proxy", &proxy.resource, response.status().as_u16(), started.elapsed());
    response
}

impl Proxy {
    async fn pass(&self, peer: SocketAddr, request: Request) -> Result<Response, Stop> {
        let (mut parts, body) = request.into_parts();
        head::refuse_ambiguous(&parts, &body).map_err(|(status, reason)| Stop::Failed(status, reason))?;
        let front = self.front.load_full();
        if let Some((path, metadata)) = &front.metadata
            && parts.method == Method::GET
            && parts.uri.path() == path
        {
            return Ok(cacheable(metadata.clone()));
        }
        if body.size_hint().lower() > self.max_body {
            return Err(Stop::Failed(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));
        }
        let place = place(&self.places).await?;
        let (body, ending) = ArrivingBody::new(body, self.body_timeout, self.max_body);
        let (decision, body, held) = self.decide(&front.edge, (peer, &parts), body, &ending).await?;
        self.metrics.decided(&self.resource, &decision);
        let now = front.edge.now();
        let mut answer = answer(&decision, now);
        let (digest, lives) = match &decision {
            Decision::Permit(permit) => {
                let left = permit.attestation().expires_at.as_unix_seconds();
                let left = left.saturating_sub(now.as_unix_seconds());
                (permit.content().copied(), Some(Duration::from_secs(left)))
            }
            Decision::Observed { .. } => (None, None),
            // Whatever else a decision may come to be, it lets nothing pass.
            _ => return Err(Stop::Refused(Box::new(answer))),
        };
        let identity = std::mem::take(&mut answer.identity);
        front.forwarding.apply(&mut parts, peer.ip(), identity);
        let (body, sent) = PassingBody::new(body, digest, Arc::clone(&ending), held);
        keep_true_length(&mut parts, &body);
        let is_head = parts.method == Method::HEAD;
        let response = self
            .upstream
            .send(parts, Body::new(body), (sent, self.body_timeout), self.response_timeout)
            .await;
        let response = match response {
            Ok(response) => response,
            Err(error) => return Err(self.failure(&front.edge, &ending, error)),
        };
        Ok(self.answered(response, passing_fields(&decision), (is_head, lives, place)))
    }

    /// The decision, the body, and if all of it is in memory, its place there.
    async fn decide(
        &self,
        edge: &Arc<EdgeRuntime>,
        (peer, parts): (SocketAddr, &Parts),
        body: ArrivingBody,
        ending: &Ending,
    ) -> Result<(Decision, Body, Option<OwnedSemaphorePermit>), Stop> {
        let content = if body.is_end_stream() { Content::Hash(sha256(b"")) } else { Content::Deferred };
        let decision = self.check(edge, peer, parts, content).await;
        if !matches!(decision, Decision::Needs(Lookup::Content)) {
            return Ok((decision, Body::new(body), None));
        }
        let held = place(&self.held_bodies).await?;
        let (content, body, held) = match read_content(Body::new(body), self.max_content).await {
            Ok(ContentRead::Whole(bytes)) => (Content::Hash(sha256(&bytes)), Body::from(bytes), Some(held)),
            // Its beginning goes on at once, and must not keep others waiting for as long as the rest takes.
            Ok(ContentRead::TooLarge(body)) => (Content::TooLarge, body, None),
            Err(_) => {
                let (status, reason) = ending.get().copied().unwrap_or(Broken::Client).blames_client();
                return Err(Stop::Failed(status, reason));
            }
        };
        Ok((self.check(edge, peer, parts, content).await, body, held))
    }

    async fn check(
        &self,
        edge: &Arc<EdgeRuntime>,
        peer: SocketAddr,
        parts: &Parts,
        content: Content,
    ) -> Decision {
        let lines = |name| parts.headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let request = check::Request {
            method: parts.method.as_str(),
            // Neither `*` nor the target of CONNECT is a path; both are refused as one.
            path_and_query: parts.uri.path_and_query().map_or("*", |target| target.as_str()),
            source: Some(peer.ip()),
            client_certificate: None,
            fields: Fields::collect(lines),
            content,
        };
        edge.decide(&self.resource, &request).await
    }

    /// What became of a request that the upstream did not answer: the client's fault if its body broke off.
    fn failure(&self, edge: &EdgeRuntime, ending: &Ending, error: UpstreamError) -> Stop {
        match ending.get() {
            Some(Broken::Unproven) => {
                let refusal = Decision::Refusal(Refusal::new(Reason::ProofContent));
                self.metrics.proxy_failure(&self.resource, "content_mismatch");
                Stop::Refused(Box::new(answer(&refusal, edge.now())))
            }
            Some(broken) => {
                let (status, reason) = broken.blames_client();
                Stop::Failed(status, reason)
            }
            None => Stop::Failed(error.status(), error.reason()),
        }
    }

    fn answered(
        &self,
        mut response: axum::http::Response<Body>,
        told: Vec<(HeaderName, HeaderValue)>,
        (is_head, lives, place): (bool, Option<Duration>, OwnedSemaphorePermit),
    ) -> Response {
        head::clean_answer(response.headers_mut());
        for (name, value) in told {
            response.headers_mut().insert(name, value);
        }
        let bodiless = is_head || matches!(response.status().as_u16(), 204 | 304);
        response.map(|body| Body::new(LeavingBody::new(body, bodiless, self.response_timeout, lives, place)))
    }

    fn stopped(&self, stop: Stop) -> Response {
        match stop {
            Stop::Refused(refused) => {
                let mut response = refused.status.into_response();
                response.headers_mut().extend(refused.headers);
                response
            }
            Stop::Failed(status, reason) => {
                self.metrics.proxy_failure(&self.resource, reason);
                let resource = &self.resource;
                match status.is_server_error() {
                    true => tracing::warn!(resource, reason, "the upstream gave no answer"),
                    false => tracing::debug!(resource, reason, "not passed on"),
                }
                (status, [(CACHE_CONTROL, "no-store")]).into_response()
            }
            Stop::Busy => {
                self.metrics.proxy_failure(&self.resource, "busy");
                (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")]).into_response()
            }
        }
    }
}

async fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Stop> {
    let place = tokio::time::timeout(QUEUE_TIMEOUT, Arc::clone(places).acquire_owned()).await;
    place.ok().and_then(Result::ok).ok_or(Stop::Busy)
}

/// Lets the client's `Content-Length` stand where it is the length of what is passed on. Elsewhere the length, or that
/// there is none, is said anew.
fn keep_true_length(parts: &mut Parts, body: &PassingBody) {
    let told = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if told.is_none() || told != body.size_hint().exact() {
        parts.headers.remove(CONTENT_LENGTH);
    }
}
