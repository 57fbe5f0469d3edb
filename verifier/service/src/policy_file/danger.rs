//! The section of a policy that holds every opt-out.

use std::io::Read;
use std::path::{Path, PathBuf};

use countersign_verifier::anchors::{AnchorError, TrustAnchors};
use countersign_verifier::evidence::app_attest::AppAttestEnvironment;
use countersign_verifier::policy::Danger;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::constraint_names::{WeakDevice, WeakKey};
use super::values::Sha256Hex;
use crate::bounded_file;
use crate::document::Problems;

/// Longest certificate file that `danger` may name, in bytes.
const MAX_ROOT_FILE: u64 = 64 * 1024;

/// Environments of App Attest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// Apple's production service.
    Production,
    /// The sandbox of development builds.
    Development,
}

/// Opt-outs. Each of them lets something in that should stay outside.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DangerSection {
    /// Certificate files (PEM or DER) trusted as roots of App Attest. Paths start at the policy file.
    pub app_attest_roots: Vec<PathBuf>,
    /// Certificate files (PEM or DER) trusted as roots of Android key attestation. Paths start at the policy file.
    pub android_key_roots: Vec<PathBuf>,
    /// Environments of App Attest that are accepted instead of production alone.
    pub app_attest_environments: Vec<Environment>,
    /// Verified boot keys of other systems than the vendor's.
    pub self_signed_boot_keys: Vec<Sha256Hex>,
    /// Constraints on the device itself that may be enforced less than `require`: rooted, unlocked or emulated
    /// devices can then say whatever they like.
    pub weak_devices: Vec<WeakDevice>,
    /// Constraints on the attested key and its certificates that may be enforced less than by default: somebody else
    /// can then hold the key, or vouch for it.
    pub weak_keys: Vec<WeakKey>,
}

impl DangerSection {
    /// Whether every named file holds a root that can be used.
    pub(super) fn check_roots(&self, problems: &mut Problems) {
        let directory = problems.directory().to_owned();
        type Add = fn(&mut TrustAnchors, &[u8]) -> Result<(), AnchorError>;
        let lists: [(&str, &[PathBuf], Add); 2] = [
            ("app_attest_roots", &self.app_attest_roots, TrustAnchors::danger_add_app_attest_roots),
            ("android_key_roots", &self.android_key_roots, TrustAnchors::danger_add_android_key_roots),
        ];
        for (name, files, add) in lists {
            for (index, file) in files.iter().enumerate() {
                if let Err(message) = root(&directory.join(file), add) {
                    problems.at(&format!("/danger/{name}/{index}"), message);
                }
            }
        }
    }

    pub(super) fn to_danger(&self, directory: &Path) -> Danger {
        let read = |files: &[PathBuf]| {
            files.iter().filter_map(|file| read_root(&directory.join(file)).ok()).collect()
        };
        let environment = |environment: &Environment| match environment {
            Environment::Production => AppAttestEnvironment::Production,
            Environment::Development => AppAttestEnvironment::Development,
        };
        Danger {
            app_attest_roots: read(&self.app_attest_roots),
            android_key_roots: read(&self.android_key_roots),
            app_attest_environments: self.app_attest_environments.iter().map(environment).collect(),
            self_signed_boot_keys: self.self_signed_boot_keys.iter().map(|key| key.0.to_vec()).collect(),
            weak_devices: self.weak_devices.iter().map(|name| name.0).collect(),
            weak_keys: self.weak_keys.iter().map(|name| name.0).collect(),
        }
    }
}

/// Whether the file holds a root that can be added.
fn root(file: &Path, add: fn(&mut TrustAnchors, &[u8]) -> Result<(), AnchorError>) -> Result<(), String> {
    let bytes = read_root(file)?;
    add(&mut TrustAnchors::embedded(), &bytes).map_err(|error| match error {
        AnchorError::SoftwareRoot => {
            "this is Android's software root, whose private key is public; remove it".to_owned()
        }
        _ => format!("{} holds no root certificate that can be used ({})", file.display(), error.reason()),
    })
}

fn read_root(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = bounded_file::open(file).and_then(|file| file.take(MAX_ROOT_FILE + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 <= MAX_ROOT_FILE => Ok(bytes),
        Ok(_) => Err(format!("{} is too long for a certificate file", file.display())),
        Err(error) => Err(format!("{} cannot be read: {error}", file.display())),
    }
}
