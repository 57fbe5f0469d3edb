//! A question in the store's own words: one script, so that nothing comes between its parts.

use countersign_verifier::check::pending::{Question, StoreAnswer};
use redis::{Cmd, Value};

use super::error::StoreError;

/// Either all of it is written or nothing. Times are spans, so that the store's clock alone counts.
///
/// `KEYS`: the proof; the token, where its owner is in question. `ARGV`: seconds for the proof; the instance; seconds for
/// the token.
pub(super) const SCRIPT: &str = "
local owned = KEYS[2] ~= nil
if owned then
  local owner = redis.call('GET', KEYS[2])
  if owner and owner ~= ARGV[2] then return 2 end
end
if not redis.call('SET', KEYS[1], '', 'NX', 'EX', ARGV[1]) then return 1 end
if owned then redis.call('SET', KEYS[2], ARGV[2], 'NX', 'EX', ARGV[3]) end
return 0
";

/// Longest life of an entry, in seconds; Redis refuses spans that overflow its milliseconds.
const MAX_LIFETIME: u64 = 10 * 365 * 86_400;

/// The arguments behind the script or its hash.
pub(super) fn arguments(command: &mut Cmd, prefix: &str, question: &Question) {
    let Question { proof, proof_lifetime, first_use } = question;
    let lifetime = |seconds: u64| seconds.clamp(1, MAX_LIFETIME);
    command.arg(if first_use.is_some() { 2 } else { 1 });
    command.arg(key(prefix, b"proof:", proof));
    if let Some(claim) = first_use {
        command.arg(key(prefix, b"token:", &claim.token));
    }
    command.arg(lifetime(*proof_lifetime));
    if let Some(claim) = first_use {
        command.arg(claim.instance.as_bytes().as_slice()).arg(lifetime(claim.lifetime));
    }
}

/// What the script's answer means.
pub(super) fn answer(value: &Value) -> Result<StoreAnswer, StoreError> {
    match value {
        Value::Int(0) => Ok(StoreAnswer::Fresh),
        Value::Int(1) => Ok(StoreAnswer::Replayed),
        Value::Int(2) => Ok(StoreAnswer::UsedElsewhere),
        _ => Err(StoreError::Answer),
    }
}

fn key(prefix: &str, kind: &[u8], name: &[u8]) -> Vec<u8> {
    [prefix.as_bytes(), kind, name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_three_words_of_the_script_are_answers() {
        assert_eq!(answer(&Value::Int(0)), Ok(StoreAnswer::Fresh));
        for other in [
            Value::Int(3),
            Value::Int(-1),
            Value::Nil,
            Value::Okay,
            Value::BulkString(b"0".to_vec()),
            Value::Array(vec![Value::Int(0)]),
        ] {
            assert_eq!(answer(&other), Err(StoreError::Answer), "{other:?}");
        }
    }
}
