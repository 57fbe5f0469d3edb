//! The binary `countersign`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    countersign_service::cli::main(std::env::args_os())
}
