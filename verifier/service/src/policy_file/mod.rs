//! The appraisal policy as people write it: a TOML file with a JSON schema, turned into an [`AppraisalPolicy`].

mod app;
mod constraint_names;
mod constraint_table;
mod danger;
#[cfg(test)]
mod documentation;
mod environment;
mod platform;
mod play_integrity;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeSet;
use std::path::Path;

use countersign_verifier::evidence::Platform;
use countersign_verifier::policy::{AppPolicy, AppraisalPolicy, OptOut};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use app::{AndroidIdentity, AppSection, AppleIdentity, CohortPlatform, CohortSection, Mode};
pub use constraint_names::{Label, WeakDevice, WeakKey};
pub use constraint_table::{ConstraintTable, EnforcementName};
pub use danger::{DangerSection, Environment};
pub use environment::{EnvironmentSection, SignalName};
pub use platform::{AndroidSection, AppleSection, Category, MinimumProtection};
pub use play_integrity::{DeviceIntegrityName, PlayIntegritySection};
pub use values::{MinimumPatch, Sha256Hex, Version};

use crate::document::{self, Document, Problems, directory_of};

/// The policy file.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Countersign appraisal policy")]
pub struct PolicyFile {
    /// Name and version of the policy, such as "shop/7"; it stands in every result.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// Constraints whose failure edges are told, as labels in the result. Default: none.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub labels: Vec<Label>,
    /// Enforcement for all apps on all platforms, where it differs from the defaults.
    #[serde(default)]
    pub constraints: ConstraintTable,
    /// What is asked of every app's iPhones and Macs.
    #[serde(default)]
    pub apple: AppleSection,
    /// What is asked of every app's Android devices.
    #[serde(default)]
    pub android: AndroidSection,
    /// Environment signals that count against every app's devices.
    #[serde(default)]
    pub environment: EnvironmentSection,
    /// The apps.
    #[serde(default, rename = "app")]
    pub apps: Vec<AppSection>,
    /// Everything that is accepted although it should not be.
    #[serde(default)]
    pub danger: DangerSection,
}

/// Reads the policy in `file`.
///
/// # Errors
/// Every problem of the file.
pub fn load(file: &Path) -> Result<AppraisalPolicy, Problems> {
    document::load(file).map(|policy: PolicyFile| policy.into_policy(directory_of(file)))
}

impl Document for PolicyFile {
    fn check(&self, problems: &mut Problems) {
        let mut known = BTreeSet::new();
        self.android.check("/android", problems);
        self.environment.check(&EnvironmentSection::default(), "/environment", problems);
        for (index, app) in self.apps.iter().enumerate() {
            let pointer = format!("/app/{index}");
            if !known.insert(&app.client_id) {
                let message = "this client_id stands twice; merge the two apps or rename one";
                problems.at(&format!("{pointer}/client_id"), message);
            }
            app.check(&pointer, problems);
            app.environment.check(&self.environment, &format!("{pointer}/environment"), problems);
        }
        self.check_opt_outs(problems);
        self.danger.check_roots(problems);
    }
}

impl PolicyFile {
    /// What guards device and key is enforced less than by default only if `danger` says so.
    fn check_opt_outs(&self, problems: &mut Problems) {
        let mut tables = vec![
            ("/constraints".to_owned(), &self.constraints),
            ("/apple/constraints".to_owned(), &self.apple.constraints),
            ("/android/constraints".to_owned(), &self.android.constraints),
        ];
        tables.extend(
            self.apps.iter().enumerate().flat_map(|(index, app)| app.tables(&format!("/app/{index}"))),
        );
        for (pointer, table) in tables {
            for (constraint, opt_out) in table.weakened() {
                let (named, list, what_follows) = match opt_out {
                    OptOut::WeakDevices => (
                        self.danger.weak_devices.iter().any(|name| name.0 == constraint),
                        "weak_devices",
                        "devices pass whose own word is worth nothing",
                    ),
                    OptOut::WeakKeys => (
                        self.danger.weak_keys.iter().any(|name| name.0 == constraint),
                        "weak_keys",
                        "somebody else may hold the key, or vouch for it",
                    ),
                };
                if !named {
                    let (label, least) = (constraint.label(), constraint.default_enforcement().name());
                    let message = format!(
                        "with less than \"{least}\" for `{label}`, {what_follows}; if that is meant, write \
                         `{list} = [\"{label}\"]` in [danger]"
                    );
                    problems.at(&format!("{pointer}/{label}"), message);
                }
            }
        }
    }

    fn into_policy(self, directory: &Path) -> AppraisalPolicy {
        let policy = AppraisalPolicy::new(&self.id)
            .with_danger(self.danger.to_danger(directory))
            .with_template(self.template());
        self.apps.iter().fold(policy, |policy, section| {
            let app = section.to_app(policy.new_app(&section.client_id));
            policy.with_app(app)
        })
    }

    /// What holds for every app.
    fn template(&self) -> AppPolicy {
        let mut template = AppPolicy::new("");
        self.constraints.write(&mut template.enforcements, None);
        self.apple.constraints.write(&mut template.enforcements, Some(Platform::Apple));
        self.android.constraints.write(&mut template.enforcements, Some(Platform::Android));
        self.apple.write(&mut template);
        self.android.write(&mut template);
        self.environment.write(&mut template);
        template.exported_labels = self.labels.iter().map(|label| label.0).collect();
        template
    }
}
