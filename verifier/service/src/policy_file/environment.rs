//! What a policy says of the signals in which a device tells what it noticed about itself.

use std::borrow::Cow;

use countersign_core::environment::{Environment, Signal};
use countersign_verifier::policy::AppPolicy;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::document::Problems;
use crate::settings::InvalidText;

/// Environment signals that count against a device.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EnvironmentSection {
    /// Signals that the constraint `environment-refused` looks for. Default: none.
    pub refuse: Option<Vec<SignalName>>,
    /// Signals that the constraint `environment-warned` looks for. Default: none.
    pub warn: Option<Vec<SignalName>>,
}

/// Signals: one by its name, or some by a mask such as `0x80000000`, which reaches those of later versions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct SignalName {
    text: String,
    signals: Environment,
}

impl EnvironmentSection {
    /// Writes what is said here; what is left out stays as it is.
    pub(super) fn write(&self, app: &mut AppPolicy) {
        if let Some(signals) = &self.refuse {
            app.refused_signals = all(signals);
        }
        if let Some(signals) = &self.warn {
            app.warned_signals = all(signals);
        }
    }

    /// Names signals that stand twice in a list of this section, and those that are both refused and warned of, once
    /// what it leaves out is taken from `outer`.
    pub(super) fn check(&self, outer: &Self, pointer: &str, problems: &mut Problems) {
        for (key, signals) in [("refuse", &self.refuse), ("warn", &self.warn)] {
            let mut known = Environment::default();
            for (index, signal) in signals.iter().flatten().enumerate() {
                let again = known.intersection(signal.signals);
                if !again.is_empty() {
                    problems
                        .at(&format!("{pointer}/{key}/{index}"), format!("{again} stands twice; remove one"));
                }
                known = Environment(known.0 | signal.signals.0);
            }
        }
        let effective = |own: &Option<Vec<SignalName>>, outer: &Option<Vec<SignalName>>| {
            own.as_ref().or(outer.as_ref()).map(|signals| all(signals)).unwrap_or_default()
        };
        let refused = effective(&self.refuse, &outer.refuse);
        let both = refused.intersection(effective(&self.warn, &outer.warn));
        if !both.is_empty() {
            let key = if self.warn.is_some() { "warn" } else { "refuse" };
            let message =
                format!("{both} is refused and warned of; what is refused needs no warning, remove one");
            problems.at(&format!("{pointer}/{key}"), message);
        }
    }
}

fn all(signals: &[SignalName]) -> Environment {
    Environment(signals.iter().fold(0, |all, signal| all | signal.signals.0))
}

impl TryFrom<String> for SignalName {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        let signals = match text.strip_prefix("0x") {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u64::from_str_radix(digits, 16).ok().filter(|mask| *mask != 0).map(Environment)
            }
            Some(_) => None,
            None => Signal::from_name(&text).map(|signal| Environment::default().with(signal)),
        };
        signals.map(|signals| Self { text, signals }).ok_or(InvalidText)
    }
}

impl From<SignalName> for String {
    fn from(signal: SignalName) -> Self {
        signal.text
    }
}

impl JsonSchema for SignalName {
    fn schema_name() -> Cow<'static, str> {
        "SignalName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = Signal::ALL.iter().map(|signal| signal.name()).collect();
        json_schema!({
            "description": "A signal by its name, or a mask of signals such as 0x80000000.",
            "type": "string",
            "anyOf": [
                { "enum": names },
                { "pattern": "^0x0{0,15}[1-9a-fA-F][0-9a-fA-F]{0,15}$", "maxLength": 18 },
            ],
        })
    }
}
