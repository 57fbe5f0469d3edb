//! Writes ASN.1, right and wrong. The `der` crate refuses to write what is not DER, which is its merit; a forge
//! has to write a BOOLEAN of 1, a padded INTEGER or a list out of order, so here each item is bytes in a `Vec`.

use std::time::Duration;

use const_oid::ObjectIdentifier;
use der::{
    Encode,
    asn1::{GeneralizedTime, UtcTime},
};

use countersign_core::time::Timestamp;

/// Tag, length and `content`.
pub fn tlv(tag: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out = tag.to_vec();
    match content.len() {
        length @ 0..=0x7f => out.push(length as u8),
        length => {
            let bytes = length.to_be_bytes();
            let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            out.push(0x80 | significant.len() as u8);
            out.extend_from_slice(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

/// SEQUENCE of items that are encoded already.
pub fn sequence(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    tlv(&[0x30], &items.into_iter().collect::<Vec<_>>().concat())
}

/// SET OF: the items in the order that DER demands.
pub fn set_of(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut items: Vec<_> = items.into_iter().collect();
    items.sort();
    tlv(&[0x31], &items.concat())
}

/// `[number] EXPLICIT`, with tag numbers beyond 30 in their long form.
pub fn explicit(number: u32, item: &[u8]) -> Vec<u8> {
    if number < 31 {
        return tlv(&[0xa0 | number as u8], item);
    }
    let mut septets = vec![(number & 0x7f) as u8];
    let mut rest = number >> 7;
    while rest > 0 {
        septets.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    septets.push(0xbf);
    septets.reverse();
    tlv(&septets, item)
}

/// INTEGER, not negative.
pub fn integer(value: u64) -> Vec<u8> {
    tlv(&[0x02], &unsigned(&value.to_be_bytes()))
}

/// ENUMERATED, not negative.
pub fn enumerated(value: u64) -> Vec<u8> {
    tlv(&[0x0a], &unsigned(&value.to_be_bytes()))
}

/// BOOLEAN.
pub fn boolean(value: bool) -> Vec<u8> {
    tlv(&[0x01], &[if value { 0xff } else { 0 }])
}

/// NULL.
pub fn null() -> Vec<u8> {
    tlv(&[0x05], &[])
}

/// OCTET STRING.
pub fn octet_string(bytes: &[u8]) -> Vec<u8> {
    tlv(&[0x04], bytes)
}

/// BIT STRING whose last `unused` bits do not count.
pub fn bit_string(unused: u8, bytes: &[u8]) -> Vec<u8> {
    tlv(&[0x03], &[&[unused], bytes].concat())
}

/// OBJECT IDENTIFIER.
pub fn oid(oid: ObjectIdentifier) -> Vec<u8> {
    tlv(&[0x06], oid.as_bytes())
}

/// UTF8String.
pub fn utf8(text: &str) -> Vec<u8> {
    tlv(&[0x0c], text.as_bytes())
}

/// PrintableString.
pub fn printable(text: &str) -> Vec<u8> {
    tlv(&[0x13], text.as_bytes())
}

/// UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5).
///
/// # Panics
/// After the year 9999.
pub fn time(time: Timestamp) -> Vec<u8> {
    let since_epoch = Duration::from_secs(time.as_unix_seconds());
    UtcTime::from_unix_duration(since_epoch)
        .and_then(|time| time.to_der())
        .or_else(|_| GeneralizedTime::from_unix_duration(since_epoch)?.to_der())
        .expect("times of certificates lie before the year 10000")
}

/// The content of an INTEGER: the shortest form of an unsigned number given in big endian.
pub fn unsigned(big_endian: &[u8]) -> Vec<u8> {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    let significant = &big_endian[zeros.min(big_endian.len().saturating_sub(1))..];
    let sign: &[u8] = if significant.first().is_none_or(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    [sign, significant].concat()
}

#[cfg(test)]
mod tests {
    use der::{
        AnyRef, DateTime, Decode,
        asn1::{OctetStringRef, UintRef},
    };

    use super::*;

    #[test]
    fn lengths_take_their_shortest_form() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let bytes = vec![7; length];
            let written = octet_string(&bytes);
            assert_eq!(<&OctetStringRef>::from_der(&written).unwrap().as_bytes(), bytes);
        }
    }

    #[test]
    fn integers_take_their_shortest_form() {
        for value in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x8000, u64::MAX] {
            let written = integer(value);
            let read = UintRef::from_der(&written).unwrap();
            assert_eq!(read.as_bytes(), &value.to_be_bytes()[8 - read.as_bytes().len()..]);
        }
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(128), [2, 2, 0, 128]);
    }

    #[test]
    fn tag_numbers_beyond_thirty_are_written_in_base_128() {
        assert_eq!(explicit(1, &[]), [0xa1, 0]);
        assert_eq!(explicit(200, &[]), [0xbf, 0x81, 0x48, 0]);
        assert_eq!(explicit(704, &[5, 0]), [0xbf, 0x85, 0x40, 2, 5, 0]);
    }

    #[test]
    fn times_change_their_type_in_2050() {
        let of_year = |year| {
            let seconds = DateTime::new(year, 1, 1, 0, 0, 0).unwrap().unix_duration().as_secs();
            time(Timestamp::from_unix_seconds(seconds))
        };
        assert_eq!(of_year(2049), [b"\x17\x0d".as_slice(), b"490101000000Z"].concat());
        assert_eq!(of_year(2050), [b"\x18\x0f".as_slice(), b"20500101000000Z"].concat());
    }

    #[test]
    fn sets_are_sorted() {
        assert_eq!(set_of([integer(2), integer(1)]), set_of([integer(1), integer(2)]));
        assert!(AnyRef::from_der(&set_of([integer(2)])).is_ok());
    }
}
