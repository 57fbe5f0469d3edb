//! What the registry holds of an instance between its enrolment and its renewals.

use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::{InstanceId, Protection, VouchedBy};

use super::Trustworthiness;
use crate::evidence::Platform;
use crate::policy::History;

/// The key by which the platform vouches for an instance from one renewal to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlatformKey {
    /// The App Attest key, and the highest counter it was seen with.
    AppAttest {
        /// Verifies assertions.
        key: PublicKey,
        /// The next assertion's counter must be greater.
        counter: u32,
    },
    /// The instance key itself is attested; renewals attest a throwaway key when evidence is due.
    AndroidKey,
    /// None: Google Play alone vouches, for the key only by the app's word.
    PlayIntegrity,
    /// A registered development key.
    DevelopmentKey,
}

impl PlatformKey {
    /// Whose device the instance is on.
    pub const fn platform(&self) -> Platform {
        match self {
            Self::AppAttest { .. } => Platform::Apple,
            Self::AndroidKey | Self::PlayIntegrity => Platform::Android,
            Self::DevelopmentKey => Platform::Development,
        }
    }
}

/// What the registry holds of an instance, as far as its renewal is decided by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredInstance {
    /// Its identifier.
    pub id: InstanceId,
    /// The OAuth `client_id` it enrolled under.
    pub client_id: String,
    /// Its durable key.
    pub instance_key: PublicKey,
    /// How its platform vouches for it.
    pub platform_key: PlatformKey,
    /// Where its durable key lives.
    pub protection: Protection,
    /// Who says so.
    pub vouched_by: VouchedBy,
    /// When platform evidence was last verified.
    pub evidence_time: Timestamp,
    /// What that evidence was worth.
    pub trustworthiness: Trustworthiness,
    /// What was seen of the instance before.
    pub history: History,
}
