//! The keys that an edge trusts: of attestation services, and of authorization servers. Sets are replaced whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::Algorithm;

use crate::credential::jwks::Jwks;
use crate::crypto::VerifyingKey;

/// Whose keys to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyOwner {
    /// An attestation service, by issuer.
    AttestationService(String),
    /// An authorization server, by issuer.
    AuthorizationServer(String),
}

/// Seconds between two fetches of a set that lacks a wanted key, so that made-up `kid`s cause no flood.
const REFRESH_INTERVAL: u64 = 30;

/// One issuer's current keys. Readers never wait; a new set replaces the old one at once, and what was verified
/// with a key that is gone is verified again.
pub struct IssuerKeys<K> {
    /// The issuer.
    pub issuer: String,
    current: ArcSwap<Set<K>>,
    /// The last edition given out; counted apart, so that two replacements at once never share one.
    editions: AtomicU64,
    /// Earliest next fetch for a missing key, seconds since the epoch.
    next_refresh: AtomicU64,
}

/// A set of keys with the number of its edition.
pub struct Set<K> {
    /// Grows with each replacement: what was verified under another edition is verified again.
    pub(crate) edition: u64,
    /// The keys; `None` before the first set has come.
    pub(crate) keys: Option<K>,
}

/// Keys by the bytes of their `kid`.
pub type KeysById = HashMap<Vec<u8>, Arc<VerifyingKey>>;

/// Keys of an attestation service. What signs one kind of token verifies no other.
#[derive(Clone, Debug, Default)]
pub struct ServiceKeys {
    /// Ed25519: sign compact results and deny lists.
    pub results: KeysById,
    /// P-256: sign client attestations.
    pub client_attestations: KeysById,
}

impl ServiceKeys {
    /// Whether there is no key that could sign a result.
    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }
}

impl<K> IssuerKeys<K> {
    /// An issuer whose keys are still to come.
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            current: ArcSwap::from_pointee(Set { edition: 0, keys: None }),
            editions: AtomicU64::new(0),
            next_refresh: AtomicU64::new(0),
        }
    }

    /// Replaces the set.
    pub fn replace(&self, keys: K) {
        let edition = self.editions.fetch_add(1, Ordering::Relaxed) + 1;
        self.current.store(Arc::new(Set { edition, keys: Some(keys) }));
    }

    /// Takes the set out of force: it is too old to be believed, and a new one does not come.
    pub fn withdraw(&self) {
        let edition = self.editions.fetch_add(1, Ordering::Relaxed) + 1;
        self.current.store(Arc::new(Set { edition, keys: None }));
    }

    /// Notes that a fetch was made, whatever became of it: the next one for a missing key waits its turn.
    pub fn fetched(&self, now: Timestamp) {
        self.next_refresh.store(now.plus(REFRESH_INTERVAL).as_unix_seconds(), Ordering::Relaxed);
    }

    /// Whether there are keys at all.
    pub fn is_ready(&self) -> bool {
        self.current.load().keys.is_some()
    }

    /// A copy of the set in force.
    pub fn keys(&self) -> Option<K>
    where
        K: Clone,
    {
        self.current.load().keys.clone()
    }

    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<Set<K>>> {
        self.current.load()
    }

    /// Whether a key that is missing may be fetched now.
    pub fn may_refresh(&self, now: Timestamp) -> bool {
        now.as_unix_seconds() >= self.next_refresh.load(Ordering::Relaxed)
    }
}

/// The keys of an attestation service's key set, ready to verify.
pub fn service_keys(jwks: &Jwks) -> ServiceKeys {
    let mut keys = ServiceKeys::default();
    for key in jwks.keys() {
        let (Some(public_key), Some(key_id)) = (key.public_key, key.key_id.clone()) else { continue };
        let of_kind = match public_key.algorithm() {
            Algorithm::Ed25519 => &mut keys.results,
            Algorithm::Esp256 => &mut keys.client_attestations,
        };
        of_kind.insert(key_id.into_bytes(), Arc::new(VerifyingKey::new(public_key)));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_key_ids_cause_one_fetch_per_interval() {
        let keys = IssuerKeys::<()>::new("https://as.example");
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        assert!(keys.may_refresh(now) && !keys.is_ready());
        keys.fetched(now);
        assert!(!keys.may_refresh(now.plus(REFRESH_INTERVAL - 1)));
        assert!(keys.may_refresh(now.plus(REFRESH_INTERVAL)));
    }

    #[test]
    fn a_new_set_is_a_new_edition() {
        let keys = IssuerKeys::new("https://as.example");
        keys.replace(1);
        let first = keys.current().edition;
        keys.replace(1);
        assert_ne!(keys.current().edition, first);
    }

    #[test]
    fn the_set_in_force_is_the_one_that_came_last() {
        let keys = IssuerKeys::new("https://as.example");
        assert_eq!((keys.keys(), keys.is_ready()), (None, false));
        let mut editions = vec![keys.current().edition];
        for set in 1..=3 {
            keys.replace(set);
            assert_eq!((keys.keys(), keys.is_ready()), (Some(set), true));
            editions.push(keys.current().edition);
        }
        assert!(editions.windows(2).all(|pair| pair[0] < pair[1]), "{editions:?}");
    }

    #[test]
    fn a_set_that_was_withdrawn_verifies_nothing_until_it_comes_again() {
        let keys = IssuerKeys::new("https://as.example");
        keys.replace(1);
        let first = keys.current().edition;
        keys.withdraw();
        assert_eq!((keys.keys(), keys.is_ready()), (None, false));
        assert_ne!(keys.current().edition, first, "nor what it verified before");
        keys.replace(1);
        assert_ne!(keys.current().edition, first);
    }

    #[test]
    fn without_a_key_for_results_a_set_is_empty() {
        let point = countersign_virtual_device::Seed::from_text("a key").p256_key("key");
        let point = point.verifying_key().to_sec1_point(false);
        let p256 = countersign_core::token::keys::PublicKey::from_p256_sec1(point.as_bytes()).unwrap();
        let mut keys = ServiceKeys::default();
        assert!(keys.is_empty());
        keys.client_attestations.insert(b"1".to_vec(), Arc::new(VerifyingKey::new(p256)));
        assert!(keys.is_empty(), "client attestations say nothing of results");
        keys.results.insert(b"1".to_vec(), Arc::new(VerifyingKey::new(p256)));
        assert!(!keys.is_empty());
    }
}
