//! From violations of a JSON schema to sentences that say what to do.

use std::collections::BTreeMap;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use super::Problems;
use super::formats::FORMATS;
use super::lines::{name_of, step};

/// Longest value that is quoted in a sentence, in characters.
const LONGEST_QUOTE: usize = 60;

/// What the rest of the document can be checked without.
#[derive(Default)]
pub(super) struct Violations {
    /// Unknown keys, as (pointer of the object, key).
    pub(super) unknown: Vec<(String, String)>,
    /// By the pointer of a wrong value, one that would fit the schema.
    pub(super) stand_ins: BTreeMap<String, Value>,
}

/// A schema made ready to judge documents by.
pub(crate) struct Judge {
    schema: Value,
    validator: jsonschema::Validator,
}

impl Judge {
    /// Makes a schema ready that is derived from a type.
    pub(crate) fn new(schema: Value) -> Self {
        let validator = validator(&schema);
        Self { schema, validator }
    }

    /// Names every violation.
    pub(super) fn violations(&self, json: &Value, problems: &mut Problems) -> Violations {
        let Self { schema, validator } = self;
        let mut explainer = Explainer { schema, json, problems, violations: Violations::default() };
        for error in validator.iter_errors(json) {
            explainer.exname_of(&error);
        }
        explainer.violations
    }
}

fn validator(schema: &Value) -> jsonschema::Validator {
    let options =
        FORMATS.iter().fold(jsonschema::options().should_validate_formats(true), |options, format| {
            options.with_format(format.name, format.accepts)
        });
    options.build(schema).expect("a schema that is derived from a type is valid")
}

struct Explainer<'a> {
    schema: &'a Value,
    json: &'a Value,
    problems: &'a mut Problems,
    violations: Violations,
}

impl Explainer<'_> {
    fn exname_of(&mut self, error: &ValidationError<'_>) {
        use ValidationErrorKind as Kind;
        let pointer = error.instance_path().as_str();
        let found = format!("{} is {}", named(pointer), quoted(error.instance()));
        let sentence = match error.kind() {
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                for key in unexpected {
                    self.unknown_key(pointer, key);
                }
                return;
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                return self.branches(&found, pointer, context);
            }
            Kind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                format!("`{key}` is missing{}; add it", self.place(pointer))
            }
            Kind::Type { kind } => format!("{found}; write {}", wanted(kind)),
            Kind::Enum { options } => {
                format!("{found}; write {}", one_of(options.as_array().into_iter().flatten()))
            }
            Kind::Constant { expected_value } => format!("{found}; write {expected_value}"),
            Kind::Format { format } => match FORMATS.iter().find(|known| known.name == format) {
                Some(known) => {
                    self.stand_in(pointer, Some(&known.example.into()));
                    format!("{found}; write {}", known.wanted)
                }
                None => format!("{found}; write a {format}"),
            },
            Kind::Maximum { limit } => format!("{found}; the largest allowed is {limit}"),
            Kind::Minimum { limit } => format!("{found}; the smallest allowed is {limit}"),
            Kind::MinLength { limit: 1 } => format!("{found}; write at least one character"),
            Kind::MinLength { limit } => format!("{found}; write at least {limit} characters"),
            Kind::MaxLength { limit } => format!("{found}; write at most {limit} characters"),
            Kind::MinItems { limit: 1 } => format!("{} is empty; name at least one", named(pointer)),
            Kind::MinItems { limit } => format!("{} is too short; name at least {limit}", named(pointer)),
            Kind::MaxItems { limit } => format!("{} is too long; name at most {limit}", named(pointer)),
            Kind::UniqueItems => format!("{} names something twice; remove one", named(pointer)),
            Kind::FalseSchema => format!("{} is not negotiable; remove it", named(pointer)),
            Kind::Pattern { pattern } => format!("{found}; it must match {pattern}"),
            _ => format!("{found}; {error}"),
        };
        self.problems.at(pointer, sentence);
    }

    fn unknown_key(&mut self, pointer: &str, key: &str) {
        let mut known = known_keys(self.schema, pointer);
        known.sort_unstable();
        known.dedup();
        let alike = known
            .iter()
            .map(|name| (strsim::damerau_levenshtein(name, key), name))
            .filter(|(distance, name)| *distance <= 1 + name.len().min(key.len()) / 4)
            .min();
        let advice = match alike {
            Some((_, name)) => format!("did you mean `{name}`?"),
            None if known.is_empty() => "remove it".to_owned(),
            None => format!("known are `{}`", known.join("`, `")),
        };
        self.problems.at(&step(pointer, key), format!("`{key}` is not known here; {advice}"));
        self.violations.unknown.push((pointer.to_owned(), key.to_owned()));
    }

    fn stand_in(&mut self, pointer: &str, fitting: Option<&Value>) {
        if let Some(fitting) = fitting {
            self.violations.stand_ins.insert(pointer.to_owned(), fitting.clone());
        }
    }

    /// None of several branches fits. Constants are alternatives to name; of tables, the branch that came nearest
    /// explains itself.
    fn branches(&mut self, found: &str, pointer: &str, context: &[Vec<ValidationError<'static>>]) {
        use ValidationErrorKind as Kind;
        let mut constants = Vec::new();
        for error in context.iter().flatten().filter(|error| error.instance_path().as_str() == pointer) {
            match error.kind() {
                Kind::Constant { expected_value } => constants.push((**expected_value).clone()),
                Kind::Enum { options } => constants.extend(options.as_array().into_iter().flatten().cloned()),
                _ => {}
            }
        }
        if !constants.is_empty() {
            self.stand_in(pointer, constants.first());
            return self.problems.at(pointer, format!("{found}; write {}", one_of(&constants)));
        }
        // A branch whose tag or type does not fit is not the one that was meant.
        let misfit = |errors: &Vec<ValidationError<'static>>| {
            let foreign = errors.iter().filter(|error| match error.kind() {
                Kind::Constant { .. } => true,
                Kind::Type { .. } => error.instance_path().as_str() == pointer,
                _ => false,
            });
            (foreign.count(), errors.len())
        };
        match context.iter().min_by_key(|errors| misfit(errors)) {
            Some(nearest) if !nearest.is_empty() => {
                let tags: Vec<Value> = context
                    .iter()
                    .flatten()
                    .filter_map(|error| match error.kind() {
                        Kind::Constant { expected_value } => Some((**expected_value).clone()),
                        _ => None,
                    })
                    .collect();
                for error in nearest {
                    if let (Kind::Constant { .. }, false) = (error.kind(), tags.is_empty()) {
                        let at = error.instance_path().as_str();
                        let found = format!("{} is {}", named(at), quoted(error.instance()));
                        self.problems.at(at, format!("{found}; write {}", one_of(&tags)));
                    } else {
                        self.exname_of(error);
                    }
                }
            }
            _ => self.problems.at(pointer, format!("{found}; none of the allowed forms fits")),
        }
    }

    /// ` in [table]` for a member of a table, nothing at the top.
    fn place(&self, pointer: &str) -> String {
        let names: Vec<&str> =
            pointer.split('/').skip(1).filter(|name| name.parse::<usize>().is_err()).collect();
        let listed = pointer.rsplit('/').next().is_some_and(|name| name.parse::<usize>().is_ok());
        let array = listed && self.json.pointer(pointer).is_some_and(Value::is_object);
        match (names.is_empty(), array) {
            (true, _) => String::new(),
            (false, false) => format!(" in [{}]", names.join(".")),
            (false, true) => format!(" in [[{}]]", names.join(".")),
        }
    }
}

/// The property names that a schema knows for the object at `pointer`.
fn known_keys(schema: &Value, pointer: &str) -> Vec<String> {
    let mut here = vec![schema];
    for name in pointer.split('/').skip(1) {
        let name = name_of(name);
        here = here.into_iter().flat_map(|place| alternatives(schema, place)).collect();
        here = here
            .into_iter()
            .filter_map(|place| {
                let member = place.get("properties").and_then(|properties| properties.get(&name));
                member.or_else(|| place.get("items")).or_else(|| place.get("additionalProperties"))
            })
            .collect();
    }
    here.into_iter()
        .flat_map(|place| alternatives(schema, place))
        .filter_map(|place| place.get("properties")?.as_object())
        // What is listed to be refused is nothing to recommend.
        .flat_map(|properties| properties.iter().filter(|(_, schema)| **schema != Value::Bool(false)))
        .map(|(name, _)| name.clone())
        .collect()
}

/// A subschema with what it refers to and its branches; bounded, because a schema may refer to itself.
fn alternatives<'s>(root: &'s Value, place: &'s Value) -> Vec<&'s Value> {
    let mut all = vec![place];
    let mut next = 0;
    while let (Some(place), true) = (all.get(next).copied(), all.len() < 100) {
        next += 1;
        let referred = place.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
        all.extend(referred.and_then(|pointer| root.pointer(pointer)));
        for keyword in ["anyOf", "oneOf", "allOf"] {
            all.extend(place.get(keyword).and_then(Value::as_array).into_iter().flatten());
        }
    }
    all
}

/// The key at the end of a pointer, in backquotes; `an item of` it for a position in an array.
fn named(pointer: &str) -> String {
    let mut names = pointer.rsplit('/').filter(|name| !name.is_empty());
    match (names.next(), names.next()) {
        (None, _) => "the document".to_owned(),
        (Some(last), Some(outer)) if last.parse::<usize>().is_ok() => {
            format!("an item of `{}`", name_of(outer))
        }
        (Some(last), _) => format!("`{}`", name_of(last)),
    }
}

/// A value as the sentence shows it: short ones in full.
fn quoted(value: &Value) -> String {
    match value {
        Value::Object(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => {
            let text = other.to_string();
            match text.char_indices().nth(LONGEST_QUOTE) {
                Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
                None => text,
            }
        }
    }
}

fn one_of<'v>(values: impl IntoIterator<Item = &'v Value>) -> String {
    let mut texts: Vec<String> = values.into_iter().map(Value::to_string).collect();
    texts.sort();
    texts.dedup();
    match texts.as_slice() {
        [only] => only.clone(),
        _ => format!("one of {}", texts.join(", ")),
    }
}

fn wanted(kind: &TypeKind) -> String {
    let mut names: Vec<&str> = match kind {
        TypeKind::Single(one) => vec![type_name(one.as_str())],
        TypeKind::Multiple(several) => several.iter().map(|one| type_name(one.as_str())).collect(),
    };
    names.dedup();
    names.join(" or ")
}

fn type_name(json: &str) -> &'static str {
    match json {
        "string" => "a text in quotes",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list in [ ]",
        "object" => "a table",
        _ => "another kind of value",
    }
}
