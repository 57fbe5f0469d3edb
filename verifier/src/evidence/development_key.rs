//! Evidence of a developer's machine: a signature over the binding hash by a key that an administrator has
//! registered. It says nothing about app or device, and the policy takes it for development apps only.

use countersign_core::time::Timestamp;
use countersign_core::token::keys::{PublicKey, VerifySignature};
use countersign_core::token::result::Protection;
use serde::Serialize;

use super::{AttestedKey, Claims, EvidenceError, EvidenceKind, VerifiedEvidence};
use crate::crypto::AwsLc;

/// What a development key says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DevelopmentKeyClaims {
    /// The identifier under which the key was registered.
    pub key_id: String,
}

/// Verifies `signature` (64 bytes, `r || s`) over `binding_hash` with the key registered under `key_id`.
///
/// # Errors
/// [`EvidenceError::InvalidSignature`], or [`EvidenceError::UnsupportedKey`] for a key other than P-256.
pub fn verify(
    key_id: &str,
    registered_key: &PublicKey,
    binding_hash: &[u8; 32],
    signature: &[u8],
    now: Timestamp,
) -> Result<VerifiedEvidence, EvidenceError> {
    if registered_key.to_p256_sec1().is_none() {
        return Err(EvidenceError::UnsupportedKey);
    }
    AwsLc.verify(registered_key, binding_hash, signature).map_err(|_| EvidenceError::InvalidSignature)?;
    Ok(VerifiedEvidence {
        kind: EvidenceKind::DevelopmentKey,
        evidence_time: now,
        attested_key: AttestedKey::P256(*registered_key),
        protection: Protection::Software,
        counter: None,
        claims: Claims::DevelopmentKey(DevelopmentKeyClaims { key_id: key_id.to_owned() }),
    })
}
