//! Every opt-out of the policy, in one place.

use super::constraint::{Constraint, Enforcement, OptOut};
use crate::anchors::{AnchorError, TrustAnchors};
use crate::evidence::app_attest::AppAttestEnvironment;

/// What a policy accepts although it should not. Empty by default; anything in it deserves a reason in writing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Danger {
    /// Certificate files (PEM or DER) trusted as roots of App Attest and its receipts: virtual devices.
    pub app_attest_roots: Vec<Vec<u8>>,
    /// Certificate files (PEM or DER) trusted as roots of Android key attestation: virtual devices.
    pub android_key_roots: Vec<Vec<u8>>,
    /// Environments of App Attest that are accepted instead of production. Empty: production alone.
    pub app_attest_environments: Vec<AppAttestEnvironment>,
    /// Verified boot keys of other systems than the vendor's, accepted when the boot loader is locked.
    pub self_signed_boot_keys: Vec<Vec<u8>>,
    /// Constraints on the device itself (boot state and key, lock, security level, that hardware attests
    /// the key at all) that apps may enforce less than by
    /// default. What is not named here stays as strict as its default, whatever an app says.
    pub weak_devices: Vec<Constraint>,
    /// Constraints on the attested key and its certificates that apps may enforce less than by default, likewise.
    pub weak_keys: Vec<Constraint>,
}

impl Danger {
    /// Whether nothing is accepted beyond the defaults.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How a constraint is enforced for which an app asks `wanted`.
    pub fn enforcement(&self, constraint: Constraint, wanted: Enforcement) -> Enforcement {
        let named = match constraint.opt_out() {
            None => return wanted,
            Some(OptOut::WeakDevices) => &self.weak_devices,
            Some(OptOut::WeakKeys) => &self.weak_keys,
        };
        if named.contains(&constraint) { wanted } else { wanted.max(constraint.default_enforcement()) }
    }

    /// Whether keys attested in this environment are accepted.
    pub(super) fn accepts(&self, environment: AppAttestEnvironment) -> bool {
        match self.app_attest_environments.as_slice() {
            [] => environment == AppAttestEnvironment::Production,
            accepted => environment != AppAttestEnvironment::Unknown && accepted.contains(&environment),
        }
    }

    /// The embedded anchors and the roots named here.
    ///
    /// # Errors
    /// [`AnchorError`] for the first file that holds no usable root.
    pub fn trust_anchors(&self) -> Result<TrustAnchors, AnchorError> {
        self.trust_anchors_beside(TrustAnchors::embedded())
    }

    /// `anchors` and the roots named here.
    ///
    /// # Errors
    /// As [`Danger::trust_anchors`].
    pub fn trust_anchors_beside(&self, mut anchors: TrustAnchors) -> Result<TrustAnchors, AnchorError> {
        for file in &self.app_attest_roots {
            anchors.danger_add_app_attest_roots(file)?;
        }
        for file in &self.android_key_roots {
            anchors.danger_add_android_key_roots(file)?;
        }
        Ok(anchors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_named_here_are_accepted_instead_of_production_and_unknown_ones_never() {
        use AppAttestEnvironment::{Development, Production, Unknown};
        let accepted = |named: &[AppAttestEnvironment]| {
            let danger = Danger { app_attest_environments: named.to_vec(), ..Danger::default() };
            [Production, Development, Unknown].map(|environment| danger.accepts(environment))
        };
        assert_eq!(accepted(&[]), [true, false, false]);
        assert_eq!(accepted(&[Development]), [false, true, false]);
        assert_eq!(accepted(&[Production, Development]), [true, true, false]);
        assert_eq!(accepted(&[Unknown]), [false, false, false]);
    }

    #[test]
    fn whatever_is_accepted_shows() {
        assert!(Danger::default().is_empty());
        for danger in [
            Danger { weak_devices: vec![Constraint::DeviceLocked], ..Danger::default() },
            Danger { app_attest_environments: vec![AppAttestEnvironment::Development], ..Danger::default() },
        ] {
            assert!(!danger.is_empty(), "{danger:?}");
        }
    }
}
