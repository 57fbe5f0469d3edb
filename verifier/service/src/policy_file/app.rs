//! One app in a policy file: who it is, and what is asked of its instances.

use std::collections::BTreeSet;

use countersign_core::token::result::MAX_LIFETIME;
use countersign_verifier::evidence::Platform;
use countersign_verifier::policy::{AndroidApp, AppMode, AppPolicy, AppleApp, Cohort, Enforcements};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::constraint_names::Label;
use super::constraint_table::ConstraintTable;
use super::environment::EnvironmentSection;
use super::platform::{AndroidSection, AppleSection};
use super::values::{Sha256Hex, Version};
use crate::document::Problems;
use crate::settings::TimeSpan;

/// Shortest life of an app's results, in seconds: each end of one is a renewal.
const MIN_RESULT_LIFETIME: u64 = 60;

/// One app, by its OAuth client identifier.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppSection {
    /// The OAuth client identifier, compared byte by byte.
    #[schemars(length(min = 1))]
    pub client_id: String,
    /// Whether developers' registered keys may vouch for it. Default: production.
    #[serde(default)]
    pub mode: Mode,
    /// Refuse nobody whose evidence is genuine: everything passes at tier warning, and what would have been refused
    /// is counted.
    #[serde(default)]
    pub observe: bool,
    /// Life of the app's results, from 60s to 10m; the service's `[lifetime] result` counts where it is shorter.
    #[serde(default)]
    pub result_lifetime: Option<TimeSpan>,
    /// Oldest accepted version of the app, such as "2.10": the attested one where evidence tells it (Apple's bundle
    /// version), else the one that the app says. Default: any.
    #[serde(default)]
    pub minimum_app_version: Option<Version>,
    /// Oldest accepted version code of the app on Android, as attested. Default: any.
    #[serde(default)]
    pub minimum_version_code: Option<u64>,
    /// Constraints whose failure edges are told, as labels in the result; instead of the list for every app.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub labels: Option<Vec<Label>>,
    /// The app on Apple's platforms; any of these.
    #[serde(default)]
    pub apple: Vec<AppleIdentity>,
    /// The app on Android; any of these.
    #[serde(default)]
    pub android: Vec<AndroidIdentity>,
    /// What is asked of Apple's devices for this app, over `[apple]`.
    #[serde(default)]
    pub on_apple: AppleSection,
    /// What is asked of Android devices for this app, over `[android]`.
    #[serde(default)]
    pub on_android: AndroidSection,
    /// Environment signals that count against this app's devices; each list over its namesake in `[environment]`.
    #[serde(default)]
    pub environment: EnvironmentSection,
    /// Enforcement for this app, over what holds for all apps.
    #[serde(default)]
    pub constraints: ConstraintTable,
    /// Parts of the app's instances for which some constraints are enforced otherwise; the first that says so counts.
    #[serde(default, rename = "cohort")]
    pub cohorts: Vec<CohortSection>,
}

/// An app on Apple's platforms.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppleIdentity {
    /// Team identifier, or the App ID's older prefix.
    #[schemars(length(min = 1))]
    pub team_id: String,
    /// Bundle identifier.
    #[schemars(length(min = 1))]
    pub bundle_id: String,
}

/// An app on Android.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AndroidIdentity {
    /// Package name.
    #[schemars(length(min = 1))]
    pub package: String,
    /// SHA-256 of every signing certificate in use; while a key is rotated, of both.
    #[schemars(length(min = 1))]
    pub signing_digests: Vec<Sha256Hex>,
}

/// A part of an app's instances.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CohortSection {
    /// Its name; another name draws other instances.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// How many of a hundred instances belong to it.
    #[schemars(range(min = 1, max = 100))]
    pub percentage: u8,
    /// Enforcement for them, over all else.
    #[serde(default)]
    pub constraints: ConstraintTable,
    /// The same for those on Apple's devices.
    #[serde(default)]
    pub on_apple: CohortPlatform,
    /// The same for those on Android.
    #[serde(default)]
    pub on_android: CohortPlatform,
}

/// What a cohort changes on one platform.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CohortPlatform {
    /// Enforcement on it.
    pub constraints: ConstraintTable,
}

/// Whether an app is meant for users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// For users.
    #[default]
    Production,
    /// For developers.
    Development,
}

impl AppSection {
    /// The app, from what holds for every app.
    pub(super) fn to_app(&self, mut app: AppPolicy) -> AppPolicy {
        app.mode = match self.mode {
            Mode::Production => AppMode::Production,
            Mode::Development => AppMode::Development,
        };
        app.observe = self.observe;
        app.result_lifetime = self.result_lifetime.map(TimeSpan::as_seconds);
        app.minimum_app_version =
            self.minimum_app_version.as_ref().map(|version| version.as_str().to_owned());
        app.minimum_version_code = self.minimum_version_code;
        if let Some(labels) = &self.labels {
            app.exported_labels = labels.iter().map(|label| label.0).collect();
        }
        app.apple = self.apple.iter().map(|own| AppleApp::new(&own.team_id, &own.bundle_id)).collect();
        app.android = self.android.iter().map(AndroidIdentity::to_app).collect();
        self.on_apple.write(&mut app);
        self.on_android.write(&mut app);
        self.environment.write(&mut app);
        // An app's own word goes before a platform's, so it is written for each of them.
        for platform in [None, Some(Platform::Apple), Some(Platform::Android)] {
            self.constraints.write(&mut app.enforcements, platform);
        }
        self.on_apple.constraints.write(&mut app.enforcements, Some(Platform::Apple));
        self.on_android.constraints.write(&mut app.enforcements, Some(Platform::Android));
        app.cohorts = self.cohorts.iter().map(CohortSection::to_cohort).collect();
        app
    }

    /// Every table of constraints in it, each with its pointer.
    pub(super) fn tables(&self, pointer: &str) -> Vec<(String, &ConstraintTable)> {
        let mut tables = vec![
            (format!("{pointer}/constraints"), &self.constraints),
            (format!("{pointer}/on_apple/constraints"), &self.on_apple.constraints),
            (format!("{pointer}/on_android/constraints"), &self.on_android.constraints),
        ];
        for (index, cohort) in self.cohorts.iter().enumerate() {
            let pointer = format!("{pointer}/cohort/{index}");
            tables.push((format!("{pointer}/constraints"), &cohort.constraints));
            tables.push((format!("{pointer}/on_apple/constraints"), &cohort.on_apple.constraints));
            tables.push((format!("{pointer}/on_android/constraints"), &cohort.on_android.constraints));
        }
        tables
    }

    pub(super) fn check(&self, pointer: &str, problems: &mut Problems) {
        self.check_identities(pointer, problems);
        self.check_cohorts(pointer, problems);
        self.on_android.check(&format!("{pointer}/on_android"), problems);
        let outside = |life: TimeSpan| !(MIN_RESULT_LIFETIME..=MAX_LIFETIME).contains(&life.as_seconds());
        if self.result_lifetime.is_some_and(outside) {
            let message = "results live from 60s to 10m; write a time between them";
            problems.at(&format!("{pointer}/result_lifetime"), message);
        }
    }

    fn check_identities(&self, pointer: &str, problems: &mut Problems) {
        // Development keys alone may vouch for an app in development.
        if self.mode == Mode::Development {
            return;
        }
        if self.apple.is_empty() && self.android.is_empty() {
            let message = "this app has no identity, so nothing could prove it; add `apple` or `android`";
            problems.at(pointer, message);
            return;
        }
        let idle = "this app has no identity on that platform, so this says nothing; add one, or remove this";
        if self.apple.is_empty() && !is_default(&self.on_apple) {
            problems.at(&format!("{pointer}/on_apple"), idle);
        }
        if self.android.is_empty() && !is_default(&self.on_android) {
            problems.at(&format!("{pointer}/on_android"), idle);
        }
        if self.android.is_empty() && self.minimum_version_code.is_some() {
            problems.at(&format!("{pointer}/minimum_version_code"), idle);
        }
    }

    fn check_cohorts(&self, pointer: &str, problems: &mut Problems) {
        if self.observe && !self.cohorts.is_empty() {
            let message =
                "while the app is observed nobody is refused, so cohorts say nothing; remove one of the two";
            problems.at(&format!("{pointer}/observe"), message);
        }
        let mut names = BTreeSet::new();
        for (index, cohort) in self.cohorts.iter().enumerate() {
            let pointer = format!("{pointer}/cohort/{index}");
            if !names.insert(&cohort.name) {
                let message = "this cohort's name stands twice, so both draw the same instances; rename one";
                problems.at(&format!("{pointer}/name"), message);
            }
            if cohort.to_cohort().enforcements.iter().next().is_none() {
                problems.at(&pointer, "this cohort changes nothing; add `constraints`, or remove it");
            }
        }
    }
}

impl CohortSection {
    fn to_cohort(&self) -> Cohort {
        let mut enforcements = Enforcements::default();
        for platform in [None, Some(Platform::Apple), Some(Platform::Android)] {
            self.constraints.write(&mut enforcements, platform);
        }
        self.on_apple.constraints.write(&mut enforcements, Some(Platform::Apple));
        self.on_android.constraints.write(&mut enforcements, Some(Platform::Android));
        Cohort { name: self.name.clone(), percentage: self.percentage, enforcements }
    }
}

impl AndroidIdentity {
    fn to_app(&self) -> AndroidApp {
        AndroidApp {
            package: self.package.clone(),
            signing_digests: self.signing_digests.iter().map(|digest| digest.0).collect(),
        }
    }
}

/// Whether a section says nothing.
fn is_default<T: Default + Serialize>(section: &T) -> bool {
    serde_json::to_value(section).ok() == serde_json::to_value(T::default()).ok()
}
