//! X.509 certificates as drafts: every field can be set wrong before the issuer's key signs it.

use const_oid::ObjectIdentifier;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest, Sha256, Sha384};

use countersign_core::time::Timestamp;

use crate::asn1;

/// Seconds of a day.
pub const DAY: u64 = 86_400;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const PRIME256V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

/// ML-DSA-65, as a key and as a signature.
pub(crate) const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");

const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");

/// A key that signs certificates.
#[derive(Clone)]
pub enum IssuerKey {
    /// P-256.
    P256(p256::ecdsa::SigningKey),
    /// P-384.
    P384(p384::ecdsa::SigningKey),
}

/// The hash under an ECDSA signature; genuine chains mix both with both curves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureHash {
    /// ecdsa-with-SHA256.
    Sha256,
    /// ecdsa-with-SHA384.
    Sha384,
    /// ecdsa-with-SHA256, with parameters of NULL where there should be none.
    Sha256WithNull,
    /// Says that it is ML-DSA-65, and is ECDSA with SHA-256: nobody here can sign with ML-DSA.
    MlDsaInName,
}

impl IssuerKey {
    /// The SubjectPublicKeyInfo, DER.
    pub fn subject_public_key_info(&self) -> Vec<u8> {
        match self {
            Self::P256(key) => p256_public_key_info(&key.verifying_key().to_sec1_bytes()),
            Self::P384(key) => ec_public_key_info(SECP384R1, &point_of(key)),
        }
    }

    /// The 20 bytes that name the key in certificates (RFC 7093 section 2, method 1).
    pub fn identifier(&self) -> [u8; 20] {
        match self {
            Self::P256(key) => key_identifier(&key.verifying_key().to_sec1_bytes()),
            Self::P384(key) => key_identifier(&point_of(key)),
        }
    }

    /// The DER signature over `message`.
    pub(crate) fn sign(&self, hash: SignatureHash, message: &[u8]) -> Vec<u8> {
        let digest = match hash {
            SignatureHash::Sha384 => Sha384::digest(message).to_vec(),
            _ => Sha256::digest(message).to_vec(),
        };
        const INVARIANT: &str = "RFC 6979 signing of a digest cannot fail";
        match self {
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign_prehash(&digest).expect(INVARIANT);
                signature.to_der().as_bytes().to_vec()
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign_prehash(&digest).expect(INVARIANT);
                signature.to_der().as_bytes().to_vec()
            }
        }
    }
}

/// A certificate before it is signed.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Content of the serial number's INTEGER, as it is.
    pub serial: Vec<u8>,
    /// The issuer's Name, DER.
    pub issuer: Vec<u8>,
    /// The subject's Name, DER.
    pub subject: Vec<u8>,
    /// First second of its validity.
    pub not_before: Timestamp,
    /// Last second of its validity.
    pub not_after: Timestamp,
    /// SubjectPublicKeyInfo, DER.
    pub subject_public_key_info: Vec<u8>,
    /// The extensions in their order.
    pub extensions: Vec<Extension>,
    /// Whether extensions write out that they are not critical, which DER forbids.
    pub writes_defaults: bool,
}

/// An extension of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its name.
    pub id: ObjectIdentifier,
    /// Whether it is marked critical.
    pub critical: bool,
    /// The content of its OCTET STRING.
    pub value: Vec<u8>,
}

impl Certificate {
    /// Signs the certificate: its DER.
    pub fn sign(&self, key: &IssuerKey, hash: SignatureHash) -> Vec<u8> {
        let algorithm = asn1::sequence(match hash {
            SignatureHash::Sha256 => vec![asn1::oid(ECDSA_WITH_SHA256)],
            SignatureHash::Sha384 => vec![asn1::oid(ECDSA_WITH_SHA384)],
            SignatureHash::Sha256WithNull => vec![asn1::oid(ECDSA_WITH_SHA256), asn1::null()],
            SignatureHash::MlDsaInName => vec![asn1::oid(ML_DSA_65)],
        });
        let tbs = asn1::sequence([
            asn1::explicit(0, &asn1::integer(2)),
            asn1::tlv(&[0x02], &self.serial),
            algorithm.clone(),
            self.issuer.clone(),
            asn1::sequence([asn1::time(self.not_before), asn1::time(self.not_after)]),
            self.subject.clone(),
            self.subject_public_key_info.clone(),
            asn1::explicit(
                3,
                &asn1::sequence(self.extensions.iter().map(|one| one.encode(self.writes_defaults))),
            ),
        ]);
        let signature = asn1::bit_string(0, &key.sign(hash, &tbs));
        asn1::sequence([tbs, algorithm, signature])
    }

    /// The value of the extension of that name.
    pub fn extension_mut(&mut self, id: ObjectIdentifier) -> Option<&mut Vec<u8>> {
        self.extensions.iter_mut().find(|extension| extension.id == id).map(|extension| &mut extension.value)
    }

    /// Leaves the extension of that name out.
    pub fn remove_extension(&mut self, id: ObjectIdentifier) {
        self.extensions.retain(|extension| extension.id != id);
    }

    /// Sets BasicConstraints to CA or not, where the certificate has them.
    pub fn set_ca(&mut self, ca: bool) {
        if let Some(value) = self.extension_mut(BASIC_CONSTRAINTS) {
            *value = if ca { asn1::sequence([asn1::boolean(true)]) } else { asn1::sequence([]) };
        }
    }

    /// Sets BasicConstraints to CA with this path length, where the certificate has them.
    pub fn set_path_length(&mut self, length: u64) {
        if let Some(value) = self.extension_mut(BASIC_CONSTRAINTS) {
            *value = Extension::basic_constraints(true, Some(length)).value;
        }
    }

    /// Sets the first byte of KeyUsage, where the certificate has it.
    pub fn set_key_usage(&mut self, bits: u8) {
        if let Some(value) = self.extension_mut(KEY_USAGE) {
            *value = Extension::key_usage(bits).value;
        }
    }
}

impl Extension {
    /// An extension that is not critical.
    pub const fn new(id: ObjectIdentifier, value: Vec<u8>) -> Self {
        Self { id, critical: false, value }
    }

    /// BasicConstraints, critical: CA with an optional path length, or not a CA.
    pub fn basic_constraints(ca: bool, path_length: Option<u64>) -> Self {
        let ca = ca.then(|| asn1::boolean(true));
        let value = asn1::sequence(ca.into_iter().chain(path_length.map(asn1::integer)));
        Self { id: BASIC_CONSTRAINTS, critical: true, value }
    }

    /// KeyUsage, critical, from its first byte: 0x80 digitalSignature, 0x04 keyCertSign, 0x02 cRLSign.
    pub fn key_usage(bits: u8) -> Self {
        let unused = bits.trailing_zeros().min(7) as u8;
        Self { id: KEY_USAGE, critical: true, value: asn1::bit_string(unused, &[bits]) }
    }

    /// SubjectKeyIdentifier.
    pub fn subject_key_identifier(identifier: [u8; 20]) -> Self {
        Self::new(SUBJECT_KEY_IDENTIFIER, asn1::octet_string(&identifier))
    }

    /// AuthorityKeyIdentifier with its keyIdentifier only.
    pub fn authority_key_identifier(identifier: [u8; 20]) -> Self {
        Self::new(AUTHORITY_KEY_IDENTIFIER, asn1::sequence([asn1::tlv(&[0x80], &identifier)]))
    }

    fn encode(&self, writes_defaults: bool) -> Vec<u8> {
        let critical = (self.critical || writes_defaults).then(|| asn1::boolean(self.critical));
        asn1::sequence(
            [asn1::oid(self.id)].into_iter().chain(critical).chain([asn1::octet_string(&self.value)]),
        )
    }
}

/// One certificate of a chain, together with what will sign it.
#[derive(Clone)]
pub struct Link {
    /// The certificate.
    pub certificate: Certificate,
    /// The key that signs it.
    pub key: IssuerKey,
    /// The hash under that signature.
    pub hash: SignatureHash,
}

/// Signs a chain, in its order.
pub fn sign_chain(links: &[Link]) -> Vec<Vec<u8>> {
    links.iter().map(|link| link.certificate.sign(&link.key, link.hash)).collect()
}

/// A Name of one attribute per RDN, in the order given. Values are encoded already: Apple writes UTF8String, Google
/// mostly PrintableString.
pub fn name(attributes: &[(ObjectIdentifier, Vec<u8>)]) -> Vec<u8> {
    asn1::sequence(
        attributes.iter().map(|(id, value)| asn1::set_of([asn1::sequence([asn1::oid(*id), value.clone()])])),
    )
}

/// The SubjectPublicKeyInfo of a P-256 key from its uncompressed point.
pub fn p256_public_key_info(point: &[u8]) -> Vec<u8> {
    ec_public_key_info(PRIME256V1, point)
}

/// The serial number of a DER certificate as Google's status list writes it: lower-case hex without leading zeros.
pub fn serial_hex(certificate: &[u8]) -> Option<String> {
    use der::Decode;
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let hex: String =
        certificate.tbs_certificate().serial_number().as_bytes().iter().map(|b| format!("{b:02x}")).collect();
    Some(hex.trim_start_matches('0').to_owned())
}

/// PEM of a DER certificate (RFC 7468).
pub fn pem(certificate: &[u8]) -> String {
    der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, certificate)
        .expect("base64 of a certificate has a length that fits")
}

fn ec_public_key_info(curve: ObjectIdentifier, point: &[u8]) -> Vec<u8> {
    asn1::sequence([asn1::sequence([asn1::oid(EC_PUBLIC_KEY), asn1::oid(curve)]), asn1::bit_string(0, point)])
}

fn key_identifier(point: &[u8]) -> [u8; 20] {
    let digest: [u8; 32] = Sha256::digest(point).into();
    digest[..20].try_into().expect("20 of 32 bytes")
}

/// The uncompressed point of a P-384 key, 97 bytes.
fn point_of(key: &p384::ecdsa::SigningKey) -> Vec<u8> {
    key.verifying_key().to_sec1_bytes().to_vec()
}
