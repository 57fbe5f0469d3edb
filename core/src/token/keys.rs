//! Public keys as the tokens carry them: COSE_Key (RFC 9052 section 7), JWK (RFC 7517) and the JWK thumbprint
//! (RFC 7638), and the port that verifies signatures with them.

use core::fmt;

use ed25519_dalek::VerifyingKey as Ed25519VerifyingKey;
use minicbor::{Decoder, Encoder};
use p256::ecdsa::{Signature as P256Signature, VerifyingKey as P256VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cbor::{self, CborError, Never};
use crate::encoding::{base64url, from_base64url_array};

/// Length in bytes of every signature we make or accept: `r || s` for P-256, `R || S` for Ed25519.
pub const SIGNATURE_LENGTH: usize = 64;

/// A public key of one of the two kinds in use. The point lies on its curve; for Ed25519 it is not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(Point);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Point {
    P256 { x: [u8; 32], y: [u8; 32] },
    Ed25519([u8; 32]),
}

/// The one algorithm that a key is used with (RFC 9864: fully specified).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256: COSE ESP256 (-9), JOSE `ES256`.
    Esp256,
    /// Ed25519: COSE -19, JOSE `Ed25519`.
    Ed25519,
}

impl Algorithm {
    /// The COSE algorithm identifier.
    pub const fn cose(self) -> i64 {
        match self {
            Self::Esp256 => -9,
            Self::Ed25519 => -19,
        }
    }

    /// The JOSE `alg` name.
    pub const fn jose(self) -> &'static str {
        match self {
            Self::Esp256 => "ES256",
            Self::Ed25519 => "Ed25519",
        }
    }
}

/// Why bytes or members are not a key that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The coordinates are no point of the curve, or one of small order.
    InvalidPoint,
    /// A key type or curve other than EC2/P-256 and OKP/Ed25519.
    UnsupportedType,
    /// The key carries its private part.
    PrivateKey,
    /// A member is missing, of the wrong type, or not allowed here.
    Malformed,
}

impl KeyError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::InvalidPoint => "key_invalid_point",
            Self::UnsupportedType => "key_unsupported_type",
            Self::PrivateKey => "key_private",
            Self::Malformed => "key_malformed",
        }
    }
}

/// SHA-256 JWK thumbprint of a key (RFC 7638), 32 bytes; the `jkt` of RFC 9449.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// A thumbprint from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The text of `jkt`: base64url, 43 characters.
    pub fn to_base64url(&self) -> String {
        base64url(&self.0)
    }
}

/// A public JWK with exactly the members that RFC 7638 hashes; how we write keys into JWTs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwk {
    /// Key type: `EC` or `OKP`.
    pub kty: String,
    /// Curve: `P-256` or `Ed25519`.
    pub crv: String,
    /// First coordinate, or the public key for OKP: base64url of 32 bytes.
    pub x: String,
    /// Second coordinate for EC: base64url of 32 bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub y: Option<String>,
}

impl PublicKey {
    /// A P-256 key from its affine coordinates, 32 bytes each, big endian.
    ///
    /// # Errors
    /// [`KeyError::InvalidPoint`] if they are no point of the curve.
    pub fn from_p256_coordinates(x: [u8; 32], y: [u8; 32]) -> Result<Self, KeyError> {
        P256VerifyingKey::from_sec1_bytes(&sec1(&x, &y)).map_err(|_| KeyError::InvalidPoint)?;
        Ok(Self(Point::P256 { x, y }))
    }

    /// A P-256 key from the uncompressed point of SEC 1 (X9.62): 65 bytes, `04 || X || Y`.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] for any other form, [`KeyError::InvalidPoint`] off the curve.
    pub fn from_p256_sec1(bytes: &[u8]) -> Result<Self, KeyError> {
        let (Some(4), Some(x), Some(y), 65) =
            (bytes.first(), bytes.get(1..33), bytes.get(33..65), bytes.len())
        else {
            return Err(KeyError::Malformed);
        };
        let array = |part: &[u8]| part.try_into().map_err(|_| KeyError::Malformed);
        Self::from_p256_coordinates(array(x)?, array(y)?)
    }

    /// An Ed25519 key from its 32 bytes (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    /// [`KeyError::InvalidPoint`] if they are no point of the curve, one of small order, or not the one encoding of
    /// their point (5.1.3: y below the field's prime): libraries differ there, and a key has one thumbprint.
    pub fn from_ed25519(bytes: [u8; 32]) -> Result<Self, KeyError> {
        // 2^255 - 19 in little endian: ed ff … ff 7f; the topmost bit is the sign of x.
        let [low, middle @ .., high] = &bytes;
        if *low >= 0xed && middle.iter().all(|byte| *byte == 0xff) && *high | 0x80 == 0xff {
            return Err(KeyError::InvalidPoint);
        }
        match Ed25519VerifyingKey::from_bytes(&bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(Point::Ed25519(bytes))),
            _ => Err(KeyError::InvalidPoint),
        }
    }

    /// The algorithm that this key verifies; no token chooses it.
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            Point::P256 { .. } => Algorithm::Esp256,
            Point::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// The uncompressed SEC 1 point (65 bytes) of a P-256 key.
    pub fn to_p256_sec1(&self) -> Option<[u8; 65]> {
        match &self.0 {
            Point::P256 { x, y } => Some(sec1(x, y)),
            Point::Ed25519(_) => None,
        }
    }

    /// The 32 bytes of an Ed25519 key.
    pub const fn as_ed25519(&self) -> Option<&[u8; 32]> {
        match &self.0 {
            Point::Ed25519(bytes) => Some(bytes),
            Point::P256 { .. } => None,
        }
    }

    /// The RFC 7638 thumbprint: SHA-256 of the JWK's required members in lexical order, without whitespace.
    pub fn thumbprint(&self) -> Thumbprint {
        let json = match &self.0 {
            Point::P256 { x, y } => {
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, base64url(x), base64url(y))
            }
            Point::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url(x)),
        };
        Thumbprint(Sha256::digest(json.as_bytes()).into())
    }

    /// The key as a JWK of its required members.
    pub fn to_jwk(&self) -> Jwk {
        match &self.0 {
            Point::P256 { x, y } => {
                Jwk { kty: "EC".to_owned(), crv: "P-256".to_owned(), x: base64url(x), y: Some(base64url(y)) }
            }
            Point::Ed25519(x) => {
                Jwk { kty: "OKP".to_owned(), crv: "Ed25519".to_owned(), x: base64url(x), y: None }
            }
        }
    }

    /// Reads a public key from a JWK object of a token or key set. Members that a key set adds (`kid`, `alg`,
    /// `use`, …) are the caller's to judge; private members refuse the key.
    ///
    /// # Errors
    /// [`KeyError::PrivateKey`] if any private member is present; otherwise as the constructors.
    pub fn from_jwk(object: &serde_json::Map<String, serde_json::Value>) -> Result<Self, KeyError> {
        const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "k", "priv"];
        if PRIVATE.iter().any(|member| object.contains_key(*member)) {
            return Err(KeyError::PrivateKey);
        }
        let member = |name: &str| object.get(name).and_then(serde_json::Value::as_str);
        let coordinate = |name: &str| {
            from_base64url_array(member(name).unwrap_or_default()).map_err(|_| KeyError::Malformed)
        };
        match (member("kty"), member("crv")) {
            (Some("EC"), Some("P-256")) => Self::from_p256_coordinates(coordinate("x")?, coordinate("y")?),
            (Some("OKP"), Some("Ed25519")) => Self::from_ed25519(coordinate("x")?),
            (Some(_), _) => Err(KeyError::UnsupportedType),
            (None, _) => Err(KeyError::Malformed),
        }
    }

    /// Writes the COSE_Key of kty, crv, x (and y), in deterministic order.
    pub fn encode_cose(&self, encoder: &mut Encoder<&mut Vec<u8>>) {
        let written = match &self.0 {
            Point::P256 { x, y } => encoder
                .map(4)
                .and_then(|e| e.i8(1)?.i8(2)?.i8(-1)?.i8(1)?.i8(-2)?.bytes(x)?.i8(-3)?.bytes(y).map(drop)),
            Point::Ed25519(x) => {
                encoder.map(3).and_then(|e| e.i8(1)?.i8(1)?.i8(-1)?.i8(6)?.i8(-2)?.bytes(x).map(drop))
            }
        };
        let _: Result<(), minicbor::encode::Error<Never>> = written;
    }

    /// Reads a COSE_Key of exactly kty, crv, x (and y); a further member, above all `d` (-4), refuses it.
    ///
    /// # Errors
    /// As the constructors; [`KeyError::Malformed`] for any other shape.
    pub fn decode_cose(decoder: &mut Decoder<'_>) -> Result<Self, KeyError> {
        let members = decoder.map().map_err(|_| KeyError::Malformed)?.ok_or(KeyError::Malformed)?;
        let (mut kty, mut crv, mut x, mut y) = (None, None, None, None);
        let coordinate = |decoder: &mut Decoder<'_>| cbor::bytes_array::<32>(decoder);
        for _ in 0..members {
            let label = decoder.i64().map_err(|_| KeyError::Malformed)?;
            let read: Result<(), CborError> = (|| {
                match label {
                    1 => kty = Some(decoder.i64()?),
                    -1 => crv = Some(decoder.i64()?),
                    -2 => x = Some(coordinate(decoder)?),
                    -3 => y = Some(coordinate(decoder)?),
                    _ => return Err(CborError::Unexpected),
                }
                Ok(())
            })();
            read.map_err(|_| if label == -4 { KeyError::PrivateKey } else { KeyError::Malformed })?;
        }
        match (kty, crv, x, y) {
            (Some(2), Some(1), Some(x), Some(y)) => Self::from_p256_coordinates(x, y),
            (Some(1), Some(6), Some(x), None) => Self::from_ed25519(x),
            (Some(_), Some(_), Some(_), _) => Err(KeyError::UnsupportedType),
            _ => Err(KeyError::Malformed),
        }
    }
}

/// Prints the kind and the thumbprint, which is public and short.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?}, {})", self.algorithm(), self.thumbprint().to_base64url())
    }
}

/// The signature does not verify. Opaque on purpose: how it failed is of no use to anyone but an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSignature;

/// Verifies signatures: in pure Rust on a device ([`PureRust`]), with a faster library at a server.
pub trait VerifySignature {
    /// Verifies `signature` (64 bytes, `r || s` or `R || S`) over `message` with the algorithm of `key`.
    ///
    /// # Errors
    /// [`InvalidSignature`] whenever it is not a valid, canonical signature.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature>;
}

/// [`VerifySignature`] with `p256` and `ed25519-dalek`; Ed25519 strictly (small-order and non-canonical refused).
#[derive(Clone, Copy, Debug, Default)]
pub struct PureRust;

impl VerifySignature for PureRust {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        match &key.0 {
            Point::P256 { x, y } => {
                use p256::ecdsa::signature::Verifier;
                let signature = P256Signature::from_slice(signature).map_err(|_| InvalidSignature)?;
                P256VerifyingKey::from_sec1_bytes(&sec1(x, y))
                    .and_then(|key| key.verify(message, &signature))
                    .map_err(|_| InvalidSignature)
            }
            Point::Ed25519(bytes) => {
                let signature =
                    ed25519_dalek::Signature::from_slice(signature).map_err(|_| InvalidSignature)?;
                Ed25519VerifyingKey::from_bytes(bytes)
                    .and_then(|key| key.verify_strict(message, &signature))
                    .map_err(|_| InvalidSignature)
            }
        }
    }
}

/// `04 || X || Y`.
fn sec1(x: &[u8; 32], y: &[u8; 32]) -> [u8; 65] {
    let mut point = [4; 65];
    point[1..33].copy_from_slice(x);
    point[33..].copy_from_slice(y);
    point
}
