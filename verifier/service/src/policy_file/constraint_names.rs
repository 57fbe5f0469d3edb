//! Constraints named in lists. Each kind of list has a schema that names those that may stand in it.

use std::borrow::Cow;

use countersign_verifier::policy::{Constraint, OptOut};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::settings::InvalidText;

macro_rules! constraint_names {
    ($($(#[$doc:meta])* $name:ident $description:literal $may_stand:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub(super) Constraint);

        impl TryFrom<String> for $name {
            type Error = InvalidText;

            fn try_from(label: String) -> Result<Self, InvalidText> {
                Constraint::from_label(&label).filter($may_stand).map(Self).ok_or(InvalidText)
            }
        }

        impl From<$name> for String {
            fn from($name(constraint): $name) -> Self {
                constraint.label().to_owned()
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let all = Constraint::ALL.iter().filter(|constraint| $may_stand(constraint));
                let labels: Vec<_> = all.map(|constraint| constraint.label()).collect();
                json_schema!({ "description": $description, "type": "string", "enum": labels })
            }
        }
    )*};
}

constraint_names! {
    /// Any constraint, by its label.
    Label "A constraint, by its label." |_: &Constraint| true;
    /// A constraint on the device itself.
    WeakDevice "A constraint on the device itself." |constraint: &Constraint| constraint.opt_out() == Some(OptOut::WeakDevices);
    /// A constraint on the attested key or its certificates.
    WeakKey "A constraint on the attested key or its certificates." |constraint: &Constraint| constraint.opt_out() == Some(OptOut::WeakKeys);
}
