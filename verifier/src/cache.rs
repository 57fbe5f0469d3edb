//! A bounded cache of two generations: looked up without allocating, never larger than twice its capacity.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Entries are found in the current generation or the previous one; when the current is full, the previous is
/// forgotten. What is in use moves to the current generation, so a flood of strangers evicts only strangers and
/// what nobody asked for meanwhile.
pub(crate) struct Generations<K, V> {
    capacity: usize,
    maps: Mutex<Maps<K, V>>,
}

struct Maps<K, V> {
    current: HashMap<K, V>,
    previous: HashMap<K, V>,
}

impl<K: Hash + Eq, V: Clone> Generations<K, V> {
    /// A cache whose generations hold `capacity` entries each, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let map = || HashMap::with_capacity(capacity);
        Self { capacity, maps: Mutex::new(Maps { current: map(), previous: map() }) }
    }

    /// The value of `key`.
    pub(crate) fn find<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let maps = &mut *self.lock();
        if let Some(value) = maps.current.get(key) {
            return Some(value.clone());
        }
        let (key, value) = maps.previous.remove_entry(key)?;
        self.put(maps, key, value.clone());
        Some(value)
    }

    /// Remembers `value` under `key`.
    pub(crate) fn insert(&self, key: K, value: V) {
        let maps = &mut *self.lock();
        self.put(maps, key, value);
    }

    /// Remembers what `make` says unless `key` is known, and returns what is remembered.
    pub(crate) fn find_or_insert(&self, key: K, make: impl FnOnce() -> V) -> V {
        let maps = &mut *self.lock();
        let value = match maps.current.get(&key) {
            Some(value) => return value.clone(),
            None => maps.previous.remove(&key).unwrap_or_else(make),
        };
        self.put(maps, key, value.clone());
        value
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let maps = self.lock();
        maps.current.len() + maps.previous.len()
    }

    fn put(&self, maps: &mut Maps<K, V>, key: K, value: V) {
        if maps.current.len() >= self.capacity && !maps.current.contains_key(&key) {
            std::mem::swap(&mut maps.current, &mut maps.previous);
            maps.current.clear();
        }
        maps.current.insert(key, value);
    }

    /// A panic elsewhere while the lock was held leaves both maps whole, so the lock is used on.
    fn lock(&self) -> MutexGuard<'_, Maps<K, V>> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_two_generations() {
        let cache = Generations::new(10);
        for key in 0..1000 {
            cache.insert(key, ());
            assert!(cache.len() <= 20);
        }
        assert_eq!(cache.find(&0), None);
        assert_eq!(cache.find(&999), Some(()));
    }

    #[test]
    fn a_flood_does_not_evict_what_is_in_use() {
        let cache = Generations::new(10);
        cache.insert(0, "in use");
        for key in 1..1000 {
            cache.insert(key, "stranger");
            assert_eq!(cache.find(&0), Some("in use"), "after {key}");
        }
    }

    #[test]
    fn the_first_value_stays() {
        let cache = Generations::new(10);
        assert_eq!(cache.find_or_insert(1, || 'a'), 'a');
        assert_eq!(cache.find_or_insert(1, || 'b'), 'a');
    }
}
