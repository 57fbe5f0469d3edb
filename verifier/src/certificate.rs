//! An X.509 certificate as bytes that know where their parts are. Nothing is judged here beyond DER itself.

use der::asn1::ObjectIdentifier;
use der::{Tag, TagNumber};

use crate::asn1::{self, Members, NotDer};

/// Longest certificate read, in bytes; genuine ones are below 2 KiB, those of ML-DSA keys below 8 KiB.
pub(crate) const MAX_CERTIFICATE_LENGTH: usize = 16 * 1024;

const MAX_EXTENSIONS: usize = 32;

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");

/// The parts of one certificate (RFC 5280 section 4.1), borrowed from its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Certificate<'a> {
    /// tbsCertificate as received: what the signature covers.
    pub(crate) tbs: &'a [u8],
    /// The encoded AlgorithmIdentifier of the signature; equal inside and outside.
    pub(crate) signature_algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
    /// Content of the serial number's INTEGER.
    pub(crate) serial: &'a [u8],
    /// Encoded Name.
    pub(crate) issuer: &'a [u8],
    /// Encoded Name.
    pub(crate) subject: &'a [u8],
    /// Content of the Validity SEQUENCE, read only where dates count: those of Android leaves are made up.
    validity: &'a [u8],
    /// Encoded SubjectPublicKeyInfo.
    pub(crate) public_key: &'a [u8],
    extensions: Vec<Extension<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Extension<'a> {
    oid: &'a [u8],
    critical: bool,
    /// `critical = FALSE` is written out, which DER forbids of a default (X.690 section 11.5).
    has_explicit_default: bool,
    value: &'a [u8],
}

/// basicConstraints of a certificate (RFC 5280 section 4.2.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BasicConstraints {
    Absent,
    NotAuthority,
    Authority { path_length: Option<u64> },
}

impl<'a> Certificate<'a> {
    /// Takes one certificate apart. A byte after it, or an extension that stands twice, refuses it.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, NotDer> {
        if bytes.len() > MAX_CERTIFICATE_LENGTH {
            return Err(NotDer);
        }
        let mut outer = Members::of_sequence(bytes)?;
        let tbs = outer.encoding(Tag::Sequence)?;
        let signature_algorithm = outer.encoding(Tag::Sequence)?;
        let signature = outer.bit_string()?;
        outer.finish()?;

        let mut inner = Members::of_sequence(tbs)?;
        inner.optional(context(0))?; // version
        let serial = inner.content(Tag::Integer)?;
        // A padded number would be another name for the same certificate.
        if !asn1::is_shortest_integer(serial) {
            return Err(NotDer);
        }
        if inner.encoding(Tag::Sequence)? != signature_algorithm {
            return Err(NotDer);
        }
        let issuer = inner.encoding(Tag::Sequence)?;
        let validity = inner.content(Tag::Sequence)?;
        let subject = inner.encoding(Tag::Sequence)?;
        let public_key = inner.encoding(Tag::Sequence)?;
        inner.optional(context_primitive(1))?; // issuerUniqueID
        inner.optional(context_primitive(2))?; // subjectUniqueID
        let extensions = match inner.optional(context(3))? {
            Some(extensions) => read_extensions(extensions)?,
            None => Vec::new(),
        };
        inner.finish()?;
        Ok(Self {
            tbs,
            signature_algorithm,
            signature,
            serial,
            issuer,
            subject,
            validity,
            public_key,
            extensions,
        })
    }

    /// notBefore and notAfter in seconds since 1970.
    pub(crate) fn validity(&self) -> Result<(u64, u64), NotDer> {
        let mut members = Members::of(self.validity)?;
        let dates = (members.time()?, members.time()?);
        members.finish()?;
        Ok(dates)
    }

    /// The value of the extension `oid`.
    pub(crate) fn extension(&self, oid: &ObjectIdentifier) -> Option<&'a [u8]> {
        self.extensions
            .iter()
            .find(|extension| extension.oid == oid.as_bytes())
            .map(|extension| extension.value)
    }

    pub(crate) fn basic_constraints(&self) -> Result<BasicConstraints, NotDer> {
        let Some(value) = self.extension(&BASIC_CONSTRAINTS) else {
            return Ok(BasicConstraints::Absent);
        };
        let mut members = Members::of_sequence(value)?;
        let authority = members.optional(Tag::Boolean)?.map_or(Ok(false), asn1::boolean)?;
        let path_length = members.optional(Tag::Integer)?.map(asn1::unsigned).transpose()?;
        members.finish()?;
        Ok(if authority {
            BasicConstraints::Authority { path_length }
        } else {
            BasicConstraints::NotAuthority
        })
    }

    /// Whether keyUsage, if present, allows signing certificates (keyCertSign, bit 5).
    pub(crate) fn may_sign_certificates(&self) -> Result<bool, NotDer> {
        let Some(value) = self.extension(&KEY_USAGE) else {
            return Ok(true);
        };
        match asn1::only(value, Tag::BitString)? {
            [_, first, ..] => Ok(first & 0x04 != 0),
            _ => Err(NotDer),
        }
    }

    /// Whether a critical extension is present that is neither basicConstraints nor keyUsage.
    pub(crate) fn has_unknown_critical_extension(&self) -> bool {
        self.extensions.iter().any(|extension| {
            extension.critical
                && extension.oid != BASIC_CONSTRAINTS.as_bytes()
                && extension.oid != KEY_USAGE.as_bytes()
        })
    }

    /// Whether an extension writes out that it is not critical.
    pub(crate) fn has_explicit_default(&self) -> bool {
        self.extensions.iter().any(|extension| extension.has_explicit_default)
    }

    /// Whether the issuer's name is the subject's, byte for byte.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// The values of the subject's attributes of type `oid`, as raw string bytes.
    pub(crate) fn subject_attributes(&self, oid: &ObjectIdentifier) -> Result<Vec<&'a [u8]>, NotDer> {
        let mut values = Vec::new();
        let mut names = Members::of_sequence(self.subject)?;
        while !names.is_finished() {
            let mut attributes = Members::of(names.content(Tag::Set)?)?;
            while !attributes.is_finished() {
                let mut attribute = attributes.sequence()?;
                let kind = attribute.content(Tag::ObjectIdentifier)?;
                let (_, value) = attribute.any()?;
                if kind == oid.as_bytes() {
                    values.push(value);
                }
            }
        }
        Ok(values)
    }
}

const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

const fn context_primitive(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: false, number: TagNumber(number) }
}

fn read_extensions(explicit: &[u8]) -> Result<Vec<Extension<'_>>, NotDer> {
    let mut members = Members::of_sequence(explicit)?;
    let mut extensions: Vec<Extension<'_>> = Vec::new();
    while !members.is_finished() {
        let mut extension = members.sequence()?;
        let oid = extension.content(Tag::ObjectIdentifier)?;
        let critical = extension.optional(Tag::Boolean)?.map(asn1::boolean).transpose()?;
        let value = extension.content(Tag::OctetString)?;
        extension.finish()?;
        if extensions.len() == MAX_EXTENSIONS || extensions.iter().any(|known| known.oid == oid) {
            return Err(NotDer);
        }
        let has_explicit_default = critical == Some(false);
        extensions.push(Extension { oid, critical: critical == Some(true), has_explicit_default, value });
    }
    Ok(extensions)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &[u8] = include_bytes!("../data/google-key-attestation-ca1.der");

    #[test]
    fn a_root_comes_apart() {
        let root = Certificate::decode(ROOT).unwrap();
        assert!(root.is_self_issued());
        assert_eq!(root.basic_constraints(), Ok(BasicConstraints::Authority { path_length: None }));
        assert_eq!(root.may_sign_certificates(), Ok(true));
        assert!(!root.has_unknown_critical_extension());
        assert_eq!(root.validity(), Ok((1_752_791_538, 2_068_151_538)));
        let common_name = ObjectIdentifier::new_unwrap("2.5.4.3");
        assert_eq!(root.subject_attributes(&common_name), Ok(vec![&b"Key Attestation CA1"[..]]));
    }

    #[test]
    fn a_byte_more_or_less_is_refused() {
        assert!(Certificate::decode(&[ROOT, &[0]].concat()).is_err());
        for end in 0..ROOT.len() {
            assert!(Certificate::decode(&ROOT[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn every_changed_byte_is_survived() {
        let mut bytes = ROOT.to_vec();
        for at in 0..bytes.len() {
            for flip in [0x01, 0x20, 0x80, 0xff] {
                bytes[at] ^= flip;
                if let Ok(certificate) = Certificate::decode(&bytes) {
                    let _ = certificate.validity();
                    let _ = certificate.basic_constraints();
                    let _ = certificate.may_sign_certificates();
                    let _ = certificate.subject_attributes(&KEY_USAGE);
                }
                bytes[at] ^= flip;
            }
        }
    }
}
