//! How the attestation key came onto the device, as its chain tells.

use der::asn1::ObjectIdentifier;
use minicbor::Decoder;
use minicbor::data::Type;
use serde::Serialize;

use crate::certificate::Certificate;
use crate::chain::{ChainError, Path};
use crate::evidence::EvidenceError;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const SERIAL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const TITLE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.12");
const PROVISIONING_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.1.30");

/// How the attestation key came onto the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Provisioning {
    /// Burnt in at the factory, shared by many devices, never renewed. Such keys have leaked and are traded.
    Factory,
    /// Made on the device and certified by Google's server for days.
    Remote,
    /// The chain does not say; no leniency applies.
    Unknown,
}

/// What the provisioning server says of the device when it certifies a key (ProvisioningInfo, 2.1.30). Members that
/// cannot be read are unknown: they are signals, not safeguards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProvisioningInfo {
    /// Member 1: how many certificates it issued to the device in 30 days. Farms need many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificates_issued: Option<u64>,
    /// Member 3: who made the device, as the provisioning server knows it; at most 64 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
}

impl Provisioning {
    /// Decided by the subject of the certificate that the anchor issued: with a serialNumber attribute it is a
    /// factory intermediate, `CN=Droid CA2, O=Google LLC` belongs to remote provisioning.
    pub(super) fn of(path: &Path<'_, '_>) -> Result<Self, ChainError> {
        let index = path.certificates.len().saturating_sub(1);
        let intermediate = path.certificates.last().ok_or(ChainError::Length)?;
        let attribute = |oid| values(intermediate, oid, index);
        Ok(if !attribute(&SERIAL_NUMBER)?.is_empty() {
            Self::Factory
        } else if attribute(&COMMON_NAME)? == [&b"Droid CA2"[..]]
            && attribute(&ORGANIZATION)? == [&b"Google LLC"[..]]
        {
            Self::Remote
        } else {
            Self::Unknown
        })
    }

    /// Whether the chain belongs to a StrongBox. Provisioned remotely, the certificate above the leaf names it as its
    /// one organization. From the factory, every certificate below the anchor has it as its one title: an attestation
    /// key of a StrongBox under the batch key of a TEE is neither. A chain that does not say how it came about says
    /// nothing of a StrongBox either.
    pub(super) fn names_a_strongbox(self, path: &Path<'_, '_>) -> Result<bool, ChainError> {
        let above_leaf = path.certificates.get(1).ok_or(ChainError::Length)?;
        match self {
            Self::Remote => Ok(values(above_leaf, &ORGANIZATION, 1)? == [STRONGBOX]
                && values(above_leaf, &TITLE, 1)?.is_empty()),
            Self::Factory => {
                for (index, certificate) in path.certificates.iter().enumerate().skip(1) {
                    if values(certificate, &TITLE, index)? != [STRONGBOX] {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Unknown => Ok(false),
        }
    }
}

const STRONGBOX: &[u8] = b"StrongBox";

impl ProvisioningInfo {
    /// That of the certificate directly above the leaf, if it has one. It speaks of the key of the certificate it
    /// stands in, so anywhere else it is a sign that a chain was extended.
    pub(super) fn of(path: &Path<'_, '_>) -> Result<Option<Self>, EvidenceError> {
        let mut found = None;
        for (index, certificate) in path.certificates.iter().enumerate() {
            match (index, certificate.extension(&PROVISIONING_INFO)) {
                (_, None) => {}
                (1, Some(value)) => found = Some(Self::decode(value)),
                (_, Some(_)) => return Err(EvidenceError::MisplacedProvisioningInfo { index }),
            }
        }
        Ok(found)
    }

    /// A CBOR map from small integers; members beyond the known ones are skipped.
    fn decode(bytes: &[u8]) -> Self {
        const MOST_MEMBERS: u64 = 32;
        const LONGEST_NAME: usize = 64;
        let mut info = Self::default();
        let mut read = || -> Result<(), minicbor::decode::Error> {
            let mut decoder = Decoder::new(bytes);
            let members = decoder.map()?.unwrap_or(0);
            for _ in 0..members.min(MOST_MEMBERS) {
                match (decoder.i64()?, decoder.datatype()?) {
                    (1, Type::U8 | Type::U16 | Type::U32 | Type::U64) => {
                        info.certificates_issued = Some(decoder.u64()?);
                    }
                    (3, Type::String) => {
                        let name = decoder.str()?;
                        if name.len() <= LONGEST_NAME && !name.chars().any(char::is_control) {
                            info.manufacturer = Some(name.to_owned());
                        }
                    }
                    _ => decoder.skip()?,
                }
            }
            Ok(())
        };
        // What was read before a member that cannot be read is as good as it is signed.
        let _ = read();
        info
    }
}

fn values<'c>(
    certificate: &Certificate<'c>,
    oid: &ObjectIdentifier,
    index: usize,
) -> Result<Vec<&'c [u8]>, ChainError> {
    certificate.subject_attributes(oid).map_err(|_| ChainError::MalformedCertificate { index })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(bytes: &[u8]) -> (Option<u64>, Option<String>) {
        let info = ProvisioningInfo::decode(bytes);
        (info.certificates_issued, info.manufacturer)
    }

    #[test]
    fn genuine_infos_are_read() {
        let google = Some("Google".to_owned());
        assert_eq!(info(b"\xa1\x01\x08"), (Some(8), None));
        assert_eq!(info(b"\xa3\x01\x18\x40\x02\xf5\x03\x66Google"), (Some(64), google.clone()));
        assert_eq!(info(b"\xa2\x01\x18\x40\x03\x66Google"), (Some(64), google));
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        for bytes in [&b""[..], b"\x01", b"\xa1", b"\xa1\x01\x20", b"\xa1\x01\x61a", b"\xbf\x01\x08\xff"] {
            assert_eq!(info(bytes), (None, None), "{bytes:?}");
        }
        let long = [&b"\xa1\x03\x78\x41"[..], &[b'a'; 65]].concat();
        assert_eq!(info(&long), (None, None));
        assert_eq!(info(b"\xa1\x03\x62a\n"), (None, None));
    }

    #[test]
    fn nesting_and_false_lengths_are_survived() {
        let nested = [&b"\xa1\x04"[..], &[0x81; 4000]].concat();
        assert_eq!(info(&nested), (None, None));
        assert_eq!(info(b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x01\x08"), (Some(8), None));
    }
}
