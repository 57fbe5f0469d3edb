//! `countersign instances`: the registry of enrolled instances: listing, bans, and the end of one.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use clap::{Args, Subcommand};
use countersign_core::token::result::InstanceId;
use countersign_verifier::enrolment::PlatformKey;
use serde_json::json;

use crate::administration::{Cursor, Limit, Table, TierName, Time, ban_reason, page_of_instances, when};
use crate::cli::{Exit, SettingsFile, answer, complain};
use crate::clock::Clock;
use crate::settings::Settings;
use crate::store::{Actor, ChangeError, InstanceFilter, InstanceRecord, PlatformName, Store, StoreError};

/// What to do with instances.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List instances, in the order of their identifiers, a page at a time.
    List(Box<List>),
    /// Print what the registry knows of an instance, as JSON.
    Show(Instance),
    /// Ban an instance: it gets no more results, and edges refuse those that it has within seconds.
    Ban(Ban),
    /// Lift the ban of an instance.
    Unban(Instance),
    /// Erase an instance and its evidence. Edges refuse its last result; it may enrol again: to keep it out, ban it.
    Delete(Delete),
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

/// Arguments of `instances ban`.
#[derive(Debug, Args)]
pub struct Ban {
    #[command(flatten)]
    instance: Instance,
    /// Why, for other administrators; the device is not told.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// Arguments of `instances delete`.
#[derive(Debug, Args)]
pub struct Delete {
    #[command(flatten)]
    instance: Instance,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Arguments of `instances list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    settings: SettingsFile,
    /// Only those of this client.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Only those that this kind of key vouches for.
    #[arg(long, value_enum)]
    platform: Option<PlatformName>,
    /// Only those whose last evidence was worth this.
    #[arg(long, value_enum)]
    tier: Option<TierName>,
    /// Only those that are banned.
    #[arg(long, conflicts_with = "not_banned")]
    banned: bool,
    /// Only those that are not banned.
    #[arg(long)]
    not_banned: bool,
    /// Only those that a re-appraisal withdrew.
    #[arg(long)]
    withdrawn: bool,
    /// Only those that enrolled or renewed last at this time or later.
    #[arg(long, value_name = "WHEN")]
    updated_since: Option<Time>,
    /// Only those that enrolled or renewed last before this time.
    #[arg(long, value_name = "WHEN")]
    updated_before: Option<Time>,
    /// Only those of this version of the app.
    #[arg(long, value_name = "VERSION")]
    app_version: Option<String>,
    /// The most to list: 1 to 500.
    #[arg(long, value_name = "COUNT", default_value = "50")]
    limit: Limit,
    /// Go on where the page before ended.
    #[arg(long, value_name = "CURSOR", allow_hyphen_values = true)]
    cursor: Option<Cursor>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    match command {
        Command::List(arguments) => list(arguments),
        Command::Show(instance) => on_instance(instance, async |store, id, _| {
            let record = store.instance(&id).await?;
            Ok(record.map(|record| format!("{:#}", crate::administration::instance(&record))))
        }),
        Command::Ban(Ban { instance, reason }) => match ban_reason(reason) {
            Ok(reason) => {
                let done = format!("{}: banned; edges refuse it within seconds", instance.id);
                on_instance(instance, async |store, id, by| {
                    Ok(store.ban_instance(&id, reason, &by).await?.then_some(done))
                })
            }
            Err(invalid) => {
                complain(invalid.to_string());
                Exit::Usage
            }
        },
        Command::Unban(instance) => {
            let done = format!("{}: no longer banned; edges let it pass again within seconds", instance.id);
            on_instance(instance, async |store, id, by| {
                Ok(store.unban_instance(&id, &by).await?.then_some(done))
            })
        }
        Command::Delete(Delete { instance, yes }) => {
            if !yes && !confirmed(&instance.id) {
                complain("nothing was deleted; say --yes where nobody can be asked");
                return Exit::Failure;
            }
            let done = format!("{}: erased, with its evidence", instance.id);
            on_instance(instance, async |store, id, by| {
                Ok(store.erase_instance(&id, &by).await?.then_some(done))
            })
        }
    }
}

fn list(arguments: &List) -> Exit {
    let filter = InstanceFilter {
        client_id: arguments.client.clone(),
        platform: arguments.platform,
        tier: arguments.tier.map(Into::into),
        banned: if arguments.not_banned { Some(false) } else { arguments.banned.then_some(true) },
        withdrawn: arguments.withdrawn.then_some(true),
        updated_since: arguments.updated_since.map(|Time(time)| time),
        updated_before: arguments.updated_before.map(|Time(time)| time),
        app_version: arguments.app_version.clone(),
    };
    let after = match arguments.cursor.as_ref().map(Cursor::bytes).transpose() {
        Ok(after) => after.map(InstanceId::from_bytes),
        Err(invalid) => {
            complain(invalid.to_string());
            return Exit::Usage;
        }
    };
    let Limit(limit) = arguments.limit;
    with_store(&arguments.settings.path, async |store| {
        let rows = store.instances(&filter, after, limit).await?;
        let listed = page_of_instances(&rows, limit);
        if arguments.json {
            answer(format!("{listed:#}"));
        } else {
            answer(table(&rows.records));
            for id in &rows.unreadable {
                complain(store.damaged_instance(id).to_string());
            }
            if let Some(next) = listed["next"].as_str() {
                complain(format!("there may be more: --cursor {next}"));
            }
        }
        Ok(Exit::Success)
    })
}

fn table(records: &[InstanceRecord]) -> String {
    let mut table = Table::new(["INSTANCE", "CLIENT", "PLATFORM", "TIER", "APP", "LAST USED", "STANDING"]);
    for record in records {
        let registered = &record.registered;
        let platform = match registered.platform_key {
            PlatformKey::AppAttest { .. } => "app-attest",
            PlatformKey::AndroidKey => "android-key",
            PlatformKey::PlayIntegrity => "play-integrity",
            PlatformKey::DevelopmentKey => "development-key",
        };
        let standing = match (&record.ban, &record.withdrawn) {
            (Some(ban), _) if record.banned && !ban.reason.is_empty() => format!("banned: {}", ban.reason),
            _ if record.banned => "banned".to_owned(),
            (_, Some(withdrawal)) => format!("withdrawn: {}", withdrawal.reasons.join(", ")),
            (_, None) => String::new(),
        };
        let (id, tier) = (registered.id.to_base64url(), json!(registered.trustworthiness.tier));
        let tier = tier.as_str().unwrap_or_default();
        let used = when(record.updated);
        table.row([&id, &registered.client_id, platform, tier, &record.app_version, &used, &standing]);
    }
    if table.is_empty() { "no such instance".to_owned() } else { table.to_string() }
}

/// Does something with one instance, by whoever may run this program.
fn on_instance(
    instance: &Instance,
    action: impl AsyncFnOnce(&Store, InstanceId, Actor<'static>) -> Result<Option<String>, ChangeError>,
) -> Exit {
    let Ok(id) = InstanceId::from_base64url(&instance.id) else {
        complain("an instance identifier has 22 characters of base64url");
        return Exit::Usage;
    };
    let by = Actor::command_line(Clock::system().now());
    with_store(&instance.settings.path, async |store| {
        match action(store, id, by).await {
            Ok(Some(done)) => {
                answer(done);
                return Ok(Exit::Success);
            }
            Ok(None) => complain(format!("no instance {} is registered", instance.id)),
            Err(ChangeError::Store(error)) => return Err(error),
            Err(error) => complain(error.to_string()),
        }
        Ok(Exit::Failure)
    })
}

/// Asks whoever sits at the terminal; no where nobody does.
fn confirmed(id: &str) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    // A question that cannot be written is not answered with yes.
    let asked = write!(io::stderr(), "Delete instance {id} and its evidence? This cannot be undone. [y/N] ");
    let mut said = String::new();
    asked.is_ok() && io::stdin().read_line(&mut said).is_ok() && matches!(said.trim(), "y" | "Y" | "yes")
}

/// Opens the store that the settings name, beside a service that may be running, and does something with it.
pub(super) fn with_store(
    settings: &Path,
    action: impl AsyncFnOnce(&Store) -> Result<Exit, StoreError>,
) -> Exit {
    with_settings(settings, async |store, _| action(store).await)
}

/// As [`with_store`], with the settings as well.
pub(super) fn with_settings(
    settings: &Path,
    action: impl AsyncFnOnce(&Store, &Settings) -> Result<Exit, StoreError>,
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
        let done = action(&store, &settings).await;
        store.close().await;
        done
    });
    done.unwrap_or_else(|error| {
        complain(error.to_string());
        Exit::Failure
    })
}
