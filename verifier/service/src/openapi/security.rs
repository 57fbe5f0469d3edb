//! From OpenAPI's security requirements to the credentials and scopes of a route.

use std::collections::BTreeSet;

use serde_json::json;

use super::document::Finder;
use super::tree::{Content, Node};
use crate::settings::CredentialKind;

/// Which credential an operation asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// Neither the operation nor the document says anything.
    Unstated,
    /// None: `security: []`.
    None,
    /// One may come, and need not: an empty requirement among others.
    Optional,
    /// One of these kinds, with all of these scopes.
    Asks { kinds: Vec<CredentialKind>, scopes: Vec<String> },
}

/// One way to be authorized.
struct Alternative {
    kind: CredentialKind,
    scopes: BTreeSet<String>,
    /// Whether OpenAPI has scopes of such a scheme.
    has_scopes: bool,
    line: usize,
}

/// The name of API keys' header field.
const API_KEY_FIELD: &str = "X-API-Key";

impl Security {
    /// Reads a `security` member; what cannot be expressed is a problem.
    pub(super) fn of(requirements: &Node, place: &str, finder: &mut Finder<'_>) -> Self {
        let Content::List(all) = &requirements.content else {
            finder.problem(requirements.line, format!("{place}: `security` is a list"));
            return Self::Unstated;
        };
        if all.is_empty() {
            return Self::None;
        }
        let is_optional = all.iter().any(|one| matches!(&one.content, Content::Map(map) if map.is_empty()));
        let named = all.iter().filter(|one| !one.members().is_empty());
        let alternatives: Vec<Alternative> =
            named.filter_map(|requirement| Alternative::of(requirement, place, finder)).collect();
        if is_optional {
            if let Some(scoped) = alternatives.iter().find(|one| !one.scopes.is_empty()) {
                finder.problem(
                    scoped.line,
                    format!(
                        "{place}: scopes cannot be asked of a credential that may be left out; remove `{{}}` or the scopes"
                    ),
                );
            }
            return Self::Optional;
        }
        joined(alternatives, requirements.line, place, finder)
    }
}

/// What all the alternatives together ask for.
fn joined(alternatives: Vec<Alternative>, line: usize, place: &str, finder: &mut Finder<'_>) -> Security {
    // Of two of one kind, the one with fewer scopes lets in whoever has more.
    let is_needed = |one: &&Alternative| {
        !alternatives.iter().any(|other| {
            other.kind == one.kind && other.scopes != one.scopes && other.scopes.is_subset(&one.scopes)
        })
    };
    let needed: Vec<&Alternative> = alternatives.iter().filter(is_needed).collect();
    let mut kinds: Vec<CredentialKind> = needed.iter().map(|one| one.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    // OpenAPI has no scopes of API keys and certificates; ours have, and need the same.
    let mut scopes: Vec<&BTreeSet<String>> =
        needed.iter().filter(|one| one.has_scopes).map(|one| &one.scopes).collect();
    scopes.dedup();
    if scopes.len() > 1 {
        finder.problem(
            line,
            format!("{place}: the alternatives ask for different scopes, and a route has one list; write the same for all"),
        );
    }
    if kinds.is_empty() {
        // A problem has said why; nobody shall take this for "no credential".
        return Security::Unstated;
    }
    Security::Asks {
        kinds,
        scopes: scopes.first().map(|scopes| scopes.iter().cloned().collect()).unwrap_or_default(),
    }
}

impl Alternative {
    fn of(requirement: &Node, place: &str, finder: &mut Finder<'_>) -> Option<Self> {
        let [(name, scopes)] = requirement.members() else {
            finder.problem(
                requirement.line,
                format!("{place}: two schemes at once cannot be asked for; name one in each alternative"),
            );
            return None;
        };
        let scheme = finder.scheme(name, requirement.line, place)?;
        let kind = match kind_of(scheme) {
            Ok(kind) => kind,
            Err(advice) => {
                finder.problem(scheme.line, format!("the security scheme `{name}`: {advice}"));
                return None;
            }
        };
        let listed: Option<BTreeSet<String>> =
            scopes.items().iter().map(|scope| scope.text().map(str::to_owned)).collect();
        let is_list = matches!(scopes.content, Content::List(_));
        let Some(listed) = listed.filter(|_| is_list) else {
            finder.problem(scopes.line, format!("{place}: the scopes of `{name}` are a list of texts"));
            return None;
        };
        // RFC 6749 section 3.3: they stand between spaces and quotes.
        let is_scope = |scope: &String| {
            !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
        };
        if let Some(scope) = listed.iter().find(|scope| !is_scope(scope)) {
            finder.problem(scopes.line, format!("{place}: {scope:?} is no scope (RFC 6749 section 3.3)"));
        }
        let scheme_type = text(scheme, "type");
        if !matches!(scheme_type, "oauth2" | "openIdConnect") && !listed.is_empty() {
            finder.problem(
                scopes.line,
                format!("{place}: roles of `{name}` are not checked; write `[]`, or describe it as oauth2"),
            );
        }
        Some(Self {
            kind,
            scopes: listed,
            has_scopes: !matches!(scheme_type, "apiKey" | "mutualTLS"),
            line: requirement.line,
        })
    }
}

/// The kind of credential that a security scheme describes, or what to do instead.
fn kind_of(scheme: &Node) -> Result<CredentialKind, String> {
    let kind = match text(scheme, "type") {
        "oauth2" | "openIdConnect" => "jwt",
        "mutualTLS" => "client_certificate",
        "apiKey" if text(scheme, "in") != "header" => {
            return Err(format!(
                "API keys come in the header field {API_KEY_FIELD} alone: what stands in a URL or cookie is logged and \
                 sent along; write `in: header`, `name: {API_KEY_FIELD}`"
            ));
        }
        "apiKey" if !text(scheme, "name").eq_ignore_ascii_case(API_KEY_FIELD) => {
            return Err(format!(
                "API keys come in the header field {API_KEY_FIELD}; write `name: {API_KEY_FIELD}`"
            ));
        }
        "apiKey" => "api_key",
        "http" => match text(scheme, "scheme").to_ascii_lowercase().as_str() {
            "bearer" if text(scheme, "bearerFormat").eq_ignore_ascii_case("opaque") => "opaque",
            "bearer" | "dpop" => "jwt",
            "basic" => {
                return Err(
                    "passwords are not taken with each request; describe an oauth2 scheme, or API keys \
                     (`type: apiKey`, `in: header`, `name: X-API-Key`) for other systems"
                        .to_owned(),
                );
            }
            other => {
                return Err(format!("HTTP authentication {other:?} is not supported; use oauth2 or bearer"));
            }
        },
        "" => return Err("it has no `type`".to_owned()),
        other => return Err(format!("the type {other:?} is not known to OpenAPI 3.1")),
    };
    serde_json::from_value(json!(kind))
        .map_err(|_| format!("credentials of the kind `{kind}` are not supported"))
}

fn text<'n>(node: &'n Node, key: &str) -> &'n str {
    node.member(key).and_then(Node::text).unwrap_or_default()
}
