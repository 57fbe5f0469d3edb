//! An authorization server whose access tokens a resource accepts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::Problems;
use crate::settings::private_url;
use crate::settings::values::WebUrl;

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
        let jwks = format!("{at}/jwks");
        if self.jwks.contains("://") {
            match WebUrl::try_from(self.jwks.clone()) {
                Ok(url) => private_url(&url, &jwks, problems),
                Err(_) => {
                    problems.at(&jwks, "this is neither a URL with http or https nor the path of a file")
                }
            }
        } else if !problems.directory().join(&self.jwks).is_file() {
            problems.at(
                &jwks,
                format!("the file {} does not exist", problems.directory().join(&self.jwks).display()),
            );
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
