//! Verified boot keys of systems other than the vendors': who signs them, and for which models.
//!
//! A phone whose owner installed another system and locked the boot loader again reports `self-signed` and the hash
//! of the key that signed what booted. Such a system is as well verified as the vendor's, by somebody else; whether
//! that somebody is trusted is an app's choice, by name. A list that names the keys is data, kept by people.

use serde::{Deserialize, Deserializer, Serialize};

use crate::evidence::android_key::RootOfTrust;

/// Most keys in a list.
pub const MAX_BOOT_KEYS: usize = 4096;
/// Longest name of a system or a model, in bytes.
pub const MAX_NAME_LENGTH: usize = 64;
/// Most models of one key.
pub const MAX_MODELS: usize = 64;

/// The key that signs one system for some models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootKey {
    /// What secure hardware reports as the verified boot key: SHA-256 of the key, 32 bytes; in text 64 hex digits.
    #[serde(serialize_with = "crate::evidence::hex", deserialize_with = "from_hex")]
    pub verified_boot_key: [u8; 32],
    /// The system, such as `GrapheneOS`; policies accept systems by this name.
    pub name: String,
    /// The models that the key signs the system for, as `Build.MODEL` has them; empty: not said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
}

/// Known verified boot keys. Each stands once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct BootKeys {
    entries: Vec<BootKey>,
}

/// Why entries are no list of boot keys. `index` counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootKeysError {
    /// More than [`MAX_BOOT_KEYS`].
    TooMany,
    /// A key stands twice: which system it is would be a matter of luck.
    Duplicate {
        /// The second one.
        index: usize,
    },
    /// All bytes of a key are zero. Phones report that when nothing was verified.
    NoKey {
        /// Which one.
        index: usize,
    },
    /// A name is empty, longer than [`MAX_NAME_LENGTH`], or holds control characters; or there are more than
    /// [`MAX_MODELS`] models.
    Name {
        /// Which one.
        index: usize,
    },
}

impl BootKeysError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooMany => "boot_keys_too_many",
            Self::Duplicate { .. } => "boot_keys_duplicate",
            Self::NoKey { .. } => "boot_keys_no_key",
            Self::Name { .. } => "boot_keys_name",
        }
    }
}

impl core::fmt::Display for BootKeysError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooMany => write!(f, "more than {MAX_BOOT_KEYS} boot keys"),
            Self::Duplicate { index } => write!(f, "boot key {index} stands twice"),
            Self::NoKey { index } => write!(f, "boot key {index} is all zeros, which is no key"),
            Self::Name { index } => write!(f, "a name of boot key {index} cannot be used"),
        }
    }
}

impl BootKeys {
    /// A list.
    ///
    /// # Errors
    /// [`BootKeysError`] for the first entry that cannot be used.
    pub fn new(entries: Vec<BootKey>) -> Result<Self, BootKeysError> {
        if entries.len() > MAX_BOOT_KEYS {
            return Err(BootKeysError::TooMany);
        }
        let mut known = std::collections::BTreeSet::new();
        for (index, entry) in entries.iter().enumerate() {
            if entry.verified_boot_key == [0; 32] {
                return Err(BootKeysError::NoKey { index });
            }
            let names_are_good = is_name(&entry.name) && entry.models.iter().all(|model| is_name(model));
            if !names_are_good || entry.models.len() > MAX_MODELS {
                return Err(BootKeysError::Name { index });
            }
            if !known.insert(entry.verified_boot_key) {
                return Err(BootKeysError::Duplicate { index });
            }
        }
        Ok(Self { entries })
    }

    /// The entries in their order.
    pub fn entries(&self) -> &[BootKey] {
        &self.entries
    }

    /// Whether a system of this name is in the list.
    pub fn names(&self, system: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == system)
    }

    /// The entry of the key that signed what booted.
    pub(crate) fn signer_of(&self, root_of_trust: &RootOfTrust) -> Option<&BootKey> {
        self.entries.iter().find(|entry| entry.verified_boot_key[..] == root_of_trust.verified_boot_key[..])
    }
}

/// Checks what [`BootKeys::new`] checks.
impl<'de> Deserialize<'de> for BootKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_LENGTH && !text.chars().any(char::is_control)
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let mut key = [0; 32];
    match digits {
        Some(digits) if digits.len() == 64 => {
            for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
                *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
            }
            Ok(key)
        }
        _ => Err(serde::de::Error::custom("a verified boot key is 64 hexadecimal digits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8, name: &str, models: &[&str]) -> BootKey {
        BootKey {
            verified_boot_key: [byte; 32],
            name: name.to_owned(),
            models: models.iter().map(|model| (*model).to_owned()).collect(),
        }
    }

    #[test]
    fn a_key_belongs_to_one_system() {
        let twice = vec![key(1, "A", &[]), key(2, "A", &[]), key(1, "B", &[])];
        assert_eq!(BootKeys::new(twice), Err(BootKeysError::Duplicate { index: 2 }));
        assert!(BootKeys::new(vec![key(1, "A", &[]), key(2, "A", &["Pixel 9"])]).is_ok());
    }

    #[test]
    fn zeros_are_no_key() {
        assert_eq!(BootKeys::new(vec![key(0, "A", &[])]), Err(BootKeysError::NoKey { index: 0 }));
    }

    #[test]
    fn names_are_for_people() {
        for name in ["", "a\nb", &"a".repeat(65)] {
            assert_eq!(BootKeys::new(vec![key(1, name, &[])]), Err(BootKeysError::Name { index: 0 }));
            assert_eq!(BootKeys::new(vec![key(1, "A", &[name])]), Err(BootKeysError::Name { index: 0 }));
        }
        assert_eq!(BootKeys::new(vec![key(1, "A", &["m"; 65])]), Err(BootKeysError::Name { index: 0 }));
    }

    #[test]
    fn a_list_is_bounded() {
        let entries = |count: u32| {
            (1..=count)
                .map(|number| {
                    let mut entry = key(0, "A", &[]);
                    entry.verified_boot_key[..4].copy_from_slice(&number.to_be_bytes());
                    entry
                })
                .collect()
        };
        assert!(BootKeys::new(entries(4096)).is_ok());
        assert_eq!(BootKeys::new(entries(4097)), Err(BootKeysError::TooMany));
    }

    #[test]
    fn a_list_reads_the_same_in_json_and_is_checked_there() {
        let keys = BootKeys::new(vec![key(0xab, "A", &["Pixel 9"]), key(2, "B", &[])]).unwrap();
        let json = serde_json::to_string(&keys).unwrap();
        assert_eq!(serde_json::from_str::<BootKeys>(&json).unwrap(), keys);
        for wrong in [json.replace("abab", "zzab"), json.replacen("ab", "", 1), json.replace("abab", "0202")]
        {
            assert!(serde_json::from_str::<BootKeys>(&wrong).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<BootKeys>(&json.replace("models", "model")).is_err());
    }
}
