//! The CBOR around attestations and assertions. Apple does not promise deterministic encoding and nobody signs
//! these maps, so key order and indefinite length of the maps are free; a key that stands twice, a wrong type or
//! a byte after the end refuse.

use minicbor::Decoder;
use minicbor::data::Type;

use super::MAX_LENGTH;
use crate::chain::MAX_CERTIFICATES;
use crate::evidence::EvidenceError;

/// Most members of one map; genuine ones have three.
const MAX_MEMBERS: usize = 16;

/// The attestation object: `{fmt, attStmt: {x5c, receipt}, authData}`.
pub(super) struct AttestationObject<'a> {
    /// Leaf first.
    pub(super) certificates: Vec<&'a [u8]>,
    pub(super) receipt: Option<&'a [u8]>,
    pub(super) authenticator_data: &'a [u8],
}

/// The assertion: `{signature, authenticatorData}`.
pub(super) struct Assertion<'a> {
    /// ECDSA, DER.
    pub(super) signature: &'a [u8],
    pub(super) authenticator_data: &'a [u8],
}

impl<'a> AttestationObject<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, EvidenceError> {
        let (mut format, mut statement, mut authenticator_data) = (None, None, None);
        only_map(bytes, |key, decoder| {
            match key {
                "fmt" => format = Some(decoder.str()?),
                "attStmt" => statement = Some(read_statement(decoder)?),
                "authData" => authenticator_data = Some(decoder.bytes()?),
                _ => decoder.skip()?,
            }
            Ok(())
        })?;
        let (Some(format), Some(statement), Some(authenticator_data)) =
            (format, statement, authenticator_data)
        else {
            return Err(EvidenceError::MalformedCbor);
        };
        if format != "apple-appattest" {
            return Err(EvidenceError::UnknownFormat);
        }
        let (certificates, receipt) = statement;
        Ok(Self { certificates, receipt, authenticator_data })
    }
}

impl<'a> Assertion<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, EvidenceError> {
        let (mut signature, mut authenticator_data) = (None, None);
        only_map(bytes, |key, decoder| {
            match key {
                "signature" => signature = Some(decoder.bytes()?),
                "authenticatorData" => authenticator_data = Some(decoder.bytes()?),
                _ => decoder.skip()?,
            }
            Ok(())
        })?;
        match (signature, authenticator_data) {
            (Some(signature), Some(authenticator_data)) => Ok(Self { signature, authenticator_data }),
            _ => Err(EvidenceError::MalformedCbor),
        }
    }
}

type Statement<'a> = (Vec<&'a [u8]>, Option<&'a [u8]>);

fn read_statement<'a>(decoder: &mut Decoder<'a>) -> Result<Statement<'a>, EvidenceError> {
    let (mut certificates, mut receipt) = (None, None);
    text_map(decoder, |key, decoder| {
        match key {
            "x5c" => certificates = Some(read_certificates(decoder)?),
            "receipt" => receipt = Some(decoder.bytes()?),
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    Ok((certificates.ok_or(EvidenceError::MalformedCbor)?, receipt))
}

fn read_certificates<'a>(decoder: &mut Decoder<'a>) -> Result<Vec<&'a [u8]>, EvidenceError> {
    let count = decoder.array()?.ok_or(EvidenceError::MalformedCbor)?;
    if count > MAX_CERTIFICATES as u64 {
        return Err(EvidenceError::MalformedCbor);
    }
    (0..count).map(|_| Ok(decoder.bytes()?)).collect()
}

/// Reads `bytes` as one map with text keys and nothing after it.
fn only_map<'a>(
    bytes: &'a [u8],
    member: impl FnMut(&'a str, &mut Decoder<'a>) -> Result<(), EvidenceError>,
) -> Result<(), EvidenceError> {
    if bytes.len() > MAX_LENGTH {
        return Err(EvidenceError::TooLong);
    }
    let mut decoder = Decoder::new(bytes);
    text_map(&mut decoder, member)?;
    if decoder.position() == bytes.len() { Ok(()) } else { Err(EvidenceError::MalformedCbor) }
}

/// Reads a map with text keys, each at most once, and hands every value to `member`.
pub(super) fn text_map<'a>(
    decoder: &mut Decoder<'a>,
    mut member: impl FnMut(&'a str, &mut Decoder<'a>) -> Result<(), EvidenceError>,
) -> Result<(), EvidenceError> {
    let count = decoder.map()?;
    let mut seen: Vec<&str> = Vec::new();
    loop {
        match count {
            Some(count) if seen.len() as u64 >= count => return Ok(()),
            None if decoder.datatype()? == Type::Break => return Ok(decoder.skip()?),
            _ => {}
        }
        let key = decoder.str()?;
        if seen.contains(&key) || seen.len() == MAX_MEMBERS {
            return Err(EvidenceError::MalformedCbor);
        }
        seen.push(key);
        member(key, decoder)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map of `members`, each a key and its encoded value.
    fn map(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0xa0 | members.len() as u8];
        for (key, value) in members {
            bytes.extend([0x78, key.len() as u8]);
            bytes.extend(key.as_bytes());
            bytes.extend(*value);
        }
        bytes
    }

    fn signature(members: &[(&str, &[u8])]) -> Result<Vec<u8>, EvidenceError> {
        Assertion::decode(&map(members)).map(|assertion| assertion.signature.to_vec())
    }

    const DATA: (&str, &[u8]) = ("authenticatorData", &[0x41, 7]);

    #[test]
    fn order_and_unknown_members_are_free() {
        assert_eq!(signature(&[("new", &[0x81, 1]), DATA, ("signature", &[0x41, 9])]), Ok(vec![9]));
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        let twice = signature(&[("signature", &[0x41, 9]), DATA, ("signature", &[0x41, 8])]);
        assert_eq!(twice, Err(EvidenceError::MalformedCbor));
        let unknown_twice = signature(&[("signature", &[0x41, 9]), DATA, ("new", &[1]), ("new", &[2])]);
        assert_eq!(unknown_twice, Err(EvidenceError::MalformedCbor));
    }

    #[test]
    fn missing_members_and_wrong_types_are_refused() {
        let refused = [
            signature(&[DATA]),
            signature(&[("signature", &[0x41, 9])]),
            signature(&[("signature", &[0x61, b'9']), DATA]),
            signature(&[("signature", &[0x5f, 0x41, 9, 0xff]), DATA]),
        ];
        assert_eq!(refused, [const { Err(EvidenceError::MalformedCbor) }; 4]);
    }

    #[test]
    fn lengths_and_nesting_are_not_believed() {
        let malformed: [&[u8]; 4] =
            [&[], &[0xbf], &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[0xff]];
        for bytes in malformed {
            assert_eq!(Assertion::decode(bytes).map(drop), Err(EvidenceError::MalformedCbor), "{bytes:?}");
        }
        let nested = map(&[("new", &[0x81; MAX_LENGTH - 16])]);
        assert_eq!(Assertion::decode(&nested).map(drop), Err(EvidenceError::MalformedCbor));
        let long = map(&[("new", &[0; MAX_LENGTH])]);
        assert_eq!(Assertion::decode(&long).map(drop), Err(EvidenceError::TooLong));
    }

    #[test]
    fn a_map_of_indefinite_length_is_read_to_its_end() {
        let open = |members: &[(&str, &[u8])], end: &[u8]| {
            let bytes = [&[0xbf], &map(members)[1..], end].concat();
            Assertion::decode(&bytes).map(|assertion| assertion.signature.to_vec())
        };
        let members = [("new", &[1][..]), DATA, ("signature", &[0x41, 9])];
        assert_eq!(open(&members, &[0xff]), Ok(vec![9]));
        for end in [&[][..], &[0xff, 0xff], &[0xff, 0x00], &[0x00]] {
            assert_eq!(open(&members, end), Err(EvidenceError::MalformedCbor), "{end:?}");
        }
        let twice = [members[1], members[2], members[2]];
        assert_eq!(open(&twice, &[0xff]), Err(EvidenceError::MalformedCbor));
    }

    #[test]
    fn an_object_has_64_kibibytes_and_ten_certificates_at_most() {
        let of_length = |length: usize| {
            let head = map(&[("signature", &[0x41, 9]), DATA, ("new", &[])]);
            let fill = length - head.len() - 3;
            let content = [&[0x59], &(fill as u16).to_be_bytes()[..], &vec![0; fill]].concat();
            let bytes = [head, content].concat();
            assert_eq!(bytes.len(), length);
            Assertion::decode(&bytes).map(|assertion| assertion.signature.to_vec())
        };
        assert_eq!(of_length(65_536), Ok(vec![9]));
        assert_eq!(of_length(65_537), Err(EvidenceError::TooLong));
        let certificates = |count: u8| {
            let array = [&[0x80 | count], &[0x41, 7].repeat(usize::from(count))[..]].concat();
            read_certificates(&mut Decoder::new(&array)).map(|certificates| certificates.len())
        };
        assert_eq!((certificates(0), certificates(10)), (Ok(0), Ok(10)));
        for count in [11, 12, 23] {
            assert_eq!(certificates(count), Err(EvidenceError::MalformedCbor), "{count}");
        }
    }
}
