//! The keys that `--jwks` names.

use std::path::Path;

use countersign_verifier::credential::jwks::{Jwks, JwksKey, MAX_JWKS};

use super::input;

/// A JWK Set and the name of its file.
pub(super) struct KeySet {
    pub(super) name: String,
    keys: Jwks,
}

impl KeySet {
    /// Reads the file.
    ///
    /// # Errors
    /// A sentence: it cannot be read, or is no key set that an edge would use.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let json = input::file(file, MAX_JWKS as u64)?;
        let name = file.display().to_string();
        match Jwks::decode(&json) {
            Ok(keys) => Ok(Self { name, keys }),
            Err(error) => Err(format!("{name}: this is no usable JWK Set ({})", error.reason())),
        }
    }

    pub(super) fn find(&self, key_id: Option<&str>) -> Option<&JwksKey> {
        self.keys.find(key_id)
    }
}
