//! Nonce keys that all edges of a replay domain have: kept in the store, made there by whoever comes first.
//!
//! Each key is known to every edge before any edge uses it, and for as long as its nonces live after: a key serves from
//! `spread` after it was made until `spread` after the next one was. All ages are by the store's clock.

use std::time::Duration;

use countersign_core::challenge::{MacKey, MacKeyRing};
use redis::{Cmd, Value};
use zeroize::Zeroizing;

use super::error::StoreError;

/// When nonce keys change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonceRotation {
    /// How often there is a new key; at least the spread and a nonce's two minutes.
    pub every: Duration,
    /// How long a new key waits until all edges have it; at least twice the pull.
    pub spread: Duration,
    /// How often an edge looks.
    pub pull: Duration,
}

impl Default for NonceRotation {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(3600),
            spread: Duration::from_secs(60),
            pull: Duration::from_secs(10),
        }
    }
}

/// Keeps the newest three keys, newest first, and puts the edge's proposal before them if it is time for a new one. A
/// clock of the store that stepped back far makes a new one, too: nobody waits for years.
///
/// `KEYS`: the list. `ARGV`: seconds between keys; the proposal in hexadecimal. Answers the time and the keys.
pub(super) const SCRIPT: &str = "
local now = tonumber(redis.call('TIME')[1])
local every = tonumber(ARGV[1])
local id, made
local newest = redis.call('LINDEX', KEYS[1], 0)
if newest then
  id, made = string.match(newest, '^(%d+):(%d+):')
  id, made = tonumber(id), tonumber(made)
end
if not made or now - made >= every or made - now > every then
  redis.call('LPUSH', KEYS[1], ((id or 0) % 255 + 1) .. ':' .. now .. ':' .. ARGV[2])
  redis.call('LTRIM', KEYS[1], 0, 2)
end
redis.call('EXPIRE', KEYS[1], 2 * every + 600)
return {now, redis.call('LRANGE', KEYS[1], 0, 2)}
";

/// The arguments behind the script, with a fresh proposal.
pub(super) fn arguments(command: &mut Cmd, prefix: &str, rotation: NonceRotation) -> Result<(), StoreError> {
    let mut proposal = Zeroizing::new([0; 32]);
    getrandom::fill(proposal.as_mut()).map_err(|_| StoreError::Refused)?;
    let hex: Zeroizing<String> = Zeroizing::new(proposal.iter().map(|byte| format!("{byte:02x}")).collect());
    command
        .arg(1)
        .arg([prefix, "nonce-keys"].concat())
        .arg(rotation.every.as_secs().max(1))
        .arg(hex.as_str());
    Ok(())
}

/// The ring that the script's answer describes.
pub(super) fn ring(value: Value, rotation: NonceRotation) -> Result<MacKeyRing, StoreError> {
    let Value::Array(parts) = value else { return Err(StoreError::Answer) };
    let [Value::Int(now), Value::Array(entries)] = parts.as_slice() else { return Err(StoreError::Answer) };
    let now = u64::try_from(*now).map_err(|_| StoreError::Answer)?;
    if entries.is_empty() || entries.len() > 3 {
        return Err(StoreError::Answer);
    }
    let entries: Option<Vec<(u64, MacKey)>> = entries.iter().map(entry).collect();
    let mut keys = entries.ok_or(StoreError::Answer)?;
    // The newest that every edge has had the time to get; in the beginning, the only one.
    let settled = keys.iter().position(|(made, _)| now.saturating_sub(*made) >= rotation.spread.as_secs());
    let (_, current) = keys.remove(settled.unwrap_or(keys.len() - 1));
    Ok(MacKeyRing::new(current, keys.into_iter().map(|(_, key)| key).collect()))
}

/// `id:made:key`, with the key in 64 hexadecimal digits.
fn entry(value: &Value) -> Option<(u64, MacKey)> {
    let Value::BulkString(bytes) = value else { return None };
    let mut parts = str::from_utf8(bytes).ok()?.splitn(3, ':');
    let id: u8 = parts.next()?.parse().ok().filter(|id| *id > 0)?;
    let made: u64 = parts.next()?.parse().ok()?;
    let digits = parts.next()?.as_bytes();
    let mut key = [0; 32];
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != key.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
    }
    Some((made, MacKey::new(id, key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(entries: &[&str]) -> Value {
        let entries = entries.iter().map(|entry| Value::BulkString(entry.as_bytes().to_vec())).collect();
        Value::Array(vec![Value::Int(1000), Value::Array(entries)])
    }

    fn described(id: u8, made: u64) -> String {
        format!("{id}:{made}:{}", "ab".repeat(32))
    }

    /// The key that makes nonces, and those that are recognised beside it.
    fn shape(entries: &[String]) -> Result<String, StoreError> {
        let entries: Vec<_> = entries.iter().map(String::as_str).collect();
        ring(answer(&entries), NonceRotation::default()).map(|ring| format!("{ring:?}"))
    }

    #[test]
    fn a_new_key_is_recognised_before_it_serves_and_an_old_one_after() {
        let shape = |first, second| shape(&[described(2, first), described(1, second)]).unwrap();
        assert!(shape(941, 0).starts_with("MacKeyRing { current: MacKey(1), previous: [MacKey(2)]"));
        assert!(shape(940, 0).starts_with("MacKeyRing { current: MacKey(2), previous: [MacKey(1)]"));
    }

    #[test]
    fn the_first_key_serves_at_once_also_if_the_stores_clock_stepped_back() {
        for made in [1000, 990, 5000] {
            assert!(shape(&[described(7, made)]).unwrap().contains("current: MacKey(7)"), "{made}");
        }
    }

    #[test]
    fn what_is_no_key_makes_no_ring() {
        let good = described(1, 0);
        for entries in [
            vec![],
            vec![good.clone(); 4],
            vec![good.replacen('1', "0", 1)],
            vec![good.replacen('1', "256", 1)],
            vec![good.replace("ab", "a")],
            vec![good.replace("ab", "abc")],
            vec![good.replace("ab", "xy")],
            vec![good.clone(), String::new()],
            vec![good.replacen(":0:", ":-1:", 1)],
        ] {
            assert_eq!(shape(&entries), Err(StoreError::Answer), "{entries:?}");
        }
        for value in [Value::Nil, Value::Int(1), Value::Array(vec![Value::Int(-1), Value::Array(vec![])])] {
            assert!(ring(value, NonceRotation::default()).is_err());
        }
    }
}
