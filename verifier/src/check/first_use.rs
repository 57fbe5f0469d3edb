//! Whose a bearer token is: the first instance that used it keeps it until it expires.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;

use super::refusal::Reason;

/// Tokens by the hash of their characters, with their owner and end. Bounded; a full table admits no new token.
pub(crate) struct FirstUse {
    capacity: usize,
    owners: Mutex<HashMap<[u8; 32], (InstanceId, Timestamp)>>,
}

impl FirstUse {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, owners: Mutex::new(HashMap::new()) }
    }

    /// Whether another instance than `instance` owns the token `ath`.
    pub(crate) fn is_of_another(&self, ath: &[u8; 32], instance: InstanceId) -> bool {
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.get(ath).is_some_and(|(owner, _)| *owner != instance)
    }

    /// Makes `instance` the owner of the token `ath` until `expires_at`, unless another one is.
    pub(crate) fn claim(
        &self,
        ath: [u8; 32],
        instance: InstanceId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), Reason> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((owner, end)) = owners.get_mut(&ath) {
            if *owner != instance {
                return Err(Reason::TokenUsedElsewhere);
            }
            // The end of a token whose server tells none moves on while it is used.
            *end = (*end).max(expires_at);
            return Ok(());
        }
        if owners.len() >= self.capacity {
            owners.retain(|_, (_, end)| *end > now);
        }
        if owners.len() >= self.capacity {
            return Err(Reason::FirstUsesFull);
        }
        owners.insert(ath, (instance, expires_at));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
    const THIEF: InstanceId = InstanceId::from_bytes([2; 16]);
    const OWNER: InstanceId = InstanceId::from_bytes([1; 16]);

    #[test]
    fn a_used_token_is_of_no_use_to_another_instance() {
        let uses = FirstUse::new(10);
        assert_eq!(uses.claim([0; 32], OWNER, NOW.plus(60), NOW), Ok(()));
        assert_eq!(uses.claim([0; 32], THIEF, NOW.plus(60), NOW), Err(Reason::TokenUsedElsewhere));
        assert_eq!(uses.claim([0; 32], OWNER, NOW.plus(60), NOW), Ok(()));
    }

    #[test]
    fn a_token_whose_end_moves_on_stays_its_owners() {
        let uses = FirstUse::new(1);
        assert_eq!(uses.claim([0; 32], OWNER, NOW.plus(60), NOW), Ok(()));
        assert_eq!(uses.claim([0; 32], OWNER, NOW.plus(110), NOW.plus(50)), Ok(()));
        assert_eq!(uses.claim([1; 32], THIEF, NOW.plus(999), NOW.plus(70)), Err(Reason::FirstUsesFull));
        assert_eq!(uses.claim([0; 32], THIEF, NOW.plus(130), NOW.plus(70)), Err(Reason::TokenUsedElsewhere));
    }

    #[test]
    fn a_flood_of_tokens_frees_none_before_its_end() {
        let uses = FirstUse::new(1);
        assert_eq!(uses.claim([0; 32], OWNER, NOW.plus(60), NOW), Ok(()));
        assert_eq!(uses.claim([1; 32], THIEF, NOW.plus(60), NOW), Err(Reason::FirstUsesFull));
        assert_eq!(uses.claim([0; 32], THIEF, NOW.plus(60), NOW), Err(Reason::TokenUsedElsewhere));
        assert_eq!(uses.claim([1; 32], THIEF, NOW.plus(99), NOW.plus(60)), Ok(()));
    }
}
