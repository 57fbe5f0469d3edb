//! `countersign settings`: is this file right, and what may stand in it?

use std::path::PathBuf;

use clap::Subcommand;

use crate::cli::{Exit, answer, complain};
use crate::document;
use crate::settings::Settings;

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read a settings file and name every problem in it, each with its line.
    Check {
        /// The settings file (TOML).
        file: PathBuf,
    },
    /// Print the JSON schema of settings, for an editor that completes and checks TOML.
    Schema,
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    match command {
        Command::Check { file } => match Settings::load(file) {
            Ok(_) => {
                answer(format!("{}: no problems", file.display()));
                Exit::Success
            }
            Err(problems) => {
                complain(problems.to_string());
                Exit::Failure
            }
        },
        Command::Schema => {
            answer(format!("{:#}", document::schema::<Settings>()));
            Exit::Success
        }
    }
}
