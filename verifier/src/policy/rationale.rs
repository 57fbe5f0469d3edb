//! Why each constraint is there, in a sentence for whoever reads a policy or audits one.

use super::constraint::Constraint;
use crate::evidence::Platform;

const APPLE: &[Platform] = &[Platform::Apple];
const ANDROID: &[Platform] = &[Platform::Android];
const PHONES: &[Platform] = &[Platform::Apple, Platform::Android];

impl Constraint {
    /// The platforms whose evidence it reads.
    pub const fn platforms(self) -> &'static [Platform] {
        match self {
            Self::Environment
            | Self::ValidationCategory
            | Self::ValidationCategoryPresent
            | Self::Receipt
            | Self::RiskMetric => APPLE,
            Self::SecurityLevel
            | Self::StrongboxInChain
            | Self::BootState
            | Self::DeviceLocked
            | Self::OsPatchLevel
            | Self::OsPatchAge
            | Self::KeyOrigin
            | Self::KeyPurpose
            | Self::KeyAlgorithm
            | Self::KeyCurve
            | Self::KeyDigest
            | Self::ApplicationBound
            | Self::KnownTags
            | Self::RemoteProvisioning
            | Self::CertificatesIssued
            | Self::AttestationKeySharing
            | Self::Leniencies
            | Self::RevocationChecked
            | Self::RevocationFresh
            | Self::PatchLevelContinuity
            | Self::BootKeyContinuity
            | Self::PlayIntegrityPresent
            | Self::PlayAppIdentity
            | Self::PlayAppRecognised
            | Self::PlayDeviceIntegrity
            | Self::PlayLicensed
            | Self::PlayProtect
            | Self::PlayAppAccessRisk
            | Self::PlayRecentActivity
            | Self::KeyAttestationPresent => ANDROID,
            Self::Client
            | Self::AppIdentity
            | Self::AppVersion
            | Self::OsVersion
            | Self::OsVersionContinuity
            | Self::AppVersionContinuity
            | Self::EnvironmentRefused
            | Self::EnvironmentWarned => PHONES,
            Self::DevelopmentMode | Self::PlatformEvidence => &[Platform::Development],
        }
    }

    /// What it protects from: one sentence.
    pub const fn rationale(self) -> &'static str {
        match self {
            Self::Client => "Whoever this policy does not know has no business here.",
            Self::AppIdentity => {
                "An app that somebody else built or signed is not this app, whatever device it runs on."
            }
            Self::Environment => {
                "Keys of the development environment can be had for builds that never saw a review or a store."
            }
            Self::ValidationCategory => {
                "A build from another source than the accepted ones may be debuggable, or old, or not for users."
            }
            Self::ValidationCategoryPresent => {
                "Where the system does not tell the source, a build of any source looks the same."
            }
            Self::Receipt => {
                "Without a receipt Apple cannot be asked later whether one device poses as many."
            }
            Self::RiskMetric => {
                "A device with far more keys than installations of apps lends its attestations to others."
            }
            Self::SecurityLevel => {
                "A key that software holds can be copied off the device and used by anybody, at any scale."
            }
            Self::StrongboxInChain => {
                "A StrongBox that the certificates do not confirm is a claim that any TEE can make."
            }
            Self::BootState => {
                "A system that its vendor did not sign can be made to say anything, this app's evidence included."
            }
            Self::DeviceLocked => {
                "With an open boot loader anybody who holds the device can put another system on it."
            }
            Self::OsPatchLevel => {
                "Published holes let an app or a page take over an old system, and then use this app's key."
            }
            Self::OsPatchAge => {
                "A system that gets no more updates keeps every hole that is found from then on."
            }
            Self::KeyOrigin => "A key that was imported existed elsewhere before, and may still.",
            Self::KeyPurpose => {
                "A key that may do more than sign can be made to vouch for what nobody meant to sign."
            }
            Self::KeyAlgorithm => "A key of another kind is not the one that signs this app's requests.",
            Self::KeyCurve => "A key on another curve is not the one that signs this app's requests.",
            Self::KeyDigest => "A key that is not bound to SHA-256 may sign weaker digests too.",
            Self::ApplicationBound => "A key that every app can use vouches for none.",
            Self::KnownTags => {
                "A key description with unknown tags may carry a restriction, or a permission, that nobody checks."
            }
            Self::RemoteProvisioning => {
                "Factory keys leak by the batch and are sold; remote ones are short-lived and withdrawn quickly."
            }
            Self::RevocationChecked => {
                "Leaked attestation keys are on the status list; unless it is looked at, they vouch for anything."
            }
            Self::RevocationFresh => {
                "Keys are revoked because they leaked: an old list lets in whoever bought one since."
            }
            Self::CertificatesIssued => {
                "A device that fetches far more certificates than phones need makes them for others."
            }
            Self::AttestationKeySharing => {
                "An attestation key that many instances share was taken off its phone and is traded."
            }
            Self::Leniencies => {
                "What departs from the standards is known of genuine phones, and is one more thing to forge by."
            }
            Self::AppVersion => "Old versions of the app keep the holes that newer ones have mended.",
            Self::OsVersion => "Old systems miss protections that this app may rely on, and get fixes last.",
            Self::OsVersionContinuity => {
                "A system that became older was put back on purpose, or is another device with this one's name."
            }
            Self::PatchLevelContinuity => {
                "Patches are put back to reopen a hole, or because another device speaks in this one's name."
            }
            Self::AppVersionContinuity => {
                "An app is put back to use a hole that was mended, which is harder to do by accident."
            }
            Self::BootKeyContinuity => {
                "Keys do not survive another system's boot key: whoever shows both is not one device."
            }
            Self::EnvironmentRefused => {
                "What the device itself noticed, a hook or a debugger, is under way while this app runs."
            }
            Self::EnvironmentWarned => {
                "What the device itself noticed makes an attack easier, without being one."
            }
            Self::PlayIntegrityPresent => {
                "Google sees of a device and its apps what hardware does not attest."
            }
            Self::PlayAppIdentity => {
                "Where Google finds another app or signer than hardware does, one of them was deceived."
            }
            Self::PlayAppRecognised => "An app that Google Play does not know may have been changed.",
            Self::PlayDeviceIntegrity => "A device that Google does not vouch for may run whatever it likes.",
            Self::PlayLicensed => "Copies from elsewhere are those that pirates and fraudsters hand out.",
            Self::PlayProtect => "Harmful apps on the device can act in the user's name.",
            Self::PlayAppAccessRisk => {
                "An app from nowhere that sees or controls the screen can do what the user can."
            }
            Self::PlayRecentActivity => {
                "A device that asks for far more tokens than a user needs makes them for others."
            }
            Self::KeyAttestationPresent => {
                "A key that no hardware attests may have been copied, whatever Google says of the device."
            }
            Self::DevelopmentMode => {
                "A developer's key proves no device and no app, so users' apps take none."
            }
            Self::PlatformEvidence => {
                "What only a developer vouches for is never as good as a platform's word."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rationale_is_one_sentence_of_its_own() {
        for constraint in Constraint::ALL {
            let sentence = constraint.rationale();
            assert!(sentence.ends_with('.') && sentence.matches(". ").count() == 0, "{sentence}");
            assert!(sentence.len() <= 110, "{} has {}", constraint.label(), sentence.len());
            let same = Constraint::ALL.iter().filter(|other| other.rationale() == sentence).count();
            assert_eq!(same, 1, "{sentence}");
            assert!(!constraint.platforms().is_empty());
        }
    }
}
