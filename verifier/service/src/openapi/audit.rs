//! What an OpenAPI document leaves open: operations without authentication or attestation, and those that ask for less
//! than their neighbours.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::document::{ApiDocument, Operation};
use super::neighbours::{is_neighbour, is_write, weaker_words};
use super::routes;
use super::security::Security;
use crate::document::Problems;
use crate::settings::{BodyBinding, Gateway, Mode, PathMatch, ResourceSettings, RouteSettings};

/// A rule of the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rule {
    /// Neither the operation nor the document says `security`.
    AuthenticationUnstated,
    /// `security: []`: no credential is asked for.
    AuthenticationNone,
    /// A credential may be left out: `{}` is one of the alternatives.
    AuthenticationOptional,
    /// `x-attestation` stands neither at the operation nor at its path or the document.
    AttestationUnstated,
    /// Requests that fail the check pass: the mode is `observe` or `warn`.
    AttestationNotEnforced,
    /// The operation takes a body that proofs need not cover.
    BodyUnbound,
    /// The operation changes something and asks for no scope, and operations beside it do.
    ScopesMissing,
    /// The operation changes something and demands less than one beside it that reads.
    WeakerThanNeighbour,
    /// A `danger…` word is in force.
    Danger,
    /// A prefix route of the settings takes requests that the document does not describe.
    BesideDocument,
    /// The document says what routes cannot express; it can be no resource's.
    #[serde(skip_deserializing)]
    Unusable,
}

/// One finding.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// The rule.
    pub(crate) rule: Rule,
    /// The method, unless the finding is of no operation.
    pub(crate) method: Option<&'static str>,
    /// The path template, likewise.
    pub(crate) path: Option<String>,
    /// The line in the document, from 1.
    pub(crate) line: Option<usize>,
    /// What is open, and what to do.
    pub(crate) message: String,
    /// Why it is meant to be so, where it was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// What an audit found.
#[derive(Debug, Serialize)]
pub(crate) struct Audit {
    /// How many operations were judged.
    pub(crate) operations: usize,
    /// What is open.
    pub(crate) findings: Vec<Finding>,
    /// What was found and accepted before.
    pub(crate) accepted: Vec<Finding>,
}

/// A rule that shall not be reported: everywhere, or for one operation (`METHOD PATH`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    rule: Rule,
    operation: Option<String>,
}

impl std::str::FromStr for Allowance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rule, operation) = match text.split_once(':') {
            Some((rule, operation)) => (rule, Some(operation.to_owned())),
            None => (text, None),
        };
        let rule = serde_json::from_value(json!(rule))
            .map_err(|_| format!("{rule:?} is no rule that can be allowed; the findings show their names"))?;
        Ok(Self { rule, operation })
    }
}

impl Audit {
    /// Audits the document in `file`, as it would be used by `resource`, if one is named.
    ///
    /// # Errors
    /// The document cannot be read.
    pub(crate) fn of(
        file: &Path,
        resource: Option<(&ResourceSettings, Option<Gateway>)>,
        allowed: &[Allowance],
    ) -> Result<Self, Problems> {
        let document = ApiDocument::load(file)?;
        Ok(Self::of_document(document, resource, allowed))
    }

    fn of_document(
        document: ApiDocument,
        resource: Option<(&ResourceSettings, Option<Gateway>)>,
        allowed: &[Allowance],
    ) -> Self {
        let ApiDocument { operations, mut problems } = document;
        routes::examine(&operations, resource.and_then(|(_, gateway)| gateway), &mut problems);
        if let Some((resource, _)) = resource {
            routes::of(&operations, &resource.origin_text(), &mut problems);
        }
        let mut all: Vec<Finding> = problems
            .iter()
            .map(|problem| Finding {
                rule: Rule::Unusable,
                method: None,
                path: None,
                line: problem.line,
                message: problem.message.clone(),
                why: None,
            })
            .collect();
        let judged: Vec<(&Operation, RouteSettings)> = operations
            .iter()
            .filter_map(|operation| Some((operation, routes::route(operation, "").ok()?)))
            .collect();
        for (operation, route) in &judged {
            for (rule, message) in
                by_itself(operation, route).into_iter().chain(beside(operation, route, &judged))
            {
                let own = operation.extension.accepted.as_ref().filter(|own| own.accept.contains(&rule));
                all.push(Finding {
                    rule,
                    method: Some(operation.method),
                    path: Some(operation.path.clone()),
                    line: Some(operation.line),
                    message,
                    why: own.map(|own| own.why.clone()),
                });
            }
        }
        all.extend(resource.into_iter().flat_map(|(resource, _)| beside_document(resource)));
        for finding in &mut all {
            let is_meant = |allowance: &&Allowance| {
                let place = finding.method.zip(finding.path.as_ref());
                let place = place.map(|(method, path)| format!("{method} {path}"));
                allowance.rule == finding.rule
                    && (allowance.operation.is_none() || allowance.operation == place)
            };
            if finding.why.is_none() && allowed.iter().any(|allowance| is_meant(&allowance)) {
                finding.why = Some("allowed on the command line".to_owned());
            }
        }
        let (accepted, findings) = all.into_iter().partition(|finding| finding.why.is_some());
        Self { operations: operations.len(), findings, accepted }
    }
}

impl Rule {
    /// Its name, as reports and `x-attestation` have it.
    pub(crate) fn name(self) -> String {
        match json!(self) {
            Value::String(name) => name,
            other => other.to_string(),
        }
    }
}

/// What an operation leaves open, whatever stands beside it.
fn by_itself(operation: &Operation, route: &RouteSettings) -> Vec<(Rule, String)> {
    let mut found = Vec::new();
    let mut add = |rule, message: &str| found.push((rule, message.to_owned()));
    match operation.security {
        Security::Unstated => add(
            Rule::AuthenticationUnstated,
            "nothing says who may call it; as a route it asks for a token. Write `security`, `[]` if nobody need log in",
        ),
        Security::None => add(Rule::AuthenticationNone, "it asks for no credential"),
        Security::Optional => add(Rule::AuthenticationOptional, "its credential may be left out"),
        Security::Asks { .. } => {}
    }
    if !operation.extension.is_stated {
        add(
            Rule::AttestationUnstated,
            "nothing says what app and device must show; as a route it has the defaults. Write `x-attestation`",
        );
    }
    match route.mode {
        Mode::Observe => {
            add(Rule::AttestationNotEnforced, "the mode is observe: what fails the check passes")
        }
        Mode::Warn => add(Rule::AttestationNotEnforced, "the mode is warn: what fails the check passes"),
        Mode::Require => {}
    }
    if operation.has_body && is_write(operation.method) && route.body != BodyBinding::Required {
        add(
            Rule::BodyUnbound,
            "proofs need not cover its body, so a gateway can change it; write `body: required`",
        );
    }
    for (name, value) in routes::demands(route) {
        let is_switch = name.starts_with("danger") && value != false;
        let is_word = value.as_str().is_some_and(|word| word.starts_with("danger"));
        if is_switch || is_word {
            add(Rule::Danger, &format!("`{name}: {value}` weakens the check"));
        }
    }
    found
}

/// Where an operation asks for less than those beside it.
fn beside(
    operation: &Operation,
    route: &RouteSettings,
    all: &[(&Operation, RouteSettings)],
) -> Vec<(Rule, String)> {
    let mut found = Vec::new();
    if !is_write(operation.method) {
        return found;
    }
    let neighbours = || all.iter().filter(|(other, _)| is_neighbour(operation, other));
    let scoped = neighbours().find(|(_, other)| !other.scopes.is_empty());
    if let Some((other, _)) = scoped.filter(|_| route.scopes.is_empty() && !route.credentials.is_empty()) {
        let message = format!("it asks for no scope, and {} on line {} does", other.place(), other.line);
        found.push((Rule::ScopesMissing, message));
    }
    let readers = neighbours().filter(|(other, _)| !is_write(other.method));
    let worst = readers
        .map(|(other, reader)| (other, weaker_words(route, reader)))
        .filter(|(_, words)| !words.is_empty())
        .max_by_key(|(_, words)| words.len());
    if let Some((other, words)) = worst {
        let message =
            format!("it demands less than {} on line {}: {}", other.place(), other.line, words.join(", "));
        found.push((Rule::WeakerThanNeighbour, message));
    }
    found
}

/// Prefix routes of the settings, which take what the document does not describe.
fn beside_document(resource: &ResourceSettings) -> Vec<Finding> {
    let written = resource.routes.iter().take(resource.written_routes);
    written
        .filter(|route| route.path_match == PathMatch::Prefix)
        .map(|route| Finding {
            rule: Rule::BesideDocument,
            method: None,
            path: Some(route.path.clone()),
            line: None,
            message: "this route of the settings takes every request below it that no operation describes"
                .to_owned(),
            why: None,
        })
        .collect()
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
