//! `countersign instances`: looking at an enrolled instance, banning it, lifting the ban.

use std::path::Path;

use clap::{Args, Subcommand};
use countersign_core::token::result::InstanceId;
use countersign_verifier::enrolment::PlatformKey;
use serde_json::json;

use crate::cli::{Exit, SettingsFile, answer, complain};
use crate::clock::Clock;
use crate::settings::Settings;
use crate::store::{InstanceRecord, Store, StoreError};

/// What to do with an instance.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print what the registry knows of an instance, as JSON.
    Show(Instance),
    /// Ban an instance: it gets no more results, and edges refuse those that it has within seconds.
    Ban(Instance),
    /// Lift the ban of an instance.
    Unban(Instance),
}

/// One instance.
#[derive(Debug, Args)]
pub struct Instance {
    /// The instance's identifier, as in `X-Attested-Instance`: 22 characters.
    #[arg(value_name = "INSTANCE", allow_hyphen_values = true)]
    id: String,
    #[command(flatten)]
    settings: SettingsFile,
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    let (Command::Show(instance) | Command::Ban(instance) | Command::Unban(instance)) = command;
    let Ok(id) = InstanceId::from_base64url(&instance.id) else {
        complain("an instance identifier has 22 characters of base64url");
        return Exit::Usage;
    };
    let now = Clock::system().now();
    with_store(&instance.settings.path, async |store| {
        let known = match command {
            Command::Show(_) => match store.instance(&id).await? {
                Some(record) => {
                    answer(describe(&record));
                    true
                }
                None => false,
            },
            Command::Ban(_) => store.set_banned(&id, true, now).await?,
            Command::Unban(_) => store.set_banned(&id, false, now).await?,
        };
        if !known {
            complain(format!("no instance {} is registered", instance.id));
        }
        Ok(if known { Exit::Success } else { Exit::Failure })
    })
}

/// Opens the store that the settings name, beside a service that may be running, and does something with it.
pub(super) fn with_store(
    settings: &Path,
    action: impl AsyncFnOnce(&Store) -> Result<Exit, StoreError>,
) -> Exit {
    let settings = match Settings::load(settings) {
        Ok(settings) => settings,
        Err(problems) => {
            complain(problems.to_string());
            return Exit::Failure;
        }
    };
    if !settings.store.path.is_file() {
        complain(format!("{} does not exist; was the service ever started?", settings.store.path.display()));
        return Exit::Failure;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format!("this command cannot start: {error}"));
            return Exit::Failure;
        }
    };
    let done = runtime.block_on(async {
        let store = Store::open(&settings.store.path).await?;
        let done = action(&store).await;
        store.close().await;
        done
    });
    done.unwrap_or_else(|error| {
        complain(error.to_string());
        Exit::Failure
    })
}

fn describe(record: &InstanceRecord) -> String {
    let registered = &record.registered;
    let platform = match &registered.platform_key {
        PlatformKey::AppAttest { counter, .. } => json!({ "kind": "app-attest", "counter": counter }),
        PlatformKey::AndroidKey => json!({ "kind": "android-key" }),
        PlatformKey::PlayIntegrity => json!({ "kind": "play-integrity" }),
        PlatformKey::DevelopmentKey => json!({ "kind": "development-key" }),
    };
    let all = json!({
        "instance": registered.id.to_base64url(),
        "client_id": registered.client_id,
        "banned": record.banned,
        "instance_jkt": registered.instance_key.thumbprint().to_base64url(),
        "platform_key": platform,
        "protection": registered.protection,
        "vouched_by": registered.vouched_by,
        "tier": registered.tier,
        "evidence_time": registered.evidence_time.as_unix_seconds(),
        "app_version": record.app_version,
        "created": record.created.as_unix_seconds(),
        "updated": record.updated.as_unix_seconds(),
    });
    format!("{all:#}")
}
