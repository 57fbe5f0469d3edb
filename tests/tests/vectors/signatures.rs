//! Wycheproof: signatures and MACs, through the functions that verify tokens, assertions and certificates.

use std::path::Path;

use aws_lc_rs::hmac as other;
use countersign_core::challenge::{MacKey, MacKeyRing, RANDOM_LENGTH, Scope};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::{PublicKey, PureRust, VerifySignature};
use countersign_verifier::crypto::{AwsLc, verify_certificate, verify_p256_der};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::case::hex;
use crate::exceptions::Exceptions;
use crate::jose;
use crate::published::{Judge, Published, Tally, text, wycheproof};

/// AlgorithmIdentifiers as they stand in certificates.
const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const ECDSA_WITH_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
const RSA_WITH_SHA256: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";

pub(crate) fn all(folder: &Path, exceptions: &mut Exceptions) -> Tally {
    let mut tally = Tally::default();
    let mut run = |file: &str, judge: &Judge| tally.add(wycheproof(folder, file, exceptions, judge));
    run("ecdsa_secp256r1_sha256_test.json", &p256_der);
    run("ecdsa_secp256r1_sha256_p1363_test.json", &p256_fixed);
    run("ecdsa_secp384r1_sha384_test.json", &|published, group, test| {
        certificate(published, ECDSA_WITH_SHA384, group, test);
    });
    run("ed25519_test.json", &ed25519);
    for file in ["rsa_signature_2048_sha256_test.json", "rsa_signature_4096_sha256_test.json"] {
        run(file, &|published, group, test| certificate(published, RSA_WITH_SHA256, group, test));
    }
    run("hmac_sha256_test.json", &mac);
    run("json_web_signature_test.json", &json_web_signature);
    tally
}

/// App Attest assertions, and the same signature under a certificate.
fn p256_der(published: &mut Published<'_>, group: &Value, test: &Value) {
    let (message, signature) = (hex(text(test, "msg")), hex(text(test, "sig")));
    let key = PublicKey::from_p256_sec1(&hex(text(&group["publicKey"], "uncompressed")));
    let accepted = key.is_ok_and(|key| verify_p256_der(&key, &message, &signature).is_ok());
    published.judge(&test["tcId"].to_string(), true, test["result"] == "valid", accepted);
    certificate(published, ECDSA_WITH_SHA256, group, test);
}

/// Token signatures, in both libraries.
fn p256_fixed(published: &mut Published<'_>, group: &Value, test: &Value) {
    let (message, signature) = (hex(text(test, "msg")), hex(text(test, "sig")));
    let key = PublicKey::from_p256_sec1(&hex(text(&group["publicKey"], "uncompressed")));
    token(published, test, key.ok(), &message, &signature);
}

fn ed25519(published: &mut Published<'_>, group: &Value, test: &Value) {
    let (message, signature) = (hex(text(test, "msg")), hex(text(test, "sig")));
    let key = hex(text(&group["publicKey"], "pk"));
    let key = key.as_slice().try_into().ok().and_then(|key| PublicKey::from_ed25519(key).ok());
    token(published, test, key, &message, &signature);
}

fn token(
    published: &mut Published<'_>,
    test: &Value,
    key: Option<PublicKey>,
    message: &[u8],
    signature: &[u8],
) {
    let id = test["tcId"].to_string();
    for verifier in [&AwsLc as &dyn VerifySignature, &PureRust] {
        let accepted = key.is_some_and(|key| verifier.verify(&key, message, signature).is_ok());
        published.judge(&id, true, test["result"] == "valid", accepted);
    }
}

/// A signature as under a certificate. `acceptable` is what a lenient reader may take; we do not.
fn certificate(published: &mut Published<'_>, algorithm: &[u8], group: &Value, test: &Value) {
    let key = hex(text(group, "publicKeyDer"));
    let (message, signature) = (hex(text(test, "msg")), hex(text(test, "sig")));
    let accepted = verify_certificate(algorithm, &key, &message, &signature).is_ok();
    published.judge(&test["tcId"].to_string(), true, test["result"] == "valid", accepted);
}

/// Challenges carry 16 bytes of HMAC-SHA-256 under keys of 32 bytes. The vectors go through the implementation that
/// makes them, and for each key of that length a challenge is compared with a MAC by another implementation, over
/// the layout that `docs/protocol.md` gives.
fn mac(published: &mut Published<'_>, group: &Value, test: &Value) {
    let id = test["tcId"].to_string();
    let (key, message, tag) = (hex(text(test, "key")), hex(text(test, "msg")), hex(text(test, "tag")));
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
    mac.update(&message);
    let full_length = group["tagSize"] == 256;
    let accepted =
        if full_length { mac.verify_slice(&tag).is_ok() } else { mac.verify_truncated_left(&tag).is_ok() };
    published.judge(&id, true, test["result"] == "valid", accepted);
    if let Ok(key) = <[u8; 32]>::try_from(key) {
        let scope = Scope::Nonce { resource: "https://api.example", replay_domain: "eu" };
        let ring = MacKeyRing::new(MacKey::new(7, key), vec![]);
        let made = ring.issue(scope, Timestamp::from_unix_seconds(1_800_000_000), &[9; RANDOM_LENGTH]);
        let (head, tag) = made.as_bytes().split_at(26);
        let parts = ["nonce", "https://api.example", "eu"];
        let prefixed = parts
            .iter()
            .flat_map(|part| [(part.len() as u64).to_be_bytes().as_slice(), part.as_bytes()].concat());
        let covered: Vec<u8> = prefixed.chain(head.iter().copied()).collect();
        let theirs = other::sign(&other::Key::new(other::HMAC_SHA256, &key), &covered);
        published.must(
            &id,
            theirs.as_ref().get(..16) == Some(tag),
            "another implementation makes another tag",
        );
    }
}

/// JWS with the key as a key set publishes it.
fn json_web_signature(published: &mut Published<'_>, group: &Value, test: &Value) {
    let key = if group["public"].is_null() { &group["private"] } else { &group["public"] };
    // Some vectors are not compact at all, and one file has them as an object.
    let token = test["jws"].as_str().map_or_else(|| test["jws"].to_string(), str::to_owned);
    let key_set = json!({ "keys": [key] });
    let accepted = jose::verifies(&key_set, &token);
    let in_subset = jose::is_algorithm_taken(key);
    published.judge(&test["tcId"].to_string(), in_subset, test["result"] == "valid", accepted);
}
