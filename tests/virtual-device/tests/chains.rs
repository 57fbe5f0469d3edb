//! What the virtual phones make, read back with parsers that are not ours: `x509-cert`, `der` and `minicbor`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use countersign_core::time::Timestamp;
use countersign_virtual_device::{
    AndroidAttack, AppExtensions, AppleAuthority, AssertionAttack, Environment, Expected, GoogleAuthority,
    IphoneAttack, Provisioning, SecurityLevel, Seed, VirtualAndroid, VirtualIphone,
    app_attest::nonce,
    certificate::{DAY, serial_hex},
};
use der::{
    AnyRef, Decode, Encode, Reader, SliceReader,
    asn1::{ObjectIdentifier, OctetStringRef, UintRef},
};
use minicbor::Decoder;
use p256::ecdsa::signature::{Verifier, hazmat::PrehashVerifier};
use sha2::{Digest, Sha256, Sha384};
use x509_cert::Certificate;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);
const HASH: [u8; 32] = [0x42; 32];
const KEY_DESCRIPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.1.17");
const PROVISIONING_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.1.30");
const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.2");

fn seed() -> Seed {
    Seed::from_text("chains")
}

fn apple() -> AppleAuthority {
    AppleAuthority::from_seed(&seed())
}

fn google() -> GoogleAuthority {
    GoogleAuthority::from_seed(&seed())
}

fn iphone() -> VirtualIphone {
    VirtualIphone::new(&apple(), &seed())
}

fn android() -> VirtualAndroid {
    VirtualAndroid::new(&google(), &seed())
}

/// Whether `certificate` was signed by the key of `issuer`, and names it.
fn issued_by(certificate: &Certificate, issuer: &Certificate) -> bool {
    let message = certificate.tbs_certificate().to_der().unwrap();
    let digest = match certificate.signature_algorithm().oid.to_string().as_str() {
        "1.2.840.10045.4.3.2" => Sha256::digest(message).to_vec(),
        "1.2.840.10045.4.3.3" => Sha384::digest(message).to_vec(),
        other => panic!("{other} signs no chain of ours"),
    };
    let key = issuer.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
    let signature = certificate.signature().raw_bytes();
    let verified = if key.len() == 65 {
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).unwrap();
        p256::ecdsa::Signature::from_der(signature).is_ok_and(|s| key.verify_prehash(&digest, &s).is_ok())
    } else {
        let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).unwrap();
        p384::ecdsa::Signature::from_der(signature).is_ok_and(|s| key.verify_prehash(&digest, &s).is_ok())
    };
    verified && certificate.tbs_certificate().issuer() == issuer.tbs_certificate().subject()
}

fn parse(chain: &[Vec<u8>]) -> Vec<Certificate> {
    chain.iter().map(|der| Certificate::from_der(der).unwrap()).collect()
}

fn is_signed_chain(chain: &[Certificate]) -> bool {
    chain.windows(2).all(|pair| issued_by(&pair[0], &pair[1]))
}

fn extension(certificate: &Certificate, id: ObjectIdentifier) -> Option<Vec<u8>> {
    let extensions = certificate.tbs_certificate().extensions()?;
    let found = extensions.iter().find(|extension| extension.extn_id == id)?;
    Some(found.extn_value.as_bytes().to_vec())
}

struct Object {
    format: String,
    x5c: Vec<Vec<u8>>,
    authenticator_data: Vec<u8>,
}

/// An attestation object of the genuine order of members.
fn read_object(bytes: &[u8]) -> Object {
    let mut decoder = Decoder::new(bytes);
    assert_eq!(decoder.map().unwrap(), Some(3));
    assert_eq!(decoder.str().unwrap(), "fmt");
    let format = decoder.str().unwrap().to_owned();
    assert_eq!(decoder.str().unwrap(), "attStmt");
    assert_eq!(decoder.map().unwrap(), Some(2));
    assert_eq!(decoder.str().unwrap(), "x5c");
    let count = decoder.array().unwrap().unwrap();
    let x5c = (0..count).map(|_| decoder.bytes().unwrap().to_vec()).collect();
    assert_eq!(decoder.str().unwrap(), "receipt");
    assert!(decoder.bytes().unwrap().len() > 2000);
    assert_eq!(decoder.str().unwrap(), "authData");
    let authenticator_data = decoder.bytes().unwrap().to_vec();
    assert_eq!(decoder.position(), bytes.len());
    Object { format, x5c, authenticator_data }
}

#[test]
fn an_attestation_passes_the_nine_steps_of_the_vendor() {
    let phone = iphone();
    let attestation = phone.attest(&HASH, NOW);
    let object = read_object(&attestation.object);
    assert_eq!(object.format, "apple-appattest");

    let mut chain = parse(&object.x5c);
    chain.push(Certificate::from_der(&apple().root_certificate_der()).unwrap());
    assert_eq!(chain.len(), 3);
    assert!(is_signed_chain(&chain) && issued_by(&chain[2], &chain[2]));

    let nonce = nonce(&object.authenticator_data, &HASH);
    assert_eq!(extension(&chain[0], NONCE).unwrap()[6..], nonce);

    let key = chain[0].tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
    assert_eq!(<[u8; 32]>::from(Sha256::digest(key)), attestation.key_id);

    let data = &object.authenticator_data;
    assert_eq!(data.len(), 164);
    assert_eq!(data[..32], *Sha256::digest(b"ABCDE12345.com.example.app"));
    assert_eq!(data[32..37], [0x40, 0, 0, 0, 0]);
    assert_eq!(&data[37..53], b"appattest\0\0\0\0\0\0\0");
    assert_eq!(data[53..55], [0, 32]);
    assert_eq!(data[55..87], attestation.key_id);
    assert_eq!((&data[97..129], &data[132..164]), (&key[1..33], &key[33..65]));
}

#[test]
fn builder_calls_of_the_iphone_reach_the_bytes() {
    let extensions = AppExtensions { bundle_version: "42".to_owned(), category: 4, flag: true };
    let phone = iphone()
        .app("TEAM000001", "org.example")
        .environment(Environment::Development)
        .ios_27(extensions.clone());
    let data = read_object(&phone.attest(&HASH, NOW).object).authenticator_data;
    assert_eq!(data[..32], *Sha256::digest(b"TEAM000001.org.example"));
    assert_eq!(data[32], 0xc0);
    assert_eq!(&data[37..53], b"appattestdevelop");
    let mut decoder = Decoder::new(&data[164..]);
    assert_eq!(decoder.map().unwrap(), Some(2));
    assert_eq!(decoder.str().unwrap(), "apple_bundle_version_01");
    assert_eq!(decoder.str().unwrap(), "42");
    assert_eq!(decoder.str().unwrap(), "apple_validation_category_01");
    assert_eq!(decoder.bytes().unwrap(), [4, 0, 0, 0]);

    let without_flag = iphone().ios_27(AppExtensions { flag: false, ..extensions });
    assert_eq!(read_object(&without_flag.attest(&HASH, NOW).object).authenticator_data[32], 0x40);
}

/// Signature and authenticator data of an assertion.
fn read_assertion(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut decoder = Decoder::new(bytes);
    assert_eq!(decoder.map().unwrap(), Some(2));
    assert_eq!(decoder.str().unwrap(), "signature");
    let signature = decoder.bytes().unwrap().to_vec();
    assert_eq!(decoder.str().unwrap(), "authenticatorData");
    (signature, decoder.bytes().unwrap().to_vec())
}

fn verifies(phone: &VirtualIphone, message: &[u8], signature: &[u8]) -> bool {
    let key = phone.app_attest_key().to_p256_sec1().unwrap();
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&key).unwrap();
    p256::ecdsa::Signature::from_der(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
}

#[test]
fn assertions_are_hashed_twice_and_counted() {
    let mut phone = iphone();
    for counter in 1..=3 {
        let (signature, data) = read_assertion(&phone.assert(&HASH));
        assert_eq!(data.len(), 37);
        assert_eq!(data[33..37], [0, 0, 0, counter]);
        assert!(verifies(&phone, &nonce(&data, &HASH), &signature));
        assert!(!verifies(&phone, &[data.as_slice(), &HASH].concat(), &signature));
    }
}

#[test]
fn a_new_app_attest_key_counts_from_zero() {
    let mut phone = iphone();
    phone.assert(&HASH);
    let before = phone.key_id();
    assert_ne!(phone.generate_key(), before);
    let (_, data) = read_assertion(&phone.assert(&HASH));
    assert_eq!(data[36], 1);
}

#[test]
fn a_single_hash_is_the_only_fault_of_that_assertion() {
    let mut phone = iphone().assertion_attack(AssertionAttack::SingleHash);
    let (signature, data) = read_assertion(&phone.assert(&HASH));
    assert!(verifies(&phone, &[data.as_slice(), &HASH].concat(), &signature));
}

#[test]
fn chains_have_the_names_and_lengths_of_genuine_ones() {
    let subjects = |phone: &mut VirtualAndroid| -> Vec<String> {
        let chain = parse(&phone.attest(b"challenge", NOW));
        assert!(is_signed_chain(&chain), "signatures and names of the chain");
        chain.iter().map(|certificate| certificate.tbs_certificate().subject().to_string()).collect()
    };
    let remote = subjects(&mut android());
    assert_eq!(remote.len(), 5);
    assert_eq!(remote[0], "CN=Android Keystore Key");
    assert!(remote[1].starts_with("O=TEE,CN=") && remote[1].len() == 9 + 32);
    assert_eq!(remote[2..4], ["CN=Droid CA3,O=Google LLC", "CN=Droid CA2,O=Google LLC"]);

    let factory =
        subjects(&mut android().provisioning(Provisioning::Factory).security_level(SecurityLevel::StrongBox));
    assert_eq!(factory.len(), 4);
    for subject in &factory[1..3] {
        assert!(subject.starts_with("SERIALNUMBER=") && subject.ends_with(",TITLE=StrongBox"), "{subject}");
    }
}

#[test]
fn only_remotely_provisioned_chains_tell_their_provisioning() {
    let remote = parse(&android().attest(b"challenge", NOW));
    assert_eq!(extension(&remote[1], PROVISIONING_INFO).unwrap()[..3], [0xa2, 0x01, 0x08]);
    let factory = parse(&android().provisioning(Provisioning::Factory).attest(b"challenge", NOW));
    assert!(factory.iter().all(|certificate| extension(certificate, PROVISIONING_INFO).is_none()));
}

#[test]
fn remote_certificates_live_for_weeks_and_leaves_for_decades() {
    let chain = parse(&android().attest(b"challenge", NOW));
    let validity = |certificate: &Certificate| {
        let validity = certificate.tbs_certificate().validity();
        (validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs())
    };
    assert_eq!(validity(&chain[0]), (0, 2_461_449_600));
    assert_eq!(
        validity(&chain[1]),
        (NOW.minus(5 * DAY).as_unix_seconds(), NOW.plus(9 * DAY).as_unix_seconds())
    );
    assert!(chain.iter().all(|certificate| validity(certificate).1 > NOW.as_unix_seconds()));
}

/// The eight members of a KeyDescription, DER each.
fn read_key_description(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut members = Vec::new();
    let outer = AnyRef::from_der(bytes).unwrap();
    let mut reader = SliceReader::new(outer.value()).unwrap();
    while !reader.is_finished() {
        members.push(reader.tlv_bytes().unwrap().to_vec());
    }
    members
}

#[test]
fn the_key_description_is_in_the_leaf_and_for_its_key() {
    let mut phone = android();
    let chain = parse(&phone.attest(b"challenge", NOW));
    assert!(chain[1..].iter().all(|certificate| extension(certificate, KEY_DESCRIPTION).is_none()));
    let members = read_key_description(&extension(&chain[0], KEY_DESCRIPTION).unwrap());
    assert_eq!(members.len(), 8);
    assert_eq!(UintRef::from_der(&members[0]).unwrap().as_bytes(), [1, 144]);
    assert_eq!(members[1], [0x0a, 1, 1]);
    assert_eq!(<&OctetStringRef>::from_der(&members[4]).unwrap().as_bytes(), b"challenge");
    let key = chain[0].tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
    assert_eq!(phone.instance_key().to_p256_sec1().unwrap(), key);
}

#[test]
fn every_version_of_the_key_description_is_der() {
    for version in [1, 2, 3, 4, 100, 200, 300, 400, 500] {
        let chain = parse(&android().attestation_version(version).attest(b"challenge", NOW));
        let bytes = extension(&chain[0], KEY_DESCRIPTION).unwrap();
        let members = read_key_description(&bytes);
        assert_eq!(members.len(), 8, "version {version}");
        let tags = |list: &[u8]| -> Vec<u32> {
            let list = AnyRef::from_der(list).unwrap();
            let mut reader = SliceReader::new(list.value()).unwrap();
            let mut tags = Vec::new();
            while !reader.is_finished() {
                tags.push(AnyRef::decode(&mut reader).unwrap().header().tag().number().value());
            }
            tags
        };
        let (software, hardware) = (tags(&members[6]), tags(&members[7]));
        assert!(software.is_sorted() && hardware.is_sorted());
        assert_eq!(software.contains(&724), version >= 400, "module hash in version {version}");
        assert_eq!(hardware.contains(&719), version >= 3, "boot patch level in version {version}");
        assert_eq!(hardware.contains(&703), version < 3, "rollback resistance in version {version}");
    }
}

#[test]
fn a_throwaway_key_leaves_the_instance_key_alone() {
    let mut phone = android();
    phone.attest(b"challenge", NOW);
    let instance_key = phone.instance_key();
    let chain = parse(&phone.attest_throwaway(b"challenge", NOW));
    assert_eq!(phone.instance_key(), instance_key);
    let key = chain[0].tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
    assert_ne!(instance_key.to_p256_sec1().unwrap(), key);
}

#[test]
fn serial_numbers_are_written_as_status_lists_do() {
    let chain = android().attest(b"challenge", NOW);
    assert_eq!(serial_hex(&chain[0]).unwrap(), "1");
    let of_chip = serial_hex(&chain[1]).unwrap();
    let name = Certificate::from_der(&chain[1]).unwrap().tbs_certificate().subject().to_string();
    assert!(name.ends_with(&of_chip), "{name} ends with {of_chip}");
}

#[test]
fn the_same_calls_make_the_same_bytes() {
    assert_eq!(iphone().attest(&HASH, NOW), iphone().attest(&HASH, NOW));
    assert_eq!(iphone().assert(&HASH), iphone().assert(&HASH));
    assert_eq!(android().attest(b"challenge", NOW), android().attest(b"challenge", NOW));
    let other = VirtualAndroid::new(&google(), &Seed::from_text("another phone")).attest(b"challenge", NOW);
    assert_ne!(android().attest(b"challenge", NOW), other);
}

#[test]
fn every_attack_changes_the_evidence() {
    let honest = iphone().attest(&HASH, NOW);
    for attack in IphoneAttack::ALL {
        assert_ne!(iphone().attack(*attack).attest(&HASH, NOW), honest, "{attack:?}");
    }
    let second_assertion = |mut phone: VirtualIphone| {
        phone.assert(&HASH);
        phone.assert(&HASH)
    };
    for attack in AssertionAttack::ALL {
        assert_ne!(
            second_assertion(iphone().assertion_attack(*attack)),
            second_assertion(iphone()),
            "{attack:?}"
        );
    }
    for provisioning in [Provisioning::Remote, Provisioning::Factory] {
        let honest = android().provisioning(provisioning).attest(b"challenge", NOW);
        for attack in AndroidAttack::ALL {
            let mut phone = android().provisioning(provisioning).attack(*attack);
            assert_ne!(phone.attest(b"challenge", NOW), honest, "{attack:?}");
        }
    }
}

/// A lie that the phone tells must be covered by valid signatures, or a verifier could refuse it for the wrong
/// reason.
#[test]
fn evidence_to_be_refused_by_policy_is_authentic() {
    let root = Certificate::from_der(&apple().root_certificate_der()).unwrap();
    for attack in IphoneAttack::ALL.iter().filter(|attack| attack.expected() != Expected::Unverifiable) {
        let object = read_object(&iphone().attack(*attack).attest(&HASH, NOW).object);
        let mut chain = parse(&object.x5c);
        chain.push(root.clone());
        assert!(is_signed_chain(&chain), "{attack:?}");
        let nonce = nonce(&object.authenticator_data, &HASH);
        assert_eq!(extension(&chain[0], NONCE).unwrap()[6..], nonce, "{attack:?}");
    }
    let root = Certificate::from_der(&google().root_certificate_der()).unwrap();
    for attack in AndroidAttack::ALL.iter().filter(|attack| attack.expected() != Expected::Unverifiable) {
        let chain = parse(&android().attack(*attack).attest(b"challenge", NOW));
        assert!(is_signed_chain(&chain), "{attack:?}");
        assert_eq!(chain.last(), Some(&root), "{attack:?}");
        let members = read_key_description(&extension(&chain[0], KEY_DESCRIPTION).unwrap());
        assert_eq!(<&OctetStringRef>::from_der(&members[4]).unwrap().as_bytes(), b"challenge", "{attack:?}");
    }
}

#[test]
fn an_impostors_root_has_the_name_and_not_the_key() {
    let root = Certificate::from_der(&google().root_certificate_der()).unwrap();
    let chain = parse(&android().attack(AndroidAttack::FakeTestRoot).attest(b"challenge", NOW));
    assert!(is_signed_chain(&chain));
    let impostor = chain.last().unwrap();
    assert_eq!(impostor.tbs_certificate().subject(), root.tbs_certificate().subject());
    assert_ne!(
        impostor.tbs_certificate().subject_public_key_info(),
        root.tbs_certificate().subject_public_key_info()
    );
    let chain = parse(&android().attack(AndroidAttack::FakeGoogleRoot).attest(b"challenge", NOW));
    assert!(is_signed_chain(&chain));
    assert_eq!(
        chain.last().unwrap().tbs_certificate().subject().to_string(),
        "C=US,O=Google LLC,OU=Android,CN=Key Attestation CA1"
    );
}

#[test]
fn an_extended_chain_is_signed_throughout_and_holds_two_key_descriptions() {
    let mut phone = android().attack(AndroidAttack::ExtendedChain);
    let chain = parse(&phone.attest(b"challenge", NOW));
    assert_eq!(chain.len(), 6);
    assert!(is_signed_chain(&chain));
    let challenge = |certificate| {
        let members = read_key_description(&extension(certificate, KEY_DESCRIPTION).unwrap());
        <&OctetStringRef>::from_der(&members[4]).unwrap().as_bytes().to_vec()
    };
    assert_eq!(challenge(&chain[0]), b"challenge");
    assert_ne!(challenge(&chain[1]), b"challenge");
}
