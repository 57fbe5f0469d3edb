//! The shape of virtual evidence beside that of genuine evidence, where the collection of vectors is present.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{env, fs, path::PathBuf};

use countersign_core::time::Timestamp;
use countersign_virtual_device::{
    AppExtensions, AppleAuthority, GoogleAuthority, Provisioning, SecurityLevel, Seed, VirtualAndroid,
    VirtualIphone,
};
use der::{Decode, DecodePem, Encode, Tagged};
use minicbor::{Decoder, data::Type};
use x509_cert::Certificate;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

/// A file of the collection; `None`, and a line that says so, where there is none.
fn vector(path: &str) -> Option<Vec<u8>> {
    let root = env::var_os("COUNTERSIGN_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"),
        PathBuf::from,
    );
    let path = root.join(path);
    match fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            eprintln!("skipped: {} cannot be read ({error})", path.display());
            None
        }
    }
}

/// What is compared of a certificate: the attributes of its names with their string types, its extensions, and
/// the algorithms of key and signature. Values differ.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    subject: Vec<(String, String)>,
    extensions: Vec<(String, bool)>,
    key: String,
}

fn shape(certificate: &Certificate) -> Shape {
    let tbs = certificate.tbs_certificate();
    let subject = tbs
        .subject()
        .iter()
        .map(|attribute| (attribute.oid.to_string(), format!("{:?}", attribute.value.tag())))
        .collect();
    let extensions = tbs.extensions().into_iter().flatten();
    let extensions =
        extensions.map(|extension| (extension.extn_id.to_string(), extension.critical)).collect();
    let key = &tbs.subject_public_key_info().algorithm;
    Shape { subject, extensions, key: format!("{} {:02x?}", key.oid, key.parameters.to_der().unwrap()) }
}

/// The structure of a CBOR item: types, and the text of keys.
fn structure(decoder: &mut Decoder<'_>) -> String {
    match decoder.datatype().unwrap() {
        Type::Map => {
            let members = decoder.map().unwrap().unwrap();
            let member = |decoder: &mut Decoder<'_>| {
                let key = decoder.str().unwrap().to_owned();
                format!("{key}: {}", structure(decoder))
            };
            format!("{{{}}}", (0..members).map(|_| member(decoder)).collect::<Vec<_>>().join(", "))
        }
        Type::Array => {
            let items = decoder.array().unwrap().unwrap();
            format!("[{}]", (0..items).map(|_| structure(decoder)).collect::<Vec<_>>().join(", "))
        }
        other => {
            decoder.skip().unwrap();
            other.to_string()
        }
    }
}

fn x5c(object: &[u8]) -> Vec<Certificate> {
    let mut decoder = Decoder::new(object);
    decoder.map().unwrap();
    for _ in 0..3 {
        decoder.skip().unwrap();
    }
    decoder.map().unwrap();
    decoder.skip().unwrap();
    let count = decoder.array().unwrap().unwrap();
    (0..count).map(|_| Certificate::from_der(decoder.bytes().unwrap()).unwrap()).collect()
}

#[test]
fn an_attestation_object_has_the_shape_of_a_genuine_one() {
    let seed = Seed::from_text("genuine");
    let extensions = AppExtensions { bundle_version: "1".to_owned(), category: 1, flag: false };
    let phone = VirtualIphone::new(&AppleAuthority::from_seed(&seed), &seed).ios_27(extensions);
    let virtual_object = phone.attest(&[7; 32], NOW).object;
    let Some(genuine) = vector("app-attest/attestations/apple-sample-2026.cbor") else { return };
    assert_eq!(structure(&mut Decoder::new(&virtual_object)), structure(&mut Decoder::new(&genuine)));
    let (ours, theirs) = (x5c(&virtual_object), x5c(&genuine));
    assert_eq!(shape(&ours[0]), shape(&theirs[0]));
    // Names of the intermediate are our own, and say so.
    assert_eq!(shape(&ours[1]).extensions, shape(&theirs[1]).extensions);
    assert_eq!(shape(&ours[1]).key, shape(&theirs[1]).key);
    let days = |certificate: &Certificate| {
        let validity = certificate.tbs_certificate().validity();
        validity.not_after.to_unix_duration() - validity.not_before.to_unix_duration()
    };
    assert_eq!(days(&ours[0]), days(&theirs[0]));
}

/// The certificates of a PEM file.
fn pem_chain(bytes: &[u8]) -> Vec<Certificate> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let certificates =
        text.split_inclusive("-----END CERTIFICATE-----\n").filter(|part| part.contains("BEGIN"));
    certificates
        .map(|part| Certificate::from_pem(&part[part.find("-----BEGIN").unwrap()..]).unwrap())
        .collect()
}

fn android(provisioning: Provisioning, level: SecurityLevel) -> Vec<Certificate> {
    let seed = Seed::from_text("genuine");
    let chain = VirtualAndroid::new(&GoogleAuthority::from_seed(&seed), &seed)
        .provisioning(provisioning)
        .security_level(level)
        .attest(b"challenge", NOW);
    chain.iter().map(|der| Certificate::from_der(der).unwrap()).collect()
}

#[test]
fn a_remotely_provisioned_chain_has_the_shape_of_a_genuine_one() {
    let ours = android(Provisioning::Remote, SecurityLevel::TrustedEnvironment);
    let path = "android-key-attestation/chains/google-caiman-sdk36-tee_ec_rkp.pem";
    let Some(genuine) = vector(path) else { return };
    let theirs = pem_chain(&genuine);
    assert_eq!(ours.len(), theirs.len());
    // All but the root, which is our own.
    for index in 0..4 {
        assert_eq!(shape(&ours[index]), shape(&theirs[index]), "certificate {index}");
    }
    for index in 2..4 {
        assert_eq!(ours[index].tbs_certificate().subject(), theirs[index].tbs_certificate().subject());
    }
}

#[test]
fn a_factory_chain_has_the_shape_of_a_genuine_one() {
    let ours = android(Provisioning::Factory, SecurityLevel::StrongBox);
    let path = "android-key-attestation/chains/procivis-strongbox.pem";
    let Some(genuine) = vector(path) else { return };
    let theirs = pem_chain(&genuine);
    assert_eq!(ours.len(), theirs.len());
    for index in 1..3 {
        assert_eq!(shape(&ours[index]), shape(&theirs[index]), "certificate {index}");
    }
}
