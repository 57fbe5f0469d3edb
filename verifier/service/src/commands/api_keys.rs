//! `countersign keys api`: the keys with which attested apps call a resource. They stand in the resource's own file,
//! as hashes; edges read it and need nothing else.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use countersign_core::time::Timestamp;
use countersign_verifier::credential::api_key::{ApiKey, ApiKeyId, ApiKeys, RANDOM_LENGTH};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::administration::{Expiry, Table, page, standing, when};
use crate::cli::{Exit, SettingsFile, answer, complain};
use crate::clock::Clock;
use crate::keys::{read_secret, write_private};
use crate::settings::{ResourceSettings, Settings};

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an API key for an app, and print it this once. An app has at most two that are good: one in use, and the
    /// one that replaces it.
    New(NewKey),
    /// List all API keys of a resource.
    List(ListKeys),
    /// Revoke an API key: edges refuse it within ten seconds.
    Revoke(RevokeKey),
}

/// Arguments of `keys api new`.
#[derive(Debug, Args)]
pub struct NewKey {
    /// The attested app that may use it: the `sub` of its results.
    #[arg(value_name = "CLIENT_ID")]
    client_id: String,
    /// A scope that it has; repeat for further ones.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// When it ends: a date, or a span such as 90d, at most 731 days away.
    #[arg(long, value_name = "WHEN", default_value = "365d")]
    expires: Expiry,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `keys api list`.
#[derive(Debug, Args)]
pub struct ListKeys {
    #[command(flatten)]
    place: Place,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Arguments of `keys api revoke`.
#[derive(Debug, Args)]
pub struct RevokeKey {
    /// The twelve characters after `csk_`.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    place: Place,
}

/// Whose keys they are.
#[derive(Debug, Args)]
pub struct Place {
    #[command(flatten)]
    settings: SettingsFile,
    /// The resource's name in the settings. Default: the only one that takes API keys.
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
}

/// Runs the command.
pub fn run(command: &Command) -> Exit {
    let done = match command {
        Command::New(arguments) => new(arguments),
        Command::List(arguments) => list(arguments),
        Command::Revoke(arguments) => revoke(arguments),
    };
    done.unwrap_or_else(|(exit, sentence)| {
        complain(sentence);
        exit
    })
}

/// How a command ends, or what it complains of.
type Done = Result<Exit, (Exit, String)>;

fn failed(sentence: impl ToString) -> (Exit, String) {
    (Exit::Failure, sentence.to_string())
}

fn new(arguments: &NewKey) -> Done {
    let now = Clock::system().now();
    let expires = arguments.expires.of_api_key(now).map_err(|invalid| (Exit::Usage, invalid.to_string()))?;
    let resource = arguments.place.resource()?;
    if !resource.has_app(&arguments.client_id) {
        return Err(failed(format!(
            "`{}` is no app of the resource {}; add it to its `apps` first",
            arguments.client_id, resource.name
        )));
    }
    let mut random = Zeroizing::new([0; RANDOM_LENGTH]);
    getrandom::fill(random.as_mut_slice()).map_err(|_| failed("the system gives no randomness"))?;
    let scopes = arguments.scopes.clone();
    let key = change(&resource, |keys| keys.issue(&random, &arguments.client_id, scopes, now, expires))?;
    let key = key.map_err(failed)?;
    answer(key.as_str());
    complain("keep this key now: it is not shown again, and only its hash is stored");
    Ok(Exit::Success)
}

fn revoke(arguments: &RevokeKey) -> Done {
    let now = Clock::system().now();
    // A key in full is taken as well: whoever found one that leaked has it at hand.
    let id =
        arguments.id.strip_prefix("csk_").and_then(|rest| rest.split('_').next()).unwrap_or(&arguments.id);
    let id = ApiKeyId::from_text(id)
        .ok_or_else(|| (Exit::Usage, "an id is the twelve characters after `csk_`".to_owned()))?;
    if change(&arguments.place.resource()?, |keys| Some(keys.revoke(id, now)).filter(|done| *done).ok_or(()))?
        .is_ok()
    {
        return Ok(Exit::Success);
    }
    Err(failed("there is no API key of this id, or it was revoked before"))
}

fn list(arguments: &ListKeys) -> Done {
    let now = Clock::system().now();
    let resource = arguments.place.resource()?;
    let keys = read(&file_of(&resource)?)?;
    let mut keys: Vec<&ApiKey> = keys.iter().collect();
    keys.sort_by_key(|key| (&key.client_id, key.created_at));
    if arguments.json {
        let entries = keys.iter().map(|key| entry(key, now)).collect();
        answer(format!("{:#}", page("api_keys", entries, 0, None)));
        return Ok(Exit::Success);
    }
    let mut table = Table::new(["ID", "CLIENT", "STANDING", "CREATED", "EXPIRES", "SCOPES"]);
    for key in keys {
        let state = standing(key.revoked_at, Some(key.expires_at), now);
        let (created, ends) = (when(key.created_at), when(key.expires_at));
        table.row([&key.id.to_string(), &key.client_id, state, &created, &ends, &key.scopes.join(" ")]);
    }
    answer(if table.is_empty() { "no API key".to_owned() } else { table.to_string() });
    Ok(Exit::Success)
}

fn entry(key: &ApiKey, now: Timestamp) -> Value {
    json!({
        "id": key.id.to_string(),
        "client_id": key.client_id,
        "scopes": key.scopes,
        "standing": standing(key.revoked_at, Some(key.expires_at), now),
        "created_at": key.created_at.as_unix_seconds(),
        "expires_at": key.expires_at.as_unix_seconds(),
        "revoked_at": key.revoked_at.map(Timestamp::as_unix_seconds),
    })
}

impl Place {
    fn resource(&self) -> Result<ResourceSettings, (Exit, String)> {
        let settings = Settings::load(&self.settings.path).map_err(failed)?;
        let takes_keys = |resource: &ResourceSettings| resource.api_keys.is_some();
        let mut fitting = settings.resources.into_iter().filter(takes_keys);
        if let Some(name) = &self.resource {
            let found = fitting.find(|resource| resource.name == *name);
            return found.ok_or_else(|| failed(format!("no resource called `{name}` takes API keys")));
        }
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(failed("no resource takes API keys; docs/operations.md tells how one does")),
            (Some(_), Some(_)) => {
                Err((Exit::Usage, "several resources take API keys; say which with --resource".to_owned()))
            }
        }
    }
}

fn file_of(resource: &ResourceSettings) -> Result<PathBuf, (Exit, String)> {
    resource.api_keys.clone().ok_or_else(|| failed("the resource takes no API keys"))
}

/// Changes the keys in the file, alone: of two commands at once, none undoes what the other did.
fn change<T, E>(
    resource: &ResourceSettings,
    change: impl FnOnce(&mut ApiKeys) -> Result<T, E>,
) -> Result<Result<T, E>, (Exit, String)> {
    let file = file_of(resource)?;
    let _lock =
        lock(&file).map_err(|error| failed(format!("{} cannot be locked: {error}", file.display())))?;
    let mut keys = read(&file)?;
    let changed = change(&mut keys);
    if changed.is_ok() {
        let text = keys.to_json();
        // What could not be read again would lock everybody out.
        ApiKeys::decode(text.as_bytes()).map_err(|error| failed(format!("{}: {error}", file.display())))?;
        write_private(&file, &text).map_err(failed)?;
    }
    Ok(changed)
}

/// Holds others off until it is dropped. The file itself is replaced by each change, so it cannot be what is locked.
fn lock(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let lock = options.open(file.with_extension("lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// The keys in the file; none if it is not there yet.
fn read(file: &Path) -> Result<ApiKeys, (Exit, String)> {
    if !file.exists() {
        return Ok(ApiKeys::default());
    }
    let text = read_secret(file).map_err(failed)?;
    ApiKeys::decode(text.as_bytes()).map_err(|error| failed(format!("{}: {error}", file.display())))
}
