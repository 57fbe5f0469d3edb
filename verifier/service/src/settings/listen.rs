//! Where the service listens, and for whom.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::existing_file;
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
    /// Envoy with `ext_authz` over HTTP.
    EnvoyHttp,
}

impl Gateway {
    /// Whether it can hand the request's whole body to the edge.
    pub const fn sends_body(self) -> bool {
        matches!(self, Self::EnvoyHttp)
    }
}

impl ListenSettings {
    pub(super) fn check(&self, problems: &mut Problems) {
        let listeners = [("public", Some(self.public)), ("edge", self.edge), ("admin", Some(self.admin))];
        let at = |(name, address): (&str, Option<SocketAddr>)| Some((format!("/listen/{name}"), address?));
        let listeners: Vec<_> = listeners.into_iter().filter_map(at).collect();
        check_addresses(&listeners, self.tls.as_ref(), self.danger_plaintext, problems);
        check_gateway(self.edge, self.gateway, problems);
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

/// Checks that a listener for gateways knows its gateway.
pub(super) fn check_gateway(edge: Option<SocketAddr>, gateway: Option<Gateway>, problems: &mut Problems) {
    match (edge, gateway) {
        (Some(_), None) => problems.at(
            "/listen/edge",
            "name the gateway that will ask: add `gateway` = \"nginx\", \"caddy\", \"haproxy\", \"traefik\" or \
             \"envoy-http\"",
        ),
        (None, Some(_)) => {
            problems.at("/listen/gateway", "without `edge` nothing listens for a gateway; add its address");
        }
        _ => {}
    }
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            public: SocketAddr::from(([127, 0, 0, 1], 8080)),
            edge: None,
            gateway: None,
            admin: SocketAddr::from(([127, 0, 0, 1], 9090)),
            tls: None,
            danger_plaintext: false,
        }
    }
}
