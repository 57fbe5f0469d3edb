//! How the attestation key came onto the device, as the names in its chain tell.

use der::asn1::ObjectIdentifier;
use minicbor::Decoder;
use serde::Serialize;

use crate::certificate::Certificate;
use crate::chain::{ChainError, Path};

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

impl Provisioning {
    /// Decided by the subject of the certificate that the anchor issued: with a serialNumber attribute it is a
    /// factory intermediate, `CN=Droid CA2, O=Google LLC` belongs to remote provisioning.
    pub(super) fn of(path: &Path<'_, '_>) -> Result<Self, ChainError> {
        let index = path.certificates.len().saturating_sub(1);
        let intermediate = path.certificates.last().ok_or(ChainError::Length)?;
        let attribute = |oid| {
            intermediate.subject_attributes(oid).map_err(|_| ChainError::MalformedCertificate { index })
        };
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
}

/// Whether the certificate above the leaf names a StrongBox: as organization when provisioned remotely, as title
/// from the factory.
pub(super) fn names_a_strongbox(path: &Path<'_, '_>) -> Result<bool, ChainError> {
    let malformed = |_| ChainError::MalformedCertificate { index: 1 };
    let issuer: &Certificate<'_> = path.certificates.get(1).ok_or(ChainError::Length)?;
    let mut names = issuer.subject_attributes(&ORGANIZATION).map_err(malformed)?;
    names.extend(issuer.subject_attributes(&TITLE).map_err(malformed)?);
    Ok(names.iter().any(|name| name.eq_ignore_ascii_case(b"StrongBox")))
}

/// Member 1 of the ProvisioningInfo map in the certificate above the leaf. A signal only, so whatever cannot be
/// read is unknown.
pub(super) fn certificates_issued(path: &Path<'_, '_>) -> Option<u64> {
    const MOST_MEMBERS: u64 = 32;
    let mut decoder = Decoder::new(path.certificates.get(1)?.extension(&PROVISIONING_INFO)?);
    let members = decoder.map().ok()??;
    for _ in 0..members.min(MOST_MEMBERS) {
        if decoder.i64().ok()? == 1 {
            return decoder.u64().ok();
        }
        decoder.skip().ok()?;
    }
    None
}
