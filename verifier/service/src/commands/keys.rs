//! `countersign keys`: making and rotating the service's own keys, the keys of its administrators, and API keys.

use std::path::Path;

use clap::{Args, Subcommand};

use crate::administration::{AdminKey, Expiry, Table, admin_key, name, page, standing, when};
use crate::cli::{Exit, SettingsFile, answer, complain};
use crate::clock::Clock;
use crate::commands::api_keys;
use crate::commands::instances::with_store;
use crate::keys::ServiceKeys;
use crate::settings::Settings;
use crate::store::{Actor, ChangeError};

/// What to do with the keys. Restart the service afterwards.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the next keys current and new ones next; old ones stay known for a day.
    Rotate(Place),
    /// Make new keys where the old ones are lost. Everything that those signed is disowned.
    New(Place),
    /// The keys that open the administration over HTTP. They count at once; no restart is needed.
    #[command(subcommand)]
    Admin(Admin),
    /// The API keys with which apps call a resource. They count within ten seconds; no restart is needed.
    #[command(subcommand)]
    Api(api_keys::Command),
}

/// What to do with admin keys.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Make an admin key, and print it this once.
    New(NewKey),
    /// List all admin keys.
    List(ListKeys),
    /// Revoke an admin key.
    Revoke(RevokeKey),
}

/// Arguments of `keys admin new`.
#[derive(Debug, Args)]
pub struct NewKey {
    /// What its acts are signed with in the trail; never used twice.
    #[arg(value_name = "NAME")]
    name: String,
    /// When it ends: a date, or a span such as 90d. Default: when it is revoked.
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expiry>,
    #[command(flatten)]
    settings: SettingsFile,
}

/// Arguments of `keys admin list`.
#[derive(Debug, Args)]
pub struct ListKeys {
    #[command(flatten)]
    settings: SettingsFile,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Arguments of `keys admin revoke`.
#[derive(Debug, Args)]
pub struct RevokeKey {
    /// The key's name.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    settings: SettingsFile,
}

/// Where the keys are.
#[derive(Debug, Args)]
pub struct Place {
    #[command(flatten)]
    settings: SettingsFile,
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    let (place, rotates) = match command {
        Command::Rotate(place) => (place, true),
        Command::New(place) => (place, false),
        Command::Admin(command) => return administrators(command),
        Command::Api(command) => return api_keys::run(command),
    };
    let settings = match Settings::load(&place.settings.path) {
        Ok(settings) => settings,
        Err(problems) => {
            complain(problems.to_string());
            return Exit::Failure;
        }
    };
    let directory: &Path = &settings.keys.directory;
    let now = Clock::system().now();
    let done = if rotates {
        ServiceKeys::rotate(directory, now)
    } else {
        ServiceKeys::open(directory, false, now).map(drop)
    };
    match done {
        Ok(()) => {
            answer(format!("{}: done; restart the service to use the keys", directory.display()));
            Exit::Success
        }
        Err(error) => {
            complain(error.to_string());
            Exit::Failure
        }
    }
}

fn administrators(command: &Admin) -> Exit {
    match command {
        Admin::New(arguments) => new_admin_key(arguments),
        Admin::List(arguments) => list_admin_keys(arguments),
        Admin::Revoke(RevokeKey { name, settings }) => {
            let by = Actor::command_line(Clock::system().now());
            with_store(&settings.path, async |store| {
                if store.revoke_admin_key(name, &by).await? {
                    return Ok(Exit::Success);
                }
                complain("there is no admin key of this name, or it was revoked before");
                Ok(Exit::Failure)
            })
        }
    }
}

fn new_admin_key(arguments: &NewKey) -> Exit {
    let now = Clock::system().now();
    let rules = || {
        name("name", &arguments.name)?;
        arguments.expires.map(|expires| expires.of_admin_key(now)).transpose()
    };
    let expires = match rules() {
        Ok(expires) => expires,
        Err(invalid) => {
            complain(invalid.to_string());
            return Exit::Usage;
        }
    };
    let mut random = [0; 32];
    if getrandom::fill(&mut random).is_err() {
        complain("the system gives no randomness");
        return Exit::Failure;
    }
    let key = AdminKey::from_random(random);
    with_store(&arguments.settings.path, async |store| {
        let by = Actor::command_line(now);
        match store.add_admin_key(&arguments.name, &key.digest(), expires, &by).await {
            Ok(()) => {
                answer(key.reveal().as_str());
                complain("keep this key now: it is not shown again, and only its hash is stored");
                Ok(Exit::Success)
            }
            Err(ChangeError::Store(error)) => Err(error),
            Err(error) => {
                complain(error.to_string());
                Ok(Exit::Failure)
            }
        }
    })
}

fn list_admin_keys(arguments: &ListKeys) -> Exit {
    let now = Clock::system().now();
    with_store(&arguments.settings.path, async |store| {
        let keys = store.admin_keys().await?;
        if arguments.json {
            let entries = keys.iter().map(|key| admin_key(key, now)).collect();
            answer(format!("{:#}", page("admin_keys", entries, 0, None)));
            return Ok(Exit::Success);
        }
        let mut table = Table::new(["NAME", "STANDING", "CREATED", "EXPIRES"]);
        for key in &keys {
            let ends = key.expires.map_or_else(|| "never".to_owned(), when);
            table.row([&key.name, standing(key.revoked, key.expires, now), &when(key.created), &ends]);
        }
        answer(if table.is_empty() { "no admin key".to_owned() } else { table.to_string() });
        Ok(Exit::Success)
    })
}
