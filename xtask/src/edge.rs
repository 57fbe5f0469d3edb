//! `cargo xtask bench edge`: requests through whole stacks, and single ones beside other libraries, as Markdown tables.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Stop, groups,
    peers::{self, Driver, Peer},
    setup, workspace,
};

/// How many seconds of the processor's time each measurement of a library takes.
const SECONDS: &str = "0.4";
/// How often each library is measured, all in turn.
const ROUNDS: usize = 7;

const NODE: &[&[&str]] = &[&["npm", "ci", "--silent"]];
/// Libraries that verify a request, each with what it is set beside: the cases of ours that do the same work.
const LIBRARIES: [(Peer, &[&str]); 4] = [
    (
        Peer {
            name: "jose 6.2.17 (npm)",
            folder: "jose",
            install: NODE,
            run: &["node", "driver.mjs", "jose"],
            reads_the_clock: false,
        },
        &[],
    ),
    (
        Peer {
            name: "fast-jwt 6.3.6 (npm)",
            folder: "jose",
            install: NODE,
            run: &["node", "driver.mjs", "fast-jwt"],
            reads_the_clock: false,
        },
        &[],
    ),
    (
        Peer {
            name: "PyJWT 2.15.1 (PyPI)",
            folder: "pyjwt",
            install: &[
                &["python3", "-m", "venv", "venv"],
                &[
                    "venv/bin/pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "-r",
                    "requirements.txt",
                ],
            ],
            run: &["venv/bin/python", "driver.py"],
            reads_the_clock: false,
        },
        &[],
    ),
    (
        Peer {
            name: "attested-request-tower 0.1.1 (crate)",
            folder: "attested-request-tower",
            // It says that it needs a newer Rust than ours, and builds with ours.
            install: &[&["cargo", "build", "--release", "--locked", "--quiet", "--ignore-rust-version"]],
            run: &["target/release/peer-attested-request-tower"],
            reads_the_clock: false,
        },
        &["es256-tower/each-time", "es256-tower/remembered", "eddsa-tower/remembered"],
    ),
];

/// Installs what is missing, builds, measures and prints. `--short` measures as little as shows that it works;
/// `--stacks` or `--libraries` only one of the two tables.
///
/// # Errors
/// When the command line makes no sense, or something cannot be installed, built or run.
pub(crate) fn run(arguments: &[String]) -> Result<(), Stop> {
    let known = ["--short", "--stacks", "--libraries"];
    if let Some(unknown) = arguments.iter().find(|argument| !known.contains(&argument.as_str())) {
        return Err(Stop::Usage(format!("`bench edge` does not know `{unknown}`")));
    }
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if !has("--libraries") {
        stacks(has("--short"))?;
    }
    if !has("--stacks") {
        libraries(if has("--short") { 1 } else { ROUNDS })?;
    }
    Ok(())
}

fn stacks(short: bool) -> Result<(), Stop> {
    let missing = groups::missing_gateways();
    if missing.contains(&"nginx") || missing.contains(&"envoy") {
        setup::run(&["gateways".to_owned()])?;
    }
    workspace::succeed(workspace::cargo([
        "build",
        "--release",
        "--locked",
        "--quiet",
        "-p",
        "countersign-service",
        "--bin",
        "countersign",
    ]))?;
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace::root().join("target"), PathBuf::from);
    let mut bench = bench("edge");
    bench.env("COUNTERSIGN_PROGRAM", target.join("release").join("countersign"));
    if short {
        bench.args(["--rounds", "1", "--requests", "600"]);
    }
    workspace::succeed(bench)
}

fn libraries(rounds: usize) -> Result<(), Stop> {
    let folder = workspace::root().join(".cache").join("peers").join("tokens");
    fs::create_dir_all(&folder).map_err(|error| Stop::Failed(format!("{}: {error}", folder.display())))?;
    let folders = LIBRARIES.iter().map(|(peer, _)| peers::install(peer)).collect::<Result<Vec<_>, _>>()?;
    workspace::succeed({
        let mut build = workspace::cargo(["bench", "--locked", "--quiet", "-p", "countersign-tests"]);
        build.args(["--bench", "tokens", "--no-run"]);
        build
    })?;
    let mut command = bench("tokens");
    command.args(["--on-demand", SECONDS]).arg(&folder);
    // Ours is the first: it writes the requests for the others, as long as their issuers' words are good.
    let mut ours = Driver::start("countersign", command)?;
    let mut others = Vec::new();
    for ((peer, _), own) in LIBRARIES.iter().zip(&folders) {
        others.push(Driver::start(peer.name, of_peer(peer, own, &folder))?);
    }
    for round in 0..rounds {
        ours.measure()?;
        for other in &mut others {
            other.measure()?;
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    println!(
        "\n| library | case | CPU of each request | ours, the same work | ours takes |\n| --- | --- | --- | --- | --- |"
    );
    for ((peer, beside), other) in LIBRARIES.iter().zip(&others) {
        for case in other.rates.keys().map(String::as_str) {
            let beside = if beside.is_empty() { vec![case] } else { beside.to_vec() };
            for own in beside {
                if let (Some(theirs), Some(own_time)) = (microseconds(other, case), microseconds(&ours, own))
                {
                    println!(
                        "| {} | {case} | {} | {own}: {} | {:.2}x |",
                        peer.name,
                        shown(theirs),
                        shown(own_time),
                        own_time.0 / theirs.0
                    );
                }
            }
        }
    }
    Ok(())
}

fn bench(name: &str) -> Command {
    workspace::cargo(["bench", "--locked", "--quiet", "-p", "countersign-tests", "--bench", name, "--"])
}

fn of_peer(peer: &Peer, own: &Path, requests: &Path) -> Command {
    let mut command = peers::driver(peer, own, None);
    if peer.folder != "attested-request-tower" {
        command.arg(requests);
    }
    command.arg(SECONDS);
    command
}

/// Microseconds of one call: median, least and most.
fn microseconds(driver: &Driver, case: &str) -> Option<(f64, f64, f64)> {
    let (median, least, most) = driver.rate(case)?;
    Some((1e6 / median, 1e6 / most, 1e6 / least))
}

fn shown((median, least, most): (f64, f64, f64)) -> String {
    format!("{median:.1} us ({least:.1} to {most:.1})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_bench_edge_does_not_know_is_a_usage_error() {
        assert!(matches!(run(&["--quick".to_owned()]), Err(Stop::Usage(_))));
    }

    #[test]
    fn every_library_has_its_folder() {
        for (peer, _) in &LIBRARIES {
            assert!(workspace::root().join("tests/peers").join(peer.folder).is_dir(), "{}", peer.name);
        }
    }
}
