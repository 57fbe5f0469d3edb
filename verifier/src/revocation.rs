//! Google's attestation status list: certificates by serial number that were revoked or suspended.

use std::collections::BTreeMap;
use std::fmt;

use countersign_core::time::Timestamp;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::crypto::sha256;

/// Longest list read, in bytes; the published one is far below 1 MiB.
pub const MAX_LIST_LENGTH: usize = 8 * 1024 * 1024;

/// What a list says about a certificate. Each of them refuses a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CertificateStatus {
    /// `SUSPENDED`: not valid for now.
    Suspended,
    /// A status that this version does not know. It is on the list, so it is not fine.
    Unknown,
    /// `REVOKED`: never valid again.
    Revoked,
}

/// Why bytes are not a status list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationListError {
    /// Longer than [`MAX_LIST_LENGTH`].
    TooLong,
    /// Not the JSON of a status list, or a member stands twice.
    Malformed {
        /// Line of the first problem, counted from 1.
        line: usize,
    },
}

impl RevocationListError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "revocation_list_too_long",
            Self::Malformed { .. } => "revocation_list_malformed",
        }
    }
}

/// A parsed status list: `{"entries": {"<serial in hex>": {"status": …}}}`.
///
/// The member `expires` of an entry is not honoured. It says when the certificate ends, so that lists can be
/// kept short; as chains from the factory outlive their certificates, an entry counts as long as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    entries: BTreeMap<String, CertificateStatus>,
    as_of: Timestamp,
}

impl RevocationList {
    /// Parses a list that was current at `as_of`, which the list itself does not say. Unknown members are ignored,
    /// repeated ones and serials that are not hex refuse it.
    ///
    /// # Errors
    /// [`RevocationListError`].
    pub fn parse(json: &[u8], as_of: Timestamp) -> Result<Self, RevocationListError> {
        if json.len() > MAX_LIST_LENGTH {
            return Err(RevocationListError::TooLong);
        }
        // Members that are ignored are not decoded, so that they are text is checked before.
        let text = std::str::from_utf8(json).map_err(|error| {
            let before = json.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            RevocationListError::Malformed { line }
        })?;
        let list: StatusList = serde_json::from_str(text)
            .map_err(|error| RevocationListError::Malformed { line: error.line() })?;
        Ok(Self { entries: list.entries.0, as_of })
    }

    /// The time as of which it is: nothing that was revoked later stands in it.
    pub const fn as_of(&self) -> Timestamp {
        self.as_of
    }

    /// The same list, confirmed as still current at `as_of`. Never takes it back.
    #[must_use]
    pub fn confirmed(self, as_of: Timestamp) -> Self {
        Self { as_of: self.as_of.max(as_of), ..self }
    }

    /// SHA-256 of what it says; the same for the same entries, whatever their order and time.
    pub fn digest(&self) -> [u8; 32] {
        let mut text = Vec::new();
        for (serial, status) in &self.entries {
            text.extend_from_slice(serial.as_bytes());
            text.push(match status {
                CertificateStatus::Suspended => b'S',
                CertificateStatus::Unknown => b'U',
                CertificateStatus::Revoked => b'R',
            });
        }
        sha256(&text)
    }

    /// What the list says about the certificate with this serial number (content of its INTEGER); None: nothing.
    pub fn status(&self, serial: &[u8]) -> Option<CertificateStatus> {
        self.entries.get(&serial_hex(serial)).copied()
    }

    /// How many certificates are listed.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is listed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// A serial number as the list writes it: lower-case hex without leading zeros.
pub fn serial_hex(serial: &[u8]) -> String {
    let hex: String = serial.iter().map(|byte| format!("{byte:02x}")).collect();
    normalised(&hex)
}

fn normalised(hex: &str) -> String {
    match hex.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_ascii_lowercase(),
    }
}

#[derive(Deserialize)]
struct StatusList {
    entries: Entries,
}

#[derive(Deserialize)]
struct Entry {
    status: String,
}

struct Entries(BTreeMap<String, CertificateStatus>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of serial numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((serial, entry)) = map.next_entry::<String, Entry>()? {
                    if serial.is_empty() || !serial.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                        return Err(de::Error::custom("a serial number is not hex"));
                    }
                    let status = match entry.status.as_str() {
                        "REVOKED" => CertificateStatus::Revoked,
                        "SUSPENDED" => CertificateStatus::Suspended,
                        _ => CertificateStatus::Unknown,
                    };
                    if entries.insert(normalised(&serial), status).is_some() {
                        return Err(de::Error::custom("a serial number stands twice"));
                    }
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AS_OF: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

    fn list(entries: &str) -> Result<RevocationList, RevocationListError> {
        RevocationList::parse(format!(r#"{{"entries":{{{entries}}}}}"#).as_bytes(), AS_OF)
    }

    #[test]
    fn every_status_refuses() {
        let list = list(r#""a1":{"status":"REVOKED","reason":"KEY_COMPROMISE"},"b2":{"status":"SUSPENDED"},"c3":{"status":"FINE"}"#).unwrap();
        assert_eq!(list.status(&[0xa1]), Some(CertificateStatus::Revoked));
        assert_eq!(list.status(&[0xb2]), Some(CertificateStatus::Suspended));
        assert_eq!(list.status(&[0xc3]), Some(CertificateStatus::Unknown));
        assert_eq!(list.status(&[0xd4]), None);
        assert_eq!(list.len(), 3);
    }

    #[test]
    fn serials_match_however_they_are_padded_or_cased() {
        let list = list(r#""00AbC":{"status":"REVOKED"}"#).unwrap();
        assert_eq!(list.status(&[0x0a, 0xbc]), Some(CertificateStatus::Revoked));
        assert_eq!(list.status(&[0x00, 0x0a, 0xbc]), Some(CertificateStatus::Revoked));
        assert_eq!(list.status(&[0xab, 0xc0]), None);
        assert_eq!((serial_hex(&[0]), serial_hex(&[])), ("0".to_owned(), "0".to_owned()));
    }

    #[test]
    fn an_entry_counts_after_its_certificate_has_expired() {
        let list = list(r#""1":{"status":"REVOKED","expires":"2020-11-13"}"#).unwrap();
        assert_eq!(list.status(&[1]), Some(CertificateStatus::Revoked));
    }

    #[test]
    fn a_list_that_is_no_text_is_refused_even_where_nobody_looks() {
        let json = b"{\"entries\":{},\n\"comment\":\"\xff\"}";
        assert_eq!(RevocationList::parse(json, AS_OF), Err(RevocationListError::Malformed { line: 2 }));
    }

    #[test]
    fn lists_that_could_be_read_two_ways_are_refused() {
        let refused = [
            r#""1":{"status":"REVOKED"},"1":{"status":"SUSPENDED"}"#,
            r#""1":{"status":"REVOKED"},"01":{"status":"REVOKED"}"#,
            r#""1":{"status":"REVOKED","status":"SUSPENDED"}"#,
            r#""xyz":{"status":"REVOKED"}"#,
            r#""":{"status":"REVOKED"}"#,
            r#""1":{}"#,
            r#""1":{"status":1}"#,
        ];
        for entries in refused {
            assert_eq!(list(entries), Err(RevocationListError::Malformed { line: 1 }), "{entries}");
        }
        for json in
            ["", "[]", "{}", r#"{"entries":[]}"#, r#"{"entries":{}} x"#, r#"{"entries":{},"entries":{}}"#]
        {
            assert!(RevocationList::parse(json.as_bytes(), AS_OF).is_err(), "{json}");
        }
        assert_eq!(
            RevocationList::parse(&vec![b' '; MAX_LIST_LENGTH + 1], AS_OF),
            Err(RevocationListError::TooLong)
        );
    }

    #[test]
    fn a_confirmation_never_makes_a_list_older_and_changes_nothing_that_it_says() {
        let first = list(r#""1":{"status":"REVOKED"}"#).unwrap();
        let later = first.clone().confirmed(AS_OF.plus(60));
        assert_eq!((later.as_of(), later.digest()), (AS_OF.plus(60), first.digest()));
        assert_eq!(later.confirmed(AS_OF).as_of(), AS_OF.plus(60));
    }

    #[test]
    fn another_entry_or_status_is_another_list() {
        let digest = |entries| list(entries).unwrap().digest();
        let one = digest(r#""1":{"status":"REVOKED"},"2":{"status":"REVOKED"}"#);
        assert_eq!(one, digest(r#""02":{"status":"REVOKED"},"1":{"status":"REVOKED"}"#));
        for other in
            [r#""1":{"status":"REVOKED"}"#, r#""1":{"status":"REVOKED"},"2":{"status":"SUSPENDED"}"#, ""]
        {
            assert_ne!(one, digest(other), "{other}");
        }
    }
}
