//! The attestation service and edge of Countersign, as the binary `countersign` and as a library that starts the
//! same service inside another process.

#![forbid(unsafe_code)]

mod abuse;
mod administration;
mod attestation;
pub mod boot_keys_file;
mod bounded_file;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod document;
mod edge;
#[doc(hidden)]
pub mod fuzzing;
mod gateways;
pub mod keys;
mod openapi;
pub mod play_integrity;
pub mod policy_file;
mod proxy;
mod reappraisal;
pub mod receipts;
mod reload;
mod routes;
pub mod server;
mod service;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod trust;
#[cfg(test)]
mod virtual_world;

pub use edge::{EdgeStartError, RunningEdge, StandaloneEdge};
pub use proxy::ProxySetupError;
pub use reload::ReloadError;
pub use service::{RunningService, Service, StartError};
