//! Plays an authority that issues TLS client certificates, and gateways' own ones.

use const_oid::{ObjectIdentifier, db::rfc4519::COMMON_NAME};
use p256::pkcs8::{EncodePrivateKey, LineEnding};

use countersign_core::time::Timestamp;

use crate::{
    asn1,
    certificate::{Certificate, DAY, Extension, IssuerKey, SignatureHash, name, pem},
    seed::Seed,
};

const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SUBJECT_ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
/// id-kp-serverAuth.
pub const SERVER_AUTHENTICATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
/// id-kp-clientAuth.
pub const CLIENT_AUTHENTICATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// A virtual authority; its certificates are good for twenty years around the time it was made with, since gateways have a
/// clock of their own.
pub struct ClientAuthority {
    seed: Seed,
    key: IssuerKey,
    now: Timestamp,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Credentials {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// The private key, PKCS #8 in PEM.
    pub key_pem: String,
}

impl ClientAuthority {
    /// The authority that this seed makes.
    pub fn from_seed(seed: &Seed, now: Timestamp) -> Self {
        let seed = seed.child("client authority");
        Self { key: IssuerKey::P256(seed.p256_key("authority")), seed, now }
    }

    /// Its own certificate, DER.
    pub fn certificate_der(&self) -> Vec<u8> {
        let own = Certificate {
            extensions: vec![Extension::basic_constraints(true, None), Extension::key_usage(0x06)],
            subject: authority_name(),
            ..self.draft("authority", &self.key)
        };
        own.sign(&self.key, SignatureHash::Sha256)
    }

    /// Its own certificate, PEM.
    pub fn certificate_pem(&self) -> String {
        pem(&self.certificate_der())
    }

    /// A certificate for the subjectAltName `dns:…` or `uri:…`, for client authentication.
    pub fn issue(&self, alternative_name: &str) -> Credentials {
        self.issue_for(alternative_name, CLIENT_AUTHENTICATION, |_| {})
    }

    /// As [`ClientAuthority::issue`] for another purpose, after `change` to the certificate.
    pub fn issue_for(
        &self,
        alternative_name: &str,
        purpose: ObjectIdentifier,
        change: impl FnOnce(&mut Certificate),
    ) -> Credentials {
        let key = self.seed.p256_key(alternative_name);
        let (tag, value) = match alternative_name.split_once(':') {
            Some(("uri", uri)) => (0x86, uri),
            Some(("dns", dns)) => (0x82, dns),
            _ => (0x82, alternative_name),
        };
        let names = asn1::sequence([asn1::tlv(&[tag], value.as_bytes())]);
        let mut draft = Certificate {
            extensions: vec![
                Extension::basic_constraints(false, None),
                Extension::key_usage(0x80),
                Extension::new(EXTENDED_KEY_USAGE, asn1::sequence([asn1::oid(purpose)])),
                Extension::new(SUBJECT_ALTERNATIVE_NAME, names),
            ],
            ..self.draft(alternative_name, &IssuerKey::P256(key.clone()))
        };
        change(&mut draft);
        let key_pem = key.to_pkcs8_pem(LineEnding::LF).expect("a P-256 key has a PKCS #8 form");
        Credentials { der: draft.sign(&self.key, SignatureHash::Sha256), key_pem: key_pem.to_string() }
    }

    fn draft(&self, subject: &str, key: &IssuerKey) -> Certificate {
        Certificate {
            serial: asn1::unsigned(&self.seed.child(subject).bytes::<16>("serial")),
            issuer: authority_name(),
            subject: common_name(subject),
            not_before: self.now.minus(3650 * DAY),
            not_after: self.now.plus(3650 * DAY),
            subject_public_key_info: key.subject_public_key_info(),
            extensions: Vec::new(),
            writes_defaults: false,
        }
    }
}

impl Credentials {
    /// The certificate, PEM.
    pub fn certificate_pem(&self) -> String {
        pem(&self.der)
    }
}

fn authority_name() -> Vec<u8> {
    common_name("Virtual client authority")
}

fn common_name(text: &str) -> Vec<u8> {
    name(&[(COMMON_NAME, asn1::tlv(&[0x0c], text.as_bytes()))])
}
