//! The API behind the gateway: it tells what reached it, and counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::any;
use serde_json::json;
use tokio::net::TcpListener;

/// The API.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/v1/status/{status}", any(status))
            .fallback(echo)
            .with_state(Arc::clone(&requests));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, requests }
    }

    /// How many requests have reached the API.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn echo(
    State(requests): State<Arc<AtomicUsize>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> String {
    requests.fetch_add(1, Ordering::Relaxed);
    let values = |name| {
        let lines = headers.get_all(name).iter();
        lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect::<Vec<_>>()
    };
    let lines: serde_json::Map<_, _> =
        headers.keys().map(|name| (name.to_string(), json!(values(name)))).collect();
    let body = String::from_utf8_lossy(&body);
    json!({ "method": method.as_str(), "target": uri.to_string(), "lines": lines, "body": body }).to_string()
}

/// An answer of the API's own that looks like a refusal of the edge.
async fn status(State(requests): State<Arc<AtomicUsize>>, Path(status): Path<u16>) -> impl IntoResponse {
    requests.fetch_add(1, Ordering::Relaxed);
    let fields = [("www-authenticate", "Upstream"), ("x-own", "kept")];
    (StatusCode::from_u16(status).unwrap(), fields, "the API's own words")
}
