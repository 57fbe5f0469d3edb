//! `countersign edge` and `countersign proxy`: the edge apart from the service, behind a gateway or as a proxy.

use std::path::{Path, PathBuf};

use clap::Args;

use super::long_running::{Signals, on_threads};
use crate::cli::{Exit, complain};
use crate::edge::StandaloneEdge;
use crate::settings::EdgeSettings;
use crate::telemetry::{LogFormat, start_logging};

/// Arguments of `edge` and `proxy`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// The settings file; `countersign settings schema --edge` tells what may stand in it.
    #[arg(
        long = "settings",
        short = 's',
        value_name = "FILE",
        default_value = "edge.toml",
        env = "COUNTERSIGN_SETTINGS"
    )]
    settings: PathBuf,
    /// How log lines are written to standard error; the variable RUST_LOG says how much.
    #[arg(long, value_enum, default_value_t)]
    pub log: LogFormat,
}

const HELP: &str = "\
The settings name the attestation service to trust ([attestation_service]), the APIs ([[resource]]), and who asks: a
gateway ([listen] edge, gateway), or a proxy of ours before the API ([[proxy]] resource, listen, upstream). Check them
with `countersign settings check --edge FILE`. Nothing passes without the service's keys and a deny list of the last
ten minutes; /readyz on [listen] admin says what is missing. SIGHUP reads the rules of
[[resource]] again and fetches both, SIGTERM ends it in order.";

/// Runs the edge until the process is told to end (SIGTERM or SIGINT).
pub fn run(arguments: &Arguments) -> Exit {
    with_settings(arguments, |_| None)
}

/// As [`run`], for settings that have a proxy.
pub fn run_proxy(arguments: &Arguments) -> Exit {
    let file = arguments.settings.display();
    with_settings(arguments, |settings| {
        let none = settings.proxies.is_empty();
        none.then(|| {
            format!("{file}: there is no [[proxy]] here; add one with `resource`, `listen` and `upstream`")
        })
    })
}

fn with_settings(arguments: &Arguments, objection: impl FnOnce(&EdgeSettings) -> Option<String>) -> Exit {
    let settings = match EdgeSettings::load(&arguments.settings) {
        Ok(settings) => settings,
        Err(problems) => {
            complain(problems.to_string());
            return Exit::Failure;
        }
    };
    if let Some(objection) = objection(&settings) {
        complain(objection);
        return Exit::Failure;
    }
    start_logging(arguments.log);
    on_threads("the edge", serve(settings, &arguments.settings))
}

async fn serve(settings: EdgeSettings, file: &Path) -> Exit {
    // Before anything is opened, so that no signal in between is lost.
    let Some(mut signals) = Signals::listen() else { return Exit::Failure };
    let running = match StandaloneEdge::start(settings).await {
        Ok(running) => running,
        Err(error) => {
            complain(error.to_string());
            return Exit::Failure;
        }
    };
    signals.until_the_end(|| running.reload_soon(file)).await;
    running.shut_down().await;
    Exit::Success
}
