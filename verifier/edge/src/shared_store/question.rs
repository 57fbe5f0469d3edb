//! A question in the store's own words: one script, so that nothing comes between its parts.

use countersign_verifier::check::limits::Wait;
use countersign_verifier::check::pending::{Question, StoreAnswer};
use redis::{Cmd, Value};

use super::error::StoreError;

/// GCRA as [`Gcra::admit`] has it, with all times in microseconds, which a double holds exactly. Answers the new arrival
/// time, or nothing and the wait.
///
/// [`Gcra::admit`]: countersign_verifier::check::limits::Gcra::admit
pub const GCRA: &str = "
local function admit(tat, now, interval, burst)
  local tolerance = interval * (burst - 1)
  if tat < now then
    tat = now
  elseif tat > now + interval * burst + 60000000 then
    tat = now + tolerance
  end
  local earliest = math.max(tat - tolerance, 0)
  if now < earliest then return nil, earliest - now end
  return tat + interval
end
";

/// Everything in one script, so that nothing comes between its parts. Times are spans, so that the store's clock alone
/// counts.
///
/// `KEYS`: the proof; the token, where its owner is in question; a quota for each limit. `ARGV`: seconds for the proof;
/// `1` where an owner is in question, the instance, seconds for the token; interval and burst for each limit.
pub(super) const ASK: &str = "
local quotas = 2
if ARGV[2] == '1' then
  local owner = redis.call('GET', KEYS[2])
  if owner and owner ~= ARGV[3] then return 2 end
  quotas = 3
end
if not redis.call('SET', KEYS[1], '', 'NX', 'EX', ARGV[1]) then return 1 end
if quotas == 3 then redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4]) end
if not KEYS[quotas] then return 0 end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local tats, longest, which = {}, -1, nil
for at = quotas, #KEYS do
  local tat = tonumber(redis.call('GET', KEYS[at]) or '0') or 0
  local charge = at - quotas
  local new, wait = admit(tat, now, tonumber(ARGV[5 + 2 * charge]), tonumber(ARGV[6 + 2 * charge]))
  if not new and wait >= longest then longest, which = wait, charge end
  tats[at] = new
end
if which then return {3, which, longest} end
for at = quotas, #KEYS do
  local lives = math.ceil((tats[at] - now) / 1000)
  redis.call('SET', KEYS[at], string.format('%.0f', tats[at]), 'PX', math.max(lives, 1))
end
return 0
";

/// The whole script.
pub(super) fn script() -> String {
    [GCRA, ASK].concat()
}

/// Longest life of an entry, in seconds; Redis refuses spans that overflow its milliseconds.
const MAX_LIFETIME: u64 = 10 * 365 * 86_400;

/// The arguments behind the script or its hash.
pub(super) fn arguments(command: &mut Cmd, prefix: &str, question: &Question) {
    let Question { proof, proof_lifetime, first_use, charges } = question;
    let lifetime = |seconds: u64| seconds.clamp(1, MAX_LIFETIME);
    command.arg(1 + usize::from(first_use.is_some()) + charges.len());
    command.arg(key(prefix, b"proof:", proof));
    if let Some(claim) = first_use {
        command.arg(key(prefix, b"token:", &claim.token));
    }
    for charge in charges {
        command.arg(key(prefix, b"quota:", charge.key.as_bytes()));
    }
    command.arg(lifetime(*proof_lifetime));
    match first_use {
        Some(claim) => command.arg(1).arg(claim.instance.as_bytes().as_slice()).arg(lifetime(claim.lifetime)),
        None => command.arg(0).arg("").arg(0),
    };
    for charge in charges {
        command.arg(charge.gcra.emission_interval()).arg(charge.gcra.burst());
    }
}

/// What the script's answer means.
pub(super) fn answer(value: &Value) -> Result<StoreAnswer, StoreError> {
    match value {
        Value::Int(0) => Ok(StoreAnswer::Fresh),
        Value::Int(1) => Ok(StoreAnswer::Replayed),
        Value::Int(2) => Ok(StoreAnswer::UsedElsewhere),
        Value::Array(parts) => match parts.as_slice() {
            [Value::Int(3), Value::Int(charge), Value::Int(wait)] => Ok(StoreAnswer::Limited {
                charge: usize::try_from(*charge).map_err(|_| StoreError::Answer)?,
                wait: Wait::from_micros(u64::try_from(*wait).map_err(|_| StoreError::Answer)?),
            }),
            _ => Err(StoreError::Answer),
        },
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
    fn only_the_words_of_the_script_are_answers() {
        assert_eq!(answer(&Value::Int(0)), Ok(StoreAnswer::Fresh));
        for other in [
            Value::Int(3),
            Value::Int(-1),
            Value::Nil,
            Value::Okay,
            Value::BulkString(b"0".to_vec()),
            Value::Array(vec![Value::Int(0)]),
            Value::Array(vec![Value::Int(3), Value::Int(0)]),
            Value::Array(vec![Value::Int(3), Value::Int(-1), Value::Int(1)]),
            Value::Array(vec![Value::Int(3), Value::Int(0), Value::Int(-1)]),
            Value::Array(vec![Value::Int(4), Value::Int(0), Value::Int(1)]),
        ] {
            assert_eq!(answer(&other), Err(StoreError::Answer), "{other:?}");
        }
    }
}
