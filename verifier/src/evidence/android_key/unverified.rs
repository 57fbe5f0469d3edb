//! What the leaf of an Android key attestation says before anything of it is verified: for a person who looks into
//! a file.

use serde::Serialize;

use super::KEY_DESCRIPTION;
use super::authorization_list::AuthorizationList;
use super::enumerations::SecurityLevel;
use super::key_description::KeyDescription;
use crate::certificate::Certificate;
use crate::evidence::{AttestedKey, EvidenceError};
use crate::leniency::Leniencies;

/// The KeyDescription of a certificate as it reads, not authentic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnverifiedKeyDescription {
    /// The certificate's key.
    pub key: AttestedKey,
    /// Version of the attestation format.
    pub attestation_version: u64,
    /// Where the attestation was made.
    pub attestation_security_level: SecurityLevel,
    /// Version of Keymaster or KeyMint.
    pub keymint_version: u64,
    /// Where the key lives.
    pub keymint_security_level: SecurityLevel,
    /// The challenge.
    #[serde(serialize_with = "crate::evidence::hex")]
    pub challenge: Vec<u8>,
    /// What Android's system software enforces.
    pub software_enforced: AuthorizationList,
    /// What the secure hardware enforces.
    pub hardware_enforced: AuthorizationList,
}

impl UnverifiedKeyDescription {
    /// Reads the KeyDescription of a certificate (DER) without verifying anything; `None` if it has none.
    ///
    /// # Errors
    /// [`EvidenceError`] if certificate or extension cannot be read.
    pub fn read(certificate: &[u8]) -> Result<Option<Self>, EvidenceError> {
        let certificate = Certificate::decode(certificate).map_err(|_| EvidenceError::MalformedKey)?;
        let Some(extension) = certificate.extension(&KEY_DESCRIPTION) else { return Ok(None) };
        let description = KeyDescription::decode(extension, &mut Leniencies::default())?;
        Ok(Some(Self {
            key: AttestedKey::from_spki(certificate.public_key)?,
            attestation_version: description.attestation_version,
            attestation_security_level: description.attestation_security_level,
            keymint_version: description.keymint_version,
            keymint_security_level: description.keymint_security_level,
            challenge: description.challenge.to_vec(),
            software_enforced: description.software_enforced,
            hardware_enforced: description.hardware_enforced,
        }))
    }
}
