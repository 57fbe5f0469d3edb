//! Assertions: a signature by an attested App Attest key over client data, with a counter that only grows.

use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::Protection;

use super::authenticator_data::{AuthenticatorData, Extensions};
use super::statement::Assertion;
use super::{AppAttestClaims, key_id_of};
use crate::crypto::{sha256_of, verify_p256_der};
use crate::evidence::{AttestedKey, Claims, EvidenceError, EvidenceKind, VerifiedEvidence};

/// Verifies an assertion by the key that was attested before. `previous_counter` is the counter stored for that
/// key: 0 after its attestation. Whoever stores [`VerifiedEvidence::counter`] does so by compare-and-set.
///
/// # Errors
/// [`EvidenceError`]. Which app it is is a claim, to be appraised.
pub fn verify_assertion(
    assertion: &[u8],
    public_key: &PublicKey,
    client_data_hash: &[u8],
    previous_counter: u32,
    now: Timestamp,
) -> Result<VerifiedEvidence, EvidenceError> {
    let assertion = Assertion::decode(assertion)?;
    // The flag for attested credential data is set here although there are none: only the length tells.
    let data = AuthenticatorData::decode(assertion.authenticator_data)?;
    let extensions = Extensions::decode(data.rest)?;

    // 1. and 2. The nonce is the hash of the authenticator data and the client data hash.
    let nonce = sha256_of(&[assertion.authenticator_data, client_data_hash]);

    // 3. The signature is over the nonce; ECDSA hashes it once more.
    verify_p256_der(public_key, &nonce, assertion.signature).map_err(|_| EvidenceError::InvalidSignature)?;

    // 4. The App ID's hash is a claim: `rp_id_hash`.

    // 5. The counter is greater than the stored one.
    if data.counter <= previous_counter {
        return Err(EvidenceError::CounterNotGreater { previous: previous_counter, received: data.counter });
    }

    // 6. The challenge stands in the client data, whose hash the caller computed from what it expects.

    Ok(VerifiedEvidence {
        kind: EvidenceKind::AppAttestAssertion,
        evidence_time: now,
        attested_key: AttestedKey::P256(*public_key),
        protection: Protection::SecureEnclave,
        counter: Some(data.counter),
        claims: Claims::AppAttest(Box::new(AppAttestClaims {
            rp_id_hash: data.rp_id_hash,
            key_id: key_id_of(public_key)?,
            environment: None,
            validation_category: extensions.validation_category,
            bundle_version: extensions.bundle_version,
            os_version: None,
            key_access_control: None,
            receipt: None,
            receipt_verdict: None,
            anchor: None,
        })),
    })
}
