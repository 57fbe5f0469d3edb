//! Challenges of the service and nonces of an edge.

use countersign_core::challenge::{Challenge, LENGTH};

use super::explanation::{Check, Explanation, Value, members};
use super::fault::Fault;

/// Explains 42 bytes.
pub(super) fn explain(bytes: &[u8]) -> Result<Explanation, Fault> {
    let challenge = Challenge::from_bytes(bytes).map_err(|error| Fault {
        seems: "a challenge or nonce",
        reason: error.reason(),
        at: format!("byte 0: version {} is not known", bytes.first().copied().unwrap_or_default()),
    })?;
    Ok(Explanation {
        kind: "challenge",
        what: "A challenge of the attestation service, or a nonce of an edge; they look alike.",
        parts: vec![("content".to_owned(), parts(&challenge))],
        checks: vec![Check::not_verified(
            "MAC",
            "only who holds the key can say whether, for what and by whom it was given out",
        )],
        ..Explanation::default()
    })
}

/// A challenge inside another message; whatever it is.
pub(super) fn value(bytes: &[u8]) -> Value {
    match Challenge::from_bytes(bytes) {
        Ok(challenge) => parts(&challenge),
        Err(_) => Value::hex(bytes),
    }
}

/// Whether `bytes` have a challenge's length and first byte.
pub(super) fn is_like(bytes: &[u8]) -> bool {
    bytes.len() == LENGTH && bytes.first() == Some(&1)
}

fn parts(challenge: &Challenge) -> Value {
    let [version, key_id, ..] = *challenge.as_bytes();
    members([
        ("version", u64::from(version).into()),
        ("mac_key", u64::from(key_id).into()),
        ("issued_at", challenge.issued_at().into()),
    ])
}
