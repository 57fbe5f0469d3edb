//! Leniency *streamed envelope*: Apple writes the envelope of receipts while it streams, so SEQUENCEs and context
//! tags of CMS come with indefinite lengths, and the content in chunks of 1000 bytes (BER, X.690 sections 8.1.3.6
//! and 8.7.3). This reader takes such lengths for the envelope alone. Certificates, the signer and the payload
//! are DER and read as such, and definite lengths have their shortest form even here.

/// The bytes are not BER as envelopes use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotBer;

/// Most elements of indefinite length inside each other; genuine envelopes have six.
const MAX_DEPTH: u8 = 8;

/// Most bytes of a definite length.
const MAX_LENGTH_BYTES: usize = 3;

const CONSTRUCTED: u8 = 0x20;
const INDEFINITE: u8 = 0x80;

/// The elements of a constructed value, read one after the other.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a>(&'a [u8]);

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    /// The whole element, its end included.
    encoding: &'a [u8],
}

impl<'a> Elements<'a> {
    pub(super) const fn of(content: &'a [u8]) -> Self {
        Self(content)
    }

    /// The tag byte of the next element.
    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The content of the next element, which must have this tag.
    pub(super) fn content(&mut self, tag: u8) -> Result<&'a [u8], NotBer> {
        self.next(tag).map(|element| element.content)
    }

    /// The elements inside the next element, which must have this tag.
    pub(super) fn inside(&mut self, tag: u8) -> Result<Self, NotBer> {
        self.content(tag).map(Self)
    }

    /// The whole encoding of the next element, which must have this tag.
    pub(super) fn encoding(&mut self, tag: u8) -> Result<&'a [u8], NotBer> {
        self.next(tag).map(|element| element.encoding)
    }

    pub(super) const fn is_finished(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing may follow.
    pub(super) const fn finish(self) -> Result<(), NotBer> {
        if self.is_finished() { Ok(()) } else { Err(NotBer) }
    }

    fn next(&mut self, tag: u8) -> Result<Element<'a>, NotBer> {
        let (element, rest) = split(self.0, MAX_DEPTH)?;
        if element.tag != tag {
            return Err(NotBer);
        }
        self.0 = rest;
        Ok(element)
    }
}

/// The first element, and what follows it.
fn split(bytes: &[u8], depth: u8) -> Result<(Element<'_>, &[u8]), NotBer> {
    let (&tag, rest) = bytes.split_first().ok_or(NotBer)?;
    // Tag numbers beyond 30 do not occur, and a zero tag ends an indefinite length.
    if tag == 0 || tag & 0x1f == 0x1f {
        return Err(NotBer);
    }
    let (&first, rest) = rest.split_first().ok_or(NotBer)?;
    let (content, rest) = match first {
        INDEFINITE => until_end(tag, rest, depth)?,
        length @ 0..=0x7f => rest.split_at_checked(usize::from(length)).ok_or(NotBer)?,
        _ => {
            let count = usize::from(first & 0x7f);
            let (digits, rest) = rest.split_at_checked(count).ok_or(NotBer)?;
            rest.split_at_checked(shortest_length(digits)?).ok_or(NotBer)?
        }
    };
    let length = bytes.len().checked_sub(rest.len()).ok_or(NotBer)?;
    let encoding = bytes.get(..length).ok_or(NotBer)?;
    Ok((Element { tag, content, encoding }, rest))
}

/// The content up to the two zero bytes that end it, and what follows them.
fn until_end(tag: u8, bytes: &[u8], depth: u8) -> Result<(&[u8], &[u8]), NotBer> {
    if tag & CONSTRUCTED == 0 {
        return Err(NotBer);
    }
    let depth = depth.checked_sub(1).ok_or(NotBer)?;
    let mut rest = bytes;
    loop {
        if let Some(after) = rest.strip_prefix(&[0, 0]) {
            let length = bytes.len().checked_sub(rest.len()).ok_or(NotBer)?;
            return Ok((bytes.get(..length).ok_or(NotBer)?, after));
        }
        rest = split(rest, depth)?.1;
    }
}

fn shortest_length(digits: &[u8]) -> Result<usize, NotBer> {
    match digits {
        [] | [0, ..] => return Err(NotBer),
        [only] if *only < 0x80 => return Err(NotBer),
        _ if digits.len() > MAX_LENGTH_BYTES => return Err(NotBer),
        _ => {}
    }
    Ok(digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: &[u8]) -> Result<&[u8], NotBer> {
        let mut elements = Elements::of(bytes);
        let content = elements.content(0x30)?;
        elements.finish()?;
        Ok(content)
    }

    #[test]
    fn definite_and_indefinite_lengths_hold_the_same() {
        let inside = [0x02, 0x01, 0x07];
        assert_eq!(content(&[0x30, 0x03, 0x02, 0x01, 0x07]), Ok(&inside[..]));
        assert_eq!(content(&[0x30, 0x80, 0x02, 0x01, 0x07, 0, 0]), Ok(&inside[..]));
        let nested = [0x30, 0x80, 0x30, 0x80, 0, 0, 0x04, 0x02, 0, 0, 0, 0];
        assert_eq!(content(&nested), Ok(&nested[2..10]), "two zeros inside a string end nothing");
    }

    #[test]
    fn what_is_not_in_shortest_form_or_does_not_end_is_refused() {
        let refused: [&[u8]; 12] = [
            &[],
            &[0x30],
            &[0x30, 0x01],
            &[0x30, 0x81, 0x00],
            &[0x30, 0x81, 0x7f],
            &[0x30, 0x82, 0x00, 0x80],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0x80],
            &[0x30, 0x80, 0x00],
            &[0x30, 0x80, 0x00, 0x01, 0x00],
            &[0x30, 0x80, 0x04, 0x80, 0, 0, 0, 0],
            &[0x30, 0x00, 0x00],
        ];
        for bytes in refused {
            assert_eq!(content(bytes), Err(NotBer), "{bytes:?}");
        }
    }

    #[test]
    fn indefinite_lengths_nest_to_a_limit() {
        let nested = |depth: usize| [[0x30, 0x80].repeat(depth), [0, 0].repeat(depth)].concat();
        assert!(content(&nested(usize::from(MAX_DEPTH))).is_ok());
        assert_eq!(content(&nested(usize::from(MAX_DEPTH) + 1)), Err(NotBer));
        assert_eq!(content(&nested(4000)), Err(NotBer));
    }

    #[test]
    fn long_tags_are_refused() {
        assert_eq!(Elements::of(&[0xbf, 0x1f, 0x00]).content(0xbf), Err(NotBer));
    }

    #[test]
    fn a_length_has_one_form_and_three_bytes_at_most() {
        for (digits, length) in [
            (&[0x80][..], 0x80),
            (&[0xff], 0xff),
            (&[0x01, 0x00], 0x0100),
            (&[0x12, 0x34], 0x1234),
            (&[0x01, 0x02, 0x03], 0x01_0203),
        ] {
            assert_eq!(shortest_length(digits), Ok(length), "{digits:?}");
        }
        for digits in [
            &[][..],
            &[0x00],
            &[0x01],
            &[0x7f],
            &[0x00, 0x80],
            &[0x00, 0x01, 0x00],
            &[0x01, 0x00, 0x00, 0x00],
            &[0x01, 0x00, 0x00, 0x00, 0x00],
        ] {
            assert_eq!(shortest_length(digits), Err(NotBer), "{digits:?}");
        }
        let long = [&[0x30, 0x81, 0x80][..], &[7; 0x80]].concat();
        assert_eq!(content(&long), Ok(&[7; 0x80][..]));
        let padded = [&[0x30, 0x81, 0x7f][..], &[7; 0x7f]].concat();
        assert_eq!(content(&padded), Err(NotBer));
    }

    #[test]
    fn a_tag_that_ends_a_length_or_goes_on_is_no_element() {
        for bytes in [&[0x30, 0x80, 0x00, 0x01, 0x07, 0, 0][..], &[0x30, 0x80, 0x1f, 0x01, 0x07, 0, 0]] {
            assert_eq!(content(bytes), Err(NotBer), "{bytes:?}");
        }
        assert_eq!(Elements::of(&[0xbf, 0x01, 0x07]).content(0xbf), Err(NotBer));
        assert_eq!(Elements::of(&[0xbe, 0x01, 0x07]).content(0xbe), Ok(&[0x07][..]));
    }
}
