//! The constraints by label, and how each is enforced.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::evidence::Platform;

/// What happens when a constraint does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enforcement {
    /// Nothing; the outcome is recorded.
    Ignore,
    /// The tier falls to warning.
    Warn,
    /// The evidence is refused.
    Require,
}

impl Enforcement {
    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::Warn => "warn",
            Self::Ignore => "ignore",
        }
    }

    /// The enforcement of this name: `require`, `warn` or `ignore`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "require" => Some(Self::Require),
            "warn" => Some(Self::Warn),
            "ignore" => Some(Self::Ignore),
            _ => None,
        }
    }
}

/// A list of [`Danger`](super::Danger) that names constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptOut {
    /// [`Danger::weak_devices`](super::Danger::weak_devices): without these a device's own word is worth nothing.
    WeakDevices,
    /// [`Danger::weak_keys`](super::Danger::weak_keys): without these somebody else may hold the key or its vouchers.
    WeakKeys,
}

macro_rules! constraints {
    ($($(#[$doc:meta])* $variant:ident $label:literal $default:ident,)*) => {
        /// One thing that a policy looks at. Labels are stable: policies, metrics and audit records name them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Constraint {
            $($(#[$doc])* $variant,)*
        }

        impl Constraint {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The label.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)*
                }
            }

            /// How it is enforced unless the policy says otherwise.
            pub const fn default_enforcement(self) -> Enforcement {
                match self {
                    $(Self::$variant => Enforcement::$default,)*
                }
            }
        }
    };
}

constraints! {
    /// An app is registered under the client identifier. Not negotiable.
    Client "client" Require,
    /// The evidence names one of the app's identities: App ID, or package and every signing digest. Not negotiable.
    AppIdentity "app-identity" Require,
    /// The key was attested in App Attest's production environment.
    Environment "environment" Require,
    /// The app came from an accepted source, where the system tells (iOS 27 on).
    ValidationCategory "validation-category" Require,
    /// The system tells where the app came from (iOS 27 on).
    ValidationCategoryPresent "validation-category-present" Ignore,
    /// The attestation came with a receipt for the same key, signed by Apple.
    Receipt "receipt" Warn,
    /// Apple counts no more attested keys on the device than the app's maximum, if it has one.
    RiskMetric "risk-metric" Warn,
    /// Attestation and key are in hardware of the same level, at least the app's minimum.
    SecurityLevel "security-level" Require,
    /// A claim of StrongBox is backed by the chain.
    StrongboxInChain "strongbox-in-chain" Warn,
    /// Secure hardware reports that the vendor's system was booted.
    BootState "boot-state" Require,
    /// Secure hardware reports a locked boot loader.
    DeviceLocked "device-locked" Require,
    /// The system's patch level is at least the app's minimum, if it has one.
    OsPatchLevel "os-patch-level" Require,
    /// The system's patch level is not older than the app's maximum age, if it has one.
    OsPatchAge "os-patch-age" Require,
    /// The key was generated inside secure hardware.
    KeyOrigin "key-origin" Require,
    /// The key may sign, and nothing else but verify.
    KeyPurpose "key-purpose" Require,
    /// The key is an elliptic-curve key.
    KeyAlgorithm "key-algorithm" Require,
    /// Its curve is P-256.
    KeyCurve "key-curve" Require,
    /// It signs with SHA-256.
    KeyDigest "key-digest" Require,
    /// The key belongs to one app.
    ApplicationBound "application-bound" Require,
    /// No tag in the key description that this version does not know.
    KnownTags "known-tags" Warn,
    /// The attestation key was provisioned remotely, not at the factory.
    RemoteProvisioning "remote-provisioning" Ignore,
    /// The provisioning server did not issue more certificates to the device than the app's maximum, if it has one.
    CertificatesIssued "certificates-issued" Warn,
    /// No more instances than the app's maximum were attested with the same attestation key.
    AttestationKeySharing "attestation-key-sharing" Warn,
    /// No departure from the standards had to be tolerated.
    Leniencies "leniencies" Ignore,
    /// The certificates were looked up in a status list.
    RevocationChecked "revocation-checked" Warn,
    /// The status list is not older than the app accepts.
    RevocationFresh "revocation-fresh" Require,
    /// The app is at least the app's minimum version, if it has one.
    AppVersion "app-version" Require,
    /// The system is at least the app's minimum version for the platform, if it has one.
    OsVersion "os-version" Require,
    /// The system's version is not lower than it was seen for this instance.
    OsVersionContinuity "os-version-continuity" Require,
    /// No patch level is lower than it was seen for this instance.
    PatchLevelContinuity "patch-level-continuity" Require,
    /// The app's version is not lower than it was seen for this instance.
    AppVersionContinuity "app-version-continuity" Require,
    /// The key that signed the system is the one that was seen for this instance.
    BootKeyContinuity "boot-key-continuity" Require,
    /// The device reports none of the environment signals that the policy refuses.
    EnvironmentRefused "environment-refused" Require,
    /// The device reports none of the environment signals that the policy warns of.
    EnvironmentWarned "environment-warned" Warn,
    /// Google Play gave its verdict on a device whose key hardware vouches for.
    PlayIntegrityPresent "play-integrity-present" Ignore,
    /// Package and signers, as far as Google Play states them, are the app's. Not negotiable.
    PlayAppIdentity "play-app-identity" Require,
    /// Google Play recognises the app as what it distributes. Required where Google Play vouches alone.
    PlayAppRecognised "play-app-recognised" Warn,
    /// Google vouches for at least the app's minimum of device integrity. Required, whatever a policy says, where Google
    /// Play vouches alone.
    PlayDeviceIntegrity "play-device-integrity" Warn,
    /// The user got the app from Google Play.
    PlayLicensed "play-licensed" Warn,
    /// Play Protect is on and found nothing, where the verdict has it.
    PlayProtect "play-protect" Warn,
    /// No unknown app can capture, control or overlay, where the verdict has it.
    PlayAppAccessRisk "play-app-access-risk" Warn,
    /// The device asks for no more tokens than is usual, where the verdict has it.
    PlayRecentActivity "play-recent-activity" Warn,
    /// Hardware vouches for the key, not Google Play alone.
    KeyAttestationPresent "key-attestation-present" Warn,
    /// Development keys vouch for apps in development only. Not negotiable.
    DevelopmentMode "development-mode" Require,
    /// A platform vouches for the device, not a developer. Not negotiable.
    PlatformEvidence "platform-evidence" Warn,
}

impl Constraint {
    /// The constraint with this label.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|constraint| constraint.label() == label)
    }

    /// Whether a policy can change its enforcement.
    pub const fn is_negotiable(self) -> bool {
        !matches!(
            self,
            Self::Client
                | Self::AppIdentity
                | Self::PlayAppIdentity
                | Self::DevelopmentMode
                | Self::PlatformEvidence
        )
    }

    /// Whether it is about a verdict of Google Play.
    pub const fn is_of_play_integrity(self) -> bool {
        matches!(
            self,
            Self::PlayAppIdentity
                | Self::PlayAppRecognised
                | Self::PlayDeviceIntegrity
                | Self::PlayLicensed
                | Self::PlayProtect
                | Self::PlayAppAccessRisk
                | Self::PlayRecentActivity
        )
    }

    /// Whether it stays required where an app is only observed: nobody is to be let in by it.
    pub(super) const fn is_enforced_while_observing(self) -> bool {
        matches!(self, Self::Client | Self::DevelopmentMode)
    }

    /// The opt-out that has to name it before a policy can enforce it less than by default; None where a policy is
    /// free to.
    pub const fn opt_out(self) -> Option<OptOut> {
        match self {
            Self::BootState
            | Self::DeviceLocked
            | Self::SecurityLevel
            | Self::BootKeyContinuity
            | Self::KeyAttestationPresent => Some(OptOut::WeakDevices),
            Self::Environment
            | Self::KeyOrigin
            | Self::KeyPurpose
            | Self::KeyAlgorithm
            | Self::KeyCurve
            | Self::KeyDigest
            | Self::ApplicationBound
            | Self::RevocationChecked
            | Self::RevocationFresh => Some(OptOut::WeakKeys),
            _ => None,
        }
    }
}

impl Serialize for Constraint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

/// How constraints are enforced where that differs from their defaults, for one platform or all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enforcements(BTreeMap<(Constraint, Option<Platform>), Enforcement>);

impl Enforcements {
    /// Sets the enforcement of a constraint, on one platform or (None) on those without their own. A constraint
    /// that is not negotiable stays as it is.
    pub fn set(&mut self, constraint: Constraint, platform: Option<Platform>, enforcement: Enforcement) {
        if constraint.is_negotiable() {
            self.0.insert((constraint, platform), enforcement);
        }
    }

    /// Takes over all that `other` says, over what is said here.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.iter().map(|(key, enforcement)| (*key, *enforcement)));
    }

    /// How a constraint is enforced on a platform.
    pub fn of(&self, constraint: Constraint, platform: Platform) -> Enforcement {
        self.stated(constraint, platform).unwrap_or(constraint.default_enforcement())
    }

    /// All that is said: constraint, platform (None: those without their own) and enforcement, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (Constraint, Option<Platform>, Enforcement)> {
        self.0.iter().map(|((constraint, platform), enforcement)| (*constraint, *platform, *enforcement))
    }

    /// How a constraint is enforced on a platform, if anything is said of it.
    pub fn stated(&self, constraint: Constraint, platform: Platform) -> Option<Enforcement> {
        self.0.get(&(constraint, Some(platform))).or_else(|| self.0.get(&(constraint, None))).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unique_and_found_again() {
        for constraint in Constraint::ALL {
            assert_eq!(Constraint::from_label(constraint.label()), Some(*constraint));
        }
        assert_eq!(Constraint::from_label("App-Identity"), None);
    }

    #[test]
    fn what_an_attacker_would_switch_off_is_required_by_default() {
        let relaxed: Vec<_> = Constraint::ALL
            .iter()
            .filter(|constraint| constraint.default_enforcement() != Enforcement::Require)
            .map(|constraint| constraint.label())
            .collect();
        let expected = [
            "validation-category-present",
            "receipt",
            "risk-metric",
            "strongbox-in-chain",
            "known-tags",
            "remote-provisioning",
            "certificates-issued",
            "attestation-key-sharing",
            "leniencies",
            "revocation-checked",
            "environment-warned",
            "play-integrity-present",
            "play-app-recognised",
            "play-device-integrity",
            "play-licensed",
            "play-protect",
            "play-app-access-risk",
            "play-recent-activity",
            "key-attestation-present",
            "platform-evidence",
        ];
        assert_eq!(relaxed, expected);
    }

    #[test]
    fn a_platform_goes_before_all_and_all_before_the_default() {
        let mut enforcements = Enforcements::default();
        enforcements.set(Constraint::Environment, None, Enforcement::Warn);
        enforcements.set(Constraint::Environment, Some(Platform::Android), Enforcement::Ignore);
        assert_eq!(enforcements.of(Constraint::Environment, Platform::Android), Enforcement::Ignore);
        assert_eq!(enforcements.of(Constraint::Environment, Platform::Apple), Enforcement::Warn);
        assert_eq!(enforcements.of(Constraint::BootState, Platform::Android), Enforcement::Require);
    }

    #[test]
    fn the_apps_identity_cannot_be_switched_off() {
        assert!(!Constraint::AppIdentity.is_negotiable());
    }

    #[test]
    fn some_constraints_are_not_negotiable() {
        let mut enforcements = Enforcements::default();
        for constraint in Constraint::ALL.iter().filter(|constraint| !constraint.is_negotiable()) {
            enforcements.set(*constraint, None, Enforcement::Ignore);
            let enforced = enforcements.of(*constraint, Platform::Development);
            assert_eq!(enforced, constraint.default_enforcement());
        }
    }

    #[test]
    fn enforcements_have_names_and_no_others_are_read() {
        for (enforcement, name) in
            [(Enforcement::Require, "require"), (Enforcement::Warn, "warn"), (Enforcement::Ignore, "ignore")]
        {
            assert_eq!((enforcement.name(), Enforcement::from_name(name)), (name, Some(enforcement)));
        }
        assert_eq!(Enforcement::from_name("Require"), None);
    }

    #[test]
    fn what_is_remembered_of_a_verdict_is_about_verdicts_alone() {
        let about: Vec<_> = Constraint::ALL
            .iter()
            .filter(|constraint| constraint.is_of_play_integrity())
            .map(|constraint| constraint.label())
            .collect();
        let of_play = |label: &&str| label.starts_with("play-") && *label != "play-integrity-present";
        let expected: Vec<_> =
            Constraint::ALL.iter().map(|constraint| constraint.label()).filter(of_play).collect();
        assert_eq!(about, expected);
    }

    #[test]
    fn what_is_taken_over_goes_before_what_was_said_and_keeps_the_rest() {
        let mut enforcements = Enforcements::default();
        enforcements.set(Constraint::Receipt, None, Enforcement::Warn);
        enforcements.set(Constraint::Leniencies, None, Enforcement::Warn);
        let mut stricter = Enforcements::default();
        stricter.set(Constraint::Receipt, None, Enforcement::Require);
        enforcements.extend(&stricter);
        let said: Vec<_> = enforcements.iter().collect();
        let expected = [
            (Constraint::Receipt, None, Enforcement::Require),
            (Constraint::Leniencies, None, Enforcement::Warn),
        ];
        assert_eq!(said, expected);
    }
}
