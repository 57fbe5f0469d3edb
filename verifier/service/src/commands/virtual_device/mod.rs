//! `countersign virtual-device`: plays a phone against a running service, so that `curl` can be tried.

use clap::Args;

use crate::cli::{Exit, complain};

/// Arguments of `virtual-device`.
#[derive(Debug, Args)]
pub struct Arguments {}

/// Runs the command.
pub fn run(_arguments: &Arguments) -> Exit {
    complain("not yet");
    Exit::Failure
}
