//! `cargo xtask mutants`: changes the verifier in small ways, one at a time, and asks whether a test notices.

use std::{path::PathBuf, process::Command};

use crate::{Stop, workspace};

/// Where a check that is weakened in silence would cost most.
const FILES: [&str; 5] = [
    "verifier/src/evidence/**/*.rs",
    "verifier/src/chain.rs",
    "verifier/src/policy/**/*.rs",
    "verifier/src/check/**/*.rs",
    "verifier/src/enrolment/**/*.rs",
];

/// The version of the tool; another one makes other mutants.
const VERSION: &str = "27.1.0";

/// What to run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    /// Part of the mutants, `k/n` counted from 0; None: all.
    shard: Option<String>,
    /// These files only.
    files: Vec<String>,
    /// Names the mutants and runs none.
    list: bool,
}

/// Runs the mutants.
///
/// # Errors
/// When the tool cannot be installed or a mutant was not noticed.
pub(crate) fn run(arguments: &[String]) -> Result<(), Stop> {
    let request = Request::read(arguments)?;
    let tool = install()?;
    let mut command = Command::new(tool);
    command.args(["mutants", "--package", "countersign-verifier", "--no-shuffle", "--colors", "never"]);
    // The time for a mutant that never ends: the tests take seconds.
    command.args(["--minimum-test-timeout", "120"]);
    let defaults = FILES.map(str::to_owned);
    let files = if request.files.is_empty() { &defaults[..] } else { &request.files[..] };
    for file in files {
        command.args(["--file", file]);
    }
    let name = request.shard.as_deref().map_or_else(|| "all".to_owned(), |shard| shard.replace('/', "-of-"));
    if let Some(shard) = &request.shard {
        command.args(["--shard", shard]);
    }
    if request.list {
        command.arg("--list");
    } else {
        let cache = workspace::root().join(".cache/mutants").join(&name);
        std::fs::create_dir_all(&cache)
            .map_err(|error| Stop::Failed(format!("cannot make {}: {error}", cache.display())))?;
        command.arg("--output").arg(&cache).env("CARGO_TARGET_DIR", cache.join("target"));
        // Of the tests only those that this package has, and no examples of the documentation.
        command.args(["--", "--lib", "--tests"]);
    }
    // A mutant changes one file: what does not change is not compiled again.
    command.env("CARGO_INCREMENTAL", "1").current_dir(workspace::root());
    println!("$ {}", workspace::shown(&command));
    workspace::succeed(command)
}

impl Request {
    fn read(arguments: &[String]) -> Result<Self, Stop> {
        let mut request = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = |what: &str| {
                arguments.next().cloned().ok_or_else(|| Stop::Usage(format!("{argument} needs {what}")))
            };
            match argument.as_str() {
                "--shard" => request.shard = Some(value("k/n").and_then(shard)?),
                "--file" => request.files.push(value("a file of the verifier")?),
                "--list" => request.list = true,
                other => return Err(Stop::Usage(format!("`mutants` does not know `{other}`"))),
            }
        }
        Ok(request)
    }
}

/// `k/n` with k below n.
fn shard(text: String) -> Result<String, Stop> {
    let parts =
        text.split_once('/').and_then(|(k, n)| Some((k.parse::<u32>().ok()?, n.parse::<u32>().ok()?)));
    match parts {
        Some((k, n)) if k < n => Ok(text),
        _ => Err(Stop::Usage(format!("`{text}` is no part: k/n, where k counts from 0 and is below n"))),
    }
}

/// The tool, installed beside the workspace's other downloads if it is not there.
fn install() -> Result<PathBuf, Stop> {
    let folder = workspace::root().join(".cache/tools");
    let tool = folder.join("bin/cargo-mutants");
    if !tool.is_file() {
        let mut command =
            workspace::cargo(["install", "--locked", "cargo-mutants", "--version", VERSION, "--root"]);
        command.arg(&folder);
        println!("mutants: installing cargo-mutants {VERSION} into {}", folder.display());
        workspace::succeed(command)?;
    }
    Ok(tool)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Request, Stop> {
        Request::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_part_of_the_mutants_can_be_asked_for() {
        let request = read("--shard 1/4 --file verifier/src/chain.rs").unwrap();
        assert_eq!(request.shard.as_deref(), Some("1/4"));
        assert_eq!(request.files, ["verifier/src/chain.rs"]);
    }

    #[test]
    fn a_command_line_that_makes_no_sense_is_a_usage_error() {
        for line in ["--shard", "--shard 4/4", "--shard 1", "--shard a/b", "--file", "chain.rs"] {
            assert!(matches!(read(line), Err(Stop::Usage(_))), "{line}");
        }
    }

    #[test]
    fn the_files_exist() {
        for file in FILES {
            let folder = file.split("/**").next().unwrap();
            assert!(workspace::root().join(folder).exists(), "{file}");
        }
    }
}
