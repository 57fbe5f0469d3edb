//! What is kept of requests that were refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::TimeSpan;
use crate::document::Problems;

/// What is kept of requests that the edge refused, or would have: in memory alone, for administrators.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AttemptSettings {
    /// How many are kept at most; a twentieth of them may be of one network (/24, /48). Each takes about 500 bytes.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub entries: usize,
    /// How long one is kept: at most 30 days. Addresses are personal data.
    pub kept: TimeSpan,
    /// Whether no more of an address is kept and logged than its network (/24, /48).
    pub truncate_addresses: bool,
}

impl Default for AttemptSettings {
    fn default() -> Self {
        Self { entries: 10_000, kept: TimeSpan::from_seconds(86_400), truncate_addresses: false }
    }
}

impl AttemptSettings {
    pub(super) fn check(&self, problems: &mut Problems) {
        if !(60..=30 * 86_400).contains(&self.kept.as_seconds()) {
            problems.at("/attempts/kept", "attempts are kept for a minute at least and 30 days at most");
        }
    }
}
