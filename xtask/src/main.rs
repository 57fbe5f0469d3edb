//! One command for everything: `cargo xtask` lists what it can do. The same at the desk and in CI.
#![allow(clippy::print_stdout, reason = "a command line program talks to the person who typed")]
#![forbid(unsafe_code)]

use std::{env, process::ExitCode};

mod bench;
mod ci;
mod corpus;
mod dependencies;
mod edge;
mod fuzz;
mod groups;
mod interop;
mod jvm;
mod lines;
mod mobile;
mod mutants;
mod peers;
mod setup;
mod swift;
mod tally;
mod test;
mod workspace;

const HELP: &str = "\
cargo xtask COMMAND

  setup [GROUP]...      install what a group of tests needs, and say what was installed
                          groups: gateways (nginx, Caddy, HAProxy, Envoy), many-edges (Redis),
                          interop (packages of npm and PyPI), jvm (a JDK and Maven's packages),
                          swift (Swift in a folder of its own), mobile (targets of phones, ARM64),
                          all (the default)
  test                  run every test whose parts are present; ends with a table: ran / skipped because
    --require GROUP       fail if this group had to be skipped (may be repeated)
    -- ARGS               give ARGS to `cargo test`; for example: -- --test vectors, or: -- replay
                          groups: rust, vectors, gateways, many-edges, interop, jvm, swift, mobile,
                          quickstart
  ci                    format, dependencies, clippy, docs, and all tests with nothing skipped
    --without GROUP       do not insist on this group (may be repeated)
  bench [ARGS]...       the benchmarks, as ratios of one run; ARGS go to `cargo bench`
  bench edge            requests through axum, nginx and Envoy with the check and without, and beside other libraries
    --short               as little as shows that it works
    --stacks, --libraries only one of the two tables
  corpus                write the corpus of forged evidence anew, into tests/corpus
  peers [PEER]...       run other published verifiers over the corpus and print how often they and we agree
    --cases FILE          write what each of them says of each case to FILE, outside of the repository
    --bench               measure them beside ours, all on one core
                          peers: appattest, node-app-attest, pyattest, jvm
  fuzz [TARGET]...      the fuzz targets one after another, with a table at the end; findings are kept as tests
    --seconds N           for each target (60)
  kotlin                the Kotlin face on the JVM, against a real service
    --aar                 put the Android archive together and check it; its libraries are check builds
    --prove               how long a proof takes, called from Kotlin
  swift                 the Swift face on Linux, against a real service
    measure               what a proof costs through it, instead of the tests
  mobile                checks and links for the targets of phones; the core's tests on ARM64
    --only STEP           types, android, ios or arm64 (may be repeated)
    --target TRIPLE       of this target only (may be repeated)
    --sizes               which crate takes how much of an Android app's library
  scene -- COMMAND      runs COMMAND beside a real service and nginx, for tests on emulators and simulators
  mutants               changes the verifier in small ways and asks whether a test notices each
    --shard K/N           one of N parts, counted from 0
    --file FILE           of this file only (may be repeated)
    --list                names the mutants and runs none

In a hurry: `cargo xtask test`. Before a pull request: `cargo xtask ci`.
The genuine test vectors are looked for in ../shared/vectors, or where COUNTERSIGN_VECTORS says.
";

/// Why a command ended early; the exit status follows from it.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// The command line cannot be understood: exit status 2.
    Usage(String),
    /// What was asked for did not succeed: exit status 1.
    Failed(String),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = match env::args_os().skip(1).map(std::ffi::OsString::into_string).collect() {
        Ok(arguments) => arguments,
        Err(other) => return report(&Stop::Usage(format!("not UTF-8: {}", other.to_string_lossy()))),
    };
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    let for_xtask = rest.iter().take_while(|argument| *argument != "--");
    let asks_for_help = for_xtask.into_iter().any(|argument| argument == "--help" || argument == "-h");
    let outcome = match command {
        "help" | "--help" | "-h" => help(),
        _ if asks_for_help => help(),
        "setup" => setup::run(rest),
        "test" => test::run(rest),
        "ci" => ci::run(rest),
        "bench" => bench::run(rest),
        "corpus" => corpus::run(rest),
        "peers" => peers::run(rest),
        "fuzz" => fuzz::run(rest),
        "mutants" => mutants::run(rest),
        "kotlin" => jvm::run(rest),
        "swift" => swift::run(rest),
        "mobile" => mobile::run(rest),
        "scene" => swift::scene(rest),
        unknown => Err(Stop::Usage(format!("there is no command `{unknown}`"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => report(&stop),
    }
}

fn help() -> Result<(), Stop> {
    print!("{HELP}");
    Ok(())
}

fn report(stop: &Stop) -> ExitCode {
    match stop {
        Stop::Usage(why) => {
            eprintln!("xtask: {why}\n\n{HELP}");
            ExitCode::from(2)
        }
        Stop::Failed(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
