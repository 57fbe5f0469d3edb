//! The Rust API under measurement: a process of its own, so that its time is counted apart from the client's.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use countersign_edge::{Attested, CountersignLayer, JwksSource, Route, peer_address};

use crate::requests::{ISSUER, LOGIN, PATH, RESOURCE, login_keys};

/// `ADDRESS SERVICE [checked]`
pub(crate) fn run(arguments: &[String]) {
    let [address, service, rest @ ..] = arguments else { panic!("ADDRESS SERVICE [checked]") };
    let (address, service): (SocketAddr, SocketAddr) = (address.parse().unwrap(), service.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let router = if rest.is_empty() { plain() } else { checked(service).await };
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await.unwrap();
    });
}

fn plain() -> Router {
    Router::new().route(PATH, get(async || "248289761001"))
}

async fn checked(service: SocketAddr) -> Router {
    let layer = CountersignLayer::builder(RESOURCE)
        .attestation_service(ISSUER, JwksSource::url(format!("http://{service}/.well-known/jwks.json")))
        .authorization_server(LOGIN, JwksSource::fixed(login_keys()))
        .client("app", LOGIN, "mobile")
        .route(Route::new("/v1"))
        .source(peer_address)
        .start()
        .await
        .unwrap();
    let handler = async |attested: Attested| attested.subject().unwrap_or_default().to_owned();
    Router::new().route(PATH, get(handler)).layer(layer)
}
