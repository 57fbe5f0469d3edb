//! The API behind the proxy: connections that are kept, and a bounded wait for the answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{Request, Response, StatusCode, Uri, Version};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::sync::oneshot;

/// Longest time for a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection is kept for the next request: shorter than servers do, so that none is closed under one.
const KEPT: Duration = Duration::from_secs(4);
/// Most connections that are kept.
const MOST_KEPT: usize = 256;
/// Longest head of an answer, in bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Why a proxy cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxySetupError {
    /// No resource has this name.
    UnknownResource(String),
    /// This is not the origin of an upstream.
    NotAnOrigin(String),
    /// The machine's trusted certificates or TLS cannot be used.
    Tls,
}

impl fmt::Display for ProxySetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownResource(name) => write!(f, "no [[resource]] is called {name}; name one that is"),
            Self::NotAnOrigin(text) => {
                write!(f, "the upstream {text} is no origin, such as http://127.0.0.1:9000")
            }
            Self::Tls => {
                f.write_str("no TLS client can be made; are the system's CA certificates installed?")
            }
        }
    }
}

impl std::error::Error for ProxySetupError {}

/// Why the upstream gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpstreamError {
    /// No connection could be made.
    Unreachable,
    /// It broke off before it had answered, or answered no HTTP.
    BrokeOff,
    /// It answered what nobody asked for: another protocol.
    Unasked,
    /// It did not answer in time.
    Slow,
}

impl UpstreamError {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Unreachable | Self::BrokeOff | Self::Unasked => StatusCode::BAD_GATEWAY,
            Self::Slow => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Unreachable => "upstream_unreachable",
            Self::BrokeOff => "upstream_broke_off",
            Self::Unasked => "upstream_unasked",
            Self::Slow => "upstream_slow",
        }
    }
}

/// The upstream of one proxy.
pub(super) struct Upstream {
    scheme: Scheme,
    authority: Authority,
    client: Client<HttpsConnector<HttpConnector>, Body>,
}

impl Upstream {
    pub(super) fn new(origin: &str) -> Result<Self, ProxySetupError> {
        let unfit = || ProxySetupError::NotAnOrigin(origin.to_owned());
        let parts = origin.parse::<Uri>().map_err(|_| unfit())?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(unfit()) };
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(BuilderVerifierExt::with_platform_verifier)
            .map_err(|_| ProxySetupError::Tls)?
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT)
            .pool_max_idle_per_host(MOST_KEPT)
            .http1_max_buf_size(MAX_HEADER_BYTES)
            // `Host` is set before, and is not the upstream's address.
            .set_host(false)
            .build(connector);
        Ok(Self { scheme, authority, client })
    }

    /// Sends a request whose head is finished, and waits for the head of the answer: `patience` long from when the body
    /// has been `sent`, which may take so long itself. The target stays byte for byte as the client wrote it.
    pub(super) async fn send(
        &self,
        parts: Parts,
        body: Body,
        (sent, longest): (oneshot::Receiver<()>, Duration),
        patience: Duration,
    ) -> Result<Response<Body>, UpstreamError> {
        let mut request = Request::new(body);
        *request.method_mut() = parts.method;
        *request.uri_mut() = self.target(parts.uri.path_and_query().cloned())?;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = parts.headers;
        let late = async {
            // Ends when the body is dropped, whether all of it has left or not.
            let _ = tokio::time::timeout(longest, sent).await;
            tokio::time::sleep(patience).await;
        };
        let response = tokio::select! {
            response = self.client.request(request) => response,
            () = late => return Err(UpstreamError::Slow),
        };
        match response {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(UpstreamError::Unasked)
            }
            Ok(response) => Ok(response.map(Body::new)),
            Err(error) if error.is_connect() => Err(UpstreamError::Unreachable),
            Err(_) => Err(UpstreamError::BrokeOff),
        }
    }

    fn target(&self, path_and_query: Option<PathAndQuery>) -> Result<Uri, UpstreamError> {
        let mut parts = axum::http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = path_and_query;
        Uri::from_parts(parts).map_err(|_| UpstreamError::Unasked)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("authority", &self.authority).finish_non_exhaustive()
    }
}
