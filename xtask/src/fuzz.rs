//! `cargo xtask fuzz`: builds the fuzz targets with instrumentation, runs them one after another, and writes a table.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Stop, dependencies::Made, workspace};

/// Coverage for libFuzzer, and the address sanitizer. Both are unstable switches of the pinned compiler.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 \
    -Zsanitizer=address";

const MANIFEST: &str = "tests/fuzz/Cargo.toml";
/// Seconds for each target where nothing else is said.
const SECONDS: u64 = 60;

/// What to run.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    seconds: u64,
    /// None: all.
    targets: Vec<String>,
}

/// One line of the table.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    executions: u64,
    /// Edges of the code that were reached.
    coverage: u64,
    /// Inputs kept because they reached something new.
    corpus: u64,
    findings: usize,
}

/// Builds and runs the targets.
///
/// # Errors
/// When something cannot be built, and when an input broke a target; it lies in `tests/fuzz/regressions` then.
pub(crate) fn run(arguments: &[String]) -> Result<(), Stop> {
    let request = Request::read(arguments)?;
    let all = targets()?;
    if let Some(unknown) = request.targets.iter().find(|name| !all.contains(name)) {
        return Err(Stop::Usage(format!(
            "there is no fuzz target `{unknown}`; there are {}",
            all.join(", ")
        )));
    }
    let chosen = if request.targets.is_empty() { all } else { request.targets.clone() };
    let programs = build()?;
    write_seeds()?;
    let mut table = String::from(
        "| target | seconds | executions | edges covered | corpus | findings |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    let mut findings = 0;
    for target in &chosen {
        println!("\n=== {target}, {} s", request.seconds);
        let outcome = fuzz(&programs, target, request.seconds)?;
        let Outcome { executions, coverage, corpus, findings: found } = outcome;
        let line =
            format!("| {target} | {} | {executions} | {coverage} | {corpus} | {found} |", request.seconds);
        println!("{line}");
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{line}");
        findings += found;
    }
    let file = cache().join("summary.md");
    fs::write(&file, &table).map_err(|error| cannot("write", &file, &error))?;
    println!("\n{table}\nwritten to {}", file.display());
    if findings == 0 {
        Ok(())
    } else {
        Err(Stop::Failed(format!("{findings} findings, kept in tests/fuzz/regressions")))
    }
}

/// Builds and links every target without instruments, which takes a tenth of the time: seeds and findings are replayed by
/// an ordinary test, so that CI needs no fuzzer that runs.
///
/// # Errors
/// When one does not build.
pub(crate) fn builds() -> Result<Made, Stop> {
    let mut command = workspace::cargo(["build", "--manifest-path", MANIFEST, "--target-dir"]);
    command.arg(workspace::root().join("target"));
    println!("$ {}", workspace::shown(&command));
    workspace::succeed(command)?;
    Ok(Made::Yes)
}

impl Request {
    fn read(arguments: &[String]) -> Result<Self, Stop> {
        let mut request = Self { seconds: SECONDS, targets: Vec::new() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--seconds" => {
                    let seconds = arguments.next().and_then(|seconds| seconds.parse().ok());
                    request.seconds = seconds.filter(|seconds| *seconds > 0).ok_or_else(|| {
                        Stop::Usage("--seconds needs a number greater than zero".to_owned())
                    })?;
                }
                option if option.starts_with('-') => {
                    return Err(Stop::Usage(format!("`fuzz` does not know `{option}`")));
                }
                target => request.targets.push(target.to_owned()),
            }
        }
        Ok(request)
    }
}

/// The targets, by the programs that stand in their folder.
fn targets() -> Result<Vec<String>, Stop> {
    let folder = workspace::root().join("tests/fuzz/targets");
    let entries = fs::read_dir(&folder).map_err(|error| cannot("read", &folder, &error))?;
    let mut names: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.path().file_stem().map(|name| name.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Builds the targets and returns the folder with their programs.
fn build() -> Result<PathBuf, Stop> {
    let host = host()?;
    let target_folder = cache().join("target");
    // Not `--locked`: whoever changes a dependency of the workspace need not think of this lock file, too.
    let mut command = workspace::cargo(["build", "--release", "--manifest-path", MANIFEST]);
    command.args(["--target", &host, "--target-dir"]).arg(&target_folder);
    command.env("RUSTFLAGS", RUSTFLAGS).env("RUSTC_BOOTSTRAP", "1");
    println!("$ {}", workspace::shown(&command));
    workspace::succeed(command)?;
    Ok(target_folder.join(host).join("release"))
}

/// The platform of the compiler: instrumented code is built for it by name, so that build scripts stay as they are.
fn host() -> Result<String, Stop> {
    let mut command = Command::new("rustc");
    command.arg("-vV").current_dir(workspace::root());
    let said = workspace::output(command)?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Stop::Failed("rustc does not say its host".to_owned()))
}

/// The seeds are made by the test that replays them.
fn write_seeds() -> Result<(), Stop> {
    let mut command =
        workspace::cargo(["test", "--locked", "-p", "countersign-tests", "--test", "fuzz_regressions"]);
    command.args(["every_seed"]).env("COUNTERSIGN_FUZZ_SEEDS", cache().join("seeds"));
    println!("$ {}", workspace::shown(&command));
    workspace::succeed(command)
}

fn fuzz(programs: &Path, target: &str, seconds: u64) -> Result<Outcome, Stop> {
    let (corpus, seeds) = (cache().join("corpus").join(target), cache().join("seeds").join(target));
    let regressions = workspace::root().join("tests/fuzz/regressions").join(target);
    for folder in [&corpus, &regressions] {
        fs::create_dir_all(folder).map_err(|error| cannot("make", folder, &error))?;
    }
    let before = files(&regressions);
    let log = cache().join(format!("{target}.log"));
    let errors = fs::File::create(&log).map_err(|error| cannot("write", &log, &error))?;
    let mut command = Command::new(programs.join(target));
    command.arg(&corpus).arg(&seeds).arg(&regressions);
    command.arg(format!("-artifact_prefix={}/", regressions.display()));
    command.arg(format!("-max_total_time={seconds}"));
    command.args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-detect_leaks=0"]);
    // C libraries are linked once for each kind of their users; that is no finding.
    command.env("ASAN_OPTIONS", "detect_odr_violation=0");
    command.current_dir(workspace::root()).stdout(Stdio::null()).stderr(errors);
    let status = command.status().map_err(|error| cannot("start", &programs.join(target), &error))?;
    let said = fs::read(&log).map_err(|error| cannot("read", &log, &error))?;
    let mut outcome = Outcome::read(&String::from_utf8_lossy(&said));
    let after = files(&regressions);
    outcome.findings = after.len().saturating_sub(before.len());
    if !status.success() {
        outcome.findings = outcome.findings.max(1);
        println!("{target} ended with {status}; what it said is in {}", log.display());
    }
    if after.is_empty() {
        // An empty folder would say that there was something.
        let _ = fs::remove_dir(&regressions);
    }
    Ok(outcome)
}

impl Outcome {
    /// From what libFuzzer says at its end, and while it runs.
    fn read(log: &str) -> Self {
        let number = |text: &str| text.trim().parse().ok();
        let after = |line: &str, name: &str| {
            let (_, rest) = line.split_once(name)?;
            number(rest.split_whitespace().next()?.split('/').next()?)
        };
        let mut outcome = Self::default();
        for line in log.lines() {
            if let Some(executions) = line.strip_prefix("stat::number_of_executed_units:").and_then(number) {
                outcome.executions = executions;
            }
            if let Some(coverage) = after(line, " cov: ") {
                outcome.coverage = coverage;
            }
            if let Some(corpus) = after(line, " corp: ") {
                outcome.corpus = corpus;
            }
        }
        outcome
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()).collect()
}

fn cache() -> PathBuf {
    workspace::root().join(".cache/fuzz")
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Stop {
    Stop::Failed(format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Request, Stop> {
        Request::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn targets_and_seconds_are_read() {
        assert_eq!(read("").unwrap(), Request { seconds: SECONDS, targets: vec![] });
        let request = read("--seconds 600 cose jose").unwrap();
        assert_eq!(request, Request { seconds: 600, targets: vec!["cose".to_owned(), "jose".to_owned()] });
    }

    #[test]
    fn a_command_line_that_makes_no_sense_is_a_usage_error() {
        for line in ["--seconds", "--seconds 0", "--seconds x", "--jobs 2"] {
            assert!(matches!(read(line), Err(Stop::Usage(_))), "{line}");
        }
    }

    #[test]
    fn every_target_is_listed() {
        assert!(targets().unwrap().contains(&"verify".to_owned()));
    }

    #[test]
    fn the_last_figures_of_a_log_count() {
        let log = "#2 INITED cov: 10 ft: 11 corp: 1/3b exec/s: 0\n#900\tDONE   cov: 1042 ft: 5000 corp: 230/11Kb lim: 4096\n\
            stat::number_of_executed_units: 900\nstat::average_exec_per_sec: 15\n";
        let expected = Outcome { executions: 900, coverage: 1042, corpus: 230, findings: 0 };
        assert_eq!(Outcome::read(log), expected);
    }
}
