//! What `appraise` prints.

use std::fmt::Write;

use countersign_core::time::Timestamp;
use countersign_verifier::ear::Ear;
use countersign_verifier::evidence::VerifiedEvidence;
use countersign_verifier::policy::{Appraisal, Enforcement};
use serde_json::{Value, json};

use super::Unverified;
use crate::cli::Exit;

/// The outcome.
#[derive(Debug)]
pub(super) enum Report {
    /// The evidence could not be verified.
    Unverified { error: Unverified, now: Timestamp },
    /// The evidence is genuine, and this is what the policy says.
    Appraised { evidence: Box<VerifiedEvidence>, appraisal: Box<Appraisal> },
}

impl Report {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Unverified { .. } => Exit::Unverified,
            Self::Appraised { appraisal, .. } if appraisal.is_refused() => Exit::Failure,
            Self::Appraised { .. } => Exit::Success,
        }
    }

    /// For a machine.
    pub(super) fn json(&self) -> String {
        let report = match self {
            Self::Unverified { error, .. } => json!({
                "verdict": "unverified",
                "reason": error.reason(),
                "explanation": error.explanation(),
            }),
            Self::Appraised { evidence, appraisal } => json!({
                "verdict": appraisal.tier().name(),
                "appraisal": appraisal,
                "evidence": evidence,
            }),
        };
        format!("{report:#}")
    }

    /// For other software of the field.
    pub(super) fn ear(&self) -> String {
        let ear = match self {
            Self::Unverified { now, .. } => Ear::of_unverifiable_evidence(*now),
            Self::Appraised { appraisal, .. } => Ear::of_appraisal(appraisal),
        };
        format!("{:#}", ear.to_json())
    }

    /// For a person: verdict, reasons, claims.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = match self {
            Self::Unverified { error, .. } => {
                write!(text, "verdict: unverified\n\n  {}: {}", error.reason(), error.explanation())
            }
            Self::Appraised { evidence, appraisal } => write_appraisal(&mut text, evidence, appraisal),
        };
        printable(&text)
    }
}

impl Unverified {
    fn reason(self) -> &'static str {
        match self {
            Self::Evidence(error) => error.reason(),
            Self::File(error) => error.reason(),
        }
    }

    fn explanation(self) -> String {
        match self {
            Self::Evidence(error) => error.explanation(),
            Self::File(_) => "The file holds no certificates that can be read.".to_owned(),
        }
    }
}

fn write_appraisal(
    text: &mut String,
    evidence: &VerifiedEvidence,
    appraisal: &Appraisal,
) -> std::fmt::Result {
    writeln!(text, "verdict: {}", appraisal.tier().name())?;
    writeln!(text, "policy:  {}, app {}", appraisal.policy(), appraisal.client_id())?;
    writeln!(text, "\nreasons:")?;
    for outcome in appraisal.outcomes() {
        let mark = match (outcome.satisfied, outcome.enforcement) {
            (true, _) => "ok",
            (false, Enforcement::Require) => "REFUSED",
            (false, Enforcement::Warn) => "warning",
            (false, Enforcement::Ignore) => "ignored",
        };
        writeln!(text, "  {mark:<8}{:<32}{}", outcome.constraint.label(), outcome.explanation)?;
    }
    writeln!(text, "\nclaims:")?;
    let claims = serde_json::to_value(evidence).unwrap_or(Value::Null);
    write!(text, "{claims:#}")
}

/// Names in evidence are whatever a device wrote; nothing in them may steer a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|letter| {
            let escape = letter.is_control() && letter != '\n';
            let escaped = escape.then(|| letter.escape_unicode()).into_iter().flatten();
            escaped.chain((!escape).then_some(letter))
        })
        .collect()
}
