//! Who opens Play Integrity tokens: the console's keys, or Google.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{WebUrl, existing_file, private_url};
use crate::document::Problems;

/// Who opens the Play Integrity tokens of which Android app.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlayIntegritySettings {
    /// Where Google decodes tokens. Whoever answers there is believed.
    pub endpoint: WebUrl,
    /// The apps.
    #[serde(rename = "app")]
    pub apps: Vec<PlayAppSettings>,
}

/// Who opens the tokens of one app: the keys that the Play Console shows (classic requests), a service account with
/// which Google is asked (classic and standard requests), or both. Every file has mode 0600.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlayAppSettings {
    /// The app's package name.
    #[schemars(length(min = 1, max = 256))]
    pub package: String,
    /// The decryption key as the console shows it: base64 of 32 bytes.
    #[serde(default)]
    pub decryption_key_file: Option<PathBuf>,
    /// The verification key as the console shows it: base64 of an encoded P-256 key.
    #[serde(default)]
    pub verification_key_file: Option<PathBuf>,
    /// A Google service account (JSON) that may call the Play Integrity API of the app.
    #[serde(default)]
    pub service_account_file: Option<PathBuf>,
}

impl Default for PlayIntegritySettings {
    fn default() -> Self {
        let endpoint = WebUrl::try_from("https://playintegrity.googleapis.com".to_owned());
        Self { endpoint: endpoint.expect("a constant that is a URL"), apps: Vec::new() }
    }
}

impl PlayIntegritySettings {
    pub(super) fn resolve(&mut self, directory: &Path) {
        let files = self.apps.iter_mut().flat_map(PlayAppSettings::files_mut);
        files.flatten().for_each(|file| *file = directory.join(&file));
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        private_url(&self.endpoint, "/play_integrity/endpoint", problems);
        for (index, app) in self.apps.iter().enumerate() {
            let pointer = format!("/play_integrity/app/{index}");
            if self.apps.iter().take(index).any(|other| other.package == app.package) {
                problems.at(&format!("{pointer}/package"), "this package stands twice; merge the two");
            }
            match (&app.decryption_key_file, &app.verification_key_file, &app.service_account_file) {
                (Some(_), None, _) | (None, Some(_), _) => problems.at(
                    &pointer,
                    "the console's keys are a pair: name `decryption_key_file` and `verification_key_file`",
                ),
                (None, None, None) => problems.at(
                    &pointer,
                    "nothing opens this app's tokens; name the console's two key files or a `service_account_file`",
                ),
                _ => {}
            }
            let names = ["decryption_key_file", "verification_key_file", "service_account_file"];
            let files = [&app.decryption_key_file, &app.verification_key_file, &app.service_account_file];
            for (name, file) in names.into_iter().zip(files) {
                if let Some(file) = file {
                    existing_file(file, &format!("{pointer}/{name}"), problems);
                }
            }
        }
    }
}

impl PlayAppSettings {
    fn files_mut(&mut self) -> [Option<&mut PathBuf>; 3] {
        [
            self.decryption_key_file.as_mut(),
            self.verification_key_file.as_mut(),
            self.service_account_file.as_mut(),
        ]
    }
}
