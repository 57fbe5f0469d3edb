//! `cargo xtask mobile`: core and bindings for the targets of phones, and the core's tests on ARM64.

use crate::{Stop, tally::Count, workspace};

/// Whether tests of this group have been written.
pub(crate) fn exists() -> bool {
    workspace::root().join("bindings/mobile/README.md").is_file()
}

/// What is missing, in words.
pub(crate) fn missing() -> Vec<String> {
    Vec::new()
}

/// Installs what is missing.
///
/// # Errors
/// When something could not be installed; the sentence says what to type instead.
pub(crate) fn set_up() -> Result<(), Stop> {
    println!("mobile: no tests of this group exist yet; nothing to install");
    Ok(())
}

/// `cargo xtask mobile`.
///
/// # Errors
/// When a check failed.
pub(crate) fn run(_arguments: &[String]) -> Result<(), Stop> {
    Err(Stop::Failed("mobile: no tests of this group exist yet".to_owned()))
}

/// The tests of this group as part of `cargo xtask test`.
pub(crate) fn test() -> Count {
    Count { failed: usize::from(run(&[]).is_err()), ..Count::default() }
}
