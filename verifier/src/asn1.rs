//! Reading DER member by member, over the strict `der` crate. Only what certificates and key descriptions use.

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode, Reader, SliceReader, Tag, Tagged};

/// The bytes are not DER, or not the type that stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotDer;

impl From<der::Error> for NotDer {
    fn from(_: der::Error) -> Self {
        Self
    }
}

/// The members of a constructed value, read one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Members<'a>(SliceReader<'a>);

impl<'a> Members<'a> {
    /// The members in `content`, the inside of a constructed value.
    pub(crate) fn of(content: &'a [u8]) -> Result<Self, NotDer> {
        Ok(Self(SliceReader::new(content)?))
    }

    /// The members of the one SEQUENCE that `bytes` must be, without a byte after it.
    pub(crate) fn of_sequence(bytes: &'a [u8]) -> Result<Self, NotDer> {
        Self::of(only(bytes, Tag::Sequence)?)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Nothing may follow.
    pub(crate) fn finish(self) -> Result<(), NotDer> {
        if self.is_finished() { Ok(()) } else { Err(NotDer) }
    }

    /// The next member, whatever it is: tag and content.
    pub(crate) fn any(&mut self) -> Result<(Tag, &'a [u8]), NotDer> {
        let any = AnyRef::decode(&mut self.0)?;
        Ok((any.tag(), any.value()))
    }

    /// The content of the next member, which must have `tag`.
    pub(crate) fn content(&mut self, tag: Tag) -> Result<&'a [u8], NotDer> {
        match self.any()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(NotDer),
        }
    }

    /// The content of the next member if it has `tag`; otherwise nothing is read.
    pub(crate) fn optional(&mut self, tag: Tag) -> Result<Option<&'a [u8]>, NotDer> {
        if self.is_finished() || Tag::peek(&self.0)? != tag {
            return Ok(None);
        }
        self.content(tag).map(Some)
    }

    /// The whole encoding of the next member, whatever it is.
    fn any_encoding(&mut self) -> Result<&'a [u8], NotDer> {
        Ok(self.0.tlv_bytes()?)
    }

    /// Whether the members stand in the order that DER demands of a SET OF: by their encodings (X.690 section 11.6).
    /// Encodings that begin alike differ in their length bytes, so comparing them as they are is enough.
    pub(crate) fn are_sorted(&self) -> Result<bool, NotDer> {
        let mut members = self.clone();
        let mut previous: &[u8] = &[];
        while !members.is_finished() {
            let next = members.any_encoding()?;
            if next < previous {
                return Ok(false);
            }
            previous = next;
        }
        Ok(true)
    }

    /// The whole encoding of the next member, which must have `tag`.
    pub(crate) fn encoding(&mut self, tag: Tag) -> Result<&'a [u8], NotDer> {
        if Tag::peek(&self.0)? != tag {
            return Err(NotDer);
        }
        Ok(self.0.tlv_bytes()?)
    }

    /// The members of the next member, a SEQUENCE.
    pub(crate) fn sequence(&mut self) -> Result<Self, NotDer> {
        Self::of(self.content(Tag::Sequence)?)
    }

    /// The next member, a non-negative INTEGER.
    pub(crate) fn unsigned(&mut self) -> Result<u64, NotDer> {
        unsigned(self.content(Tag::Integer)?)
    }

    /// The next member, an ENUMERATED.
    pub(crate) fn enumerated(&mut self) -> Result<u64, NotDer> {
        unsigned(self.content(Tag::Enumerated)?)
    }

    /// The next member, a BOOLEAN; TRUE is 0xff and nothing else (X.690 section 11.1).
    pub(crate) fn boolean(&mut self) -> Result<bool, NotDer> {
        boolean(self.content(Tag::Boolean)?)
    }

    /// The bytes of the next member, a BIT STRING of whole octets.
    pub(crate) fn bit_string(&mut self) -> Result<&'a [u8], NotDer> {
        match self.content(Tag::BitString)?.split_first() {
            Some((0, octets)) => Ok(octets),
            _ => Err(NotDer),
        }
    }

    /// The next member, a UTCTime or GeneralizedTime, in seconds since 1970.
    pub(crate) fn time(&mut self) -> Result<u64, NotDer> {
        Ok(match Tag::peek(&self.0)? {
            Tag::UtcTime => UtcTime::decode(&mut self.0)?.to_unix_duration(),
            Tag::GeneralizedTime => GeneralizedTime::decode(&mut self.0)?.to_unix_duration(),
            _ => return Err(NotDer),
        }
        .as_secs())
    }
}

/// The content of the one value that `bytes` must be.
pub(crate) fn only(bytes: &[u8], tag: Tag) -> Result<&[u8], NotDer> {
    let mut members = Members::of(bytes)?;
    let content = members.content(tag)?;
    members.finish()?;
    Ok(content)
}

/// A non-negative INTEGER or ENUMERATED of at most 64 bits, in its shortest form.
pub(crate) fn unsigned(content: &[u8]) -> Result<u64, NotDer> {
    let digits = match content {
        [0] => return Ok(0),
        [0, high, ..] if *high >= 0x80 => content.get(1..).ok_or(NotDer)?,
        [0, ..] | [] => return Err(NotDer),
        [high, ..] if *high >= 0x80 => return Err(NotDer),
        _ => content,
    };
    if digits.len() > 8 {
        return Err(NotDer);
    }
    Ok(digits.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// Whether the content of an INTEGER, of any size and sign, is in its shortest form (X.690 section 8.3.2).
pub(crate) fn is_shortest_integer(content: &[u8]) -> bool {
    match content {
        [] => false,
        [0x00, next, ..] => *next >= 0x80,
        [0xff, next, ..] => *next < 0x80,
        _ => true,
    }
}

/// The content of a BOOLEAN.
pub(crate) fn boolean(content: &[u8]) -> Result<bool, NotDer> {
    match content {
        [0x00] => Ok(false),
        [0xff] => Ok(true),
        _ => Err(NotDer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_encoding() {
        assert_eq!(unsigned(&[0]), Ok(0));
        assert_eq!(unsigned(&[0x7f]), Ok(127));
        assert_eq!(unsigned(&[0, 0x80]), Ok(128));
        assert_eq!(unsigned(&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Ok(u64::MAX));
        for refused in [&[][..], &[0, 0x7f], &[0, 0], &[0x80], &[1, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(unsigned(refused), Err(NotDer), "{refused:?}");
        }
    }

    #[test]
    fn a_padded_serial_number_is_no_integer() {
        for content in [&[0][..], &[1], &[0, 0x80], &[0x7f, 0], &[0xff], &[0xff, 0x7f]] {
            assert!(is_shortest_integer(content), "{content:?}");
        }
        for content in [&[][..], &[0, 1], &[0, 0], &[0xff, 0x80]] {
            assert!(!is_shortest_integer(content), "{content:?}");
        }
    }

    #[test]
    fn true_is_all_ones() {
        assert_eq!((boolean(&[0xff]), boolean(&[0])), (Ok(true), Ok(false)));
        assert_eq!((boolean(&[1]), boolean(&[]), boolean(&[0, 0])), (Err(NotDer), Err(NotDer), Err(NotDer)));
    }

    #[test]
    fn lengths_and_tags_are_in_shortest_form() {
        assert!(Members::of_sequence(&[0x30, 0x03, 0x02, 0x01, 0x00]).is_ok());
        let refused: [&[u8]; 5] = [
            &[0x30, 0x81, 0x03, 0x02, 0x01, 0x00],
            &[0x30, 0x80, 0x02, 0x01, 0x00, 0x00, 0x00],
            &[0x30, 0x03, 0x02, 0x01, 0x00, 0x00],
            &[0x30, 0x04, 0x02, 0x01, 0x00],
            &[],
        ];
        for bytes in refused {
            assert_eq!(Members::of_sequence(bytes).map(drop), Err(NotDer), "{bytes:?}");
        }
        let mut long_form_of_a_short_tag = Members::of(&[0xbf, 0x1e, 0x00]).unwrap();
        assert_eq!(long_form_of_a_short_tag.any(), Err(NotDer));
        let mut padded_tag = Members::of(&[0xbf, 0x80, 0x7f, 0x00]).unwrap();
        assert_eq!(padded_tag.any(), Err(NotDer));
    }
}
