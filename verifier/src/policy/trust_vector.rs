//! What the constraints mean in the vocabulary of AR4SI: on which claim of the vector each one speaks, and how loud.

use countersign_core::token::result::Protection;
use countersign_core::token::trust_vector::{TrustClaim, TrustVector};

use super::constraint::{Constraint, Enforcement};
use crate::evidence::{Claims, EvidenceSet};

/// No better than genuine and recognised: what verified evidence says before any constraint speaks against it.
/// Numbers are those of AR4SI section 2.3.4.
pub(super) fn of_evidence(evidence: &EvidenceSet) -> TrustVector {
    let mut vector = TrustVector::default();
    vector.worsen(TrustClaim::InstanceIdentity, 2);
    for evidence in evidence.all() {
        if let Claims::AppAttest(_) | Claims::AndroidKey(_) = evidence.claims() {
            // Genuine hardware; what booted on it was approved while booting.
            vector.worsen(TrustClaim::Hardware, 2);
            vector.worsen(TrustClaim::Executables, 3);
            vector.worsen(TrustClaim::Configuration, 2);
            if evidence.protection() != Protection::Software {
                vector.worsen(TrustClaim::StorageOpaque, 2);
            }
        }
        // Nothing of the hardware: Google says what was booted and which app runs, and vouches for no key.
        if let Claims::PlayIntegrity(_) = evidence.claims() {
            vector.worsen(TrustClaim::Executables, 3);
            vector.worsen(TrustClaim::Configuration, 2);
        }
    }
    vector
}

/// Lays what a constraint that does not hold means on the vector. One that is ignored says nothing.
pub(super) fn lay(vector: &mut TrustVector, constraint: Constraint, enforcement: Enforcement) {
    let (claim, contraindicated, warning) = meaning(constraint);
    match enforcement {
        Enforcement::Require => vector.worsen(claim, contraindicated),
        Enforcement::Warn => vector.worsen(claim, warning),
        Enforcement::Ignore => {}
    }
}

/// The claim, its value where the constraint is required, and where it warns.
const fn meaning(constraint: Constraint) -> (TrustClaim, i8, i8) {
    use TrustClaim::{Configuration, Executables, Hardware, InstanceIdentity, RuntimeOpaque, StorageOpaque};
    match constraint {
        // 97: not recognised.
        Constraint::Client | Constraint::DevelopmentMode => (InstanceIdentity, 97, 97),
        // 96: known to be untrustworthy. Continuity is about being the instance that it was;
        // receipt and metric are about one device that poses as many.
        Constraint::OsVersionContinuity
        | Constraint::PatchLevelContinuity
        | Constraint::AppVersionContinuity
        | Constraint::BootKeyContinuity
        | Constraint::PlayRecentActivity
        | Constraint::Receipt
        | Constraint::RiskMetric => (InstanceIdentity, 96, -33),
        // 96: contraindicated executables; 33: not recognised; 32: known to have bugs.
        Constraint::AppIdentity
        | Constraint::Environment
        | Constraint::ValidationCategory
        | Constraint::PlayAppIdentity
        | Constraint::PlayAppRecognised
        | Constraint::PlayLicensed
        | Constraint::ValidationCategoryPresent
        | Constraint::BootState => (Executables, 96, 33),
        Constraint::AppVersion
        | Constraint::EnvironmentRefused
        | Constraint::EnvironmentWarned
        | Constraint::PlayProtect => (Executables, 96, 32),
        // 96: cannot be supported; 32: known vulnerabilities; 36: what matters to security is not known.
        Constraint::DeviceLocked
        | Constraint::OsPatchLevel
        | Constraint::OsPatchAge
        | Constraint::OsVersion
        | Constraint::PlayDeviceIntegrity => (Configuration, 96, 32),
        Constraint::KnownTags | Constraint::Leniencies | Constraint::PlayIntegrityPresent => {
            (Configuration, 96, 36)
        }
        // 97: not recognised; 96: contraindicated; 32: genuine, but known to be weak.
        Constraint::SecurityLevel | Constraint::PlatformEvidence | Constraint::KeyAttestationPresent => {
            (Hardware, 97, 32)
        }
        Constraint::StrongboxInChain
        | Constraint::RemoteProvisioning
        | Constraint::CertificatesIssued
        | Constraint::AttestationKeySharing
        | Constraint::RevocationChecked
        | Constraint::RevocationFresh => (Hardware, 96, 32),
        // 96: secrets are not kept; 32: not by hardware.
        Constraint::KeyOrigin
        | Constraint::KeyPurpose
        | Constraint::KeyAlgorithm
        | Constraint::KeyCurve
        | Constraint::KeyDigest => (StorageOpaque, 96, 32),
        Constraint::ApplicationBound | Constraint::PlayAppAccessRisk => (RuntimeOpaque, 96, 32),
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::token::trust_vector::TrustTier;

    use super::*;

    #[test]
    fn a_constraint_speaks_as_loud_as_it_is_enforced() {
        for constraint in Constraint::ALL {
            let (_, contraindicated, warning) = meaning(*constraint);
            assert_eq!(TrustTier::of(contraindicated), TrustTier::Contraindicated, "{constraint:?}");
            if constraint.is_negotiable() {
                assert_eq!(TrustTier::of(warning), TrustTier::Warning, "{constraint:?}");
            }
        }
    }

    #[test]
    fn an_ignored_constraint_says_nothing() {
        let mut vector = TrustVector::default();
        lay(&mut vector, Constraint::BootState, Enforcement::Ignore);
        assert_eq!(vector, TrustVector::default());
    }

    #[test]
    fn what_makes_one_device_pose_as_many_is_an_unrecognised_instance_where_it_warns() {
        for constraint in [Constraint::Receipt, Constraint::RiskMetric, Constraint::BootKeyContinuity] {
            let mut vector = TrustVector::default();
            lay(&mut vector, constraint, Enforcement::Warn);
            assert_eq!(vector.value(TrustClaim::InstanceIdentity), -33, "{constraint:?}");
        }
    }
}
