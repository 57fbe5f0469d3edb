//! Where the service listens, and for whom.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AddressRange, existing_file};
use crate::document::{Problems, formats};

/// Where the service listens. A listener on this machine alone (127.0.0.1, ::1) speaks plain HTTP; every other
/// one speaks TLS, unless `danger_plaintext` is set.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenSettings {
    /// For devices: enrolment, renewal, keys and metadata.
    #[schemars(with = "String", extend("format" = formats::SOCKET_ADDRESS))]
    pub public: SocketAddr,
    /// For gateways: `/edge/check/{resource}`. Clients must not reach it. Default: none.
    #[schemars(with = "Option<String>", extend("format" = formats::SOCKET_ADDRESS))]
    pub edge: Option<SocketAddr>,
    /// The gateway that asks the edge listener.
    pub gateway: Option<Gateway>,
    /// The field in which the gateway tells of the client's TLS certificate, for tokens bound to one (RFC 8705) and routes
    /// that take certificates. The gateway must overwrite or remove it in every request, or clients write it themselves:
    /// the examples do. Default: none is read.
    pub client_certificate: Option<ClientCertificateField>,
    /// The addresses that gateways ask the edge listener from, such as `127.0.0.1` or `10.0.0.0/8`; everybody else is
    /// refused. Default: whoever reaches the listener is a gateway.
    pub trusted_gateways: Vec<AddressRange>,
    /// For operators: metrics, health, and the administration for whoever holds an admin key.
    #[schemars(with = "String", extend("format" = formats::SOCKET_ADDRESS))]
    pub admin: SocketAddr,
    /// Certificate and key of the listeners that speak TLS.
    pub tls: Option<TlsSettings>,
    /// Speak plain HTTP to other machines: only where something else encrypts on the whole way.
    pub danger_plaintext: bool,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The private key; mode 0600.
    pub key: PathBuf,
}

/// The gateway that asks the edge listener; it settles which statuses and headers the answers may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gateway {
    /// nginx with `auth_request`.
    Nginx,
    /// Caddy with `forward_auth`.
    Caddy,
    /// HAProxy with an authentication action.
    Haproxy,
    /// Traefik with the ForwardAuth middleware.
    Traefik,
    /// Ory Oathkeeper with the authorizer `remote`.
    Oathkeeper,
    /// Envoy with `ext_authz` over HTTP.
    EnvoyHttp,
    /// Envoy with `ext_authz` over gRPC.
    EnvoyGrpc,
}

/// How a gateway tells of the certificate that the client showed in its TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificateField {
    /// `Client-Cert` (RFC 9440): Caddy and HAProxy as in the examples, and every gateway that follows the RFC.
    ClientCert,
    /// `X-Forwarded-Client-Cert`: Envoy with `forward_client_cert_details: SANITIZE_SET`, and no other value of that.
    Xfcc,
    /// `X-SSL-Client-Cert` with nginx's `$ssl_client_escaped_cert`, as in the example.
    NginxEscapedPem,
}

impl Gateway {
    /// Whether it can hand the request's whole body to the edge.
    pub const fn sends_body(self) -> bool {
        matches!(self, Self::EnvoyHttp | Self::EnvoyGrpc | Self::Oathkeeper)
    }
}

impl ListenSettings {
    /// Whether a peer with this address may ask the edge listener.
    pub fn is_trusted_gateway(&self, address: IpAddr) -> bool {
        is_trusted_gateway(&self.trusted_gateways, address)
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        let listeners = [("public", Some(self.public)), ("edge", self.edge), ("admin", Some(self.admin))];
        let at = |(name, address): (&str, Option<SocketAddr>)| Some((format!("/listen/{name}"), address?));
        let listeners: Vec<_> = listeners.into_iter().filter_map(at).collect();
        check_addresses(&listeners, self.tls.as_ref(), self.danger_plaintext, problems);
        check_gateway(self.edge, self.gateway, self.client_certificate, &self.trusted_gateways, problems);
    }
}

/// Checks where listeners stand, each with its place in the document, and the TLS of those that need it.
pub(super) fn check_addresses(
    listeners: &[(String, SocketAddr)],
    tls: Option<&TlsSettings>,
    danger_plaintext: bool,
    problems: &mut Problems,
) {
    if let Some(tls) = tls {
        existing_file(&tls.certificate, "/listen/tls/certificate", problems);
        existing_file(&tls.key, "/listen/tls/key", problems);
    }
    for (index, (at, address)) in listeners.iter().enumerate() {
        if tls.is_none() && !danger_plaintext && !address.ip().is_loopback() {
            problems.at(
                at,
                format!(
                    "{address} can be reached by other machines: add [listen.tls] with `certificate` and `key`, or \
                     listen on 127.0.0.1 behind a gateway that speaks TLS"
                ),
            );
        }
        let earlier = listeners.iter().take(index).find(|(_, other)| other == address);
        if let (Some((other, _)), true) = (earlier, address.port() != 0) {
            let other = other.trim_start_matches("/listen").trim_start_matches('/');
            problems.at(at, format!("`{other}` has this address already; take another port"));
        }
    }
}

/// Whether a peer with this address may ask the edge listener of settings with these `trusted_gateways`.
pub(crate) fn is_trusted_gateway(trusted_gateways: &[AddressRange], address: IpAddr) -> bool {
    trusted_gateways.is_empty() || trusted_gateways.iter().any(|range| range.contains(address))
}

/// Checks that a listener for gateways knows its gateway, and who may speak in its name.
pub(super) fn check_gateway(
    edge: Option<SocketAddr>,
    gateway: Option<Gateway>,
    client_certificate: Option<ClientCertificateField>,
    trusted_gateways: &[AddressRange],
    problems: &mut Problems,
) {
    match (edge, gateway) {
        (Some(_), None) => problems.at(
            "/listen/edge",
            "name the gateway that will ask: add `gateway` = \"nginx\", \"caddy\", \"haproxy\", \"traefik\", \
             \"oathkeeper\", \"envoy-http\" or \"envoy-grpc\"",
        ),
        (None, Some(_)) => {
            problems.at("/listen/gateway", "without `edge` nothing listens for a gateway; add its address");
        }
        _ => {}
    }
    match (edge, client_certificate) {
        (None, Some(_)) => problems.at(
            "/listen/client_certificate",
            "without `edge` no gateway tells of certificates; add its address, or remove this line",
        ),
        (Some(edge), Some(_)) if !edge.ip().is_loopback() && trusted_gateways.is_empty() => {
            problems.at(
                "/listen/client_certificate",
                "whoever reaches `edge` could claim any certificate; name the addresses of your gateways, such as \
                 `trusted_gateways = [\"10.0.0.7\"]`",
            );
        }
        _ => {}
    }
    if edge.is_none() && !trusted_gateways.is_empty() {
        problems
            .at("/listen/trusted_gateways", "without `edge` nothing listens for gateways; remove this line");
    }
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            public: SocketAddr::from(([127, 0, 0, 1], 8080)),
            edge: None,
            gateway: None,
            client_certificate: None,
            trusted_gateways: Vec::new(),
            admin: SocketAddr::from(([127, 0, 0, 1], 9090)),
            tls: None,
            danger_plaintext: false,
        }
    }
}
