//! `countersign openapi`: what a description of an API leaves open.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::administration::Table;
use crate::cli::{Exit, answer, complain};
use crate::openapi::audit::{Allowance, Audit};
use crate::openapi::schema;
use crate::settings::Settings;

/// What to do with OpenAPI documents.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Report operations without authentication, without attestation, or with weaker demands than their neighbours.
    Audit(AuditArguments),
    /// Print the JSON schema of the extension `x-attestation`.
    Schema,
}

/// Arguments of `openapi audit`.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// The OpenAPI document: YAML, or JSON by a name that ends in .json.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Judge it as it would be used by a resource of this settings file.
    #[arg(long, value_name = "FILE", requires = "resource")]
    settings: Option<PathBuf>,
    /// The name of that resource.
    #[arg(long, value_name = "NAME", requires = "settings")]
    resource: Option<String>,
    /// A rule that shall not be reported, for all operations or for one: RULE or "RULE:METHOD /path". Better beside the
    /// operation, with its reason: x-attestation: { audit: { accept: [RULE], why: TEXT } }.
    #[arg(long, value_name = "RULE")]
    allow: Vec<Allowance>,
    /// How to print what was found.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Text,
    /// JSON for programs.
    Json,
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    match command {
        Command::Audit(arguments) => audit(arguments),
        Command::Schema => {
            answer(format!("{:#}", schema()));
            Exit::Success
        }
    }
}

fn audit(arguments: &AuditArguments) -> Exit {
    let settings = match arguments.settings.as_deref().map(Settings::load).transpose() {
        Ok(settings) => settings,
        Err(problems) => {
            complain(problems.to_string());
            return Exit::Unverified;
        }
    };
    let named = |settings: &Settings| {
        settings
            .resources
            .iter()
            .find(|resource| Some(&resource.name) == arguments.resource.as_ref())
            .cloned()
    };
    let resource = settings.as_ref().and_then(named);
    if settings.is_some() && resource.is_none() {
        complain("the settings have no resource of this name");
        return Exit::Unverified;
    }
    let gateway = settings.and_then(|settings| settings.listen.gateway);
    let resource = resource.as_ref().map(|resource| (resource, gateway));
    let audit = match Audit::of(&arguments.file, resource, &arguments.allow) {
        Ok(audit) => audit,
        Err(problems) => {
            complain(problems.to_string());
            return Exit::Unverified;
        }
    };
    answer(match arguments.format {
        Format::Json => format!("{:#}", json!(audit)),
        Format::Text => text(&audit),
    });
    if audit.findings.is_empty() { Exit::Success } else { Exit::Failure }
}

fn text(audit: &Audit) -> String {
    let mut table = Table::new(["LINE", "RULE", "OPERATION", "WHAT IS OPEN"]);
    for finding in &audit.findings {
        table.row([
            &finding.line.map_or_else(String::new, |line| line.to_string()),
            &finding.rule.name(),
            &[finding.method, finding.path.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" "),
            &finding.message,
        ]);
    }
    let sum = format!(
        "{} operations: {} findings, {} accepted",
        audit.operations,
        audit.findings.len(),
        audit.accepted.len()
    );
    if table.is_empty() { sum } else { format!("{table}\n{sum}") }
}
