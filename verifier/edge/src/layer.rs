//! The tower layer: what protects, and which resource it protects.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::ConnectInfo;
use countersign_verifier::check::ClientCertificate;
use http::HeaderValue;
use http::request::Parts;
use tower::Layer;

use crate::builder::CountersignBuilder;
use crate::client_cert::{CLIENT_CERT, client_cert};
use crate::cors::Cors;
use crate::runtime::EdgeRuntime;
use crate::service::{CountersignService, Gate};

/// Longest body that is read for routes that demand its hash, unless the builder says otherwise: 1 MiB.
pub const DEFAULT_MAX_CONTENT: usize = 1024 * 1024;

/// Tells the client's address, where it can be told.
pub(crate) type SourceAddress = dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync;

/// Tells the client's certificate, where it showed one.
pub(crate) type CertificateOf = dyn Fn(&Parts) -> Option<ClientCertificate> + Send + Sync;

/// Lets requests through to the service below only if a genuine app instance proves that it made them, with an access
/// token that belongs to it. Cloning is cheap; all clones share one state.
#[derive(Clone)]
pub struct CountersignLayer {
    gate: Arc<Gate>,
}

/// The runtime's edge has no resource of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownResource(pub String);

impl fmt::Display for UnknownResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the edge has no resource called {}", self.0)
    }
}

impl std::error::Error for UnknownResource {}

impl CountersignLayer {
    /// Begins to describe the protection of the API whose RFC 9728 resource identifier is `resource`, for example
    /// `https://api.example`: the `aud` of proofs and access tokens.
    pub fn builder(resource: impl Into<String>) -> CountersignBuilder {
        CountersignBuilder::new(resource.into())
    }

    /// A layer for the resource called `resource` of an edge that was made before.
    ///
    /// # Errors
    /// [`UnknownResource`] if the edge has none of that name.
    pub fn new(runtime: Arc<EdgeRuntime>, resource: impl Into<String>) -> Result<Self, UnknownResource> {
        let resource = resource.into();
        if runtime.edge().resource(&resource).is_none() {
            return Err(UnknownResource(resource));
        }
        let gate = Gate {
            runtime,
            resource,
            max_content: DEFAULT_MAX_CONTENT,
            source: Arc::new(|_| None),
            client_certificate: Arc::new(|_| None),
            cors: None,
        };
        Ok(Self { gate: Arc::new(gate) })
    }

    /// The longest body, in bytes, that is read for routes that demand its hash. It is held in memory.
    #[must_use]
    pub fn with_max_content(self, bytes: usize) -> Self {
        Self { gate: Arc::new(Gate { max_content: bytes, ..(*self.gate).clone() }) }
    }

    /// Lets pages of other origins call the API from a browser: preflight requests are answered here, and all answers say
    /// who may read them. Put no other layer that does so around this one.
    #[must_use]
    pub fn with_cors(self, cors: Cors) -> Self {
        Self { gate: Arc::new(Gate { cors: Some(Arc::new(cors)), ..(*self.gate).clone() }) }
    }

    /// How to tell the client's address, whose refused requests are then limited; [`peer_address`] where clients
    /// connect directly. Unset, no address is limited: behind a proxy all clients would share the proxy's.
    #[must_use]
    pub fn with_source(self, source: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self { gate: Arc::new(Gate { source: Arc::new(source), ..(*self.gate).clone() }) }
    }

    /// How to tell the certificate that the client showed in its TLS handshake, for access tokens that are bound to one
    /// (RFC 8705) and for routes that take certificates: from an extension of the request that the TLS acceptor set, never
    /// from a header field that clients can write. Unset, no certificate is known.
    #[must_use]
    pub fn with_client_certificate(
        self,
        certificate: impl Fn(&Parts) -> Option<ClientCertificate> + Send + Sync + 'static,
    ) -> Self {
        let client_certificate = Arc::new(certificate);
        Self { gate: Arc::new(Gate { client_certificate, ..(*self.gate).clone() }) }
    }

    /// As [`CountersignLayer::with_client_certificate`], from the field `Client-Cert` (RFC 9440) of requests that
    /// `is_of_gateway` says come from the gateway that ended the TLS connection, by their peer's address or its own
    /// certificate. From anybody else the field is ignored. The gateway must overwrite or remove the field always.
    #[must_use]
    pub fn with_client_cert_field(
        self,
        is_of_gateway: impl Fn(&Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.with_client_certificate(move |parts| match is_of_gateway(parts) {
            true => client_cert(parts.headers.get_all(CLIENT_CERT).iter().map(HeaderValue::as_bytes)),
            false => None,
        })
    }

    /// The runtime behind the layer.
    pub fn runtime(&self) -> &Arc<EdgeRuntime> {
        &self.gate.runtime
    }
}

/// The address of the peer of the connection, from axum's `ConnectInfo`. Only for servers that clients connect to
/// directly.
pub fn peer_address(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}

impl fmt::Debug for CountersignLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountersignLayer").field("resource", &self.gate.resource).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for CountersignLayer {
    type Service = CountersignService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CountersignService::new(inner, Arc::clone(&self.gate))
    }
}
