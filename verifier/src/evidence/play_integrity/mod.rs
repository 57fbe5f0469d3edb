//! Play Integrity: what Google Play says of app, device and account, bound to our challenge and keys.
//!
//! A token is opened offline with the console's keys ([`decrypt`], classic requests) or by Google
//! ([`from_decode_answer`], both kinds). Either way it becomes a [`Payload`], and that, once [`verify`] has found
//! it fresh and ours, evidence. It attests no key: the binding hash in it vouches for the keys.

mod classic;
mod error;
mod payload;
#[cfg(test)]
mod tests;
mod unverified;
mod verdict;

use countersign_core::encoding::base64url;
use countersign_core::time::Timestamp;
use countersign_core::token::result::Protection;
use subtle::ConstantTimeEq;

use super::{AttestedKey, Claims, EvidenceError, EvidenceKind, VerifiedEvidence};

pub use self::classic::{ClassicKeyError, ClassicKeys, Jwe, decrypt};
pub use self::error::PlayIntegrityError;
pub use self::payload::{DeviceRecall, Payload, PlayIntegrityClaims, RequestKind, from_decode_answer};
pub use self::unverified::UnverifiedToken;
pub use self::verdict::{
    AppLicensing, AppRecognition, DetectedApps, DeviceActivity, DeviceRecognition, PlayProtect,
};

/// Longest token read, in characters; genuine ones are below 4 KiB.
pub const MAX_TOKEN: usize = 16 * 1024;
/// Longest answer of Google's decode call that is read, in bytes.
pub const MAX_DECODE_ANSWER: usize = 32 * 1024;
/// Age in seconds at which a token is too old: time for a device to send it, and to try again.
pub const MAX_AGE: u64 = 10 * 60;
/// Seconds by which Google's clock may be ahead of ours.
pub const MAX_AHEAD: u64 = 60;

/// Verifies that a payload is fresh and bound to `binding_hash`, of which `requestHash` or `nonce` is the
/// base64url; by our protocol 32 bytes, but any length is taken as it is. A response for testing is refused.
///
/// # Errors
/// [`EvidenceError`]. Which app it is, and what Google thinks of it and the device, are claims, to be appraised.
pub fn verify(
    payload: Payload,
    binding_hash: &[u8],
    now: Timestamp,
) -> Result<VerifiedEvidence, EvidenceError> {
    if binding_hash.is_empty() {
        return Err(EvidenceError::EmptyChallenge);
    }
    if payload.is_testing_response {
        return Err(PlayIntegrityError::TestingResponse.into());
    }
    check_binding(&payload, binding_hash)?;
    check_time(payload.requested_at_millis, now)?;
    Ok(VerifiedEvidence {
        kind: EvidenceKind::PlayIntegrity,
        evidence_time: now,
        attested_key: AttestedKey::Absent,
        // Nothing here says where a key lives, so the least is said.
        protection: Protection::Software,
        counter: None,
        claims: Claims::PlayIntegrity(Box::new(payload.claims)),
    })
}

/// Whatever is there must be ours: a token with a nonce of ours and somebody else's hash is neither kind.
fn check_binding(payload: &Payload, binding_hash: &[u8]) -> Result<(), PlayIntegrityError> {
    let expected = base64url(binding_hash);
    let is_ours = |text: &str| bool::from(text.as_bytes().ct_eq(expected.as_bytes()));
    // Google decodes and encodes a nonce, and has been seen to pad it; a request hash it returns as it was.
    let nonce = payload.nonce.as_deref().map(|nonce| nonce.trim_end_matches('='));
    match (payload.request_hash.as_deref(), nonce) {
        (None, None) => Err(PlayIntegrityError::Unbound),
        (request_hash, nonce) if request_hash.into_iter().chain(nonce).all(is_ours) => Ok(()),
        _ => Err(PlayIntegrityError::BindingMismatch),
    }
}

fn check_time(requested_at_millis: u64, now: Timestamp) -> Result<(), PlayIntegrityError> {
    // Wide enough that no time of ours overflows.
    let millis = |time: Timestamp| u128::from(time.as_unix_seconds()) * 1000;
    let (earliest, latest) = (millis(now.minus(MAX_AGE)), millis(now.plus(MAX_AHEAD)));
    let requested_at_millis = u128::from(requested_at_millis);
    if requested_at_millis < earliest {
        Err(PlayIntegrityError::TooOld)
    } else if requested_at_millis > latest {
        Err(PlayIntegrityError::FromTheFuture)
    } else {
        Ok(())
    }
}
