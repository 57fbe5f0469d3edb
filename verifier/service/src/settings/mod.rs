//! The settings file of the service: listeners, store, keys, lifetimes and protected resources.
//!
//! Every default is safe for production, and every value that weakens security is named `danger…`.

mod play_integrity;
mod resource;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use play_integrity::{PlayAppSettings, PlayIntegritySettings};
pub use resource::{
    Assurance, AuthorizationServerSettings, BodyBinding, CredentialKind, KeyProtection, Mode, NonceDemand,
    ResourceSettings, RouteSettings, Tier, TokenBinding,
};
pub use values::{InvalidText, Origin, TimeSpan, WebUrl};

use crate::document::{self, Document, Problems, directory_of, formats};

/// Everything that the service is told before it starts.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Countersign settings")]
pub struct Settings {
    /// The issuer URL of every result (`iss`); devices reach the service under it.
    pub issuer: WebUrl,
    /// The appraisal policy: which apps and devices are accepted. A path from the directory of this file.
    #[serde(default = "default_policy")]
    pub policy: PathBuf,
    /// Where the service listens.
    #[serde(default)]
    pub listen: ListenSettings,
    /// Where enrolled instances are kept.
    #[serde(default)]
    pub store: StoreSettings,
    /// Where the service's own keys are kept.
    #[serde(default)]
    pub keys: KeySettings,
    /// What the evidence is checked against, beside the roots that are built in.
    #[serde(default)]
    pub trust: TrustSettings,
    /// Who opens the Play Integrity tokens of which Android app.
    #[serde(default)]
    pub play_integrity: PlayIntegritySettings,
    /// The key with which Apple is asked about devices. Default: Apple is not asked.
    pub app_attest: Option<AppAttestSettings>,
    /// How long things are valid.
    #[serde(default)]
    pub lifetime: LifetimeSettings,
    /// Bounds that protect the service itself.
    #[serde(default)]
    pub limits: LimitSettings,
    /// The protected APIs that this edge decides for.
    #[serde(default, rename = "resource")]
    pub resources: Vec<ResourceSettings>,
}

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

/// Where enrolled instances are kept.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// The SQLite database; made at the first start.
    pub path: PathBuf,
}

/// Where the service's own keys are kept.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeySettings {
    /// The directory of the key files, mode 0700; made with its keys at the first start.
    pub directory: PathBuf,
}

/// What evidence is checked against, beside the roots that are built in.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrustSettings {
    /// Android's attestation status list (JSON), kept fresh by the operator. It is as old as the file.
    pub revocation: Option<PathBuf>,
    /// Where the service fetches that list itself, as often as its publisher says; Google's is
    /// `https://android.googleapis.com/attestation/status`. With a file too, the newer one counts.
    pub revocation_url: Option<WebUrl>,
    /// A trust bundle: roots, status list and boot keys in one signed file (docs/trust-bundle.md).
    pub bundle: Option<PathBuf>,
    /// The public key that signs it, as `countersign trust key new` prints it.
    pub bundle_key: Option<String>,
    /// The list of verified boot keys of systems that policies may accept. Default: none is known.
    pub boot_keys: Option<PathBuf>,
    /// Above how many withdrawals by one change the operator is warned.
    pub withdrawal_alarm: WithdrawalAlarm,
}

/// How large a withdrawal is that the log and a metric tell loudly. It takes place all the same.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WithdrawalAlarm {
    /// At least so many instances ...
    pub instances: u32,
    /// ... and so many of a hundred.
    #[schemars(range(min = 1, max = 100))]
    pub percent: u8,
}

/// The key with which receipts of App Attest are exchanged for ones with a risk metric.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppAttestSettings {
    /// A private key with DeviceCheck enabled, as Apple gave it out (.p8: PKCS #8, PEM); mode 0600.
    pub key_file: PathBuf,
    /// Its key identifier: ten characters.
    #[schemars(length(equal = 10), regex(pattern = "^[A-Z0-9]+$"))]
    pub key_id: String,
    /// The identifier of the team that has the key and the apps: ten characters.
    #[schemars(length(equal = 10), regex(pattern = "^[A-Z0-9]+$"))]
    pub team_id: String,
}

/// How long things are valid (protocol section 9), each with a ceiling. The lives of challenges and nonces are fixed.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LifetimeSettings {
    /// Results and JWTs for resources; at most 10m.
    pub result: TimeSpan,
    /// JWTs for the authorization server; at most 24h.
    pub client_attestation: TimeSpan,
    /// Records of what was decided and why; at most 400d.
    pub audit: TimeSpan,
    /// Instances that neither enrol nor renew for so long are erased; at least 1d, at most 3650d. Bans stay.
    pub instances: TimeSpan,
}

/// Bounds that protect the service itself.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Requests of each listener that are worked on at the same time; more wait, and then are turned away.
    #[schemars(range(min = 1, max = 100_000))]
    pub concurrency: usize,
    /// Open connections of each listener; what comes beyond is closed.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: usize,
    /// Proofs that are remembered against replay; each takes about 40 bytes.
    #[schemars(range(min = 1024, max = 50_000_000))]
    pub replay_entries: usize,
    /// Failed requests that a source address may send within ten seconds.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub failures_per_10s: u32,
}

impl Settings {
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
        let paths = [&mut self.policy, &mut self.store.path, &mut self.keys.directory];
        let app_attest = self.app_attest.as_mut().map(|app_attest| &mut app_attest.key_file);
        for path in paths
            .into_iter()
            .chain(self.trust.revocation.as_mut())
            .chain(self.trust.bundle.as_mut())
            .chain(self.trust.boot_keys.as_mut())
            .chain(tls)
            .chain(app_attest)
        {
            *path = directory.join(&path);
        }
        self.play_integrity.resolve(directory);
        let servers = self.resources.iter_mut().flat_map(|resource| &mut resource.authorization_servers);
        for server in servers.filter(|server| !server.jwks.contains("://")) {
            server.jwks = directory.join(&server.jwks).display().to_string();
        }
        self
    }
}

impl Document for Settings {
    fn check(&self, problems: &mut Problems) {
        private_url(&self.issuer, "/issuer", problems);
        existing_file(&self.policy, "/policy", problems);
        if let Some(list) = &self.trust.boot_keys {
            existing_file(list, "/trust/boot_keys", problems);
        }
        if let Some(list) = &self.trust.revocation {
            existing_file(list, "/trust/revocation", problems);
        }
        self.trust.check(problems);
        if let Some(url) = &self.trust.revocation_url {
            private_url(url, "/trust/revocation_url", problems);
        }
        if let Some(app_attest) = &self.app_attest {
            existing_file(&app_attest.key_file, "/app_attest/key_file", problems);
        }
        self.listen.check(problems);
        self.play_integrity.check(problems);
        self.lifetime.check(problems);
        resource::check(&self.resources, self.listen.gateway, problems);
        if self.listen.edge.is_some() && self.resources.is_empty() {
            problems.at(
                "/listen/edge",
                "an edge needs something to decide for; add a [[resource]], or remove this line",
            );
        }
    }
}

impl TrustSettings {
    fn check(&self, problems: &mut Problems) {
        if let Some(bundle) = &self.bundle {
            existing_file(bundle, "/trust/bundle", problems);
        }
        match (&self.bundle, &self.bundle_key) {
            (Some(_), None) => {
                let message = "who may sign it? Add `bundle_key`, which `countersign trust key new` prints";
                problems.at("/trust/bundle", message);
            }
            (None, Some(_)) => {
                problems.at("/trust/bundle_key", "there is no `bundle` that it could have signed")
            }
            (_, Some(key)) if crate::trust::bundle_key(key).is_none() => {
                problems.at("/trust/bundle_key", "this is no Ed25519 public key: 43 characters of base64url");
            }
            _ => {}
        }
    }
}

impl ListenSettings {
    fn check(&self, problems: &mut Problems) {
        if let Some(tls) = &self.tls {
            existing_file(&tls.certificate, "/listen/tls/certificate", problems);
            existing_file(&tls.key, "/listen/tls/key", problems);
        }
        let listeners = [("public", Some(self.public)), ("edge", self.edge), ("admin", Some(self.admin))];
        for (index, (name, address)) in listeners.iter().enumerate() {
            let Some(address) = address else { continue };
            if self.tls.is_none() && !self.danger_plaintext && !address.ip().is_loopback() {
                problems.at(
                    &format!("/listen/{name}"),
                    format!(
                        "{address} can be reached by other machines: add [listen.tls] with `certificate` and `key`, or \
                         listen on 127.0.0.1 behind a gateway that speaks TLS"
                    ),
                );
            }
            let earlier = listeners.iter().take(index).find(|(_, other)| *other == Some(*address));
            if let (Some((other, _)), true) = (earlier, address.port() != 0) {
                problems.at(
                    &format!("/listen/{name}"),
                    format!("`{other}` has this address already; take another port"),
                );
            }
        }
        match (self.edge, self.gateway) {
            (Some(_), None) => problems.at(
                "/listen/edge",
                "name the gateway that will ask: add `gateway` = \"nginx\", \"caddy\", \"haproxy\", \"traefik\" or \
                 \"envoy-http\"",
            ),
            (None, Some(_)) => problems.at("/listen/gateway", "without `edge` nothing listens for a gateway; add its address"),
            _ => {}
        }
    }
}

impl LifetimeSettings {
    fn check(&self, problems: &mut Problems) {
        let bounds = [
            ("result", self.result, 30, 600),
            ("client_attestation", self.client_attestation, 30, 86_400),
            ("audit", self.audit, 30, 400 * 86_400),
            ("instances", self.instances, 86_400, 3650 * 86_400),
        ];
        for (name, span, floor, ceiling) in bounds {
            let (floor, ceiling) = (TimeSpan::from_seconds(floor), TimeSpan::from_seconds(ceiling));
            if span > ceiling {
                problems.at(
                    &format!("/lifetime/{name}"),
                    format!("`{name}` is {span}; at most {ceiling} is allowed"),
                );
            } else if span < floor {
                problems.at(
                    &format!("/lifetime/{name}"),
                    format!("`{name}` is {span}; devices need at least {floor}"),
                );
            }
        }
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

impl Default for StoreSettings {
    fn default() -> Self {
        Self { path: PathBuf::from("countersign-data/registry.sqlite") }
    }
}

impl Default for KeySettings {
    fn default() -> Self {
        Self { directory: PathBuf::from("countersign-data/keys") }
    }
}

impl Default for WithdrawalAlarm {
    fn default() -> Self {
        Self { instances: 100, percent: 10 }
    }
}

impl Default for LifetimeSettings {
    fn default() -> Self {
        Self {
            result: TimeSpan::from_seconds(600),
            client_attestation: TimeSpan::from_seconds(3600),
            audit: TimeSpan::from_seconds(30 * 86_400),
            instances: TimeSpan::from_seconds(400 * 86_400),
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self { concurrency: 1024, connections: 8192, replay_entries: 1 << 20, failures_per_10s: 20 }
    }
}

fn default_policy() -> PathBuf {
    PathBuf::from("policy.toml")
}

fn private_url(url: &WebUrl, pointer: &str, problems: &mut Problems) {
    if !url.is_private() {
        problems.at(
            pointer,
            format!("{} is not private; write https, or http on this machine alone", url.as_str()),
        );
    }
}

fn existing_file(path: &Path, pointer: &str, problems: &mut Problems) {
    let path = problems.directory().join(path);
    if !path.is_file() {
        problems.at(pointer, format!("the file {} does not exist", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    const RESOURCE: &str = r#"
[[resource]]
name = "api"
identifier = "https://api.example"
[[resource.authorization_server]]
issuer = "https://login.example"
jwks = "https://login.example/jwks"
clients = { "app" = ["mobile"] }
[[resource.route]]
path = "/"
"#;

    fn directory() -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("policy.toml"), "").unwrap();
        directory
    }

    fn read(text: &str) -> Result<Settings, String> {
        let directory = directory();
        let file = directory.path().join("settings.toml");
        fs::write(&file, text).unwrap();
        Settings::load(&file)
            .map_err(|problems| problems.to_string().replace(&format!("{}/", directory.path().display()), ""))
    }

    #[test]
    fn one_line_is_enough_and_every_default_is_the_documented_one() {
        let settings = read("issuer = 'https://attest.example'").unwrap();
        assert_eq!(settings.lifetime.result.as_seconds(), 600);
        assert_eq!(settings.lifetime.client_attestation.as_seconds(), 3600);
        assert!(settings.listen.public.ip().is_loopback() && settings.listen.admin.ip().is_loopback());
        assert!(!settings.listen.danger_plaintext);
        assert!(settings.store.path.is_absolute());
    }

    #[test]
    fn a_route_without_a_word_more_is_strict() {
        let settings = read(&format!("issuer = 'https://attest.example'\n{RESOURCE}")).unwrap();
        let route = &settings.resources[0].routes[0];
        assert_eq!(
            (route.mode, route.token_binding, route.tier, route.nonce),
            (Mode::Require, TokenBinding::Instance, Tier::Affirming, NonceDemand::Off)
        );
    }

    #[test]
    fn every_problem_of_a_bad_file_is_named_at_once() {
        let text = r#"issuer = "http://attest.example"
policy = "missing.toml"
[listen]
public = "0.0.0.0:8080"
admin = "localhost"
[lifetime]
result = "20m"
audit = "soon"
[[resource]]
name = "Main API"
identifier = "https://api.example"
[[resource.authorization_server]]
issuer = "https://login.example"
jwks = "jwks.json"
clients = {}
[[resource.route]]
path = "v1/*"
mode = "strict"
"#;
        let found = read(text).unwrap_err();
        for line in [1, 2, 4, 5, 7, 8, 10, 14, 15, 17, 18] {
            assert!(found.contains(&format!("settings.toml:{line}: ")), "line {line} in\n{found}");
        }
        assert_eq!(found.lines().count(), 11, "{found}");
    }

    #[test]
    fn plain_http_to_other_machines_needs_the_danger_word() {
        for listener in ["public", "admin"] {
            let text = |danger: bool| {
                format!(
                    "issuer = 'https://a.example'\n[listen]\n{listener} = '0.0.0.0:80'\ndanger_plaintext = {danger}\n"
                )
            };
            assert!(read(&text(false)).unwrap_err().contains("settings.toml:3: 0.0.0.0:80 can be reached"));
            assert!(read(&text(true)).is_ok());
        }
    }

    #[test]
    fn instances_are_kept_for_a_day_at_least_and_ten_years_at_most() {
        let text = |span: &str| format!("issuer = 'https://a.example'\n[lifetime]\ninstances = '{span}'\n");
        assert!(read(&text("1d")).is_ok() && read(&text("3650d")).is_ok());
        for wrong in ["23h", "3651d"] {
            assert!(read(&text(wrong)).unwrap_err().contains("settings.toml:3: `instances` is"), "{wrong}");
        }
    }

    #[test]
    fn a_body_cannot_be_demanded_behind_a_gateway_that_sends_none() {
        let text = |gateway: &str| {
            format!(
                "issuer = 'https://a.example'\n[listen]\nedge = '127.0.0.1:8081'\ngateway = '{gateway}'\n{RESOURCE}body = 'required'\n"
            )
        };
        assert!(read(&text("nginx")).unwrap_err().contains("sends no bodies"));
        assert!(read(&text("envoy-http")).is_ok());
    }

    #[test]
    fn two_routes_for_the_same_requests_are_refused() {
        let text = format!(
            "issuer = 'https://a.example'\n{RESOURCE}[[resource.route]]\npath = '/'\nmode = 'observe'\n"
        );
        assert!(
            read(&text).unwrap_err().contains("settings.toml:12: `/` has a route for all methods already")
        );
    }

    #[test]
    fn an_edge_listener_needs_its_gateway_and_a_resource() {
        let found = read("issuer = 'https://a.example'\n[listen]\nedge = '127.0.0.1:8081'\n").unwrap_err();
        assert_eq!(found.matches("settings.toml:3: ").count(), 2, "{found}");
    }

    #[test]
    fn relative_paths_start_from_the_directory_of_the_file() {
        let directory = directory();
        let file = directory.path().join("settings.toml");
        fs::write(&file, "issuer = 'https://a.example'\n[keys]\ndirectory = 'k'\n").unwrap();
        assert_eq!(Settings::load(&file).unwrap().keys.directory, directory.path().join("k"));
    }
}
