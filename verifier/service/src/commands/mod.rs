//! One file for each command of the binary: its arguments, and a `run` that ends in an [`Exit`](crate::cli::Exit).

pub mod api_keys;
pub mod appraise;
pub mod attempts;
pub mod development_keys;
pub mod edge;
pub mod explain;
pub mod inspect;
pub mod instances;
pub mod keys;
mod long_running;
pub mod openapi;
pub mod policy;
pub mod serve;
pub mod settings;
pub mod subjects;
pub mod trust;
#[cfg(feature = "virtual-device")]
pub mod virtual_device;
