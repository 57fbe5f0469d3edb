//! `countersign explain`: the decision behind a reference that a device or a user named.

use clap::Args;
use serde_json::json;

use crate::cli::{Exit, SettingsFile, answer, complain};
use crate::commands::instances::with_store;
use crate::store::{Decision, Reference};

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The eight characters of the reference.
    #[arg(value_name = "REFERENCE")]
    reference: String,
    #[command(flatten)]
    settings: SettingsFile,
    /// Print JSON instead of text for people.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    let Some(reference) = Reference::from_text(&arguments.reference.to_ascii_uppercase()) else {
        complain("a reference has eight letters and digits");
        return Exit::Usage;
    };
    with_store(&arguments.settings.path, async |store| match store.decision(reference.as_str()).await? {
        Some(decision) => {
            answer(if arguments.json { to_json(&decision) } else { to_text(&decision) });
            Ok(Exit::Success)
        }
        None => {
            complain(format!(
                "no record of {reference}: it is older than the audit lifetime, or the message was not signed; \
                     then the log has a line with it"
            ));
            Ok(Exit::Failure)
        }
    })
}

fn to_json(decision: &Decision) -> String {
    let all = json!({
        "reference": decision.reference.as_str(),
        "time": decision.time.as_unix_seconds(),
        "client_id": decision.client_id,
        "instance": decision.instance.map(|id| id.to_base64url()),
        "verdict": decision.verdict,
        "reasons": decision.reasons,
        "claims": decision.claims,
        "appraisal": decision.appraisal,
    });
    format!("{all:#}")
}

fn to_text(decision: &Decision) -> String {
    let instance = decision.instance.map_or_else(|| "not known".to_owned(), |id| id.to_base64url());
    format!(
        "{}: {}\n  client    {}\n  instance  {instance}\n  reasons   {}\n  claims    {:#}",
        decision.reference,
        decision.verdict,
        decision.client_id.as_deref().unwrap_or("not known"),
        decision.reasons.join(", "),
        decision.claims
    )
}
