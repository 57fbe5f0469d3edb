//! A developer's public key as people keep it in files: PEM (RFC 7468 section 13) or JWK (RFC 7517).

use std::fmt;

use base64ct::{Base64, Encoding};
use countersign_core::encoding::from_base64url;
use countersign_core::token::jose::strict_object;
use countersign_core::token::keys::{KeyError, PublicKey};
use serde_json::{Map, Value};

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
/// What stands before the point in the SubjectPublicKeyInfo of an uncompressed P-256 key (RFC 5480 section 2):
/// id-ecPublicKey on secp256r1, and the head of a bit string of 65 bytes.
const SPKI_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why a file holds no public key that can be registered. Displayed as a sentence that says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublicKeyFileError {
    /// There is a private key in it.
    PrivateKey,
    /// Neither one PEM block of a public key nor a JWK.
    Unrecognised,
    /// A key of another kind than P-256, or a point that is not on the curve.
    NotP256,
}

impl fmt::Display for PublicKeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrivateKey => {
                "this holds a private key, which never leaves the developer's machine; name the public one \
                 (`openssl pkey -in key.pem -pubout`)"
            }
            Self::Unrecognised => "this is neither one public key in PEM nor a JWK",
            Self::NotP256 => {
                "this is no P-256 key; make one with \
                 `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"
            }
        })
    }
}

/// The P-256 key in a file.
pub(crate) fn public_key(file: &[u8]) -> Result<PublicKey, PublicKeyFileError> {
    let text = str::from_utf8(file).map_err(|_| PublicKeyFileError::Unrecognised)?;
    if text.contains("PRIVATE KEY-----") {
        return Err(PublicKeyFileError::PrivateKey);
    }
    if text.contains(BEGIN) {
        return from_pem(text);
    }
    let object = strict_object(file).map_err(|_| PublicKeyFileError::Unrecognised)?;
    from_jwk(&object)
}

/// The P-256 key whose uncompressed point (65 bytes, SEC 1 section 2.3.3) this is in base64url.
pub(crate) fn public_point(text: &str) -> Result<PublicKey, PublicKeyFileError> {
    let point = from_base64url(text).map_err(|_| PublicKeyFileError::NotP256)?;
    PublicKey::from_p256_sec1(&point).map_err(|_| PublicKeyFileError::NotP256)
}

/// The P-256 key of a JWK.
pub(crate) fn from_jwk(object: &Map<String, Value>) -> Result<PublicKey, PublicKeyFileError> {
    match PublicKey::from_jwk(object) {
        Ok(key) if key.to_p256_sec1().is_some() => Ok(key),
        Err(KeyError::PrivateKey) => Err(PublicKeyFileError::PrivateKey),
        Err(_) if !object.contains_key("kty") => Err(PublicKeyFileError::Unrecognised),
        Ok(_) | Err(_) => Err(PublicKeyFileError::NotP256),
    }
}

fn from_pem(text: &str) -> Result<PublicKey, PublicKeyFileError> {
    let mut blocks = text.split(BEGIN).skip(1);
    let (Some(block), None) = (blocks.next(), blocks.next()) else {
        return Err(PublicKeyFileError::Unrecognised);
    };
    let (content, _) = block.split_once(END).ok_or(PublicKeyFileError::Unrecognised)?;
    let base64: String = content.split_ascii_whitespace().collect();
    let der = Base64::decode_vec(&base64).map_err(|_| PublicKeyFileError::Unrecognised)?;
    let point = der.strip_prefix(&SPKI_HEAD).ok_or(PublicKeyFileError::NotP256)?;
    PublicKey::from_p256_sec1(point).map_err(|_| PublicKeyFileError::NotP256)
}

#[cfg(test)]
mod tests {
    use countersign_core::encoding::base64url;

    use super::*;

    fn key() -> PublicKey {
        let secret = p256::ecdsa::SigningKey::from_slice(&[6; 32]).unwrap();
        PublicKey::from_p256_sec1(secret.verifying_key().to_sec1_point(false).as_bytes()).unwrap()
    }

    fn pem(der: &[u8]) -> String {
        format!("{BEGIN}\n{}\n{END}\n", Base64::encode_string(der))
    }

    fn der() -> Vec<u8> {
        [SPKI_HEAD.as_slice(), &key().to_p256_sec1().unwrap()].concat()
    }

    fn jwk(change: impl FnOnce(&mut Map<String, Value>)) -> Vec<u8> {
        let key = key().to_jwk();
        let mut object = Map::new();
        for (name, value) in [("kty", key.kty), ("crv", key.crv), ("x", key.x), ("y", key.y.unwrap())] {
            object.insert(name.to_owned(), value.into());
        }
        change(&mut object);
        Value::Object(object).to_string().into_bytes()
    }

    #[test]
    fn pem_and_jwk_are_read() {
        assert_eq!(public_key(pem(&der()).as_bytes()), Ok(key()));
        assert_eq!(public_key(&jwk(|_| {})), Ok(key()));
    }

    #[test]
    fn a_point_alone_is_read_where_it_is_one_of_the_curve() {
        let point = key().to_p256_sec1().unwrap();
        assert_eq!(public_point(&base64url(&point)), Ok(key()));
        let mut off_curve = point;
        off_curve[64] ^= 1;
        for wrong in [&off_curve[..], &point[..64], &point[1..], &[6; 32], &[]] {
            assert_eq!(public_point(&base64url(wrong)), Err(PublicKeyFileError::NotP256), "{wrong:?}");
        }
        assert_eq!(public_point(&format!("{}=", base64url(&point))), Err(PublicKeyFileError::NotP256));
    }

    #[test]
    fn a_private_key_is_not_taken() {
        let private = jwk(|object| drop(object.insert("d".to_owned(), "AA".into())));
        assert_eq!(public_key(&private), Err(PublicKeyFileError::PrivateKey));
        for kind in ["PRIVATE", "EC PRIVATE", "ENCRYPTED PRIVATE"] {
            let file = format!("{}-----BEGIN {kind} KEY-----\nAA==\n-----END {kind} KEY-----\n", pem(&der()));
            assert_eq!(public_key(file.as_bytes()), Err(PublicKeyFileError::PrivateKey), "{kind}");
        }
    }

    #[test]
    fn what_is_no_p256_key_is_refused() {
        let off_curve = {
            let mut der = der();
            der[90] ^= 1;
            pem(&der)
        };
        let ed25519 = jwk(|object| {
            object.insert("kty".to_owned(), "OKP".into());
            object.insert("crv".to_owned(), "Ed25519".into());
        });
        for file in [off_curve.into_bytes(), pem(&der()[..90]).into_bytes(), pem(&[]).into_bytes(), ed25519] {
            assert_eq!(public_key(&file), Err(PublicKeyFileError::NotP256));
        }
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let twice = [pem(&der()), pem(&der())].concat();
        let doubled = br#"{"kty":"EC","kty":"EC"}"#;
        for file in [b"".as_slice(), b"\xff", b"{}", b"[]", b"ssh-ed25519 AAAA", twice.as_bytes(), doubled] {
            assert_eq!(public_key(file), Err(PublicKeyFileError::Unrecognised), "{file:?}");
        }
    }
}
