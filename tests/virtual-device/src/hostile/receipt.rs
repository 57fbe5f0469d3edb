//! Receipts of App Attest that must not be believed.

use const_oid::ObjectIdentifier;
use sha2::{Digest, Sha256};

use countersign_core::time::Timestamp;

use crate::{
    apple_authority::AppleAuthority,
    asn1,
    certificate::{DAY, IssuerKey, Link, SignatureHash},
    hostile::{attacks, iphone::flip_last_bit},
    receipt::{Envelope, Field, RECEIPT_SIGNING, ReceiptContent, Signer, attribute, rfc3339},
    seed::Seed,
};

const ENVELOPED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.3");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");

attacks! {
    /// A lie in a receipt. The attestation that carries it stays authentic; the receipt alone is not believed.
    ReceiptAttack {
        Missing Unverifiable "the attestation has no receipt",
        Empty Unverifiable "the receipt is empty",
        Truncated Unverifiable "the receipt is cut short",
        TrailingBytes Unverifiable "bytes follow the receipt",
        Oversize Unverifiable "the receipt is larger than any genuine one could be",
        EnvelopedData Unverifiable "the envelope names another kind of content",
        OtherVersion Unverifiable "the envelope has another version",
        Detached Unverifiable "the signed content is missing",
        RevocationLists Unverifiable "the envelope carries a revocation list",
        OtherRootSameNames Unverifiable "the whole chain is of another authority with the same names",
        OtherAuthorityUnderRoot Unverifiable "the chain is of another authority with the same names, below the genuine root",
        SignerOfAnotherPurpose Unverifiable "the signer's certificate is genuine, but not one for receipts",
        SignerExpired Unverifiable "the signer's certificate has expired",
        SignerNotYetValid Unverifiable "the signer's certificate is not valid yet",
        SignerIsCa Unverifiable "the signer's certificate says that it is a CA",
        SignerUnderRoot Unverifiable "the signer's certificate is issued by the root itself",
        IntermediateExpired Unverifiable "the intermediate has expired",
        IntermediateNotCa Unverifiable "the intermediate says that it is no CA",
        NoCertificates Unverifiable "the envelope carries no certificates",
        SignerMissing Unverifiable "the signer's certificate is missing",
        IntermediateMissing Unverifiable "the intermediate is missing",
        ExtraCertificate Unverifiable "the envelope carries a certificate that belongs to nobody",
        ManyCertificates Unverifiable "the envelope carries the intermediate many times",
        CertificateSignatureBit Unverifiable "one bit of the signature on the signer's certificate is flipped",
        NoSigner Unverifiable "nobody signed",
        TwoSigners Unverifiable "two signed, an impostor and the right one",
        OtherSerial Unverifiable "the signer is named by another serial number",
        SignatureBit Unverifiable "one bit of the signature is flipped",
        SignedByAnotherKey Unverifiable "the signature is by another key",
        OtherDigest Unverifiable "the signer says that the digest is SHA-1",
        PayloadAltered Unverifiable "the content was changed after it was signed",
        UnsignedAttributes Unverifiable "the signer has attributes that nobody signed",
        AttributesAltered Unverifiable "the signed attributes were changed after they were signed",
        AttributesOfOtherContent Unverifiable "the signed attributes name the digest of other content",
        AttributesWithoutDigest Unverifiable "the signed attributes name no digest",
        AttributesTwice Unverifiable "the signed attributes name two digests, a wrong and the right one",
        AttributesOfOtherType Unverifiable "the signed attributes name another type of content",
        PayloadIsSequence Unverifiable "the payload is a SEQUENCE",
        PayloadTrailingBytes Unverifiable "bytes follow the payload within what is signed",
        FieldTwice Unverifiable "the payload has two App IDs, a wrong and the right one",
        FieldMissing Unverifiable "the payload has no App ID",
        ManyFields Unverifiable "the payload has more fields than any genuine one could",
        RiskMetricGarbage Unverifiable "the risk metric is no number",
        CreationTimeGarbage Unverifiable "the creation time is no time",
        OtherApp Unverifiable "the receipt is for another app",
        OtherKey Unverifiable "the receipt is for another key",
        OtherEnvironment Unverifiable "the receipt is from the other environment",
        OtherType Unverifiable "the receipt is of the other type",
        UnknownType Unverifiable "the receipt is of no type that there is",
        Old Unverifiable "the receipt was made an hour ago",
        FromTheFuture Unverifiable "the receipt was made an hour from now",
        Expired Unverifiable "the receipt has expired",
    }
}

/// An attack at work on one receipt; each method is a stage of its making.
pub(crate) struct ReceiptForgery<'a> {
    pub(crate) attack: ReceiptAttack,
    pub(crate) authority: &'a AppleAuthority,
    pub(crate) content: &'a ReceiptContent<'a>,
    pub(crate) now: Timestamp,
}

impl ReceiptForgery<'_> {
    /// Before the payload is encoded: what is changed here is signed.
    pub(crate) fn fields(&self, fields: &mut Vec<Field>) {
        use ReceiptAttack as A;
        let hour = 3600;
        match self.attack {
            A::FieldTwice => fields.insert(0, (2, b"ABCDE12345.com.example.other".to_vec())),
            A::FieldMissing => fields.retain(|(kind, _)| *kind != 2),
            A::ManyFields => fields.extend((1000..1040).map(|kind| (kind, Vec::new()))),
            A::RiskMetricGarbage => {
                fields.retain(|(kind, _)| *kind != 17);
                fields.push((17, b"few".to_vec()));
            }
            A::CreationTimeGarbage => set(fields, 12, b"yesterday".to_vec()),
            A::OtherApp => set(fields, 2, b"ABCDE12345.com.example.other".to_vec()),
            A::OtherKey => {
                let other = self.authority.receipt_chain(self.now).remove(0);
                set(fields, 3, other.certificate.sign(&other.key, other.hash));
            }
            A::OtherEnvironment => {
                let production = fields.contains(&(7, b"production".to_vec()));
                set(fields, 7, if production { b"sandbox".to_vec() } else { b"production".to_vec() });
            }
            A::OtherType => {
                let other: &[u8] = if self.is_exchanged() { b"ATTEST" } else { b"RECEIPT" };
                set(fields, 6, other.to_vec());
            }
            A::UnknownType => set(fields, 6, b"attest".to_vec()),
            A::Old => set(fields, 12, rfc3339(self.now.minus(hour))),
            A::FromTheFuture => set(fields, 12, rfc3339(self.now.plus(hour))),
            A::Expired => set(fields, 21, rfc3339(self.now.minus(1))),
            A::Oversize => set(fields, 5, vec![b'a'; 16 * 1024]),
            _ => {}
        }
    }

    /// Before the certificates are signed.
    pub(crate) fn links(&self, links: &mut Vec<Link>) {
        use ReceiptAttack as A;
        let now = self.now;
        if matches!(self.attack, A::OtherRootSameNames | A::OtherAuthorityUnderRoot) {
            *links = self.impostor().receipt_chain(now);
        }
        let [signer, intermediate] = links.as_mut_slice() else { return };
        match self.attack {
            A::SignerOfAnotherPurpose => signer.certificate.remove_extension(RECEIPT_SIGNING),
            A::SignerExpired => signer.certificate.not_after = now.minus(DAY),
            A::SignerNotYetValid => signer.certificate.not_before = now.plus(DAY),
            A::SignerIsCa => signer.certificate.set_ca(true),
            A::IntermediateExpired => intermediate.certificate.not_after = now.minus(DAY),
            A::IntermediateNotCa => intermediate.certificate.set_ca(false),
            A::SignerUnderRoot => {
                signer.certificate.issuer = intermediate.certificate.issuer.clone();
                (signer.key, signer.hash) = (intermediate.key.clone(), SignatureHash::Sha384);
                links.truncate(1);
            }
            _ => {}
        }
    }

    /// Before the payload is signed.
    pub(crate) fn payload(&self, payload: &mut Vec<u8>) {
        match self.attack {
            ReceiptAttack::PayloadIsSequence => payload[0] = 0x30,
            ReceiptAttack::PayloadTrailingBytes => payload.extend([0x05, 0x00]),
            _ => {}
        }
    }

    /// Before the signer signs.
    pub(crate) fn signer(&self, payload: &[u8], signer: &mut Signer, key: &mut IssuerKey) {
        use ReceiptAttack as A;
        let mut attributes = Signer::attributes_of(payload);
        let wrong = Signer::attributes_of(b"other content");
        match self.attack {
            A::OtherRootSameNames | A::OtherAuthorityUnderRoot => *key = self.impostor().receipt_key(),
            A::SignedByAnotherKey => *key = IssuerKey::P256(self.seed().p256_key("another receipt key")),
            A::OtherDigest => signer.digest = SHA_1,
            A::OtherSerial => signer.serial.push(7),
            A::AttributesAltered => signer.attributes = Some(attributes),
            A::AttributesOfOtherContent => signer.attributes = Some(wrong),
            A::AttributesWithoutDigest => {
                attributes.truncate(1);
                signer.attributes = Some(attributes);
            }
            A::AttributesTwice => {
                attributes.insert(1, wrong[1].clone());
                signer.attributes = Some(attributes);
            }
            A::AttributesOfOtherType => {
                attributes[0] = attribute(CONTENT_TYPE, asn1::oid(ENVELOPED_DATA));
                signer.attributes = Some(attributes);
            }
            _ => {}
        }
    }

    /// After the signature, before anything is encoded.
    pub(crate) fn envelope(&self, envelope: &mut Envelope, signer: &mut Signer) {
        use ReceiptAttack as A;
        let certificates = &mut envelope.certificates;
        match self.attack {
            A::EnvelopedData => envelope.kind = ENVELOPED_DATA,
            A::OtherVersion => envelope.version = 3,
            A::Detached => envelope.content = None,
            A::RevocationLists => envelope.revocation_lists = asn1::explicit(1, &asn1::sequence([])),
            A::OtherRootSameNames => certificates[2] = self.impostor().root_certificate_der(),
            A::NoCertificates => certificates.clear(),
            A::SignerMissing => drop(certificates.remove(0)),
            A::IntermediateMissing => drop(certificates.remove(1)),
            A::ExtraCertificate => certificates.push(self.impostor().root_certificate_der()),
            A::ManyCertificates => certificates.extend(vec![certificates[1].clone(); 100]),
            A::CertificateSignatureBit => flip_last_bit(&mut certificates[0]),
            A::SignatureBit => flip_last_bit(&mut signer.signature),
            A::PayloadAltered => envelope.content.as_mut().into_iter().for_each(|content| {
                // The last digit of a time: well-formed all the same.
                let at = content.iter().rposition(|byte| *byte == b'Z').expect("a time stands last");
                content[at - 1] ^= 1;
            }),
            A::UnsignedAttributes => {
                signer.unsigned = asn1::explicit(1, &attribute(CONTENT_TYPE, asn1::oid(ENVELOPED_DATA)));
            }
            A::AttributesAltered => signer.attributes.iter_mut().for_each(|all| all.reverse()),
            A::TwoSigners => {
                let mut impostor = signer.clone();
                impostor.signature = Sha256::digest(b"impostor").to_vec();
                envelope.signers.push(impostor.encode());
            }
            _ => {}
        }
    }

    /// After the signers were encoded.
    pub(crate) fn signers(&self, signers: &mut Vec<Vec<u8>>) {
        if self.attack == ReceiptAttack::NoSigner {
            signers.clear();
        }
    }

    /// After the receipt was encoded.
    pub(crate) fn bytes(&self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        match self.attack {
            ReceiptAttack::Missing => return None,
            ReceiptAttack::Empty => bytes.clear(),
            ReceiptAttack::Truncated => bytes.truncate(bytes.len() - 40),
            ReceiptAttack::TrailingBytes => bytes.extend([0, 0]),
            _ => {}
        }
        Some(bytes)
    }

    const fn is_exchanged(&self) -> bool {
        self.content.risk_metric.is_some()
    }

    fn seed(&self) -> Seed {
        self.authority.seed().child("receipt forgery")
    }

    fn impostor(&self) -> AppleAuthority {
        AppleAuthority::from_seed(&self.seed())
    }
}

fn set(fields: &mut [Field], kind: u64, value: Vec<u8>) {
    fields.iter_mut().filter(|(known, _)| *known == kind).for_each(|field| field.1.clone_from(&value));
}
