//! Where a message deviates, for messages that core's decoders refused: they say what is wrong, not where.

use countersign_core::cbor::{CborError, deterministic};
use minicbor::Decoder;
use minicbor::data::Type;

/// Why something is not what it seems to be, and where.
#[derive(Debug)]
pub(super) struct Fault {
    /// What it seems to be.
    pub(super) seems: &'static str,
    /// The stable reason of the decoder.
    pub(super) reason: &'static str,
    /// Where, in words.
    pub(super) at: String,
}

/// A claim that a message may have.
pub(super) struct Claim {
    pub(super) key: i64,
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) required: bool,
}

/// What stands behind a claim's key.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Text,
    Unsigned,
    /// So many bytes.
    Bytes(usize),
    /// Between so many bytes.
    BytesBetween(usize, usize),
    Map,
    Array,
}

/// The claim `name` under `key`.
pub(super) const fn claim(key: i64, name: &'static str, shape: Shape) -> Claim {
    Claim { key, name, shape, required: true }
}

/// The same, if it may be absent.
pub(super) const fn optional(key: i64, name: &'static str, shape: Shape) -> Claim {
    Claim { key, name, shape, required: false }
}

/// The byte at which `bytes` stop being one deterministic item; None if they are one.
pub(super) fn encoding_fault(bytes: &[u8]) -> Option<(usize, CborError)> {
    let error = deterministic(bytes).err()?;
    // A prefix is merely truncated as long as it ends before the fault, or complete where only bytes after the item
    // are at fault. So the shortest prefix with the same error ends at the fault.
    let is_fine = |length: usize| {
        bytes.get(..length).is_none_or(|prefix| match deterministic(prefix) {
            Ok(_) => true,
            Err(found) => found == CborError::Truncated,
        })
    };
    if error == CborError::Truncated {
        return Some((bytes.len(), error));
    }
    let (mut fine, mut faulty) = (0, bytes.len());
    while faulty - fine > 1 {
        let middle = fine + (faulty - fine) / 2;
        if is_fine(middle) { fine = middle } else { faulty = middle }
    }
    Some((fine, error))
}

/// What is wrong with the claims of `payload`, one deterministic map; None if nothing that this table knows.
pub(super) fn claims_fault(payload: &[u8], claims: &[Claim]) -> Option<String> {
    let mut decoder = Decoder::new(payload);
    let Ok(Some(count)) = decoder.map() else { return Some("the claims are no map".to_owned()) };
    let mut seen = Vec::new();
    for _ in 0..count {
        let Ok(key) = decoder.i64() else { return Some("a claim key is no integer".to_owned()) };
        seen.push(key);
        let value = decoder.position();
        decoder.skip().ok()?;
        let known = claims.iter().find(|claim| claim.key == key);
        if let Some(claim) = known
            && let Some(expected) = claim.shape.mismatch(payload.get(value..)?)
        {
            return Some(format!("claim {} ({key}) is not {expected}", claim.name));
        }
        if known.is_none() && (-66499..=-66001).contains(&key) {
            return Some(format!("claim {key} is critical and not known here"));
        }
    }
    let missing = claims.iter().filter(|claim| claim.required && !seen.contains(&claim.key));
    let missing: Vec<_> = missing.map(|claim| format!("{} ({})", claim.name, claim.key)).collect();
    (!missing.is_empty()).then(|| format!("missing: {}", missing.join(", ")))
}

impl Shape {
    /// What was expected, if the item at the start of `value` is something else.
    fn mismatch(self, value: &[u8]) -> Option<String> {
        let mut decoder = Decoder::new(value);
        let found = decoder.datatype().ok()?;
        let length = || Decoder::new(value).bytes().map(<[u8]>::len).ok();
        let (fits, expected) = match self {
            Self::Text => (found == Type::String, "text".to_owned()),
            Self::Unsigned => (decoder.u64().is_ok(), "an unsigned integer".to_owned()),
            Self::Bytes(count) => (length() == Some(count), format!("{count} bytes")),
            Self::BytesBetween(least, most) => (
                length().is_some_and(|length| (least..=most).contains(&length)),
                format!("{least} to {most} bytes"),
            ),
            Self::Map => (found == Type::Map, "a map".to_owned()),
            Self::Array => (found == Type::Array, "an array".to_owned()),
        };
        (!fits).then_some(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faulty_byte_is_found() {
        // {1: [0, 1, <fault>]}
        let refused: [(&[u8], usize, CborError); 7] = [
            (&[0xa1, 1, 0x83, 0, 1, 0x18, 2], 6, CborError::NotShortest),
            (&[0xa1, 1, 0x83, 0, 1, 0xc1], 5, CborError::Tag),
            (&[0xa1, 1, 0x83, 0, 1], 5, CborError::Truncated),
            (&[0xa1, 1, 0x81, 0, 7, 7], 4, CborError::TrailingBytes),
            (&[0xa2, 1, 1, 1, 1], 3, CborError::DuplicateKey),
            (&[0xff], 0, CborError::IndefiniteLength),
            (&[], 0, CborError::Truncated),
        ];
        for (bytes, at, error) in refused {
            assert_eq!(encoding_fault(bytes), Some((at, error)), "{bytes:02x?}");
        }
        assert_eq!(encoding_fault(&[0xa1, 1, 2]), None);
    }

    #[test]
    fn the_faulty_claim_is_named() {
        const CLAIMS: &[Claim] = &[claim(1, "iss", Shape::Text), optional(4, "exp", Shape::Unsigned)];
        let fault = |payload: &[u8]| claims_fault(payload, CLAIMS);
        assert_eq!(fault(&[0xa1, 1, 0x61, b'a']), None);
        assert_eq!(fault(&[0xa0]).as_deref(), Some("missing: iss (1)"));
        assert_eq!(fault(&[0xa1, 1, 2]).as_deref(), Some("claim iss (1) is not text"));
        assert_eq!(
            fault(&[0xa2, 1, 0x61, b'a', 4, 0x20]).as_deref(),
            Some("claim exp (4) is not an unsigned integer")
        );
        let critical = [0xa1, 0x3a, 0x00, 0x01, 0x02, 0x00, 0];
        assert_eq!(fault(&critical).as_deref(), Some("claim -66049 is critical and not known here"));
        assert_eq!(fault(&[0x01]).as_deref(), Some("the claims are no map"));
        assert_eq!(fault(&[0xa1, 0x60, 0]).as_deref(), Some("a claim key is no integer"));
    }
}
