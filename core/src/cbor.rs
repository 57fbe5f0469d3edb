//! One strict pass over untrusted CBOR before anything is decoded from it.
//!
//! [`deterministic`] accepts exactly one encoding per value: RFC 8949 section 4.2.1, and of the data model
//! only what our messages use. After it, `minicbor` reads bytes whose shape is known.

use core::str;

use minicbor::Decoder;

/// Deepest nesting of arrays and maps in any of our messages, with room for one more.
pub const MAX_DEPTH: u8 = 8;

/// Why bytes are not the CBOR that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CborError {
    /// The bytes end inside an item, or a length claims more than there is.
    Truncated,
    /// Bytes follow the item.
    TrailingBytes,
    /// An integer or length is not in its shortest form (4.2.1).
    NotShortest,
    /// Indefinite length (4.2.1).
    IndefiniteLength,
    /// A map key stands before one that sorts lower (4.2.1).
    UnorderedKeys,
    /// A map key stands twice.
    DuplicateKey,
    /// A tag; none of our messages has one.
    Tag,
    /// A floating-point number; none of our messages has one.
    Float,
    /// A simple value other than false, true and null, or a reserved initial byte.
    SimpleValue,
    /// Arrays or maps nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// A text string that is not UTF-8.
    InvalidUtf8,
    /// Well-formed, but not the type, length or value that stands here by the specification.
    Unexpected,
    /// A required member is missing.
    Missing,
    /// A member that is critical and not known.
    UnknownCritical,
}

impl CborError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "cbor_truncated",
            Self::TrailingBytes => "cbor_trailing_bytes",
            Self::NotShortest => "cbor_not_shortest",
            Self::IndefiniteLength => "cbor_indefinite_length",
            Self::UnorderedKeys => "cbor_unordered_keys",
            Self::DuplicateKey => "cbor_duplicate_key",
            Self::Tag => "cbor_tag",
            Self::Float => "cbor_float",
            Self::SimpleValue => "cbor_simple_value",
            Self::TooDeep => "cbor_too_deep",
            Self::InvalidUtf8 => "cbor_invalid_utf8",
            Self::Unexpected => "cbor_unexpected",
            Self::Missing => "cbor_missing_member",
            Self::UnknownCritical => "cbor_unknown_critical_member",
        }
    }
}

/// After [`deterministic`] has passed, the only thing `minicbor` can still find is a wrong type.
impl From<minicbor::decode::Error> for CborError {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Unexpected
    }
}

/// Writing into a `Vec` cannot fail; the type exists because the encoder is generic over its sink.
pub(crate) type Never = core::convert::Infallible;

/// Checks that `bytes` are one deterministically encoded item and nothing else, and opens them for reading.
/// Costs one pass, allocates nothing.
///
/// # Errors
/// The first deviation found, from left to right.
pub fn deterministic(bytes: &[u8]) -> Result<Decoder<'_>, CborError> {
    let end = item(bytes, 0, MAX_DEPTH)?;
    if end != bytes.len() {
        return Err(CborError::TrailingBytes);
    }
    Ok(Decoder::new(bytes))
}

/// Reads a byte string of exactly `N` bytes.
///
/// # Errors
/// [`CborError::Unexpected`] for any other type or length.
pub fn bytes_array<const N: usize>(decoder: &mut Decoder<'_>) -> Result<[u8; N], CborError> {
    decoder.bytes()?.try_into().map_err(|_| CborError::Unexpected)
}

/// Checks the item at `at` and returns the position after it.
fn item(bytes: &[u8], at: usize, depth: u8) -> Result<usize, CborError> {
    let (major, argument, mut at) = head(bytes, at)?;
    match major {
        0 | 1 => Ok(at),
        2 | 3 => {
            let length = usize::try_from(argument).map_err(|_| CborError::Truncated)?;
            let end = at.checked_add(length).ok_or(CborError::Truncated)?;
            let content = bytes.get(at..end).ok_or(CborError::Truncated)?;
            if major == 3 {
                str::from_utf8(content).map_err(|_| CborError::InvalidUtf8)?;
            }
            Ok(end)
        }
        4 | 5 if depth == 0 => Err(CborError::TooDeep),
        // No count is believed beyond the bytes present: each entry consumes at least one byte, or fails.
        4 => {
            for _ in 0..argument {
                at = item(bytes, at, depth - 1)?;
            }
            Ok(at)
        }
        5 => {
            let mut previous: Option<&[u8]> = None;
            for _ in 0..argument {
                let key_end = item(bytes, at, depth - 1)?;
                let key = &bytes[at..key_end];
                match previous.map(|previous| previous.cmp(key)) {
                    None | Some(core::cmp::Ordering::Less) => previous = Some(key),
                    Some(core::cmp::Ordering::Equal) => return Err(CborError::DuplicateKey),
                    Some(core::cmp::Ordering::Greater) => return Err(CborError::UnorderedKeys),
                }
                at = item(bytes, key_end, depth - 1)?;
            }
            Ok(at)
        }
        6 => Err(CborError::Tag),
        _ => Ok(at),
    }
}

/// Reads an initial byte and its argument: (major type, argument, position after them).
fn head(bytes: &[u8], at: usize) -> Result<(u8, u64, usize), CborError> {
    let initial = *bytes.get(at).ok_or(CborError::Truncated)?;
    let (major, info) = (initial >> 5, initial & 0x1f);
    if major == 7 {
        return match info {
            20..=22 => Ok((major, 0, at + 1)),
            25..=27 => Err(CborError::Float),
            31 => Err(CborError::IndefiniteLength),
            _ => Err(CborError::SimpleValue),
        };
    }
    let width = match info {
        0..=23 => return Ok((major, u64::from(info), at + 1)),
        24..=27 => 1usize << (info - 24),
        31 => return Err(CborError::IndefiniteLength),
        _ => return Err(CborError::SimpleValue),
    };
    let end = at + 1 + width;
    let argument = bytes
        .get(at + 1..end)
        .ok_or(CborError::Truncated)?
        .iter()
        .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let shortest = match width {
        1 => argument >= 24,
        2 => argument > 0xff,
        4 => argument > 0xffff,
        _ => argument > 0xffff_ffff,
    };
    if !shortest {
        return Err(CborError::NotShortest);
    }
    Ok((major, argument, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(hex: &str) -> Result<(), CborError> {
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        deterministic(&bytes).map(drop)
    }

    #[test]
    fn one_encoding_per_value() {
        for accepted in ["00", "17", "1818", "190100", "3903e7", "a2010203f6", "8301820203f5", "a20102613103"]
        {
            assert_eq!(verdict(accepted), Ok(()), "{accepted}");
        }
        let refused = [
            ("", CborError::Truncated),
            ("1817", CborError::NotShortest),
            ("1900ff", CborError::NotShortest),
            ("1b00000000ffffffff", CborError::NotShortest),
            ("5801", CborError::NotShortest),
            ("5f4101ff", CborError::IndefiniteLength),
            ("9f01ff", CborError::IndefiniteLength),
            ("bf0102ff", CborError::IndefiniteLength),
            ("ff", CborError::IndefiniteLength),
            ("a203040102", CborError::UnorderedKeys),
            ("a201020103", CborError::DuplicateKey),
            ("c101", CborError::Tag),
            ("d28443a10126a04161", CborError::Tag),
            ("f93c00", CborError::Float),
            ("fb3ff0000000000000", CborError::Float),
            ("f7", CborError::SimpleValue),
            ("f820", CborError::SimpleValue),
            ("1c", CborError::SimpleValue),
            ("61ff", CborError::InvalidUtf8),
            ("0000", CborError::TrailingBytes),
            ("818181818181818181", CborError::TooDeep),
        ];
        for (hex, error) in refused {
            assert_eq!(verdict(hex), Err(error), "{hex}");
        }
    }

    #[test]
    fn a_length_is_not_believed_beyond_the_bytes() {
        for hex in ["5affffffff00", "9b00ffffffffffffff", "bb00ffffffffffffff00", "7bffffffffffffffff"] {
            assert_eq!(verdict(hex), Err(CborError::Truncated), "{hex}");
        }
    }
}
