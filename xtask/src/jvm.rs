//! `cargo xtask kotlin`: the Kotlin face on the JVM, against the real library and a real service.

mod aar;
mod android;
mod maven;

use std::path::PathBuf;
use std::process::Command;

use crate::{Stop, lines, setup, tally::Count, workspace};

/// The oldest Java that the tests run on.
const JAVA: u32 = 17;

/// The library of the host, with the Android half, which the generated code speaks of.
const LIBRARY: &str = "libcountersign_ffi.so";

/// Whether tests of this group have been written.
pub(crate) fn exists() -> bool {
    project().join("pom.xml").is_file()
}

/// What is missing, in words.
pub(crate) fn missing() -> Vec<String> {
    let mut missing: Vec<String> = missing_programs().into_iter().map(|(what, _)| what).collect();
    if !maven::packages_are_current() {
        missing.push("Maven's packages in .cache/jvm".to_owned());
    }
    if !android::is_here() {
        missing.push("Android's classes in .cache/jvm".to_owned());
    }
    missing
}

/// Installs what is missing.
///
/// # Errors
/// When something could not be installed; the sentence says what to type instead.
pub(crate) fn set_up() -> Result<(), Stop> {
    let programs = missing_programs();
    if missing().is_empty() {
        println!("jvm: everything is already here; nothing to install");
        return Ok(());
    }
    if !programs.is_empty() {
        let packages: Vec<_> = programs.iter().map(|(_, package)| *package).collect();
        setup::debian_packages("jvm", &packages)?;
    }
    if !maven::packages_are_current() {
        maven::fetch_packages()?;
    }
    if android::is_here() { Ok(()) } else { android::fetch() }
}

/// `cargo xtask kotlin`: the tests; `--aar` puts the Android archive together and checks it, `--prove` measures.
///
/// # Errors
/// When a check failed.
pub(crate) fn run(arguments: &[String]) -> Result<(), Stop> {
    if let [first, ..] = missing().as_slice() {
        return Err(Stop::Failed(format!(
            "without {first}; `cargo xtask setup jvm` installs it, or says how"
        )));
    }
    match arguments {
        [] => {}
        [only] if only == "--aar" => return aar::assemble_and_check(),
        [only] if only == "--prove" => return measure(),
        _ => return Err(Stop::Usage("`kotlin` takes nothing, --aar or --prove".to_owned())),
    }
    tests()?.tell("kotlin")
}

/// The tests of this group as part of `cargo xtask test`.
pub(crate) fn test() -> Count {
    println!("\n$ cargo xtask kotlin");
    Count::of("kotlin", tests())
}

fn tests() -> Result<Count, Stop> {
    build()?;
    let command = maven::command(&["test"], "debug");
    println!("$ {}", workspace::shown(&command));
    let mut last = None;
    let status = lines::stream(command, |line| last = maven::summary(line).or(last.take()))
        .map_err(|error| Stop::Failed(format!("cannot run mvn: {error}")))?;
    let mut count = last.unwrap_or_default();
    if !status.success() && count.failed == 0 {
        // It did not compile, or a virtual machine crashed.
        count.failed = 1;
        return Ok(count);
    }
    Ok(count.and(aar::check()?))
}

/// How long `prove` takes, called from Kotlin.
fn measure() -> Result<(), Stop> {
    build()?;
    let release = ["build", "--release", "--locked", "-p", "countersign-ffi", "--features", "host-jvm"];
    workspace::succeed(workspace::cargo(release))?;
    workspace::succeed(maven::command(&["test", "-Dtest=ProveCost"], "release"))
}

/// The library and the service, and the Kotlin that is generated from the library.
fn build() -> Result<(), Stop> {
    workspace::succeed(workspace::cargo([
        "build",
        "--locked",
        "-p",
        "countersign-ffi",
        "-p",
        "countersign-uniffi-bindgen",
        "-p",
        "countersign-service",
        "--features",
        "countersign-ffi/host-jvm",
    ]))?;
    let debug = workspace::target().join("debug");
    let mut generate = Command::new(debug.join("countersign-uniffi-bindgen"));
    generate
        .args(["generate", "--language", "kotlin", "--no-format", "--config"])
        .arg(project().join("uniffi.toml"))
        .arg("--out-dir")
        .arg(generated())
        .arg(debug.join(LIBRARY))
        .current_dir(workspace::root());
    workspace::succeed(generate)
}

/// The Maven project.
fn project() -> PathBuf {
    workspace::root().join("bindings").join("kotlin")
}

/// Where `dev.countersign.ffi` is generated.
fn generated() -> PathBuf {
    workspace::target().join("kotlin-generated")
}

/// What is missing of programs, and the Debian package that has it.
fn missing_programs() -> Vec<(String, &'static str)> {
    let mut missing = Vec::new();
    if workspace::program("javac").is_none() || java_version().is_none_or(|version| version < JAVA) {
        missing.push((format!("a JDK, {JAVA} or newer"), "openjdk-17-jdk-headless"));
    }
    if workspace::program("mvn").is_none() {
        missing.push(("Maven".to_owned(), "maven"));
    }
    if workspace::program("nginx").is_none() {
        missing.push(("nginx".to_owned(), "nginx"));
    }
    missing
}

/// 17 of `openjdk 17.0.15 2025-04-15`.
fn java_version() -> Option<u32> {
    let mut java = Command::new(workspace::program("java")?);
    java.arg("--version");
    let said = workspace::output(java).ok()?;
    said.split_whitespace().nth(1)?.split('.').next()?.parse().ok()
}
