//! The extension `x-attestation`: the words of `[[resource.route]]`, beside an operation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::audit::Rule;
use super::tree::Node;
use crate::document::{Judge, Problems, schema_of, violations_of};
use crate::settings::RouteSettings;

static JUDGE: LazyLock<Judge> = LazyLock::new(|| Judge::new(schema()));

/// The name of the extension.
pub(super) const NAME: &str = "x-attestation";
/// What a route has and an operation says in OpenAPI's own words.
const OPENAPIS_OWN: [&str; 5] = ["path", "match", "methods", "credentials", "scopes"];

/// What the extension has beside a route's words.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Own {
    /// What `countersign openapi audit` shall not report here.
    #[serde(default)]
    audit: Option<Accepted>,
}

/// Findings that were looked at and are meant to be so.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Accepted {
    /// The findings, by name.
    #[schemars(length(min = 1))]
    pub(super) accept: Vec<Rule>,
    /// The reason, for whoever reads it next.
    #[schemars(length(min = 1))]
    pub(super) why: String,
}

/// What `x-attestation` says for an operation, at the operation, its path or the whole document: of each word, the
/// nearest.
#[derive(Clone, Debug, Default)]
pub(super) struct Extension {
    /// Whether anything is said of attestation.
    pub(super) is_stated: bool,
    /// The words of a route.
    pub(super) demands: Map<String, Value>,
    pub(super) accepted: Option<Accepted>,
}

impl Extension {
    /// The extension of `node` (a document, path item or operation) before that of what is around it.
    pub(super) fn of(node: &Node, around: &Self, place: &str, name: &str, problems: &mut Problems) -> Self {
        let mut all = around.clone();
        let Some(extension) = node.member(NAME) else { return all };
        let mut lines = BTreeMap::new();
        let json = extension.to_json("", &mut lines);
        let found = violations_of(name, &JUDGE, &json, lines);
        if !found.is_empty() {
            problems.absorb(&found, &format!("{place}: {NAME}"));
            return all;
        }
        let Value::Object(mut members) = json else { return all };
        if let Some(accepted) = members.remove("audit").and_then(|own| serde_json::from_value(own).ok()) {
            all.accepted = Some(accepted);
        } else {
            all.is_stated = true;
        }
        all.is_stated |= !members.is_empty();
        all.demands.extend(members);
        all
    }
}

/// The JSON schema (draft 2020-12) of the extension.
pub(crate) fn schema() -> Value {
    let mut schema = schema_of::<RouteSettings>();
    let own = schema_of::<Own>();
    for part in ["properties", "$defs"] {
        let more = own.get(part).and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(members) = schema.get_mut(part).and_then(Value::as_object_mut) {
            members.retain(|name, _| part != "properties" || !OPENAPIS_OWN.contains(&name.as_str()));
            members.extend(more);
        }
    }
    if let Some(members) = schema.as_object_mut() {
        members.remove("required");
        members.insert("title".into(), json!(NAME));
        members.insert(
            "description".into(),
            json!(
                "What requests must show of app and device, at a document, a path item or an operation of OpenAPI; \
                 of each word the nearest counts."
            ),
        );
    }
    without_unused(schema)
}

/// The schema without definitions that nothing refers to.
fn without_unused(mut schema: Value) -> Value {
    loop {
        let text = schema.to_string();
        let Some(definitions) = schema.get_mut("$defs").and_then(Value::as_object_mut) else { return schema };
        let is_used = |name: &String| text.contains(&format!("\"#/$defs/{name}\""));
        let unused: BTreeSet<String> = definitions.keys().filter(|name| !is_used(name)).cloned().collect();
        if unused.is_empty() {
            return schema;
        }
        definitions.retain(|name, _| !unused.contains(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_has_every_word_of_a_route_but_those_that_openapi_has() {
        let (extension, route) = (schema(), schema_of::<RouteSettings>());
        let names = |schema: &Value| -> BTreeSet<String> {
            schema["properties"].as_object().unwrap().keys().cloned().collect()
        };
        let mut expected = names(&route);
        for name in OPENAPIS_OWN {
            assert!(expected.remove(name), "{name} is no word of a route any more");
        }
        expected.insert("audit".to_owned());
        assert_eq!(names(&extension), expected);
        assert!(extension.get("required").is_none() && extension["additionalProperties"] == false);
        assert!(!extension.to_string().contains("CredentialKind"));
    }

    #[test]
    fn the_published_schema_is_the_one_in_force() {
        let published = include_str!("../../../../docs/x-attestation.schema.json");
        assert_eq!(
            serde_json::from_str::<Value>(published).unwrap(),
            schema(),
            "remake it: countersign openapi schema > docs/x-attestation.schema.json"
        );
    }
}
