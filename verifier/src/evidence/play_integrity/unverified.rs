//! What a Play Integrity token shows without its keys: for a person who looks into a file.

use serde::Serialize;
use serde_json::Value;

use super::classic::{Jwe, decode_header};
use super::{MAX_TOKEN, PlayIntegrityError};

/// A token's outside, not authentic. All that Google says is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnverifiedToken {
    /// `alg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// `enc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// Length of the encoded token in characters.
    pub length: usize,
    /// Why [`decrypt`](super::decrypt) would not even try; None if it would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objection: Option<&'static str>,
}

impl UnverifiedToken {
    /// Reads a token's header without decrypting anything.
    ///
    /// # Errors
    /// [`PlayIntegrityError`] if it is not a compact JWE with a strict header.
    pub fn read(token: &str) -> Result<Self, PlayIntegrityError> {
        if token.len() > MAX_TOKEN {
            return Err(PlayIntegrityError::TooLong);
        }
        if token.bytes().filter(|byte| *byte == b'.').count() != 4 {
            return Err(PlayIntegrityError::Parts);
        }
        let header = decode_header(token.split('.').next().unwrap_or_default())?;
        let text = |name| header.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            algorithm: text("alg"),
            encryption: text("enc"),
            length: token.len(),
            objection: Jwe::decode(token).err().map(PlayIntegrityError::reason),
        })
    }
}
