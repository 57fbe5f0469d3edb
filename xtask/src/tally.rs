//! Counts tests per group by reading along with `cargo test`.
//!
//! One `cargo test --workspace` runs everything, so that nothing is built or run twice; its lines say which test
//! program is running, and so to which group each result belongs.

use crate::{Stop, groups::Group};

/// Numbers of tests of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Tests that passed.
    pub(crate) passed: usize,
    /// Tests that failed, and test programs that ended without a result.
    pub(crate) failed: usize,
    /// Tests marked `#[ignore]`.
    pub(crate) ignored: usize,
    /// What the tests themselves said was missing, in a line `SKIPPED group: why`.
    pub(crate) skipped_because: Option<String>,
}

impl Count {
    /// What became of a group's tests: one failure, and a line that says why, where they could not be run at all.
    pub(crate) fn of(name: &str, outcome: Result<Self, Stop>) -> Self {
        outcome.unwrap_or_else(|stop| {
            let (Stop::Failed(why) | Stop::Usage(why)) = stop;
            println!("{name}: {why}");
            Self { failed: 1, ..Self::default() }
        })
    }

    /// Prints the counts of a command that runs one group alone.
    ///
    /// # Errors
    /// When a test failed, or none passed.
    pub(crate) fn tell(&self, name: &str) -> Result<(), Stop> {
        println!("{name}: {} passed, {} failed, {} skipped", self.passed, self.failed, self.ignored);
        match self.failed {
            0 if self.passed > 0 => Ok(()),
            _ => Err(Stop::Failed(format!("{name}: not everything passed"))),
        }
    }

    /// The sum of both, with the first reason.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            ignored: self.ignored + other.ignored,
            skipped_because: self.skipped_because.or(other.skipped_because),
        }
    }
}

/// Reads the output of one `cargo test`, line by line.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: [Count; Group::ALL.len()],
    /// The test program that is running and has not given its result yet.
    running: Option<Group>,
    /// Test programs that were followed by another, or by the end, without a result.
    without_result: Vec<Group>,
}

impl Tally {
    /// Takes in the next line, free of colours.
    pub(crate) fn line(&mut self, line: &str) {
        let trimmed = line.trim_start();
        if let Some(source) = trimmed.strip_prefix("Running ").and_then(source_of_program) {
            self.starts(group_of(source));
        } else if trimmed.starts_with("Doc-tests ") {
            self.starts(Group::Rust);
        } else if let Some([passed, failed, ignored]) =
            libtest(line).or_else(|| self.running.and_then(|_| closing_line(line)))
        {
            // More than one result may follow one start: documentation tests come in several parts.
            let group = self.running.take().unwrap_or(Group::Rust);
            let count = self.of_mut(group);
            count.passed += passed;
            count.failed += failed;
            count.ignored += ignored;
        } else if let Some((group, why)) = skipped(line) {
            self.of_mut(group).skipped_because.get_or_insert(why);
        }
    }

    /// The counts at the end of a `cargo test` that reported success or failure.
    ///
    /// A failure that no test owned up to is counted all the same: a program that crashed, or code that did not build.
    pub(crate) fn end(mut self, success: bool) -> Counts {
        self.without_result.extend(self.running.take());
        if !success {
            for group in std::mem::take(&mut self.without_result) {
                self.of_mut(group).failed += 1;
            }
            if self.counts.iter().all(|count| count.failed == 0) {
                self.of_mut(Group::Rust).failed += 1;
            }
        }
        Counts(self.counts)
    }

    fn starts(&mut self, group: Group) {
        self.without_result.extend(self.running.replace(group));
    }

    fn of_mut(&mut self, group: Group) -> &mut Count {
        &mut self.counts[group as usize]
    }
}

/// The counts of every group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counts([Count; Group::ALL.len()]);

impl Counts {
    /// The count of one group, taken out.
    pub(crate) fn take(&mut self, group: Group) -> Count {
        std::mem::take(&mut self.0[group as usize])
    }
}

/// `tests/vectors.rs` of `tests/vectors.rs (target/debug/deps/vectors-0123456789abcdef)`.
fn source_of_program(line: &str) -> Option<&str> {
    let (source, program) = line.rsplit_once(" (")?;
    program.ends_with(')').then_some(source)
}

/// A test program starts in `tests/NAME.rs` or `tests/NAME/main.rs`.
fn group_of(source: &str) -> Group {
    let target = source
        .strip_prefix("tests/")
        .and_then(|file| file.strip_suffix("/main.rs").or_else(|| file.strip_suffix(".rs")));
    Group::ALL
        .into_iter()
        .find(|group| target.is_some() && group.test_target() == target)
        .unwrap_or(Group::Rust)
}

/// Passed, failed and ignored of `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`.
fn libtest(line: &str) -> Option<[usize; 3]> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    Some([number(counts, "; ", "passed")?, number(counts, "; ", "failed")?, number(counts, "; ", "ignored")?])
}

/// Passed, failed and skipped of `vectors: 3 passed, 0 failed, 1 skipped`: the closing line of a test program that
/// brings its own main. The word in front and the last part may be missing.
fn closing_line(line: &str) -> Option<[usize; 3]> {
    let counts = match line.split_once(": ") {
        Some((word, counts)) if !word.contains(' ') => counts,
        Some(_) => return None,
        None => line,
    };
    let [passed, failed] = [number(counts, ", ", "passed")?, number(counts, ", ", "failed")?];
    let skipped = number(counts, ", ", "skipped").unwrap_or(0);
    // Nothing else may stand on the line.
    let whole = format!("{passed} passed, {failed} failed, {skipped} skipped");
    whole.starts_with(counts).then_some([passed, failed, skipped])
}

fn number(counts: &str, separator: &str, word: &str) -> Option<usize> {
    counts.split(separator).find_map(|part| part.strip_suffix(word)?.strip_suffix(' ')?.parse().ok())
}

/// Group and reason of `SKIPPED group: why`, which may stand behind the name of the test that prints it.
fn skipped(line: &str) -> Option<(Group, String)> {
    let (_, rest) = line.split_once("SKIPPED ")?;
    let (name, why) = rest.split_once(": ")?;
    Some((Group::named(name).ok()?, why.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str, success: bool) -> Counts {
        let mut tally = Tally::default();
        lines.lines().for_each(|line| tally.line(line));
        tally.end(success)
    }

    fn numbers_of(counts: &Counts, group: Group) -> (usize, usize, usize) {
        let count = &counts.0[group as usize];
        (count.passed, count.failed, count.ignored)
    }

    const PROGRAMS: &str = "\
   Compiling countersign-core v0.1.0 (/src/core)
     Running unittests src/lib.rs (target/debug/deps/countersign_core-0a1b)
test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
     Running tests/end_to_end.rs (target/debug/deps/end_to_end-0a1b)
test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
     Running tests/vectors.rs (target/debug/deps/vectors-0a1b)
test result: ok. 11 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.50s
   Doc-tests countersign_core
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
all doctests ran in 0.41s; merged doctests compilation took 0.37s
";

    #[test]
    fn results_go_to_the_group_of_the_program_that_is_running() {
        let counts = read(PROGRAMS, false);
        assert_eq!(numbers_of(&counts, Group::Rust), (11, 3, 1));
        assert_eq!(numbers_of(&counts, Group::Vectors), (11, 0, 0));
        assert_eq!(numbers_of(&counts, Group::Gateways), (0, 0, 0));
    }

    #[test]
    fn a_test_program_may_be_a_file_or_a_folder() {
        for source in ["tests/vectors.rs", "tests/vectors/main.rs"] {
            assert_eq!(group_of(source), Group::Vectors, "{source}");
        }
        for source in ["tests/vectors/exceptions.rs", "unittests src/vectors.rs", "unittests src/main.rs"] {
            assert_eq!(group_of(source), Group::Rust, "{source}");
        }
    }

    #[test]
    fn a_program_that_crashes_counts_as_a_failure_of_its_group() {
        let crash = "     Running tests/gateways.rs (target/debug/deps/gateways-0a1b)\nrunning 4 tests\n";
        let counts = read(&format!("{crash}{PROGRAMS}"), false);
        assert_eq!(numbers_of(&counts, Group::Gateways), (0, 1, 0));
        let at_the_end = read(crash, false);
        assert_eq!(numbers_of(&at_the_end, Group::Gateways), (0, 1, 0));
    }

    #[test]
    fn code_that_does_not_build_counts_as_a_failure() {
        let counts = read("error: could not compile `countersign-core` (lib) due to 1 previous error", false);
        assert_eq!(numbers_of(&counts, Group::Rust), (0, 1, 0));
    }

    #[test]
    fn a_program_that_judges_itself_is_no_failure_when_cargo_was_content() {
        let counts = read("     Running tests/own_harness.rs (target/debug/deps/own_harness-0a1b)", true);
        assert_eq!(numbers_of(&counts, Group::Rust), (0, 0, 0));
    }

    #[test]
    fn what_a_test_says_it_skipped_is_kept_with_the_first_reason() {
        let mut counts = read(
            "test absent ... SKIPPED gateways: nginx is too old: 1.2\nSKIPPED gateways: another reason",
            true,
        );
        assert_eq!(counts.take(Group::Gateways).skipped_because.as_deref(), Some("nginx is too old: 1.2"));
    }

    #[test]
    fn a_program_with_its_own_main_is_counted_by_its_closing_line() {
        for line in ["vectors: 9 passed, 2 failed, 1 skipped", "9 passed, 2 failed, 1 skipped"] {
            assert_eq!(closing_line(line), Some([9, 2, 1]), "{line}");
        }
        assert_eq!(closing_line("vectors: 9 passed, 0 failed"), Some([9, 0, 0]));
        for line in [
            "9 passed",
            "so far: 9 passed, 0 failed",
            "so far 9 passed, 0 failed",
            "9 passed, 0 failed, later",
        ] {
            assert_eq!(closing_line(line), None, "{line}");
        }
    }

    #[test]
    fn lines_that_only_look_alike_are_not_counted() {
        for line in [
            "test result: strange",
            "  test result: ok. 5 passed; 0 failed; 0 ignored",
            "Running late",
            "SKIPPED something: else",
            "test result: ok. many passed; 0 failed; 0 ignored",
        ] {
            assert_eq!(read(line, true), Tally::default().end(true), "{line}");
        }
    }
}
