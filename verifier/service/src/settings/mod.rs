//! The settings file of the service: listeners, store, keys, lifetimes and protected resources.
//!
//! Every default is safe for production, and every value that weakens security is named `danger…`.

#[cfg(test)]
mod abuse_tests;
mod address_range;
mod attempts;
#[cfg(test)]
mod client_certificate_tests;
mod edge;
mod either;
mod lifetime;
mod listen;
mod play_integrity;
mod proxy;
mod resource;
mod shared_store;
#[cfg(test)]
mod tests;
mod values;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use address_range::AddressRange;
pub use attempts::AttemptSettings;
pub use edge::{AttestationServiceSettings, EdgeListenSettings, EdgeSettings};
pub(crate) use either::EitherSettings;
pub use lifetime::LifetimeSettings;
pub(crate) use listen::is_trusted_gateway;
pub use listen::{ClientCertificateField, Gateway, ListenSettings, TlsSettings};
pub use play_integrity::{PlayAppSettings, PlayIntegritySettings};
pub use proxy::ProxySettings;
pub use resource::{
    AnomalyAction, AnomalySettings, AnomalySignal, Assurance, AuthorizationServerSettings, BodyBinding,
    ClientAuthentication, ClientCertificateSettings, CorsSettings, CredentialKind, IntrospectionSettings,
    KeyProtection, LimitPer, Mode, NonceDemand, PathCase, PathMatch, RateLimitSettings, RateText,
    ReplayDemand, ResourceSettings, RouteSettings, Tier, TokenBinding,
};
pub use shared_store::{SharedStoreSettings, WhenStoreFails};
pub use values::{InvalidText, LastDay, Origin, TimeSpan, WebUrl};

use crate::document::{self, Document, Problems, directory_of};

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
    /// What is kept of requests that the edge refused.
    #[serde(default)]
    pub attempts: AttemptSettings,
    /// The store that this edge shares with others. Default: it is alone.
    #[serde(default)]
    pub shared_store: Option<SharedStoreSettings>,
    /// The protected APIs that this edge decides for.
    #[serde(default, rename = "resource")]
    pub resources: Vec<ResourceSettings>,
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
    /// Forged or broken requests that a source address may send within ten seconds before it has to wait. One that
    /// spends this has half of it from then on, down to an eighth; an hour without any gives all back.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub failures_per_10s: u32,
    /// Callers that the limits of routes are counted for; each takes about 100 bytes. Twice as many are known at most,
    /// and whoever has not called for longest is forgotten first.
    #[schemars(range(min = 1024, max = 50_000_000))]
    pub rate_entries: usize,
    /// How long the keys of an authorization server are believed that cannot be fetched again. Afterwards requests that
    /// need them are answered 503. An hour at least, 30 days at most.
    pub stale_keys: TimeSpan,
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
            .chain(self.shared_store.as_mut().and_then(|store| store.url_file.as_mut()))
        {
            *path = directory.join(&path);
        }
        self.resources.iter_mut().for_each(|resource| resource.resolve(directory));
        self.play_integrity.resolve(directory);
        self
    }
}

impl Document for Settings {
    fn complete(&mut self, problems: &mut Problems) {
        let gateway = self.listen.gateway;
        for (index, resource) in self.resources.iter_mut().enumerate() {
            resource.complete(&format!("/resource/{index}"), gateway, problems);
        }
    }

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
        self.attempts.check(problems);
        if !(3600..=30 * 86_400).contains(&self.limits.stale_keys.as_seconds()) {
            problems.at("/limits/stale_keys", "keys are believed for an hour at least and 30 days at most");
        }
        resource::check(&self.resources, self.listen.gateway, problems);
        let has_edge = self.listen.edge.is_some();
        shared_store::check(self.shared_store.as_ref(), &self.resources, has_edge, problems);
        let wants_certificates = self.resources.iter().any(ResourceSettings::takes_client_certificates);
        if wants_certificates && self.listen.edge.is_some() && self.listen.client_certificate.is_none() {
            problems.at(
                "/listen/gateway",
                "a route asks for client certificates, and nobody says how the gateway tells of them; add \
                 `client_certificate` = \"client-cert\", \"xfcc\" or \"nginx-escaped-pem\"",
            );
        }
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

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            concurrency: 1024,
            connections: 8192,
            replay_entries: 1 << 20,
            failures_per_10s: 20,
            rate_entries: 1 << 16,
            stale_keys: TimeSpan::from_seconds(86_400),
        }
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
