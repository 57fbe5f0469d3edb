//! `countersign policy`: what a policy file says, in words, and what it would change.

mod check;
mod layout;
mod trial;

use clap::Subcommand;

use crate::cli::Exit;

/// What to do with a policy.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell every problem of a policy file with its line, or explain in words what it says.
    Check(check::Arguments),
    /// Appraise the evidence of enrolled and of refused devices by a policy that is not in force, and tell whose
    /// standing would change. Changes nothing.
    Try(trial::Arguments),
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    match command {
        Command::Check(arguments) => check::run(arguments),
        Command::Try(arguments) => trial::run(arguments),
    }
}
