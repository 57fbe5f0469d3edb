//! The payload of a receipt: a SET of `{type INTEGER, version INTEGER, value OCTET STRING}`. Apple does not sort
//! it, and nobody else writes it: the order is free, everything else is DER.

use countersign_core::time::Timestamp;
use der::{DateTime, Tag};

use super::{ReceiptError, ReceiptType};
use crate::asn1::{self, Members, NotDer};
use crate::certificate::Certificate;
use crate::evidence::AttestedKey;
use crate::evidence::app_attest::AppAttestEnvironment;

/// Most fields; genuine receipts have ten.
const MAX_FIELDS: usize = 32;

const APP_ID: u64 = 2;
const ATTESTED_CERTIFICATE: u64 = 3;
const CLIENT_HASH: u64 = 4;
const TOKEN: u64 = 5;
const TYPE: u64 = 6;
const ENVIRONMENT: u64 = 7;
const CREATION_TIME: u64 = 12;
const RISK_METRIC: u64 = 17;
const NOT_BEFORE: u64 = 19;
const EXPIRATION_TIME: u64 = 21;

/// What a receipt says.
pub(super) struct Payload {
    pub(super) app_id: String,
    pub(super) key: AttestedKey,
    pub(super) client_hash: Vec<u8>,
    pub(super) token: String,
    pub(super) receipt_type: ReceiptType,
    pub(super) environment: Option<AppAttestEnvironment>,
    pub(super) creation_time: Timestamp,
    pub(super) risk_metric: Option<u64>,
    pub(super) not_before: Option<Timestamp>,
    pub(super) expiration_time: Timestamp,
}

impl Payload {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, ReceiptError> {
        Self::read(bytes).map_err(|NotDer| ReceiptError::MalformedPayload)
    }

    fn read(bytes: &[u8]) -> Result<Self, NotDer> {
        let fields = Fields::read(bytes)?;
        let certificate = Certificate::decode(fields.value(ATTESTED_CERTIFICATE)?)?;
        Ok(Self {
            app_id: text(fields.value(APP_ID)?)?.to_owned(),
            key: AttestedKey::from_spki(certificate.public_key).map_err(|_| NotDer)?,
            client_hash: fields.value(CLIENT_HASH)?.to_vec(),
            token: text(fields.value(TOKEN)?)?.to_owned(),
            receipt_type: match fields.value(TYPE)? {
                b"ATTEST" => ReceiptType::Attest,
                b"RECEIPT" => ReceiptType::Receipt,
                _ => return Err(NotDer),
            },
            environment: fields.optional(ENVIRONMENT).map(environment),
            creation_time: time(fields.value(CREATION_TIME)?)?,
            risk_metric: fields.optional(RISK_METRIC).map(number).transpose()?,
            not_before: fields.optional(NOT_BEFORE).map(time).transpose()?,
            expiration_time: time(fields.value(EXPIRATION_TIME)?)?,
        })
    }
}

/// The fields by type, each at most once. Types that are not known here are kept and ignored.
struct Fields<'a>(Vec<(u64, &'a [u8])>);

impl<'a> Fields<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, NotDer> {
        let mut members = Members::of(asn1::only(bytes, Tag::Set)?)?;
        let mut fields: Vec<(u64, &[u8])> = Vec::new();
        while !members.is_finished() {
            let mut field = members.sequence()?;
            let kind = field.unsigned()?;
            field.unsigned()?; // version
            let value = field.content(Tag::OctetString)?;
            field.finish()?;
            if fields.len() == MAX_FIELDS || fields.iter().any(|(known, _)| *known == kind) {
                return Err(NotDer);
            }
            fields.push((kind, value));
        }
        Ok(Self(fields))
    }

    fn optional(&self, kind: u64) -> Option<&'a [u8]> {
        self.0.iter().find(|(known, _)| *known == kind).map(|(_, value)| *value)
    }

    fn value(&self, kind: u64) -> Result<&'a [u8], NotDer> {
        self.optional(kind).ok_or(NotDer)
    }
}

/// Printable ASCII of at most 512 bytes, at least one.
fn text(value: &[u8]) -> Result<&str, NotDer> {
    const LONGEST: usize = 512;
    if value.is_empty() || value.len() > LONGEST || !value.iter().all(u8::is_ascii_graphic) {
        return Err(NotDer);
    }
    core::str::from_utf8(value).map_err(|_| NotDer)
}

fn environment(value: &[u8]) -> AppAttestEnvironment {
    match value {
        b"production" => AppAttestEnvironment::Production,
        b"sandbox" => AppAttestEnvironment::Development,
        _ => AppAttestEnvironment::Unknown,
    }
}

/// Decimal digits in their shortest form.
fn number(value: &[u8]) -> Result<u64, NotDer> {
    let digits = value.iter().all(u8::is_ascii_digit);
    match value {
        [] | [b'0', _, ..] => Err(NotDer),
        _ if digits => core::str::from_utf8(value).map_err(|_| NotDer)?.parse().map_err(|_| NotDer),
        _ => Err(NotDer),
    }
}

/// RFC 3339 in UTC, `2026-04-21T18:13:12.153Z`; fractions of a second are cut off.
fn time(value: &[u8]) -> Result<Timestamp, NotDer> {
    let (head, tail) = value.split_at_checked(19).ok_or(NotDer)?;
    match tail {
        b"Z" => {}
        [b'.', fraction @ .., b'Z'] if matches!(fraction.len(), 1..=9) => {
            if !fraction.iter().all(u8::is_ascii_digit) {
                return Err(NotDer);
            }
        }
        _ => return Err(NotDer),
    }
    let &[y3, y2, y1, y0, b'-', mo1, mo0, b'-', d1, d0, b'T', h1, h0, b':', mi1, mi0, b':', s1, s0] = head
    else {
        return Err(NotDer);
    };
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        _ => Err(NotDer),
    };
    let two = |tens, units| Ok::<u8, NotDer>(digit(tens)? * 10 + digit(units)?);
    let year = u16::from(two(y3, y2)?) * 100 + u16::from(two(y1, y0)?);
    let time = DateTime::new(year, two(mo1, mo0)?, two(d1, d0)?, two(h1, h0)?, two(mi1, mi0)?, two(s1, s0)?)?;
    Ok(Timestamp::from_unix_seconds(time.unix_duration().as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_fractions() {
        for text in ["2026-04-21T18:13:12.153Z", "2026-04-21T18:13:12.1Z", "2026-04-21T18:13:12Z"] {
            assert_eq!(time(text.as_bytes()), Ok(Timestamp::from_unix_seconds(1_776_795_192)), "{text}");
        }
    }

    #[test]
    fn times_of_another_form_are_refused() {
        let refused = [
            "",
            "2026-04-21T18:13:12",
            "2026-04-21T18:13:12.Z",
            "2026-04-21T18:13:12.15+Z",
            "2026-04-21T18:13:12.1234567890Z",
            "2026-04-21T18:13:12+00:00",
            "2026-04-21 18:13:12Z",
            "2026-13-21T18:13:12Z",
            "2026-02-30T18:13:12Z",
            "2026-04-21T24:13:12Z",
            "2026-04-21T18:13:60Z",
            "+026-04-21T18:13:12Z",
        ];
        for text in refused {
            assert_eq!(time(text.as_bytes()), Err(NotDer), "{text}");
        }
    }

    #[test]
    fn the_risk_metric_is_a_decimal_number() {
        assert_eq!(number(b"0"), Ok(0));
        assert_eq!(number(b"18446744073709551615"), Ok(u64::MAX));
        for text in ["", "00", "02", "-1", "+1", "1.0", "a", "18446744073709551616", " 1"] {
            assert_eq!(number(text.as_bytes()), Err(NotDer), "{text}");
        }
    }

    #[test]
    fn a_field_that_stands_twice_or_has_more_members_is_refused() {
        let field = |kind: u8| [0x30, 0x08, 2, 1, kind, 2, 1, 1, 4, 0];
        let set = |fields: &[u8]| [&[0x31, fields.len() as u8], fields].concat();
        assert!(Fields::read(&set(&[field(2), field(3)].concat())).is_ok());
        assert!(Fields::read(&set(&[field(2), field(2)].concat())).is_err());
        assert!(Fields::read(&set(&[0x30, 0x0a, 2, 1, 9, 2, 1, 1, 4, 0, 5, 0])).is_err());
        let many: Vec<u8> = (0..=MAX_FIELDS as u8).flat_map(field).collect();
        let length = (many.len() as u16).to_be_bytes();
        assert!(Fields::read(&[&[0x31, 0x82], &length[..], &many].concat()).is_err());
    }

    #[test]
    fn a_text_has_1_to_512_printable_characters() {
        for length in [1, 511, 512] {
            assert!(text(&vec![b'a'; length]).is_ok(), "{length}");
        }
        for length in [0, 513, 600] {
            assert_eq!(text(&vec![b'a'; length]), Err(NotDer), "{length}");
        }
        for refused in [&b"a b"[..], b"a\n", b"\x7f", "\u{e9}".as_bytes(), b"\xff"] {
            assert_eq!(text(refused), Err(NotDer), "{refused:?}");
        }
    }
}
