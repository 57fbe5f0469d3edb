//! `cargo xtask bench`: the benchmarks, as ratios of one run.

use crate::{Stop, workspace};

const PACKAGES: [&str; 4] = ["bench", "--locked", "-p", "countersign-tests"];

/// Runs the benchmarks with `arguments` for `cargo bench`.
///
/// # Errors
/// When one does not build or fails.
pub(crate) fn run(arguments: &[String]) -> Result<(), Stop> {
    workspace::succeed(workspace::cargo(PACKAGES.into_iter().chain(arguments.iter().map(String::as_str))))
}
