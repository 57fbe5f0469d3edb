//! The two tokens of the device, result and proof, in both flavours, and the keys they name.

pub mod keys;
