//! How an authorization server is asked about opaque access tokens.

use std::path::{Path, PathBuf};

use countersign_edge::ClientSecret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::Problems;
use crate::settings::private_url;
use crate::settings::values::{TimeSpan, WebUrl};

/// Longest time that an answer may be believed: as long as a revoked token would pass.
const MAX_MAX_AGE: u64 = 600;

/// How an authorization server is asked about opaque access tokens (RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionSettings {
    /// Its introspection endpoint. Default: the one that the issuer's metadata name (RFC 8414, else OpenID Connect
    /// Discovery).
    #[serde(default)]
    pub endpoint: Option<WebUrl>,
    /// The client id by which it knows this edge.
    #[schemars(length(min = 1, max = 255))]
    pub client_id: String,
    /// A file of mode 0600 that holds the client secret alone.
    pub client_secret_file: PathBuf,
    /// How the client secret is sent.
    #[serde(default)]
    pub authentication: ClientAuthentication,
    /// How long an answer is believed, and never beyond the token's end: a revoked token passes this long. At most ten
    /// minutes.
    #[serde(default = "default_max_age")]
    pub max_age: TimeSpan,
    /// For a server whose answers leave `exp` out: the longest that its tokens live. Default: such answers are refused.
    #[serde(default)]
    pub max_token_lifetime: Option<TimeSpan>,
    /// Takes answers without `aud`: a token that was made for another API of the same server passes here too.
    #[serde(default)]
    pub danger_missing_audience: bool,
}

/// How a client tells who it is (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthentication {
    /// HTTP Basic.
    #[default]
    ClientSecretBasic,
    /// In the body of the request.
    ClientSecretPost,
}

const fn default_max_age() -> TimeSpan {
    TimeSpan::from_seconds(60)
}

impl IntrospectionSettings {
    pub(super) fn check(&self, at: &str, problems: &mut Problems) {
        if let Some(endpoint) = &self.endpoint {
            private_url(endpoint, &format!("{at}/endpoint"), problems);
        }
        let file = problems.directory().join(&self.client_secret_file);
        if let Err(error) = ClientSecret::file(&file) {
            problems.at(
                &format!("{at}/client_secret_file"),
                format!("the client secret in {} cannot be used: {error}", file.display()),
            );
        }
        if !(1..=MAX_MAX_AGE).contains(&self.max_age.as_seconds()) {
            problems.at(
                &format!("{at}/max_age"),
                "an answer is believed for one second at least and ten minutes at most: a revoked token passes this long",
            );
        }
    }

    /// Relative paths start from this directory.
    pub(in crate::settings) fn resolve(&mut self, directory: &Path) {
        self.client_secret_file = directory.join(&self.client_secret_file);
    }
}
