//! API keys: 256 random bits for one client, known here by their hash alone, with scopes and an end.
//!
//! A key reads `csk_<id>_<secret>`: a prefix that scanners for leaked secrets find, 12 hexadecimal characters that
//! name it in logs and commands, and 43 characters of base64url.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding};
use countersign_core::encoding::{base64url, from_base64url_array};
use countersign_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::crypto::sha256;

/// What every API key begins with.
pub const PREFIX: &str = "csk_";
/// Random bytes that a key is made of: six for its id, and 32 for its secret.
pub const RANDOM_LENGTH: usize = 38;
/// Longest file of API keys, in bytes.
pub const MAX_API_KEYS: usize = 1024 * 1024;
/// Keys of one client that may be good at the same time: the one in use, and the one that replaces it.
pub const MAX_CURRENT: usize = 2;

const ID_LENGTH: usize = 12;
const SECRET_LENGTH: usize = 43;
const MAX_CLIENT_ID: usize = 512;
const MAX_SCOPES: usize = 64;
const MAX_SCOPE: usize = 256;

/// Names an API key; not secret. Twelve lower-case hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId([u8; ID_LENGTH]);

/// One API key as an edge keeps it. Its characters cannot be had from this.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name in logs and commands.
    pub id: ApiKeyId,
    /// The attested app that may use it: `sub` of results.
    pub client_id: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// It is good before this time.
    pub expires_at: Timestamp,
    /// Since when it is good for nothing.
    pub revoked_at: Option<Timestamp>,
    /// SHA-256 of its characters. They are random: no slower hash is needed.
    digest: [u8; 32],
}

/// Why an API key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiKeyError {
    /// It is not of the form of our keys.
    Malformed,
    /// It is none that was given out.
    Unknown,
    /// It was revoked.
    Revoked,
    /// It has ended.
    Expired,
}

impl ApiKeyError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "api_key_malformed",
            Self::Unknown => "api_key_unknown",
            Self::Revoked => "api_key_revoked",
            Self::Expired => "api_key_expired",
        }
    }
}

/// Why a file of API keys is not used, or not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiKeysError {
    /// It has more than [`MAX_API_KEYS`] bytes.
    TooLarge,
    /// It is not the JSON that [`ApiKeys::to_json`] writes.
    Malformed,
    /// A value of the key at this place breaks its rule.
    Invalid {
        /// From 0 on.
        index: usize,
    },
    /// The key at this place has the id of an earlier one.
    Duplicate {
        /// From 0 on.
        index: usize,
    },
    /// The client has [`MAX_CURRENT`] keys that are good already.
    TooManyCurrent,
    /// The end is not after the beginning.
    Lifetime,
    /// The client's identifier is empty, too long, or has control characters.
    ClientId,
    /// A scope has characters that RFC 6749 section 3.3 does not allow, or there are too many.
    Scope,
}

impl fmt::Display for ApiKeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("it is larger than 1 MiB"),
            Self::Malformed => {
                f.write_str("it is not a file of API keys as `countersign keys api` writes it")
            }
            Self::Invalid { index } => write!(f, "a value of its key number {} breaks its rule", index + 1),
            Self::Duplicate { index } => {
                write!(f, "its key number {} has the id of an earlier one", index + 1)
            }
            Self::TooManyCurrent => f.write_str("the client has two good keys already; revoke one first"),
            Self::Lifetime => f.write_str("a key ends after it was made"),
            Self::ClientId => f.write_str("a client has 1 to 512 bytes without control characters"),
            Self::Scope => {
                f.write_str("a scope is one word without quotes and backslashes, and there are 64 at most")
            }
        }
    }
}

impl std::error::Error for ApiKeysError {}

/// The API keys of one resource, also those that are good no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeys(BTreeMap<ApiKeyId, Arc<ApiKey>>);

impl ApiKeys {
    /// Reads a file of API keys: `{"api_keys": [{"id", "client_id", "sha256", "scopes", "created_at", "expires_at",
    /// "revoked_at"}]}`, times in seconds since the epoch.
    ///
    /// # Errors
    /// [`ApiKeysError`]; a file is used whole or not at all.
    pub fn decode(json: &[u8]) -> Result<Self, ApiKeysError> {
        if json.len() > MAX_API_KEYS {
            return Err(ApiKeysError::TooLarge);
        }
        let file: File = serde_json::from_slice(json).map_err(|_| ApiKeysError::Malformed)?;
        let mut keys = Self::default();
        for (index, entry) in file.api_keys.into_iter().enumerate() {
            let key = ApiKey::try_from(entry).map_err(|_| ApiKeysError::Invalid { index })?;
            if keys.0.insert(key.id, Arc::new(key)).is_some() {
                return Err(ApiKeysError::Duplicate { index });
            }
        }
        Ok(keys)
    }

    /// The file that [`Self::decode`] reads.
    pub fn to_json(&self) -> String {
        let file = File { api_keys: self.0.values().map(|key| Entry::from(&**key)).collect() };
        serde_json::to_string_pretty(&file).unwrap_or_default()
    }

    /// All keys, by id.
    pub fn iter(&self) -> impl Iterator<Item = &ApiKey> {
        self.0.values().map(|key| &**key)
    }

    /// Makes a key out of random bytes, and returns its characters, which are not kept.
    ///
    /// # Errors
    /// [`ApiKeysError`] if a value breaks its rule, or the client has two good keys at `created_at`.
    pub fn issue(
        &mut self,
        random: &[u8; RANDOM_LENGTH],
        client_id: &str,
        scopes: Vec<String>,
        created_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Zeroizing<String>, ApiKeysError> {
        let (id, secret) = random.split_at(RANDOM_LENGTH - 32);
        let mut characters = [0; ID_LENGTH];
        for (pair, byte) in characters.chunks_exact_mut(2).zip(id) {
            let digit = |value: u8| char::from_digit(value.into(), 16).map_or(b'0', |digit| digit as u8);
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        let id = ApiKeyId(characters);
        let secret = Zeroizing::new(Base64UrlUnpadded::encode_string(secret));
        let text = Zeroizing::new(format!("{PREFIX}{id}_{}", *secret));
        let digest = sha256(text.as_bytes());
        let key = ApiKey {
            id,
            client_id: client_id.to_owned(),
            scopes,
            created_at,
            expires_at,
            revoked_at: None,
            digest,
        };
        key.check()?;
        let is_current = |key: &&ApiKey| key.client_id == client_id && key.standing(created_at).is_ok();
        if self.iter().filter(is_current).count() >= MAX_CURRENT {
            return Err(ApiKeysError::TooManyCurrent);
        }
        if self.0.contains_key(&id) {
            return Err(ApiKeysError::Duplicate { index: self.0.len() });
        }
        self.0.insert(id, Arc::new(key));
        Ok(text)
    }

    /// Makes a key good for nothing; false if there is none of this id, or it was revoked before.
    pub fn revoke(&mut self, id: ApiKeyId, now: Timestamp) -> bool {
        match self.0.get_mut(&id) {
            Some(key) if key.revoked_at.is_none() => {
                Arc::make_mut(key).revoked_at = Some(now);
                true
            }
            _ => false,
        }
    }

    /// The key of these characters, if it is good at `now`. The id leads to the record; the whole is compared in
    /// constant time.
    pub(crate) fn find(&self, characters: &str, now: Timestamp) -> Result<&Arc<ApiKey>, ApiKeyError> {
        let key = self.0.get(&id_of(characters)?).ok_or(ApiKeyError::Unknown)?;
        if !bool::from(sha256(characters.as_bytes()).ct_eq(&key.digest)) {
            return Err(ApiKeyError::Unknown);
        }
        key.standing(now).map(|()| key)
    }
}

impl ApiKey {
    /// Whether it is good at `now`.
    ///
    /// # Errors
    /// [`ApiKeyError::Revoked`] or [`ApiKeyError::Expired`].
    pub fn standing(&self, now: Timestamp) -> Result<(), ApiKeyError> {
        if self.revoked_at.is_some() {
            return Err(ApiKeyError::Revoked);
        }
        if now >= self.expires_at { Err(ApiKeyError::Expired) } else { Ok(()) }
    }

    fn check(&self) -> Result<(), ApiKeysError> {
        let is_client = (1..=MAX_CLIENT_ID).contains(&self.client_id.len());
        if !is_client || self.client_id.chars().any(char::is_control) {
            return Err(ApiKeysError::ClientId);
        }
        // RFC 6749 section 3.3: %x21 / %x23-5B / %x5D-7E.
        let is_fit = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
        let is_scope = |scope: &String| (1..=MAX_SCOPE).contains(&scope.len()) && scope.bytes().all(is_fit);
        if self.scopes.len() > MAX_SCOPES || !self.scopes.iter().all(is_scope) {
            return Err(ApiKeysError::Scope);
        }
        if self.expires_at <= self.created_at { Err(ApiKeysError::Lifetime) } else { Ok(()) }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl ApiKeyId {
    /// Reads an id.
    pub fn from_text(text: &str) -> Option<Self> {
        let characters: [u8; ID_LENGTH] = text.as_bytes().try_into().ok()?;
        let is_hexadecimal = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        characters.iter().all(is_hexadecimal).then_some(Self(characters))
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The id in a key's characters.
fn id_of(characters: &str) -> Result<ApiKeyId, ApiKeyError> {
    let of_form = || {
        let (id, secret) = characters.strip_prefix(PREFIX)?.split_once('_')?;
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let fits = secret.len() == SECRET_LENGTH && secret.bytes().all(is_fit);
        ApiKeyId::from_text(id).filter(|_| fits)
    };
    of_form().ok_or(ApiKeyError::Malformed)
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    api_keys: Vec<Entry>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    client_id: String,
    sha256: String,
    scopes: Vec<String>,
    created_at: u64,
    expires_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at: Option<u64>,
}

impl From<&ApiKey> for Entry {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            client_id: key.client_id.clone(),
            sha256: base64url(&key.digest),
            scopes: key.scopes.clone(),
            created_at: key.created_at.as_unix_seconds(),
            expires_at: key.expires_at.as_unix_seconds(),
            revoked_at: key.revoked_at.map(Timestamp::as_unix_seconds),
        }
    }
}

impl TryFrom<Entry> for ApiKey {
    type Error = ApiKeysError;

    fn try_from(entry: Entry) -> Result<Self, Self::Error> {
        let key = Self {
            id: ApiKeyId::from_text(&entry.id).ok_or(ApiKeysError::Malformed)?,
            client_id: entry.client_id,
            scopes: entry.scopes,
            created_at: Timestamp::from_unix_seconds(entry.created_at),
            expires_at: Timestamp::from_unix_seconds(entry.expires_at),
            revoked_at: entry.revoked_at.map(Timestamp::from_unix_seconds),
            digest: from_base64url_array(&entry.sha256).map_err(|_| ApiKeysError::Malformed)?,
        };
        key.check().map(|()| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn issue(keys: &mut ApiKeys, byte: u8, end: u64) -> Result<Zeroizing<String>, ApiKeysError> {
        keys.issue(&[byte; RANDOM_LENGTH], "app", vec!["read".into()], NOW, NOW.plus(end))
    }

    #[test]
    fn a_key_has_one_spelling() {
        let mut keys = ApiKeys::default();
        let key = issue(&mut keys, 0xfb, 60).unwrap();
        assert!(key.len() == 60 && key.starts_with("csk_fbfbfbfbfbfb_"), "{}", *key);
        assert!(keys.find(&key, NOW).is_ok());
        for wrong in [
            String::new(),
            key[4..].to_owned(),
            key.replace("csk_", "CSK_"),
            key.replace("csk_", "csa_"),
            key.to_uppercase(),
            format!("{}=", *key),
            format!(" {}", *key),
            key[..59].to_owned(),
            key.replacen("fb", "FB", 1),
            key.replacen("fb", "gb", 1),
        ] {
            assert_eq!(keys.find(&wrong, NOW), Err(ApiKeyError::Malformed), "{wrong}");
        }
    }

    #[test]
    fn the_id_of_a_key_is_not_the_key() {
        let mut keys = ApiKeys::default();
        let (one, other) = (issue(&mut keys, 1, 60).unwrap(), issue(&mut keys, 2, 60).unwrap());
        let mixed = format!("{}{}", &one[..17], &other[17..]);
        assert_eq!(keys.find(&mixed, NOW), Err(ApiKeyError::Unknown));
        for position in 17..60 {
            let mut changed = one.as_bytes().to_vec();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(keys.find(&changed, NOW), Err(ApiKeyError::Unknown), "{position}");
        }
        assert_eq!(ApiKeys::default().find(&one, NOW), Err(ApiKeyError::Unknown));
    }

    #[test]
    fn a_key_is_good_until_it_ends_or_is_revoked() {
        let mut keys = ApiKeys::default();
        let key = issue(&mut keys, 1, 60).unwrap();
        assert!(keys.find(&key, NOW.plus(59)).is_ok());
        assert_eq!(keys.find(&key, NOW.plus(60)), Err(ApiKeyError::Expired));
        let id = ApiKeyId::from_text("010101010101").unwrap();
        assert!(keys.revoke(id, NOW) && !keys.revoke(id, NOW.plus(1)), "once");
        assert_eq!(keys.find(&key, NOW), Err(ApiKeyError::Revoked));
        assert!(!keys.revoke(ApiKeyId::from_text("020202020202").unwrap(), NOW));
    }

    #[test]
    fn two_keys_of_a_client_are_good_at_a_time() {
        let mut keys = ApiKeys::default();
        issue(&mut keys, 1, 60).unwrap();
        issue(&mut keys, 2, 60).unwrap();
        assert_eq!(issue(&mut keys, 3, 60), Err(ApiKeysError::TooManyCurrent));
        let other = keys.issue(&[4; RANDOM_LENGTH], "other", Vec::new(), NOW, NOW.plus(1));
        assert!(other.is_ok(), "of another client");
        assert!(keys.revoke(ApiKeyId::from_text("010101010101").unwrap(), NOW));
        assert!(issue(&mut keys, 3, 60).is_ok());
        let later = keys.issue(&[5; RANDOM_LENGTH], "app", Vec::new(), NOW.plus(60), NOW.plus(61));
        assert!(later.is_ok(), "the others have ended");
    }

    #[test]
    fn the_file_says_it_all_but_the_key() {
        let mut keys = ApiKeys::default();
        let key = issue(&mut keys, 1, 60).unwrap();
        issue(&mut keys, 2, 60).unwrap();
        keys.revoke(ApiKeyId::from_text("020202020202").unwrap(), NOW);
        let json = keys.to_json();
        assert_eq!(ApiKeys::decode(json.as_bytes()).as_ref(), Ok(&keys));
        assert!(!json.contains(&key[17..]) && !format!("{keys:?}").contains(&key[17..]));
    }

    #[test]
    fn a_file_is_used_whole_or_not_at_all() {
        let mut keys = ApiKeys::default();
        issue(&mut keys, 1, 60).unwrap();
        let json = keys.to_json();
        for (from, to) in [
            ("\"010101010101\"", "\"01010101010G\""),
            ("\"010101010101\"", "\"0101010101\""),
            ("\"app\"", "\"\""),
            ("\"app\"", "\"a\\nb\""),
            ("\"read\"", "\"read write\""),
            ("\"read\"", "\"\""),
            ("\"read\"", "\"re\\\"ad\""),
            ("\"expires_at\": 1800000060", "\"expires_at\": 1800000000"),
        ] {
            let changed = json.replace(from, to);
            assert_ne!(changed, json, "{from}");
            assert_eq!(ApiKeys::decode(changed.as_bytes()), Err(ApiKeysError::Invalid { index: 0 }), "{to}");
        }
        for (from, to) in [
            ("\"expires_at\"", "\"expires\""),
            ("\"id\"", "\"revoked_at\": null, \"revoked_at\": 1, \"id\""),
            ("1800000060", "\"never\""),
            ("1800000060", "-1"),
        ] {
            let changed = json.replace(from, to);
            assert_ne!(changed, json, "{from}");
            assert_eq!(ApiKeys::decode(changed.as_bytes()), Err(ApiKeysError::Malformed), "{to}");
        }
        let entry = json.split_once('[').unwrap().1.rsplit_once(']').unwrap().0;
        let twice = format!("{{\"api_keys\": [{entry}, {entry}]}}");
        assert_eq!(ApiKeys::decode(twice.as_bytes()), Err(ApiKeysError::Duplicate { index: 1 }));
        for wrong in ["", "[]", "{}", "{\"api_keys\": {}}"] {
            assert_eq!(ApiKeys::decode(wrong.as_bytes()), Err(ApiKeysError::Malformed), "{wrong}");
        }
        assert_eq!(ApiKeys::decode(&vec![b' '; MAX_API_KEYS + 1]), Err(ApiKeysError::TooLarge));
    }
}
