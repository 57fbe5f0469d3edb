//! What App Attest evidence says before anything of it is verified: for a person who looks into a file.

use serde::Serialize;

use super::authenticator_data::{
    AppAttestEnvironment, AttestedCredential, AuthenticatorData, Extensions, ValidationCategory,
};
use super::statement::{Assertion, AttestationObject};
use crate::evidence::{AttestedKey, EvidenceError};

/// An attestation object as it reads, not authentic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnverifiedAttestation {
    /// SHA-256 of the App ID.
    #[serde(serialize_with = "crate::evidence::hex")]
    pub rp_id_hash: [u8; 32],
    /// Zero in a genuine attestation.
    pub counter: u32,
    /// App Attest's production service or its sandbox.
    pub environment: AppAttestEnvironment,
    /// The key id.
    #[serde(serialize_with = "crate::evidence::hex")]
    pub credential_id: Vec<u8>,
    /// The attested key.
    pub key: AttestedKey,
    /// Where the app came from (iOS 27 on).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_category: Option<ValidationCategory>,
    /// The app's build (iOS 27 on).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle_version: Option<String>,
    /// Length of the receipt in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt_length: Option<usize>,
    /// The certificates in DER, leaf first.
    #[serde(skip)]
    pub certificates: Vec<Vec<u8>>,
}

/// An assertion as it reads, not authentic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnverifiedAssertion {
    /// SHA-256 of the App ID.
    #[serde(serialize_with = "crate::evidence::hex")]
    pub rp_id_hash: [u8; 32],
    /// Grows with every assertion of the key.
    pub counter: u32,
    /// Where the app came from (iOS 27 on).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_category: Option<ValidationCategory>,
    /// The app's build (iOS 27 on).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle_version: Option<String>,
}

impl UnverifiedAttestation {
    /// Reads an attestation object without verifying anything.
    ///
    /// # Errors
    /// [`EvidenceError`] if it cannot be read.
    pub fn read(object: &[u8]) -> Result<Self, EvidenceError> {
        let object = AttestationObject::decode(object)?;
        let data = AuthenticatorData::decode(object.authenticator_data)?;
        let (credential, extensions) = AttestedCredential::decode(&data)?;
        Ok(Self {
            rp_id_hash: data.rp_id_hash,
            counter: data.counter,
            environment: credential.environment,
            credential_id: credential.id.to_vec(),
            key: AttestedKey::P256(credential.key),
            validation_category: extensions.validation_category,
            bundle_version: extensions.bundle_version,
            receipt_length: object.receipt.map(<[u8]>::len),
            certificates: object.certificates.into_iter().map(<[u8]>::to_vec).collect(),
        })
    }
}

impl UnverifiedAssertion {
    /// Reads an assertion without verifying anything.
    ///
    /// # Errors
    /// [`EvidenceError`] if it cannot be read.
    pub fn read(assertion: &[u8]) -> Result<Self, EvidenceError> {
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
