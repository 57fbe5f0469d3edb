//! The protected API: three handlers behind the tower layer. Neither of them checks anything itself.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use countersign_edge::{
    Assurance, Attested, CountersignLayer, DenyListSource, EdgeRuntime, JwksSource, NoncePolicy, Route,
};
use tokio::net::TcpListener;

use crate::Trouble;
use crate::world::{APP, OAUTH_CLIENT};

/// An API whose address is known, but that does not answer yet.
pub(crate) struct BoundApi {
    listener: TcpListener,
    /// Its URL, which is its resource identifier.
    pub(crate) url: String,
}

/// The running API.
pub(crate) struct Api {
    /// Its URL, which is its resource identifier.
    pub(crate) url: String,
    edge: Arc<EdgeRuntime>,
}

impl Api {
    /// Takes a port.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn bind() -> Result<BoundApi, Trouble> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        Ok(BoundApi { listener, url })
    }

    /// The URI of a path and query.
    pub(crate) fn uri(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Fetches keys and deny list now, instead of within seconds.
    pub(crate) async fn refresh(&self) {
        self.edge.refresh().await;
    }
}

impl BoundApi {
    /// Answers from now on.
    ///
    /// # Errors
    /// The layer's description is wrong.
    pub(crate) async fn serve(self, service: &str, authorization_server: &str) -> Result<Api, Trouble> {
        let layer = CountersignLayer::builder(&self.url)
            .attestation_service(service, JwksSource::url(format!("{service}/.well-known/jwks.json")))
            .authorization_server(
                authorization_server,
                JwksSource::url(format!("{authorization_server}/jwks")),
            )
            .client(APP, authorization_server, OAUTH_CLIENT)
            .route(Route::new("/"))
            // Money moves only with a nonce of this API and the body under the proof: bodies are read and compared
            // where a route asks for it.
            .route(Route { nonce: NoncePolicy::Required, content_required: true, ..Route::new("/transfers") })
            // Who raises the limit shows the phone's hardware key itself, not one that it vouched for.
            .route(Route {
                assurance: Assurance::Hardware,
                nonce: NoncePolicy::Required,
                content_required: true,
                ..Route::new("/limits")
            })
            .deny_list(DenyListSource::of(service))
            .start()
            .await?;
        let edge = Arc::clone(layer.runtime());
        let router = Router::new()
            .route("/account", get(account).put(account))
            .route("/transfers", post(transfer))
            .route("/limits", post(limit))
            .layer(layer);
        tokio::spawn(async move { axum::serve(self.listener, router).await });
        Ok(Api { url: self.url, edge })
    }
}

async fn account(attested: Attested) -> String {
    format!("this is {}'s account", attested.subject().unwrap_or_default())
}

async fn limit(attested: Attested, body: String) -> String {
    format!("{} may pay {body} a day", attested.subject().unwrap_or_default())
}

async fn transfer(attested: Attested, body: String) -> String {
    format!("{} pays {body}", attested.subject().unwrap_or_default())
}
