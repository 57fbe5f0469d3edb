//! Where an API is served: the origin and base path of OpenAPI's `servers`.

use reqwest::Url;

use super::document::Finder;
use super::tree::Node;

/// One server of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// `None` for wherever the document is.
    pub(super) origin: Option<String>,
    /// What stands before each path; empty, or with a slash at its beginning and none at its end.
    pub(super) base: String,
    pub(super) line: usize,
}

/// Where a document without `servers` is served (OpenAPI 3.1 section 4.8.1.1): at `/`.
pub(super) fn default() -> Vec<Server> {
    vec![Server { origin: None, base: String::new(), line: 1 }]
}

/// The servers that a `servers` member lists; those that cannot be read are problems.
pub(super) fn all(servers: &Node, finder: &mut Finder<'_>) -> Vec<Server> {
    if servers.items().is_empty() {
        return default();
    }
    let mut all = Vec::new();
    for node in servers.items() {
        let url = node.member("url").and_then(Node::text).unwrap_or_default();
        match with_defaults(url, node).as_deref().and_then(|url| server(url, node.line)) {
            Some(server) => all.push(server),
            None => finder.problem(
                node.line,
                format!(
                    "the server {url:?} cannot be used: write an absolute URL or a path that starts with `/`, without \
                     query, and give each variable a default"
                ),
            ),
        }
    }
    all
}

/// The URL with the default of each of its variables.
fn with_defaults(url: &str, server: &Node) -> Option<String> {
    let mut parts = url.split('{');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (name, after) = part.split_once('}')?;
        let variable = server.member("variables").and_then(|variables| variables.member(name))?;
        text.push_str(variable.member("default").and_then(Node::text)?);
        text.push_str(after);
    }
    (!text.contains('}')).then_some(text)
}

fn server(url: &str, line: usize) -> Option<Server> {
    let (origin, path) = if url.starts_with('/') && !url.starts_with("//") {
        (None, url.to_owned())
    } else {
        let url = Url::parse(url).ok()?;
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.has_host();
        let origin = is_plain.then(|| url.origin().ascii_serialization())?;
        (Some(origin), url.path().to_owned())
    };
    let base = path.trim_end_matches('/').to_owned();
    let is_path =
        countersign_core::request::check_path(&base).is_ok() && !base.contains(['?', '#', '{', '}']);
    is_path.then_some(Server { origin, base, line })
}
