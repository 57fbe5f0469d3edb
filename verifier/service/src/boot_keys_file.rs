//! The list of verified boot keys as people write it: `boot-keys.toml`, turned into [`BootKeys`].

use std::path::Path;

use countersign_verifier::boot_keys::{BootKey, BootKeys, BootKeysError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::{self, Document, Problems};
use crate::policy_file::Sha256Hex;

/// The file.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Countersign verified boot keys")]
pub struct BootKeysFile {
    /// The keys, each once.
    #[serde(default, rename = "boot_key")]
    pub boot_keys: Vec<BootKeySection>,
}

/// The key that signs one system for some models.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BootKeySection {
    /// The system; policies accept it by this name.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// The verified boot key that secure hardware reports.
    pub verified_boot_key: Sha256Hex,
    /// The models that the key is for, as `Build.MODEL` has them. Default: not said.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)))]
    pub models: Vec<String>,
    /// Where the key is from, for people; a trust bundle keeps it.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub note: String,
}

/// Reads the list in `file`.
///
/// # Errors
/// Every problem of the file.
pub fn load(file: &Path) -> Result<BootKeys, Problems> {
    let read: BootKeysFile = document::load(file)?;
    read.to_boot_keys().map_err(|error| Problems::of_file(&file.display().to_string(), error.to_string()))
}

impl Document for BootKeysFile {
    fn check(&self, problems: &mut Problems) {
        let sentence = |what: &str| format!("{what}; remove it or put it right");
        let (pointer, message) = match self.to_boot_keys() {
            Ok(_) => return,
            Err(BootKeysError::Duplicate { index }) => {
                (format!("/boot_key/{index}/verified_boot_key"), sentence("this key stands twice"))
            }
            Err(BootKeysError::NoKey { index }) => (
                format!("/boot_key/{index}/verified_boot_key"),
                sentence("all zeros are no key: phones report them when nothing was verified"),
            ),
            Err(BootKeysError::Name { index }) => {
                (format!("/boot_key/{index}"), sentence("a name has characters that cannot be printed"))
            }
            Err(error) => ("/boot_key".to_owned(), sentence(&error.to_string())),
        };
        problems.at(&pointer, message);
    }
}

impl BootKeysFile {
    fn to_boot_keys(&self) -> Result<BootKeys, BootKeysError> {
        let entry = |section: &BootKeySection| BootKey {
            verified_boot_key: section.verified_boot_key.0,
            name: section.name.clone(),
            models: section.models.clone(),
        };
        BootKeys::new(self.boot_keys.iter().map(entry).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../docs/boot-keys.toml");

    fn read(text: &str) -> Result<BootKeys, String> {
        document::parse("boot-keys.toml", text)
            .map(|file: BootKeysFile| file.to_boot_keys().unwrap())
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn the_documented_list_is_one() {
        let keys = read(EXAMPLE).unwrap();
        assert!(keys.names("GrapheneOS"));
        assert_eq!(keys.entries().len(), 21);
        assert!(keys.entries().iter().all(|entry| entry.models.len() == 1));
    }

    #[test]
    fn every_mistake_is_named_with_its_line() {
        let key =
            |byte: &str| format!("[[boot_key]]\nname = 'A'\nverified_boot_key = '{}'\n", byte.repeat(32));
        let found = read(&(key("01") + &key("02") + &key("01"))).unwrap_err();
        assert!(found.contains("boot-keys.toml:9: this key stands twice"), "{found}");
        assert!(read(&key("00")).unwrap_err().contains("boot-keys.toml:3: all zeros"), "zeros");
        assert!(read(&key("0")).unwrap_err().contains("boot-keys.toml:3: "), "short");
        assert!(read(&(key("01") + "model = 'Pixel 9'\n")).unwrap_err().contains("boot-keys.toml:4: "));
        assert!(read("").unwrap().entries().is_empty());
    }
}
