//! `countersign serve`: the attestation service, and the edge behind a gateway.

use std::path::Path;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

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
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format!("the service cannot start its threads: {error}"));
            return Exit::Failure;
        }
    };
    let exit = runtime.block_on(serve(settings, &arguments.settings.path));
    // A file system that does not answer keeps whoever reads from it, and not the end of the process.
    runtime.shutdown_background();
    exit
}

async fn serve(settings: Settings, file: &Path) -> Exit {
    // Before anything is opened, so that no signal in between is lost.
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hang_up)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        complain("the system refuses to tell this process of signals, so it could not end in order");
        return Exit::Failure;
    };
    let running = match Service::start(settings).await {
        Ok(running) => running,
        Err(error) => {
            complain(error.to_string());
            return Exit::Failure;
        }
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => {
                running.service().reload_settings_soon(file);
                running.reload_api_keys_soon();
                running.service().reload_trust_soon();
            }
        }
    }
    tracing::info!("ending; requests that are under way have ten seconds");
    running.shut_down().await;
    Exit::Success
}
