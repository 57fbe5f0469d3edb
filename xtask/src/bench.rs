//! `cargo xtask bench`: the benchmarks of core and verifier.

use crate::{Stop, workspace};

const PACKAGES: [&str; 6] = ["bench", "--locked", "-p", "countersign-core", "-p", "countersign-verifier"];

/// Runs the benchmarks with `arguments` for `cargo bench`.
///
/// # Errors
/// When one does not build or fails.
pub(crate) fn run(arguments: &[String]) -> Result<(), Stop> {
    workspace::succeed(workspace::cargo(PACKAGES.into_iter().chain(arguments.iter().map(String::as_str))))
}
