//! A client certificate that is a credential of its own at a resource.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use countersign_verifier::credential::client_certificate::{
    CertificateAuthorities, CertificateAuthoritiesError, CertificateName,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounded_file;
use crate::document::Problems;
use crate::policy_file::Sha256Hex;
use crate::settings::existing_file;
use crate::settings::values::LastDay;

/// Longest file of authorities, in bytes.
const MAX_AUTHORITIES: u64 = 1024 * 1024;

/// A client certificate that may be used instead of a token, by systems that call: one by its thumbprint, or whichever
/// bears a name and was issued by an authority.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificateSettings {
    /// The app (the `sub` of results) whose attested instances may use it.
    pub app: String,
    /// SHA-256 of the certificate (DER). Its own dates and its issuer are not looked at: `not_after` says when it ends.
    #[serde(default)]
    pub thumbprint: Option<Sha256Hex>,
    /// A subjectAltName, whole: `dns:billing.partner.example` or `uri:spiffe://partner.example/billing`. The edge verifies
    /// the certificate itself: issued by `ca_file`, for client authentication, within its dates.
    #[serde(default)]
    pub san: Option<String>,
    /// The authorities that issue certificates with this `san`, in PEM: each one that signs client certificates itself, an
    /// intermediate too. Revocation lists are not read.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What the certificate may be used for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The last day, UTC, on which the entry counts, such as `2027-06-30`.
    #[serde(default)]
    pub not_after: Option<LastDay>,
}

impl ClientCertificateSettings {
    /// The name of the list's entry; `None` if the settings name none, or both, or none that can match.
    pub fn name(&self) -> Option<CertificateName> {
        match (self.thumbprint, self.san.as_deref()?.split_once(':')) {
            (None, Some(("dns", name))) => {
                let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                let fits = (1..=253).contains(&name.len()) && name.bytes().all(is_fit);
                fits.then(|| CertificateName::Dns(name.to_owned()))
            }
            (None, Some(("uri", name))) => {
                let fits =
                    (1..=2048).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
                (fits && name.contains(':')).then(|| CertificateName::Uri(name.to_owned()))
            }
            _ => None,
        }
    }

    /// The authorities of `ca_file`, or a sentence that says why they cannot be had.
    pub(crate) fn authorities(file: &Path) -> Result<CertificateAuthorities, String> {
        let shown = file.display();
        let bytes = bounded_file::read(file, MAX_AUTHORITIES)
            .map_err(|error| format!("the file {shown} cannot be read: {}", error.kind()))?;
        CertificateAuthorities::from_file(&bytes).map_err(|error| match error {
            CertificateAuthoritiesError::NotAnAuthority { index } => format!(
                "certificate {} in {shown} is not an authority's; name the ones that issue client certificates",
                index + 1
            ),
            _ => format!("{shown} holds no certificates in PEM, or more than ten; is it the right file?"),
        })
    }

    pub(super) fn check<'s>(
        &'s self,
        at: &str,
        is_app: bool,
        seen: &mut BTreeSet<(&'s str, String)>,
        problems: &mut Problems,
    ) {
        if !is_app {
            problems.at(
                &format!("{at}/app"),
                format!("`{0}` may not call this resource; write `apps = [\"{0}\"]` in it", self.app),
            );
        }
        match (self.thumbprint, &self.san) {
            (None, None) | (Some(_), Some(_)) => problems.at(
                at,
                "which certificate? Write `thumbprint`, as `openssl x509 -noout -fingerprint -sha256` prints it without \
                 the colons, or `san` with `ca_file`, and not both",
            ),
            (Some(_), None) => self.check_thumbprint(at, problems),
            (None, Some(_)) => self.check_san(at, problems),
        }
        let name = match (self.thumbprint, &self.san) {
            (Some(thumbprint), _) => String::from(thumbprint),
            (None, Some(san)) => san.to_ascii_lowercase(),
            (None, None) => return,
        };
        if !seen.insert((&self.app, name)) {
            problems.at(at, "this app has the same certificate already; join the two");
        }
        for (index, scope) in self.scopes.iter().enumerate() {
            // RFC 6749 section 3.3.
            if scope.is_empty()
                || !scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
            {
                problems.at(
                    &format!("{at}/scopes/{index}"),
                    "a scope is one word of visible ASCII, without quotes and backslashes",
                );
            }
        }
    }

    fn check_thumbprint(&self, at: &str, problems: &mut Problems) {
        if self.not_after.is_none() {
            problems.at(
                at,
                "with `thumbprint`, nobody but this list says when a certificate ends; add `not_after`, such as the last \
                 day of the certificate: `not_after = \"2027-06-30\"`",
            );
        }
        if self.ca_file.is_some() {
            problems.at(
                &format!("{at}/ca_file"),
                "a `thumbprint` is one certificate, whoever issued it; remove this line, or write `san`",
            );
        }
    }

    fn check_san(&self, at: &str, problems: &mut Problems) {
        if self.name().is_none() {
            problems.at(
                &format!("{at}/san"),
                "a whole name is \"dns:billing.partner.example\" or \"uri:spiffe://partner.example/billing\", without \
                 wildcards",
            );
        }
        let Some(file) = &self.ca_file else {
            return problems.at(
                at,
                "whoever can get a certificate with this name from any authority would pass; add `ca_file` with the one \
                 that issues them",
            );
        };
        let pointer = format!("{at}/ca_file");
        let path = problems.directory().join(file);
        if !path.is_file() {
            existing_file(file, &pointer, problems);
        } else if let Err(message) = Self::authorities(&path) {
            problems.at(&pointer, message);
        }
    }
}
