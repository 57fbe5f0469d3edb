//! `countersign inspect`: what is this token or evidence file, and what does it say?
//!
//! Inspecting trusts nothing and verifies only what `--jwks` gives keys for; `appraise` is the command that judges.

mod evidence;
mod finding;
mod token;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use countersign_core::encoding::from_base64url;
use countersign_core::token::cose::Sign1;
use countersign_verifier::certificate_file::certificates;
use countersign_verifier::credential::jwks::Jwks;

use crate::cli::{Exit, answer, complain};
use crate::clock::Clock;

use finding::Finding;

/// Largest input, in bytes.
const MAX_INPUT: u64 = 4 * 1024 * 1024;

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A file, `-` for standard input, or the text itself: a result, proof or other header value, a JWT, an enrolment
    /// message, an App Attest object or assertion, a certificate chain (PEM or DER), a key set.
    #[arg(value_name = "FILE OR TEXT")]
    input: String,
    /// A key set (JWKS) to verify the token's signature with.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// Print JSON instead of text for people.
    #[arg(long)]
    json: bool,
}

/// Runs the command. Exit code 1 if the input is nothing that is known, or a signature does not verify.
pub fn run(arguments: &Arguments) -> Exit {
    let inspected = read(&arguments.input).and_then(|input| {
        let keys = arguments.jwks.as_deref().map(key_set).transpose()?;
        inspect(&input, keys.as_ref()).ok_or_else(|| {
            "this is no token, message or evidence that is known here; is it complete, and in base64url, hex, PEM or \
             raw bytes?"
                .to_owned()
        })
    });
    match inspected {
        Ok(finding) => {
            let now = Clock::system().now();
            answer(if arguments.json { format!("{:#}", finding.to_json()) } else { finding.to_text(now) });
            if finding.is_forged() { Exit::Failure } else { Exit::Success }
        }
        Err(sentence) => {
            complain(sentence);
            Exit::Failure
        }
    }
}

/// What the input is and says; `None` if nobody knows.
fn inspect(input: &[u8], keys: Option<&Jwks>) -> Option<Finding> {
    let Ok(text) = std::str::from_utf8(input) else { return inspect_bytes(input, keys) };
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return evidence::chain(&certificates(input).ok()?);
    }
    let text = bare(text);
    if let Some(json) = text.strip_prefix('{').and_then(|_| serde_json::from_str(text).ok()) {
        return token::json(&json, keys);
    }
    if text.split('.').count() == 3 {
        return token::jwt(text, keys);
    }
    let decoded = from_hex(text).or_else(|| from_base64(text));
    decoded.and_then(|bytes| inspect_bytes(&bytes, keys)).or_else(|| inspect_bytes(input, keys))
}

fn inspect_bytes(bytes: &[u8], keys: Option<&Jwks>) -> Option<Finding> {
    if Sign1::decode(bytes).is_ok() {
        return token::cose(bytes, keys);
    }
    evidence::app_attest(bytes).or_else(|| evidence::chain(&certificates(bytes).ok()?))
}

/// The value without what people copy along: a header field's name, an authentication scheme, quotes.
fn bare(text: &str) -> &str {
    let text = text.trim().trim_matches('"');
    let value = match text.split_once(": ") {
        Some((name, value)) if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
            value.trim()
        }
        _ => text,
    };
    ["Bearer ", "DPoP "].iter().find_map(|scheme| value.strip_prefix(scheme)).unwrap_or(value).trim()
}

fn read(input: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limited = |reader: &mut dyn Read, bytes: &mut Vec<u8>| reader.take(MAX_INPUT + 1).read_to_end(bytes);
    let done = if input == "-" {
        limited(&mut io::stdin().lock(), &mut bytes)
    } else if Path::new(input).is_file() {
        fs::File::open(input).and_then(|mut file| limited(&mut file, &mut bytes))
    } else if input.contains(['/', '\\']) && !input.contains('\n') && from_base64(bare(input)).is_none() {
        return Err(format!("{input} does not exist"));
    } else {
        return Ok(input.as_bytes().to_vec());
    };
    done.map_err(|error| format!("{input} cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(format!("{input} is longer than {MAX_INPUT} bytes; is this the right file?"));
    }
    Ok(bytes)
}

fn key_set(path: &Path) -> Result<Jwks, String> {
    let json = fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Jwks::decode(&json)
        .map_err(|error| format!("{} is no public key set ({})", path.display(), error.reason()))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) {
        return None;
    }
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    digits
        .chunks_exact(2)
        .map(|pair| u8::try_from(pair.iter().fold(0, |byte, digit| byte << 4 | digit)).ok())
        .collect()
}

/// base64 of either alphabet, with or without padding and line breaks.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let unified: String = text
        .chars()
        .filter(|character| !character.is_ascii_whitespace() && *character != '=')
        .map(|character| match character {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    if unified.is_empty() { None } else { from_base64url(&unified).ok() }
}

#[cfg(test)]
mod tests;
