//! The two things of this machine that a decision needs: its clock and its randomness.

use std::time::SystemTime;

use countersign_core::challenge::RANDOM_LENGTH;
use countersign_core::time::Timestamp;
use countersign_verifier::check::decision::{Randomness, RandomnessUnavailable};

/// The system's time. A clock before 1970 reads as 1970, at which nothing passes.
pub fn system_time() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_seconds(since_epoch.as_secs())
}

/// The operating system's randomness, for nonces.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandomness;

impl Randomness for OsRandomness {
    fn fresh(&self) -> Result<[u8; RANDOM_LENGTH], RandomnessUnavailable> {
        let mut bytes = [0; RANDOM_LENGTH];
        getrandom::fill(&mut bytes).map_err(|_| RandomnessUnavailable)?;
        Ok(bytes)
    }
}
