//! Appraisal: what verified evidence is worth to us. A policy is a list of small labelled constraints with safe
//! defaults, each required, warned about or ignored; what weakens more than one constraint stands in [`Danger`].
//!
//! Appraising is total: it ends in an [`Appraisal`] with every constraint's outcome, never in an error.

mod android_key;
mod app;
mod app_attest;
mod app_version;
mod appraisal;
mod circumstances;
mod cohort;
mod constraint;
mod danger;
mod history;
mod play_integrity;
mod rationale;
mod trust_vector;

use std::collections::BTreeMap;

use countersign_core::time::Timestamp;

use crate::boot_keys::BootKeys;
use crate::evidence::{Claims, EvidenceSet, Platform};

pub use self::app::{
    AndroidApp, AppMode, AppPolicy, AppleApp, InstancesPerCertificate, MAXIMUM_REVOCATION_AGE,
};
pub use self::appraisal::{Appraisal, Outcome, Tier};
pub use self::circumstances::Circumstances;
pub use self::cohort::Cohort;
pub(crate) use self::cohort::is_within;
pub use self::constraint::{Constraint, Enforcement, Enforcements, OptOut};
pub use self::danger::Danger;
pub use self::history::{History, PlayHistory};
pub use self::play_integrity::{
    DeviceActivityLimit, DeviceIntegrity, PLAY_INTEGRITY_LIFETIME, PlayIntegrityRules,
};

use self::appraisal::Appraised;

/// What one constraint found: whether it holds, and a sentence that says so.
struct Finding {
    constraint: Constraint,
    satisfied: bool,
    explanation: String,
    /// How it is enforced here unless the policy says otherwise.
    default: Enforcement,
    /// The least that it is enforced here, whatever the policy says.
    floor: Enforcement,
}

impl Finding {
    fn new(constraint: Constraint, satisfied: bool, explanation: impl Into<String>) -> Self {
        let default = constraint.default_enforcement();
        Self { constraint, satisfied, explanation: explanation.into(), default, floor: Enforcement::Ignore }
    }

    /// The same where the situation calls for another enforcement than the constraint's default.
    fn by_default(self, default: Enforcement) -> Self {
        Self { default, ..self }
    }

    /// The same where the situation allows no less than this.
    fn at_least(self, floor: Enforcement) -> Self {
        Self { floor, ..self }
    }
}

/// A policy for any number of apps, each under its OAuth client identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppraisalPolicy {
    id: String,
    apps: BTreeMap<String, AppPolicy>,
    template: AppPolicy,
    boot_keys: BootKeys,
    danger: Danger,
}

impl AppraisalPolicy {
    /// A policy without apps: it refuses everything. `id` names it, with its version, in results.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            apps: BTreeMap::new(),
            template: AppPolicy::new(""),
            boot_keys: BootKeys::default(),
            danger: Danger::default(),
        }
    }

    /// Adds an app, or replaces the one with the same client identifier.
    #[must_use]
    pub fn with_app(mut self, app: AppPolicy) -> Self {
        self.apps.insert(app.client_id.clone(), app);
        self
    }

    /// Sets what [`Self::new_app`] starts from: the rules that hold for every app.
    #[must_use]
    pub fn with_template(mut self, template: AppPolicy) -> Self {
        self.template = template;
        self
    }

    /// An app under the rules that hold for every app, not yet added and without identities of its own.
    pub fn new_app(&self, client_id: impl Into<String>) -> AppPolicy {
        AppPolicy { client_id: client_id.into(), ..self.template.clone() }
    }

    /// Replaces the known verified boot keys. An app accepts those systems that it names.
    #[must_use]
    pub fn with_boot_keys(mut self, boot_keys: BootKeys) -> Self {
        self.boot_keys = boot_keys;
        self
    }

    /// Replaces all opt-outs.
    #[must_use]
    pub fn with_danger(mut self, danger: Danger) -> Self {
        self.danger = danger;
        self
    }

    /// The policy's name and version.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The app registered under a client identifier, which is compared byte by byte.
    pub fn app(&self, client_id: &str) -> Option<&AppPolicy> {
        self.apps.get(client_id)
    }

    /// All apps, by client identifier.
    pub fn apps(&self) -> impl Iterator<Item = &AppPolicy> {
        self.apps.values()
    }

    /// The known verified boot keys.
    pub const fn boot_keys(&self) -> &BootKeys {
        &self.boot_keys
    }

    /// The opt-outs.
    pub const fn danger(&self) -> &Danger {
        &self.danger
    }

    /// How a constraint is enforced for an app on a platform, outside of its cohorts.
    pub fn enforcement(&self, app: &AppPolicy, constraint: Constraint, platform: Platform) -> Enforcement {
        self.danger.enforcement(
            constraint,
            app.enforcement(constraint, platform, None, constraint.default_enforcement()),
        )
    }

    /// Appraises evidence that was sent under `client_id`, in the light of what else is known.
    pub fn appraise(
        &self,
        client_id: &str,
        evidence: &EvidenceSet,
        circumstances: &Circumstances<'_>,
        now: Timestamp,
    ) -> Appraisal {
        self.judge(client_id, evidence.platform(), Some(evidence), circumstances, now)
    }

    /// Appraises a renewal that brought no evidence: what the device reports of itself, and nothing else. The verdict
    /// on its last evidence stands beside this one.
    pub fn appraise_report(
        &self,
        client_id: &str,
        platform: Platform,
        circumstances: &Circumstances<'_>,
        now: Timestamp,
    ) -> Appraisal {
        self.judge(client_id, platform, None, circumstances, now)
    }

    fn judge(
        &self,
        client_id: &str,
        platform: Platform,
        evidence: Option<&EvidenceSet>,
        circumstances: &Circumstances<'_>,
        now: Timestamp,
    ) -> Appraisal {
        let unknown = AppPolicy::new(client_id);
        let known = self.app(client_id);
        let app = known.unwrap_or(&unknown);
        let cohort_key = circumstances.cohort_key.as_ref();
        let appraised =
            Appraised { policy: &self.id, danger: &self.danger, app, platform, evidence, cohort_key, now };
        if known.is_none() {
            let explanation = "No app is registered under this client identifier.";
            return Appraisal::new(&appraised, vec![Finding::new(Constraint::Client, false, explanation)]);
        }
        let explanation = "An app is registered under this client identifier.";
        let mut findings = vec![Finding::new(Constraint::Client, true, explanation)];
        for (index, evidence) in evidence.into_iter().flat_map(EvidenceSet::all).enumerate() {
            match evidence.claims() {
                Claims::AppAttest(claims) => findings.extend(app_attest::findings(claims, app, &self.danger)),
                Claims::AndroidKey(claims) => {
                    let rules = android_key::Rules { app, boot_keys: &self.boot_keys, danger: &self.danger };
                    findings.extend(android_key::findings(claims, evidence, rules, circumstances, now));
                }
                Claims::PlayIntegrity(claims) => {
                    findings.extend(play_integrity::findings(claims, index == 0, circumstances, app));
                }
                Claims::DevelopmentKey(_) => findings.extend(development_key_findings(app)),
            }
        }
        findings.extend(play_integrity::findings_without(evidence, platform, circumstances, now));
        if platform == Platform::Apple {
            findings.extend(app_attest::risk_metric(circumstances.risk_metric, app));
        }
        findings.extend(circumstances::findings(circumstances, evidence, app, platform, now));
        if let Some(evidence) = evidence {
            findings.extend(history::findings(circumstances.history, evidence));
        }
        Appraisal::new(&appraised, findings)
    }
}

fn development_key_findings(app: &AppPolicy) -> [Finding; 2] {
    let development = app.mode == AppMode::Development;
    [
        Finding::new(
            Constraint::DevelopmentMode,
            development,
            if development { "The app is marked as in development." } else { "The app is in production." },
        ),
        Finding::new(Constraint::PlatformEvidence, false, "A developer's key vouches, not a platform."),
    ]
}
