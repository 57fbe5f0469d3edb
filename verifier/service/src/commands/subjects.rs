//! `countersign subjects`: banning users, whatever device they come with.

use clap::{Args, Subcommand};
use countersign_verifier::check::deny_list::SubjectDigest;

use crate::administration::{
    Cursor, Invalid, Limit, Table, ban_reason, issuer, page, subject, subject_ban, when,
};
use crate::cli::{Exit, SettingsFile, answer, complain};
use crate::clock::Clock;
use crate::commands::instances::with_store;
use crate::store::{Actor, ChangeError, SubjectBan};

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ban a user: edges refuse his access tokens within seconds, on every device.
    Ban(Ban),
    /// Lift the ban of a user.
    Unban(Subject),
    /// List the banned users, a page at a time.
    List(List),
}

/// One user.
#[derive(Debug, Args)]
pub struct Subject {
    /// `iss` of his access tokens, byte for byte.
    #[arg(long, value_name = "ISSUER")]
    issuer: String,
    /// `sub` of his access tokens, byte for byte.
    #[arg(value_name = "SUBJECT", allow_hyphen_values = true)]
    subject: String,
    #[command(flatten)]
    settings: SettingsFile,
}

/// Arguments of `subjects ban`.
#[derive(Debug, Args)]
pub struct Ban {
    #[command(flatten)]
    subject: Subject,
    /// Why, for other administrators; the user is not told.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// Arguments of `subjects list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    settings: SettingsFile,
    /// Only users of this issuer.
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
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
    let done = match command {
        Command::Ban(arguments) => ban(arguments),
        Command::Unban(user) => unban(user),
        Command::List(arguments) => list(arguments),
    };
    done.unwrap_or_else(|invalid| {
        complain(invalid.to_string());
        Exit::Usage
    })
}

fn ban(Ban { subject: user, reason }: &Ban) -> Result<Exit, Invalid> {
    let (issuer, subject, reason) = (issuer(&user.issuer)?, subject(&user.subject)?, ban_reason(reason)?);
    let by = Actor::command_line(Clock::system().now());
    Ok(with_store(&user.settings.path, async |store| {
        match store.ban_subject(issuer, subject, reason, &by).await {
            Ok(_) => Ok(Exit::Success),
            Err(ChangeError::Store(error)) => Err(error),
            Err(_) => {
                complain(
                    "as many users are banned as a deny list can name; lift bans, or delete the accounts",
                );
                Ok(Exit::Failure)
            }
        }
    }))
}

fn unban(user: &Subject) -> Result<Exit, Invalid> {
    let digest = SubjectDigest::of(issuer(&user.issuer)?, subject(&user.subject)?);
    let by = Actor::command_line(Clock::system().now());
    Ok(with_store(&user.settings.path, async |store| {
        if store.unban_subject(&digest, &by).await? {
            return Ok(Exit::Success);
        }
        complain("this user is not banned; issuer and subject count byte for byte");
        Ok(Exit::Failure)
    }))
}

fn list(arguments: &List) -> Result<Exit, Invalid> {
    let after = arguments.cursor.as_ref().map(Cursor::bytes).transpose()?.map(SubjectDigest::from_bytes);
    let Limit(limit) = arguments.limit;
    Ok(with_store(&arguments.settings.path, async |store| {
        let bans = store.subject_bans(arguments.issuer.as_deref(), after, limit).await?;
        let entries: Vec<_> = bans.iter().map(subject_ban).collect();
        let last = entries.last().and_then(|ban| Some(ban["id"].as_str()?.to_owned()));
        let listed = page("subjects", entries, limit, last);
        if arguments.json {
            answer(format!("{listed:#}"));
        } else {
            answer(table(&bans));
            if let Some(next) = listed["next"].as_str() {
                complain(format!("there may be more: --cursor {next}"));
            }
        }
        Ok(Exit::Success)
    }))
}

fn table(bans: &[SubjectBan]) -> String {
    let mut table = Table::new(["ISSUER", "SUBJECT", "BANNED", "REASON"]);
    for ban in bans {
        table.row([&ban.issuer, &ban.subject, &when(ban.banned), &ban.reason]);
    }
    if table.is_empty() { "nobody is banned".to_owned() } else { table.to_string() }
}
