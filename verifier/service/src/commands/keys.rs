//! `countersign keys`: making and rotating the service's own keys.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::cli::{Exit, answer, complain};
use crate::clock::Clock;
use crate::keys::ServiceKeys;
use crate::settings::Settings;

/// What to do with the keys. Restart the service afterwards.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the next keys current and new ones next; old ones stay known for a day.
    Rotate(Place),
    /// Make new keys where the old ones are lost. Everything that those signed is disowned.
    New(Place),
}

/// Where the keys are.
#[derive(Debug, Args)]
pub struct Place {
    /// The settings file of the service.
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "countersign.toml",
        env = "COUNTERSIGN_SETTINGS"
    )]
    pub settings: PathBuf,
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    let (Command::Rotate(place) | Command::New(place)) = command;
    let settings = match Settings::load(&place.settings) {
        Ok(settings) => settings,
        Err(problems) => {
            complain(problems.to_string());
            return Exit::Failure;
        }
    };
    let directory: &Path = &settings.keys.directory;
    let now = Clock::system().now();
    let done = match command {
        Command::Rotate(_) => ServiceKeys::rotate(directory, now),
        Command::New(_) => ServiceKeys::open(directory, false, now).map(drop),
    };
    match done {
        Ok(()) => {
            answer(format!("{}: done; restart the service to use the keys", directory.display()));
            Exit::Success
        }
        Err(error) => {
            complain(error.to_string());
            Exit::Failure
        }
    }
}
