//! The one place that knows `aws-lc-rs`: token signatures with keys parsed once, certificate signatures, key
//! unwrapping, authenticated decryption, hashes.

use core::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest;
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap as _};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RsaKeyPair, VerificationAlgorithm,
};
use countersign_core::token::keys::{Algorithm, InvalidSignature, PublicKey, VerifySignature};
use der::Tag;
use der::asn1::ObjectIdentifier;
use zeroize::Zeroizing;

use crate::asn1::{Members, NotDer};

/// SHA-256 of `message`, 32 bytes.
pub fn sha256(message: &[u8]) -> [u8; 32] {
    sha256_of(&[message])
}

/// SHA-256 of the concatenation of `parts`, 32 bytes.
pub fn sha256_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// [`VerifySignature`] with `aws-lc-rs`. Parses the key each time; where a key is used again, keep a
/// [`VerifyingKey`] instead.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

impl VerifySignature for AwsLc {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        VerifyingKey::new(*key).verify(message, signature)
    }
}

/// A public key made ready once and kept: verifying with it parses nothing and allocates nothing of ours.
/// A [`PublicKey`] is never of small order, so Ed25519 here needs no further check of the key.
pub struct VerifyingKey {
    public_key: PublicKey,
    // None only if the library refused a point that `PublicKey` has checked; then nothing verifies.
    parsed: Option<ParsedPublicKey>,
}

impl VerifyingKey {
    /// Parses `public_key`.
    pub fn new(public_key: PublicKey) -> Self {
        let parsed = match (public_key.to_p256_sec1(), public_key.as_ed25519()) {
            (Some(point), _) => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point),
            (None, Some(bytes)) => ParsedPublicKey::new(&ED25519, bytes),
            (None, None) => return Self { public_key, parsed: None },
        };
        Self { public_key, parsed: parsed.ok() }
    }

    /// Verifies a signature of 64 bytes (`r || s` or `R || S`) over `message`.
    ///
    /// # Errors
    /// [`InvalidSignature`] whenever it is not a valid signature by this key.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        self.parsed.as_ref().and_then(|key| key.verify_sig(message, signature).ok()).ok_or(InvalidSignature)
    }

    /// The key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.public_key, f)
    }
}

/// Verifies an ECDSA P-256 signature with SHA-256 in its DER form, as App Attest assertions carry it. Both `s`
/// and `n - s` verify: nothing may take the bytes of such a signature for an identity.
///
/// # Errors
/// [`InvalidSignature`] for any other key, encoding or message.
pub fn verify_p256_der(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
    let (Algorithm::Esp256, Some(point)) = (key.algorithm(), key.to_p256_sec1()) else {
        return Err(InvalidSignature);
    };
    verify(&ECDSA_P256_SHA256_ASN1, &point, message, signature)
}

/// What was encrypted or wrapped is not authentic under this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAuthentic;

/// Unwraps a 32-byte key that was wrapped with `key` (AES Key Wrap, RFC 3394; `A256KW` of RFC 7518 section 4.4).
/// The library holds a copy of `key` while it works, which it does not wipe.
///
/// # Errors
/// [`NotAuthentic`] if the integrity check value is not the one of RFC 3394 section 2.2.3.1.
pub fn aes256_key_unwrap(key: &[u8; 32], wrapped: &[u8; 40]) -> Result<Zeroizing<[u8; 32]>, NotAuthentic> {
    let kek = AesKek::new(&AES_256, key).map_err(|_| NotAuthentic)?;
    let mut unwrapped = Zeroizing::new([0; 32]);
    kek.unwrap(wrapped, &mut unwrapped[..]).map_err(|_| NotAuthentic)?;
    Ok(unwrapped)
}

/// Decrypts `in_out` in its place with AES-256-GCM (NIST SP 800-38D; `A256GCM` of RFC 7518 section 5.3): nonce of
/// 12 bytes, tag of 16.
///
/// # Errors
/// [`NotAuthentic`], and what is in `in_out` is of no use then.
pub fn aes256_gcm_open(
    key: &[u8; 32],
    nonce: &[u8; 12],
    additional_data: &[u8],
    in_out: &mut [u8],
    tag: &[u8; 16],
) -> Result<(), NotAuthentic> {
    let key = UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| NotAuthentic)?;
    key.open_in_place_separate_tag(
        Nonce::assume_unique_for_key(*nonce),
        Aad::from(additional_data),
        tag,
        in_out,
    )
    .map(drop)
    .map_err(|_| NotAuthentic)
}

/// A private RSA key that signs with RSASSA-PKCS1-v1_5 and SHA-256, `RS256` (RFC 7518 section 3.3). Never in
/// `Debug`.
pub struct RsaSigningKey(RsaKeyPair);

/// The key is none of the kind that was expected, or cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnusableKey;

impl RsaSigningKey {
    /// From a PEM file of PKCS #8 (`PRIVATE KEY`), RSA with 2048 to 8192 bits.
    ///
    /// # Errors
    /// [`UnusableKey`] for anything else.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, UnusableKey> {
        let (label, der) = der::pem::decode_vec(pem.trim().as_bytes()).map_err(|_| UnusableKey)?;
        let der = Zeroizing::new(der);
        if label != "PRIVATE KEY" {
            return Err(UnusableKey);
        }
        RsaKeyPair::from_pkcs8(&der).map(Self).map_err(|_| UnusableKey)
    }

    /// Signs `message`. The scheme is deterministic; what randomness the library uses blinds the key and does not show.
    ///
    /// # Errors
    /// [`UnusableKey`] if the library cannot sign.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, UnusableKey> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| UnusableKey)?;
        Ok(signature)
    }
}

impl fmt::Debug for RsaSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaSigningKey(..)")
    }
}

/// Why a certificate's signature was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateSignatureError {
    /// The signature does not verify with the issuer's key.
    Invalid,
    /// A signature algorithm other than ECDSA and RSA PKCS #1 v1.5 with SHA-256, SHA-384 (RSA: SHA-512).
    UnsupportedAlgorithm,
    /// An issuer key other than P-256, P-384 and RSA, or not of the kind that the algorithm needs.
    UnsupportedKey,
    /// An AlgorithmIdentifier or SubjectPublicKeyInfo that is not DER of its type.
    Malformed,
    /// ECDSA with parameters or RSA without, where the certificate was not made by a device.
    Parameters,
}

impl CertificateSignatureError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "certificate_signature_invalid",
            Self::UnsupportedAlgorithm => "certificate_signature_algorithm_unsupported",
            Self::UnsupportedKey => "certificate_key_unsupported",
            Self::Malformed => "certificate_algorithm_malformed",
            Self::Parameters => "certificate_algorithm_parameters",
        }
    }
}

impl From<NotDer> for CertificateSignatureError {
    fn from(NotDer: NotDer) -> Self {
        Self::Malformed
    }
}

/// Verifies the signature of a certificate over its raw tbsCertificate. `algorithm` is the encoded
/// AlgorithmIdentifier, `issuer_key` the encoded SubjectPublicKeyInfo. Any mix of P-256 and P-384 keys with
/// SHA-256 and SHA-384 occurs in genuine chains.
///
/// # Errors
/// As [`CertificateSignatureError`].
pub fn verify_certificate(
    algorithm: &[u8],
    issuer_key: &[u8],
    tbs: &[u8],
    signature: &[u8],
) -> Result<(), CertificateSignatureError> {
    let (scheme, hash, _) = signature_scheme(algorithm)?;
    let (key, point_or_rsa) = CertificateKey::of(issuer_key)?;
    let verification: &'static dyn VerificationAlgorithm = match (scheme, key, hash) {
        (Scheme::Ecdsa, CertificateKey::P256, Hash::Sha256) => &ECDSA_P256_SHA256_ASN1,
        (Scheme::Ecdsa, CertificateKey::P256, Hash::Sha384) => &ECDSA_P256_SHA384_ASN1,
        (Scheme::Ecdsa, CertificateKey::P384, Hash::Sha256) => &ECDSA_P384_SHA256_ASN1,
        (Scheme::Ecdsa, CertificateKey::P384, Hash::Sha384) => &ECDSA_P384_SHA384_ASN1,
        (Scheme::Rsa, CertificateKey::Rsa, Hash::Sha256) => &RSA_PKCS1_2048_8192_SHA256,
        (Scheme::Rsa, CertificateKey::Rsa, Hash::Sha384) => &RSA_PKCS1_2048_8192_SHA384,
        (Scheme::Rsa, CertificateKey::Rsa, Hash::Sha512) => &RSA_PKCS1_2048_8192_SHA512,
        (Scheme::Ecdsa, _, Hash::Sha512) => return Err(CertificateSignatureError::UnsupportedAlgorithm),
        _ => return Err(CertificateSignatureError::UnsupportedKey),
    };
    verify(verification, point_or_rsa, tbs, signature).map_err(|_| CertificateSignatureError::Invalid)
}

/// The kind of key in a certificate that can sign another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateKey {
    P256,
    P384,
    Rsa,
}

impl CertificateKey {
    /// Kind, and the point (uncompressed) or RSAPublicKey, of an encoded SubjectPublicKeyInfo (RFC 5480 section
    /// 2: named curves only; RFC 8017 A.1: parameters NULL).
    pub(crate) fn of(spki: &[u8]) -> Result<(Self, &[u8]), CertificateSignatureError> {
        let mut members = Members::of_sequence(spki)?;
        let mut algorithm = members.sequence()?;
        let key = members.bit_string()?;
        members.finish()?;
        let oid = algorithm.content(Tag::ObjectIdentifier)?;
        let kind = if oid == EC_PUBLIC_KEY.as_bytes() {
            let curve = algorithm.optional(Tag::ObjectIdentifier)?;
            match (curve, key.first(), key.len()) {
                (Some(curve), Some(4), 65) if curve == P256.as_bytes() => Self::P256,
                (Some(curve), Some(4), 97) if curve == P384.as_bytes() => Self::P384,
                _ => return Err(CertificateSignatureError::UnsupportedKey),
            }
        } else if oid == RSA_ENCRYPTION.as_bytes() {
            algorithm.content(Tag::Null)?;
            Self::Rsa
        } else {
            return Err(CertificateSignatureError::UnsupportedKey);
        };
        algorithm.finish()?;
        Ok((kind, key))
    }
}

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// ML-DSA-44, ML-DSA-65 and ML-DSA-87.
const ML_DSA: [ObjectIdentifier; 3] = [
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17"),
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18"),
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19"),
];

const SIGNATURE_SCHEMES: [(ObjectIdentifier, Scheme, Hash); 5] = [
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"), Scheme::Ecdsa, Hash::Sha256),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"), Scheme::Ecdsa, Hash::Sha384),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"), Scheme::Rsa, Hash::Sha256),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"), Scheme::Rsa, Hash::Sha384),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"), Scheme::Rsa, Hash::Sha512),
];

#[derive(Clone, Copy)]
enum Scheme {
    Ecdsa,
    Rsa,
}

#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// Whether the parameters of a signature's AlgorithmIdentifier are as the standards have them: absent with ECDSA
/// (RFC 5758 section 3.2), NULL with RSA (RFC 4055 section 5).
///
/// # Errors
/// As [`CertificateSignatureError`], for an algorithm that is none of those accepted.
pub(crate) fn has_standard_parameters(algorithm: &[u8]) -> Result<bool, CertificateSignatureError> {
    let (scheme, _, has_null) = signature_scheme(algorithm)?;
    Ok(matches!((scheme, has_null), (Scheme::Ecdsa, false) | (Scheme::Rsa, true)))
}

/// Whether an encoded AlgorithmIdentifier, of a signature or a key, is of ML-DSA (RFC 9881 section 2).
pub(crate) fn is_ml_dsa(algorithm: &[u8]) -> bool {
    let oid = Members::of_sequence(algorithm).and_then(|mut members| members.content(Tag::ObjectIdentifier));
    oid.is_ok_and(|oid| ML_DSA.iter().any(|known| known.as_bytes() == oid))
}

/// Scheme and hash of an AlgorithmIdentifier, and whether its parameters are NULL instead of absent. Nothing else is
/// accepted as parameters.
fn signature_scheme(algorithm: &[u8]) -> Result<(Scheme, Hash, bool), CertificateSignatureError> {
    let mut members = Members::of_sequence(algorithm)?;
    let oid = members.content(Tag::ObjectIdentifier)?;
    let null = members.optional(Tag::Null)?;
    if null.is_some_and(|content| !content.is_empty()) {
        return Err(CertificateSignatureError::Malformed);
    }
    members.finish()?;
    SIGNATURE_SCHEMES
        .iter()
        .find(|(known, ..)| known.as_bytes() == oid)
        .map(|(_, scheme, hash)| (*scheme, *hash, null.is_some()))
        .ok_or(CertificateSignatureError::UnsupportedAlgorithm)
}

fn verify(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), InvalidSignature> {
    ParsedPublicKey::new(algorithm, key)
        .ok()
        .and_then(|key| key.verify_sig(message, signature).ok())
        .ok_or(InvalidSignature)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair,
    };
    use countersign_core::token::keys::PureRust;

    use super::*;

    const PRIVATE: [u8; 32] = [7; 32];

    fn p256(signing: &'static aws_lc_rs::signature::EcdsaSigningAlgorithm) -> (EcdsaKeyPair, PublicKey) {
        let point =
            aws_lc_rs::agreement::PrivateKey::from_private_key(&aws_lc_rs::agreement::ECDH_P256, &PRIVATE)
                .unwrap()
                .compute_public_key()
                .unwrap();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(signing, &PRIVATE, point.as_ref()).unwrap();
        (pair, PublicKey::from_p256_sec1(point.as_ref()).unwrap())
    }

    #[test]
    fn agrees_with_the_pure_rust_verifier() {
        let (pair, p256) = p256(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let p256_signature = pair.sign(&SystemRandom::new(), b"message").unwrap();
        let pair = Ed25519KeyPair::from_seed_unchecked(&PRIVATE).unwrap();
        let ed25519 = PublicKey::from_ed25519(pair.public_key().as_ref().try_into().unwrap()).unwrap();
        let ed25519_signature = pair.sign(b"message");
        for (key, signature) in [(p256, p256_signature.as_ref()), (ed25519, ed25519_signature.as_ref())] {
            for verifier in [&AwsLc as &dyn VerifySignature, &PureRust] {
                assert_eq!(verifier.verify(&key, b"message", signature), Ok(()));
                assert_eq!(verifier.verify(&key, b"massage", signature), Err(InvalidSignature));
                assert_eq!(verifier.verify(&key, b"message", &signature[..63]), Err(InvalidSignature));
                assert_eq!(verifier.verify(&key, b"message", &[0; 64]), Err(InvalidSignature));
                assert_eq!(verifier.verify(&key, b"message", &[0xff; 64]), Err(InvalidSignature));
            }
        }
        assert_eq!(AwsLc.verify(&ed25519, b"message", p256_signature.as_ref()), Err(InvalidSignature));
    }

    #[test]
    fn assertion_signatures_are_der_of_p256() {
        let (pair, key) = p256(&ECDSA_P256_SHA256_ASN1_SIGNING);
        let signature = pair.sign(&SystemRandom::new(), b"nonce").unwrap();
        assert_eq!(verify_p256_der(&key, b"nonce", signature.as_ref()), Ok(()));
        assert_eq!(verify_p256_der(&key, b"other", signature.as_ref()), Err(InvalidSignature));
        assert_eq!(verify_p256_der(&key, b"nonce", &[]), Err(InvalidSignature));
        assert_eq!(verify_p256_der(&key, b"nonce", &[0; 64]), Err(InvalidSignature));
        let trailing = [signature.as_ref(), &[0]].concat();
        assert_eq!(verify_p256_der(&key, b"nonce", &trailing), Err(InvalidSignature));
    }

    #[test]
    fn a_key_is_unwrapped_as_in_rfc_3394_and_not_with_a_bit_changed() {
        let key: [u8; 32] = core::array::from_fn(|index| index as u8);
        let wrapped = *b"\x28\xc9\xf4\x04\xc4\xb8\x10\xf4\xcb\xcc\xb3\x5c\xfb\x87\xf8\x26\x3f\x57\x86\xe2\
            \xd8\x0e\xd3\x26\xcb\xc7\xf0\xe7\x1a\x99\xf4\x3b\xfb\x98\x8b\x9b\x7a\x02\xdd\x21";
        let unwrapped = aes256_key_unwrap(&key, &wrapped).unwrap();
        assert_eq!(unwrapped[..16], 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes());
        for at in 0..wrapped.len() {
            let mut altered = wrapped;
            altered[at] ^= 1;
            assert_eq!(aes256_key_unwrap(&key, &altered).err(), Some(NotAuthentic), "byte {at}");
        }
        assert!(aes256_key_unwrap(&[0; 32], &wrapped).is_err());
    }

    #[test]
    fn what_gcm_did_not_seal_is_not_opened() {
        // Case 13 of the GCM specification: nothing sealed under a zero key and a zero nonce.
        let tag = 0x530f_8afb_c745_36b9_a963_b4f1_c4cb_738b_u128.to_be_bytes();
        assert_eq!(aes256_gcm_open(&[0; 32], &[0; 12], b"", &mut [], &tag), Ok(()));
        assert_eq!(aes256_gcm_open(&[0; 32], &[0; 12], b"x", &mut [], &tag), Err(NotAuthentic));
        assert_eq!(aes256_gcm_open(&[0; 32], &[1; 12], b"", &mut [], &tag), Err(NotAuthentic));
        assert_eq!(aes256_gcm_open(&[0; 32], &[0; 12], b"", &mut [0], &tag), Err(NotAuthentic));
        assert_eq!(aes256_gcm_open(&[0; 32], &[0; 12], b"", &mut [], &[0; 16]), Err(NotAuthentic));
    }

    #[test]
    fn algorithms_that_are_not_listed_are_refused() {
        let identifier = |oid: &str, parameters: &[u8]| {
            let oid = ObjectIdentifier::new_unwrap(oid);
            let body = [&[6, oid.as_bytes().len() as u8], oid.as_bytes(), parameters].concat();
            [&[0x30, body.len() as u8], &body[..]].concat()
        };
        for parameters in [&[][..], &[5, 0]] {
            assert!(signature_scheme(&identifier("1.2.840.10045.4.3.2", parameters)).is_ok());
        }
        let refused = [
            (identifier("1.2.840.113549.1.1.5", &[5, 0]), CertificateSignatureError::UnsupportedAlgorithm),
            (identifier("1.2.840.113549.1.1.10", &[]), CertificateSignatureError::UnsupportedAlgorithm),
            (identifier("1.2.840.10045.4.1", &[]), CertificateSignatureError::UnsupportedAlgorithm),
            (identifier("1.3.101.112", &[]), CertificateSignatureError::UnsupportedAlgorithm),
            (identifier("1.2.840.10045.4.3.2", &[0x30, 0]), CertificateSignatureError::Malformed),
            (identifier("1.2.840.10045.4.3.2", &[5, 0, 5, 0]), CertificateSignatureError::Malformed),
            (vec![], CertificateSignatureError::Malformed),
        ];
        for (algorithm, error) in refused {
            assert_eq!(signature_scheme(&algorithm).map(drop), Err(error), "{algorithm:?}");
        }
    }
}
