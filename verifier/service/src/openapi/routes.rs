//! From operations to routes.

use serde_json::{Map, Value, json};

use super::document::Operation;
use super::overlap;
use super::security::Security;
use crate::document::Problems;
use crate::settings::{Gateway, RouteSettings};

/// The routes of operations, at a resource that clients call under `origin`.
pub(super) fn of(operations: &[Operation], origin: &str, problems: &mut Problems) -> Vec<RouteSettings> {
    let mut routes = Vec::new();
    for operation in operations {
        let here = operation
            .servers
            .iter()
            .filter(|server| server.origin.as_deref().is_none_or(|known| known.eq_ignore_ascii_case(origin)));
        let mut bases: Vec<&str> = here.map(|server| server.base.as_str()).collect();
        bases.sort_unstable();
        bases.dedup();
        if bases.is_empty() {
            let line = operation.servers.first().map_or(operation.line, |server| server.line);
            problems.at_line(
                line,
                format!("no server is at {origin}, where the resource is called; add it to `servers`, or set `origin`"),
            );
        }
        // What is no route is a problem that `examine` names.
        routes.extend(bases.into_iter().filter_map(|base| route(operation, base).ok()));
    }
    routes
}

/// Checks what operations demand, each by itself and against the others.
pub(super) fn examine(operations: &[Operation], gateway: Option<Gateway>, problems: &mut Problems) {
    for operation in operations {
        let mut found = Problems::of_lines("");
        match route(operation, "") {
            Ok(route) => route.check_demands("", gateway, &mut found),
            Err(error) => found.at_line(operation.line, error.to_string()),
        }
        for problem in found.iter() {
            problems.at_line(operation.line, format!("{}: {}", operation.place(), problem.message));
        }
    }
    ambiguous(operations, problems);
}

/// What a route demands, by the settings' own words, where it is not the default; paths and methods left out.
pub(crate) fn demands(route: &RouteSettings) -> Map<String, Value> {
    let members = |route: &RouteSettings| match json!(route) {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let usual =
        serde_json::from_value(json!({ "path": "/" })).map(|route| members(&route)).unwrap_or_default();
    let mut own = members(route);
    own.retain(|name, value| {
        !matches!(name.as_str(), "path" | "match" | "methods") && usual.get(name) != Some(value)
    });
    own
}

/// The route of an operation below a base path. It goes through the settings' own type: one truth about words and
/// defaults.
pub(super) fn route(operation: &Operation, base: &str) -> Result<RouteSettings, serde_json::Error> {
    let mut members = operation.extension.demands.clone();
    members.insert("path".into(), json!(format!("{base}{}", operation.path)));
    members.insert("match".into(), json!("template"));
    members.insert("methods".into(), json!([operation.method]));
    match &operation.security {
        // The default, a token: forgetting to say it opens nothing.
        Security::Unstated => {}
        Security::None | Security::Optional => {
            members.insert("credentials".into(), json!([]));
        }
        Security::Asks { kinds, scopes } => {
            members.insert("credentials".into(), json!(kinds));
            members.insert("scopes".into(), json!(scopes));
        }
    }
    serde_json::from_value(Value::Object(members))
}

/// Where it is open which of two operations a server takes, both must demand the same.
fn ambiguous(operations: &[Operation], problems: &mut Problems) {
    let demanded = |operation: &Operation| route(operation, "").ok().map(|route| demands(&route));
    for (earlier, later) in overlap::pairs(operations) {
        if let (Some(earlier), Some(later)) = (operations.get(earlier), operations.get(later))
            && demanded(earlier) != demanded(later)
        {
            problems.at_line(
                later.line,
                format!(
                    "{}: {} on line {} matches some of the same paths and demands otherwise; servers differ in which \
                     one they take, so demand the same or change a path",
                    later.place(),
                    earlier.path,
                    earlier.line
                ),
            );
        }
    }
}
