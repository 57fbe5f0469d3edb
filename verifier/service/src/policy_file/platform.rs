//! What a policy asks of one platform's devices, for every app or for one.

use countersign_core::token::result::Protection;
use countersign_verifier::evidence::app_attest::ValidationCategory;
use countersign_verifier::policy::AppPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::constraint_table::ConstraintTable;
use super::values::{MinimumPatch, Version};
use crate::document::Problems;
use crate::settings::TimeSpan;

/// Least age that patch levels may be limited to, in days: they come once a month.
const LEAST_PATCH_AGE: u64 = 45;

/// What is asked of Apple's devices.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AppleSection {
    /// Oldest accepted version of the system, such as "26.1". Default: any.
    pub minimum_os_version: Option<Version>,
    /// Where the app may come from, as far as the system tells (iOS 27 on). Default: App Store and TestFlight.
    pub validation_categories: Option<Vec<Category>>,
    /// Most keys that Apple may have counted on the device in 30 days. Default: any.
    pub maximum_risk_metric: Option<u64>,
    /// Enforcement on Apple's devices.
    pub constraints: ConstraintTable,
}

/// What is asked of Android devices.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AndroidSection {
    /// Oldest accepted version of Android, such as "14". Default: any.
    pub minimum_os_version: Option<Version>,
    /// Oldest accepted patch level of the system. Default: any.
    pub minimum_os_patch: Option<MinimumPatch>,
    /// Greatest accepted age of the system's patch level, in days such as "180d"; at least 45d. Default: any.
    pub maximum_os_patch_age: Option<TimeSpan>,
    /// Least protection of the key. Default: tee.
    pub minimum_protection: Option<MinimumProtection>,
    /// Oldest accepted status list of attestation certificates; at least 1h. Default: 7d.
    pub maximum_revocation_age: Option<TimeSpan>,
    /// Systems of others than the vendors that are accepted with a locked boot loader, by their name in the trust
    /// bundle, such as "GrapheneOS". Default: none.
    pub boot_keys: Option<Vec<String>>,
    /// Enforcement on Android devices.
    pub constraints: ConstraintTable,
}

/// Least protection of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MinimumProtection {
    /// A trusted execution environment.
    Tee,
    /// A StrongBox.
    Strongbox,
}

/// Apple's validation categories, as far as they are documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// 1: part of the operating system.
    OperatingSystem,
    /// 2: from TestFlight.
    TestFlight,
    /// 3: signed for development.
    Development,
    /// 4: from the App Store.
    AppStore,
    /// 5: enterprise or ad hoc distribution.
    EnterpriseOrAdHoc,
    /// 6: signed with a Developer ID (macOS).
    DeveloperId,
    /// 10: anything else.
    Other,
}

impl AppleSection {
    /// Writes what is asked here, constraints aside; what is left out stays as it is.
    pub(super) fn write(&self, app: &mut AppPolicy) {
        if let Some(version) = &self.minimum_os_version {
            app.minimum_apple_version = Some(version.as_str().to_owned());
        }
        if let Some(categories) = &self.validation_categories {
            app.validation_categories = categories.iter().map(|category| category.to_category()).collect();
        }
        app.maximum_risk_metric = self.maximum_risk_metric.or(app.maximum_risk_metric);
    }
}

impl AndroidSection {
    /// Writes what is asked here, constraints aside; what is left out stays as it is.
    pub(super) fn write(&self, app: &mut AppPolicy) {
        if let Some(version) = &self.minimum_os_version {
            app.minimum_android_version = version.to_android();
        }
        if let Some(MinimumPatch(level)) = self.minimum_os_patch {
            app.minimum_os_patch = Some(level);
        }
        if let Some(age) = self.maximum_os_patch_age {
            app.maximum_os_patch_age = Some(age.as_seconds() / 86_400);
        }
        if let Some(age) = self.maximum_revocation_age {
            app.maximum_revocation_age = age.as_seconds();
        }
        if let Some(systems) = &self.boot_keys {
            app.boot_keys.clone_from(systems);
        }
        if let Some(protection) = self.minimum_protection {
            app.minimum_protection = match protection {
                MinimumProtection::Tee => Protection::Tee,
                MinimumProtection::Strongbox => Protection::Strongbox,
            };
        }
    }

    pub(super) fn check(&self, pointer: &str, problems: &mut Problems) {
        if self.maximum_revocation_age.is_some_and(|age| age.as_seconds() < 3600) {
            let message = "no status list could be that fresh; write at least 1h, such as \"3d\"";
            problems.at(&format!("{pointer}/maximum_revocation_age"), message);
        }
        if self.minimum_os_version.as_ref().is_some_and(|version| version.to_android().is_none()) {
            let message = "Android has no such version; write one such as \"14\" or \"8.1\"";
            problems.at(&format!("{pointer}/minimum_os_version"), message);
        }
        if self.maximum_os_patch_age.is_some_and(|age| age.as_seconds() < LEAST_PATCH_AGE * 86_400) {
            let message = format!(
                "patch levels come once a month, so less than {LEAST_PATCH_AGE}d would refuse devices that are up to \
                 date; write more, such as \"180d\""
            );
            problems.at(&format!("{pointer}/maximum_os_patch_age"), message);
        }
    }
}

impl Category {
    const fn to_category(self) -> ValidationCategory {
        ValidationCategory(match self {
            Self::OperatingSystem => 1,
            Self::TestFlight => 2,
            Self::Development => 3,
            Self::AppStore => 4,
            Self::EnterpriseOrAdHoc => 5,
            Self::DeveloperId => 6,
            Self::Other => 10,
        })
    }
}
