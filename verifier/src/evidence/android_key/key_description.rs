//! KeyDescription, the extension of the leaf.

use der::Tag;

use super::authorization_list::{AuthorizationList, SchemaError};
use super::enumerations::SecurityLevel;
use crate::asn1::Members;
use crate::leniency::Leniencies;

/// The extension's value. Versions above the newest known are read by the same schema: members were only ever
/// added to the authorization lists.
pub(super) struct KeyDescription<'a> {
    pub(super) attestation_version: u64,
    pub(super) attestation_security_level: SecurityLevel,
    pub(super) keymint_version: u64,
    pub(super) keymint_security_level: SecurityLevel,
    pub(super) challenge: &'a [u8],
    pub(super) software_enforced: AuthorizationList,
    pub(super) hardware_enforced: AuthorizationList,
}

impl<'a> KeyDescription<'a> {
    pub(super) fn decode(bytes: &'a [u8], leniencies: &mut Leniencies) -> Result<Self, SchemaError> {
        let mut members = Members::of_sequence(bytes)?;
        let attestation_version = members.unsigned()?;
        let attestation_security_level = SecurityLevel::from_number(members.enumerated()?);
        let keymint_version = members.unsigned()?;
        let keymint_security_level = SecurityLevel::from_number(members.enumerated()?);
        let challenge = members.content(Tag::OctetString)?;
        members.content(Tag::OctetString)?; // uniqueId identifies the device and is not kept
        let software_enforced = AuthorizationList::decode(members.sequence()?, leniencies)?;
        let hardware_enforced = AuthorizationList::decode(members.sequence()?, leniencies)?;
        members.finish()?;
        Ok(Self {
            attestation_version,
            attestation_security_level,
            keymint_version,
            keymint_security_level,
            challenge,
            software_enforced,
            hardware_enforced,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 3, TEE, challenge "c", empty lists.
    const MINIMAL: [u8; 23] =
        [0x30, 21, 2, 1, 3, 10, 1, 1, 2, 1, 4, 10, 1, 1, 4, 1, b'c', 4, 0, 0x30, 0, 0x30, 0];

    fn decode(bytes: &[u8]) -> Result<KeyDescription<'_>, SchemaError> {
        KeyDescription::decode(bytes, &mut Leniencies::default())
    }

    #[test]
    fn the_smallest_description_is_read() {
        let description = decode(&MINIMAL).unwrap();
        assert_eq!((description.attestation_version, description.keymint_version), (3, 4));
        assert_eq!(description.attestation_security_level, SecurityLevel::TrustedEnvironment);
        assert_eq!(description.challenge, b"c");
        assert_eq!(description.hardware_enforced, AuthorizationList::default());
    }

    #[test]
    fn a_byte_more_or_less_is_refused() {
        assert_eq!(decode(&[&MINIMAL[..], &[0]].concat()).map(drop), Err(SchemaError::Malformed));
        for end in 0..MINIMAL.len() {
            assert_eq!(decode(&MINIMAL[..end]).map(drop), Err(SchemaError::Malformed), "{end}");
        }
    }

    #[test]
    fn an_integer_where_an_enumeration_belongs_is_refused() {
        let mut bytes = MINIMAL;
        bytes[5] = 2;
        assert_eq!(decode(&bytes).map(drop), Err(SchemaError::Malformed));
    }
}
