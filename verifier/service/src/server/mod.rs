//! Listeners: binding, TLS, bounds on what a peer may cost, and the end of the process.

mod connections;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, FromRequest, MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum_server::Handle;
use axum_server::accept::DefaultAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tower_http::timeout::TimeoutLayer;

use connections::Bounded;

use crate::bounded_file;
use crate::settings::TlsSettings;
use crate::telemetry::Metrics;

/// Largest request body, in bytes (protocol section 9).
pub const MAX_BODY: usize = 64 * 1024;
/// Longest time for a request's header to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for a request's body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for a request to be answered once it is there.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait for a free place when everything is busy.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long requests may still take when the process ends.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// Room for a request's header: both tokens of the JWT flavour and an access token fit several times.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Longest file of a certificate chain or its key, in bytes.
const MAX_PEM: u64 = 1024 * 1024;

/// A listener that could not be opened. Displayed as a sentence that says what to do.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenError {
    /// The address cannot be bound.
    Bind {
        /// Its name in `[listen]`.
        name: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The certificate or key file cannot be used.
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: TlsProblem,
    },
}

/// What is wrong with a certificate or key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsProblem {
    /// It cannot be read.
    Unreadable(io::ErrorKind),
    /// It holds no certificate, or no private key, in PEM.
    NoPem,
    /// Other users may read the key.
    Exposed,
    /// The key does not belong to the certificate, or is of a kind that is not supported.
    Mismatch,
}

/// Where one listener stands, and what it answers.
pub(crate) struct Listener {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Most open connections.
    pub(crate) connections: usize,
    /// Whether it speaks HTTP/1.1 and nothing else.
    pub(crate) http1_only: bool,
    pub(crate) router: Router,
}

/// A listener that accepts connections until it is told to end.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    handle: Handle<SocketAddr>,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    /// Stops accepting, and gives requests that are under way a moment to end.
    pub(crate) fn shut_down(&self) {
        self.handle.graceful_shutdown(Some(SHUTDOWN_GRACE));
    }

    /// Waits for the end.
    pub(crate) async fn ended(self) {
        if let Ok(Err(error)) = self.task.await {
            tracing::error!(address = %self.address, %error, "a listener failed");
        }
    }
}

/// Binds an address; taken apart from serving, so that every listener is bound before any serves.
pub(crate) fn bind(name: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|error| ListenError::Bind { name, address, kind: error.kind() })
}

/// Serves on a bound listener.
pub(crate) fn serve(listener: Listener, bound: TcpListener) -> Result<Running, ListenError> {
    let failed = |error: io::Error| ListenError::Bind {
        name: listener.name,
        address: listener.address,
        kind: error.kind(),
    };
    let address = bound.local_addr().map_err(failed)?;
    let handle = Handle::new();
    let service = listener.router.into_make_service_with_connect_info::<SocketAddr>();
    let mut server = axum_server::from_tcp(bound).map_err(failed)?.handle(handle.clone());
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    server.http_builder().http1().max_buf_size(MAX_HEADER_BYTES);
    server.http_builder().http2().timer(TokioTimer::new()).max_concurrent_streams(100);
    let task = match listener.tls {
        Some(config) => {
            let config = if listener.http1_only { without_http2(&config) } else { config };
            let acceptor =
                RustlsAcceptor::new(RustlsConfig::from_config(config)).handshake_timeout(HEADER_TIMEOUT);
            let server = server.acceptor(Bounded::new(acceptor, listener.connections));
            let server = if listener.http1_only { server.http1_only() } else { server };
            tokio::spawn(server.serve(service))
        }
        None => {
            let acceptor = Bounded::new(DefaultAcceptor::new(), listener.connections);
            let server = server.acceptor(acceptor);
            let server = if listener.http1_only { server.http1_only() } else { server };
            tokio::spawn(server.serve(service))
        }
    };
    Ok(Running { address, handle, task })
}

/// The same TLS, offering HTTP/1.1 alone.
fn without_http2(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Reads certificate and key for TLS 1.2 and 1.3.
pub(crate) fn tls(settings: &TlsSettings) -> Result<Arc<ServerConfig>, ListenError> {
    let fail = |path: &Path, problem| ListenError::Tls { path: path.to_owned(), problem };
    let read = |path: &Path| {
        bounded_file::read(path, MAX_PEM).map_err(|error| fail(path, TlsProblem::Unreadable(error.kind())))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(&settings.certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|_| fail(&settings.certificate, TlsProblem::NoPem))?;
    if chain.is_empty() {
        return Err(fail(&settings.certificate, TlsProblem::NoPem));
    }
    refuse_exposed(&settings.key)?;
    let key = zeroize::Zeroizing::new(read(&settings.key)?);
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| fail(&settings.key, TlsProblem::NoPem))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|_| fail(&settings.key, TlsProblem::Mismatch))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Bounds every request of a router, outermost first: size and time of its body, a place to work in, time; and counts
/// the answers. `uploads` bodies arrive at the same time, and `concurrency` requests are worked on.
pub(crate) fn bounded(
    router: Router,
    name: &'static str,
    max_body: usize,
    concurrency: usize,
    uploads: usize,
    metrics: Arc<Metrics>,
) -> Router {
    let places = |count| Arc::new(Semaphore::new(count));
    let guard = Guard { name, max_body, uploads: places(uploads), places: places(concurrency), metrics };
    router
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
        .layer(middleware::from_fn_with_state(guard, admit))
        .layer(DefaultBodyLimit::max(max_body))
}

#[derive(Clone)]
struct Guard {
    name: &'static str,
    max_body: usize,
    uploads: Arc<Semaphore>,
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// Lets a request in when there is a place, and records how it was answered: route, status and time, nothing else.
async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = answered(&guard, request, next).await;
    let (status, took) = (response.status().as_u16(), started.elapsed());
    guard.metrics.request(guard.name, &route, status, took);
    tracing::debug!(listener = guard.name, route, status, ?took, "answered");
    response
}

/// The body first and the place afterwards, so that whoever sends slowly holds no place.
async fn answered(guard: &Guard, request: Request, next: Next) -> Response {
    let request = if request.body().is_end_stream() {
        request
    } else {
        let Some(_upload) = place(&guard.uploads).await else { return busy() };
        match tokio::time::timeout(BODY_TIMEOUT, with_whole_body(request, guard.max_body)).await {
            Ok(Ok(request)) => request,
            Ok(Err(refused)) => return refused,
            Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
        }
    };
    match place(&guard.places).await {
        Some(_place) => next.run(request).await,
        None => busy(),
    }
}

async fn place(places: &Semaphore) -> Option<SemaphorePermit<'_>> {
    tokio::time::timeout(QUEUE_TIMEOUT, places.acquire()).await.ok()?.ok()
}

/// Reads the body. One that is too large is replaced by another such, for the route to refuse in its own words; where
/// more than [`MAX_BODY`] is allowed, it is refused here.
async fn with_whole_body(request: Request, max_body: usize) -> Result<Request, Response> {
    static TOO_LARGE: [u8; MAX_BODY + 1] = [0; MAX_BODY + 1];
    let (parts, body) = request.into_parts();
    let mut reading = Request::new(body);
    *reading.extensions_mut() = parts.extensions.clone();
    let body = match Bytes::from_request(reading, &()).await {
        Ok(body) => body,
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE && max_body <= MAX_BODY => {
            Bytes::from_static(&TOO_LARGE)
        }
        Err(error) => return Err(error.into_response()),
    };
    Ok(Request::from_parts(parts, Body::from(body)))
}

fn busy() -> Response {
    let mut response = StatusCode::SERVICE_UNAVAILABLE.into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

#[cfg(unix)]
fn refuse_exposed(path: &Path) -> Result<(), ListenError> {
    use std::os::unix::fs::PermissionsExt;

    let exposed = std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0);
    if exposed {
        Err(ListenError::Tls { path: path.to_owned(), problem: TlsProblem::Exposed })
    } else {
        Ok(())
    }
}

#[cfg(not(unix))]
fn refuse_exposed(_path: &Path) -> Result<(), ListenError> {
    Ok(())
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { name, address, kind } => match kind {
                io::ErrorKind::AddrInUse => write!(
                    f,
                    "port {} on {} is in use by another program; end it, or choose another `{name}` in [listen]",
                    address.port(),
                    address.ip()
                ),
                io::ErrorKind::PermissionDenied => write!(
                    f,
                    "this user may not listen on port {}; choose a port above 1023 as `{name}` in [listen]",
                    address.port()
                ),
                io::ErrorKind::AddrNotAvailable => write!(
                    f,
                    "this machine has no address {}; choose one that it has as `{name}` in [listen]",
                    address.ip()
                ),
                kind => write!(f, "{address} (`{name}` in [listen]) cannot be opened: {kind}"),
            },
            Self::Tls { path, problem } => {
                let path = path.display();
                match problem {
                    TlsProblem::Unreadable(kind) => write!(f, "the TLS file {path} cannot be read: {kind}"),
                    TlsProblem::NoPem => {
                        write!(f, "{path} holds no certificate or private key in PEM; is it the right file?")
                    }
                    TlsProblem::Exposed => {
                        write!(
                            f,
                            "every user of this machine may use the TLS key {path}; run `chmod 600 {path}`"
                        )
                    }
                    TlsProblem::Mismatch => {
                        write!(
                            f,
                            "the TLS key {path} does not belong to the certificate; name the right pair"
                        )
                    }
                }
            }
        }
    }
}

impl std::error::Error for ListenError {}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn tls_files_that_cannot_be_used_are_named_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let settings = TlsSettings {
            certificate: directory.path().join("cert.pem"),
            key: directory.path().join("key.pem"),
        };
        let problem = || match tls(&settings) {
            Err(ListenError::Tls { path, problem }) => (path, problem),
            other => panic!("{other:?}"),
        };
        let missing = TlsProblem::Unreadable(io::ErrorKind::NotFound);
        assert_eq!(problem(), (settings.certificate.clone(), missing));
        fs::write(&settings.certificate, "no certificate").unwrap();
        assert_eq!(problem(), (settings.certificate.clone(), TlsProblem::NoPem));
        fs::write(&settings.certificate, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
            .unwrap();
        assert_eq!(problem(), (settings.key.clone(), missing));
        fs::write(&settings.key, "no key").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;

            fs::set_permissions(&settings.key, fs::Permissions::from_mode(0o644)).unwrap();
            assert_eq!(problem(), (settings.key.clone(), TlsProblem::Exposed));
            fs::set_permissions(&settings.key, fs::Permissions::from_mode(0o600)).unwrap();
        }
        assert_eq!(problem(), (settings.key.clone(), TlsProblem::NoPem));
    }

    #[tokio::test]
    async fn a_connection_beyond_the_bound_is_closed() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        use tokio::net::TcpStream;

        let bound = bind("public", SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let router = Router::new().route("/", axum::routing::get(async || "ok"));
        let address = bound.local_addr().unwrap();
        let running = serve(
            Listener { name: "public", address, tls: None, connections: 1, http1_only: false, router },
            bound,
        )
        .unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(request).await.unwrap();
        assert_ne!(first.read(&mut [0; 64]).await.unwrap(), 0);
        let mut second = TcpStream::connect(address).await.unwrap();
        // Closed before or after the request arrives: either way nothing is answered.
        let _ = second.write_all(request).await;
        assert!(matches!(second.read(&mut [0; 64]).await, Ok(0) | Err(_)));
        drop((first, second));
        running.shut_down();
        running.ended().await;
    }

    #[tokio::test]
    async fn who_uploads_slowly_holds_no_place() {
        use axum::routing::post;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        use tokio::net::TcpStream;

        let bound = bind("public", SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let router = Router::new().route("/", post(async |body: Bytes| format!("{} bytes", body.len())));
        let metrics = Arc::<Metrics>::default();
        let router = bounded(router, "public", MAX_BODY, 1, 8, metrics);
        let address = bound.local_addr().unwrap();
        let listener =
            Listener { name: "public", address, tls: None, connections: 8, http1_only: false, router };
        let running = serve(listener, bound).unwrap();
        let head = |length: usize| {
            format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n")
        };
        let send = async |length| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head(length).as_bytes()).await.unwrap();
            let mut told = [0; 25];
            stream.read_exact(&mut told).await.unwrap();
            // From here on the server waits for the body.
            assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
            stream
        };
        let answer = async |mut stream: TcpStream, body: &[u8]| {
            stream.write_all(body).await.unwrap();
            let mut told = [0; 1024];
            let length = stream.read(&mut told).await.unwrap();
            String::from_utf8_lossy(&told[..length]).into_owned()
        };
        let mut slow = Vec::new();
        for _ in 0..4 {
            slow.push(send(3).await);
        }
        let quick = answer(send(3).await, b"abc").await;
        assert!(quick.starts_with("HTTP/1.1 200"), "{quick}");
        for stream in slow {
            assert!(answer(stream, b"abc").await.ends_with("3 bytes"));
        }
        let large = answer(send(MAX_BODY + 1).await, &vec![0; MAX_BODY + 1]).await;
        assert!(large.starts_with("HTTP/1.1 413"), "{large}");
        running.shut_down();
        running.ended().await;
    }
}
