//! How long things are valid, and how long they are kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TimeSpan;
use crate::document::Problems;

/// How long things are valid (protocol section 9), each with a ceiling. The lives of challenges and nonces are fixed.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LifetimeSettings {
    /// Results and JWTs for resources; at most 10m.
    pub result: TimeSpan,
    /// JWTs for the authorization server; at most 24h.
    pub client_attestation: TimeSpan,
    /// Records of what was decided and why; at most 400d.
    pub audit: TimeSpan,
    /// Instances that neither enrol nor renew for so long are erased; at least 1d, at most 3650d. Bans stay.
    pub instances: TimeSpan,
}

impl LifetimeSettings {
    pub(super) fn check(&self, problems: &mut Problems) {
        let bounds = [
            ("result", self.result, 30, 600),
            ("client_attestation", self.client_attestation, 30, 86_400),
            ("audit", self.audit, 30, 400 * 86_400),
            ("instances", self.instances, 86_400, 3650 * 86_400),
        ];
        for (name, span, floor, ceiling) in bounds {
            let (floor, ceiling) = (TimeSpan::from_seconds(floor), TimeSpan::from_seconds(ceiling));
            if span > ceiling {
                problems.at(
                    &format!("/lifetime/{name}"),
                    format!("`{name}` is {span}; at most {ceiling} is allowed"),
                );
            } else if span < floor {
                problems.at(
                    &format!("/lifetime/{name}"),
                    format!("`{name}` is {span}; devices need at least {floor}"),
                );
            }
        }
    }
}

impl Default for LifetimeSettings {
    fn default() -> Self {
        Self {
            result: TimeSpan::from_seconds(600),
            client_attestation: TimeSpan::from_seconds(3600),
            audit: TimeSpan::from_seconds(30 * 86_400),
            instances: TimeSpan::from_seconds(400 * 86_400),
        }
    }
}
