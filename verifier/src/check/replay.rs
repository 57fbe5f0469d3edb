//! The replay set: a proof passes once.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use countersign_core::time::Timestamp;

const SHARDS: usize = 16;

/// What became of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Not seen within the window; remembered now.
    Fresh,
    /// Seen before.
    Replayed,
    /// No room is left within the window: nothing can be said, so nothing may pass.
    Full,
}

/// Remembers 16-byte keys for at least `window` seconds, in memory whose size is fixed when it is made. Forgets by time
/// alone: an attacker cannot push an entry out; nor does a clock that jumps ahead and comes back, while there is room.
pub struct ReplaySet {
    window: u64,
    capacity: usize,
    shards: Box<[Mutex<Shard>]>,
    /// Chooses the shard by a secret of this process, so that nobody can aim at one of them.
    chooser: RandomState,
}

struct Shard {
    current: HashSet<[u8; 16]>,
    previous: HashSet<[u8; 16]>,
    /// When `current` began.
    began: Timestamp,
}

impl ReplaySet {
    /// A set for `entries` keys per window. A key is one of [`ReplaySet::insert`]'s, about 40 bytes of memory.
    pub fn new(entries: usize, window: u64) -> Self {
        let capacity = (entries / SHARDS).max(1);
        let shard = || {
            let set = || HashSet::with_capacity(capacity);
            Mutex::new(Shard { current: set(), previous: set(), began: Timestamp::EPOCH })
        };
        Self {
            window: window.max(1),
            capacity,
            shards: (0..SHARDS).map(|_| shard()).collect(),
            chooser: RandomState::new(),
        }
    }

    /// Remembers `key`, a truncated cryptographic hash.
    pub fn insert(&self, key: [u8; 16], now: Timestamp) -> Replay {
        let Some(shard) = self.shards.get(self.chooser.hash_one(key) as usize % SHARDS) else {
            return Replay::Full;
        };
        let shard = &mut *shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.turn(now, self.window, self.capacity);
        if shard.current.contains(&key) || shard.previous.contains(&key) {
            return Replay::Replayed;
        }
        if shard.current.len() >= self.capacity {
            return Replay::Full;
        }
        shard.current.insert(key);
        Replay::Fresh
    }
}

impl Shard {
    /// Begins a new generation when the current one has lasted a window. A clock that steps back forgets nothing;
    /// one that steps back far lets the current generation begin now, so that a time in the future, once seen, does
    /// not keep the set from ever turning again until it is full.
    fn turn(&mut self, now: Timestamp, window: u64, capacity: usize) {
        if self.began.seconds_since(now) > window {
            self.began = now;
        }
        let age = now.seconds_since(self.began);
        if age < window {
            return;
        }
        std::mem::swap(&mut self.current, &mut self.previous);
        if age > window {
            // A pause in the traffic, or a clock that jumped ahead and may come back: nobody can tell, so what would
            // be forgotten stays as long as it takes no room from others.
            let room = capacity.saturating_sub(self.previous.len());
            self.previous.extend(self.current.drain().take(room));
        }
        self.current.clear();
        self.began = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    #[test]
    fn a_key_passes_once_for_at_least_the_window() {
        let set = ReplaySet::new(1000, 60);
        // Inserted at every phase of a generation, asked at every second of its window.
        for phase in 0..60u8 {
            let inserted = NOW.plus(u64::from(phase));
            let key = [phase; 16];
            assert_eq!(set.insert(key, inserted), Replay::Fresh);
            assert_eq!(set.insert(key, inserted), Replay::Replayed);
        }
        for phase in 0..60u8 {
            assert_eq!(set.insert([phase; 16], NOW.plus(u64::from(phase) + 60)), Replay::Replayed, "{phase}");
        }
    }

    #[test]
    fn a_clock_that_steps_back_forgets_nothing() {
        let set = ReplaySet::new(1000, 60);
        assert_eq!(set.insert([1; 16], NOW), Replay::Fresh);
        assert_eq!(set.insert([1; 16], NOW.minus(3600)), Replay::Replayed);
    }

    #[test]
    fn a_time_in_the_future_once_seen_does_not_fill_the_set_for_ever() {
        let set = ReplaySet::new(SHARDS, 60);
        let fresh = |first: u8, now| {
            let key = |n: u8| [first.wrapping_add(n); 16];
            (0..=127).filter(|n| set.insert(key(*n), now) == Replay::Fresh).count()
        };
        // Every shard that has a key now believes that its generation begins in ten years.
        let filled = fresh(0, NOW.plus(10 * 365 * 86400));
        assert!(filled > SHARDS / 2, "{filled}");
        assert_eq!(set.insert([0; 16], NOW), Replay::Replayed);
        assert!(fresh(128, NOW) <= SHARDS - filled, "full for now");
        assert!(fresh(128, NOW.plus(60)) >= filled, "and not for ten years");
    }

    #[test]
    fn a_full_set_says_so_and_recovers_with_time() {
        let set = ReplaySet::new(SHARDS, 60);
        let key = |n: u8| [n; 16];
        let verdicts: Vec<Replay> = (0..=255).map(|n| set.insert(key(n), NOW)).collect();
        let fresh = verdicts.iter().filter(|verdict| **verdict == Replay::Fresh).count();
        assert!(fresh <= SHARDS, "{fresh} keys where there is room for {SHARDS}");
        let full = verdicts.iter().position(|verdict| *verdict == Replay::Full).unwrap() as u8;
        assert_eq!(set.insert(key(0), NOW), Replay::Replayed, "what is in is not pushed out");
        assert_eq!(set.insert(key(full), NOW.plus(60)), Replay::Fresh);
    }

    #[test]
    fn a_pause_in_the_traffic_shortens_no_window() {
        let remembers = |pause| {
            let mut shard = Shard { current: HashSet::new(), previous: HashSet::new(), began: NOW };
            // At the end of a generation.
            shard.turn(NOW.plus(59), 60, 9);
            shard.current.insert([1; 16]);
            shard.turn(NOW.plus(pause), 60, 9);
            shard.current.contains(&[1; 16]) || shard.previous.contains(&[1; 16])
        };
        for pause in [59, 60, 61, 62, 80, 119, 120, 3600] {
            assert!(remembers(pause), "{pause}");
        }
    }

    #[test]
    fn a_clock_that_jumps_ahead_and_comes_back_makes_no_used_proof_new() {
        for jump in [60, 61, 100, 120, 121, 3600, 10 * 365 * 86400] {
            for age in [0, 30, 59] {
                let set = ReplaySet::new(1000, 60);
                // Generations turn in between, so that the key is in the one before at some ages.
                for second in 0..=age {
                    let key = [u8::try_from(second).unwrap(); 16];
                    assert_eq!(set.insert(key, NOW.plus(30 + second)), Replay::Fresh);
                }
                let now = NOW.plus(30 + age);
                // The edge goes on working in the wrong time.
                for other in 100..120 {
                    set.insert([other; 16], now.plus(jump));
                }
                assert_eq!(set.insert([0; 16], now.plus(jump)), Replay::Replayed, "{jump} {age}");
                assert_eq!(set.insert([0; 16], now), Replay::Replayed, "{jump} {age}");
                assert_eq!(set.insert([0; 16], now.plus(1)), Replay::Replayed, "{jump} {age}");
            }
        }
    }

    #[test]
    fn what_a_pause_keeps_takes_no_room_and_grows_no_memory() {
        let mut shard = Shard { current: HashSet::new(), previous: HashSet::new(), began: NOW };
        for turn in 1..10u8 {
            shard.current.extend((0..4).map(|key| [turn * 10 + key; 16]));
            shard.turn(NOW.plus(u64::from(turn) * 1000), 60, 6);
            assert!(shard.current.is_empty() && shard.previous.len() <= 6);
            assert!((0..4).all(|key| shard.previous.contains(&[turn * 10 + key; 16])), "the youngest stay");
        }
        shard.turn(shard.began.plus(60), 60, 6);
        assert!(shard.previous.is_empty(), "time alone forgets");
    }

    #[test]
    fn a_step_back_by_a_window_is_none_and_one_by_more_begins_a_generation() {
        let began_after = |step| {
            let mut shard = Shard { current: HashSet::new(), previous: HashSet::new(), began: NOW };
            shard.turn(NOW.minus(step), 60, 9);
            shard.began
        };
        assert_eq!((began_after(1), began_after(60)), (NOW, NOW));
        assert_eq!(began_after(61), NOW.minus(61));
    }
}
