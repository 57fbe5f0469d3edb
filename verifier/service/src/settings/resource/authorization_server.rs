//! An authorization server whose access tokens a resource accepts.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::introspection::IntrospectionSettings;
use crate::document::Problems;
use crate::settings::values::WebUrl;
use crate::settings::{existing_file, private_url};

/// An authorization server whose access tokens a resource accepts: JWTs (RFC 9068), and opaque ones where it can be asked
/// about them.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationServerSettings {
    /// Its issuer URL, compared byte for byte with `iss`.
    pub issuer: WebUrl,
    /// Its public keys: an `https` URL, or the path of a JWK Set file. Default: where the issuer's metadata say (RFC 8414,
    /// else OpenID Connect Discovery).
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub jwks: Option<String>,
    /// How it is asked about opaque tokens, for routes whose `credentials` name "opaque". One server of a resource.
    #[serde(default)]
    pub introspection: Option<IntrospectionSettings>,
    /// For each client of this service (the `sub` of a result), the client ids that its access tokens may carry.
    pub clients: BTreeMap<String, Vec<String>>,
}

impl AuthorizationServerSettings {
    pub(super) fn check(&self, at: &str, problems: &mut Problems) {
        private_url(&self.issuer, &format!("{at}/issuer"), problems);
        if let Some(jwks) = &self.jwks {
            check_jwks(jwks, &format!("{at}/jwks"), problems);
        }
        if let Some(introspection) = &self.introspection {
            introspection.check(&format!("{at}/introspection"), problems);
        }
        if self.clients.is_empty() {
            problems.at(
                &format!("{at}/clients"),
                "no client may use this authorization server; write for example \"my-app\" = [\"my-client-id\"]",
            );
        }
        for (client, ids) in &self.clients {
            if ids.is_empty() {
                problems.at(&format!("{at}/clients/{client}"), "no client id is listed; name at least one");
            }
        }
    }
}

/// Checks where a key set is said to be: a private URL, or a file that is there.
pub(in crate::settings) fn check_jwks(jwks: &str, at: &str, problems: &mut Problems) {
    if jwks.contains("://") {
        match WebUrl::try_from(jwks.to_owned()) {
            Ok(url) => private_url(&url, at, problems),
            Err(_) => problems.at(at, "this is neither a URL with http or https nor the path of a file"),
        }
    } else {
        existing_file(Path::new(jwks), at, problems);
    }
}
