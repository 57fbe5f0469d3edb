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
mod trust_vector;

use std::collections::BTreeMap;

use countersign_core::time::Timestamp;

use crate::evidence::{Claims, EvidenceSet, Platform};

pub use self::app::{AndroidApp, AppMode, AppPolicy, AppleApp};
pub use self::appraisal::{Appraisal, Outcome, Tier};
pub use self::circumstances::Circumstances;
pub use self::cohort::Cohort;
pub use self::constraint::{Constraint, Enforcement, Enforcements};
pub use self::danger::Danger;
pub use self::history::History;

use self::appraisal::Appraised;

/// What one constraint found: whether it holds, and a sentence that says so.
struct Finding {
    constraint: Constraint,
    satisfied: bool,
    explanation: String,
}

impl Finding {
    fn new(constraint: Constraint, satisfied: bool, explanation: impl Into<String>) -> Self {
        Self { constraint, satisfied, explanation: explanation.into() }
    }
}

/// A policy for any number of apps, each under its OAuth client identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppraisalPolicy {
    id: String,
    apps: BTreeMap<String, AppPolicy>,
    template: AppPolicy,
    danger: Danger,
}

impl AppraisalPolicy {
    /// A policy without apps: it refuses everything. `id` names it, with its version, in results.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), apps: BTreeMap::new(), template: AppPolicy::new(""), danger: Danger::default() }
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

    /// The opt-outs.
    pub const fn danger(&self) -> &Danger {
        &self.danger
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
        for evidence in evidence.into_iter().flat_map(EvidenceSet::all) {
            match evidence.claims() {
                Claims::AppAttest(claims) => findings.extend(app_attest::findings(claims, app, &self.danger)),
                Claims::AndroidKey(claims) => {
                    findings.extend(android_key::findings(claims, evidence, app, &self.danger));
                }
                Claims::DevelopmentKey(_) => findings.extend(development_key_findings(app)),
            }
        }
        if platform == Platform::Apple {
            findings.extend(app_attest::risk_metric(circumstances.risk_metric, app));
        }
        findings.extend(circumstances::findings(circumstances, evidence, app));
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
