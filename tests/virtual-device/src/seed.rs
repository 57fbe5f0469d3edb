//! Where every key and every random byte of this crate comes from: a seed, so that a run can be repeated.

use std::fmt;

use rand::CryptoRng;
use sha2::{Digest, Sha256};

/// 32 bytes from which keys and random bytes are derived by name; the same seed makes the same phones.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A seed from any text, for tests: the phones it makes can be made by anybody who knows the text.
    pub fn from_text(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// A seed of its own for this run.
    pub fn random(random: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 32];
        random.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The seed of that name below this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"countersign-virtual-device/1");
        hash.update(self.0);
        hash.update(name.as_bytes());
        Self(hash.finalize().into())
    }

    /// `N` bytes of that name, at most 32.
    ///
    /// # Panics
    /// If `N` is more than 32.
    pub fn bytes<const N: usize>(&self, name: &str) -> [u8; N] {
        let bytes = self.child(name).0;
        bytes[..N].try_into().expect("the slice was cut to N bytes")
    }

    /// The P-256 key of that name.
    pub fn p256_key(&self, name: &str) -> p256::ecdsa::SigningKey {
        self.first(name, |candidate| p256::ecdsa::SigningKey::from_slice(candidate).ok())
    }

    /// The P-384 key of that name.
    pub fn p384_key(&self, name: &str) -> p384::ecdsa::SigningKey {
        self.first(name, |candidate| {
            let mut scalar = [0; 48];
            scalar[16..].copy_from_slice(candidate);
            p384::ecdsa::SigningKey::from_slice(&scalar).ok()
        })
    }

    /// The first candidate below `name` that is a valid scalar; all but one in 2^32 are.
    fn first<Key>(&self, name: &str, key: impl Fn(&[u8; 32]) -> Option<Key>) -> Key {
        let mut candidate = self.child(name);
        loop {
            if let Some(key) = key(&candidate.0) {
                return key;
            }
            candidate = candidate.child("next");
        }
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// An endless run of bytes from a seed; a phone's source of randomness.
#[derive(Clone, Debug)]
pub struct SeededRandom {
    seed: Seed,
    drawn: u64,
}

impl SeededRandom {
    /// The run of bytes of this seed, from its start.
    pub const fn new(seed: Seed) -> Self {
        Self { seed, drawn: 0 }
    }

    /// Fills `bytes` with the next bytes of the run.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block: [u8; 32] = self.seed.bytes(&format!("random {}", self.drawn));
            self.drawn += 1;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_always_gives_the_same_key_and_another_name_another() {
        let seed = Seed::from_text("a");
        assert_eq!(seed.p256_key("x").to_bytes(), Seed::from_text("a").p256_key("x").to_bytes());
        assert_ne!(seed.p256_key("x").to_bytes(), seed.p256_key("y").to_bytes());
        assert_ne!(seed.p256_key("x").to_bytes(), Seed::from_text("b").p256_key("x").to_bytes());
        assert_eq!(seed.p384_key("x").to_bytes(), Seed::from_text("a").p384_key("x").to_bytes());
    }

    #[test]
    fn random_bytes_do_not_repeat_within_a_run_and_repeat_in_the_next() {
        let (mut first, mut second) = ([0; 80], [0; 80]);
        let mut random = SeededRandom::new(Seed::from_text("a"));
        random.fill(&mut first);
        random.fill(&mut second);
        assert_ne!(first, second);
        assert_ne!(first[..32], first[32..64]);
        let mut again = [0; 80];
        SeededRandom::new(Seed::from_text("a")).fill(&mut again);
        assert_eq!(first, again);
    }

    #[test]
    fn debug_shows_no_seed() {
        assert_eq!(format!("{:?}", Seed::from_bytes([0xab; 32])), "Seed(..)");
    }
}
