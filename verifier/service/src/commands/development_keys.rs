//! `countersign development-keys`: keys of developers' machines, which vouch for the instances of development apps.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use countersign_core::token::keys::PublicKey;

use crate::administration::{
    Expiry, Table, client_ids, development_key, name, page, public_key, public_point, standing, when,
};
use crate::attestation::fresh_reference;
use crate::cli::{Exit, SettingsFile, answer, complain};
use crate::clock::Clock;
use crate::commands::instances::{with_settings, with_store};
use crate::policy_file;
use crate::store::{Actor, ChangeError, DevelopmentKeyRecord};

/// Longest file of a public key, in bytes.
const MAX_FILE: u64 = 16 * 1024;

/// What to do with development keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register a developer's public key.
    Add(Add),
    /// List all development keys.
    List(List),
    /// Revoke a development key: its instances are withdrawn, and edges refuse their results within seconds.
    Revoke(Revoke),
}

/// Arguments of `development-keys add`.
#[derive(Debug, Args)]
pub struct Add {
    /// What evidence names the key by.
    #[arg(value_name = "ID")]
    id: String,
    /// The public key (P-256), as PEM or JWK.
    #[arg(value_name = "FILE", required_unless_present = "public_key")]
    file: Option<PathBuf>,
    /// The public key in place of a file: its uncompressed point in base64url, as an app on an emulator or simulator shows it.
    #[arg(long, value_name = "POINT", conflicts_with = "file")]
    public_key: Option<String>,
    /// An app that it may vouch for; more than once for several. The policy must say `mode = "development"` of each.
    #[arg(long = "client", value_name = "CLIENT_ID", required = true)]
    clients: Vec<String>,
    /// When it ends: a date, or a span such as 90d; at most 366d.
    #[arg(long, value_name = "WHEN")]
    expires: Expiry,
    #[command(flatten)]
    settings: SettingsFile,
}

/// Arguments of `development-keys list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    settings: SettingsFile,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Arguments of `development-keys revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The key's identifier.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    settings: SettingsFile,
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    match command {
        Command::Add(arguments) => add(arguments),
        Command::List(arguments) => list(arguments),
        Command::Revoke(Revoke { id, settings }) => {
            let by = Actor::command_line(Clock::system().now());
            with_store(&settings.path, async |store| {
                if let Some(withdrawn) = store.revoke_development_key(id, &by, fresh_reference).await? {
                    answer(format!(
                        "{id} is revoked; instances that it vouched for and that are withdrawn: {withdrawn}"
                    ));
                    return Ok(Exit::Success);
                }
                complain("there is no development key of this identifier, or it was revoked before");
                Ok(Exit::Failure)
            })
        }
    }
}

impl Add {
    /// The key that is named, or why there is none, as a sentence.
    fn public_key(&self) -> Result<PublicKey, String> {
        if let Some(text) = &self.public_key {
            return public_point(text).map_err(|error| format!("--public-key: {error}"));
        }
        let Some(file) = &self.file else { return Err("name a file, or --public-key".to_owned()) };
        let mut content = Vec::new();
        File::open(file)
            .and_then(|file| file.take(MAX_FILE).read_to_end(&mut content))
            .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        public_key(&content).map_err(|error| format!("{}: {error}", file.display()))
    }
}

fn add(arguments: &Add) -> Exit {
    let now = Clock::system().now();
    let rules = || {
        name("id", &arguments.id)?;
        arguments.expires.of_development_key(now)
    };
    let expires = match rules() {
        Ok(expires) => expires,
        Err(invalid) => {
            complain(invalid.to_string());
            return Exit::Usage;
        }
    };
    let public_key = match arguments.public_key() {
        Ok(key) => key,
        Err(why) => {
            complain(why);
            return Exit::Failure;
        }
    };
    with_settings(&arguments.settings.path, async |store, settings| {
        let policy = match policy_file::load(&settings.policy) {
            Ok(policy) => policy,
            Err(problems) => {
                complain(problems.to_string());
                return Ok(Exit::Failure);
            }
        };
        if let Err(invalid) = client_ids(&arguments.clients, &policy) {
            complain(invalid.to_string());
            return Ok(Exit::Failure);
        }
        let key = DevelopmentKeyRecord {
            id: arguments.id.clone(),
            public_key,
            client_ids: arguments.clients.clone(),
            created: now,
            expires,
            revoked: None,
        };
        match store.add_development_key(&key, &Actor::command_line(now)).await {
            Ok(()) => {
                answer(format!("{} vouches until {}", key.id, when(expires)));
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

fn list(arguments: &List) -> Exit {
    let now = Clock::system().now();
    with_store(&arguments.settings.path, async |store| {
        let keys = store.development_keys().await?;
        if arguments.json {
            let entries = keys.iter().map(|key| development_key(key, now)).collect();
            answer(format!("{:#}", page("development_keys", entries, 0, None)));
            return Ok(Exit::Success);
        }
        let mut table = Table::new(["ID", "STANDING", "EXPIRES", "CLIENTS", "THUMBPRINT"]);
        for key in &keys {
            let standing = standing(key.revoked, Some(key.expires), now);
            let thumbprint = key.public_key.thumbprint().to_base64url();
            table.row([&key.id, standing, &when(key.expires), &key.client_ids.join(" "), &thumbprint]);
        }
        answer(if table.is_empty() { "no development key".to_owned() } else { table.to_string() });
        Ok(Exit::Success)
    })
}
