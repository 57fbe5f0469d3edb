//! CMS SignedData (RFC 5652 section 5) in the one form that receipts have: version 1, content inside, SHA-256,
//! one signer named by issuer and serial number, ECDSA.

use std::borrow::Cow;

use countersign_core::time::Timestamp;
use der::asn1::ObjectIdentifier;
use der::{Tag, TagNumber};
use subtle::ConstantTimeEq;

use super::ReceiptError;
use super::ber::{Elements, NotBer};
use crate::anchors::TrustAnchors;
use crate::asn1::{Members, NotDer};
use crate::certificate::Certificate;
use crate::chain::{Authorities, Dates, Leaf, Path, Rules};
use crate::crypto::{sha256, verify_certificate};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const ECDSA_WITH_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// Marks the certificates that Apple issues for signing receipts.
const RECEIPT_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.12.15");

/// Most certificates: signer, one or two intermediates, root. Genuine receipts carry three.
const MAX_CERTIFICATES: usize = 5;

/// Most chunks of the content; genuine receipts have two.
const MAX_CHUNKS: usize = 32;

/// Most signed attributes; genuine receipts have none.
const MAX_ATTRIBUTES: usize = 8;

/// All dates count: a receipt is verified when it arrives. A signer lives for about a year.
const RULES: Rules =
    Rules { leaf: Leaf::Issued, issuer_dates: Dates::Both, authorities: Authorities::Strict };

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const CHUNKED_OCTET_STRING: u8 = 0x24;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;

/// The parts of the envelope, borrowed from its bytes. Nothing in it is verified.
pub(super) struct SignedData<'a> {
    pub(super) content: Cow<'a, [u8]>,
    /// DER, in no particular order.
    pub(super) certificates: Vec<&'a [u8]>,
    signer: Signer<'a>,
}

struct Signer<'a> {
    /// Encoded Name.
    issuer: &'a [u8],
    /// Content of the serial number's INTEGER.
    serial: &'a [u8],
    /// Content of the SET of signed attributes, in the order in which they were sent.
    attributes: Option<&'a [u8]>,
    /// Encoded AlgorithmIdentifier.
    signature_algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> SignedData<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, ReceiptError> {
        let mut outer = Elements::of(bytes);
        let mut content_info = outer.inside(SEQUENCE)?;
        outer.finish()?;
        expect(&mut content_info, &SIGNED_DATA)?;
        let mut explicit = content_info.inside(CONTEXT_0)?;
        content_info.finish()?;
        let mut signed_data = explicit.inside(SEQUENCE)?;
        explicit.finish()?;

        if signed_data.content(INTEGER)? != [1] {
            return Err(ReceiptError::MalformedEnvelope);
        }
        let mut digests = signed_data.inside(SET)?;
        expect_sha_256(digests.encoding(SEQUENCE)?)?;
        digests.finish()?;
        let content = encapsulated_content(signed_data.inside(SEQUENCE)?)?;
        let certificates = certificates(signed_data.inside(CONTEXT_0)?)?;
        // Revocation lists would stand here; receipts have none.
        let mut signers = signed_data.inside(SET)?;
        signed_data.finish()?;
        if signers.is_finished() {
            return Err(ReceiptError::SignerCount);
        }
        let signer = Signer::decode(signers.encoding(SEQUENCE)?)?;
        signers.finish().map_err(|_| ReceiptError::SignerCount)?;
        Ok(Self { content, certificates, signer })
    }

    /// Verifies the signer's chain up to one of the receipts' anchors, the signer's purpose, and the signature.
    pub(super) fn verify(&self, anchors: &TrustAnchors, now: Timestamp) -> Result<(), ReceiptError> {
        let path = Path::of(self.chain()?, anchors.app_attest_receipt(), anchors.verified_links())?;
        path.verify(RULES, now)?;
        let leaf = path.certificates.first().ok_or(ReceiptError::UnknownSigner)?;
        // The same root stands above certificates of developers, who could otherwise sign receipts themselves.
        if leaf.extension(&RECEIPT_SIGNING).is_none() {
            return Err(ReceiptError::NotAReceiptSigner);
        }
        let message = self.signed_message()?;
        verify_certificate(self.signer.signature_algorithm, leaf.public_key, &message, self.signer.signature)
            .map_err(|_| ReceiptError::InvalidSignature)
    }

    /// All certificates in the order of the signer's chain: the signer's own first.
    fn chain(&self) -> Result<Vec<Certificate<'a>>, ReceiptError> {
        let mut left = Vec::with_capacity(self.certificates.len());
        for &der in &self.certificates {
            let certificate = Certificate::decode(der).map_err(|_| ReceiptError::MalformedEnvelope)?;
            left.push(certificate);
        }
        let mut chain = Vec::with_capacity(left.len());
        let mut next = left.iter().position(|certificate| {
            certificate.issuer == self.signer.issuer && certificate.serial == self.signer.serial
        });
        while let Some(position) = next {
            let certificate = left.remove(position);
            let issuer = left.iter().position(|issuer| issuer.subject == certificate.issuer);
            next = issuer.filter(|_| !certificate.is_self_issued());
            chain.push(certificate);
        }
        match (chain.is_empty(), left.is_empty()) {
            (true, _) => Err(ReceiptError::UnknownSigner),
            (false, false) => Err(ReceiptError::SuperfluousCertificate),
            (false, true) => Ok(chain),
        }
    }

    /// What the signature covers: the signed attributes, which then vouch for the content, or else the content
    /// itself (RFC 5652 section 5.4).
    fn signed_message(&self) -> Result<Cow<'_, [u8]>, ReceiptError> {
        let Some(attributes) = self.signer.attributes else {
            return Ok(Cow::Borrowed(&self.content));
        };
        let digest = attributes_digest(attributes)?;
        if !bool::from(digest.ct_eq(&sha256(&self.content))) {
            return Err(ReceiptError::DigestMismatch);
        }
        // The signature is over the SET, whose tag the envelope replaces; the order stays as it was sent, because
        // nobody but the signer knows in which it was signed.
        let mut message = vec![SET];
        message.extend(definite_length(attributes.len()));
        message.extend(attributes);
        Ok(Cow::Owned(message))
    }
}

impl<'a> Signer<'a> {
    /// SignerInfo (section 5.3), which is DER.
    fn decode(bytes: &'a [u8]) -> Result<Self, ReceiptError> {
        let mut members = Members::of_sequence(bytes)?;
        if members.unsigned()? != 1 {
            return Err(ReceiptError::MalformedEnvelope);
        }
        let mut identifier = members.sequence()?;
        let issuer = identifier.encoding(Tag::Sequence)?;
        let serial = identifier.content(Tag::Integer)?;
        identifier.finish()?;
        expect_sha_256(members.encoding(Tag::Sequence)?)?;
        let attributes = members.optional(context(0))?;
        let signature_algorithm = members.encoding(Tag::Sequence)?;
        if algorithm(signature_algorithm)? != ECDSA_WITH_SHA_256.as_bytes() {
            return Err(ReceiptError::UnsupportedAlgorithm);
        }
        let signature = members.content(Tag::OctetString)?;
        // Unsigned attributes would stand here; nobody vouches for them.
        members.finish()?;
        Ok(Self { issuer, serial, attributes, signature_algorithm, signature })
    }
}

impl From<NotBer> for ReceiptError {
    fn from(NotBer: NotBer) -> Self {
        Self::MalformedEnvelope
    }
}

impl From<NotDer> for ReceiptError {
    fn from(NotDer: NotDer) -> Self {
        Self::MalformedEnvelope
    }
}

/// EncapsulatedContentInfo (section 5.2) of plain data, in one piece or in chunks.
fn encapsulated_content(mut info: Elements<'_>) -> Result<Cow<'_, [u8]>, ReceiptError> {
    expect(&mut info, &DATA)?;
    let mut explicit = info.inside(CONTEXT_0)?;
    info.finish()?;
    let content = if explicit.peek() == Some(CHUNKED_OCTET_STRING) {
        let mut chunks = explicit.inside(CHUNKED_OCTET_STRING)?;
        let mut content = Vec::new();
        for _ in 0..MAX_CHUNKS {
            if chunks.is_finished() {
                break;
            }
            content.extend(chunks.content(OCTET_STRING)?);
        }
        chunks.finish()?;
        Cow::Owned(content)
    } else {
        Cow::Borrowed(explicit.content(OCTET_STRING)?)
    };
    explicit.finish()?;
    Ok(content)
}

fn certificates(mut set: Elements<'_>) -> Result<Vec<&[u8]>, ReceiptError> {
    let mut certificates = Vec::new();
    while !set.is_finished() {
        if certificates.len() == MAX_CERTIFICATES {
            return Err(ReceiptError::SuperfluousCertificate);
        }
        certificates.push(set.encoding(SEQUENCE)?);
    }
    Ok(certificates)
}

/// The digest of the content that the signed attributes name (sections 11.1 and 11.2).
fn attributes_digest(attributes: &[u8]) -> Result<&[u8], ReceiptError> {
    let malformed = |_| ReceiptError::MalformedSignedAttributes;
    let mut members = Members::of(attributes).map_err(malformed)?;
    let mut seen: Vec<&[u8]> = Vec::new();
    let (mut content_type, mut digest) = (None, None);
    while !members.is_finished() {
        let (kind, mut values) = attribute(&mut members).map_err(malformed)?;
        if seen.contains(&kind) || seen.len() == MAX_ATTRIBUTES {
            return Err(ReceiptError::MalformedSignedAttributes);
        }
        seen.push(kind);
        let found = if kind == CONTENT_TYPE.as_bytes() {
            (&mut content_type, Tag::ObjectIdentifier)
        } else if kind == MESSAGE_DIGEST.as_bytes() {
            (&mut digest, Tag::OctetString)
        } else {
            continue;
        };
        let (value, tag) = found;
        *value = Some(values.content(tag).map_err(malformed)?);
        values.finish().map_err(malformed)?;
    }
    match (content_type, digest) {
        (Some(content_type), Some(digest)) if content_type == DATA.as_bytes() => Ok(digest),
        _ => Err(ReceiptError::MalformedSignedAttributes),
    }
}

/// The type of the next attribute, and its values.
fn attribute<'a>(members: &mut Members<'a>) -> Result<(&'a [u8], Members<'a>), NotDer> {
    let mut attribute = members.sequence()?;
    let kind = attribute.content(Tag::ObjectIdentifier)?;
    let values = Members::of(attribute.content(Tag::Set)?)?;
    attribute.finish()?;
    Ok((kind, values))
}

fn expect(elements: &mut Elements<'_>, oid: &ObjectIdentifier) -> Result<(), ReceiptError> {
    if elements.content(OBJECT_IDENTIFIER)? == oid.as_bytes() {
        Ok(())
    } else {
        Err(ReceiptError::MalformedEnvelope)
    }
}

fn expect_sha_256(identifier: &[u8]) -> Result<(), ReceiptError> {
    if algorithm(identifier)? == SHA_256.as_bytes() {
        Ok(())
    } else {
        Err(ReceiptError::UnsupportedAlgorithm)
    }
}

/// The object identifier in an AlgorithmIdentifier whose parameters are absent or NULL.
fn algorithm(identifier: &[u8]) -> Result<&[u8], ReceiptError> {
    let mut members = Members::of_sequence(identifier)?;
    let oid = members.content(Tag::ObjectIdentifier)?;
    if members.optional(Tag::Null)?.is_some_and(|content| !content.is_empty()) {
        return Err(ReceiptError::MalformedEnvelope);
    }
    members.finish()?;
    Ok(oid)
}

/// The length bytes of DER.
fn definite_length(length: usize) -> Vec<u8> {
    let digits: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|digit| *digit == 0).collect();
    match digits.as_slice() {
        [] => vec![0],
        [short] if *short < 0x80 => vec![*short],
        // At most eight digits: the count fits.
        _ => [&[0x80 | digits.len() as u8], digits.as_slice()].concat(),
    }
}

const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_der_wants_them() {
        assert_eq!(definite_length(0), [0]);
        assert_eq!(definite_length(0x7f), [0x7f]);
        assert_eq!(definite_length(0x80), [0x81, 0x80]);
        assert_eq!(definite_length(0x1234), [0x82, 0x12, 0x34]);
    }
}
