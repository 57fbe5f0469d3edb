//! An app: its identities on the platforms, and what is asked of its devices.

use countersign_core::environment::Environment;
use countersign_core::token::result::Protection;

use super::cohort::Cohort;
use super::constraint::{Constraint, Enforcement, Enforcements};
use super::play_integrity::PlayIntegrityRules;
use crate::crypto::sha256;
use crate::evidence::Platform;
use crate::evidence::android_key::PatchLevel;
use crate::evidence::app_attest::ValidationCategory;

/// Oldest status list that is accepted unless a policy says otherwise, in seconds: 7 days.
pub const MAXIMUM_REVOCATION_AGE: u64 = 7 * 86_400;

/// Whether an app is meant for users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppMode {
    /// For users: platform evidence only.
    #[default]
    Production,
    /// For developers: registered development keys vouch too.
    Development,
}

/// Most instances per attestation key, by how the key was provisioned; None: any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstancesPerCertificate {
    /// Keys provisioned remotely, and those of which the chain does not say. Such a key belongs to one app on one device
    /// for some days: more than a few instances are reinstallations, or many devices behind one key.
    pub remote: Option<u32>,
    /// Keys burnt in at the factory. Each is shared by 100,000 phones and more, so that none by default: a number can be
    /// set by who knows how many phones the app is on.
    pub factory: Option<u32>,
}

impl Default for InstancesPerCertificate {
    fn default() -> Self {
        Self { remote: Some(10), factory: None }
    }
}

/// What is asked of one app's devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPolicy {
    /// The OAuth client identifier.
    pub client_id: String,
    /// Whether it is meant for users.
    pub mode: AppMode,
    /// Its identities on Apple's platforms; any of them will do.
    pub apple: Vec<AppleApp>,
    /// Its identities on Android; any of them will do.
    pub android: Vec<AndroidApp>,
    /// Enforcement where it differs from the defaults.
    pub enforcements: Enforcements,
    /// Least protection of an Android key: TEE or StrongBox.
    pub minimum_protection: Protection,
    /// Oldest patch level of Android; None: any.
    pub minimum_os_patch: Option<PatchLevel>,
    /// Greatest age of Android's patch level in days; None: any.
    pub maximum_os_patch_age: Option<u64>,
    /// Names of the systems beside the vendors' that are accepted where the boot loader is locked, as the list of
    /// [`BootKeys`](crate::boot_keys::BootKeys) names them: `GrapheneOS`.
    pub boot_keys: Vec<String>,
    /// Most certificates that the provisioning server may have issued to the device in 30 days; None: any number.
    pub maximum_certificates_issued: Option<u64>,
    /// Most instances that may be attested with the same attestation key.
    pub maximum_instances_per_certificate: InstancesPerCertificate,
    /// Accepted sources of the app on Apple's platforms, where the system tells.
    pub validation_categories: Vec<ValidationCategory>,
    /// Most keys that Apple may have counted on the device in 30 days, as its receipts say; None: any.
    pub maximum_risk_metric: Option<u64>,
    /// Oldest version of Android, 160000 for 16; None: any.
    pub minimum_android_version: Option<u64>,
    /// Oldest version of iOS or macOS, such as `17.4`; None: any.
    pub minimum_apple_version: Option<String>,
    /// Oldest version of the app as people write it, such as `2.10`; None: any.
    pub minimum_app_version: Option<String>,
    /// Oldest version code of the app on Android; None: any.
    pub minimum_version_code: Option<u64>,
    /// Environment signals that the constraint `environment-refused` looks for.
    pub refused_signals: Environment,
    /// Environment signals that the constraint `environment-warned` looks for.
    pub warned_signals: Environment,
    /// Nobody is refused for what the constraints find: what would be refused passes at tier warning.
    pub observe: bool,
    /// Parts of the app's instances for which some constraints are enforced otherwise.
    pub cohorts: Vec<Cohort>,
    /// Constraints whose failure edges are told, as labels in the result.
    pub exported_labels: Vec<Constraint>,
    /// What is asked of Google Play's verdict.
    pub play_integrity: PlayIntegrityRules,
    /// Life of the app's results in seconds, where it is shorter than the service's.
    pub result_lifetime: Option<u64>,
    /// Oldest status list of Android attestation certificates, in seconds.
    pub maximum_revocation_age: u64,
}

impl AppPolicy {
    /// An app without identities and with the defaults: no evidence names it, so all is refused.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            mode: AppMode::default(),
            apple: Vec::new(),
            android: Vec::new(),
            enforcements: Enforcements::default(),
            minimum_protection: Protection::Tee,
            minimum_os_patch: None,
            maximum_os_patch_age: None,
            boot_keys: Vec::new(),
            maximum_certificates_issued: None,
            maximum_instances_per_certificate: InstancesPerCertificate::default(),
            validation_categories: vec![ValidationCategory::APP_STORE, ValidationCategory::TEST_FLIGHT],
            maximum_risk_metric: None,
            minimum_android_version: None,
            minimum_apple_version: None,
            minimum_app_version: None,
            minimum_version_code: None,
            refused_signals: Environment::default(),
            warned_signals: Environment::default(),
            observe: false,
            cohorts: Vec::new(),
            exported_labels: Vec::new(),
            play_integrity: PlayIntegrityRules::default(),
            result_lifetime: None,
            maximum_revocation_age: MAXIMUM_REVOCATION_AGE,
        }
    }
}

impl AppPolicy {
    /// How a constraint is enforced for an instance: the first of its cohorts that says so, else as for all, else as
    /// `default`.
    pub(super) fn enforcement(
        &self,
        constraint: Constraint,
        platform: Platform,
        cohort_key: Option<&[u8; 32]>,
        default: Enforcement,
    ) -> Enforcement {
        let cohorts = self.cohorts.iter().filter(|cohort| cohort_key.is_some_and(|key| cohort.contains(key)));
        let own = cohorts.filter_map(|cohort| cohort.enforcements.stated(constraint, platform)).next();
        own.or_else(|| self.enforcements.stated(constraint, platform)).unwrap_or(default)
    }
}

/// An identity on Apple's platforms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppleApp {
    app_id: String,
    rp_id_hash: [u8; 32],
}

impl AppleApp {
    /// From team identifier (or App ID prefix) and bundle identifier.
    pub fn new(team_id: &str, bundle_id: &str) -> Self {
        Self::from_app_id(format!("{team_id}.{bundle_id}"))
    }

    /// From an App ID, `<team>.<bundle>`.
    pub fn from_app_id(app_id: impl Into<String>) -> Self {
        let app_id = app_id.into();
        Self { rp_id_hash: sha256(app_id.as_bytes()), app_id }
    }

    /// The App ID.
    pub fn app_id(&self) -> &str {
        &self.app_id
    }

    /// SHA-256 of the App ID.
    pub const fn rp_id_hash(&self) -> &[u8; 32] {
        &self.rp_id_hash
    }
}

/// An identity on Android.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AndroidApp {
    /// The package name.
    pub package: String,
    /// SHA-256 of every certificate that may sign it, 32 bytes each; several while keys are rotated.
    pub signing_digests: Vec<[u8; 32]>,
}
