//! A fake authorization server on loopback: it says what a test tells it to, and counts what it is asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

/// A clone is the same server.
#[derive(Clone)]
pub(crate) struct FakeServer {
    pub(crate) url: String,
    /// Answers by path; a path without one is answered 404.
    answers: Arc<Mutex<HashMap<String, Says>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Each request, as it comes.
    arrivals: mpsc::UnboundedSender<()>,
    /// Requests are answered while this has permits.
    pub(crate) gate: Arc<Semaphore>,
}

#[derive(Clone)]
pub(crate) enum Says {
    Text(String),
    Status(u16),
    /// To another path of this very server.
    Redirect(&'static str),
    /// Nothing, ever.
    Never,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
}

impl Says {
    pub(crate) fn json(value: &Value) -> Self {
        Self::Text(value.to_string())
    }
}

impl FakeServer {
    pub(crate) async fn start() -> (Self, mpsc::UnboundedReceiver<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (arrivals, arrived) = mpsc::unbounded_channel();
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let server = Self { url, answers: Arc::default(), asked: Arc::default(), arrivals, gate };
        let router =
            Router::new().route("/", get(answer)).route("/{*path}", any(answer)).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, arrived)
    }

    pub(crate) fn says(&self, path: &str, says: Says) {
        self.answers.lock().unwrap().insert(path.to_owned(), says);
    }

    /// The requests for this path.
    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.path == path).cloned().collect()
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

async fn answer(State(server): State<FakeServer>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let body = String::from_utf8_lossy(&body).into_owned();
    server.asked.lock().unwrap().push(Asked { path: path.clone(), authorization, body });
    let _ = server.arrivals.send(());
    let _permit = server.gate.acquire().await.unwrap();
    let says = server.answers.lock().unwrap().get(&path).cloned();
    match says {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(Says::Text(text)) => text.into_response(),
        Some(Says::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Says::Redirect(to)) => Redirect::temporary(to).into_response(),
        Some(Says::Never) => std::future::pending().await,
    }
}
