//! What is wrong with a document, each finding with its line.

use std::error::Error;
use std::fmt;

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
}

impl Problems {
    /// No problems yet, of a document whose lines are known.
    pub(super) fn new(file: &str, lines: Lines) -> Self {
        Self { file: file.to_owned(), lines, found: Vec::new() }
    }

    /// One problem with a file as a whole.
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        let found = vec![Problem { line: None, message: message.into() }];
        Self { file: file.to_owned(), lines: Lines::default(), found }
    }

    /// Adds a finding at a JSON pointer (RFC 6901), such as `/resource/0/identifier`. A pointer to what is not
    /// in the document stands for the nearest thing around it.
    pub fn at(&mut self, pointer: &str, message: impl Into<String>) {
        self.at_line(self.lines.nearest(pointer), message);
    }

    /// Adds a finding at a line, counted from 1.
    pub(super) fn at_line(&mut self, line: usize, message: impl Into<String>) {
        let problem = Problem { line: Some(line), message: message.into() };
        if let Err(place) = self.found.binary_search(&problem) {
            self.found.insert(place, problem);
        }
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The findings, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.found.iter()
    }

    /// The file's name, as it was given.
    pub fn file(&self) -> &str {
        &self.file
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
