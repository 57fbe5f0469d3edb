//! What may be in the dependency tree: `deny.toml`, and two rules that it cannot express.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Stop, workspace};

const CARGO_DENY: &str = "0.20.2";
/// How long the advisory database may take to arrive.
const FETCH_LIMIT: Duration = Duration::from_secs(90);

/// Crates that compile or look for C; whatever builds C depends on one of them.
const BUILDS_C: [&str; 6] = ["cc", "cmake", "bindgen", "pkg-config", "vcpkg", "nasm-rs"];
/// What a device builds.
const DEVICE: [&str; 2] = ["countersign-core", "countersign-ffi"];

/// Crates for tests alone: archived or unreviewed decoders, and what can forge evidence.
const TESTS_ONLY: [&str; 5] = ["serde_cbor", "coset", "proptest", "criterion", "countersign-virtual-device"];
/// What is released; the service without its default features, as a production edge is built.
const RELEASED: [&str; 5] = [
    "countersign-core",
    "countersign-ffi",
    "countersign-verifier",
    "countersign-edge",
    "countersign-service",
];

/// Whether a check was made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// It was, and all is well.
    Yes,
    /// It could not be; why.
    Skipped(String),
}

/// Core and bindings cross-compile to every phone because nothing in them is C.
///
/// # Errors
/// When a crate of the device's tree, on any platform and with any feature, builds C.
pub(crate) fn no_c_in_core_and_bindings() -> Result<Made, Stop> {
    absent(&BUILDS_C, &DEVICE, "--all-features")
}

/// What exists for tests stays out of what is released.
///
/// # Errors
/// When a released crate depends on one of them, on any platform.
pub(crate) fn nothing_for_tests_is_released() -> Result<Made, Stop> {
    absent(&TESTS_ONLY, &RELEASED, "--no-default-features")
}

/// Bans, licences and sources as `deny.toml` says.
///
/// # Errors
/// When cargo-deny cannot be had, or finds something.
pub(crate) fn allowed() -> Result<Made, Stop> {
    let mut command = cargo_deny()?;
    command.args(["--locked", "check", "bans", "licenses", "sources"]);
    workspace::succeed(command).map(|()| Made::Yes)
}

/// Published advisories against anything in the tree, where their database can be had.
///
/// # Errors
/// When cargo-deny cannot be had, or an advisory applies that `deny.toml` does not answer.
pub(crate) fn advisories() -> Result<Made, Stop> {
    let mut fetch = cargo_deny()?;
    fetch.args(["fetch", "db"]);
    if let Err(why) = fetched(fetch) {
        return Ok(Made::Skipped(why));
    }
    let mut command = cargo_deny()?;
    command.args(["--locked", "check", "--disable-fetch", "advisories"]);
    workspace::succeed(command).map(|()| Made::Yes)
}

fn absent(unwanted: &[&str], packages: &[&str], features: &str) -> Result<Made, Stop> {
    let mut arguments = vec!["tree", "--locked", "--target", "all", "--edges", "normal,build", features];
    arguments.extend(packages.iter().flat_map(|package| ["--package", *package]));
    let listing = workspace::output(workspace::cargo(arguments.iter().copied().chain(["--prefix", "none"])))?;
    let found = found_in(&listing, unwanted);
    if found.is_empty() {
        println!("none of {} in {}", unwanted.join(", "), packages.join(", "));
        return Ok(Made::Yes);
    }
    for name in &found {
        let who = workspace::cargo(arguments.iter().copied().chain(["--invert", name]));
        println!("$ {}\n{}", workspace::shown(&who), workspace::output(who)?);
    }
    Err(Stop::Failed(format!("{} must not be there", found.join(", "))))
}

/// Those of `unwanted` that `cargo tree --prefix none` lists.
fn found_in<'a>(listing: &str, unwanted: &[&'a str]) -> Vec<&'a str> {
    let listed = |name: &str| listing.lines().any(|line| line.split(' ').next() == Some(name));
    unwanted.iter().copied().filter(|name| listed(name)).collect()
}

/// cargo-deny of the pinned version: from `PATH`, from `.cache/tools`, or built into there.
fn cargo_deny() -> Result<Command, Stop> {
    let tools = workspace::root().join(".cache").join("tools");
    let ours = tools.join("bin").join("cargo-deny");
    let known = [workspace::program("cargo-deny"), Some(ours.clone())].into_iter().flatten().find(is_pinned);
    let program = match known {
        Some(program) => program,
        None => {
            println!(
                "cargo-deny {CARGO_DENY} is not here: building it into {} (about a minute)",
                tools.display()
            );
            let mut install = workspace::cargo(["install", "cargo-deny", "--locked", "--quiet", "--force"]);
            install.args(["--version", CARGO_DENY, "--root"]).arg(&tools);
            // It runs for seconds: what counts is how fast it is built.
            install.envs([
                ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
                ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
                ("CARGO_PROFILE_RELEASE_LTO", "off"),
                ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256"),
            ]);
            workspace::succeed(install)?;
            ours
        }
    };
    let mut command = Command::new(program);
    command.current_dir(workspace::root());
    Ok(command)
}

fn is_pinned(program: &PathBuf) -> bool {
    let mut version = Command::new(program);
    version.arg("--version");
    workspace::output(version).is_ok_and(|said| said.trim() == format!("cargo-deny {CARGO_DENY}"))
}

/// Runs a download; the error says in one line why there is none.
fn fetched(mut command: Command) -> Result<(), String> {
    // Git asks for no password and gives up on a connection that gives nothing.
    command.envs([
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_HTTP_LOW_SPEED_LIMIT", "1000"),
        ("GIT_HTTP_LOW_SPEED_TIME", "20"),
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let started = Instant::now();
    while started.elapsed() < FETCH_LIMIT {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(100)),
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(_)) => {
                let said = child.wait_with_output().map(|output| output.stderr).unwrap_or_default();
                return Err(database_reason(&String::from_utf8_lossy(&said)));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    let _ended_meanwhile = child.kill();
    let _status = child.wait();
    Err(format!("their database did not arrive within {} seconds", FETCH_LIMIT.as_secs()))
}

fn database_reason(said: &str) -> String {
    let reason = said.lines().find_map(|line| line.strip_prefix("fatal: ")).or_else(|| said.lines().last());
    format!("their database cannot be had here ({})", reason.unwrap_or("no reason given").trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "\
countersign-core v0.1.0 (/src/core)
ccc v1.0.0
libc v0.2.0
sha2 v0.11.0 (*)";

    #[test]
    fn a_crate_is_found_by_its_whole_name() {
        assert_eq!(found_in(LISTING, &["cc", "lib", "sha2", "v1.0.0"]), ["sha2"]);
    }

    #[test]
    fn an_unreachable_database_is_explained_in_one_line() {
        let said = "[ERROR] failed\nCloning into 'db'...\nfatal: unable to access 'db': no route\n\n";
        assert_eq!(
            database_reason(said),
            "their database cannot be had here (unable to access 'db': no route)"
        );
        assert_eq!(database_reason(""), "their database cannot be had here (no reason given)");
    }
}
