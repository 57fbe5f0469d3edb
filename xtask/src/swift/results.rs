//! Reads along with `swift test`, whose tests are written with Swift Testing.

use crate::tally::Count;

/// What the tests came to.
#[derive(Debug, Default)]
pub(super) struct Results {
    passed: usize,
    failed: Vec<String>,
    skipped: usize,
    /// Whether the closing line of the tests was seen.
    ended: bool,
}

impl Results {
    /// Takes in the next line, free of colours.
    pub(super) fn line(&mut self, line: &str) {
        // A symbol, which depends on the terminal, stands before the words.
        let Some((_, words)) = line.split_once(' ') else { return };
        let words = words.trim_start();
        if words.starts_with("Test run with ") {
            self.ended |= words.contains(" passed after ") || words.contains(" failed after ");
        } else if let Some(test) = words.strip_prefix("Test ") {
            if test.contains(" passed after ") {
                self.passed += 1;
            } else if let Some((name, _)) = test.split_once(" failed after ") {
                self.failed.push(name.to_owned());
            } else if test.ends_with(" skipped.") || test.contains(" skipped: ") {
                self.skipped += 1;
            }
        }
    }

    /// A run that failed without a failed test did not build, or crashed.
    pub(super) fn end(&mut self, success: bool) {
        if (!success || !self.ended) && self.failed.is_empty() {
            self.failed.push("the run itself: see the lines above".to_owned());
        }
        for name in &self.failed {
            println!("swift: FAILED {name}");
        }
    }

    /// Whether the tests came to their end, passed or failed.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    pub(super) fn count(&self) -> Count {
        let (passed, failed, ignored) = (self.passed, self.failed.len(), self.skipped);
        Count { passed, failed, ignored, ..Count::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str, success: bool) -> (usize, usize, usize) {
        let mut results = Results::default();
        lines.lines().for_each(|line| results.line(line));
        results.end(success);
        let count = results.count();
        (count.passed, count.failed, count.ignored)
    }

    #[test]
    fn tests_are_counted_and_suites_are_not() {
        let lines = "\
Test Suite 'All tests' passed at 2026-01-01 00:00:00.000
\t Executed 0 tests, with 0 failures (0 unexpected) in 0.0 (0.0) seconds
◇ Test run started.
◇ Suite Redirects started.
◇ Test follows() started.
✔ Test follows() passed after 0.001 seconds.
✔ Test \"a name\" with 3 test cases passed after 0.001 seconds.
➜ Test other() skipped: \"needs another library\"
✘ Test stops() recorded an issue at Redirects.swift:5:3: Expectation failed: 1 == 2
✘ Test stops() failed after 0.002 seconds with 1 issue.
✘ Suite Redirects failed after 0.002 seconds with 1 issue.
✘ Test run with 3 tests failed after 0.002 seconds with 1 issue.
";
        assert_eq!(read(lines, false), (2, 1, 1));
    }

    #[test]
    fn what_does_not_build_and_what_crashes_is_a_failure() {
        assert_eq!(read("error: fatalError", false), (0, 1, 0));
        assert_eq!(read("✔ Test follows() passed after 0.001 seconds.\n", false), (1, 1, 0));
        // A run without its closing line has not ended, whatever its status says.
        assert_eq!(read("✔ Test follows() passed after 0.001 seconds.\n", true), (1, 1, 0));
    }
}
