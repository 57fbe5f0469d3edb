//! What a device and a verifier must agree on: keys, tokens, binding hash, challenges, messages and the
//! canonical request; with the feature `attester` also the device's state machine.
//!
//! Nothing here reads a clock, draws randomness or does I/O: time, random bytes and signatures are handed in.
#![forbid(unsafe_code)]

pub mod cbor;
pub mod encoding;
pub mod time;
pub mod token;
