//! The key that evidence is about.

use countersign_core::token::keys::PublicKey;
use der::Tag;
use der::asn1::ObjectIdentifier;
use serde::{Serialize, Serializer};

use super::{EvidenceError, Hex};
use crate::asn1::Members;
use crate::crypto::CertificateKey;

/// The attested key. Chains of other keys than P-256 verify all the same; that such a key is of no use to us is
/// for the policy to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttestedKey {
    /// A P-256 key.
    P256(PublicKey),
    /// Any other key, by the name of its algorithm.
    Other(String),
    /// None: evidence that vouches for app and device, and for keys only by the binding hash in it.
    Absent,
}

impl AttestedKey {
    /// The key, if it is one that we can use.
    pub const fn as_p256(&self) -> Option<&PublicKey> {
        match self {
            Self::P256(key) => Some(key),
            Self::Other(_) | Self::Absent => None,
        }
    }

    /// The key in an encoded SubjectPublicKeyInfo.
    pub(crate) fn from_spki(spki: &[u8]) -> Result<Self, EvidenceError> {
        match CertificateKey::of(spki) {
            Ok((CertificateKey::P256, point)) => {
                PublicKey::from_p256_sec1(point).map(Self::P256).map_err(|_| EvidenceError::MalformedKey)
            }
            Ok((CertificateKey::P384, _)) => Ok(Self::Other("P-384".to_owned())),
            Ok((CertificateKey::Rsa, _)) => Ok(Self::Other("RSA".to_owned())),
            Err(_) => algorithm_name(spki).map(Self::Other).ok_or(EvidenceError::MalformedKey),
        }
    }
}

impl Serialize for AttestedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::P256(key) => {
                map.serialize_entry("algorithm", "P-256")?;
                if let Some(point) = key.to_p256_sec1() {
                    map.serialize_entry("sec1", &Hex(&point).to_string())?;
                }
                map.serialize_entry("jkt", &key.thumbprint().to_base64url())?;
            }
            Self::Other(algorithm) => map.serialize_entry("algorithm", algorithm)?,
            Self::Absent => map.serialize_entry("algorithm", "none")?,
        }
        map.end()
    }
}

/// The name of a key algorithm that we do not use, or its object identifier.
fn algorithm_name(spki: &[u8]) -> Option<String> {
    const NAMES: [(&str, &str); 6] = [
        ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
        ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
        ("2.16.840.1.101.3.4.3.19", "ML-DSA-87"),
        ("1.3.101.112", "Ed25519"),
        ("1.3.101.110", "X25519"),
        ("1.2.840.10045.2.1", "EC"),
    ];
    let mut algorithm = Members::of_sequence(spki).ok()?.sequence().ok()?;
    let oid = ObjectIdentifier::from_bytes(algorithm.content(Tag::ObjectIdentifier).ok()?).ok()?.to_string();
    Some(NAMES.iter().find(|(known, _)| *known == oid).map_or(oid.clone(), |(_, name)| (*name).to_owned()))
}

#[cfg(test)]
mod tests {
    use countersign_virtual_device::asn1;

    use super::*;

    #[test]
    fn keys_that_are_not_used_are_named_for_a_person() {
        let named = |algorithm: &str| {
            let oid = ObjectIdentifier::new_unwrap(algorithm);
            let spki = asn1::sequence([asn1::sequence([asn1::oid(oid)]), asn1::bit_string(0, &[4])]);
            AttestedKey::from_spki(&spki)
        };
        for (algorithm, name) in [
            ("1.3.101.112", "Ed25519"),
            ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
            ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
            ("1.2.3.4", "1.2.3.4"),
        ] {
            assert_eq!(named(algorithm), Ok(AttestedKey::Other(name.to_owned())));
        }
        for spki in [&[][..], &[0x30, 0], &[0x05, 0]] {
            assert_eq!(AttestedKey::from_spki(spki), Err(EvidenceError::MalformedKey));
        }
    }
}
