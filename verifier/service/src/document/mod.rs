//! TOML documents that people write: the settings and the appraisal policy.
//!
//! A document is read in four steps, each of which names everything it finds: TOML syntax, the JSON schema of
//! the type, deserialisation, and the type's own rules ([`Document::check`]). Every problem carries its line and
//! says what to do; unknown keys are refused, because a misspelt safeguard is a missing one.

mod explain;
pub mod formats;
mod lines;
mod problems;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use problems::directory_of;
pub use problems::{Problem, Problems};

use crate::bounded_file;
use lines::{Lines, Source};

pub(crate) use explain::Judge;
pub(crate) use lines::step;

/// Largest document that is read, in bytes; a settings file is a thousandth of it.
pub const MAX_DOCUMENT_BYTES: u64 = 1024 * 1024;

/// A type that a TOML document describes.
///
/// Its schema must refuse unknown keys (`#[serde(deny_unknown_fields)]` on every struct).
pub trait Document: JsonSchema + DeserializeOwned {
    /// Reads what the document names and consists of, before its rules are checked.
    fn complete(&mut self, _problems: &mut Problems) {}

    /// The rules that a schema cannot say: it adds a problem for each one broken.
    fn check(&self, _problems: &mut Problems) {}
}

/// Reads and checks the document in `file`.
///
/// # Errors
/// Every problem that was found, in the order of the file's lines; one problem if the file cannot be read.
pub fn load<T: Document>(file: &Path) -> Result<T, Problems> {
    let name = file.display().to_string();
    let unreadable = |message: String| Problems::of_file(&name, message);
    let bytes = bounded_file::read(file, MAX_DOCUMENT_BYTES);
    let bytes = bytes.map_err(|error| unreadable(unreadable_sentence(&error)))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| unreadable(unreadable_sentence(&io::ErrorKind::InvalidData.into())))?;
    parse(&name, &text)
}

/// Whether the file can be read and has a member of this name at its top, whatever else is wrong with it.
pub(crate) fn has_member(file: &Path, member: &str) -> bool {
    let bytes = bounded_file::read(file, MAX_DOCUMENT_BYTES).unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap_or_default();
    Source::read(&text).json.get(member).is_some()
}

/// Reads and checks a document from its text; `name` stands before each problem.
///
/// # Errors
/// As [`load`].
pub fn parse<T: Document>(name: &str, text: &str) -> Result<T, Problems> {
    let Source { mut json, lines, syntax } = Source::read(text);
    let mut problems = Problems::new(name, lines);
    for (line, message) in syntax {
        problems.at_line(line, message);
    }
    if !problems.is_empty() {
        return Err(problems);
    }

    let violations = Judge::new(schema::<T>()).violations(&json, &mut problems);
    for (object, key) in &violations.unknown {
        set_aside(&mut json, object, key);
    }
    for (pointer, fitting) in violations.stand_ins {
        if let Some(value) = json.pointer_mut(&pointer) {
            *value = fitting;
            problems.silence(pointer);
        }
    }
    match deserialize::<T>(json, &mut problems) {
        Some(mut document) => {
            document.complete(&mut problems);
            document.check(&mut problems);
            if problems.is_empty() { Ok(document) } else { Err(problems) }
        }
        None => Err(problems),
    }
}

/// Deserialises what the schema has judged. A member that a problem stands at already is set aside, so that the
/// rules of the type can be checked as well and all problems are named at once.
fn deserialize<T: Document>(mut json: Value, problems: &mut Problems) -> Option<T> {
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(&json) {
            Ok(document) => return Some(document),
            Err(error) => error,
        };
        let pointer = lines::pointer_of(error.path());
        let member = pointer.rsplit_once('/').map(|(object, key)| (object.to_owned(), lines::name_of(key)));
        let removed = member
            .is_some_and(|(object, key)| problems.stands_at(&pointer) && set_aside(&mut json, &object, &key));
        if removed {
            problems.silence(pointer);
            continue;
        }
        // After a violation of the schema this says the same again.
        if problems.is_empty() {
            problems.at(&pointer, error.into_inner().to_string());
        }
        return None;
    }
}

/// Removes a member from the object at a pointer.
fn set_aside(json: &mut Value, object: &str, key: &str) -> bool {
    json.pointer_mut(object).and_then(Value::as_object_mut).and_then(|members| members.remove(key)).is_some()
}

/// Names every violation of a schema by a part of another document, whose values begin on `lines` by their JSON
/// pointer.
pub(crate) fn violations_of(
    name: &str,
    judge: &Judge,
    part: &Value,
    lines: BTreeMap<String, usize>,
) -> Problems {
    let mut problems = Problems::new(name, Lines::from(lines));
    judge.violations(part, &mut problems);
    problems
}

/// The JSON schema (draft 2020-12) of a document, for editors and for [`load`].
pub fn schema<T: Document>() -> Value {
    schema_of::<T>()
}

/// The same of a part of a document.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .with_transform(RecursiveTransform(without_null))
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// TOML has no null: an optional member is absent. Saying so makes the schema and its complaints shorter.
fn without_null(schema: &mut schemars::Schema) {
    let Some(members) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = members.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
    if members.get("default").is_some_and(Value::is_null) {
        members.remove("default");
    }
    if let Some(Value::Array(branches)) = members.get_mut("anyOf") {
        branches.retain(|branch| branch.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = branches.as_slice() {
            let only = only.clone();
            members.remove("anyOf");
            for (key, value) in only {
                members.entry(key).or_insert(value);
            }
        }
    }
}

pub(crate) fn unreadable_sentence(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "the file does not exist; check the path".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "the file may not be read by this user; check its owner and mode".to_owned()
        }
        io::ErrorKind::FileTooLarge => {
            format!(
                "the file has more than {MAX_DOCUMENT_BYTES} bytes, which are read at most; is this the right file?"
            )
        }
        io::ErrorKind::InvalidInput => "this is a pipe or a device; name a file".to_owned(),
        io::ErrorKind::IsADirectory => "this is a directory; name the file in it".to_owned(),
        io::ErrorKind::InvalidData => "the file is not UTF-8 text; is this the right file?".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Garden {
        name: String,
        #[serde(default)]
        beds: Option<Beds>,
        #[serde(default, rename = "tree")]
        trees: Vec<Tree>,
    }

    #[derive(Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Beds {
        #[schemars(range(min = 1, max = 12))]
        count: u32,
        #[serde(default)]
        soil: Soil,
    }

    /// What lies in a bed.
    #[derive(Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Soil {
        /// Dark.
        #[default]
        Loam,
        /// Light.
        Sand,
    }

    #[derive(Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Tree {
        kind: String,
        #[serde(default)]
        height: Option<u32>,
    }

    impl Document for Garden {
        fn check(&self, problems: &mut Problems) {
            for (index, tree) in self.trees.iter().enumerate() {
                if tree.height == Some(0) {
                    problems.at(
                        &format!("/tree/{index}/height"),
                        "a tree has a height; remove the line or the tree",
                    );
                }
            }
        }
    }

    fn problems(text: &str) -> String {
        parse::<Garden>("garden.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_good_document_is_read() {
        let garden: Garden =
            parse("garden.toml", "name = 'a'\n[beds]\ncount = 2\nsoil = 'sand'\n[[tree]]\nkind = 'oak'\n")
                .unwrap();
        assert_eq!(garden.beds, Some(Beds { count: 2, soil: Soil::Sand }));
        assert_eq!(garden.trees.len(), 1);
    }

    #[test]
    fn every_problem_is_named_at_once_with_its_line() {
        let text = "nmae = 'a'\n\n[beds]\ncount = 13\nsoil = 'clay'\n\n[[tree]]\nkind = 'oak'\n\n[[tree]]\nheight = 'tall'\n";
        assert_eq!(
            problems(text),
            "garden.toml:1: `name` is missing; add it\n\
             garden.toml:1: `nmae` is not known here; did you mean `name`?\n\
             garden.toml:4: `count` is 13; the largest allowed is 12\n\
             garden.toml:5: `soil` is \"clay\"; write one of \"loam\", \"sand\"\n\
             garden.toml:10: `kind` is missing in [[tree]]; add it\n\
             garden.toml:11: `height` is \"tall\"; write a whole number\n"
        );
    }

    #[test]
    fn an_unknown_key_does_not_hide_the_rules_of_the_type() {
        let text = "name = 'a'\ncolour = 'green'\n[[tree]]\nkind = 'oak'\nheight = 0\n";
        assert_eq!(
            problems(text),
            "garden.toml:2: `colour` is not known here; known are `beds`, `name`, `tree`\n\
             garden.toml:5: a tree has a height; remove the line or the tree\n"
        );
    }

    #[test]
    fn every_error_of_syntax_is_named() {
        let found = problems("name = \n[beds\ncount = 2\nname = = 3\n");
        assert!(found.contains("garden.toml:1: "), "{found}");
        assert!(found.contains("garden.toml:4: "), "{found}");
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        let found = problems("name = 'a'\nname = 'b'\n");
        assert!(found.starts_with("garden.toml:2: "), "{found}");
    }

    #[test]
    fn a_table_where_a_value_belongs_is_refused_at_its_head() {
        assert_eq!(
            problems("[name]\nfirst = 'a'\n"),
            "garden.toml:1: `name` is a table; write a text in quotes\n"
        );
    }

    #[test]
    fn problems_in_inline_tables_and_dotted_keys_have_their_line() {
        assert_eq!(
            problems("name = 'a'\nbeds.count = 0\ntree = [\n  { kind = 'oak' },\n  { kind = 7 },\n]\n"),
            "garden.toml:2: `count` is 0; the smallest allowed is 1\n\
             garden.toml:5: `kind` is 7; write a text in quotes\n"
        );
    }

    #[test]
    fn a_missing_file_is_one_sentence() {
        let found = load::<Garden>(Path::new("/nonexistent/garden.toml")).unwrap_err().to_string();
        assert_eq!(found, "/nonexistent/garden.toml: the file does not exist; check the path\n");
    }

    #[test]
    fn the_schema_knows_no_null() {
        let text = schema::<Garden>().to_string();
        assert!(!text.contains("null"), "{text}");
    }
}
