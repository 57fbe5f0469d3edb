//! What is told of captured requests: a table for people, JSON for machines.

use std::fmt::Write;

use countersign_core::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::cli::Exit;
use crate::commands::inspect::explanation::{escaped_json, printable, rfc3339};

/// What is told of a capture.
pub(in crate::commands::inspect) struct Report {
    /// What it was read from.
    pub(super) form: &'static str,
    pub(super) requests: Vec<RequestReport>,
    /// Requests that are not shown.
    pub(super) left_out: usize,
}

/// What is told of one request.
pub(super) struct RequestReport {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) authority: Option<String>,
    /// When it is judged, and why then.
    pub(super) at: (Timestamp, &'static str),
    /// The name of the resource whose edge is asked.
    pub(super) resource: Option<String>,
    pub(super) verdict: Verdict,
    pub(super) rows: Vec<Row>,
    pub(super) notes: Vec<String>,
}

/// What would become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Permitted,
    /// Lets it through unattested, since the route does not enforce yet.
    Observed(&'static str),
    Refused {
        reason: &'static str,
        status: u16,
        error: Option<&'static str>,
    },
    /// Something is lacking.
    Undecided,
    /// Without settings nobody decides: whether anything was found that cannot be.
    Unjudged {
        holds: bool,
    },
}

/// A line of the table.
pub(super) struct Row {
    /// The step's number, where an edge was asked.
    pub(super) number: Option<u8>,
    pub(super) name: &'static str,
    pub(super) mark: Mark,
    pub(super) detail: String,
    /// The stable names of the reasons.
    pub(super) reasons: Vec<&'static str>,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Passed,
    /// The step that decides.
    Refused,
    /// It would have refused, had not an earlier one.
    AlsoRefused,
    Needs,
    NotReached,
    /// Cannot be told from what is here.
    NotChecked,
}

impl Mark {
    /// A sign, a word, and the colour of both as an SGR parameter.
    const fn shown(self) -> (char, &'static str, u8) {
        match self {
            Self::Passed => ('✓', "passed", 32),
            Self::Refused => ('✗', "REFUSED", 31),
            Self::AlsoRefused => ('✗', "also wrong", 31),
            Self::Needs => ('?', "needs", 33),
            Self::NotReached => ('·', "not reached", 2),
            Self::NotChecked => ('·', "not checked", 2),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::AlsoRefused => "also-refused",
            Self::Needs => "needs-lookup",
            Self::NotReached => "not-reached",
            Self::NotChecked => "not-checked",
        }
    }
}

impl Report {
    /// 0 if all pass, 1 if one is refused or does not hold, 2 if one cannot be decided.
    pub(in crate::commands::inspect) fn exit(&self) -> Exit {
        let any = |is: fn(&Verdict) -> bool| self.requests.iter().any(|request| is(&request.verdict));
        if any(|verdict| matches!(verdict, Verdict::Refused { .. } | Verdict::Unjudged { holds: false })) {
            Exit::Failure
        } else if any(|verdict| *verdict == Verdict::Undecided) {
            Exit::Unverified
        } else {
            Exit::Success
        }
    }

    /// For a person; `coloured` for a terminal.
    pub(in crate::commands::inspect) fn text(&self, coloured: bool) -> String {
        let mut text = String::new();
        for (index, request) in self.requests.iter().enumerate() {
            if self.requests.len() > 1 {
                let _ = writeln!(text, "Request {} of {}", index + 1, self.requests.len());
            }
            request.write(&mut text, coloured);
            text.push('\n');
        }
        if self.left_out > 0 {
            let _ = writeln!(text, "{} more requests of the capture are not shown.", self.left_out);
        }
        text.truncate(text.trim_end().len());
        text
    }

    /// For a machine.
    pub(in crate::commands::inspect) fn json(&self) -> String {
        let requests: Json = self.requests.iter().map(RequestReport::to_json).collect();
        let report = json!({
            "kind": "captured-requests",
            "form": self.form,
            "requests": requests,
            "not_shown": self.left_out,
        });
        escaped_json(&format!("{report:#}"))
    }
}

impl RequestReport {
    fn write(&self, text: &mut String, coloured: bool) {
        let (at, from) = self.at;
        let authority = self.authority.as_deref().unwrap_or("an unknown host");
        let _ =
            writeln!(text, "{} {} at {}", self.method_shown(), printable(&self.target), printable(authority));
        let written = rfc3339(at).unwrap_or_else(|| at.as_unix_seconds().to_string());
        let _ = writeln!(text, "judged as of {written}: {from}");
        let (mark, sentence) = self.verdict.told(self.resource.as_deref());
        let _ = writeln!(text, "{}\n", painted(&sentence, mark.shown().2, coloured));
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
        for row in &self.rows {
            let (sign, word, colour) = row.mark.shown();
            let number = row.number.map_or_else(String::new, |number| format!("{number:>2}  "));
            let outcome = painted(&format!("{sign} {word:<11}"), colour, coloured);
            let reasons =
                if row.reasons.is_empty() { String::new() } else { format!("[{}] ", row.reasons.join(", ")) };
            let line =
                format!("  {number}{:<width$}  {outcome}  {reasons}{}", row.name, printable(&row.detail));
            let _ = writeln!(text, "{}", line.trim_end());
        }
        for note in &self.notes {
            let _ = writeln!(text, "  Note: {}.", printable(note));
        }
    }

    fn method_shown(&self) -> String {
        printable(&self.method)
    }

    fn to_json(&self) -> Json {
        let (decision, reason, status, error) = match &self.verdict {
            Verdict::Permitted => ("permitted", None, None, None),
            Verdict::Observed(reason) => ("observed", Some(*reason), None, None),
            Verdict::Refused { reason, status, error } => ("refused", Some(*reason), Some(*status), *error),
            Verdict::Undecided => ("undecided", None, None, None),
            Verdict::Unjudged { holds: true } => ("not-judged", None, None, None),
            Verdict::Unjudged { holds: false } => ("does-not-hold", None, None, None),
        };
        let steps: Json = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "number": row.number,
                    "name": row.name,
                    "outcome": row.mark.name(),
                    "reasons": row.reasons,
                    "detail": row.detail,
                })
            })
            .collect();
        json!({
            "method": self.method,
            "target": self.target,
            "authority": self.authority,
            "judged_at": rfc3339(self.at.0),
            "judged_at_because": self.at.1,
            "resource": self.resource,
            "decision": decision,
            "reason": reason,
            "status": status,
            "error": error,
            "steps": steps,
            "notes": self.notes,
        })
    }
}

impl Verdict {
    fn told(&self, resource: Option<&str>) -> (Mark, String) {
        let edge = printable(resource.unwrap_or_default());
        match self {
            Self::Permitted => (Mark::Passed, format!("✓ PERMITTED by the edge of {edge}")),
            Self::Observed(reason) => (
                Mark::Needs,
                format!(
                    "✓ LET THROUGH by the edge of {edge}, whose route does not enforce; it would refuse: {reason}"
                ),
            ),
            Self::Refused { reason, status, error } => {
                let error = error.map(|error| format!(" {error}")).unwrap_or_default();
                (
                    Mark::Refused,
                    format!("✗ REFUSED by the edge of {edge}: {reason} (the client is told {status}{error})"),
                )
            }
            Self::Undecided => {
                (Mark::Needs, format!("? UNDECIDED: the edge of {edge} would need what is not here"))
            }
            Self::Unjudged { holds: true } => (
                Mark::NotChecked,
                "· NOT JUDGED: what can be compared agrees; --settings FILE asks the edge of those settings"
                    .to_owned(),
            ),
            Self::Unjudged { holds: false } => {
                (Mark::Refused, "✗ DOES NOT HOLD: any edge refuses it; see below".to_owned())
            }
        }
    }
}

fn painted(text: &str, colour: u8, coloured: bool) -> String {
    if coloured { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
}
