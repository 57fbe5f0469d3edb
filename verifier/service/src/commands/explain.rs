//! `countersign explain`: the decision behind a reference that a device or a user named.

use clap::Args;
use countersign_verifier::ear::Ear;

use crate::administration::Explanation;
use crate::cli::{Exit, SettingsFile, answer, complain};
use crate::commands::instances::with_store;
use crate::store::Reference;

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
    /// Print the appraisal as an EAR, the attestation result of draft-ietf-rats-ear-04 (JSON, not signed).
    #[arg(long, conflicts_with = "json")]
    ear: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    let Some(reference) = Reference::from_text(&arguments.reference.to_ascii_uppercase()) else {
        complain("a reference has eight letters and digits");
        return Exit::Usage;
    };
    with_store(&arguments.settings.path, async |store| match store.decision(reference.as_str()).await? {
        Some(decision) => {
            if arguments.ear {
                let Some(ear) = Ear::of_record(&decision.appraisal) else {
                    complain(format!(
                        "{reference} has no appraisal: the policy was not asked, or what it found is not kept \
                         any more"
                    ));
                    return Ok(Exit::Failure);
                };
                answer(format!("{:#}", ear.to_json()));
                return Ok(Exit::Success);
            }
            let explanation = Explanation::of(&decision);
            answer(if arguments.json {
                format!("{:#}", explanation.to_json())
            } else {
                explanation.to_string()
            });
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
