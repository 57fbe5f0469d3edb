//! `cargo xtask corpus`: the corpus of forged evidence, written anew.

use crate::{Stop, workspace};

/// Writes the files of `tests/corpus`.
///
/// # Errors
/// When there are arguments, or the files cannot be written.
pub(crate) fn run(arguments: &[String]) -> Result<(), Stop> {
    if let Some(argument) = arguments.first() {
        return Err(Stop::Usage(format!("`corpus` does not know `{argument}`")));
    }
    let mut command =
        workspace::cargo(["run", "--quiet", "--locked", "-p", "countersign-tests", "--bin", "corpus"]);
    command.arg("--").arg(workspace::root().join("tests").join("corpus"));
    workspace::succeed(command)
}
