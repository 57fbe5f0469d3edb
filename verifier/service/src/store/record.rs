//! What the registry knows of an instance, a used challenge and a decision.

use std::fmt;

use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::{InstanceId, Protection};
use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// One enrolled installation of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRecord {
    /// Its identifier, random and different for each client.
    pub id: InstanceId,
    /// The OAuth client that it belongs to.
    pub client_id: String,
    /// Whether an operator banned it.
    pub banned: bool,
    /// Its key and evidence.
    pub evidenced: Evidenced,
    /// When it first enrolled.
    pub created: Timestamp,
    /// When it last enrolled or renewed.
    pub updated: Timestamp,
}

/// The part of an instance that new evidence replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidenced {
    /// `apple`, `android` or `development`.
    pub platform: String,
    /// The durable key (P-256).
    pub instance_key: PublicKey,
    /// The App Attest key and the counter of its last assertion.
    pub app_attest: Option<(PublicKey, u32)>,
    /// Where the instance key lives.
    pub protection: Protection,
    /// The evidence that was verified last.
    pub evidence: StoredEvidence,
    /// The app's version, as the app said.
    pub app_version: String,
}

/// Evidence as it was verified: enough to verify and appraise it again under another policy.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredEvidence {
    /// The encoded evidence.
    pub bytes: Vec<u8>,
    /// The binding hash that it is bound to.
    pub binding: [u8; 32],
    /// When it was verified.
    pub time: Timestamp,
}

/// A used challenge: which request used it, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedChallenge {
    /// SHA-256 of the request that used it.
    pub request: [u8; 32],
    /// The instance that was enrolled or renewed.
    pub instance: InstanceId,
    /// What was granted, as the issuer wrote it down.
    pub verdict: String,
}

/// One decision with every reason, for the operator alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the device is told, so that support can find this.
    pub reference: Reference,
    /// When.
    pub time: Timestamp,
    /// The client, where it is known.
    pub client_id: Option<String>,
    /// The instance, where it is known.
    pub instance: Option<InstanceId>,
    /// `affirming`, `warning` or `refused`.
    pub verdict: String,
    /// Every reason, by its stable name.
    pub reasons: Vec<String>,
    /// What the evidence claims; no token, no key, no header value.
    pub claims: Value,
}

/// Eight characters that name a decision: letters and digits without those that are read as others.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reference([u8; 8]);

impl Reference {
    /// A reference from 5 random bytes.
    pub fn from_random(random: [u8; 5]) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let bits = random.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        let mut characters = [b'0'; 8];
        for (position, character) in characters.iter_mut().enumerate() {
            let five = (bits >> (35 - 5 * position)) & 0x1f;
            *character = ALPHABET.get(usize::try_from(five).unwrap_or(0)).copied().unwrap_or(b'0');
        }
        Self(characters)
    }

    /// Its eight characters.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Evidence may hold certificates that identify one device; it is not for logs.
impl fmt::Debug for StoredEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredEvidence({} bytes of {})", self.bytes.len(), self.time)
    }
}

impl InstanceRecord {
    /// The record in a row; `None` if the row breaks the rules of the schema.
    pub(super) fn from_row(row: &SqliteRow) -> Option<Self> {
        let key = |column: &str| -> Option<PublicKey> {
            PublicKey::from_p256_sec1(row.try_get::<&[u8], _>(column).ok()?).ok()
        };
        let time = |column: &str| -> Option<Timestamp> {
            u64::try_from(row.try_get::<i64, _>(column).ok()?).ok().map(Timestamp::from_unix_seconds)
        };
        let counter: Option<i64> = row.try_get("app_attest_counter").ok()?;
        let app_attest = match counter {
            Some(counter) => Some((key("app_attest_key")?, u32::try_from(counter).ok()?)),
            None => None,
        };
        Some(Self {
            id: instance_id(row.try_get("id").ok()?)?,
            client_id: row.try_get("client_id").ok()?,
            banned: row.try_get("banned").ok()?,
            evidenced: Evidenced {
                platform: row.try_get("platform").ok()?,
                instance_key: key("instance_key")?,
                app_attest,
                protection: Protection::from_number(row.try_get("protection").ok()?)?,
                evidence: StoredEvidence {
                    bytes: row.try_get("evidence").ok()?,
                    binding: row.try_get::<&[u8], _>("binding").ok()?.try_into().ok()?,
                    time: time("evidence_time")?,
                },
                app_version: row.try_get("app_version").ok()?,
            },
            created: time("created")?,
            updated: time("updated")?,
        })
    }
}

impl ConsumedChallenge {
    /// The record in a row; `None` if the row breaks the rules of the schema.
    pub(super) fn from_row(row: &SqliteRow) -> Option<Self> {
        Some(Self {
            request: row.try_get::<&[u8], _>("request").ok()?.try_into().ok()?,
            instance: instance_id(row.try_get("instance").ok()?)?,
            verdict: row.try_get("verdict").ok()?,
        })
    }
}

fn instance_id(bytes: &[u8]) -> Option<InstanceId> {
    bytes.try_into().ok().map(InstanceId::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_eight_characters_of_its_random_bits() {
        assert_eq!(Reference::from_random([0; 5]).as_str(), "00000000");
        assert_eq!(Reference::from_random([0xff; 5]).as_str(), "ZZZZZZZZ");
        assert_eq!(Reference::from_random([0, 0, 0, 0, 0b0010_0001]).as_str(), "00000011");
    }
}
