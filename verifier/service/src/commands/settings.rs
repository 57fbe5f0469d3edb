//! `countersign settings`: is this file right, and what may stand in it?

use std::path::PathBuf;

use clap::Subcommand;
use countersign_verifier::policy::AppraisalPolicy;

use crate::administration::Table;
use crate::cli::{Exit, answer, complain};
use crate::clock::Clock;
use crate::commands::inspect::printable;
use crate::document;
use crate::openapi::demands;
use crate::policy_file::PolicyFile;
use crate::settings::{EdgeSettings, EitherSettings, PathMatch, ResourceSettings, Settings};
use crate::trust::Trust;

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read a settings file and the policy that it names, and tell every problem, each with its line.
    Check {
        /// The settings file (TOML).
        file: PathBuf,
        /// It is the file of `countersign edge` or `countersign proxy`; one that names an attestation service is taken for one.
        #[arg(long)]
        edge: bool,
    },
    /// Print the JSON schema of settings or policies, for an editor that completes and checks TOML.
    Schema {
        /// The schema of the policy file instead.
        #[arg(long, conflicts_with = "edge")]
        policy: bool,
        /// The schema of the settings of `countersign edge` and `countersign proxy` instead.
        #[arg(long)]
        edge: bool,
    },
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    match command {
        Command::Check { file, edge } => {
            let loaded = if *edge {
                EdgeSettings::load(file).map(Box::new).map(EitherSettings::Edge)
            } else {
                EitherSettings::load(file)
            };
            let settings = match loaded {
                Ok(EitherSettings::Service(settings)) => settings,
                Ok(EitherSettings::Edge(_)) => {
                    answer(format!("{}: no problems", file.display()));
                    return Exit::Success;
                }
                Err(problems) => {
                    complain(problems.to_string());
                    return Exit::Failure;
                }
            };
            let trust = match Trust::load(&settings, Clock::system().now()) {
                Ok(trust) => trust,
                Err(error) => {
                    complain(error.to_string());
                    return Exit::Failure;
                }
            };
            for contradiction in contradictions(settings.lifetime.result.as_seconds(), &trust.policy) {
                answer(format!("warning: {contradiction}"));
            }
            for table in settings.resources.iter().filter_map(routes) {
                answer(table);
            }
            answer(format!("{}: no problems", file.display()));
            Exit::Success
        }
        Command::Schema { policy, edge } => {
            let schema = match (policy, edge) {
                (true, _) => document::schema::<PolicyFile>(),
                (false, true) => document::schema::<EdgeSettings>(),
                (false, false) => document::schema::<Settings>(),
            };
            answer(format!("{schema:#}"));
            Exit::Success
        }
    }
}

/// The routes of a resource that has some from an OpenAPI document, and what each demands beside the defaults.
fn routes(resource: &ResourceSettings) -> Option<String> {
    resource.openapi.as_ref()?;
    let mut table = Table::new(["METHOD", "PATH", "DEMANDS"]);
    for route in &resource.routes {
        let methods = if route.methods.is_empty() { "*".to_owned() } else { route.methods.join(",") };
        let path = match route.path_match {
            PathMatch::Template => route.path.clone(),
            PathMatch::Prefix => format!("{}, and below", route.path),
        };
        let demands = demands(route).into_iter().map(|(name, value)| format!("{name}: {value}"));
        let demands = demands.collect::<Vec<_>>().join(", ");
        table.row([&methods, &path, if demands.is_empty() { "the defaults" } else { &demands }]);
    }
    Some(format!("routes of `{}`:\n{table}", resource.name))
}

/// What the policy says in vain, because the settings say otherwise. Nothing of it lets anybody in.
fn contradictions(longest: u64, policy: &AppraisalPolicy) -> Vec<String> {
    let mut all = Vec::new();
    for app in policy.apps() {
        let id = printable(&app.client_id);
        if let Some(own) = app.result_lifetime.filter(|own| *own > longest) {
            all.push(format!(
                "the policy gives the results of {id} {own} s, and they live {longest} s, as `[lifetime] result` says"
            ));
        }
        let unknown = app.boot_keys.iter().filter(|system| !policy.boot_keys().names(system));
        all.extend(unknown.map(|system| {
            format!(
                "the policy lets {id} run on {}, and no boot key of that name is known: see `[trust] boot_keys`",
                printable(system)
            )
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use countersign_verifier::boot_keys::{BootKey, BootKeys};
    use countersign_verifier::policy::AppPolicy;

    use super::*;

    fn policy(change: impl FnOnce(&mut AppPolicy)) -> AppraisalPolicy {
        let mut app = AppPolicy::new("com.example.app");
        change(&mut app);
        AppraisalPolicy::new("test/1").with_app(app)
    }

    #[test]
    fn a_life_longer_than_the_services_own_is_named() {
        let of = |seconds| contradictions(300, &policy(|app| app.result_lifetime = seconds));
        assert_eq!(of(None), Vec::<String>::new());
        assert_eq!(of(Some(300)), Vec::<String>::new());
        assert!(of(Some(301))[0].contains("301 s, and they live 300 s"));
    }

    #[test]
    fn a_system_without_a_known_boot_key_is_named() {
        let policy = policy(|app| app.boot_keys = vec!["GrapheneOS".to_owned()]);
        assert!(contradictions(300, &policy)[0].contains("GrapheneOS"));
        let key = BootKey { verified_boot_key: [1; 32], name: "GrapheneOS".to_owned(), models: vec![] };
        let known = policy.with_boot_keys(BootKeys::new(vec![key]).unwrap());
        assert_eq!(contradictions(300, &known), Vec::<String>::new());
    }
}
