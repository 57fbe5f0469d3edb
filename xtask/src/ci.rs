//! `cargo xtask ci`: every check that a change must pass, quick ones first; all of them run, whatever the others say.

use std::time::{Duration, Instant};

use crate::{
    Stop, dependencies,
    dependencies::Made,
    fuzz,
    groups::Group,
    test::{self, Request},
    workspace,
};

type Check = fn() -> Result<Made, Stop>;

const CHECKS: [(&str, Check); 8] = [
    ("format", || cargo("", &["fmt", "--all", "--", "--check"])),
    ("no C in core and bindings", dependencies::no_c_in_core_and_bindings),
    ("nothing for tests is released", dependencies::nothing_for_tests_is_released),
    ("bans, licences, sources", dependencies::allowed),
    ("advisories", dependencies::advisories),
    ("clippy", || cargo("", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])),
    ("fuzz targets build", fuzz::builds),
    ("docs", || cargo("-Dwarnings", &["doc", "--workspace", "--no-deps", "--locked"])),
];

/// Runs every check and the tests.
///
/// # Errors
/// When any of them failed; the table says which.
pub(crate) fn run(arguments: &[String]) -> Result<(), Stop> {
    let request = Request { required: insisted(arguments)?, for_cargo: Vec::new() };
    let mut steps = Vec::new();
    for (name, check) in CHECKS {
        steps.push(step(name, check));
    }
    let mut report = None;
    let required: Vec<_> =
        request.required.iter().map(|group| format!(" --require {}", group.name())).collect();
    steps.push(step(&format!("cargo xtask test{}", required.concat()), || {
        let report = report.insert(test::test(&request)?);
        println!("\n{report}");
        if report.succeeded() { Ok(Made::Yes) } else { Err(Stop::Failed(report.closing_line())) }
    }));

    println!("\n=== summary");
    for Step { name, took, outcome } in &steps {
        let seconds = took.as_secs();
        match outcome {
            Ok(Made::Yes) => println!("ok       {seconds:>4} s  {name}"),
            Ok(Made::Skipped(why)) => println!("skipped  {seconds:>4} s  {name}, because: {why}"),
            Err(_) => println!("FAILED   {seconds:>4} s  {name}"),
        }
    }
    let failed = steps.iter().filter(|step| step.outcome.is_err()).count();
    if let Some(report) = report {
        println!("\n{}", report.closing_line());
    }
    if failed == 0 { Ok(()) } else { Err(Stop::Failed(format!("{failed} of {} steps failed", steps.len()))) }
}

struct Step {
    name: String,
    took: Duration,
    outcome: Result<Made, Stop>,
}

fn step(name: &str, check: impl FnOnce() -> Result<Made, Stop>) -> Step {
    println!("\n=== {name}");
    let started = Instant::now();
    let outcome = check();
    let took = started.elapsed();
    match &outcome {
        Ok(Made::Yes) => println!("--- ok, {:.1} s", took.as_secs_f32()),
        Ok(Made::Skipped(why)) => println!("SKIPPED {name}: {why}"),
        Err(Stop::Failed(why) | Stop::Usage(why)) => {
            println!("--- FAILED, {:.1} s: {why}", took.as_secs_f32());
        }
    }
    Step { name: name.to_owned(), took, outcome }
}

fn cargo(rustdoc_flags: &str, arguments: &[&str]) -> Result<Made, Stop> {
    let mut command = workspace::cargo(arguments.iter().copied());
    if !rustdoc_flags.is_empty() {
        command.env("RUSTDOCFLAGS", rustdoc_flags);
    }
    println!("$ {}", workspace::shown(&command));
    workspace::succeed(command).map(|()| Made::Yes)
}

/// Every group whose tests exist, without those named after `--without`.
fn insisted(arguments: &[String]) -> Result<Vec<Group>, Stop> {
    let mut groups: Vec<_> = Group::ALL.into_iter().filter(|group| group.exists()).collect();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--without", Some(name)) => {
                let without = Group::named(name)?;
                groups.retain(|group| *group != without);
            }
            ("--without", None) => {
                return Err(Stop::Usage("--without needs the name of a group".to_owned()));
            }
            (other, _) => return Err(Stop::Usage(format!("`ci` does not know `{other}`"))),
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(line: &str) -> Result<Vec<Group>, Stop> {
        insisted(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn nothing_may_be_skipped_unless_it_is_named() {
        let all = required("").unwrap();
        assert!(Group::ALL.into_iter().all(|group| all.contains(&group) == group.exists()));
        assert!(!required("--without quickstart").unwrap().contains(&Group::Quickstart));
    }

    #[test]
    fn a_command_line_that_makes_no_sense_is_a_usage_error() {
        for line in ["--without", "--without everything", "rust", "--without rust --without"] {
            assert!(matches!(required(line), Err(Stop::Usage(_))), "{line}");
        }
    }
}
