//! The admin key: 32 random bytes that are shown once. The service keeps their SHA-256 alone.

use std::fmt;

use countersign_core::encoding::{base64url, from_base64url_array};
use countersign_core::time::Timestamp;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::store::AdminKeyRecord;

/// What every admin key begins with, so that scanners for leaked secrets find it.
pub(crate) const PREFIX: &str = "csa_";

/// An admin key in the clear; erased from memory when dropped, and never printed but by [`AdminKey::reveal`].
pub(crate) struct AdminKey(Zeroizing<[u8; 32]>);

/// Why a presented key opens nothing. Who presented it is not told which of these it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyRefusal {
    /// No `Authorization` field came.
    Absent,
    /// The field is not `Bearer` and one admin key, or there are several.
    Malformed,
    /// The key stands in the query, where logs keep it.
    InQuery,
    /// It stands in the path.
    InPath,
    /// No key has this digest.
    Unknown,
    /// It has ended.
    Expired,
    /// It was revoked.
    Revoked,
    /// Its address has failed too often.
    BudgetSpent,
}

impl KeyRefusal {
    /// A stable name for logs and metrics.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Absent => "admin_key_absent",
            Self::Malformed => "admin_key_malformed",
            Self::InQuery => "admin_key_in_query",
            Self::InPath => "admin_key_in_path",
            Self::Unknown => "admin_key_unknown",
            Self::Expired => "admin_key_expired",
            Self::Revoked => "admin_key_revoked",
            Self::BudgetSpent => "admin_key_budget_spent",
        }
    }
}

impl AdminKey {
    /// A key of 32 bytes that nobody can guess.
    pub(crate) fn from_random(random: [u8; 32]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// Reads a key: `csa_` and 43 characters of base64url.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let bytes = from_base64url_array(text.strip_prefix(PREFIX)?).ok()?;
        Some(Self::from_random(bytes))
    }

    /// Reads the key in the value of an `Authorization` field.
    pub(crate) fn from_authorization(value: &[u8]) -> Option<Self> {
        let (scheme, key) = str::from_utf8(value).ok()?.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") { Self::from_text(key) } else { None }
    }

    /// The key in the clear, for the one time that it is shown.
    pub(crate) fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", base64url(self.0.as_slice())))
    }

    /// SHA-256 of its bytes, which is all that is kept. The bytes are random: no slower hash is needed.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_slice()).into()
    }

    /// The record of this key, if it is good at `now`. Takes as long for any key: every record is compared, in
    /// constant time.
    pub(crate) fn find<'r>(
        &self,
        records: &'r [AdminKeyRecord],
        now: Timestamp,
    ) -> Result<&'r AdminKeyRecord, KeyRefusal> {
        let digest = self.digest();
        let (mut found, mut position) = (Choice::from(0), u64::MAX);
        for (candidate, record) in (0_u64..).zip(records) {
            let same = digest.ct_eq(&record.digest);
            position.conditional_assign(&candidate, same);
            found |= same;
        }
        let record = usize::try_from(position).ok().and_then(|position| records.get(position));
        match record.filter(|_| found.into()) {
            None => Err(KeyRefusal::Unknown),
            Some(record) if record.revoked.is_some() => Err(KeyRefusal::Revoked),
            Some(record) if record.expires.is_some_and(|end| now >= end) => Err(KeyRefusal::Expired),
            Some(record) => Ok(record),
        }
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

    fn record(byte: u8, expires: Option<Timestamp>, revoked: Option<Timestamp>) -> AdminKeyRecord {
        let digest = AdminKey::from_random([byte; 32]).digest();
        AdminKeyRecord { name: format!("key-{byte}"), digest, created: NOW, expires, revoked }
    }

    #[test]
    fn a_key_opens_until_it_ends_or_is_revoked() {
        let records = [
            record(1, None, None),
            record(2, Some(NOW.plus(1)), None),
            record(3, Some(NOW), None),
            record(4, None, Some(NOW)),
            record(5, Some(NOW.minus(1)), Some(NOW)),
        ];
        let name = |byte| {
            let found = AdminKey::from_random([byte; 32]).find(&records, NOW);
            found.map(|record| record.name.as_str()).map_err(KeyRefusal::reason)
        };
        assert_eq!(name(1), Ok("key-1"));
        assert_eq!(name(2), Ok("key-2"));
        assert_eq!(name(3), Err("admin_key_expired"));
        assert_eq!(name(4), Err("admin_key_revoked"));
        assert_eq!(name(5), Err("admin_key_revoked"));
        assert_eq!(name(6), Err("admin_key_unknown"));
        assert_eq!(AdminKey::from_random([1; 32]).find(&[], NOW).err(), Some(KeyRefusal::Unknown));
    }

    #[test]
    fn a_key_has_one_spelling() {
        let key = AdminKey::from_random([0xfb; 32]);
        let text = key.reveal();
        assert!(text.len() == 47 && text.starts_with("csa_"));
        assert_eq!(AdminKey::from_text(&text).map(|key| key.digest()), Some(key.digest()));
        for wrong in [
            text[4..].to_owned(),
            format!("{}=", *text),
            format!(" {}", *text),
            format!("{} ", *text),
            text.replace("csa_", "CSA_"),
            text.replace("csa_", "csa-"),
            text[..46].to_owned(),
            format!("{}A", *text),
            format!("{}B", &text[..46]),
            String::new(),
        ] {
            assert!(AdminKey::from_text(&wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn only_bearer_and_one_key_is_an_authorization() {
        let text = AdminKey::from_random([7; 32]).reveal();
        let read = |value: String| AdminKey::from_authorization(value.as_bytes()).is_some();
        assert!(read(format!("Bearer {}", *text)) && read(format!("bearer {}", *text)));
        for wrong in [
            text.to_string(),
            format!("Basic {}", *text),
            format!("Bearer  {}", *text),
            format!("Bearer {0}, Bearer {0}", *text),
            format!("Bearer {0} {0}", *text),
            "Bearer".to_owned(),
        ] {
            assert!(!read(wrong.clone()), "{wrong}");
        }
        assert!(AdminKey::from_authorization(b"Bearer csa_\xff").is_none());
    }

    #[test]
    fn a_key_is_not_in_its_debug_output() {
        let key = AdminKey::from_random([7; 32]);
        assert_eq!(format!("{key:?}"), "AdminKey(..)");
    }
}
