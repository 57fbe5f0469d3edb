//! What the reader sees: one line per call, aligned, in colour only on a terminal.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use crate::world::Answered;

const WIDTH: usize = 66;

/// Who answered.
#[derive(Clone, Copy)]
pub(crate) enum By {
    /// The protected API's edge.
    Edge,
    /// The attestation service.
    Service,
    /// The authorization server.
    Login,
}

/// Tells the story, and keeps count.
pub(crate) struct Report {
    begun: Instant,
    colour: bool,
    honest: usize,
    refused: usize,
    wrong: usize,
}

#[derive(Clone, Copy)]
enum Colour {
    Green,
    Red,
    Bold,
    Dim,
}

impl Report {
    /// A report to standard output. `NO_COLOR` is honoured (no-color.org).
    pub(crate) fn new() -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = io::stdout().is_terminal() && !unwanted;
        Self { begun: Instant::now(), colour, honest: 0, refused: 0, wrong: 0 }
    }

    /// Begins a chapter.
    pub(crate) fn heading(&self, text: &str) {
        say(format_args!("\n{}", self.paint(Colour::Bold, text)));
    }

    /// Says where something runs.
    pub(crate) fn place(&self, what: &str, url: &str, purpose: &str) {
        say(format_args!("  {what:<21} {url:<23} {}", self.paint(Colour::Dim, purpose)));
    }

    /// An honest call, which has to succeed.
    pub(crate) fn honest(&mut self, what: &str, by: By, answered: &Answered) {
        let passed = (200..300).contains(&answered.status);
        if passed {
            self.honest += 1;
            self.line(Colour::Green, "ok", what, by, answered, &answered.told);
        } else {
            self.wrong += 1;
            self.line(Colour::Red, "FAILED", what, by, answered, &answered.reasons.join(", "));
        }
    }

    /// An attack, which has to be refused for `reason` and for no accident.
    pub(crate) fn attack(&mut self, what: &str, by: By, answered: &Answered, reason: &str) {
        let reasons = answered.reasons.join(", ");
        if (200..300).contains(&answered.status) {
            self.wrong += 1;
            self.line(Colour::Red, "PASSED", what, by, answered, "the attack was not noticed");
        } else if answered.reasons.iter().any(|given| given == reason) {
            self.refused += 1;
            self.line(Colour::Green, "refused", what, by, answered, &reasons);
        } else {
            self.wrong += 1;
            let why = format!("refused for another reason than {reason}: {reasons}");
            self.line(Colour::Red, "WRONG", what, by, answered, &why);
        }
    }

    /// The last words, and the exit code that goes with them.
    pub(crate) fn end(&self) -> ExitCode {
        let seconds = self.begun.elapsed().as_secs_f32();
        let (colour, wrong) = match self.wrong {
            0 => (Colour::Green, "nothing went wrong".to_owned()),
            count => (Colour::Red, format!("{count} WENT WRONG")),
        };
        say(format_args!(
            "\n{} honest calls passed, {} attacks were refused, {} ({seconds:.1} s)",
            self.honest,
            self.refused,
            self.paint(colour, &wrong)
        ));
        if self.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// The story could not be told to its end.
    pub(crate) fn broken(&self, trouble: &dyn Display) -> ExitCode {
        say(format_args!("\n{} {trouble}", self.paint(Colour::Red, "The story breaks off:")));
        ExitCode::FAILURE
    }

    fn line(&self, colour: Colour, verdict: &str, what: &str, by: By, answered: &Answered, why: &str) {
        // Padded before it is painted: colours have no width.
        let verdict = self.paint(colour, &format!("{verdict:<8}"));
        let status = answered.status;
        say(format_args!(
            "  {verdict}{what:<WIDTH$} {:<8} {status}  {}",
            by.name(),
            self.paint(Colour::Dim, why)
        ));
    }

    fn paint(&self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Green => 32,
            Colour::Red => 31,
            Colour::Bold => 1,
            Colour::Dim => 2,
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

impl By {
    const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Service => "service",
            Self::Login => "login",
        }
    }
}

/// A reader that has gone away is no error.
fn say(line: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report { begun: Instant::now(), colour: false, honest: 0, refused: 0, wrong: 0 }
    }

    fn answered(status: u16, reason: &str) -> Answered {
        Answered { status, reasons: vec![reason.to_owned()], told: String::new(), body: Vec::new() }
    }

    #[test]
    fn an_attack_that_passes_fails_the_run() {
        let mut report = report();
        report.attack("attack", By::Edge, &answered(200, ""), "replayed");
        assert_eq!(report.end(), ExitCode::FAILURE);
    }

    #[test]
    fn an_attack_refused_by_accident_fails_the_run() {
        let mut report = report();
        report.attack("attack", By::Edge, &answered(503, "keys_unavailable"), "replayed");
        assert_eq!(report.end(), ExitCode::FAILURE);
    }

    #[test]
    fn an_honest_call_that_is_refused_fails_the_run() {
        let mut report = report();
        report.honest("call", By::Edge, &answered(401, "replayed"));
        assert_eq!(report.end(), ExitCode::FAILURE);
    }

    #[test]
    fn a_run_in_which_all_is_as_it_should_be_succeeds() {
        let mut report = report();
        report.honest("call", By::Edge, &answered(200, ""));
        report.attack("attack", By::Edge, &answered(401, "replayed"), "replayed");
        assert_eq!(report.end(), ExitCode::SUCCESS);
    }
}
