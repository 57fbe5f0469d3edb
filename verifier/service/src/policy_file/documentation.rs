//! That docs/policy.md and docs/operations.md say what the program does.

use std::fs;
use std::path::Path;

use countersign_core::environment::Signal;
use countersign_verifier::policy::{Constraint, Enforcement};

use crate::document;
use crate::settings::{EdgeSettings, Settings};

use super::PolicyFile;

const POLICY: &str = include_str!("../../../../docs/policy.md");
const OPERATIONS: &str = include_str!("../../../../docs/operations.md");

/// The fenced examples of a kind, `policy`, `settings` or `edge`.
fn examples<'t>(text: &'t str, kind: &str) -> Vec<&'t str> {
    let fence = format!("```toml {kind}\n");
    text.split(fence.as_str()).skip(1).map(|rest| rest.split_once("\n```").unwrap().0).collect()
}

#[test]
fn the_table_of_constraints_is_the_programs_own() {
    let row = |constraint: &Constraint| {
        let enforcement = match constraint.default_enforcement() {
            Enforcement::Require => "require",
            Enforcement::Warn => "warn",
            Enforcement::Ignore => "ignore",
        };
        let changed = match (constraint.is_negotiable(), constraint.opt_out().is_some()) {
            (false, _) => "no",
            (true, true) => "with `danger`",
            (true, false) => "yes",
        };
        format!("| `{}` | {enforcement} | {changed} |", constraint.label())
    };
    let expected: Vec<String> = Constraint::ALL.iter().map(row).collect();
    let cells = |line: &str| line.split('|').take(4).map(str::to_owned).collect::<Vec<_>>().join("|") + "|";
    let documented: Vec<String> = POLICY.lines().filter(|line| line.starts_with("| `")).map(cells).collect();
    assert_eq!(documented, expected);
}

#[test]
fn every_signal_is_documented() {
    for signal in Signal::ALL {
        assert!(POLICY.contains(&format!("`{}`", signal.name())), "{}", signal.name());
    }
}

#[test]
fn every_documented_policy_is_one() {
    for (text, count) in [(POLICY, 3), (OPERATIONS, 1)] {
        let examples = examples(text, "policy");
        assert_eq!(examples.len(), count);
        for example in examples {
            let read = document::parse::<PolicyFile>("policy.toml", example);
            assert!(read.is_ok(), "{}", read.unwrap_err());
        }
    }
}

#[test]
fn the_documented_settings_are_settings() {
    let directory = tempfile::tempdir().unwrap();
    for file in ["policy.toml", "status.json", "AuthKey_KEY7654321.p8"] {
        fs::write(directory.path().join(file), "").unwrap();
    }
    let examples = examples(OPERATIONS, "settings");
    let [example] = examples.as_slice() else { panic!("{examples:?}") };
    let read = Settings::parse(&directory.path().join("countersign.toml"), example);
    assert!(read.is_ok(), "{}", read.unwrap_err());
}

#[test]
fn the_documented_settings_of_an_edge_are_settings() {
    let examples = examples(OPERATIONS, "edge");
    let [example] = examples.as_slice() else { panic!("{examples:?}") };
    let read = EdgeSettings::parse(Path::new("edge.toml"), example);
    assert!(read.is_ok(), "{}", read.unwrap_err());
}

#[test]
fn every_metric_is_documented() {
    let metrics = crate::telemetry::Metrics::default().to_prometheus();
    for name in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(OPERATIONS.contains(&format!("| `{name}` |")), "{name}");
    }
}
