//! CBOR as it must not be: items written by hand where an encoder would write them properly.

use minicbor::Decoder;

/// One encoded item.
pub(super) type Item = Vec<u8>;

/// A text string.
pub(super) fn text(text: &str) -> Item {
    [head(3, text.len()), text.as_bytes().to_vec()].concat()
}

/// A byte string.
pub(super) fn bytes(bytes: &[u8]) -> Item {
    [head(2, bytes.len()), bytes.to_vec()].concat()
}

/// A byte string in two chunks.
pub(super) fn chunked_bytes(content: &[u8]) -> Item {
    let (first, second) = content.split_at(content.len() / 2);
    [vec![0x5f], bytes(first), bytes(second), vec![0xff]].concat()
}

/// An array of definite length.
pub(super) fn array(items: &[Item]) -> Item {
    [head(4, items.len()), items.concat()].concat()
}

/// An array of indefinite length.
pub(super) fn indefinite_array(items: &[Item]) -> Item {
    [vec![0x9f], items.concat(), vec![0xff]].concat()
}

/// A map of definite length from keys and values that stand one after the other.
pub(super) fn map(members: &[(Item, Item)]) -> Item {
    map_that_claims(members.len(), members)
}

/// A map whose head says another number of members.
pub(super) fn map_that_claims(count: usize, members: &[(Item, Item)]) -> Item {
    let members = members.iter().flat_map(|(key, value)| [key.clone(), value.clone()].concat());
    [head(5, count), members.collect()].concat()
}

/// An item within a tag.
pub(super) fn tagged(tag: usize, item: &[u8]) -> Item {
    [head(6, tag), item.to_vec()].concat()
}

/// Arrays within arrays.
pub(super) fn nested(depth: usize) -> Item {
    [vec![0x81; depth], vec![0x00]].concat()
}

/// The head of major type `major`, in its shortest form.
fn head(major: u8, argument: usize) -> Vec<u8> {
    let major = major << 5;
    match argument {
        0..24 => vec![major | argument as u8],
        24..0x100 => vec![major | 24, argument as u8],
        0x100..0x1_0000 => [&[major | 25], &(argument as u16).to_be_bytes()[..]].concat(),
        _ => [&[major | 26], &(argument as u32).to_be_bytes()[..]].concat(),
    }
}

/// The parts of a genuine attestation object.
pub(super) struct Parts {
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) receipt: Vec<u8>,
    pub(super) authenticator_data: Vec<u8>,
}

/// Takes an attestation object of a virtual phone apart.
pub(super) fn attestation_parts(object: &[u8]) -> Parts {
    const INVARIANT: &str = "an honest phone writes the members of the vendor in their order";
    let mut decoder = Decoder::new(object);
    decoder.map().expect(INVARIANT);
    name(&mut decoder, "fmt");
    name(&mut decoder, "apple-appattest");
    name(&mut decoder, "attStmt");
    decoder.map().expect(INVARIANT);
    name(&mut decoder, "x5c");
    let count = decoder.array().ok().flatten().expect(INVARIANT);
    let certificates = (0..count).map(|_| decoder.bytes().expect(INVARIANT).to_vec()).collect();
    name(&mut decoder, "receipt");
    let receipt = decoder.bytes().expect(INVARIANT).to_vec();
    name(&mut decoder, "authData");
    let authenticator_data = decoder.bytes().expect(INVARIANT).to_vec();
    Parts { certificates, receipt, authenticator_data }
}

/// Signature and authenticator data of an assertion of a virtual phone.
pub(super) fn assertion_parts(assertion: &[u8]) -> (Vec<u8>, Vec<u8>) {
    const INVARIANT: &str = "an honest phone writes signature and authenticatorData";
    let mut decoder = Decoder::new(assertion);
    decoder.map().expect(INVARIANT);
    name(&mut decoder, "signature");
    let signature = decoder.bytes().expect(INVARIANT).to_vec();
    name(&mut decoder, "authenticatorData");
    (signature, decoder.bytes().expect(INVARIANT).to_vec())
}

fn name(decoder: &mut Decoder<'_>, expected: &str) {
    assert_eq!(decoder.str().ok(), Some(expected), "an honest phone writes its members in their order");
}
