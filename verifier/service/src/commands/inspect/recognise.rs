//! What is it? By its first bytes, and through the encodings in which people pass such things on.

use base64ct::{Base64, Base64Unpadded, Base64UrlUnpadded, Encoding};

use super::explanation::Explanation;
use super::fault::Fault;
use super::input::MAX_INPUT;
use super::key_set::KeySet;
use super::{challenge, compact, document, evidence, jwt, play_integrity};

/// Explains `input`, whatever it is.
///
/// # Errors
/// Why it cannot be explained.
pub(super) fn explain(input: &[u8], keys: Option<&KeySet>) -> Result<Explanation, Fault> {
    if input.len() as u64 > MAX_INPUT {
        return Err(Fault { seems: "a file", reason: "too_long", at: "longer than 1 MiB".to_owned() });
    }
    match std::str::from_utf8(input).map(str::trim) {
        Ok("") => Err(Fault { seems: "nothing", reason: "empty", at: "there is no byte".to_owned() }),
        Ok(text) => text_form(text, keys),
        Err(_) => binary(input, keys).unwrap_or_else(|| Err(unknown(input))),
    }
}

fn text_form(text: &str, keys: Option<&KeySet>) -> Result<Explanation, Fault> {
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return evidence::explain_der(text.as_bytes());
    }
    if text.starts_with("-----BEGIN ") {
        return Err(Fault {
            seems: "a PEM file",
            reason: "unknown_pem",
            at: "its first line; only certificates are explained here".to_owned(),
        });
    }
    if text.starts_with(['{', '[']) {
        return document::explain(text.as_bytes(), keys);
    }
    let token = without_field_name(text);
    if token.split('.').count() == 5 {
        return play_integrity::explain_token(token);
    }
    if token.contains('.') {
        return jwt::explain(token, keys);
    }
    // A few bytes of CBOR or DER may happen to be text.
    let decoded = decodings(token);
    let found =
        decoded.iter().find_map(|bytes| binary(bytes, keys)).or_else(|| binary(text.as_bytes(), keys));
    found.unwrap_or_else(|| {
        Err(match decoded.first() {
            Some(bytes) => unknown(bytes),
            None => Fault {
                seems: "text",
                reason: "unknown_text",
                at: "neither PEM, JSON, a JWT, base64 nor hexadecimal".to_owned(),
            },
        })
    })
}

/// The explanation by first byte; None if no form begins so.
fn binary(bytes: &[u8], keys: Option<&KeySet>) -> Option<Result<Explanation, Fault>> {
    match bytes {
        _ if challenge::is_like(bytes) => Some(challenge::explain(bytes)),
        // An array of four, or a tag before it: COSE_Sign1, and what is tagged is refused there.
        [0x84, ..] | [0xd2, 0x84, ..] => Some(compact::explain(bytes, keys)),
        // A map with a text key.
        [0xa1..=0xb7 | 0xbf, 0x60..=0x7b, ..] => Some(evidence::explain_app_attest(bytes)),
        // SEQUENCE of a long length, as every certificate is; 80 is BER, as in receipts.
        [0x30, 0x80..=0x84, ..] => Some(evidence::explain_der(bytes)),
        _ => None,
    }
}

fn unknown(bytes: &[u8]) -> Fault {
    let start: Vec<_> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    Fault {
        seems: "binary data",
        reason: "unknown_binary",
        at: format!("{} bytes that begin with {}", bytes.len(), start.join(" ")),
    }
}

/// The token in `Attestation-Result: …`, `Authorization: DPoP …` or `DPoP …`.
fn without_field_name(text: &str) -> &str {
    if text.lines().count() == 1 { text.split_whitespace().last().unwrap_or(text) } else { text }
}

/// The bytes that `text` may stand for, the strictest reading first.
fn decodings(text: &str) -> Vec<Vec<u8>> {
    let joined: String = text.split_ascii_whitespace().collect();
    let hex = || -> Option<Vec<u8>> {
        let digits: Option<Vec<u8>> = joined
            .chars()
            .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let digits = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0)?;
        Some(
            digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect(),
        )
    };
    [
        Base64UrlUnpadded::decode_vec(text).ok(),
        hex(),
        Base64::decode_vec(&joined).ok(),
        Base64Unpadded::decode_vec(&joined).ok(),
        Base64UrlUnpadded::decode_vec(joined.trim_end_matches('=')).ok(),
    ]
    .into_iter()
    .flatten()
    .filter(|bytes| !bytes.is_empty())
    .collect()
}
