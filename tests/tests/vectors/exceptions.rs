//! Where our rules differ from the manifest's reference policy: which case, what we do, and why.

use serde::Deserialize;
use serde_json::Value;

use crate::case::Case;

const FILE: &str = include_str!("../../vectors-exceptions.json");

pub(crate) struct Exceptions(Vec<Exception>);

struct Exception {
    entry: Entry,
    used: bool,
}

/// Cases that differ for one reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    /// The folder that the cases are from; identifiers are unique within one.
    family: String,
    /// `accept` or `refuse`.
    we: String,
    why: String,
    cases: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    case: String,
    /// What the variant changes; null for the case itself.
    change: Value,
}

struct Entry {
    family: String,
    case: String,
    change: Option<Value>,
    accepted: bool,
}

impl Exceptions {
    pub(crate) fn load() -> Self {
        let groups: Vec<Group> = serde_json::from_str(FILE).expect("the exceptions file has its form");
        let mut exceptions = Vec::new();
        for group in groups {
            assert!(!group.why.is_empty(), "an exception needs a reason");
            let accepted = match group.we.as_str() {
                "accept" => true,
                "refuse" => false,
                other => panic!("we accept or refuse, not {other}"),
            };
            exceptions.extend(group.cases.into_iter().map(|Named { case, change }| Exception {
                entry: Entry {
                    family: group.family.clone(),
                    case,
                    change: (!change.is_null()).then_some(change),
                    accepted,
                },
                used: false,
            }));
        }
        Self(exceptions)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether we may differ here in this way.
    pub(crate) fn allow(&mut self, case: &Case, accepted: bool) -> bool {
        let found = self.0.iter_mut().find(|exception| {
            let Entry { family, case: id, change, accepted: expected } = &exception.entry;
            case.is_of(family) && id == case.id() && *change == case.change && *expected == accepted
        });
        found.map(|exception| exception.used = true).is_some()
    }

    /// Whether we may differ in this way on a published vector: `file#number`.
    pub(crate) fn allow_published(&mut self, family: &str, id: &str, accepted: bool) -> bool {
        let found = self.0.iter_mut().find(|exception| {
            let Entry { family: of, case, accepted: expected, .. } = &exception.entry;
            of == family && case == id && *expected == accepted
        });
        found.map(|exception| exception.used = true).is_some()
    }

    /// Exceptions that no case needed.
    pub(crate) fn unused(&self) -> Vec<String> {
        let unused = self.0.iter().filter(|exception| !exception.used);
        unused
            .map(|Exception { entry, .. }| {
                let change =
                    entry.change.as_ref().map_or_else(String::new, |change| format!(" with {change}"));
                format!("the exception for {}{change} no longer applies", entry.case)
            })
            .collect()
    }
}
