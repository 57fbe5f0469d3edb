//! From TOML text to a JSON value, with the line of every value and key.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The line on which each value of a document begins, by JSON pointer.
#[derive(Debug, Default)]
pub(super) struct Lines(BTreeMap<String, usize>);

impl From<BTreeMap<String, usize>> for Lines {
    fn from(lines: BTreeMap<String, usize>) -> Self {
        Self(lines)
    }
}

impl Lines {
    /// The line of what `pointer` names, or of the nearest thing around it; at least 1.
    pub(super) fn nearest(&self, mut pointer: &str) -> usize {
        loop {
            if let Some(line) = self.0.get(pointer) {
                return *line;
            }
            match pointer.rfind('/') {
                Some(end) => pointer = pointer.get(..end).unwrap_or_default(),
                None => return 1,
            }
        }
    }
}

/// A document as JSON, with its lines and its errors of syntax.
pub(super) struct Source {
    pub(super) json: Value,
    pub(super) lines: Lines,
    /// Line and sentence of each error.
    pub(super) syntax: Vec<(usize, String)>,
}

impl Source {
    /// Reads TOML; goes on after an error of syntax to find the others.
    pub(super) fn read(text: &str) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader { text, lines: Lines::default(), syntax: Vec::new() };
        for error in errors {
            let line = reader.line(error.span().unwrap_or_default().start);
            reader.syntax.push((line, format!("this is not TOML: {}", error.message().trim_end())));
        }
        let json = reader.table(table.get_ref(), "");
        Self { json, lines: reader.lines, syntax: reader.syntax }
    }
}

/// One step of a JSON pointer (RFC 6901 section 3).
pub(crate) fn step(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The name that a step of a JSON pointer stands for.
pub(super) fn name_of(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// The JSON pointer of a place that deserialisation stopped at.
pub(super) fn pointer_of(path: &serde_path_to_error::Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => step(&pointer, &index.to_string()),
        Segment::Map { key } => step(&pointer, key),
        Segment::Enum { .. } | Segment::Unknown => pointer,
    })
}

struct Reader<'t> {
    text: &'t str,
    lines: Lines,
    syntax: Vec<(usize, String)>,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    fn table(&mut self, table: &DeTable<'_>, pointer: &str) -> Value {
        let mut members = Map::new();
        for (key, value) in table {
            let inner = step(pointer, key.get_ref());
            let line = self.line(key.span().start);
            self.lines.0.insert(inner.clone(), line);
            let json = self.value(value, &inner);
            members.insert(key.get_ref().to_string(), json);
        }
        Value::Object(members)
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, pointer: &str) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(number) => number.into(),
                Err(_) => self.unfit(value, "this number does not fit into 64 bits"),
            },
            DeValue::Float(digits) => {
                match digits.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
                    Some(number) => Value::Number(number),
                    None => self.unfit(value, "this number cannot be used; write a finite one"),
                }
            }
            DeValue::Boolean(truth) => Value::Bool(*truth),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Table(table) => self.table(table, pointer),
            DeValue::Array(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let inner = step(pointer, &index.to_string());
                    let line = self.line(item.span().start);
                    self.lines.0.insert(inner.clone(), line);
                    values.push(self.value(item, &inner));
                }
                Value::Array(values)
            }
        }
    }

    fn unfit(&mut self, value: &Spanned<DeValue<'_>>, sentence: &str) -> Value {
        let line = self.line(value.span().start);
        self.syntax.push((line, sentence.to_owned()));
        Value::Null
    }
}
