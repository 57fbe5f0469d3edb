//! The attestation service and edge of Countersign, as the binary `countersign` and as a library that starts the
//! same service inside another process.

#![forbid(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod commands;
pub mod document;
mod gateways;
pub mod keys;
mod routes;
pub mod server;
mod service;
pub mod settings;
pub mod store;
pub mod telemetry;

pub use service::{RunningService, Service, StartError};
