//! base64url without padding (RFC 4648 section 5), read strictly: one text for one value.

use base64ct::{Base64UrlUnpadded, Encoding};

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
    Base64UrlUnpadded::decode_vec(text).map_err(|_| InvalidBase64Url)
}

/// Reads unpadded base64url into `buffer`, without allocating, and returns the filled part.
///
/// # Errors
/// As [`from_base64url`]; also when `buffer` is too short.
pub fn from_base64url_into<'b>(text: &[u8], buffer: &'b mut [u8]) -> Result<&'b [u8], InvalidBase64Url> {
    Base64UrlUnpadded::decode(text, buffer).map_err(|_| InvalidBase64Url)
}

/// Reads unpadded base64url of exactly `N` bytes.
///
/// # Errors
/// As [`from_base64url`]; also when the value is not `N` bytes long.
pub fn from_base64url_array<const N: usize>(text: &str) -> Result<[u8; N], InvalidBase64Url> {
    let mut bytes = [0; N];
    let filled = Base64UrlUnpadded::decode(text, &mut bytes).map_err(|_| InvalidBase64Url)?.len();
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
    fn arrays_have_exactly_their_length() {
        assert_eq!(from_base64url_array::<1>("AQ").unwrap(), [1]);
        assert_eq!(from_base64url_array::<2>("AQ"), Err(InvalidBase64Url));
        assert_eq!(from_base64url_array::<1>("AQI"), Err(InvalidBase64Url));
    }
}
