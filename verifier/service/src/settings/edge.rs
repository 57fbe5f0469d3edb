//! The settings file of an edge that runs apart from the service: whom it trusts, what it protects, where it listens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listen::{check_addresses, check_gateway};
use super::{
    AddressRange, AttemptSettings, ClientCertificateField, Gateway, LimitSettings, ProxySettings,
    ResourceSettings, SharedStoreSettings, TlsSettings, WebUrl,
};
use super::{private_url, proxy, resource, shared_store};
use crate::document::{self, Document, Problems, directory_of, formats};

/// Everything that an edge is told before it starts. It needs no policy, no registry and no signing key, and asks nobody
/// while it decides: keys and deny list are fetched beside the requests.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Countersign edge settings")]
pub struct EdgeSettings {
    /// The attestation service whose results are trusted.
    pub attestation_service: AttestationServiceSettings,
    /// Where the edge listens.
    #[serde(default)]
    pub listen: EdgeListenSettings,
    /// The keys that recognise this edge's nonces: a file of mode 0600, made at the first start. Edges behind one load
    /// balancer need the same file, which is the service's `edge.jwks` where the service is one of them.
    #[serde(default = "default_nonce_keys")]
    pub nonce_keys: PathBuf,
    /// Bounds that protect the edge itself.
    #[serde(default)]
    pub limits: LimitSettings,
    /// What the log tells of requests that were refused.
    #[serde(default)]
    pub attempts: AttemptSettings,
    /// The store that this edge shares with others. Default: it is alone.
    #[serde(default)]
    pub shared_store: Option<SharedStoreSettings>,
    /// The protected APIs that this edge decides for.
    #[serde(rename = "resource")]
    #[schemars(length(min = 1))]
    pub resources: Vec<ResourceSettings>,
    /// The reverse proxies that this edge runs, for APIs that have no gateway.
    #[serde(default, rename = "proxy")]
    pub proxies: Vec<ProxySettings>,
}

/// An attestation service, as those see it who trust its results.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttestationServiceSettings {
    /// Its issuer URL, compared byte for byte with the `iss` of results.
    pub issuer: WebUrl,
    /// Its public keys: an `https` URL, or the path of a JWK Set file. Default: `/.well-known/jwks.json` under the issuer.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub jwks: Option<String>,
    /// Where its deny list is. Default: `/v1/deny-list` under the issuer. Without a current list nothing passes.
    #[serde(default)]
    pub deny_list: Option<WebUrl>,
}

/// Where an edge listens. A listener on this machine alone (127.0.0.1, ::1) speaks plain HTTP; every other one speaks
/// TLS, unless `danger_plaintext` is set.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeListenSettings {
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
    /// For operators: metrics and health.
    #[schemars(with = "String", extend("format" = formats::SOCKET_ADDRESS))]
    pub admin: SocketAddr,
    /// Certificate and key of the listeners that speak TLS.
    pub tls: Option<TlsSettings>,
    /// Speak plain HTTP to other machines: only where something else encrypts on the whole way.
    pub danger_plaintext: bool,
}

impl EdgeSettings {
    /// Reads the settings in `file`; relative paths in it start from its directory.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn load(file: &Path) -> Result<Self, Problems> {
        document::load(file).map(|settings: Self| settings.resolved(directory_of(file)))
    }

    /// Reads settings from text, as if they stood in a file `name` of its directory.
    ///
    /// # Errors
    /// Every problem of the text.
    pub fn parse(name: &Path, text: &str) -> Result<Self, Problems> {
        document::parse(&name.display().to_string(), text)
            .map(|settings: Self| settings.resolved(directory_of(name)))
    }

    fn resolved(mut self, directory: &Path) -> Self {
        let tls = self.listen.tls.iter_mut().flat_map(|tls| [&mut tls.certificate, &mut tls.key]);
        let url_file = self.shared_store.as_mut().and_then(|store| store.url_file.as_mut());
        for path in tls.chain([&mut self.nonce_keys]).chain(url_file) {
            *path = directory.join(&path);
        }
        if let Some(jwks) = self.attestation_service.jwks.as_mut().filter(|jwks| !jwks.contains("://")) {
            *jwks = directory.join(&jwks).display().to_string();
        }
        self.resources.iter_mut().for_each(|resource| resource.resolve(directory));
        self
    }
}

impl AttestationServiceSettings {
    /// Where its keys are: a URL, or the path of a file.
    pub fn jwks(&self) -> String {
        self.jwks.clone().unwrap_or_else(|| self.under_issuer("/.well-known/jwks.json"))
    }

    /// The URL of its deny list.
    pub fn deny_list(&self) -> String {
        let named = self.deny_list.as_ref().map(|url| url.as_str().to_owned());
        named.unwrap_or_else(|| self.under_issuer("/v1/deny-list"))
    }

    fn under_issuer(&self, path: &str) -> String {
        format!("{}{path}", self.issuer.as_str().trim_end_matches('/'))
    }

    fn check(&self, problems: &mut Problems) {
        const AT: &str = "/attestation_service";
        private_url(&self.issuer, &format!("{AT}/issuer"), problems);
        if let Some(url) = &self.deny_list {
            private_url(url, &format!("{AT}/deny_list"), problems);
        }
        if let Some(jwks) = &self.jwks {
            resource::check_jwks(jwks, &format!("{AT}/jwks"), problems);
        }
    }
}

impl Document for EdgeSettings {
    fn complete(&mut self, problems: &mut Problems) {
        let gateway = self.listen.gateway;
        for (index, resource) in self.resources.iter_mut().enumerate() {
            resource.complete(&format!("/resource/{index}"), gateway, problems);
        }
    }

    fn check(&self, problems: &mut Problems) {
        self.attestation_service.check(problems);
        let listeners = [("edge", self.listen.edge), ("admin", Some(self.listen.admin))];
        let at = |(name, address): (&str, Option<SocketAddr>)| Some((format!("/listen/{name}"), address?));
        let proxies = self.proxies.iter().enumerate();
        let proxies = proxies.map(|(index, proxy)| (format!("/proxy/{index}/listen"), proxy.listen));
        let listeners: Vec<_> = listeners.into_iter().filter_map(at).chain(proxies).collect();
        check_addresses(&listeners, self.listen.tls.as_ref(), self.listen.danger_plaintext, problems);
        let EdgeListenSettings { edge, gateway, client_certificate, trusted_gateways, .. } = &self.listen;
        check_gateway(*edge, *gateway, *client_certificate, trusted_gateways, problems);
        self.attempts.check(problems);
        resource::check(&self.resources, self.listen.gateway, problems);
        proxy::check(&self.proxies, &self.resources, problems);
        shared_store::check(self.shared_store.as_ref(), &self.resources, true, problems);
        if self.listen.edge.is_none() && self.proxies.is_empty() {
            problems.at(
                "",
                "nobody could ask this edge: add a [[proxy]], or `edge` and `gateway` in [listen] for a gateway",
            );
        }
    }
}

impl Default for EdgeListenSettings {
    fn default() -> Self {
        Self {
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

fn default_nonce_keys() -> PathBuf {
    PathBuf::from("countersign-data/keys/edge.jwks")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "
[attestation_service]
issuer = 'https://attest.example/'
[[resource]]
name = 'api'
identifier = 'https://api.example'
apps = ['app']
[[resource.route]]
path = '/'
credentials = []
";
    const PROXY: &str = "
[[proxy]]
resource = 'api'
listen = '127.0.0.1:8443'
upstream = 'http://127.0.0.1:9000'
";

    fn parse(text: &str) -> Result<EdgeSettings, String> {
        let directory = tempfile::tempdir().unwrap();
        EdgeSettings::parse(&directory.path().join("edge.toml"), text)
            .map_err(|problems| problems.to_string())
    }

    fn problem(text: &str) -> String {
        parse(text).map(|_| ()).unwrap_err()
    }

    #[test]
    fn whom_to_trust_and_what_to_protect_is_enough_beside_a_proxy() {
        let settings = parse(&format!("{WHOLE}{PROXY}")).unwrap();
        assert_eq!(settings.attestation_service.jwks(), "https://attest.example/.well-known/jwks.json");
        assert_eq!(settings.attestation_service.deny_list(), "https://attest.example/v1/deny-list");
        assert!(settings.nonce_keys.ends_with("countersign-data/keys/edge.jwks"));
        assert!(settings.nonce_keys.is_absolute());
    }

    #[test]
    fn an_edge_that_nobody_could_ask_is_refused() {
        assert!(problem(WHOLE).contains("nobody could ask this edge"));
    }

    #[test]
    fn keys_and_deny_list_never_travel_in_plain_to_another_machine() {
        for member in ["jwks = 'http://a.example/jwks'", "deny_list = 'http://a.example/list'"] {
            let text =
                format!("{WHOLE}{PROXY}").replacen("[[resource]]", &format!("{member}\n[[resource]]"), 1);
            assert!(problem(&text).contains("is not private"), "{member}");
        }
    }

    #[test]
    fn a_gateway_that_sends_no_bodies_cannot_have_them_checked_but_a_proxy_can() {
        let wants_body = format!("{WHOLE}body = 'required'\n{PROXY}");
        assert!(parse(&wants_body).is_ok());
        let nginx = format!("[listen]\nedge = '127.0.0.1:8081'\ngateway = 'nginx'\n{wants_body}");
        assert!(problem(&nginx).contains("sends no bodies"));
    }

    #[test]
    fn a_proxy_is_refused_where_it_would_not_protect() {
        let with = |from: &str, to: &str| problem(&format!("{WHOLE}{}", PROXY.replace(from, to)));
        assert!(with("'api'", "'other'").contains("no [[resource]] is called `other`"));
        assert!(with("http://127.0.0.1:9000", "http://10.0.0.9:9000").contains("is not private"));
        assert!(with("http://127.0.0.1:9000", "http://127.0.0.1:8443").contains("would ask itself"));
        assert!(with("127.0.0.1:8443", "0.0.0.0:8443").contains("[listen.tls]"));
        assert!(with("127.0.0.1:8443", "127.0.0.1:9090").contains("`admin` has this address already"));
        assert!(with("http://127.0.0.1:9000", "http://127.0.0.1:9000/v1").contains("origin"));
        let twice = PROXY.replace("8443", "8444");
        assert!(problem(&format!("{WHOLE}{PROXY}{twice}")).contains("an earlier proxy serves `api`"));
    }
}
