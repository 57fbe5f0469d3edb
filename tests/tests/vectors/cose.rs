//! COSE_Sign1 and CWT examples of the COSE working group.
//!
//! None of them is a message of ours: ours are untagged, have `typ`, fully specified algorithms and nothing
//! unprotected. So each is refused as it stands. What is shared is tried in parts: the signature over the published
//! Sig_structure with our keys, and a message of ours over the same content with the same key, read by `coset`.

use std::path::Path;

use coset::{CborSerializable, TaggedCborSerializable};
use countersign_core::encoding::from_base64url;
use countersign_core::token::cose::{Header, Sign1, Unsigned};
use countersign_core::token::keys::{Algorithm, PublicKey, PureRust, VerifySignature};
use countersign_verifier::crypto::AwsLc;
use ed25519_dalek::Signer;
use serde_json::Value;

use crate::case::hex;
use crate::exceptions::Exceptions;
use crate::published::{Published, Tally, text};

pub(crate) fn all(folder: &Path, exceptions: &mut Exceptions) -> Tally {
    let mut published = Published::load(folder, "cose", "manifest.json", exceptions);
    let cases = published.document["cases"].as_array().expect("cases").clone();
    for case in &cases {
        let path = folder.join("cose").join(text(case, "file"));
        let bytes = std::fs::read(path).expect("the example is there");
        example(&mut published, case, &serde_json::from_slice(&bytes).expect("JSON"));
    }
    published.tally
}

fn example(published: &mut Published<'_>, case: &Value, example: &Value) {
    let id = text(case, "id");
    let message = hex(text(&example["output"], "cbor"));
    let is_valid = case["expected"] == "valid";
    published.judge(id, false, is_valid, Sign1::decode(&message).is_ok());

    let sign = &example["input"]["sign0"];
    let Some(key) = key(&sign["key"]) else {
        // P-384 signs certificates here, and no COSE message.
        return published.judge(id, false, is_valid, false);
    };
    // The signature, over the published Sig_structure and over the one that another library makes of the message.
    let published_structure = hex(text(&example["intermediates"], "ToBeSign_hex"));
    let theirs = coset::CoseSign1::from_tagged_slice(&message);
    let external = sign["external"].as_str().map(hex).unwrap_or_default();
    let has_quirk = !case["quirk"].is_null();
    let accepted = theirs.as_ref().is_ok_and(|theirs| {
        // The quirk is an empty map in the protected header, which `coset` does not write as the RFC wants it.
        let verifies = |signature: &[u8], structure: &[u8]| {
            AwsLc.verify(&key, if has_quirk { &published_structure } else { structure }, signature)
        };
        let algorithm = theirs.protected.header.alg.as_ref().or(theirs.unprotected.alg.as_ref());
        algorithm == Some(&coset::Algorithm::Assigned(algorithm_of(&key)))
            && theirs.verify_signature(&external, verifies).is_ok()
    });
    published.judge(id, true, is_valid, accepted);
    if is_valid && let Ok(theirs) = theirs {
        let verified = PureRust.verify(&key, &published_structure, &theirs.signature);
        published.must(id, verified.is_ok(), "the published Sig_structure does not verify");
        ours(published, id, sign, &key, &theirs.payload.unwrap_or_default());
    }
}

/// The same content under the same key as a message of ours, which `coset` must read and verify.
fn ours(published: &mut Published<'_>, id: &str, sign: &Value, key: &PublicKey, content: &[u8]) {
    let private: [u8; 32] = member(&sign["key"], "d").try_into().expect("32 bytes");
    // Our payloads are CBOR: claims stay as they are, text becomes a byte string.
    let payload = match coset::cbor::from_reader::<coset::cbor::Value, _>(content) {
        Ok(coset::cbor::Value::Map(_)) => content.to_vec(),
        _ => [&[0x40 | u8::try_from(content.len()).expect("below 24 bytes")], content].concat(),
    };
    let header = Header { algorithm: key.algorithm(), key_id: Some(b"11"), typ: "application/example+cose" };
    let unsigned = Unsigned::new(&header, payload.clone());
    let signature = sign_with(key.algorithm(), &private, &unsigned.to_be_signed());
    let message = unsigned.with_signature(&signature);
    let verified = Sign1::decode(&message).is_ok_and(|message| message.verify(key, &AwsLc).is_ok());
    published.must(id, verified, "our message does not verify");
    let theirs = coset::CoseSign1::from_slice(&message).expect("coset reads our message");
    let same = theirs.payload.as_deref() == Some(&payload)
        && theirs.verify_signature(&[], |signature, tbs| PureRust.verify(key, tbs, signature)).is_ok();
    published.must(id, same, "coset reads our message differently");
}

fn sign_with(algorithm: Algorithm, private: &[u8; 32], message: &[u8]) -> [u8; 64] {
    match algorithm {
        Algorithm::Esp256 => {
            let key = p256::ecdsa::SigningKey::from_slice(private).expect("a private key");
            let signature: p256::ecdsa::Signature = key.sign(message);
            signature.to_bytes().into()
        }
        Algorithm::Ed25519 => ed25519_dalek::SigningKey::from_bytes(private).sign(message).to_bytes(),
    }
}

/// The names of RFC 9053, which the examples use.
const fn algorithm_of(key: &PublicKey) -> coset::iana::Algorithm {
    match key.algorithm() {
        Algorithm::Esp256 => coset::iana::Algorithm::ES256,
        Algorithm::Ed25519 => coset::iana::Algorithm::EdDSA,
    }
}

fn key(key: &Value) -> Option<PublicKey> {
    match text(key, "crv") {
        "P-256" => {
            let coordinate = |name| member(key, name).try_into().expect("32 bytes");
            Some(PublicKey::from_p256_coordinates(coordinate("x"), coordinate("y")).expect("a point"))
        }
        "Ed25519" => {
            Some(PublicKey::from_ed25519(member(key, "x").try_into().expect("32 bytes")).expect("a point"))
        }
        _ => None,
    }
}

/// A member of a key: base64url, or hex where its name says so.
fn member(key: &Value, name: &str) -> Vec<u8> {
    match key[format!("{name}_hex")].as_str() {
        Some(digits) => hex(digits),
        None => from_base64url(text(key, name)).expect("base64url"),
    }
}
