//! A table of constraints by label. Its schema lists the labels, so a misspelt one is refused.

use std::borrow::Cow;
use std::collections::BTreeMap;

use countersign_verifier::evidence::Platform;
use countersign_verifier::policy::{Constraint, Enforcement, Enforcements};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Constraints by label, each with its enforcement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct ConstraintTable(BTreeMap<String, EnforcementName>);

/// What happens when a constraint does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EnforcementName {
    /// The evidence is refused.
    Require,
    /// The tier falls to warning.
    Warn,
    /// The outcome is recorded and no more.
    Ignore,
}

impl ConstraintTable {
    /// The constraints that the table enforces less than `require`.
    pub(super) fn weakened(&self) -> impl Iterator<Item = Constraint> {
        let weakened = self.0.iter().filter(|(_, name)| **name != EnforcementName::Require);
        weakened.filter_map(|(label, _)| Constraint::from_label(label))
    }

    /// Writes the table's enforcements for one platform, or for all.
    pub(super) fn write(&self, enforcements: &mut Enforcements, platform: Option<Platform>) {
        for (label, name) in &self.0 {
            let enforcement = match name {
                EnforcementName::Require => Enforcement::Require,
                EnforcementName::Warn => Enforcement::Warn,
                EnforcementName::Ignore => Enforcement::Ignore,
            };
            if let Some(constraint) = Constraint::from_label(label) {
                enforcements.set(constraint, platform, enforcement);
            }
        }
    }
}

impl JsonSchema for ConstraintTable {
    fn schema_name() -> Cow<'static, str> {
        "ConstraintTable".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let enforcement = generator.subschema_for::<EnforcementName>().to_value();
        // A label that nothing may stand under is listed too, so that the complaint says why.
        let member = |constraint: &Constraint| {
            if constraint.is_negotiable() { enforcement.clone() } else { Value::Bool(false) }
        };
        let properties: Map<String, Value> =
            Constraint::ALL.iter().map(|one| (one.label().to_owned(), member(one))).collect();
        json_schema!({
            "description": "Constraints by label, each with its enforcement.",
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}
