//! What App Attest evidence says before anybody has verified it: for a person who wants to read it. No
//! [`VerifiedEvidence`](crate::evidence::VerifiedEvidence) can be made of it.

use countersign_core::token::keys::PublicKey;

use super::authenticator_data::{AttestedCredential, AuthenticatorData, Extensions};
use super::statement::{Assertion, AttestationObject};
use super::{AppAttestEnvironment, ValidationCategory, nonce_of, os_version_of};
use crate::certificate::Certificate;
use crate::evidence::EvidenceError;

/// An attestation object as it stands there, unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedAttestation {
    /// SHA-256 of the App ID.
    pub rp_id_hash: [u8; 32],
    /// The counter.
    pub counter: u32,
    /// The environment by its AAGUID.
    pub environment: AppAttestEnvironment,
    /// The credential identifier, which should be the key identifier.
    pub credential_id: Vec<u8>,
    /// The key in the authenticator data.
    pub key: PublicKey,
    /// How the app was distributed.
    pub validation_category: Option<ValidationCategory>,
    /// The app's bundle version.
    pub bundle_version: Option<String>,
    /// The version of the operating system, as the leaf has it.
    pub os_version: Option<String>,
    /// The nonce in the leaf, if it can be read.
    pub nonce: Option<[u8; 32]>,
    /// Certificates in DER, leaf first.
    pub certificates: Vec<Vec<u8>>,
    /// Length of the receipt in bytes.
    pub receipt_length: Option<usize>,
}

/// An assertion as it stands there, unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedAssertion {
    /// SHA-256 of the App ID.
    pub rp_id_hash: [u8; 32],
    /// The counter.
    pub counter: u32,
    /// How the app was distributed.
    pub validation_category: Option<ValidationCategory>,
    /// The app's bundle version.
    pub bundle_version: Option<String>,
}

impl ClaimedAttestation {
    /// Takes an attestation object apart.
    ///
    /// # Errors
    /// [`EvidenceError`] if it cannot be read; nothing is judged.
    pub fn decode(object: &[u8]) -> Result<Self, EvidenceError> {
        let object = AttestationObject::decode(object)?;
        let data = AuthenticatorData::decode(object.authenticator_data)?;
        let (credential, extensions) = AttestedCredential::decode(&data)?;
        let leaf = object.certificates.first().and_then(|der| Certificate::decode(der).ok());
        Ok(Self {
            rp_id_hash: data.rp_id_hash,
            counter: data.counter,
            environment: credential.environment,
            credential_id: credential.id.to_vec(),
            key: credential.key,
            validation_category: extensions.validation_category,
            bundle_version: extensions.bundle_version,
            os_version: leaf.as_ref().and_then(os_version_of),
            nonce: leaf.as_ref().and_then(|leaf| nonce_of(leaf).ok()),
            certificates: object.certificates.into_iter().map(<[u8]>::to_vec).collect(),
            receipt_length: object.receipt.map(<[u8]>::len),
        })
    }
}

impl ClaimedAssertion {
    /// Takes an assertion apart.
    ///
    /// # Errors
    /// [`EvidenceError`] if it cannot be read; nothing is judged.
    pub fn decode(assertion: &[u8]) -> Result<Self, EvidenceError> {
        let assertion = Assertion::decode(assertion)?;
        let data = AuthenticatorData::decode(assertion.authenticator_data)?;
        let extensions = Extensions::decode(data.rest)?;
        Ok(Self {
            rp_id_hash: data.rp_id_hash,
            counter: data.counter,
            validation_category: extensions.validation_category,
            bundle_version: extensions.bundle_version,
        })
    }
}
