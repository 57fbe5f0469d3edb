//! Receipts of App Attest as Apple's servers make them: CMS SignedData over a list of fields, in the streamed form
//! of the genuine ones, and every part of it as a draft that can be set wrong.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519::{COMMON_NAME, ORGANIZATION_NAME};
use sha2::{Digest, Sha256};

use countersign_core::time::Timestamp;

use crate::{
    apple_authority::AppleAuthority,
    asn1,
    certificate::{Certificate, DAY, Extension, IssuerKey, Link, SignatureHash, name, sign_chain},
    hostile::{ReceiptAttack, ReceiptForgery},
    iphone::Environment,
};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const ECDSA_WITH_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// The extension of certificates that sign receipts.
pub const RECEIPT_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.12.15");

/// The length of the pieces in which Apple writes the content.
const CHUNK: usize = 1000;

/// The forms in which a signer may write an honest receipt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReceiptForm {
    /// BER of indefinite lengths, the content in chunks: most genuine receipts.
    #[default]
    Streamed,
    /// DER: a few genuine ones.
    Der,
    /// Streamed, with signed attributes, which CMS allows and Apple leaves out.
    SignedAttributes,
}

/// What a receipt is made for.
#[derive(Clone, Debug)]
pub struct ReceiptContent<'a> {
    /// Team and bundle identifier, joined by a dot.
    pub app_id: &'a str,
    /// The leaf of the attestation, DER.
    pub attested_certificate: &'a [u8],
    /// What the app handed to `attestKey`.
    pub client_hash: &'a [u8],
    /// Production or development.
    pub environment: Environment,
    /// None in the receipt of an attestation; in one from an exchange, how many keys the device had attested.
    pub risk_metric: Option<u64>,
    /// How it is written.
    pub form: ReceiptForm,
}

/// The envelope before it is encoded.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// signedData.
    pub kind: ObjectIdentifier,
    /// 1.
    pub version: u64,
    /// The payload; None if it is to be found elsewhere.
    pub content: Option<Vec<u8>>,
    /// Signer, intermediate, root.
    pub certificates: Vec<Vec<u8>>,
    /// Members between certificates and signers: revocation lists.
    pub revocation_lists: Vec<u8>,
    /// Encoded signers: one.
    pub signers: Vec<Vec<u8>>,
    /// In BER of indefinite lengths and in chunks, as Apple mostly does, or in DER.
    pub streamed: bool,
}

/// A signer before it is encoded.
#[derive(Clone, Debug)]
pub struct Signer {
    /// Name of the certificate's issuer, DER.
    pub issuer: Vec<u8>,
    /// Content of the serial number's INTEGER.
    pub serial: Vec<u8>,
    /// SHA-256.
    pub digest: ObjectIdentifier,
    /// Encoded attributes that are signed in place of the content; genuine receipts have none.
    pub attributes: Option<Vec<Vec<u8>>>,
    /// ECDSA with SHA-256.
    pub signature: Vec<u8>,
    /// Members after the signature: unsigned attributes.
    pub unsigned: Vec<u8>,
}

/// Type and value of one field of the payload.
pub type Field = (u64, Vec<u8>);

impl AppleAuthority {
    /// A receipt made at `now`, honest or with one lie.
    pub fn receipt(
        &self,
        content: &ReceiptContent<'_>,
        now: Timestamp,
        attack: Option<ReceiptAttack>,
    ) -> Option<Vec<u8>> {
        let forgery = attack.map(|attack| ReceiptForgery { attack, authority: self, content, now });
        let mut fields = fields(content, now);
        let mut links = self.receipt_chain(now);
        if let Some(forgery) = &forgery {
            forgery.fields(&mut fields);
            forgery.links(&mut links);
        }
        let mut payload = encode_fields(&fields);
        if let Some(forgery) = &forgery {
            forgery.payload(&mut payload);
        }
        let mut signer = Signer {
            issuer: links[0].certificate.issuer.clone(),
            serial: links[0].certificate.serial.clone(),
            digest: SHA_256,
            attributes: (content.form == ReceiptForm::SignedAttributes)
                .then(|| Signer::attributes_of(&payload)),
            signature: Vec::new(),
            unsigned: Vec::new(),
        };
        let mut key = self.receipt_key();
        if let Some(forgery) = &forgery {
            forgery.signer(&payload, &mut signer, &mut key);
        }
        signer.sign(&payload, &key);
        let mut certificates = sign_chain(&links);
        certificates.push(self.root_certificate_der());
        let mut envelope = Envelope {
            kind: SIGNED_DATA,
            version: 1,
            content: Some(payload),
            certificates,
            revocation_lists: Vec::new(),
            signers: Vec::new(),
            streamed: content.form != ReceiptForm::Der,
        };
        if let Some(forgery) = &forgery {
            forgery.envelope(&mut envelope, &mut signer);
        }
        envelope.signers.insert(0, signer.encode());
        if let Some(forgery) = &forgery {
            forgery.signers(&mut envelope.signers);
        }
        let bytes = envelope.encode();
        match &forgery {
            Some(forgery) => forgery.bytes(bytes),
            None => Some(bytes),
        }
    }

    /// Signer and intermediate, before they are signed.
    pub(crate) fn receipt_chain(&self, now: Timestamp) -> Vec<Link> {
        let (intermediate_key, key) = (self.receipt_intermediate_key(), self.receipt_key());
        let intermediate_name = name(&[
            (COMMON_NAME, asn1::utf8("Countersign Virtual Application Integration CA 5")),
            (ORGANIZATION_NAME, asn1::utf8("Countersign")),
        ]);
        let signer = Certificate {
            serial: asn1::unsigned(&key.identifier()[..16]),
            issuer: intermediate_name.clone(),
            subject: name(&[
                (COMMON_NAME, asn1::utf8("Virtual Application Attestation Fraud Receipt Signing")),
                (ORGANIZATION_NAME, asn1::utf8("Countersign")),
            ]),
            not_before: now.minus(100 * DAY),
            not_after: now.plus(265 * DAY),
            subject_public_key_info: key.subject_public_key_info(),
            extensions: vec![
                Extension::basic_constraints(false, None),
                Extension::authority_key_identifier(intermediate_key.identifier()),
                Extension::subject_key_identifier(key.identifier()),
                Extension::key_usage(0x80),
                Extension::new(RECEIPT_SIGNING, asn1::null()),
            ],
        };
        let intermediate = Certificate {
            serial: asn1::unsigned(&intermediate_key.identifier()[..16]),
            issuer: self.root_name(),
            subject: intermediate_name,
            not_before: now.minus(1000 * DAY),
            not_after: now.plus(1000 * DAY),
            subject_public_key_info: intermediate_key.subject_public_key_info(),
            extensions: vec![
                Extension::basic_constraints(true, None),
                Extension::authority_key_identifier(self.root_key().identifier()),
                Extension::subject_key_identifier(intermediate_key.identifier()),
                Extension::key_usage(0x06),
            ],
        };
        vec![
            Link { certificate: signer, key: intermediate_key, hash: SignatureHash::Sha256 },
            Link { certificate: intermediate, key: self.root_key().clone(), hash: SignatureHash::Sha384 },
        ]
    }
}

impl Signer {
    /// Attributes that name content type and digest (RFC 5652 section 11), as `content` wants them.
    pub fn attributes_of(content: &[u8]) -> Vec<Vec<u8>> {
        vec![
            attribute(CONTENT_TYPE, asn1::oid(DATA)),
            attribute(MESSAGE_DIGEST, asn1::octet_string(&Sha256::digest(content))),
        ]
    }

    /// Signs the attributes, or the content if there are none.
    pub fn sign(&mut self, content: &[u8], key: &IssuerKey) {
        let message = match &self.attributes {
            Some(attributes) => asn1::tlv(&[0x31], &attributes.concat()),
            None => content.to_vec(),
        };
        self.signature = key.sign(SignatureHash::Sha256, &message);
    }

    /// SignerInfo.
    pub fn encode(&self) -> Vec<u8> {
        let algorithm = |oid| asn1::sequence([asn1::oid(oid), asn1::null()]);
        asn1::sequence([
            asn1::integer(1),
            asn1::sequence([self.issuer.clone(), asn1::tlv(&[0x02], &self.serial)]),
            algorithm(self.digest),
            self.attributes.as_ref().map_or_else(Vec::new, |all| asn1::tlv(&[0xa0], &all.concat())),
            asn1::sequence([asn1::oid(ECDSA_WITH_SHA_256)]),
            asn1::octet_string(&self.signature),
            self.unsigned.clone(),
        ])
    }
}

impl Envelope {
    /// The bytes of it.
    pub fn encode(&self) -> Vec<u8> {
        let constructed = |tag: u8, content: &[u8]| {
            if self.streamed { [&[tag, 0x80], content, &[0, 0]].concat() } else { asn1::tlv(&[tag], content) }
        };
        let content = self.content.as_ref().map_or_else(Vec::new, |content| {
            let string = if self.streamed {
                constructed(0x24, &content.chunks(CHUNK).map(asn1::octet_string).collect::<Vec<_>>().concat())
            } else {
                asn1::octet_string(content)
            };
            constructed(0xa0, &string)
        });
        let signed_data = [
            asn1::integer(self.version),
            asn1::set_of([asn1::sequence([asn1::oid(SHA_256), asn1::null()])]),
            constructed(0x30, &[asn1::oid(DATA), content].concat()),
            constructed(0xa0, &self.certificates.concat()),
            self.revocation_lists.clone(),
            asn1::tlv(&[0x31], &self.signers.concat()),
        ];
        let explicit = constructed(0xa0, &constructed(0x30, &signed_data.concat()));
        constructed(0x30, &[asn1::oid(self.kind), explicit].concat())
    }
}

/// The fields in the order in which Apple writes them.
fn fields(content: &ReceiptContent<'_>, now: Timestamp) -> Vec<Field> {
    let exchanged = content.risk_metric;
    let environment = match content.environment {
        Environment::Production => "production",
        Environment::Development => "sandbox",
    };
    let mut fields = Vec::new();
    if let Some(metric) = exchanged {
        fields.push((17, metric.to_string().into_bytes()));
    }
    fields.extend([
        (2, content.app_id.as_bytes().to_vec()),
        (3, content.attested_certificate.to_vec()),
        (4, content.client_hash.to_vec()),
        (5, b"a+token/that+only/the+vendor+reads".repeat(3)[..88].to_vec()),
        (6, if exchanged.is_some() { b"RECEIPT".to_vec() } else { b"ATTEST".to_vec() }),
        (7, environment.as_bytes().to_vec()),
        (12, rfc3339(now)),
    ]);
    if exchanged.is_some() {
        fields.push((19, rfc3339(now.plus(DAY))));
    }
    fields.push((21, rfc3339(now.plus(90 * DAY))));
    fields
}

/// The SET of fields, which Apple does not sort.
fn encode_fields(fields: &[Field]) -> Vec<u8> {
    let fields = fields.iter().map(|(kind, value)| {
        asn1::sequence([asn1::integer(*kind), asn1::integer(1), asn1::octet_string(value)])
    });
    asn1::tlv(&[0x31], &fields.collect::<Vec<_>>().concat())
}

/// A time as receipts write it.
pub fn rfc3339(time: Timestamp) -> Vec<u8> {
    let since_epoch = std::time::Duration::from_secs(time.as_unix_seconds());
    let text = der::DateTime::from_unix_duration(since_epoch).expect("a year of four digits").to_string();
    text.replace('Z', ".153Z").into_bytes()
}

/// An attribute with one value.
pub fn attribute(kind: ObjectIdentifier, value: Vec<u8>) -> Vec<u8> {
    asn1::sequence([asn1::oid(kind), asn1::set_of([value])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_apple_writes_them() {
        assert_eq!(rfc3339(Timestamp::from_unix_seconds(1_776_795_192)), b"2026-04-21T18:13:12.153Z");
    }

    #[test]
    fn a_streamed_envelope_has_indefinite_lengths_and_chunks() {
        let envelope = Envelope {
            kind: SIGNED_DATA,
            version: 1,
            content: Some(vec![7; 1001]),
            certificates: Vec::new(),
            revocation_lists: Vec::new(),
            signers: Vec::new(),
            streamed: true,
        };
        let bytes = envelope.encode();
        assert_eq!(bytes[..2], [0x30, 0x80]);
        let last_chunk = [0x04, 0x01, 7, 0, 0, 0, 0, 0, 0, 0xa0, 0x80];
        assert!(bytes.windows(last_chunk.len()).any(|window| window == last_chunk));
    }
}
