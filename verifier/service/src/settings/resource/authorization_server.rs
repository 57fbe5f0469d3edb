//! An authorization server whose access tokens a resource accepts.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::Problems;
use crate::settings::values::WebUrl;
use crate::settings::{existing_file, private_url};

/// An authorization server whose JWT access tokens (RFC 9068) a resource accepts.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationServerSettings {
    /// Its issuer URL, compared byte for byte with `iss`.
    pub issuer: WebUrl,
    /// Its public keys: an `https` URL, or the path of a JWK Set file.
    #[schemars(length(min = 1))]
    pub jwks: String,
    /// For each client of this service (the `sub` of a result), the client ids that its access tokens may carry.
    pub clients: BTreeMap<String, Vec<String>>,
}

impl AuthorizationServerSettings {
    pub(super) fn check(&self, at: &str, problems: &mut Problems) {
        private_url(&self.issuer, &format!("{at}/issuer"), problems);
        check_jwks(&self.jwks, &format!("{at}/jwks"), problems);
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
