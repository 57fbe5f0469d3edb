//! What the registry knows of an instance, a used challenge and a decision.

use std::fmt;

use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::{InstanceId, Protection, Tier, VouchedBy};
use countersign_core::token::trust_vector::TrustVector;
use countersign_verifier::enrolment::{PlatformKey, RegisteredInstance, Trustworthiness};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// One enrolled installation of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRecord {
    /// What its renewal is decided by.
    pub registered: RegisteredInstance,
    /// Whether an operator banned it.
    pub banned: bool,
    /// Since when and why it is banned, where that was written down.
    pub ban: Option<Ban>,
    /// Since when and why it gets no results, if a re-appraisal found so.
    pub withdrawn: Option<Withdrawal>,
    /// Under which policy, roots and status list it was judged last; empty if never.
    pub generation: Vec<u8>,
    /// How often what is known of it changed.
    pub revision: i64,
    /// The app's version, as the app said last.
    pub app_version: String,
    /// When it first enrolled.
    pub created: Timestamp,
    /// When it last enrolled or renewed.
    pub updated: Timestamp,
}

/// Since when and why an instance is banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Since when.
    pub since: Timestamp,
    /// Why; empty if nobody said.
    pub reason: String,
}

/// That the evidence of an instance is not good enough any more, or cannot be verified any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// Since when.
    pub since: Timestamp,
    /// Why, by stable names: labels of constraints, or why the evidence cannot be verified.
    pub reasons: Vec<String>,
}

/// A used challenge: which request used it, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedChallenge {
    /// SHA-256 of the request that used it.
    pub request: [u8; 32],
    /// The instance that was enrolled or renewed.
    pub instance: InstanceId,
    /// `affirming` or `warning`.
    pub verdict: String,
    /// The counter that the request's App Attest assertion was compared with, if it had one.
    pub previous_counter: Option<u32>,
    /// When it was committed, and so when what it was answered with was issued.
    pub committed: Timestamp,
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
    /// `affirming`, `warning` or `refused`; of a re-appraisal `withdrawn`, `restored`, `lowered` or `raised`.
    pub verdict: String,
    /// Every reason, by its stable name.
    pub reasons: Vec<String>,
    /// What the evidence claims; no token, no key, no header value.
    pub claims: Value,
    /// Every constraint with its outcome; null where the policy was not asked.
    pub appraisal: Value,
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

    /// A reference as a person gives it.
    pub fn from_text(text: &str) -> Option<Self> {
        let characters: [u8; 8] = text.as_bytes().try_into().ok()?;
        characters.iter().all(u8::is_ascii_alphanumeric).then_some(Self(characters))
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

impl InstanceRecord {
    /// The record in a row; `None` if the row breaks the rules of the schema.
    pub(super) fn from_row(row: &SqliteRow) -> Option<Self> {
        let key = |column: &str| -> Option<PublicKey> {
            PublicKey::from_p256_sec1(row.try_get::<&[u8], _>(column).ok()?).ok()
        };
        let time = |column: &str| -> Option<Timestamp> {
            u64::try_from(row.try_get::<i64, _>(column).ok()?).ok().map(Timestamp::from_unix_seconds)
        };
        let number = |column: &str| row.try_get::<u8, _>(column).ok();
        let platform_key = match row.try_get("platform_key").ok()? {
            "app-attest" => PlatformKey::AppAttest {
                key: key("app_attest_key")?,
                counter: row.try_get("app_attest_counter").ok()?,
            },
            "android-key" if row.try_get("play_integrity_alone").ok()? => PlatformKey::PlayIntegrity,
            "android-key" => PlatformKey::AndroidKey,
            "development-key" => PlatformKey::DevelopmentKey,
            _ => return None,
        };
        Some(Self {
            registered: RegisteredInstance {
                id: instance_id(row.try_get("id").ok()?)?,
                client_id: row.try_get("client_id").ok()?,
                instance_key: key("instance_key")?,
                platform_key,
                protection: Protection::from_number(number("protection")?)?,
                vouched_by: VouchedBy::from_number(number("vouched_by")?)?,
                evidence_time: time("evidence_time")?,
                trustworthiness: Trustworthiness {
                    tier: Tier::from_number(number("evidence_tier")?)?,
                    trust_vector: TrustVector::from_json(&json(row, "trust_vector")?)?,
                    labels: json(row, "labels")?,
                },
                history: json(row, "history")?,
            },
            banned: row.try_get("banned").ok()?,
            ban: match row.try_get::<Option<i64>, _>("ban_time").ok()? {
                Some(_) => Some(Ban {
                    since: time("ban_time")?,
                    reason: row.try_get::<Option<String>, _>("ban_reason").ok()?.unwrap_or_default(),
                }),
                None => None,
            },
            withdrawn: match row.try_get::<Option<i64>, _>("withdrawn_at").ok()? {
                Some(_) => Some(Withdrawal {
                    since: time("withdrawn_at")?,
                    reasons: json(row, "withdrawn_reasons")?,
                }),
                None => None,
            },
            generation: row.try_get("generation").ok()?,
            revision: row.try_get("revision").ok()?,
            app_version: row.try_get("app_version").ok()?,
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
            previous_counter: row.try_get("previous_counter").ok()?,
            committed: u64::try_from(row.try_get::<i64, _>("committed").ok()?)
                .ok()
                .map(Timestamp::from_unix_seconds)?,
        })
    }
}

impl Decision {
    /// The record in a row; `None` if the row breaks the rules of the schema.
    pub(super) fn from_row(row: &SqliteRow) -> Option<Self> {
        let instance: Option<&[u8]> = row.try_get("instance").ok()?;
        Some(Self {
            reference: Reference::from_text(row.try_get("reference").ok()?)?,
            time: u64::try_from(row.try_get::<i64, _>("time").ok()?)
                .ok()
                .map(Timestamp::from_unix_seconds)?,
            client_id: row.try_get("client_id").ok()?,
            instance: match instance {
                Some(bytes) => Some(instance_id(bytes)?),
                None => None,
            },
            verdict: row.try_get("verdict").ok()?,
            reasons: json(row, "reasons")?,
            claims: json(row, "claims")?,
            appraisal: json(row, "appraisal")?,
        })
    }
}

/// The identifier of the instance in a row whose other columns cannot be read.
pub(super) fn id_in(row: &SqliteRow) -> Option<InstanceId> {
    instance_id(row.try_get("id").ok()?)
}

/// What a decision whose row cannot be read is called: its reference, or its row where that is damaged too.
pub(super) fn decision_name(row: &SqliteRow, number: i64) -> String {
    let reference = row.try_get("reference").ok().and_then(Reference::from_text);
    reference.map_or_else(|| format!("row {number}"), |reference| reference.to_string())
}

fn json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Option<T> {
    serde_json::from_str(row.try_get(column).ok()?).ok()
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
