//! Play Integrity: what a token shows without its keys, and what Google's decode call answered.

use countersign_verifier::evidence::play_integrity::{UnverifiedToken, from_decode_answer};

use super::explanation::{Check, Explanation, Value, members};
use super::fault::Fault;

/// How a token, or an answer, is verified.
const CURE: &str = "`countersign appraise --kind play-integrity` verifies it";

/// Explains a compact JWE.
pub(super) fn explain_token(token: &str) -> Result<Explanation, Fault> {
    Ok(Explanation {
        kind: "play-integrity",
        what: "A Play Integrity token (or another JWE): what Google says is encrypted.",
        parts: vec![("header".to_owned(), outside(token)?)],
        checks: vec![Check::not_verified("encryption and signature", CURE)],
        ..Explanation::default()
    })
}

/// Explains Google's answer to its decode call, of which nobody can say here that it is Google's.
pub(super) fn explain_answer(json: &[u8]) -> Result<Explanation, Fault> {
    let payload = from_decode_answer(json).map_err(|error| Fault {
        seems: "Google's answer on a Play Integrity token",
        reason: error.reason(),
        at: error.explanation().to_owned(),
    })?;
    let says = serde_json::to_value(payload.claims_unchecked()).map(Value::Json);
    Ok(Explanation {
        kind: "play-integrity-verdict",
        what: "Google's answer on a Play Integrity token: its verdicts on app, device and account.",
        parts: vec![("says".to_owned(), says.unwrap_or_else(|_| Value::text("unknown")))],
        checks: vec![
            Check::not_verified("origin", "an answer is worth as much as the way it came here"),
            Check::not_verified("binding and time", CURE),
        ],
        ..Explanation::default()
    })
}

/// What a token shows.
pub(super) fn outside(token: &str) -> Result<Value, Fault> {
    let token = UnverifiedToken::read(token).map_err(|error| Fault {
        seems: "a Play Integrity token",
        reason: error.reason(),
        at: error.explanation().to_owned(),
    })?;
    Ok(members([
        ("alg", token.algorithm.into()),
        ("enc", token.encryption.into()),
        ("length", format!("{} characters", token.length).into()),
        ("refused_for", token.objection.into()),
    ]))
}
