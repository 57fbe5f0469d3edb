//! What an app configures once: who issues, who it is, and which hosts may see its tokens.

use core::fmt;

pub use crate::enrolment::{MAX_APP_VERSION, MAX_NAME};
use crate::request::{Origin, RequestError, TargetUri};
use crate::token::keys::{Algorithm, PublicKey};

/// Most APIs in one configuration.
pub const MAX_RESOURCES: usize = 64;

/// Where evidence comes from on this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Platform {
    /// Android Key Attestation: the attested key is the instance key itself.
    Android {
        /// Whether the app can give Play Integrity tokens. They are asked for when due and never block.
        play_integrity: bool,
    },
    /// Apple App Attest: an attested app vouches for the instance key.
    Apple {
        /// The `appattest-environment` of the build; keys of one environment are nothing in the other.
        production: bool,
    },
    /// A registered development key, for simulators and tests; production policies refuse it.
    Development,
}

/// One API: where it is, and what it calls itself in tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    /// Scheme, host and port that may be sent this device's tokens.
    pub origin: Origin,
    /// RFC 9728 resource identifier: the `aud` of proofs.
    pub identifier: String,
}

/// Where the keys that verify results come from.
#[derive(Clone, PartialEq, Eq)]
pub enum ResultKeys {
    /// From the service's JWKS, over TLS.
    Fetched,
    /// From the app itself: `kid` and Ed25519 key, those in use and those to come.
    Pinned(Vec<(String, PublicKey)>),
}

/// The configuration as an app writes it; [`Config::new`] checks it.
#[derive(Clone)]
pub struct Settings {
    /// Issuer URL of the attestation service, byte-exact as the service says it.
    pub issuer: String,
    /// The OAuth `client_id` of the app.
    pub client_id: String,
    /// The APIs to which requests are proven. No other host ever gets a token.
    pub resources: Vec<Resource>,
    /// The app's version, as the service shall see it.
    pub app_version: String,
    /// Where evidence comes from.
    pub platform: Platform,
    /// What verifies results.
    pub result_keys: ResultKeys,
    /// Permits `http` beyond loopback, for emulators that reach their host by another address.
    pub danger_plaintext: bool,
}

impl Settings {
    /// Whether what goes there could be read on the way, and that was not permitted.
    pub(super) fn is_plaintext(&self, origin: &Origin) -> bool {
        !self.danger_plaintext && !origin.is_https() && !is_loopback(origin.host())
    }
}

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The issuer is no URL, or has a query.
    Issuer(RequestError),
    /// `http` to another host than loopback, without `danger_plaintext`.
    Plaintext,
    /// An empty or overlong `client_id`, resource identifier or app version.
    Name,
    /// No API, more than [`MAX_RESOURCES`], or one origin twice.
    Resources,
    /// No pinned key, one that is not Ed25519, or one `kid` twice.
    PinnedKeys,
}

impl ConfigError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Issuer(_) => "config_issuer",
            Self::Plaintext => "config_plaintext",
            Self::Name => "config_name",
            Self::Resources => "config_resources",
            Self::PinnedKeys => "config_pinned_keys",
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl core::error::Error for ConfigError {}

/// A checked configuration.
#[derive(Clone)]
pub struct Config(Settings);

impl Config {
    /// Checks what an app configured.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        let issuer = TargetUri::parse(&settings.issuer).map_err(ConfigError::Issuer)?;
        if issuer.query.is_some() {
            return Err(ConfigError::Issuer(RequestError::Character));
        }
        let mut origins: Vec<&Origin> = settings.resources.iter().map(|resource| &resource.origin).collect();
        let issuer_origin = issuer.origin();
        let plain = |origin: &Origin| settings.is_plaintext(origin);
        if plain(&issuer_origin) || origins.iter().any(|origin| plain(origin)) {
            return Err(ConfigError::Plaintext);
        }
        let named = |name: &str, most: usize| {
            !name.is_empty() && name.len() <= most && !name.chars().any(char::is_control)
        };
        if !named(&settings.client_id, MAX_NAME)
            || !named(&settings.app_version, MAX_APP_VERSION)
            || !settings.resources.iter().all(|resource| named(&resource.identifier, MAX_NAME))
            || settings.issuer.len() > MAX_NAME
        {
            return Err(ConfigError::Name);
        }
        origins.sort_unstable_by_key(|origin| (origin.is_https(), origin.port(), origin.host()));
        if !(1..=MAX_RESOURCES).contains(&origins.len()) || origins.windows(2).any(|two| two[0] == two[1]) {
            return Err(ConfigError::Resources);
        }
        if let ResultKeys::Pinned(keys) = &settings.result_keys {
            let mut key_ids: Vec<&str> = keys.iter().map(|(key_id, _)| key_id.as_str()).collect();
            key_ids.sort_unstable();
            if keys.is_empty()
                || keys.iter().any(|(_, key)| key.algorithm() != Algorithm::Ed25519)
                || key_ids.windows(2).any(|two| two[0] == two[1])
            {
                return Err(ConfigError::PinnedKeys);
            }
        }
        Ok(Self(settings))
    }

    /// The URL of a call of the service.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer.trim_end_matches('/'))
    }

    /// Where in the list of APIs `origin` is.
    pub(super) fn position(&self, origin: &Origin) -> Option<usize> {
        self.resources.iter().position(|resource| resource.origin == *origin)
    }
}

impl core::ops::Deref for Config {
    type Target = Settings;
    fn deref(&self) -> &Settings {
        &self.0
    }
}

fn is_loopback(host: &str) -> bool {
    let is_v4_loopback = |host: &str| host.parse().is_ok_and(|ip: core::net::Ipv4Addr| ip.is_loopback());
    matches!(host, "localhost" | "[::1]") || is_v4_loopback(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            issuer: "https://attest.example".to_owned(),
            client_id: "app".to_owned(),
            resources: vec![Resource {
                origin: Origin::parse("https://api.example").unwrap(),
                identifier: "https://api.example".to_owned(),
            }],
            app_version: "1.0".to_owned(),
            platform: Platform::Development,
            result_keys: ResultKeys::Fetched,
            danger_plaintext: false,
        }
    }

    fn verdict(change: impl FnOnce(&mut Settings)) -> Option<ConfigError> {
        let mut settings = settings();
        change(&mut settings);
        Config::new(settings).err()
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        assert_eq!(verdict(|_| {}), None);
        for issuer in ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1"] {
            assert_eq!(verdict(|s| s.issuer = issuer.to_owned()), None, "{issuer}");
        }
        for issuer in ["http://attest.example", "http://10.0.2.2", "http://localhost.evil", "http://127.evil"]
        {
            assert_eq!(verdict(|s| s.issuer = issuer.to_owned()), Some(ConfigError::Plaintext), "{issuer}");
        }
        let plain = Origin::parse("http://api.example").unwrap();
        assert_eq!(verdict(|s| s.resources[0].origin = plain.clone()), Some(ConfigError::Plaintext));
        assert_eq!(
            verdict(|s| {
                s.resources[0].origin = plain;
                s.danger_plaintext = true;
            }),
            None
        );
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        let twice = |s: &mut Settings| s.resources.push(s.resources[0].clone());
        assert_eq!(verdict(twice), Some(ConfigError::Resources));
        assert_eq!(verdict(|s| s.resources.clear()), Some(ConfigError::Resources));
        assert_eq!(verdict(|s| s.client_id.clear()), Some(ConfigError::Name));
        assert_eq!(verdict(|s| s.app_version = "1".repeat(65)), Some(ConfigError::Name));
        assert_eq!(verdict(|s| s.result_keys = ResultKeys::Pinned(vec![])), Some(ConfigError::PinnedKeys));
        for issuer in ["attest.example", "https://attest.example/?a", "https://attest.example/#a"] {
            assert!(
                matches!(verdict(|s| s.issuer = issuer.to_owned()), Some(ConfigError::Issuer(_))),
                "{issuer}"
            );
        }
    }

    #[test]
    fn an_issuer_with_a_path_keeps_it() {
        let mut settings = settings();
        settings.issuer = "https://attest.example/tenant/".to_owned();
        let config = Config::new(settings).unwrap();
        assert_eq!(config.url("/v1/challenge"), "https://attest.example/tenant/v1/challenge");
    }
}
