//! Single values of a policy whose text follows a rule.

use countersign_verifier::evidence::android_key::PatchLevel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::formats;
use crate::settings::InvalidText;

/// A patch level, written as `2025-01` or `2025-01-05`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = formats::PATCH_LEVEL))]
pub struct MinimumPatch(pub(super) PatchLevel);

/// A version, written as up to four numbers with dots between them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = formats::VERSION))]
pub struct Version(String);

/// 32 bytes, written as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = formats::SHA256_HEX))]
pub struct Sha256Hex(pub(crate) [u8; 32]);

impl TryFrom<String> for MinimumPatch {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        text.parse().map(Self).map_err(|_| InvalidText)
    }
}

impl Version {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As Android's attestations write it, 80100 for 8.1; None if Android has no such version.
    pub(super) fn to_android(&self) -> Option<u64> {
        let numbers: Vec<u64> = self.0.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        let fits = (1..=3).contains(&numbers.len()) && numbers.iter().all(|number| *number < 100);
        let number = |index| numbers.get(index).copied().unwrap_or(0);
        (fits && number(0) > 0).then(|| number(0) * 10_000 + number(1) * 100 + number(2))
    }
}

impl TryFrom<String> for Version {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        if formats::is_version(&text) { Ok(Self(text)) } else { Err(InvalidText) }
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.0
    }
}

impl Sha256Hex {
    /// The bytes.
    pub(crate) const fn bytes(self) -> [u8; 32] {
        self.0
    }
}

impl TryFrom<String> for Sha256Hex {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        let digit = |letter: char| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let digits: Vec<u8> = text.chars().map(digit).collect::<Option<_>>().ok_or(InvalidText)?;
        let bytes: Vec<u8> =
            digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
        if digits.len() == 64 {
            bytes.try_into().map(Self).map_err(|_| InvalidText)
        } else {
            Err(InvalidText)
        }
    }
}

impl From<MinimumPatch> for String {
    fn from(patch: MinimumPatch) -> Self {
        patch.0.to_string()
    }
}

impl From<Sha256Hex> for String {
    fn from(hex: Sha256Hex) -> Self {
        hex.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
