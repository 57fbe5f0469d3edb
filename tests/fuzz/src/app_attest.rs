//! Attestation objects, assertions and authenticator data, read and not verified.

use countersign_verifier::evidence::app_attest::{
    UnverifiedAssertion, UnverifiedAttestation, claimed_key_id,
};
use countersign_virtual_device::app_attest::{AttestationObject, encode_assertion, encode_extensions};
use countersign_virtual_device::{AppExtensions, Environment};

use super::{choose, chosen, world};

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    match choice {
        0 => {
            let read = UnverifiedAttestation::read(data);
            let key_id = claimed_key_id(data);
            if let (Ok(read), Ok(key_id)) = (&read, &key_id) {
                assert_eq!(read.credential_id, key_id);
            }
            assert!(read.is_ok() || key_id.is_err(), "both read the same");
        }
        1 => {
            let _ = UnverifiedAssertion::read(data);
        }
        // Authenticator data alone, in an object and in an assertion that are otherwise sound.
        _ => {
            let object = AttestationObject {
                format: "apple-appattest".to_owned(),
                x5c: vec![vec![0x30, 0], vec![0x30, 0]],
                receipt: Some(Vec::new()),
                authenticator_data: Some(data.to_vec()),
                formats_before: Vec::new(),
            };
            if let Ok(read) = UnverifiedAttestation::read(&object.encode()) {
                assert_eq!(read.rp_id_hash, data[..32]);
            }
            if let Ok(read) = UnverifiedAssertion::read(&encode_assertion(&[1], data)) {
                assert_eq!(read.rp_id_hash, data[..32]);
                assert_eq!(read.counter.to_be_bytes(), data[33..37]);
            }
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let extensions = AppExtensions { bundle_version: "7".to_owned(), category: 4, flag: true };
    let mut seeds = Vec::new();
    for phone in [
        world::iphone(),
        world::iphone().ios_27(extensions.clone()),
        world::iphone().environment(Environment::Development),
    ] {
        let object = phone.attest(&world::CHALLENGE, world::NOW).object;
        seeds.push(chosen(0, &object));
        let assertion = phone.clone().assert(&world::CHALLENGE);
        seeds.push(chosen(1, &assertion));
        // authData is the last member of the object, 164 bytes without extensions.
        let name = b"\x68authData";
        let at = object.windows(name.len()).position(|window| window == name).expect("authData") + name.len();
        seeds.push(chosen(2, &object[at + 2..]));
    }
    seeds.push(chosen(2, &[&[1; 37], encode_extensions("7", 4).as_slice()].concat()));
    seeds
}
