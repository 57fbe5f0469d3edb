//! What was found, for people or as JSON.

use std::fmt::Write;

use countersign_core::time::Timestamp;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Members that hold a time in seconds since the epoch; people get to read a date.
const TIMES: [&str; 7] = ["iat", "exp", "nbf", "evidence_time", "not_before", "not_after", "issued"];

/// Whether a signature was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// There is none, or it belongs to evidence, which `appraise` verifies.
    None,
    /// No key was given for it.
    NotVerified,
    /// A given key verifies it.
    Good,
    /// No given key verifies it.
    Bad,
}

/// One thing that was found, with the things inside it.
#[derive(Debug)]
pub(super) struct Finding {
    what: String,
    signature: Signature,
    facts: Map<String, Value>,
    notes: Vec<String>,
    parts: Vec<Self>,
}

impl Finding {
    /// A thing and its facts: the members of an object.
    pub(super) fn new(what: impl Into<String>, facts: Value) -> Self {
        let facts = match facts {
            Value::Object(members) => members,
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        Self { what: what.into(), signature: Signature::None, facts, notes: Vec::new(), parts: Vec::new() }
    }

    pub(super) fn signed(mut self, signature: Signature) -> Self {
        self.signature = signature;
        self
    }

    pub(super) fn note(mut self, sentence: impl Into<String>) -> Self {
        self.notes.push(sentence.into());
        self
    }

    pub(super) fn part(mut self, part: Self) -> Self {
        self.parts.push(part);
        self
    }

    /// Whether a signature in it does not verify.
    pub(super) fn is_forged(&self) -> bool {
        self.signature == Signature::Bad || self.parts.iter().any(Self::is_forged)
    }

    pub(super) fn to_json(&self) -> Value {
        let mut all = json!({ "what": self.what, "facts": self.facts });
        if let Some(signature) = self.signature.json() {
            all["signature"] = signature.into();
        }
        if !self.notes.is_empty() {
            all["notes"] = json!(self.notes);
        }
        if !self.parts.is_empty() {
            all["parts"] = self.parts.iter().map(Self::to_json).collect();
        }
        all
    }

    pub(super) fn to_text(&self, now: Timestamp) -> String {
        let mut text = String::new();
        self.write(&mut text, 0, now);
        text.truncate(text.trim_end().len());
        text
    }

    fn write(&self, text: &mut String, depth: usize, now: Timestamp) {
        let indent = "  ".repeat(depth);
        line(text, &indent, &self.what);
        let inner = format!("{indent}  ");
        if let Some(sentence) = self.signature.sentence() {
            line(text, &inner, sentence);
        }
        write_members(text, &inner, &self.facts, now);
        for note in &self.notes {
            line(text, &inner, &format!("! {note}"));
        }
        for part in &self.parts {
            part.write(text, depth + 1, now);
        }
    }
}

impl Signature {
    const fn json(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::NotVerified => Some("not-verified"),
            Self::Good => Some("good"),
            Self::Bad => Some("bad"),
        }
    }

    const fn sentence(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::NotVerified => Some("The signature was not verified; --jwks FILE gives keys for it."),
            Self::Good => Some("The signature is good."),
            Self::Bad => Some("THE SIGNATURE DOES NOT VERIFY with any of the given keys."),
        }
    }
}

fn write_members(text: &mut String, indent: &str, members: &Map<String, Value>, now: Timestamp) {
    let width = members.keys().map(String::len).max().unwrap_or(0).min(28);
    for (name, value) in members {
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                line(text, indent, &format!("{name}:"));
                write_members(text, &format!("{indent}  "), inner, now);
            }
            value => line(text, indent, &format!("{name:width$}  {}", plain(name, value, now))),
        }
    }
}

fn plain(name: &str, value: &Value, now: Timestamp) -> String {
    if let (true, Some(seconds)) = (TIMES.contains(&name), value.as_u64()) {
        return moment(Timestamp::from_unix_seconds(seconds), now);
    }
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(|item| plain("", item, now)).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// A time as a date, and how far away it is.
fn moment(time: Timestamp, now: Timestamp) -> String {
    let seconds = i64::try_from(time.as_unix_seconds()).unwrap_or(i64::MAX);
    let date = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|date| date.format(&Rfc3339).ok());
    let date = date.unwrap_or_else(|| time.to_string());
    if time > now {
        format!("{date} (in {})", distance(time.seconds_since(now)))
    } else {
        format!("{date} ({} ago)", distance(now.seconds_since(time)))
    }
}

fn distance(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Writing into a `String` cannot fail. Control characters of the input do not reach the terminal.
fn line(text: &mut String, indent: &str, content: &str) {
    let visible: String = content
        .chars()
        .map(|character| if character.is_control() { '\u{fffd}' } else { character })
        .collect();
    let _ = writeln!(text, "{indent}{visible}");
}
