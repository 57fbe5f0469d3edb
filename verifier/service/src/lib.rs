//! The attestation service and edge of Countersign, as the binary `countersign` and as a library that starts the
//! same service inside another process.

#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;
pub mod document;
pub mod keys;
pub mod settings;
pub mod store;
