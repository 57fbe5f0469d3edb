//! `cargo xtask test`: everything whose parts are present, and a table that says what ran and what did not.

use std::{
    env, fmt,
    io::{self, IsTerminal},
};

use crate::{
    Stop,
    groups::{self, Group, Presence},
    lines,
    tally::{Count, Counts, Tally},
    workspace,
};

/// Names the required groups to the test programs: one of those that cannot run then fails instead of skipping.
const REQUIRE: &str = "COUNTERSIGN_REQUIRE";

/// Reads the command line, runs the tests and prints the table.
///
/// # Errors
/// When a test failed, or a required group could not run.
pub(crate) fn run(arguments: &[String]) -> Result<(), Stop> {
    let mut request = Request::read(arguments)?;
    request.require(&env::var(REQUIRE).unwrap_or_default())?;
    let report = test(&request)?;
    println!("\n{report}");
    println!("{}", report.closing_line());
    if report.succeeded() { Ok(()) } else { Err(Stop::Failed("not everything passed".to_owned())) }
}

/// What to test.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// Groups whose absence is a failure.
    pub(crate) required: Vec<Group>,
    /// Further arguments for `cargo test`; when there are any, only what they select is run.
    pub(crate) for_cargo: Vec<String>,
}

impl Request {
    fn read(arguments: &[String]) -> Result<Self, Stop> {
        let mut request = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--require" => {
                    let Some(name) = arguments.next() else {
                        return Err(Stop::Usage("--require needs the name of a group".to_owned()));
                    };
                    request.required.push(Group::named(name)?);
                }
                "--" => request.for_cargo = arguments.by_ref().cloned().collect(),
                other => {
                    return Err(Stop::Usage(format!(
                        "`test` does not know `{other}`; arguments for cargo test stand behind `--`"
                    )));
                }
            }
        }
        Ok(request)
    }

    /// Adds the groups of a comma-separated list.
    fn require(&mut self, list: &str) -> Result<(), Stop> {
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            self.required.push(Group::named(name)?);
        }
        Ok(())
    }
}

/// Runs the tests.
///
/// # Errors
/// When a program cannot be started at all; failing tests are in the report.
pub(crate) fn test(request: &Request) -> Result<Report, Stop> {
    let everything = request.for_cargo.is_empty();
    let mut counts = cargo_test(request)?;
    let mut rows = Vec::new();
    for group in Group::ALL {
        let required = request.required.contains(&group);
        let mut count = counts.take(group);
        if group == Group::Quickstart && (everything || required) {
            count = quickstart();
        }
        if let Some(more) = group.beside_cargo_test().filter(|_| everything || required)
            && group.presence() == Presence::Here
        {
            count = count.and(more());
        }
        rows.push(Row { group, outcome: judge(group.presence(), count, required, everything) });
    }
    Ok(Report(rows))
}

/// One `cargo test` over the workspace, whose features are then the same for every group: nothing is built twice.
fn cargo_test(request: &Request) -> Result<Counts, Stop> {
    let mut arguments = vec!["test", "--locked", "--no-fail-fast"];
    // Cargo prefers `--workspace` to any package that is named beside it.
    let names_a_package = |argument: &String| argument.starts_with("-p") || argument.starts_with("--package");
    if !request.for_cargo.iter().any(names_a_package) {
        arguments.push("--workspace");
    }
    arguments.extend(request.for_cargo.iter().map(String::as_str));
    let mut command = workspace::cargo(arguments);
    let required: Vec<_> = request.required.iter().map(|group| group.name()).collect();
    command.env(REQUIRE, required.join(",")).env("COUNTERSIGN_VECTORS", groups::vectors());
    if io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    println!("$ {}", workspace::shown(&command));
    let mut tally = Tally::default();
    let status = lines::stream(command, |line| tally.line(line))
        .map_err(|error| Stop::Failed(format!("cannot run cargo test: {error}")))?;
    Ok(tally.end(status.success()))
}

/// The quickstart as a newcomer starts it; it judges itself by its exit status.
fn quickstart() -> Count {
    let mut command = workspace::cargo(["run", "--locked", "-p", "quickstart"]);
    command.stdin(std::process::Stdio::null());
    println!("\n$ {}", workspace::shown(&command));
    match workspace::succeed(command) {
        Ok(()) => Count { passed: 1, ..Count::default() },
        Err(_) => Count { failed: 1, ..Count::default() },
    }
}

/// What became of each group.
#[derive(Debug)]
pub(crate) struct Report(Vec<Row>);

#[derive(Debug)]
struct Row {
    group: Group,
    outcome: Outcome,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Ran(Count),
    Skipped(String),
    Failed { count: Count, why: String },
}

/// The order matters: a failed test is never hidden behind a skip, and a skip never counts its tests as passed.
fn judge(presence: Presence, count: Count, required: bool, everything: bool) -> Outcome {
    let missing = match presence {
        Presence::Missing(why) => Some(why),
        Presence::Here => count.skipped_because.clone(),
    };
    let failed = |why| Outcome::Failed { count: Count { failed: 1, ..Count::default() }, why };
    match missing {
        Some(why) if required => failed(format!("required: {why}")),
        _ if count.failed > 0 => {
            let why = format!("{} failed", count.failed);
            Outcome::Failed { count, why }
        }
        Some(why) => Outcome::Skipped(why),
        None if count.passed > 0 => Outcome::Ran(count),
        None if !everything && !required => Outcome::Skipped("not selected".to_owned()),
        None => failed("no test ran".to_owned()),
    }
}

impl Report {
    /// Whether every group ran or was skipped with leave.
    pub(crate) fn succeeded(&self) -> bool {
        !self.0.iter().any(|row| matches!(row.outcome, Outcome::Failed { .. }))
    }

    /// `N passed, N failed, N skipped`: tests, where a skipped group counts as one.
    pub(crate) fn closing_line(&self) -> String {
        let [mut passed, mut failed, mut skipped] = [0; 3];
        for row in &self.0 {
            match &row.outcome {
                Outcome::Ran(count) | Outcome::Failed { count, .. } => {
                    passed += count.passed;
                    failed += count.failed;
                    skipped += count.ignored;
                }
                Outcome::Skipped(_) => skipped += 1,
            }
        }
        format!("{passed} passed, {failed} failed, {skipped} skipped")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Row { group, outcome } in &self.0 {
            write!(f, "{:<12}", group.name())?;
            match outcome {
                Outcome::Ran(count) => {
                    write!(f, "ran      {} passed", count.passed)?;
                    if count.ignored > 0 {
                        write!(f, ", {} ignored", count.ignored)?;
                    }
                    writeln!(f)?;
                }
                Outcome::Skipped(why) => writeln!(f, "skipped  because: {why}")?,
                Outcome::Failed { count, why } if count.passed > 0 => {
                    writeln!(f, "FAILED   {why}, {} passed", count.passed)?;
                }
                Outcome::Failed { why, .. } => writeln!(f, "FAILED   {why}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(passed: usize, failed: usize) -> Count {
        Count { passed, failed, ..Count::default() }
    }

    fn missing() -> Presence {
        Presence::Missing("nginx is not installed".to_owned())
    }

    fn arguments(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn groups_are_required_and_the_rest_goes_to_cargo() {
        let request =
            Request::read(&arguments("--require vectors --require rust -- --test vectors --require"))
                .unwrap();
        assert_eq!(request.required, [Group::Vectors, Group::Rust]);
        assert_eq!(request.for_cargo, ["--test", "vectors", "--require"]);
    }

    #[test]
    fn groups_required_by_the_environment_are_required_too() {
        let mut request = Request::read(&arguments("--require rust")).unwrap();
        request.require("vectors, gateways,").unwrap();
        assert_eq!(request.required, [Group::Rust, Group::Vectors, Group::Gateways]);
        assert!(matches!(request.require("vector"), Err(Stop::Usage(_))));
    }

    #[test]
    fn a_command_line_that_makes_no_sense_is_a_usage_error() {
        for line in ["--require", "--require java", "vectors", "--requires vectors"] {
            assert!(matches!(Request::read(&arguments(line)), Err(Stop::Usage(_))), "{line}");
        }
    }

    #[test]
    fn a_group_whose_parts_are_missing_is_skipped_and_its_tests_do_not_count() {
        let outcome = judge(missing(), count(3, 0), false, true);
        assert_eq!(outcome, Outcome::Skipped("nginx is not installed".to_owned()));
    }

    #[test]
    fn a_required_group_whose_parts_are_missing_fails() {
        assert!(matches!(judge(missing(), count(3, 0), true, true), Outcome::Failed { .. }));
    }

    #[test]
    fn a_skip_that_only_the_tests_noticed_is_honoured() {
        let said = Count { skipped_because: Some("too old".to_owned()), ..count(2, 0) };
        assert_eq!(judge(Presence::Here, said.clone(), false, true), Outcome::Skipped("too old".to_owned()));
        assert!(matches!(judge(Presence::Here, said, true, true), Outcome::Failed { .. }));
    }

    #[test]
    fn a_failed_test_is_never_hidden_behind_a_skip() {
        assert!(matches!(judge(missing(), count(3, 1), false, true), Outcome::Failed { .. }));
    }

    #[test]
    fn a_group_in_which_no_test_ran_has_failed_unless_it_was_not_selected() {
        assert!(matches!(judge(Presence::Here, count(0, 0), false, true), Outcome::Failed { .. }));
        assert!(matches!(judge(Presence::Here, count(0, 0), true, false), Outcome::Failed { .. }));
        assert_eq!(
            judge(Presence::Here, count(0, 0), false, false),
            Outcome::Skipped("not selected".to_owned())
        );
    }

    #[test]
    fn the_table_and_the_closing_line_say_the_same() {
        let ignored = Count { ignored: 2, ..count(7, 0) };
        let report = Report(vec![
            Row { group: Group::Rust, outcome: judge(Presence::Here, ignored, false, true) },
            Row { group: Group::Vectors, outcome: judge(Presence::Here, count(5, 1), false, true) },
            Row { group: Group::Gateways, outcome: judge(missing(), count(0, 0), false, true) },
            Row { group: Group::Quickstart, outcome: judge(missing(), count(0, 0), true, true) },
        ]);
        assert_eq!(
            report.to_string(),
            "rust        ran      7 passed, 2 ignored\n\
             vectors     FAILED   1 failed, 5 passed\n\
             gateways    skipped  because: nginx is not installed\n\
             quickstart  FAILED   required: nginx is not installed\n"
        );
        assert_eq!(report.closing_line(), "12 passed, 2 failed, 3 skipped");
        assert!(!report.succeeded());
    }
}
