//! The appraisal policy as people write it: a TOML file with a JSON schema, turned into an [`AppraisalPolicy`].

mod constraint_table;
mod danger;
#[cfg(test)]
mod documentation;
mod values;

use std::collections::BTreeSet;
use std::path::Path;

use countersign_core::token::result::Protection;
use countersign_verifier::evidence::Platform;
use countersign_verifier::evidence::app_attest::ValidationCategory;
use countersign_verifier::policy::{AndroidApp, AppMode, AppPolicy, AppleApp, AppraisalPolicy, Constraint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use constraint_table::{ConstraintTable, EnforcementName};
pub use danger::{DangerSection, DeviceConstraint, Environment};
pub use values::{MinimumPatch, Sha256Hex};

use crate::document::{self, Document, Problems, directory_of};

/// The policy file.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Countersign appraisal policy")]
pub struct PolicyFile {
    /// Name and version of the policy, such as "shop/7"; it stands in every result.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// Enforcement for all apps on all platforms, where it differs from the defaults.
    #[serde(default)]
    pub constraints: ConstraintTable,
    /// What is asked of every app's iPhones and Macs.
    #[serde(default)]
    pub apple: AppleSection,
    /// What is asked of every app's Android devices.
    #[serde(default)]
    pub android: AndroidSection,
    /// The apps.
    #[serde(default, rename = "app")]
    pub apps: Vec<AppSection>,
    /// Everything that is accepted although it should not be.
    #[serde(default)]
    pub danger: DangerSection,
}

/// What is asked of Apple's devices.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AppleSection {
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
    /// Oldest accepted patch level of the system. Default: any.
    pub minimum_os_patch: Option<MinimumPatch>,
    /// Least protection of the key. Default: tee.
    pub minimum_protection: Option<MinimumProtection>,
    /// Enforcement on Android devices.
    pub constraints: ConstraintTable,
}

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
    /// The app on Apple's platforms; any of these.
    #[serde(default)]
    pub apple: Vec<AppleIdentity>,
    /// The app on Android; any of these.
    #[serde(default)]
    pub android: Vec<AndroidIdentity>,
    /// Oldest accepted patch level of Android, instead of the one for every app.
    #[serde(default)]
    pub minimum_os_patch: Option<MinimumPatch>,
    /// Least protection of an Android key, instead of the one for every app.
    #[serde(default)]
    pub minimum_protection: Option<MinimumProtection>,
    /// Where the app may come from on Apple's platforms, instead of what holds for every app.
    #[serde(default)]
    pub validation_categories: Option<Vec<Category>>,
    /// Most keys that Apple may have counted on the device, instead of what holds for every app.
    #[serde(default)]
    pub maximum_risk_metric: Option<u64>,
    /// Enforcement for this app, over all else.
    #[serde(default)]
    pub constraints: ConstraintTable,
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
        for (index, app) in self.apps.iter().enumerate() {
            if !known.insert(&app.client_id) {
                let message = "this client_id stands twice; merge the two apps or rename one";
                problems.at(&format!("/app/{index}/client_id"), message);
            }
            if app.apple.is_empty() && app.android.is_empty() && app.mode == Mode::Production {
                let message = "this app has no identity, so nothing could prove it; add `apple` or `android`";
                problems.at(&format!("/app/{index}"), message);
            }
        }
        self.check_device_constraints(problems);
        self.danger.check_roots(problems);
    }
}

impl PolicyFile {
    /// What guards the device is enforced less than by default only if `danger` says so.
    fn check_device_constraints(&self, problems: &mut Problems) {
        let lax: Vec<Constraint> =
            self.danger.weak_devices.iter().map(|constraint| constraint.to_constraint()).collect();
        let for_all = [
            ("/constraints".to_owned(), &self.constraints),
            ("/apple/constraints".to_owned(), &self.apple.constraints),
            ("/android/constraints".to_owned(), &self.android.constraints),
        ];
        let apps = self.apps.iter().enumerate();
        let own = apps.map(|(index, app)| (format!("/app/{index}/constraints"), &app.constraints));
        for (pointer, table) in for_all.into_iter().chain(own) {
            let weakened = table.weakened().filter(|constraint| constraint.guards_the_device());
            for label in weakened.filter(|constraint| !lax.contains(constraint)).map(Constraint::label) {
                let message = format!(
                    "with less than \"require\" for `{label}`, devices pass whose own word is worth nothing; if that \
                     is meant, write `weak_devices = [\"{label}\"]` in [danger]"
                );
                problems.at(&format!("{pointer}/{label}"), message);
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
        let (android, apple) = (&self.android, &self.apple);
        ask(
            &mut template,
            android.minimum_os_patch,
            android.minimum_protection,
            &apple.validation_categories,
        );
        template.maximum_risk_metric = apple.maximum_risk_metric;
        template
    }
}

impl AppSection {
    fn to_app(&self, mut app: AppPolicy) -> AppPolicy {
        app.mode = match self.mode {
            Mode::Production => AppMode::Production,
            Mode::Development => AppMode::Development,
        };
        app.apple = self.apple.iter().map(|own| AppleApp::new(&own.team_id, &own.bundle_id)).collect();
        app.android = self.android.iter().map(AndroidIdentity::to_app).collect();
        // An app's own word goes before a platform's, so it is written for each of them.
        for platform in [None, Some(Platform::Apple), Some(Platform::Android)] {
            self.constraints.write(&mut app.enforcements, platform);
        }
        ask(&mut app, self.minimum_os_patch, self.minimum_protection, &self.validation_categories);
        app.maximum_risk_metric = self.maximum_risk_metric.or(app.maximum_risk_metric);
        app
    }
}

/// Writes what a section asks for; what it leaves out stays as it is.
fn ask(
    app: &mut AppPolicy,
    minimum_os_patch: Option<MinimumPatch>,
    minimum_protection: Option<MinimumProtection>,
    categories: &Option<Vec<Category>>,
) {
    if let Some(MinimumPatch(level)) = minimum_os_patch {
        app.minimum_os_patch = Some(level);
    }
    if let Some(protection) = minimum_protection {
        app.minimum_protection = match protection {
            MinimumProtection::Tee => Protection::Tee,
            MinimumProtection::Strongbox => Protection::Strongbox,
        };
    }
    if let Some(categories) = categories {
        app.validation_categories = categories.iter().map(|category| category.to_category()).collect();
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

#[cfg(test)]
mod tests {
    use std::fs;

    use countersign_verifier::evidence::app_attest::AppAttestEnvironment;
    use countersign_verifier::policy::Enforcement;

    use super::*;

    const DIGEST: &str = "A5cca721bb3ddb2a3c5567e0011ba62efd6210d8fe0e8057e375c8e19ab98939";

    fn policy(text: &str) -> Result<AppraisalPolicy, String> {
        document::parse("policy.toml", text)
            .map(|policy: PolicyFile| policy.into_policy(Path::new(".")))
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_policy_is_read_with_its_overrides() {
        let policy = policy(&format!(
            "id = 'shop/7'\n\
             [constraints]\nenvironment = 'warn'\n\
             [android]\nminimum_os_patch = '2025-01'\nminimum_protection = 'strongbox'\n\
             [android.constraints]\nremote-provisioning = 'require'\nboot-state = 'warn'\n\
             [apple]\nvalidation_categories = ['app-store']\nmaximum_risk_metric = 20\n\
             [[app]]\nclient_id = 'shop'\n\
             apple = [{{ team_id = 'TEAM', bundle_id = 'com.example' }}]\n\
             android = [{{ package = 'com.example', signing_digests = ['{DIGEST}'] }}]\n\
             [app.constraints]\nboot-state = 'require'\n\
             [[app]]\nclient_id = 'lab'\nmode = 'development'\nminimum_os_patch = '2020-01'\nmaximum_risk_metric = 90\n\
             [danger]\napp_attest_environments = ['development']\nweak_devices = ['boot-state']\n"
        ))
        .unwrap();
        let shop = policy.app("shop").unwrap();
        assert_eq!(shop.apple, [AppleApp::from_app_id("TEAM.com.example")]);
        assert_eq!(shop.android[0].signing_digests[0][..2], [0xa5, 0xcc]);
        assert_eq!(shop.minimum_os_patch, "2025-01".parse().ok());
        assert_eq!(shop.minimum_protection, Protection::Strongbox);
        assert_eq!(shop.validation_categories, [ValidationCategory::APP_STORE]);
        let of = |constraint| shop.enforcements.of(constraint, Platform::Android);
        assert_eq!(of(Constraint::Environment), Enforcement::Warn);
        assert_eq!(of(Constraint::RemoteProvisioning), Enforcement::Require);
        assert_eq!(of(Constraint::BootState), Enforcement::Require);
        assert_eq!(shop.maximum_risk_metric, Some(20));
        let lab = policy.app("lab").unwrap();
        assert_eq!(lab.maximum_risk_metric, Some(90));
        assert_eq!(lab.mode, AppMode::Development);
        assert_eq!(lab.minimum_os_patch, "2020-01".parse().ok());
        assert_eq!(lab.enforcements.of(Constraint::BootState, Platform::Android), Enforcement::Warn);
        assert_eq!(policy.danger().app_attest_environments, [AppAttestEnvironment::Development]);
    }

    #[test]
    fn a_misspelt_safeguard_is_a_problem_and_not_a_default() {
        let found =
            policy("id = 'x'\n[constraints]\nboot-sate = 'require'\n[danger]\nroots = []\n").unwrap_err();
        assert!(found.contains("policy.toml:3: `boot-sate` is not known here"), "{found}");
        assert!(found.contains("policy.toml:5: `roots` is not known here"), "{found}");
    }

    #[test]
    fn what_is_not_negotiable_is_not_in_the_table() {
        for label in ["client", "app-identity", "development-mode", "platform-evidence"] {
            let found = policy(&format!("id = 'x'\n[constraints]\n{label} = 'ignore'\n")).unwrap_err();
            assert!(found.contains(&format!("policy.toml:3: `{label}` is not negotiable")), "{found}");
        }
    }

    #[test]
    fn weak_devices_pass_only_where_danger_names_the_constraint() {
        for label in ["boot-state", "device-locked", "security-level"] {
            for table in ["constraints", "android.constraints", "apple.constraints"] {
                let text = |value: &str, weak: &str| {
                    format!("id = 'x'\n[{table}]\n{label} = '{value}'\n[danger]\nweak_devices = [{weak}]\n")
                };
                for value in ["warn", "ignore"] {
                    let found = policy(&text(value, "")).unwrap_err();
                    assert!(found.starts_with("policy.toml:3: "), "{found}");
                    assert!(found.contains(&format!("`weak_devices = [\"{label}\"]`")), "{found}");
                    assert!(policy(&text(value, &format!("'{label}'"))).is_ok());
                }
                assert!(policy(&text("require", "")).is_ok());
            }
        }
        let own = "id = 'x'\n[[app]]\nclient_id = 'a'\nmode = 'development'\n\
                   [app.constraints]\ndevice-locked = 'warn'\n[danger]\nweak_devices = ['boot-state']\n";
        assert!(policy(own).unwrap_err().starts_with("policy.toml:6: "));
        let other = policy("id = 'x'\n[danger]\nweak_devices = ['app-identity']\n").unwrap_err();
        assert!(other.contains("policy.toml:3: "), "{other}");
    }

    #[test]
    fn every_wrong_value_is_named_with_its_line() {
        let found = policy(
            "id = 'x'\n[android]\nminimum_os_patch = '2025'\n[constraints]\nboot-state = 'maybe'\n\
             [[app]]\nclient_id = 'a'\nandroid = [{ package = 'p', signing_digests = ['00'] }]\n\
             [[app]]\nclient_id = 'a'\n",
        )
        .unwrap_err();
        for line in [3, 5, 8, 10] {
            assert!(found.contains(&format!("policy.toml:{line}: ")), "{line}: {found}");
        }
    }

    #[test]
    fn a_root_that_cannot_be_used_is_a_problem() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("policy.toml");
        fs::write(directory.path().join("root.pem"), "no certificate").unwrap();
        fs::write(&file, "id = 'x'\n[danger]\nandroid_key_roots = ['root.pem', 'absent.pem']\n").unwrap();
        let found = load(&file).unwrap_err().to_string();
        assert!(found.contains("root.pem holds no root certificate"), "{found}");
        assert!(found.contains("absent.pem cannot be read"), "{found}");
    }
}
