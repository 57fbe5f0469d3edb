//! Classic tokens, opened offline with the keys that the Play Console gives out: a compact JWE (RFC 7516) around
//! a compact JWS (RFC 7515), each with the one algorithm that Google uses.

use core::fmt;

use countersign_core::encoding::from_base64url;
use countersign_core::token::jose::{Jws, JwsError, strict_object};
use countersign_core::token::keys::PublicKey;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::payload::Payload;
use super::{MAX_TOKEN, PlayIntegrityError};
use crate::crypto::{CertificateKey, VerifyingKey, aes256_gcm_open, aes256_key_unwrap};

const KEY_MANAGEMENT: &str = "A256KW";
const CONTENT_ENCRYPTION: &str = "A256GCM";
const SIGNATURE: &str = "ES256";

/// Longest JWE header, in bytes; Google's has 33.
const MAX_HEADER: usize = 1024;
/// Parameters of other key managements, and keys or addresses that a token must not bring along (RFC 7516
/// section 4.1, RFC 7518 section 4). Unknown ones beside these change nothing and are ignored, as the RFC demands.
const FOREIGN_PARAMETERS: [&str; 14] =
    ["epk", "apu", "apv", "iv", "tag", "p2s", "p2c", "skid", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"];

/// The pair of keys with which the classic tokens of one app are opened, as the Play Console shows them under
/// "Response encryption". Wiped when dropped; never in `Debug`.
pub struct ClassicKeys {
    decryption: Zeroizing<[u8; 32]>,
    verification: VerifyingKey,
}

/// Why the console's keys are not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClassicKeyError {
    /// The decryption key is not 32 bytes.
    DecryptionKey,
    /// The verification key is not an encoded SubjectPublicKeyInfo of a P-256 key.
    VerificationKey,
}

impl ClassicKeyError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::DecryptionKey => "play_integrity_decryption_key",
            Self::VerificationKey => "play_integrity_verification_key",
        }
    }
}

impl ClassicKeys {
    /// From the decryption key (32 bytes, AES) and the verification key (DER SubjectPublicKeyInfo, P-256).
    ///
    /// # Errors
    /// [`ClassicKeyError`] for the first that is something else.
    pub fn new(decryption_key: &[u8], verification_key: &[u8]) -> Result<Self, ClassicKeyError> {
        // Copied into its place and never through a value of its own, which nobody would wipe.
        let mut decryption = Zeroizing::new([0; 32]);
        if decryption_key.len() != decryption.len() {
            return Err(ClassicKeyError::DecryptionKey);
        }
        decryption.copy_from_slice(decryption_key);
        let Ok((CertificateKey::P256, point)) = CertificateKey::of(verification_key) else {
            return Err(ClassicKeyError::VerificationKey);
        };
        let key = PublicKey::from_p256_sec1(point).map_err(|_| ClassicKeyError::VerificationKey)?;
        Ok(Self { decryption, verification: VerifyingKey::new(key) })
    }
}

impl fmt::Debug for ClassicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClassicKeys(..)")
    }
}

/// Opens a classic token: JWE with exactly `A256KW` and `A256GCM`, then the JWS in it with exactly `ES256`, then
/// its payload.
///
/// # Errors
/// [`PlayIntegrityError`]. That a token opens says who made it, not for whom: see [`verify`](super::verify).
pub fn decrypt(token: &str, keys: &ClassicKeys) -> Result<Payload, PlayIntegrityError> {
    let signed = Jwe::decode(token)?.decrypt(&keys.decryption)?;
    // The plaintext is not secret from the device that sent it, but it is a token: it goes no further than here.
    let signed = core::str::from_utf8(&signed).map_err(|_| PlayIntegrityError::Jws(JwsError::Base64))?;
    let jws = Jws::decode(signed).map_err(PlayIntegrityError::Jws)?;
    if jws.algorithm() != SIGNATURE {
        return Err(PlayIntegrityError::SignatureAlgorithm);
    }
    keys.verification
        .verify(jws.signing_input.as_bytes(), &jws.signature)
        .map_err(|_| PlayIntegrityError::Signature)?;
    Payload::read(&jws.claims)
}

/// A compact JWE of `A256KW` and `A256GCM` taken apart; nothing in it is authentic before [`Self::decrypt`].
#[derive(Debug)]
pub struct Jwe<'a> {
    /// The encoded header, which the content encryption authenticates.
    encoded_header: &'a str,
    encrypted_key: [u8; 40],
    initialization_vector: [u8; 12],
    ciphertext: Vec<u8>,
    tag: [u8; 16],
}

impl<'a> Jwe<'a> {
    /// Takes a compact JWE apart: five parts, strict base64url, a strict header that names exactly our algorithms,
    /// and the lengths that follow from them.
    ///
    /// # Errors
    /// The first deviation found.
    pub fn decode(token: &'a str) -> Result<Self, PlayIntegrityError> {
        if token.len() > MAX_TOKEN {
            return Err(PlayIntegrityError::TooLong);
        }
        let mut parts = token.split('.');
        let mut part = || parts.next().filter(|part| !part.is_empty()).ok_or(PlayIntegrityError::Parts);
        let (encoded_header, key, vector, ciphertext, tag) = (part()?, part()?, part()?, part()?, part()?);
        if parts.next().is_some() {
            return Err(PlayIntegrityError::Parts);
        }
        check_header(&decode_header(encoded_header)?)?;
        Ok(Self {
            encoded_header,
            encrypted_key: fixed(key)?,
            initialization_vector: fixed(vector)?,
            ciphertext: from_base64url(ciphertext).map_err(|_| PlayIntegrityError::Base64)?,
            tag: fixed(tag)?,
        })
    }

    /// The plaintext (RFC 7516 section 5.2).
    ///
    /// # Errors
    /// [`PlayIntegrityError::WrongKey`] or [`PlayIntegrityError::Decryption`].
    pub fn decrypt(self, key: &[u8; 32]) -> Result<Zeroizing<Vec<u8>>, PlayIntegrityError> {
        let content_key =
            aes256_key_unwrap(key, &self.encrypted_key).map_err(|_| PlayIntegrityError::WrongKey)?;
        let mut plaintext = Zeroizing::new(self.ciphertext);
        aes256_gcm_open(
            &content_key,
            &self.initialization_vector,
            self.encoded_header.as_bytes(),
            &mut plaintext,
            &self.tag,
        )
        .map_err(|_| PlayIntegrityError::Decryption)?;
        Ok(plaintext)
    }
}

/// The header of a compact JWE, strictly read and not yet judged.
pub(super) fn decode_header(encoded: &str) -> Result<Map<String, Value>, PlayIntegrityError> {
    if encoded.len() > MAX_HEADER {
        return Err(PlayIntegrityError::Header);
    }
    let json = from_base64url(encoded).map_err(|_| PlayIntegrityError::Base64)?;
    strict_object(&json).map_err(|error| match error {
        JwsError::DuplicateMember => PlayIntegrityError::DuplicateHeaderMember,
        _ => PlayIntegrityError::Header,
    })
}

fn check_header(header: &Map<String, Value>) -> Result<(), PlayIntegrityError> {
    if header.contains_key("zip") {
        return Err(PlayIntegrityError::Compressed);
    }
    if header.contains_key("crit") {
        return Err(PlayIntegrityError::Critical);
    }
    if header.get("alg").and_then(Value::as_str) != Some(KEY_MANAGEMENT) {
        return Err(PlayIntegrityError::KeyManagement);
    }
    if header.get("enc").and_then(Value::as_str) != Some(CONTENT_ENCRYPTION) {
        return Err(PlayIntegrityError::ContentEncryption);
    }
    if FOREIGN_PARAMETERS.iter().any(|name| header.contains_key(*name)) {
        return Err(PlayIntegrityError::ForeignParameter);
    }
    Ok(())
}

/// A part of exactly `N` bytes.
fn fixed<const N: usize>(part: &str) -> Result<[u8; N], PlayIntegrityError> {
    let bytes = from_base64url(part).map_err(|_| PlayIntegrityError::Base64)?;
    bytes.try_into().map_err(|_| PlayIntegrityError::Length)
}
