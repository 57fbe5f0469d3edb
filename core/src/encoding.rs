//! base64url without padding (RFC 4648 section 5), read strictly: one text for one value.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64ct::{Base64UrlUnpadded, Encoding};

/// Reads what strangers send: by tables, several times faster than in constant time, which such values do not need.
/// Everything that is written, and every secret of ours that is read, goes through `base64ct`.
const STRICT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The text is not unpadded base64url, or has non-zero trailing bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidBase64Url;

/// Writes `bytes` as unpadded base64url.
pub fn base64url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Reads unpadded base64url.
///
/// # Errors
/// Padding, whitespace, characters of another alphabet and non-zero trailing bits are refused.
pub fn from_base64url(text: &str) -> Result<Vec<u8>, InvalidBase64Url> {
    STRICT.decode(text).map_err(|_| InvalidBase64Url)
}

/// Reads unpadded base64url into `buffer`, without allocating, and returns the filled part.
///
/// # Errors
/// As [`from_base64url`]; also when `buffer` is too short.
pub fn from_base64url_into<'b>(text: &[u8], buffer: &'b mut [u8]) -> Result<&'b [u8], InvalidBase64Url> {
    let length = STRICT.decode_slice(text, buffer).map_err(|_| InvalidBase64Url)?;
    buffer.get(..length).ok_or(InvalidBase64Url)
}

/// Reads unpadded base64url of exactly `N` bytes.
///
/// # Errors
/// As [`from_base64url`]; also when the value is not `N` bytes long.
pub fn from_base64url_array<const N: usize>(text: &str) -> Result<[u8; N], InvalidBase64Url> {
    let mut bytes = [0; N];
    let filled = from_base64url_into(text.as_bytes(), &mut bytes)?.len();
    if filled == N { Ok(bytes) } else { Err(InvalidBase64Url) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_one_text() {
        assert_eq!(from_base64url("AQ").unwrap(), [1]);
        for other in ["AR", "AQ==", "AQ=", " AQ", "AQ\n", "A", "+/", "AQ,"] {
            assert_eq!(from_base64url(other), Err(InvalidBase64Url), "{other:?}");
        }
    }

    #[test]
    fn what_is_read_quickly_is_what_is_read_in_constant_time() {
        let slowly = |text: &str| Base64UrlUnpadded::decode_vec(text).map_err(|_| InvalidBase64Url);
        let bytes: Vec<u8> = (0..=255).cycle().map(|byte: u8| byte.wrapping_mul(151)).take(70).collect();
        let mut refused = 0;
        for length in 0..bytes.len() {
            let text = base64url(&bytes[..length]);
            assert_eq!(from_base64url(&text), Ok(bytes[..length].to_vec()));
            // Each last character in the place of the right one, and each of them more.
            for last in 0..=127_u8 {
                let last = char::from(last);
                let replaced = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
                for text in [format!("{replaced}{last}"), format!("{text}{last}")] {
                    assert_eq!(from_base64url(&text), slowly(&text), "{text:?}");
                    refused += usize::from(from_base64url(&text).is_err());
                }
            }
        }
        assert!(refused > 5000, "{refused}");
    }

    #[test]
    fn arrays_have_exactly_their_length() {
        assert_eq!(from_base64url_array::<1>("AQ").unwrap(), [1]);
        assert_eq!(from_base64url_array::<2>("AQ"), Err(InvalidBase64Url));
        assert_eq!(from_base64url_array::<1>("AQI"), Err(InvalidBase64Url));
    }
}
