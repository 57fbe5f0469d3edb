//! `countersign attempts`: requests that the edge refused lately. They are in the memory of the running service alone, so
//! its admin listener is asked.

use std::path::PathBuf;

use clap::Args;
use reqwest::{StatusCode, Url};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::administration::{AdminKey, Table, when};
use crate::bounded_file;
use crate::cli::{Exit, answer, complain};

/// Longest key file, in bytes.
const MAX_KEY: u64 = 1024;

/// Arguments of `attempts`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the admin listener is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8082")]
    admin: Url,
    /// The file of an admin key, as `countersign keys admin new` prints it.
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_ADMIN_KEY_FILE")]
    key_file: PathBuf,
    /// Only those that say so, such as `reason=replayed`; also since, before, source, resource, route, client_id, instance,
    /// app_version, class, verdict, limit and cursor. May stand several times.
    #[arg(value_name = "MEMBER=VALUE")]
    filter: Vec<String>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    match listed(arguments) {
        Ok(page) => {
            answer(if arguments.json { format!("{page:#}") } else { table(&page) });
            Exit::Success
        }
        Err(sentence) => {
            complain(sentence);
            Exit::Failure
        }
    }
}

fn listed(arguments: &Arguments) -> Result<Value, String> {
    let file = &arguments.key_file;
    let read = bounded_file::read(file, MAX_KEY).map_err(|error| format!("{}: {error}", file.display()))?;
    let text = Zeroizing::new(read);
    let key = std::str::from_utf8(&text).ok().and_then(|text| AdminKey::from_text(text.trim()));
    let key = key.ok_or_else(|| format!("{} holds no admin key", file.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("this command cannot start: {error}"))?;
    runtime.block_on(ask(&url(&arguments.admin, &arguments.filter)?, &key))
}

/// The call. The key goes in the clear to this machine alone.
fn url(admin: &Url, filter: &[String]) -> Result<Url, String> {
    let is_own = matches!(admin.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    if admin.scheme() != "https" && !is_own {
        return Err(format!("{admin} is not private; write https, or http on this machine alone"));
    }
    let mut url = admin.join("/admin/v1/attempts").map_err(|error| format!("{admin}: {error}"))?;
    for member in filter {
        let (name, value) =
            member.split_once('=').ok_or_else(|| format!("`{member}` is not MEMBER=VALUE"))?;
        url.query_pairs_mut().append_pair(name, value);
    }
    Ok(url)
}

async fn ask(url: &Url, key: &AdminKey) -> Result<Value, String> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(10))
        .build()
        .map_err(|error| format!("this command cannot start: {error}"))?;
    let call = client.get(url.clone()).bearer_auth(key.reveal().as_str());
    let response = call.send().await.map_err(|error| format!("the service does not answer: {error}"))?;
    let status = response.status();
    let body: Value = response.json().await.unwrap_or_default();
    match (status.is_success(), body.get("detail").or(body.get("title")).and_then(Value::as_str)) {
        (true, _) => Ok(body),
        (false, Some(why)) => Err(format!("{status}: {why}")),
        (false, None) if status == StatusCode::NOT_FOUND => Err(format!(
            "{} knows no attempts: it is not the admin listener of `countersign serve`; an edge apart writes them to its log",
            url.origin().ascii_serialization()
        )),
        (false, None) => Err(format!("the service answered {status}")),
    }
}

fn table(page: &Value) -> String {
    let mut table = Table::new(["TIME", "SOURCE", "ROUTE", "APP", "INSTANCE", "CLASS", "REASON", "VERDICT"]);
    let attempts = page.get("attempts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for attempt in attempts {
        let text = |name: &str| attempt.get(name).and_then(Value::as_str).unwrap_or("-");
        let time = attempt.get("time").and_then(Value::as_u64).unwrap_or_default();
        let time = when(countersign_core::time::Timestamp::from_unix_seconds(time));
        let route = format!("{} {}", text("resource"), text("route"));
        table.row([
            &time,
            text("source"),
            &route,
            text("client_id"),
            text("instance"),
            text("class"),
            text("reason"),
            text("verdict"),
        ]);
    }
    if table.is_empty() {
        return "No attempts.".to_owned();
    }
    match page.get("next").and_then(Value::as_str) {
        Some(next) => format!("{table}\nMore: cursor={next}"),
        None => table.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(admin: &str, filter: &[&str]) -> Result<String, String> {
        let filter: Vec<String> = filter.iter().map(|text| (*text).to_owned()).collect();
        url(&admin.parse().unwrap(), &filter).map(String::from)
    }

    #[test]
    fn the_key_goes_in_the_clear_to_this_machine_alone() {
        assert!(asked("http://127.0.0.1:8082", &[]).is_ok() && asked("https://ops.example", &[]).is_ok());
        for admin in ["http://ops.example", "http://127.0.0.1.ops.example", "http://10.0.0.1:8082"] {
            assert!(asked(admin, &[]).unwrap_err().contains("is not private"), "{admin}");
        }
    }

    #[test]
    fn a_filter_is_a_member_and_cannot_add_another() {
        let url = asked("http://127.0.0.1:8082", &["reason=replayed&limit=1", "limit=5"]).unwrap();
        assert_eq!(url, "http://127.0.0.1:8082/admin/v1/attempts?reason=replayed%26limit%3D1&limit=5");
        assert!(asked("http://127.0.0.1:8082", &["replayed"]).is_err());
    }
}
