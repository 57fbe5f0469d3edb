//! The API edge for Rust: a tower layer that lets a request through only if a genuine app on a genuine phone proves
//! that it made it, with an access token that belongs to that very install.
//!
//! ```
//! use axum::{Router, body::Body, routing::get};
//! use countersign_edge::{Attested, CountersignLayer, JwksSource, Route};
//! use http::{Request, StatusCode, header::WWW_AUTHENTICATE};
//! use tower::ServiceExt;
//!
//! // Runs only for requests that passed: the user is the access token's, the instance the attestation's.
//! async fn account(attested: Attested) -> String {
//!     format!("{} on {}", attested.subject().unwrap_or_default(), attested.instance().to_base64url())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let keys = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
//! let layer = CountersignLayer::builder("https://api.example")
//!     .attestation_service("https://attest.example", JwksSource::fixed(keys))
//!     .authorization_server("https://login.example", JwksSource::fixed(keys))
//!     .client("com.example.bank", "https://login.example", "mobile-bank")
//!     .route(Route::new("/"))
//!     .start()
//!     .await?;
//! // After the last route: what is added later is not protected.
//! let app = Router::new().route("/account", get(account)).layer(layer);
//!
//! // A request with nothing in its hands is told what to bring.
//! let refused = app.oneshot(Request::get("/account").body(Body::empty())?).await?;
//! assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
//! assert_eq!(refused.headers()[WWW_AUTHENTICATE], r#"DPoP algs="ES256", Bearer"#);
//! # Ok(())
//! # }
//! ```
//!
//! A handler that asks for [`Attested`] and is not below the layer answers 500: it fails closed. `Router::layer` also
//! covers paths that no route matches, so strangers cannot tell 404 from a path that exists; `Router::route_layer`
//! does not.
//!
//! [`EdgeRuntime`] and [`answer`] are the same decision for servers that are not tower services.
#![forbid(unsafe_code)]

mod api_keys;
mod attested;
mod body;
mod breaker;
mod builder;
mod client_cert;
mod client_secret;
mod cors;
mod deny_list;
mod discovery;
mod extract;
mod introspection;
mod layer;
mod respond;
mod runtime;
mod service;
mod setup_error;
#[cfg(feature = "redis")]
pub mod shared_store;
mod source;
mod system;

pub use api_keys::ApiKeyFileError;
pub use attested::{Attested, Verdict};
pub use body::{Read as ContentRead, read as read_content};
pub use breaker::Breaker;
pub use builder::{BuildError, CountersignBuilder};
pub use client_cert::{CLIENT_CERT, client_cert};
pub use client_secret::{ClientSecret, ClientSecretError};
pub use cors::{Cors, CorsError};
pub use deny_list::DenyListSource;
pub use extract::NotAttested;
pub use introspection::{ClientAuthentication, IntrospectionSource};
pub use layer::{CountersignLayer, DEFAULT_MAX_CONTENT, UnknownResource, peer_address};
pub use respond::{
    Answer, STATUS_FIELD, answer, is_identity, pass_preflight, passing_fields, strip_identity,
};
pub use runtime::EdgeRuntime;
pub use service::CountersignService;
pub use setup_error::SetupError;
#[cfg(feature = "redis")]
pub use shared_store::{SharedStoreSettings, StoreAddress, StoreAddressError};
pub use source::{FetchError, JwksSource, SourceError};
pub use system::{OsRandomness, system_time};

pub use countersign_core::token::result::{InstanceId, Protection, Tier};
pub use countersign_verifier::check::anomaly::{Action, Anomaly, AnomalyRule, AnomalyRuleError, Signal};
pub use countersign_verifier::check::{
    Assurance, Class, ClientCertificate, Credential, CredentialKind, Decided, Limits, Mode, NoncePolicy,
    Outcome, Reason, ReplayPolicy, Route, StepUp, TokenBinding, WhenStoreFails, Witness,
};
pub use countersign_verifier::credential::api_key::{ApiKey, ApiKeyId, ApiKeys};
pub use countersign_verifier::credential::client_certificate::{
    CertificateAuthorities, CertificateHolder, CertificateName, ClientCertificates,
};
pub use countersign_verifier::credential::introspection::Introspection;
pub use countersign_verifier::credential::jwt::AccessToken;
