//! `countersign settings`: is this file right, and what may stand in it?

use std::path::PathBuf;

use clap::Subcommand;

use crate::cli::{Exit, answer, complain};
use crate::clock::Clock;
use crate::document;
use crate::policy_file::PolicyFile;
use crate::settings::Settings;
use crate::trust::Trust;

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read a settings file and the policy that it names, and tell every problem, each with its line.
    Check {
        /// The settings file (TOML).
        file: PathBuf,
    },
    /// Print the JSON schema of settings or policies, for an editor that completes and checks TOML.
    Schema {
        /// The schema of the policy file instead.
        #[arg(long)]
        policy: bool,
    },
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    match command {
        Command::Check { file } => {
            let settings = match Settings::load(file) {
                Ok(settings) => settings,
                Err(problems) => {
                    complain(problems.to_string());
                    return Exit::Failure;
                }
            };
            if let Err(error) = Trust::load(&settings, Clock::system().now()) {
                complain(error.to_string());
                return Exit::Failure;
            }
            answer(format!("{}: no problems", file.display()));
            Exit::Success
        }
        Command::Schema { policy } => {
            let schema =
                if *policy { document::schema::<PolicyFile>() } else { document::schema::<Settings>() };
            answer(format!("{schema:#}"));
            Exit::Success
        }
    }
}
