//! `countersign serve`: the attestation service, and the edge behind a gateway.

use std::path::Path;

use clap::Args;

use super::long_running::{Signals, on_threads};
use crate::cli::{Exit, SettingsFile, complain};
use crate::service::Service;
use crate::settings::Settings;
use crate::telemetry::{LogFormat, start_logging};

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: SettingsFile,
    /// How log lines are written to standard error; the variable RUST_LOG says how much.
    #[arg(long, value_enum, default_value_t)]
    pub log: LogFormat,
}

/// Runs the service until the process is told to end (SIGTERM or SIGINT). SIGHUP reads the settings again,
/// and policy, trust data and API keys.
pub fn run(arguments: &Arguments) -> Exit {
    let settings = match Settings::load(&arguments.settings.path) {
        Ok(settings) => settings,
        Err(problems) => {
            complain(problems.to_string());
            return Exit::Failure;
        }
    };
    start_logging(arguments.log);
    on_threads("the service", serve(settings, &arguments.settings.path))
}

async fn serve(settings: Settings, file: &Path) -> Exit {
    // Before anything is opened, so that no signal in between is lost.
    let Some(mut signals) = Signals::listen() else { return Exit::Failure };
    let running = match Service::start(settings).await {
        Ok(running) => running,
        Err(error) => {
            complain(error.to_string());
            return Exit::Failure;
        }
    };
    let reload = || {
        running.service().reload_settings_soon(file);
        running.reload_api_keys_soon();
        running.service().reload_trust_soon();
    };
    signals.until_the_end(reload).await;
    running.shut_down().await;
    Exit::Success
}
