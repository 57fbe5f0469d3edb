//! `countersign keys`: making and rotating the service's own keys.

use std::path::Path;

use clap::{Args, Subcommand};

use crate::cli::{Exit, SettingsFile, answer, complain};
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
    #[command(flatten)]
    settings: SettingsFile,
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    let (Command::Rotate(place) | Command::New(place)) = command;
    let settings = match Settings::load(&place.settings.path) {
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
