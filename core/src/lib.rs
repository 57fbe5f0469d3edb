//! What a device and a verifier must agree on: keys, tokens, binding hash, challenges, messages and the
//! canonical request; with the feature `attester` also the device's state machine.
//!
//! Nothing here reads a clock, draws randomness or does I/O: time, random bytes and signatures are handed in.
#![forbid(unsafe_code)]

#[cfg(feature = "attester")]
pub mod attester;
pub mod binding;
pub mod cbor;
pub mod challenge;
pub mod encoding;
pub mod enrolment;
pub mod environment;
pub mod request;
pub mod time;
pub mod token;
