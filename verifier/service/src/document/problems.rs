//! What is wrong with a document, each finding with its line.

use std::error::Error;
use std::fmt;
use std::path::Path;

use super::lines::Lines;

/// One finding: where, and a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line, counted from 1; `None` if the finding is about the whole file.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub message: String,
}

/// All findings about one document. Displayed as `file:line: sentence`, one per line, in the file's order.
#[derive(Debug)]
pub struct Problems {
    file: String,
    lines: Lines,
    found: Vec<Problem>,
    /// Pointers that have their problem already and about which no rule says more.
    silent: Vec<String>,
    reported: Vec<String>,
}

impl Problems {
    /// No problems yet, of a document whose lines are known.
    pub(super) fn new(file: &str, lines: Lines) -> Self {
        Self { file: file.to_owned(), lines, found: Vec::new(), silent: Vec::new(), reported: Vec::new() }
    }

    /// One problem with a file as a whole.
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        let found = vec![Problem { line: None, message: message.into() }];
        Self {
            file: file.to_owned(),
            lines: Lines::default(),
            found,
            silent: Vec::new(),
            reported: Vec::new(),
        }
    }

    /// Adds a finding at a JSON pointer (RFC 6901), such as `/resource/0/identifier`. A pointer to what is not
    /// in the document stands for the nearest thing around it.
    pub fn at(&mut self, pointer: &str, message: impl Into<String>) {
        if self.silent.iter().any(|silent| silent == pointer) {
            return;
        }
        self.reported.push(pointer.to_owned());
        self.at_line(self.lines.nearest(pointer), message);
    }

    /// Adds a finding at a line, counted from 1.
    pub(crate) fn at_line(&mut self, line: usize, message: impl Into<String>) {
        let problem = Problem { line: Some(line), message: message.into() };
        if let Err(place) = self.found.binary_search(&problem) {
            self.found.insert(place, problem);
        }
    }

    /// No problems yet, of a document whose lines are told with each finding.
    pub(crate) fn of_lines(file: &str) -> Self {
        Self::new(file, Lines::default())
    }

    /// Takes over the findings about a part, each with `place` before its sentence.
    pub(crate) fn absorb(&mut self, part: &Self, place: &str) {
        for problem in &part.found {
            self.at_line(problem.line.unwrap_or(1), format!("{place}: {}", problem.message));
        }
    }

    /// Whether a finding stands at this pointer or at a part of what it names.
    pub(super) fn stands_at(&self, pointer: &str) -> bool {
        let part = |reported: &String| {
            reported.strip_prefix(pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.reported.iter().any(part)
    }

    /// Takes no further findings at this pointer.
    pub(super) fn silence(&mut self, pointer: String) {
        self.silent.push(pointer);
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The findings, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.found.iter()
    }

    /// The directory that relative paths in the document start from: the one that holds the file.
    pub fn directory(&self) -> &Path {
        directory_of(Path::new(&self.file))
    }
}

/// The directory that holds `file`, never empty.
pub(crate) fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Problem { line, message } in &self.found {
            match line {
                Some(line) => writeln!(f, "{}:{line}: {message}", self.file)?,
                None => writeln!(f, "{}: {message}", self.file)?,
            }
        }
        Ok(())
    }
}

impl Error for Problems {}
