//! A table of constraints by label. Its schema lists the labels, so a misspelt one is refused.

use std::borrow::Cow;
use std::collections::BTreeMap;

use countersign_verifier::evidence::Platform;
use countersign_verifier::policy::{Constraint, Enforcement, Enforcements, OptOut};
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
    /// The constraints that the table enforces less than their default, and that a list of `danger` guards.
    pub(super) fn weakened(&self) -> impl Iterator<Item = (Constraint, OptOut)> {
        self.0.iter().filter_map(|(label, name)| {
            let constraint = Constraint::from_label(label)?;
            let weaker = name.to_enforcement() < constraint.default_enforcement();
            Some((constraint, constraint.opt_out().filter(|_| weaker)?))
        })
    }

    /// Writes the table's enforcements for one platform, or for all.
    pub(super) fn write(&self, enforcements: &mut Enforcements, platform: Option<Platform>) {
        for (label, name) in &self.0 {
            if let Some(constraint) = Constraint::from_label(label) {
                enforcements.set(constraint, platform, name.to_enforcement());
            }
        }
    }
}

impl EnforcementName {
    const fn to_enforcement(self) -> Enforcement {
        match self {
            Self::Require => Enforcement::Require,
            Self::Warn => Enforcement::Warn,
            Self::Ignore => Enforcement::Ignore,
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
