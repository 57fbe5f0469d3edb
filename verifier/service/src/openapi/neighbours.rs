//! Which operations lie beside each other, and which of two demands less.

use serde_json::{Map, Value, json};

use super::document::Operation;
use crate::document::formats::time_span;
use crate::settings::RouteSettings;

/// Words whose values have an order, the weakest first.
const LADDERS: [(&str, &[&str]); 6] = [
    ("mode", &["observe", "warn", "require"]),
    ("tier", &["warning", "affirming"]),
    ("assurance", &["session", "hardware"]),
    ("body", &["offered", "required"]),
    ("nonce", &["off", "offered", "required"]),
    ("token_binding", &["danger_client_only", "first_use", "instance"]),
];
/// Lists that demand nothing when they are empty.
const LISTS: [&str; 3] = ["credentials", "protection", "acr_values"];
/// Time spans: the shorter, the stricter; none demands nothing.
const SPANS: [&str; 2] = ["max_evidence_age", "max_age"];

/// Whether a method changes something (RFC 9110 section 9.2.1).
pub(super) fn is_write(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH" | "DELETE")
}

/// Whether two operations are about the same thing: they share a tag, one's path goes on where the other's ends, or
/// their paths are the same up to the first parameter.
pub(super) fn is_neighbour(one: &Operation, other: &Operation) -> bool {
    let is_itself = one.method == other.method && one.path == other.path;
    let shares_tag = || one.tags.iter().any(|tag| other.tags.contains(tag));
    !is_itself
        && (shares_tag()
            || goes_on(&one.path, &other.path)
            || goes_on(&other.path, &one.path)
            || family(&one.path) == family(&other.path))
}

/// The words in which `route` demands less than `other`, each with both values.
pub(super) fn weaker_words(route: &RouteSettings, other: &RouteSettings) -> Vec<String> {
    let (own, others) = (members(route), members(other));
    let strength = |word: &str, members: &Map<String, Value>| strength(word, members.get(word));
    let words = LADDERS.iter().map(|(word, _)| *word).chain(LISTS).chain(SPANS).chain(["percent"]);
    words
        .filter(|word| strength(word, &own) < strength(word, &others))
        .map(|word| format!("`{word}` is {}, there {}", shown(own.get(word)), shown(others.get(word))))
        .collect()
}

/// How much a word demands; comparable within one word.
fn strength(word: &str, value: Option<&Value>) -> u64 {
    if let Some((_, ladder)) = LADDERS.iter().find(|(name, _)| *name == word) {
        let step = ladder.iter().position(|step| value.and_then(Value::as_str) == Some(step));
        return step.unwrap_or(0) as u64;
    }
    if SPANS.contains(&word) {
        let span = value.and_then(Value::as_str).and_then(time_span);
        return span.map_or(0, |span| u64::MAX - span.as_secs());
    }
    match value {
        Some(Value::Array(items)) => u64::from(!items.is_empty()),
        Some(Value::Number(number)) => number.as_u64().unwrap_or(0),
        // Of instances, all.
        _ => 100,
    }
}

fn members(route: &RouteSettings) -> Map<String, Value> {
    match json!(route) {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "not said".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn goes_on(path: &str, after: &str) -> bool {
    after.len() > 1 && path.strip_prefix(after).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What stands before the first parameter.
fn family(path: &str) -> &str {
    path.split('{').next().unwrap_or_default().trim_end_matches('/')
}
