//! Wycheproof: key unwrapping, authenticated decryption and JWE, through the functions that open classic tokens of
//! Play Integrity. Keys, nonces and tags of other lengths do not fit into their types, which is a refusal.

use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding};
use countersign_core::encoding::from_base64url;
use countersign_verifier::crypto::{aes256_gcm_open, aes256_key_unwrap};
use countersign_verifier::evidence::play_integrity::Jwe;
use serde_json::Value;

use crate::case::hex;
use crate::exceptions::Exceptions;
use crate::published::{Judge, Published, Tally, text, wycheproof};

pub(crate) fn all(folder: &Path, exceptions: &mut Exceptions) -> Tally {
    let mut tally = Tally::default();
    let mut run = |file: &str, judge: &Judge| tally.add(wycheproof(folder, file, exceptions, judge));
    run("aes_wrap_test.json", &key_wrap);
    run("aes_gcm_test.json", &gcm);
    run("json_web_encryption_test.json", &json_web_encryption);
    tally
}

/// Keys of 32 bytes under keys of 32 bytes.
fn key_wrap(published: &mut Published<'_>, _: &Value, test: &Value) {
    let (key, wrapped) = (hex(text(test, "key")), hex(text(test, "ct")));
    let fitting = <[u8; 32]>::try_from(key).ok().zip(<[u8; 40]>::try_from(wrapped).ok());
    let unwrapped = fitting.and_then(|(key, wrapped)| aes256_key_unwrap(&key, &wrapped).ok());
    conclude(published, test, fitting.is_some(), unwrapped.map(|key| key.to_vec()), "msg");
}

/// Keys of 32 bytes, nonces of 12, tags of 16.
fn gcm(published: &mut Published<'_>, _: &Value, test: &Value) {
    let [key, nonce, tag, additional_data, mut in_out] =
        ["key", "iv", "tag", "aad", "ct"].map(|member| hex(text(test, member)));
    let key = <[u8; 32]>::try_from(key).ok();
    let fitting = key.zip(<[u8; 12]>::try_from(nonce).ok()).zip(<[u8; 16]>::try_from(tag).ok());
    let opened = fitting
        .is_some_and(|((key, nonce), tag)| {
            aes256_gcm_open(&key, &nonce, &additional_data, &mut in_out, &tag).is_ok()
        })
        .then_some(in_out);
    conclude(published, test, fitting.is_some(), opened, "msg");
}

/// JWE with a key of 32 bytes, as it stands in the group; keys of other kinds leave one of zeros, which opens nothing.
fn json_web_encryption(published: &mut Published<'_>, group: &Value, test: &Value) {
    // Some vectors are not compact at all, and are objects.
    let token = test["jwe"].as_str().map_or_else(|| test["jwe"].to_string(), str::to_owned);
    let key = group["private"]["k"].as_str().and_then(|key| from_base64url(key).ok());
    let key = key.and_then(|key| <[u8; 32]>::try_from(key).ok()).unwrap_or_default();
    let header = token.split('.').next().and_then(|header| Base64UrlUnpadded::decode_vec(header).ok());
    let header: Value = header.and_then(|header| serde_json::from_slice(&header).ok()).unwrap_or(Value::Null);
    let in_subset = header["alg"] == "A256KW" && header["enc"] == "A256GCM";
    let opened = Jwe::decode(&token).and_then(|jwe| jwe.decrypt(&key)).ok();
    conclude(published, test, in_subset, opened.map(|plaintext| plaintext.to_vec()), "pt");
}

/// What is opened must also say what was published.
fn conclude(
    published: &mut Published<'_>,
    test: &Value,
    in_subset: bool,
    opened: Option<Vec<u8>>,
    plaintext: &str,
) {
    let id = test["tcId"].to_string();
    if let (Some(opened), Some(expected)) = (&opened, test[plaintext].as_str()) {
        published.must(&id, *opened == hex(expected), "opened, and says something else");
    }
    published.judge(&id, in_subset, test["result"] == "valid", opened.is_some());
}
