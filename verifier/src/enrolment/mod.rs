//! From an envelope to an admission: what the attestation service checks before it stores or issues anything.
//!
//! Each type is made from the one before it: a decoded envelope becomes [`AuthenticEnrolment`], that becomes
//! [`OfflineEnrolment`], that [`VerifiedEnrolment`], and that a [`Verdict`]. Only an [`Admission`] can be issued for.

mod admission;
mod appraise;
mod error;
mod registered;
mod stages;
mod trustworthiness;

use countersign_core::challenge::MacKeyRing;
use countersign_core::token::keys::PublicKey;

use crate::anchors::TrustAnchors;
use crate::evidence::TrustData;
use crate::policy::AppraisalPolicy;
use crate::revocation::RevocationList;

pub use admission::{Admission, Verdict};
pub use appraise::Signals;
pub use error::EnrolmentError;
pub use registered::{PlatformKey, RegisteredInstance};
pub use stages::{AuthenticEnrolment, DecodeFailure, DecodedToken, OfflineEnrolment, VerifiedEnrolment};
pub use trustworthiness::Trustworthiness;

/// Life of a challenge, in seconds.
pub const CHALLENGE_LIFETIME: u64 = 20 * 60;
/// Age at which Android evidence is due again, in seconds: without, the tier falls, or the renewal is refused where
/// Google Play alone vouches.
pub const ANDROID_EVIDENCE_LIFETIME: u64 = 24 * 3600;

/// What the service holds that the checks need.
pub struct Service<'a> {
    /// Issuer URL.
    pub issuer: &'a str,
    /// Keys of the challenges.
    pub challenge_keys: &'a MacKeyRing,
    /// Roots of the platforms.
    pub anchors: &'a TrustAnchors,
    /// The status list of Android attestation certificates.
    pub revocation: Option<&'a RevocationList>,
    /// The keys that administrators registered for development, by identifier.
    pub development_keys: &'a dyn Fn(&str) -> Option<PublicKey>,
    /// The policy.
    pub policy: &'a AppraisalPolicy,
}

impl Service<'_> {
    /// What evidence is verified against.
    pub const fn trust_data(&self) -> TrustData<'_> {
        TrustData {
            anchors: self.anchors,
            revocation: self.revocation,
            development_keys: self.development_keys,
        }
    }
}
