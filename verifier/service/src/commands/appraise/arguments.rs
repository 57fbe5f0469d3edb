//! The arguments of `appraise` and how their texts are read.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use countersign_core::time::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What to judge, by what, and when.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct Arguments {
    /// The kind of evidence in the file.
    #[arg(long, value_enum)]
    pub kind: Kind,
    /// The appraisal policy (TOML). Default: the built-in constraints, with the identity from the flags below.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The app of the policy, if it has several.
    #[arg(long, value_name = "CLIENT_ID", requires = "policy")]
    pub client_id: Option<String>,
    /// The time to judge at. Default: now.
    #[arg(long, value_name = "RFC3339", value_parser = time)]
    pub at: Option<Timestamp>,
    /// The challenge. App Attest: hashed with SHA-256 into clientDataHash; Android: attestationChallenge as it is;
    /// Play Integrity: its base64url is the nonce or request hash.
    #[arg(long, value_name = "HEX", value_parser = hex, conflicts_with = "client_data_hash")]
    pub challenge: Option<Bytes>,
    /// App Attest: clientDataHash as it is, of any length.
    #[arg(long, value_name = "HEX", value_parser = hex)]
    pub client_data_hash: Option<Bytes>,
    /// App Attest: the key identifier that the app sent. Default: the credential identifier in the evidence.
    #[arg(long, value_name = "BASE64", value_parser = key_id, allow_hyphen_values = true)]
    pub key_id: Option<KeyId>,
    /// Assertions: the attested public key, uncompressed (65 bytes, 04 first).
    #[arg(long, value_name = "HEX", value_parser = hex)]
    pub public_key: Option<Bytes>,
    /// Assertions: the counter stored before, 0 after the attestation.
    #[arg(long, value_name = "NUMBER")]
    pub counter: Option<u32>,
    /// The expected App ID, `<team>.<bundle>`, instead of the policy's.
    #[arg(long, value_name = "APP_ID")]
    pub app_id: Option<String>,
    /// The expected Android package, instead of the policy's.
    #[arg(long, value_name = "NAME", requires = "signer")]
    pub package: Option<String>,
    /// SHA-256 of a certificate that may sign the package; repeat it for several.
    #[arg(long, value_name = "HEX", value_parser = digest, requires = "package")]
    pub signer: Vec<Digest>,
    /// Android: the status list of revoked certificates (JSON).
    #[arg(long, value_name = "FILE")]
    pub revocation: Option<PathBuf>,
    /// Play Integrity: the console's decryption key (base64), in a file of mode 0600.
    #[arg(long, value_name = "FILE", requires = "verification_key")]
    pub decryption_key: Option<PathBuf>,
    /// Play Integrity: the console's verification key (base64), in a file of mode 0600.
    #[arg(long, value_name = "FILE", requires = "decryption_key")]
    pub verification_key: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Print an EAR, the attestation result of draft-ietf-rats-ear-04 (JSON, not signed).
    #[arg(long, conflicts_with = "json")]
    pub ear: bool,
    /// The evidence: CBOR for App Attest, PEM or DER certificates (leaf first) for Android, a token or the JSON of
    /// Google's answer for Play Integrity.
    #[arg(value_name = "EVIDENCE")]
    pub evidence: PathBuf,
}

const EXIT_CODES: &str = "\
Exit codes: 0 affirming or warning; 1 genuine but refused by the policy; 2 could not be verified (encoding,
signature, chain, anchor, challenge, key id, nonce, counter, revocation); 3 wrong use.";

/// A kind of evidence that can be judged offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// An attestation object of App Attest.
    AppAttest,
    /// An assertion of App Attest.
    AppAttestAssertion,
    /// A chain of Android key attestation.
    AndroidKey,
    /// A Play Integrity token with the console's keys, or Google's answer on one.
    PlayIntegrity,
}

/// Any number of bytes, given in hex.
#[derive(Clone, Debug)]
pub struct Bytes(pub Vec<u8>);

/// A key identifier: 32 bytes, given in base64 of either alphabet.
#[derive(Clone, Debug)]
pub struct KeyId(pub [u8; 32]);

/// A SHA-256 value, given in hex, with or without colons.
#[derive(Clone, Debug)]
pub struct Digest(pub [u8; 32]);

fn hex(text: &str) -> Result<Bytes, String> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Option<Vec<u8>> = text.as_bytes().iter().map(digit).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => Ok(Bytes(
            digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect(),
        )),
        _ => Err("write an even number of hexadecimal digits".to_owned()),
    }
}

fn digest(text: &str) -> Result<Digest, String> {
    let bytes = hex(&text.replace(':', ""))?.0;
    bytes.try_into().map(Digest).map_err(|_| "a SHA-256 value has 64 hexadecimal digits".to_owned())
}

fn key_id(text: &str) -> Result<KeyId, String> {
    let url_safe: String = text
        .trim_end_matches('=')
        .chars()
        .map(|letter| match letter {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    countersign_core::encoding::from_base64url_array(&url_safe)
        .map(KeyId)
        .map_err(|_| "a key identifier is base64 of 32 bytes".to_owned())
}

fn time(text: &str) -> Result<Timestamp, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .and_then(|time| u64::try_from(time.unix_timestamp()).ok())
        .map(Timestamp::from_unix_seconds)
        .ok_or_else(|| "write a time such as 2026-06-02T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_identifier_is_read_in_every_base64() {
        let standard = "bSrEhF8TIzIvWSPwvZ0i2+UOBre4ASH84rK15m6emNY=";
        let expected = key_id(standard).unwrap().0;
        for text in [standard.trim_end_matches('='), &standard.replace('+', "-")] {
            assert_eq!(key_id(text).unwrap().0, expected, "{text}");
        }
        for wrong in ["", "bSrE", &standard[1..], "bSrEhF8TIzIvWSPwvZ0i2+UOBre4ASH84rK15m6emNZ="] {
            assert!(key_id(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hex_is_whole_bytes() {
        assert_eq!(hex("00fF").map(|bytes| bytes.0), Ok(vec![0, 255]));
        assert_eq!(hex("").map(|bytes| bytes.0), Ok(vec![]));
        for wrong in ["0", "0g", "0x00", "é"] {
            assert!(hex(wrong).is_err(), "{wrong}");
        }
        assert!(digest(&"ab:".repeat(32)).is_ok());
        assert!(digest("ab").is_err());
    }

    #[test]
    fn a_time_has_a_zone() {
        assert_eq!(time("1970-01-01T01:00:00+01:00").map(Timestamp::as_unix_seconds), Ok(0));
        for wrong in ["1970-01-01T00:00:00", "1969-12-31T23:59:59Z", "now", ""] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
