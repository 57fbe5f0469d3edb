//! Judging a Play Integrity token offline: with the console's keys, or as Google has decoded it.

use countersign_core::time::Timestamp;
use countersign_verifier::evidence::play_integrity::{
    PlayIntegrityError, decrypt, from_decode_answer, verify,
};
use countersign_verifier::evidence::{EvidenceError, VerifiedEvidence};

use super::{Arguments, Bytes, Unverified, WrongUse, refuse};
use crate::play_integrity::console_keys;

pub(super) fn token(
    arguments: &Arguments,
    evidence: &[u8],
    now: Timestamp,
) -> Result<Result<VerifiedEvidence, Unverified>, WrongUse> {
    refuse("--client-data-hash", arguments.client_data_hash.is_some(), "Play Integrity takes --challenge")?;
    refuse("--key-id", arguments.key_id.is_some(), "no key is attested")?;
    refuse("--public-key", arguments.public_key.is_some(), "no key is attested")?;
    refuse("--counter", arguments.counter.is_some(), "no key is attested")?;
    refuse("--revocation", arguments.revocation.is_some(), "there is no status list for Play Integrity")?;
    let Bytes(challenge) = arguments.challenge.as_ref().ok_or(
        "play-integrity needs --challenge: the bytes whose base64url is the token's nonce or request hash",
    )?;
    let text = evidence.trim_ascii();
    let is_decoded = text.starts_with(b"{");
    let keys = match (&arguments.decryption_key, &arguments.verification_key) {
        (Some(decryption), Some(verification)) => {
            refuse("--decryption-key", is_decoded, "this is what Google has decoded already")?;
            Some(console_keys(decryption, verification).map_err(|problem| problem.to_string())?)
        }
        _ => None,
    };
    let payload = match keys {
        None if is_decoded => from_decode_answer(text),
        None => {
            return Err(
                "a token needs --decryption-key and --verification-key, the console's keys; without them \
                        only Google can decode it, and its answer can be judged here"
                    .to_owned(),
            );
        }
        Some(keys) => match std::str::from_utf8(text) {
            Ok(token) => decrypt(token, &keys),
            Err(_) => Err(PlayIntegrityError::Parts),
        },
    };
    let verified = payload.map_err(EvidenceError::from).and_then(|payload| verify(payload, challenge, now));
    Ok(verified.map_err(Unverified::Evidence))
}
