//! What the registry knows about an envelope before it is judged.

use countersign_core::enrolment::{Enrolment, Evidence};
use countersign_core::time::Timestamp;
use countersign_verifier::enrolment::{PlatformKey, RegisteredInstance};
use countersign_verifier::evidence::android_key::unverified_attestation_key;
use countersign_verifier::policy::History;

use super::cause::Cause;
use crate::store::{DevelopmentKeyRecord, Withdrawal};

/// What the registry knows about a call.
pub(super) struct Registry<'a> {
    /// The instance that is to be renewed.
    pub(super) registered: Option<&'a RegisteredInstance>,
    /// What was seen of that instance, or of the one that holds the key that enrols.
    pub(super) history: Option<&'a History>,
    /// Whether the instance is banned, or the one that holds the key that enrols.
    pub(super) banned: bool,
    /// That it is withdrawn, where the call brings nothing that could lift that.
    pub(super) withdrawn: Option<&'a Withdrawal>,
    /// Whether another request used the challenge.
    pub(super) used_by_another: bool,
    /// The development key that the evidence names.
    pub(super) development_key: Option<&'a DevelopmentKeyRecord>,
}

impl Registry<'_> {
    /// A development key vouches as long as it is good, and at each renewal anew: an instance does not outlive it.
    pub(super) fn check_development_key(&self, enrolment: &Enrolment, now: Timestamp) -> Result<(), Cause> {
        let of_developer =
            |registered: &RegisteredInstance| registered.platform_key == PlatformKey::DevelopmentKey;
        match (development_key_id(enrolment), self.development_key) {
            (Some(_), Some(key)) => key.vouches_for(&enrolment.client_id, now).map_err(Cause::DevelopmentKey),
            (None, _) if self.registered.is_some_and(of_developer) && enrolment.evidence.is_empty() => {
                Err(Cause::DevelopmentKeyMissing)
            }
            // One that nobody registered is refused with the evidence.
            _ => Ok(()),
        }
    }
}

/// The attestation key that an envelope's Android evidence says to be signed with.
pub(super) fn attestation_key(enrolment: &Enrolment) -> Option<[u8; 32]> {
    enrolment.evidence.iter().find_map(|evidence| match evidence {
        Evidence::AndroidKey { chain } => unverified_attestation_key(chain),
        _ => None,
    })
}

/// The development key that an envelope names.
pub(super) fn development_key_id(enrolment: &Enrolment) -> Option<&str> {
    enrolment.evidence.iter().find_map(|evidence| match evidence {
        Evidence::DevelopmentKey { key_id, .. } => Some(key_id.as_str()),
        _ => None,
    })
}

/// The instance as it was when the same request came first.
pub(super) fn with_counter(mut registered: RegisteredInstance, previous: Option<u32>) -> RegisteredInstance {
    if let (PlatformKey::AppAttest { counter, .. }, Some(previous)) = (&mut registered.platform_key, previous)
    {
        *counter = previous;
    }
    registered
}

/// The counter of its App Attest key.
pub(super) const fn counter(registered: &RegisteredInstance) -> Option<u32> {
    match &registered.platform_key {
        PlatformKey::AppAttest { counter, .. } => Some(*counter),
        PlatformKey::AndroidKey | PlatformKey::PlayIntegrity | PlatformKey::DevelopmentKey => None,
    }
}
