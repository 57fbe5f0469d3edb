//! What the group `interop` needs: node with the packages of `tests/interop/package-lock.json`, and a Python environment
//! with those of `tests/interop/requirements.txt`, both in `.cache/interop`; and nginx.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::{Stop, workspace};

/// The oldest node that oidc-provider runs with.
const NODE: u32 = 20;

/// The files that say what is installed; a copy beside it says what was.
const LOCKS: [&str; 2] = ["package-lock.json", "requirements.txt"];

/// What is missing, in words.
pub(crate) fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    missing.extend(node_missing());
    let programs = ["nginx", "curl"].into_iter().filter(|name| workspace::program(name).is_none());
    missing.extend(programs.map(str::to_owned));
    if !are_current() {
        missing.push("the packages of tests/interop".to_owned());
    }
    missing
}

/// Why node does not serve.
pub(crate) fn node_missing() -> Option<String> {
    let version = workspace::program("node").and_then(|node| {
        let mut command = Command::new(node);
        command.arg("--version");
        let said = workspace::output(command).ok()?;
        said.trim().trim_start_matches('v').split('.').next()?.parse::<u32>().ok()
    });
    let npm = workspace::program("npm").is_some();
    (!npm || version.is_none_or(|version| version < NODE)).then(|| format!("node {NODE} or newer with npm"))
}

/// Installs the packages of both languages, through the clients of their registries.
///
/// # Errors
/// When one of these fails; the sentence names it.
pub(crate) fn install() -> Result<(), Stop> {
    let (folder, source) = (folder(), source());
    let failed = |error| Stop::Failed(format!("interop: {}: {error}", folder.display()));
    fs::create_dir_all(&folder).map_err(failed)?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(source.join(file), folder.join(file)).map_err(failed)?;
    }
    let mut node = Command::new("npm");
    // Nothing of a package runs while it is installed.
    node.args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
    let mut environment = Command::new("python3");
    environment.args(["-m", "venv", "--clear"]).arg(folder.join("venv"));
    let mut python = Command::new(folder.join("venv/bin/pip"));
    python.args(["install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "-r"]);
    python.arg(source.join("requirements.txt"));
    for command in [node, environment, python] {
        println!("interop: $ {}", workspace::shown(&command));
        workspace::succeed(command)?;
    }
    fs::copy(source.join("requirements.txt"), folder.join("requirements.txt")).map_err(failed)?;
    println!("interop: installed into {}", folder.display());
    Ok(())
}

/// Whether what is installed is what the lock files name today.
pub(crate) fn are_current() -> bool {
    let (folder, source) = (folder(), source());
    let same = |name: &str| {
        let [installed, wanted] = [folder.join(name), source.join(name)].map(fs::read);
        installed.is_ok_and(|installed| wanted.is_ok_and(|wanted| installed == wanted))
    };
    LOCKS.into_iter().all(same) && folder.join("node_modules").is_dir() && folder.join("venv").is_dir()
}

fn folder() -> PathBuf {
    workspace::root().join(".cache").join("interop")
}

fn source() -> PathBuf {
    workspace::root().join("tests").join("interop")
}
