//! What `inspect` found out, and how it is printed.

use std::fmt::Write;

use countersign_core::time::Timestamp;
use serde_json::{Map, Value as Json, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::Exit;

/// What something is, what it says, and what of that was verified.
#[derive(Debug, Default)]
pub(super) struct Explanation {
    /// A stable name, such as `compact-result`.
    pub(super) kind: &'static str,
    /// What it is, in a sentence.
    pub(super) what: &'static str,
    /// What it says, in parts such as header and claims.
    pub(super) parts: Vec<(String, Value)>,
    /// From when until when it is good, where it says so.
    pub(super) validity: Option<Validity>,
    /// What was verified, and what was not.
    pub(super) checks: Vec<Check>,
}

/// One value as it is shown.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Number(i128),
    /// A number on the wire and its name.
    Named(String, u64),
    Flag(bool),
    Time(Timestamp),
    List(Vec<Value>),
    Members(Vec<(String, Value)>),
    Json(Json),
}

/// From when until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) from: Option<Timestamp>,
    pub(super) until: Timestamp,
}

/// Whether something about it holds.
#[derive(Debug)]
pub(super) struct Check {
    /// What was to be verified, such as `signature`.
    pub(super) of: &'static str,
    pub(super) outcome: Outcome,
    /// With what it was verified, or what is needed for it.
    pub(super) detail: String,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Verified,
    Failed,
    NotVerified,
}

/// Members by name, in their order.
pub(super) fn members<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Members(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Bytes in lower-case hex.
    pub(super) fn hex(bytes: &[u8]) -> Self {
        Self::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn is_absent(&self) -> bool {
        matches!(self, Self::Json(Json::Null))
    }

    fn json(&self) -> Json {
        match self {
            Self::Text(text) | Self::Named(text, _) => text.as_str().into(),
            Self::Number(number) => {
                i64::try_from(*number).map_or_else(|_| json!(number.to_string()), Json::from)
            }
            Self::Flag(flag) => (*flag).into(),
            Self::Time(time) => rfc3339(*time).map_or_else(|| json!(time.as_unix_seconds()), Json::from),
            Self::List(values) => values.iter().map(Self::json).collect(),
            Self::Members(members) => {
                let present = members.iter().filter(|(_, value)| !value.is_absent());
                Json::Object(present.map(|(name, value)| (name.clone(), value.json())).collect())
            }
            Self::Json(json) => json.clone(),
        }
    }
}

impl<V: Into<Value>> From<Option<V>> for Value {
    /// What is absent is not shown.
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Json(Json::Null), Into::into)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::Time(time)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number.into())
    }
}

impl Check {
    pub(super) fn verified(of: &'static str, detail: impl Into<String>) -> Self {
        Self { of, outcome: Outcome::Verified, detail: detail.into() }
    }

    pub(super) fn failed(of: &'static str, detail: impl Into<String>) -> Self {
        Self { of, outcome: Outcome::Failed, detail: detail.into() }
    }

    pub(super) fn not_verified(of: &'static str, detail: impl Into<String>) -> Self {
        Self { of, outcome: Outcome::NotVerified, detail: detail.into() }
    }
}

impl Explanation {
    /// 0, or 1 if something was to be verified and does not hold.
    pub(super) fn exit(&self) -> Exit {
        let failed = self.checks.iter().any(|check| check.outcome == Outcome::Failed);
        if failed { Exit::Failure } else { Exit::Success }
    }

    /// For a machine.
    pub(super) fn json(&self, now: Timestamp) -> String {
        let mut report = Map::new();
        report.insert("kind".to_owned(), self.kind.into());
        report.insert("what".to_owned(), self.what.into());
        for (name, value) in &self.parts {
            report.insert(name.replace(' ', "_"), value.json());
        }
        if let Some(validity) = self.validity {
            report.insert("expired".to_owned(), (now >= validity.until).into());
            report.insert("not_yet_valid".to_owned(), validity.from.is_some_and(|from| now < from).into());
        }
        let checks = self.checks.iter().map(|check| {
            let outcome = match check.outcome {
                Outcome::Verified => "verified",
                Outcome::Failed => "failed",
                Outcome::NotVerified => "not-verified",
            };
            json!({ "of": check.of, "outcome": outcome, "detail": check.detail })
        });
        report.insert("checks".to_owned(), checks.collect());
        escaped_json(&format!("{:#}", Json::Object(report)))
    }

    /// For a person.
    pub(super) fn text(&self, now: Timestamp) -> String {
        let mut text = format!("{}\n", self.what);
        if let Some(validity) = self.validity {
            let _ = writeln!(text, "{}", validity.sentence(now));
        }
        for (name, value) in &self.parts {
            let _ = writeln!(text, "\n{}:", printable(name));
            write_value(&mut text, value, 1, now);
        }
        for (title, outcomes) in [
            ("checked", &[Outcome::Verified, Outcome::Failed][..]),
            ("not verified", &[Outcome::NotVerified]),
        ] {
            let checks: Vec<_> =
                self.checks.iter().filter(|check| outcomes.contains(&check.outcome)).collect();
            if !checks.is_empty() {
                let _ = writeln!(text, "\n{title}:");
            }
            for check in checks {
                let mark = if check.outcome == Outcome::Failed { "DOES NOT HOLD: " } else { "" };
                let _ = writeln!(text, "  {:<16}{mark}{}", check.of, printable(&check.detail));
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

impl Validity {
    fn sentence(self, now: Timestamp) -> String {
        match self.from {
            Some(from) if now < from => format!("NOT YET VALID: begins {}", distance(from, now)),
            _ if now >= self.until => format!("EXPIRED {}", distance(self.until, now)),
            _ => format!("current; expires {}", distance(self.until, now)),
        }
    }
}

/// A time as people write it; None beyond the year 9999.
pub(crate) fn rfc3339(time: Timestamp) -> Option<String> {
    let seconds = i64::try_from(time.as_unix_seconds()).ok()?;
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&Rfc3339).ok()
}

/// Whatever a device or an attacker wrote: nothing in it may steer a terminal or turn a line around.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for letter in text.chars() {
        if steers_a_terminal(letter) {
            printable.extend(letter.escape_unicode());
        } else {
            printable.push(letter);
        }
    }
    printable
}

/// The same for JSON, whose own line breaks stay.
pub(super) fn escaped_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter != '\n' && steers_a_terminal(letter) {
            // All such letters lie in the basic plane.
            let _ = write!(escaped, "\\u{:04x}", u32::from(letter));
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

/// Control characters, and those that change the direction of text.
const fn steers_a_terminal(letter: char) -> bool {
    matches!(letter, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' |
        '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn write_value(text: &mut String, value: &Value, depth: usize, now: Timestamp) {
    match value {
        Value::Members(members) => {
            let present = members.iter().filter(|(_, value)| !value.is_absent());
            let width = present.clone().map(|(name, _)| name.chars().count()).max().unwrap_or(0).min(32);
            for (name, value) in present {
                let _ = write!(text, "{:indent$}{:<width$}  ", "", printable(name), indent = depth * 2);
                write_after_name(text, value, depth, now);
            }
        }
        Value::List(values) => {
            for (index, value) in values.iter().enumerate() {
                let _ = write!(text, "{:indent$}[{index}]  ", "", indent = depth * 2);
                write_after_name(text, value, depth, now);
            }
        }
        Value::Json(Json::Object(object)) => {
            let members = object.iter().map(|(name, value)| (name.clone(), Value::Json(value.clone())));
            write_value(text, &Value::Members(members.collect()), depth, now);
        }
        line => {
            let _ = writeln!(text, "{:indent$}{}", "", one_line(line, now), indent = depth * 2);
        }
    }
}

fn write_after_name(text: &mut String, value: &Value, depth: usize, now: Timestamp) {
    let is_tree = match value {
        Value::Members(members) => !members.is_empty(),
        Value::List(values) => !values.iter().all(|value| matches!(value, Value::Text(_) | Value::Number(_))),
        Value::Json(Json::Object(object)) => !object.is_empty(),
        _ => false,
    };
    if is_tree {
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
        write_value(text, value, depth + 1, now);
    } else {
        let _ = writeln!(text, "{}", one_line(value, now));
    }
}

fn one_line(value: &Value, now: Timestamp) -> String {
    match value {
        Value::Text(text) => printable(text),
        Value::Number(number) => number.to_string(),
        Value::Named(name, number) => format!("{} ({number})", printable(name)),
        Value::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        Value::Time(time) => match rfc3339(*time) {
            Some(text) => format!("{text} ({})", distance(*time, now)),
            None => format!("{} seconds since 1970, beyond the year 9999", time.as_unix_seconds()),
        },
        Value::List(values) if values.is_empty() => "none".to_owned(),
        Value::List(values) => values.iter().map(|value| one_line(value, now)).collect::<Vec<_>>().join(", "),
        Value::Members(_) => "empty".to_owned(),
        Value::Json(Json::String(text)) => printable(text),
        Value::Json(json) => printable(&json.to_string()),
    }
}

/// `in 9 minutes`, `3 days ago`.
pub(super) fn distance(time: Timestamp, now: Timestamp) -> String {
    const UNITS: [(u64, &str); 5] =
        [(365 * 86_400, "year"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let seconds = time.seconds_since(now).max(now.seconds_since(time));
    if seconds == 0 {
        return "now".to_owned();
    }
    let (length, unit) = UNITS.into_iter().find(|(length, _)| seconds >= *length).unwrap_or((1, "second"));
    let count = seconds / length;
    let plural = if count == 1 { "" } else { "s" };
    if time > now { format!("in {count} {unit}{plural}") } else { format!("{count} {unit}{plural} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

    #[test]
    fn what_a_device_wrote_cannot_steer_a_terminal() {
        let hostile = "\u{1b}[2J\u{9b}1A\r\nverified\u{202e}\u{200b}";
        let explanation = Explanation {
            kind: "test",
            what: "A test",
            parts: vec![(
                "claims".to_owned(),
                Value::Members(vec![
                    (hostile.to_owned(), Value::text(hostile)),
                    ("json".to_owned(), Value::Json(json!({ hostile: [hostile] }))),
                ]),
            )],
            checks: vec![Check::not_verified("signature", hostile)],
            ..Explanation::default()
        };
        for shown in [explanation.text(NOW), explanation.json(NOW)] {
            assert!(shown.chars().all(|letter| letter == '\n' || !steers_a_terminal(letter)), "{shown:?}");
            assert!(!shown.contains("\nverified"), "{shown}");
        }
    }

    #[test]
    fn json_stays_json_after_escaping() {
        let value = json!({ "a": "\u{202e}\u{85}\n\"" });
        let read: Json = serde_json::from_str(&escaped_json(&format!("{value:#}"))).unwrap();
        assert_eq!(read, value);
    }

    #[test]
    fn times_are_told_from_now() {
        assert_eq!(distance(NOW.plus(599), NOW), "in 9 minutes");
        assert_eq!(distance(NOW.minus(86_400), NOW), "1 day ago");
        assert_eq!(distance(NOW, NOW), "now");
        assert_eq!(rfc3339(Timestamp::EPOCH).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(rfc3339(Timestamp::from_unix_seconds(u64::MAX)), None);
    }

    #[test]
    fn only_a_check_that_was_tried_can_fail() {
        let with = |check| Explanation { checks: vec![check], ..Explanation::default() }.exit();
        assert_eq!(with(Check::not_verified("signature", "")), Exit::Success);
        assert_eq!(with(Check::verified("signature", "")), Exit::Success);
        assert_eq!(with(Check::failed("signature", "")), Exit::Failure);
    }
}
