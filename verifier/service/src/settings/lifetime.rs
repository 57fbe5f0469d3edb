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
    /// What those records quote of a device's evidence, and the evidence of refusals; at most as long as `audit`.
    /// Default: as long. The evidence that an enrolled instance stands on is kept as long as the instance.
    pub evidence: Option<TimeSpan>,
    /// The trail of administrative acts; at least 1d, at most 3650d.
    pub acts: TimeSpan,
    /// Instances that neither enrol nor renew for so long are erased; at least 1d, at most 3650d. Bans stay.
    pub instances: TimeSpan,
}

impl LifetimeSettings {
    /// How long records quote evidence.
    pub fn evidence(&self) -> TimeSpan {
        self.evidence.unwrap_or(self.audit)
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        let bounds = [
            ("result", self.result, 30, 600),
            ("client_attestation", self.client_attestation, 30, 86_400),
            ("audit", self.audit, 30, 400 * 86_400),
            ("acts", self.acts, 86_400, 3650 * 86_400),
            ("instances", self.instances, 86_400, 3650 * 86_400),
        ];
        // Where it is not written, `audit` is what is wrong.
        let evidence = self.evidence.map(|span| ("evidence", span, 30, 400 * 86_400));
        for (name, span, floor, ceiling) in bounds.into_iter().chain(evidence) {
            let (floor, ceiling) = (TimeSpan::from_seconds(floor), TimeSpan::from_seconds(ceiling));
            if span > ceiling {
                problems.at(
                    &format!("/lifetime/{name}"),
                    format!("`{name}` is {span}; at most {ceiling} is allowed"),
                );
            } else if span < floor {
                problems.at(
                    &format!("/lifetime/{name}"),
                    format!("`{name}` is {span}; at least {floor} is needed"),
                );
            }
        }
        if let Some(evidence) = self.evidence.filter(|evidence| *evidence > self.audit) {
            problems.at(
                "/lifetime/evidence",
                format!(
                    "`evidence` is {evidence}, and the records that quote it are gone after {} (`audit`)",
                    self.audit
                ),
            );
        }
    }
}

impl Default for LifetimeSettings {
    fn default() -> Self {
        Self {
            result: TimeSpan::from_seconds(600),
            client_attestation: TimeSpan::from_seconds(3600),
            audit: TimeSpan::from_seconds(30 * 86_400),
            evidence: None,
            acts: TimeSpan::from_seconds(400 * 86_400),
            instances: TimeSpan::from_seconds(400 * 86_400),
        }
    }
}
