//! `countersign policy check`: a policy in words, for whoever answers for it.

mod danger;
mod description;
mod minimums;
mod mistakes;
mod printed;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::{Exit, answer, complain};
use crate::clock::Clock;
use crate::document::Problems;
use crate::policy_file;
use description::Description;

/// Arguments of `policy check`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The policy file (TOML).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Explain this app alone, by its client_id.
    #[arg(long, value_name = "CLIENT")]
    app: Option<String>,
    /// Print JSON instead of text for people.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Exit {
    let policy = match policy_file::load(&arguments.file) {
        Ok(policy) => policy,
        Err(problems) if arguments.json => {
            answer(problems_as_json(&problems));
            return Exit::Failure;
        }
        Err(problems) => {
            complain(problems.to_string());
            return Exit::Failure;
        }
    };
    if let Some(client_id) = arguments.app.as_ref().filter(|client_id| policy.app(client_id).is_none()) {
        complain(format!("the policy has no app with the client_id {client_id:?}"));
        return Exit::Failure;
    }
    let description = Description::of(&policy, arguments.app.as_deref(), Clock::system().now());
    answer(if arguments.json { format!("{:#}", json!(description)) } else { printed::text(&description) });
    Exit::Success
}

fn problems_as_json(problems: &Problems) -> String {
    let all: Vec<_> =
        problems.iter().map(|problem| json!({ "line": problem.line, "message": problem.message })).collect();
    format!("{:#}", json!({ "problems": all }))
}
