//! Plays Apple's App Attest authority: a test root, the intermediate below it, and leaves of the genuine shape.

use const_oid::{
    ObjectIdentifier,
    db::rfc4519::{COMMON_NAME, ORGANIZATION_NAME, ORGANIZATIONAL_UNIT_NAME, ST},
};

use countersign_core::time::Timestamp;

use crate::{
    asn1,
    certificate::{Certificate, DAY, Extension, IssuerKey, Link, SignatureHash, name, pem},
    seed::Seed,
};

/// The leaf's extension that holds the nonce.
pub const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.2");

const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const APP_ATTEST_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.4.24");
const ATTRIBUTES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.5");
const KEY_ACCESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.6");
const OPERATING_SYSTEM: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.7");

/// 2020-03-18, as the genuine root and intermediate.
const ROOT_NOT_BEFORE: Timestamp = Timestamp::from_unix_seconds(1_584_489_600);
/// 2030-03-13.
const INTERMEDIATE_NOT_AFTER: Timestamp = Timestamp::from_unix_seconds(1_899_590_400);
/// 2045-03-15.
const ROOT_NOT_AFTER: Timestamp = Timestamp::from_unix_seconds(2_373_148_800);

/// A virtual App Attest authority. Nobody trusts it who does not name its root.
#[derive(Clone)]
pub struct AppleAuthority {
    seed: Seed,
    root_key: IssuerKey,
    intermediate_key: IssuerKey,
    root: Certificate,
}

/// What Apple's servers write into the leaf of one attestation.
#[derive(Clone, Debug)]
pub struct LeafContent<'a> {
    /// SubjectPublicKeyInfo of the App Attest key.
    pub subject_public_key_info: Vec<u8>,
    /// SHA-256 of the key's uncompressed point.
    pub key_id: [u8; 32],
    /// SHA-256(authData || clientDataHash).
    pub nonce: [u8; 32],
    /// Team and bundle identifier, joined by a dot.
    pub app_id: &'a str,
    /// The system's version, such as `26.3`.
    pub os_version: &'a str,
}

impl AppleAuthority {
    /// The authority that this seed makes, always the same one.
    pub fn from_seed(seed: &Seed) -> Self {
        let seed = seed.child("apple authority");
        let root_key = IssuerKey::P384(seed.p384_key("root"));
        let root = Certificate {
            serial: asn1::unsigned(&seed.bytes::<16>("root serial")),
            issuer: root_name(),
            subject: root_name(),
            not_before: ROOT_NOT_BEFORE,
            not_after: ROOT_NOT_AFTER,
            subject_public_key_info: root_key.subject_public_key_info(),
            extensions: vec![
                Extension::basic_constraints(true, None),
                Extension::subject_key_identifier(root_key.identifier()),
                Extension::key_usage(0x06),
            ],
            writes_defaults: false,
        };
        Self { root_key, intermediate_key: IssuerKey::P384(seed.p384_key("intermediate")), root, seed }
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

    /// The key of the intermediate that certifies signers of receipts.
    pub(crate) fn receipt_intermediate_key(&self) -> IssuerKey {
        IssuerKey::P256(self.seed.p256_key("receipt intermediate"))
    }

    /// The key that signs receipts.
    pub(crate) fn receipt_key(&self) -> IssuerKey {
        IssuerKey::P256(self.seed.p256_key("receipt signer"))
    }

    /// The root's Name, DER.
    pub(crate) fn root_name(&self) -> Vec<u8> {
        self.root.subject.clone()
    }

    pub(crate) const fn seed(&self) -> &Seed {
        &self.seed
    }

    /// Leaf and intermediate as `x5c` has them, before they are signed. The leaf is valid for three days of
    /// which `now` ends the first.
    pub fn chain(&self, leaf: &LeafContent<'_>, now: Timestamp) -> Vec<Link> {
        let key_id_hex: String = leaf.key_id.iter().map(|byte| format!("{byte:02x}")).collect();
        let leaf = Certificate {
            serial: asn1::unsigned(&(now.as_unix_seconds() * 1000).to_be_bytes()),
            issuer: intermediate_name(),
            subject: name(&[
                (COMMON_NAME, asn1::utf8(&key_id_hex)),
                (ORGANIZATIONAL_UNIT_NAME, asn1::utf8("AAA Certification")),
                (ORGANIZATION_NAME, asn1::utf8("Apple Inc.")),
                (ST, asn1::utf8("California")),
            ]),
            not_before: now.minus(DAY),
            not_after: now.plus(2 * DAY),
            subject_public_key_info: leaf.subject_public_key_info.clone(),
            extensions: vec![
                Extension::basic_constraints(false, None),
                Extension::key_usage(0xf0),
                Extension::new(EXTENDED_KEY_USAGE, asn1::sequence([asn1::oid(APP_ATTEST_USAGE)])),
                Extension::new(ATTRIBUTES, attributes(leaf.app_id)),
                Extension::new(OPERATING_SYSTEM, operating_system(leaf.os_version)),
                Extension::new(NONCE, nonce_extension(&leaf.nonce)),
                Extension::new(KEY_ACCESS, key_access()),
            ],
            writes_defaults: false,
        };
        let intermediate = Certificate {
            serial: asn1::unsigned(&self.intermediate_key.identifier()[..16]),
            issuer: root_name(),
            subject: intermediate_name(),
            not_before: ROOT_NOT_BEFORE,
            not_after: INTERMEDIATE_NOT_AFTER,
            subject_public_key_info: self.intermediate_key.subject_public_key_info(),
            extensions: vec![
                Extension::basic_constraints(true, Some(0)),
                Extension::authority_key_identifier(self.root_key.identifier()),
                Extension::subject_key_identifier(self.intermediate_key.identifier()),
                Extension::key_usage(0x06),
            ],
            writes_defaults: false,
        };
        vec![
            Link { certificate: leaf, key: self.intermediate_key.clone(), hash: SignatureHash::Sha256 },
            Link { certificate: intermediate, key: self.root_key.clone(), hash: SignatureHash::Sha384 },
        ]
    }
}

/// The value of the nonce extension: `30 24 A1 22 04 20` and the nonce.
pub fn nonce_extension(nonce: &[u8]) -> Vec<u8> {
    asn1::sequence([asn1::explicit(1, &asn1::octet_string(nonce))])
}

fn root_name() -> Vec<u8> {
    name(&[
        (COMMON_NAME, asn1::utf8("Countersign Virtual App Attestation Test Root, never trust")),
        (ORGANIZATION_NAME, asn1::utf8("Countersign")),
    ])
}

fn intermediate_name() -> Vec<u8> {
    name(&[
        (COMMON_NAME, asn1::utf8("Countersign Virtual Apple App Attestation CA 1")),
        (ORGANIZATION_NAME, asn1::utf8("Countersign")),
    ])
}

/// Attributes of the key; only the App ID (tag 1204) is of interest.
fn attributes(app_id: &str) -> Vec<u8> {
    let number = |tag, value| asn1::explicit(tag, &asn1::integer(value));
    asn1::sequence([
        number(4, 10),
        number(1200, 0),
        number(1201, 0),
        number(1202, 0),
        number(1203, 0),
        asn1::explicit(1204, &asn1::octet_string(app_id.as_bytes())),
        number(1206, 4),
        number(1207, 0),
        number(1209, 0),
        number(1210, 0),
        number(1211, 0),
        number(10, 0),
    ])
}

/// Version of the system (tag 1400), and its platform.
fn operating_system(version: &str) -> Vec<u8> {
    let text = |tag, text: &str| asn1::explicit(tag, &asn1::octet_string(text.as_bytes()));
    asn1::sequence([
        text(1400, version),
        asn1::explicit(1104, &asn1::integer(2)),
        text(1401, "1.0.216"),
        text(1404, version),
        text(1405, version),
        asn1::explicit(1406, &asn1::integer(0)),
        asn1::explicit(1412, &asn1::integer(1)),
        text(1026, "iphoneos"),
    ])
}

/// The access rules of a key in the Secure Enclave, as every iPhone sends them.
fn key_access() -> Vec<u8> {
    let rule =
        |operation: &str| asn1::sequence([asn1::utf8(operation), asn1::explicit(1, &asn1::boolean(true))]);
    let rules = [rule("okd"), rule("oa"), rule("osgn"), rule("odel"), rule("ock")];
    let list = asn1::sequence([asn1::utf8("11"), asn1::sequence(rules)]);
    asn1::sequence([asn1::explicit(3, &asn1::octet_string(&list))])
}

#[cfg(test)]
mod tests {
    use der::{Decode, Encode};

    use super::*;

    fn chain() -> Vec<Certificate> {
        let authority = AppleAuthority::from_seed(&Seed::from_text("test"));
        let leaf = LeafContent {
            subject_public_key_info: authority.intermediate_key.subject_public_key_info(),
            key_id: [0xab; 32],
            nonce: [7; 32],
            app_id: "ABCDE12345.com.example.app",
            os_version: "26.3",
        };
        authority
            .chain(&leaf, Timestamp::from_unix_seconds(1_790_000_000))
            .into_iter()
            .map(|link| link.certificate)
            .collect()
    }

    #[test]
    fn the_root_says_that_it_is_never_to_be_trusted() {
        let root = AppleAuthority::from_seed(&Seed::from_text("test")).root_certificate_der();
        let root = x509_cert::Certificate::from_der(&root).unwrap();
        assert_eq!(
            root.tbs_certificate().subject().to_string(),
            "O=Countersign,CN=Countersign Virtual App Attestation Test Root\\, never trust"
        );
    }

    #[test]
    fn the_same_seed_makes_the_same_root_and_another_seed_another() {
        let root = |text| AppleAuthority::from_seed(&Seed::from_text(text)).root_certificate_der();
        assert_eq!(root("a"), root("a"));
        assert_ne!(root("a"), root("b"));
    }

    #[test]
    fn names_of_the_leaf_are_apples() {
        let leaf = chain().remove(0);
        let subject = x509_cert::name::RdnSequence::from_der(&leaf.subject).unwrap();
        assert_eq!(
            subject.to_string(),
            format!(
                "STATEORPROVINCENAME=California,O=Apple Inc.,OU=AAA Certification,CN={}",
                "ab".repeat(32)
            )
            .replace("STATEORPROVINCENAME", "ST")
        );
        assert_eq!(leaf.not_after.seconds_since(leaf.not_before), 3 * DAY);
    }

    #[test]
    fn the_nonce_stands_in_the_form_of_the_vendor() {
        let mut leaf = chain().remove(0);
        let value = leaf.extension_mut(NONCE).unwrap();
        assert_eq!(value[..6], [0x30, 0x24, 0xa1, 0x22, 0x04, 0x20]);
        assert_eq!(value[6..], [7; 32]);
    }

    /// Bytes of genuine leaves, but for application and version.
    #[test]
    fn undocumented_extensions_equal_genuine_ones() {
        let genuine = "3049a347044530430c023131303d300a0c036f6b64a1030101ff30090c026f61a1030101ff300b0c046f73676e\
                       a1030101ff300b0c046f64656ca1030101ff300a0c036f636ba1030101ff";
        assert_eq!(hex(&key_access()), genuine);
        let genuine = "306ba40302010abf893003020100bf893103020100bf893203020100bf893303020100bf89341e041c31323334\
                       3536373839302e636f6d2e6578616d706c652e6d79617070bf893603020104bf893703020100bf893903020100\
                       bf893a03020100bf893b03020100aa03020100";
        assert_eq!(hex(&attributes("1234567890.com.example.myapp")), genuine);
    }

    #[test]
    fn x509_cert_reads_what_is_written() {
        let authority = AppleAuthority::from_seed(&Seed::from_text("test"));
        let der = authority.root_certificate_der();
        let read = x509_cert::Certificate::from_der(&der).unwrap();
        assert_eq!(read.to_der().unwrap(), der);
        assert_eq!(
            read.tbs_certificate().subject_public_key_info().to_der().unwrap(),
            authority.root_key().subject_public_key_info()
        );
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
