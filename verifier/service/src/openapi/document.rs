//! An OpenAPI document as its operations: what is read of it, and what it must not say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use countersign_core::request::{check_path, decoded};
use countersign_verifier::check::route::is_template;

use super::extension::{Extension, NAME};
use super::security::Security;
use super::server::{self, Server};
use super::tree::{self, Content, Node};
use crate::bounded_file;
use crate::document::{Problems, unreadable_sentence};

/// Largest OpenAPI document that is read, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Most operations.
const MAX_OPERATIONS: usize = 2000;
/// Longest chain of `$ref`s.
const MAX_REFERENCES: usize = 16;
/// The members of a path item that are operations (OpenAPI 3.1 section 4.8.9.1).
const METHODS: [(&str, &str); 8] = [
    ("get", "GET"),
    ("put", "PUT"),
    ("post", "POST"),
    ("delete", "DELETE"),
    ("options", "OPTIONS"),
    ("head", "HEAD"),
    ("patch", "PATCH"),
    ("trace", "TRACE"),
];

/// What was read of an OpenAPI document.
pub(crate) struct ApiDocument {
    /// In the order of the document.
    pub(crate) operations: Vec<Operation>,
    /// What it says and cannot be meant, or cannot be expressed as routes.
    pub(crate) problems: Problems,
}

/// One operation: a method at a path template.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// The method, in capitals.
    pub(crate) method: &'static str,
    /// The path template, without the servers' base path.
    pub(crate) path: String,
    /// The line on which it begins.
    pub(crate) line: usize,
    /// Its tags.
    pub(crate) tags: Vec<String>,
    /// Whether it describes a request body.
    pub(crate) has_body: bool,
    /// Which credential it asks for.
    pub(crate) security: Security,
    /// What `x-attestation` says for it.
    pub(super) extension: Extension,
    /// Where it is served.
    pub(super) servers: Vec<Server>,
}

impl Operation {
    /// Method and path, as sentences name it.
    pub(crate) fn place(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl ApiDocument {
    /// Reads the document in `file`; JSON if its name ends in `.json`, otherwise YAML.
    ///
    /// # Errors
    /// It cannot be read, is neither YAML nor JSON, or is no OpenAPI 3.1 or 3.0.
    pub(crate) fn load(file: &Path) -> Result<Self, Problems> {
        let name = file.display().to_string();
        let bytes = bounded_file::read(file, MAX_BYTES).map_err(|error| {
            let sentence = if error.kind() == std::io::ErrorKind::FileTooLarge {
                format!("the file has more than {MAX_BYTES} bytes, which are read at most")
            } else {
                unreadable_sentence(&error)
            };
            Problems::of_file(&name, sentence)
        })?;
        let text = String::from_utf8(bytes).map_err(|_| {
            Problems::of_file(&name, unreadable_sentence(&std::io::ErrorKind::InvalidData.into()))
        })?;
        Self::parse(&name, &text)
    }

    /// Reads a document from its text; `name` stands before each problem.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, Problems> {
        let refused = |line, sentence: String| {
            let mut problems = Problems::of_lines(name);
            problems.at_line(line, sentence);
            problems
        };
        let is_json = name.to_ascii_lowercase().ends_with(".json");
        let root = tree::read(text, is_json).map_err(|fault| refused(fault.line, fault.sentence))?;
        check_version(&root).map_err(|sentence| refused(root.line, sentence))?;
        let Some(paths) = root.member("paths") else {
            return Err(refused(root.line, "there are no `paths`, so no operation".to_owned()));
        };
        let mut finder = Finder { name, root: &root, problems: Problems::of_lines(name) };
        finder.misplaced_extensions();
        let around = Extension::of(&root, &Extension::default(), "the document", name, &mut finder.problems);
        let servers = match root.member("servers") {
            Some(servers) => server::all(servers, &mut finder),
            None => server::default(),
        };
        let mut operations = Vec::new();
        for (path, item) in paths.members().iter().filter(|(path, _)| !path.starts_with("x-")) {
            finder.path_item(path, item, &around, &servers, &mut operations);
        }
        if operations.is_empty() && finder.problems.is_empty() {
            finder.problem(paths.line, "no operation stands in `paths`".to_owned());
        }
        if operations.len() > MAX_OPERATIONS {
            return Err(refused(paths.line, format!("there are more than {MAX_OPERATIONS} operations")));
        }
        finder.twins(&operations);
        Ok(Self { operations, problems: finder.problems })
    }
}

/// OpenAPI 3.1 section 4.8.1: `openapi` is the version.
fn check_version(root: &Node) -> Result<(), String> {
    let version = root.member("openapi").map(|node| &node.content);
    match version {
        Some(Content::Text(version)) if version.starts_with("3.1.") || version.starts_with("3.0.") => Ok(()),
        Some(Content::Text(version)) => {
            Err(format!("OpenAPI {version:?} is not read; write the document in 3.1 (3.0 is read, too)"))
        }
        Some(_) => Err("`openapi` is a version in quotes, such as \"3.1.0\"".to_owned()),
        None if root.member("swagger").is_some() => {
            Err("this is Swagger 2.0, which is not read; convert it to OpenAPI 3.1".to_owned())
        }
        None => Err("this is no OpenAPI document: `openapi: \"3.1.0\"` is missing".to_owned()),
    }
}

/// Walks the document and collects its problems.
pub(super) struct Finder<'n> {
    pub(super) name: &'n str,
    root: &'n Node,
    problems: Problems,
}

impl<'n> Finder<'n> {
    pub(super) fn problem(&mut self, line: usize, sentence: String) {
        self.problems.at_line(line, sentence);
    }

    /// The security scheme of a name.
    pub(super) fn scheme(&mut self, name: &str, line: usize, place: &str) -> Option<&'n Node> {
        let schemes = self.root.member("components").and_then(|node| node.member("securitySchemes"));
        let Some(scheme) = schemes.and_then(|schemes| schemes.member(name)) else {
            self.problem(
                line,
                format!("{place}: the security scheme `{name}` is not in `components/securitySchemes`"),
            );
            return None;
        };
        self.resolved(scheme, &format!("the security scheme `{name}`"))
    }

    /// What stands behind a node's `$ref`s, if it has any.
    fn resolved(&mut self, node: &'n Node, place: &str) -> Option<&'n Node> {
        let mut found = node;
        for _ in 0..MAX_REFERENCES {
            let Some(reference) = found.member("$ref") else { return Some(found) };
            let target = reference.text().unwrap_or_default();
            let Some(pointer) = target.strip_prefix('#') else {
                self.problem(
                    reference.line,
                    format!("{place}: {target:?} is outside of this file, and nothing else is read; bundle the document"),
                );
                return None;
            };
            // RFC 6901 section 6: a fragment is percent-encoded.
            match self.root.pointer(&unescaped(pointer)) {
                Some(node) => found = node,
                None => {
                    self.problem(reference.line, format!("{place}: there is nothing at {target:?}"));
                    return None;
                }
            }
        }
        self.problem(node.line, format!("{place}: its `$ref` leads in a circle, or through too many others"));
        None
    }

    fn path_item(
        &mut self,
        path: &str,
        item: &'n Node,
        around: &Extension,
        servers: &[Server],
        operations: &mut Vec<Operation>,
    ) {
        if let Some(sentence) = path_problem(path) {
            return self.problem(item.line, format!("{path}: {sentence}"));
        }
        // What stands beside a `$ref` here is undefined (OpenAPI 3.1 section 4.8.9.1).
        let is_told =
            |(key, _): &&(String, Node)| !matches!(key.as_str(), "$ref" | "summary" | "description");
        if item.member("$ref").is_some()
            && let Some((key, beside)) = item.members().iter().find(is_told)
        {
            self.problem(beside.line, format!("{path}: `{key}` beside `$ref` counts or does not; move it"));
        }
        let Some(item) = self.resolved(item, path) else { return };
        let around = Extension::of(item, around, path, self.name, &mut self.problems);
        let servers = match item.member("servers") {
            Some(own) => server::all(own, self),
            None => servers.to_vec(),
        };
        for (key, node) in item.members() {
            let known = METHODS.iter().find(|(name, _)| name == key);
            let Some((_, method)) = known else {
                let is_other =
                    matches!(key.as_str(), "$ref" | "summary" | "description" | "servers" | "parameters");
                if !is_other && !key.starts_with("x-") {
                    self.problem(
                        node.line,
                        format!("{path}: `{key}` is not known here; methods are written in small letters"),
                    );
                }
                continue;
            };
            let place = format!("{method} {path}");
            let security = match node.member("security").or_else(|| self.root.member("security")) {
                Some(requirements) => Security::of(requirements, &place, self),
                None => Security::Unstated,
            };
            let servers = match node.member("servers") {
                Some(own) => server::all(own, self),
                None => servers.clone(),
            };
            let tags = node.member("tags").map(Node::items).unwrap_or_default();
            operations.push(Operation {
                method,
                path: path.to_owned(),
                line: node.line,
                tags: tags.iter().filter_map(Node::text).map(str::to_owned).collect(),
                has_body: node.member("requestBody").is_some(),
                security,
                extension: Extension::of(node, &around, &place, self.name, &mut self.problems),
                servers,
            });
        }
    }

    /// Path templates that differ in nothing but the names of parameters, and escapes, are the same.
    fn twins(&mut self, operations: &[Operation]) {
        let mut seen: BTreeMap<(&str, Vec<u8>), &Operation> = BTreeMap::new();
        for operation in operations {
            let key = (operation.method, shape_of(&operation.path));
            if let Some(first) = seen.get(&key) {
                let sentence = format!(
                    "{}: {} on line {} is the same; remove one",
                    operation.place(),
                    first.path,
                    first.line
                );
                self.problem(operation.line, sentence);
            } else {
                seen.insert(key, operation);
            }
        }
    }

    /// An extension that stands where nobody looks, or is misspelt, is a safeguard that is missing.
    fn misplaced_extensions(&mut self) {
        let mut wrong = BTreeSet::new();
        let root = self.root;
        misplaced(root, &mut Vec::new(), &mut wrong);
        for (line, key) in wrong {
            let sentence = if key == NAME {
                format!(
                    "`{NAME}` counts at the document, at path items and at operations below `paths`, not here"
                )
            } else {
                format!("`{key}` is not known; did you mean `{NAME}`?")
            };
            self.problem(line, sentence);
        }
    }
}

fn misplaced<'n>(node: &'n Node, at: &mut Vec<&'n str>, wrong: &mut BTreeSet<(usize, String)>) {
    for item in node.items() {
        at.push("");
        misplaced(item, at, wrong);
        at.pop();
    }
    for (key, member) in node.members() {
        if key.to_ascii_lowercase().starts_with("x-attest") {
            let is_item = matches!(at.as_slice(), ["paths", _] | ["components", "pathItems", _]);
            let is_operation = matches!(at.as_slice(), ["paths", _, method] | ["components", "pathItems", _, method]
                if METHODS.iter().any(|(name, _)| name == method));
            if key != NAME || !(at.is_empty() || is_item || is_operation) {
                wrong.insert((member.line, key.clone()));
            }
        }
        at.push(key);
        misplaced(member, at, wrong);
        at.pop();
    }
}

/// Why a path cannot be a route's.
fn path_problem(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        Some("a path starts with `/`")
    } else if path.contains(['?', '#']) {
        Some("a path ends before `?` and `#`; describe the query as parameters")
    } else if check_path(path).is_err() || path.len() > 1024 {
        Some(
            "no request can have this path: `//`, `.`, `..`, `\\`, `;` and their escapes are refused, and other \
             characters than ASCII's are escaped with `%`",
        )
    } else if !is_template(path) {
        Some("a segment has at most one `{name}`, and no other braces")
    } else {
        None
    }
}

/// A path template without the names of its parameters, every escape undone.
fn shape_of(path: &str) -> Vec<u8> {
    let mut shape = String::new();
    for (index, part) in path.split('{').enumerate() {
        match part.split_once('}') {
            Some((_, after)) if index > 0 => {
                shape.push_str("{}");
                shape.push_str(after);
            }
            _ => shape.push_str(part),
        }
    }
    decoded(&shape).collect()
}

fn unescaped(pointer: &str) -> String {
    if pointer.is_empty() {
        return String::new();
    }
    let bytes: Vec<u8> = decoded(pointer).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
