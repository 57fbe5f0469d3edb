//! What a certificate says of itself: for a person who wants to read a chain. Nothing in it is verified.

use countersign_core::time::Timestamp;
use der::Decode;
use x509_cert::name::RdnSequence;

use crate::certificate::{BasicConstraints, Certificate};
use crate::evidence::AttestedKey;
use crate::revocation::serial_hex;

/// The parts of a certificate that a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSummary {
    /// The subject as RFC 4514 writes it; empty if it is no Name.
    pub subject: String,
    /// The issuer as RFC 4514 writes it; empty if it is no Name.
    pub issuer: String,
    /// The serial number in hex, as status lists name it.
    pub serial: String,
    /// notBefore and notAfter, if they can be read.
    pub validity: Option<(Timestamp, Timestamp)>,
    /// The kind of the key, such as `P-256`.
    pub key: String,
    /// Whether it says that it is a certification authority.
    pub is_authority: bool,
    /// Whether issuer and subject are the same: a root, by its own account.
    pub is_self_issued: bool,
}

/// The bytes are not DER of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotACertificate;

impl CertificateSummary {
    /// Takes a certificate apart.
    ///
    /// # Errors
    /// [`NotACertificate`].
    pub fn of(der: &[u8]) -> Result<Self, NotACertificate> {
        let certificate = Certificate::decode(der).map_err(|_| NotACertificate)?;
        let name = |name: &[u8]| RdnSequence::from_der(name).map(|name| name.to_string()).unwrap_or_default();
        let time = |(from, to)| (Timestamp::from_unix_seconds(from), Timestamp::from_unix_seconds(to));
        let key = match AttestedKey::from_spki(certificate.public_key) {
            Ok(AttestedKey::P256(_)) => "P-256".to_owned(),
            Ok(AttestedKey::Other(name)) => name,
            Ok(AttestedKey::Absent) | Err(_) => "unreadable".to_owned(),
        };
        Ok(Self {
            subject: name(certificate.subject),
            issuer: name(certificate.issuer),
            serial: serial_hex(certificate.serial),
            validity: certificate.validity().ok().map(time),
            key,
            is_authority: matches!(certificate.basic_constraints(), Ok(BasicConstraints::Authority { .. })),
            is_self_issued: certificate.is_self_issued(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_summed_up() {
        let root = CertificateSummary::of(include_bytes!("../data/google-key-attestation-ca1.der")).unwrap();
        assert!(root.subject.contains("CN=Key Attestation CA1"), "{}", root.subject);
        assert_eq!((root.subject.clone(), root.key.as_str()), (root.issuer.clone(), "P-384"));
        assert!(root.is_authority && root.is_self_issued);
        assert_eq!(root.validity.map(|(from, _)| from.as_unix_seconds()), Some(1_752_791_538));
    }

    #[test]
    fn what_is_no_certificate_has_no_summary() {
        for bytes in [&[][..], b"certificate", &[0x30, 0], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(CertificateSummary::of(bytes), Err(NotACertificate), "{bytes:?}");
        }
    }
}
