//! Plays Google's attestation authority: a test root and the two kinds of chain below it, with the subjects of
//! genuine ones: keys put into the phone in the factory, and keys provisioned remotely (RKP).

use const_oid::{
    ObjectIdentifier,
    db::rfc4519::{COMMON_NAME, ORGANIZATION_NAME, SERIAL_NUMBER, TITLE},
};

use countersign_core::time::Timestamp;

use crate::{
    asn1,
    certificate::{Certificate, DAY, Extension, IssuerKey, Link, SignatureHash, name, pem},
    key_description::SecurityLevel,
    seed::Seed,
};

/// The extension with the KeyDescription.
pub const KEY_DESCRIPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.1.17");
/// The extension that tells how many certificates a device was given; remotely provisioned chains only.
pub const PROVISIONING_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.1.30");

/// 2019-11-22.
const ROOT_NOT_BEFORE: Timestamp = Timestamp::from_unix_seconds(1_574_380_800);
/// 2042-03-15.
const ROOT_NOT_AFTER: Timestamp = Timestamp::from_unix_seconds(2_278_540_800);
/// What leaves say of their end: 2048-01-01.
const LEAF_NOT_AFTER: Timestamp = Timestamp::from_unix_seconds(2_461_449_600);

/// How a phone came by its attestation keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provisioning {
    /// Put in at the factory: four certificates, expiry is not enforced.
    Factory,
    /// Remotely, for about two weeks at a time (RKP): five certificates.
    Remote,
}

/// A virtual Android attestation authority. Nobody trusts it who does not name its root.
#[derive(Clone)]
pub struct GoogleAuthority {
    seed: Seed,
    root_key: IssuerKey,
    root: Certificate,
}

/// The hardware whose key signs leaves: one chip of one phone.
#[derive(Clone, Debug)]
pub struct AttestingChip {
    /// Makes the chip's keys and its number.
    pub seed: Seed,
    /// How its keys came into it.
    pub provisioning: Provisioning,
    /// TEE or StrongBox, as the certificates' subjects say.
    pub security_level: SecurityLevel,
    /// How many certificates it was issued in 30 days, if remotely.
    pub certificates_issued: u64,
}

impl GoogleAuthority {
    /// The authority that this seed makes, always the same one.
    pub fn from_seed(seed: &Seed) -> Self {
        let seed = seed.child("google authority");
        let root_key = IssuerKey::P384(seed.p384_key("root"));
        let root = Certificate {
            serial: asn1::unsigned(&seed.bytes::<8>("root serial")),
            issuer: root_name(),
            subject: root_name(),
            not_before: ROOT_NOT_BEFORE,
            not_after: ROOT_NOT_AFTER,
            subject_public_key_info: root_key.subject_public_key_info(),
            extensions: vec![
                Extension::subject_key_identifier(root_key.identifier()),
                Extension::authority_key_identifier(root_key.identifier()),
                Extension::basic_constraints(true, None),
                Extension::key_usage(0x04),
            ],
            writes_defaults: false,
        };
        Self { seed, root_key, root }
    }

    /// The self-signed root, DER: what a policy's `danger` section has to name before anything here is believed.
    pub fn root_certificate_der(&self) -> Vec<u8> {
        self.root.sign(&self.root_key, SignatureHash::Sha384)
    }

    /// The self-signed root, PEM.
    pub fn root_certificate_pem(&self) -> String {
        pem(&self.root_certificate_der())
    }

    /// The key of the root.
    pub const fn root_key(&self) -> &IssuerKey {
        &self.root_key
    }

    /// A chain, leaf first and the root last, before it is signed. The leaf attests the key
    /// `subject_public_key_info` and holds `key_description`.
    pub fn chain(
        &self,
        chip: &AttestingChip,
        subject_public_key_info: Vec<u8>,
        key_description: Vec<u8>,
        now: Timestamp,
    ) -> Vec<Link> {
        let chip_key = IssuerKey::P256(chip.seed.p256_key("attestation key"));
        let leaf = Certificate {
            serial: vec![1],
            issuer: chip.name(),
            subject: name(&[(COMMON_NAME, asn1::printable("Android Keystore Key"))]),
            not_before: Timestamp::EPOCH,
            not_after: LEAF_NOT_AFTER,
            subject_public_key_info,
            extensions: vec![Extension::new(KEY_DESCRIPTION, key_description), Extension::key_usage(0x80)],
            writes_defaults: false,
        };
        let mut links = vec![Link { certificate: leaf, key: chip_key.clone(), hash: SignatureHash::Sha256 }];
        match chip.provisioning {
            Provisioning::Remote => self.remote(&mut links, chip, &chip_key, now),
            Provisioning::Factory => self.factory(&mut links, chip, &chip_key, now),
        }
        let root = self.root.clone();
        links.push(Link { certificate: root, key: self.root_key.clone(), hash: SignatureHash::Sha384 });
        links
    }

    /// Chip, Droid CA3 (weeks), Droid CA2 (years).
    fn remote(&self, links: &mut Vec<Link>, chip: &AttestingChip, chip_key: &IssuerKey, now: Timestamp) {
        let ca3_key = IssuerKey::P256(self.seed.p256_key("droid ca3"));
        let ca2_key = IssuerKey::P384(self.seed.p384_key("droid ca2"));
        let mut of_chip = intermediate(chip.name(), google_name("Droid CA3"), chip_key, &ca3_key);
        of_chip.serial = asn1::unsigned(&chip.number());
        (of_chip.not_before, of_chip.not_after) = (now.minus(5 * DAY), now.plus(9 * DAY));
        of_chip.extensions.push(chip.provisioning_info());
        let mut ca3 = intermediate(google_name("Droid CA3"), google_name("Droid CA2"), &ca3_key, &ca2_key);
        // As genuine ones have them: key usage and constraints first.
        ca3.extensions.reverse();
        ca3.extensions[2..].reverse();
        (ca3.not_before, ca3.not_after) = (now.minus(20 * DAY), now.plus(50 * DAY));
        let mut ca2 = intermediate(google_name("Droid CA2"), root_name(), &ca2_key, &self.root_key);
        ca2.extensions[2] = Extension::basic_constraints(true, Some(2));
        ca2.extensions[3] = Extension::key_usage(0x06);
        (ca2.not_before, ca2.not_after) = (now.minus(1000 * DAY), now.plus(4000 * DAY));
        links.push(Link { certificate: of_chip, key: ca3_key, hash: SignatureHash::Sha256 });
        links.push(Link { certificate: ca3, key: ca2_key, hash: SignatureHash::Sha384 });
        links.push(Link { certificate: ca2, key: self.root_key.clone(), hash: SignatureHash::Sha384 });
    }

    /// Chip, maker's batch; both for ten years.
    fn factory(&self, links: &mut Vec<Link>, chip: &AttestingChip, chip_key: &IssuerKey, now: Timestamp) {
        let title = chip.security_level.title();
        let batch = self.seed.child("factory").child(title);
        let batch_key = IssuerKey::P384(batch.p384_key("key"));
        let batch_name = factory_name(title, &hex(&batch.bytes::<16>("number")));
        let years = (now.minus(800 * DAY), now.plus(2850 * DAY));
        let mut of_chip = intermediate(chip.name(), batch_name.clone(), chip_key, &batch_key);
        of_chip.serial = asn1::unsigned(&chip.number());
        (of_chip.not_before, of_chip.not_after) = years;
        let mut of_batch = intermediate(batch_name, root_name(), &batch_key, &self.root_key);
        (of_batch.not_before, of_batch.not_after) = years;
        links.push(Link { certificate: of_chip, key: batch_key, hash: SignatureHash::Sha256 });
        links.push(Link { certificate: of_batch, key: self.root_key.clone(), hash: SignatureHash::Sha256 });
    }
}

impl AttestingChip {
    /// 16 bytes whose first bit is set, so that the serial number made of them needs a sign byte in DER.
    fn number(&self) -> [u8; 16] {
        let mut number = self.seed.bytes("number");
        number[0] |= 0x80;
        number
    }

    /// [`Self::number`] in hex, as names have it.
    pub(crate) fn number_text(&self) -> String {
        hex(&self.number())
    }

    /// ProvisioningInfo, CBOR `{1: certificates issued in the last 30 days, 3: "Countersign"}`.
    pub(crate) fn provisioning_info(&self) -> Extension {
        let issued = match u16::try_from(self.certificates_issued) {
            Ok(number @ 0..24) => vec![number as u8],
            Ok(number) if number < 256 => vec![0x18, number as u8],
            Ok(number) => [&[0x19][..], &number.to_be_bytes()].concat(),
            Err(_) => [&[0x1b][..], &self.certificates_issued.to_be_bytes()].concat(),
        };
        let info = [&[0xa2, 0x01][..], &issued, &[0x03, 0x6b], b"Countersign"].concat();
        Extension::new(PROVISIONING_INFO, info)
    }

    /// The subject of the chip's certificate.
    pub fn name(&self) -> Vec<u8> {
        let (number, title) = (self.number_text(), self.security_level.title());
        match self.provisioning {
            Provisioning::Remote => {
                name(&[(COMMON_NAME, asn1::printable(&number)), (ORGANIZATION_NAME, asn1::printable(title))])
            }
            Provisioning::Factory => factory_name(title, &number),
        }
    }
}

/// A status list in the form of `android.googleapis.com/attestation/status`, from serial numbers as
/// [`serial_hex`](crate::certificate::serial_hex) writes them and their status: `REVOKED` or `SUSPENDED`.
pub fn status_list_json(entries: &[(&str, &str)]) -> String {
    let entries: Vec<String> = entries
        .iter()
        .map(|(serial, status)| format!(r#""{serial}":{{"status":"{status}","reason":"KEY_COMPROMISE"}}"#))
        .collect();
    format!(r#"{{"entries":{{{}}}}}"#, entries.join(","))
}

/// A CA certificate with the four usual extensions; its validity is the caller's to set.
fn intermediate(subject: Vec<u8>, issuer: Vec<u8>, key: &IssuerKey, issuer_key: &IssuerKey) -> Certificate {
    Certificate {
        serial: asn1::unsigned(&key.identifier()[..16]),
        issuer,
        subject,
        not_before: Timestamp::EPOCH,
        not_after: Timestamp::EPOCH,
        subject_public_key_info: key.subject_public_key_info(),
        extensions: vec![
            Extension::subject_key_identifier(key.identifier()),
            Extension::authority_key_identifier(issuer_key.identifier()),
            Extension::basic_constraints(true, None),
            Extension::key_usage(0x04),
        ],
        writes_defaults: false,
    }
}

fn root_name() -> Vec<u8> {
    name(&[
        (COMMON_NAME, asn1::printable("Countersign Virtual Key Attestation Test Root, never trust")),
        (ORGANIZATION_NAME, asn1::printable("Countersign")),
    ])
}

pub(crate) fn google_name(common_name: &str) -> Vec<u8> {
    name(&[(ORGANIZATION_NAME, asn1::printable("Google LLC")), (COMMON_NAME, asn1::printable(common_name))])
}

pub(crate) fn factory_name(title: &str, number: &str) -> Vec<u8> {
    name(&[(TITLE, asn1::utf8(title)), (SERIAL_NUMBER, asn1::printable(number))])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_list_has_the_form_of_googles() {
        assert_eq!(
            status_list_json(&[("1a", "REVOKED"), ("2b", "SUSPENDED")]),
            r#"{"entries":{"1a":{"status":"REVOKED","reason":"KEY_COMPROMISE"},"2b":{"status":"SUSPENDED","reason":"KEY_COMPROMISE"}}}"#
        );
    }

    #[test]
    fn the_number_of_a_chip_needs_a_sign_byte() {
        for text in ["a", "b", "c", "d"] {
            let chip = AttestingChip {
                seed: Seed::from_text(text),
                provisioning: Provisioning::Remote,
                security_level: SecurityLevel::TrustedEnvironment,
                certificates_issued: 8,
            };
            assert_eq!(asn1::unsigned(&chip.number())[0], 0);
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_root_and_another_seed_another() {
        let root = |text| GoogleAuthority::from_seed(&Seed::from_text(text)).root_certificate_der();
        assert_eq!(root("a"), root("a"));
        assert_ne!(root("a"), root("b"));
    }
}
