//! `cargo xtask bench`: the benchmarks, as ratios of one run.

use crate::{Stop, edge, workspace};

const PACKAGES: [&str; 6] = ["bench", "--locked", "-p", "countersign-tests", "-p", "countersign-ffi"];
/// Those that need nothing but Rust.
const ALONE: [&str; 6] = ["ratios", "bounds", "appraisal", "memory", "signals", "device"];

/// Runs the benchmarks with `arguments` for `cargo bench`; `edge` is a table of its own.
///
/// # Errors
/// When one does not build or fails.
pub(crate) fn run(arguments: &[String]) -> Result<(), Stop> {
    if let Some(("edge", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return edge::run(rest);
    }
    let mut command = workspace::cargo(PACKAGES);
    if !arguments.iter().any(|argument| argument == "--bench") {
        command.args(ALONE.iter().flat_map(|name| ["--bench", name]));
    }
    command.args(arguments);
    workspace::succeed(command)
}
