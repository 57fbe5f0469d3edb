//! What a policy asks of one platform's devices, for every app or for one.

use countersign_core::token::result::Protection;
use countersign_verifier::evidence::app_attest::ValidationCategory;
use countersign_verifier::policy::AppPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::constraint_table::ConstraintTable;
use super::play_integrity::PlayIntegritySection;
use super::values::{MinimumPatch, Version};
use crate::document::Problems;
use crate::settings::TimeSpan;

/// Least age that patch levels may be limited to, in days: they come once a month.
const LEAST_PATCH_AGE: u64 = 45;

/// Greatest age that a status list may be allowed, in seconds: whoever bought a leaked key since passes.
const GREATEST_REVOCATION_AGE: u64 = 30 * 86_400;

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
    /// Greatest accepted age of the status list that certificates are looked up in, at most 30d. Default: 7d.
    pub maximum_revocation_age: Option<TimeSpan>,
    /// Least protection of the key. Default: tee.
    pub minimum_protection: Option<MinimumProtection>,
    /// Systems beside the vendors' that are accepted where the boot loader is locked, by their names in the list of
    /// verified boot keys, such as "GrapheneOS". Default: none.
    #[schemars(extend("uniqueItems" = true), inner(length(min = 1, max = 64)))]
    pub boot_keys: Option<Vec<String>>,
    /// Most certificates that the provisioning server may have issued to the device in 30 days. Phones that nobody
    /// suspects are seen with 8 to 128. Default: any.
    pub maximum_certificates_issued: Option<u64>,
    /// Most instances whose latest evidence may come from the same attestation key.
    pub maximum_instances_per_certificate: MaximumInstances,
    /// What is asked of Google Play's verdict.
    pub play_integrity: PlayIntegritySection,
    /// Enforcement on Android devices.
    pub constraints: ConstraintTable,
}

/// Most instances per attestation key, by how the key came onto the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MaximumInstances {
    /// Of keys that were provisioned remotely, or of which the chain does not say. Default: 10.
    #[schemars(range(min = 1))]
    pub remote: Option<u32>,
    /// Of keys from the factory, each of which 100,000 phones and more share. Default: any.
    #[schemars(range(min = 1))]
    pub factory: Option<u32>,
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
        self.play_integrity.write(&mut app.play_integrity);
        if let Some(MinimumPatch(level)) = self.minimum_os_patch {
            app.minimum_os_patch = Some(level);
        }
        if let Some(age) = self.maximum_os_patch_age {
            app.maximum_os_patch_age = Some(age.as_seconds() / 86_400);
        }
        if let Some(age) = self.maximum_revocation_age {
            app.maximum_revocation_age = age.as_seconds();
        }
        if let Some(protection) = self.minimum_protection {
            app.minimum_protection = match protection {
                MinimumProtection::Tee => Protection::Tee,
                MinimumProtection::Strongbox => Protection::Strongbox,
            };
        }
        if let Some(systems) = &self.boot_keys {
            app.boot_keys.clone_from(systems);
        }
        app.maximum_certificates_issued =
            self.maximum_certificates_issued.or(app.maximum_certificates_issued);
        let (own, most) =
            (self.maximum_instances_per_certificate, &mut app.maximum_instances_per_certificate);
        most.remote = own.remote.or(most.remote);
        most.factory = own.factory.or(most.factory);
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
        if self.maximum_revocation_age.is_some_and(|age| age.as_seconds() > GREATEST_REVOCATION_AGE) {
            let message =
                "a status list of more than 30d ago says little of today; write less, such as \"7d\"";
            problems.at(&format!("{pointer}/maximum_revocation_age"), message);
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
