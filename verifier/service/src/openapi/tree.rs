//! YAML and JSON as a tree with lines: strict, and bounded however small the text is that asks for much.

use std::collections::{BTreeMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::document::step;

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 128;
/// What a document may take in memory, in bytes; aliases count as what they stand for.
const MAX_WEIGHT: usize = 128 * 1024 * 1024;
/// What a node takes beside its text.
const NODE_WEIGHT: usize = 64;

/// A value and the line on which it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) content: Content,
}

/// A value, as JSON knows them.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Null, a truth value or a number.
    Plain(Value),
    Text(String),
    List(Vec<Node>),
    /// In the order of the text; each key once.
    Map(Vec<(String, Node)>),
}

/// Why a text is no tree: line and sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) sentence: String,
}

/// The tree of a YAML or JSON text.
///
/// # Errors
/// The first thing that is wrong with it: syntax, a key that stands twice, or a bound.
pub(super) fn read(text: &str, is_json: bool) -> Result<Node, Fault> {
    if is_json {
        serde_json::from_str::<IgnoredAny>(text)
            .map_err(|error| fault(error.line(), format!("this is not JSON: {error}")))?;
        // JSON is YAML but for characters that JSON escapes as two halves.
        return Builder::new(&joined_surrogates(text)).document();
    }
    Builder::new(text).document()
}

impl Node {
    /// The member of a map.
    pub(super) fn member(&self, key: &str) -> Option<&Node> {
        self.members().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The members of a map; none of anything else.
    pub(super) fn members(&self) -> &[(String, Node)] {
        match &self.content {
            Content::Map(members) => members,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(&self) -> &[Node] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    /// A text.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What a JSON pointer (RFC 6901) names.
    pub(super) fn pointer(&self, pointer: &str) -> Option<&Node> {
        pointer.split('/').skip(1).try_fold(self, |node, name| {
            let name = name.replace("~1", "/").replace("~0", "~");
            match &node.content {
                Content::List(items) => items.get(name.parse::<usize>().ok()?),
                _ => node.member(&name),
            }
        })
    }

    /// The same as JSON; each value's line goes to `lines` by its pointer.
    pub(super) fn to_json(&self, pointer: &str, lines: &mut BTreeMap<String, usize>) -> Value {
        lines.insert(pointer.to_owned(), self.line);
        match &self.content {
            Content::Plain(value) => value.clone(),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => (0..)
                .zip(items)
                .map(|(index, item): (usize, _)| item.to_json(&step(pointer, &index.to_string()), lines))
                .collect(),
            Content::Map(members) => members
                .iter()
                .map(|(key, node)| (key.clone(), node.to_json(&step(pointer, key), lines)))
                .collect(),
        }
    }

    fn weight(&self) -> usize {
        NODE_WEIGHT
            + match &self.content {
                Content::Plain(_) => 0,
                Content::Text(text) => text.len(),
                Content::List(items) => items.iter().map(Self::weight).sum(),
                Content::Map(members) => members.iter().map(|(key, node)| key.len() + node.weight()).sum(),
            }
    }
}

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// What anchors stand for, by the parser's number of them.
    anchors: BTreeMap<usize, Node>,
    weight: usize,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str) -> Self {
        Self { parser: Parser::new_from_str(text), anchors: BTreeMap::new(), weight: 0 }
    }

    fn document(mut self) -> Result<Node, Fault> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd, line) => return Err(fault(line, "there is nothing in this file")),
                (event, line) => {
                    let node = self.node(event, line, 0)?;
                    loop {
                        match self.next()? {
                            (Event::StreamEnd, _) => return Ok(node),
                            (Event::DocumentStart(_), line) => {
                                return Err(fault(line, "a second document begins here; one is read"));
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, usize), Fault> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => {
                Err(fault(error.marker().line(), format!("this is not YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, 1)),
        }
    }

    fn node(&mut self, event: Event<'t>, line: usize, depth: usize) -> Result<Node, Fault> {
        if depth > MAX_DEPTH {
            return Err(fault(line, format!("more than {MAX_DEPTH} levels lie in each other here")));
        }
        let (anchor, content) = match event {
            Event::Alias(anchor) => {
                let named = self.anchors.get(&anchor);
                let named = named.ok_or_else(|| fault(line, "this alias stands for what it is part of"))?;
                let node = Node { line, ..named.clone_within(self.weight, line)? };
                self.weigh(node.weight(), line)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.weigh(NODE_WEIGHT + text.len(), line)?;
                (anchor, scalar(&text, style, tag.as_deref(), line)?)
            }
            Event::SequenceStart(anchor, tag) => {
                only_core(tag.as_deref(), line)?;
                self.weigh(NODE_WEIGHT, line)?;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break (anchor, Content::List(items)),
                        (event, line) => items.push(self.node(event, line, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(anchor, tag) => {
                only_core(tag.as_deref(), line)?;
                self.weigh(NODE_WEIGHT, line)?;
                (anchor, Content::Map(self.map(depth)?))
            }
            _ => return Err(fault(line, "this is not YAML: a value is missing")),
        };
        let node = Node { line, content };
        if anchor > 0 {
            let copy = node.clone_within(self.weight, line)?;
            self.weigh(copy.weight(), line)?;
            self.anchors.insert(anchor, copy);
        }
        Ok(node)
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(String, Node)>, Fault> {
        let mut members: Vec<(String, Node)> = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let (key, line) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(members),
                (Event::Scalar(key, style, 0, None), line) if key == "<<" && style == ScalarStyle::Plain => {
                    return Err(fault(line, "YAML 1.2 knows no merge keys; write out what `<<` stands for"));
                }
                (Event::Scalar(key, _, 0, _), line) => (key.into_owned(), line),
                (_, line) => return Err(fault(line, "a key is a text, without anchor and alias")),
            };
            self.weigh(2 * key.len(), line)?;
            if !seen.insert(key.clone()) {
                return Err(fault(line, format!("`{key}` stands twice in one map; remove one")));
            }
            let (event, at) = self.next()?;
            // A value on the next line belongs to its key's.
            let node = Node { line, ..self.node(event, at, depth + 1)? };
            members.push((key, node));
        }
    }

    fn weigh(&mut self, weight: usize, line: usize) -> Result<(), Fault> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight > MAX_WEIGHT { Err(too_heavy(line)) } else { Ok(()) }
    }
}

impl Node {
    /// A copy, if it may be made after `weight` was taken.
    fn clone_within(&self, weight: usize, line: usize) -> Result<Self, Fault> {
        if self.weight().saturating_add(weight) > MAX_WEIGHT {
            return Err(too_heavy(line));
        }
        Ok(self.clone())
    }
}

fn too_heavy(line: usize) -> Fault {
    fault(line, "the document grows too large here; are there aliases of aliases?")
}

fn fault(line: usize, sentence: impl Into<String>) -> Fault {
    Fault { line: line.max(1), sentence: sentence.into() }
}

fn only_core(tag: Option<&Tag>, line: usize) -> Result<(), Fault> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => {
            Err(fault(line, format!("the tag `{tag}` is not known; remove it")))
        }
        _ => Ok(()),
    }
}

/// A scalar by YAML's core schema (YAML 1.2.2 section 10.3.2).
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, line: usize) -> Result<Content, Fault> {
    only_core(tag, line)?;
    let is_text = style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str");
    if is_text {
        return Ok(Content::Text(text.to_owned()));
    }
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Content::Plain(Value::Null),
        "true" | "True" | "TRUE" => Content::Plain(true.into()),
        "false" | "False" | "FALSE" => Content::Plain(false.into()),
        _ => match text.parse::<i64>() {
            Ok(number) => Content::Plain(number.into()),
            Err(_) => match text.parse::<serde_json::Number>() {
                Ok(number) => Content::Plain(number.into()),
                Err(_) => Content::Text(text.to_owned()),
            },
        },
    })
}

/// A JSON text in which `\ud83d\ude00` is the one character that it stands for.
fn joined_surrogates(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        joined.push_str(before);
        let unit = |at: usize| {
            let digits = escape.get(at..at + 6)?.strip_prefix("\\u")?;
            u16::from_str_radix(digits, 16).ok()
        };
        let character = match (unit(0), unit(6)) {
            (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) => {
                char::decode_utf16([high, low]).next().and_then(Result::ok)
            }
            _ => None,
        };
        let length = match character {
            Some(character) => {
                joined.push(character);
                12
            }
            // The escape with what it escapes, which may be a backslash.
            None => {
                let length = 1 + escape.chars().nth(1).map_or(0, char::len_utf8);
                joined.push_str(escape.get(..length).unwrap_or_default());
                length
            }
        };
        rest = escape.get(length..).unwrap_or_default();
    }
    joined.push_str(rest);
    joined
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json(text: &str, is_json: bool) -> Value {
        read(text, is_json).unwrap().to_json("", &mut BTreeMap::new())
    }

    fn refused(text: &str) -> Fault {
        read(text, false).unwrap_err()
    }

    #[test]
    fn yaml_is_read_by_its_core_schema() {
        let text = "a: 1\nb: [yes, true, ~, '1', 1.5, !!str 2]\n200: {c: |\n  x\n}\n";
        assert_eq!(
            json(text.replace("{c: |\n  x\n}", "x").as_str(), false),
            json!({ "a": 1, "b": ["yes", true, null, "1", 1.5, "2"], "200": "x" })
        );
    }

    #[test]
    fn json_is_read_with_its_escapes_and_tabs() {
        let text = "{\n\t\"a\":\"\\ud83d\\ude00 \\\\ud83d\\/\",\"b\":[1,\t-2e3],\n\t\"c\":{}}";
        assert_eq!(json(text, true), json!({ "a": "\u{1f600} \\ud83d/", "b": [1, -2e3], "c": {} }));
    }

    #[test]
    fn what_is_yaml_alone_is_no_json() {
        let fault = read("{a: 1}", true).unwrap_err();
        assert!(fault.sentence.starts_with("this is not JSON"), "{fault:?}");
    }

    #[test]
    fn each_value_has_the_line_of_its_key() {
        let mut lines = BTreeMap::new();
        read("a: 1\nb:\n  c:\n    - 1\n    - 2\n", false).unwrap().to_json("", &mut lines);
        assert_eq!((lines["/b"], lines["/b/c"], lines["/b/c/1"]), (2, 3, 5));
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_in_both_forms() {
        assert_eq!(refused("a: 1\nb: 2\n'a': 3\n").line, 3);
        assert!(read("{\"a\": 1, \"\\u0061\": 2}", true).unwrap_err().sentence.contains("stands twice"));
    }

    #[test]
    fn an_alias_stands_for_its_anchor_and_never_for_itself() {
        assert_eq!(json("a: &x [1]\nb: *x\n", false), json!({ "a": [1], "b": [1] }));
        assert!(refused("a: &x [*x]\n").sentence.contains("part of"));
        assert!(refused("a: &x {b: 1}\nc:\n  <<: *x\n").sentence.contains("merge keys"));
    }

    #[test]
    fn aliases_of_aliases_do_not_fill_the_memory() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let inner = vec![format!("*a{}", level - 1); 10].join(", ");
            text += &format!("a{level}: &a{level} [{inner}]\n");
        }
        assert!(refused(&text).sentence.contains("too large"));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 10_000].join(", "));
        assert!(refused(&long).sentence.contains("too large"));
    }

    #[test]
    fn deep_nesting_is_refused_in_every_notation() {
        let flow = "[".repeat(100_000);
        let block = (0..2000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>();
        for text in [flow.as_str(), &"- ".repeat(100_000), &block] {
            assert!(read(text, false).is_err());
        }
        let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
        assert!(read(&deep, true).is_ok());
        assert!(read(&format!("[[[[[[[[[[{deep}]]]]]]]]]]"), true).is_err());
    }

    #[test]
    fn what_yaml_may_be_and_no_description_of_an_api_is_refused() {
        for text in
            ["", "# nothing", "a: 1\n---\nb: 2\n", "a: !python/object x", "? [a]\n: 1", "a: [1", "a: *b"]
        {
            assert!(read(text, false).is_err(), "{text:?}");
        }
    }
}
