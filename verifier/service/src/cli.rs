//! The command line of `countersign`: which commands there are, and what their exit codes mean.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "virtual-device")]
use crate::commands::virtual_device;
use crate::commands::{
    appraise, attempts, development_keys, edge, explain, inspect, instances, keys, openapi, policy, serve,
    settings, subjects, trust,
};

/// Proves with each request that an API call comes from the genuine app on a genuine phone.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands; each lives in a file of its name under `commands`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the attestation service, and the edge behind a gateway if the settings name one.
    Serve(serve::Arguments),
    /// Run an edge apart from the service: it decides for a gateway, or as a proxy, without registry and signing keys.
    Edge(edge::Arguments),
    /// Run a reverse proxy that checks each request before it reaches the API; for those without a gateway.
    Proxy(edge::Arguments),
    /// Judge one piece of evidence, offline.
    Appraise(Box<appraise::Arguments>),
    /// Explain a token or a piece of evidence, and say what was not verified.
    Inspect(inspect::Arguments),
    /// Tell why the service decided as it did, by the reference that a device was given.
    Explain(explain::Arguments),
    /// List enrolled instances, look at one, ban it, lift its ban, or erase it.
    #[command(subcommand)]
    Instances(instances::Command),
    /// List requests that the edge refused lately, or would have, from a running service.
    Attempts(attempts::Arguments),
    /// Ban users, whatever device they come with.
    #[command(subcommand)]
    Subjects(subjects::Command),
    /// Register keys of developers' machines, which vouch for development apps.
    #[command(subcommand)]
    DevelopmentKeys(development_keys::Command),
    /// Explain a policy in words, or try one before it counts.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Find what an OpenAPI document leaves open, or print the schema of its extension `x-attestation`.
    #[command(subcommand)]
    Openapi(openapi::Command),
    /// Check a settings file, or print the JSON schema of settings.
    #[command(subcommand)]
    Settings(settings::Command),
    /// Rotate the service's keys, make new ones where they are lost, or give administrators and apps theirs.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Look at what evidence is judged by, and make and verify trust bundles.
    #[command(subcommand)]
    Trust(trust::Command),
    /// Play a phone against a running service, to try a request with curl. Not in release builds.
    #[cfg(feature = "virtual-device")]
    #[command(subcommand)]
    VirtualDevice(virtual_device::Command),
}

/// The settings file of the service, as every command that needs it is told.
#[derive(Debug, Args)]
pub struct SettingsFile {
    /// The settings file; `countersign settings schema` tells what may stand in it.
    #[arg(
        long = "settings",
        short = 's',
        value_name = "FILE",
        default_value = "countersign.toml",
        env = "COUNTERSIGN_SETTINGS"
    )]
    pub path: PathBuf,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed, or the answer is no; 3 wrong use of the command line.
`countersign appraise` tells more: 1 genuine but refused, 2 could not be verified; so does `countersign inspect`:
2 not recognised or malformed; and `countersign openapi audit`: 1 something was found, 2 cannot be read.";

/// How a command ended, as every command reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, and the answer, if one was asked for, is yes.
    Success,
    /// Failed, or the answer is no. `appraise`: genuine, but the policy refuses it.
    Failure,
    /// `appraise`: the evidence could not be verified. `inspect`: not recognised, or malformed. `openapi audit`: the
    /// document or the settings cannot be read.
    Unverified,
    /// The command line was wrong; nothing was done.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Unverified => 2,
            Exit::Usage => 3,
        })
    }
}

/// Runs the command that `arguments` (the program's name first) ask for, and ends as a process should.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Nothing is left to do if the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Success }.into();
        }
    };
    let exit = match parsed.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Edge(arguments) => edge::run(&arguments),
        Command::Proxy(arguments) => edge::run_proxy(&arguments),
        Command::Appraise(arguments) => appraise::run(&arguments),
        Command::Keys(command) => keys::run(&command),
        Command::Trust(command) => trust::run(&command),
        #[cfg(feature = "virtual-device")]
        Command::VirtualDevice(command) => virtual_device::run(&command),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Instances(command) => instances::run(&command),
        Command::Attempts(arguments) => attempts::run(&arguments),
        Command::Subjects(command) => subjects::run(&command),
        Command::DevelopmentKeys(command) => development_keys::run(&command),
        Command::Policy(command) => policy::run(&command),
        Command::Openapi(command) => openapi::run(&command),
        Command::Settings(command) => settings::run(&command),
    };
    exit.into()
}

/// Writes a line of a command's result to standard output. A reader that has gone away is no error.
pub fn answer(line: impl AsRef<str>) {
    let _ = writeln!(io::stdout().lock(), "{}", line.as_ref());
}

/// Writes what went wrong, and what to do, to standard error.
pub fn complain(sentence: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", sentence.as_ref().trim_end());
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn wrong_use_ends_with_3_and_help_with_0() {
        let exit = |words: &[&str]| main(words.iter().map(OsString::from));
        assert_eq!(exit(&["countersign", "levitate"]), ExitCode::from(3));
        assert_eq!(exit(&["countersign"]), ExitCode::from(3));
        assert_eq!(exit(&["countersign", "settings", "check"]), ExitCode::from(3));
        assert_eq!(exit(&["countersign", "--help"]), ExitCode::SUCCESS);
    }
}
