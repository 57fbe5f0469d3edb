//! Published vectors of standards, of which we take a subset: what lies in it must be judged as published, and all
//! else be refused, whatever it is worth to others.

use std::path::Path;

use serde_json::Value;

use crate::exceptions::Exceptions;

/// One file of vectors.
pub(crate) struct Published<'e> {
    /// The folder that the file is in.
    family: &'static str,
    file: String,
    pub(crate) document: Value,
    exceptions: &'e mut Exceptions,
    pub(crate) tally: Tally,
}

/// What became of vectors.
#[derive(Default)]
pub(crate) struct Tally {
    /// Judged as published.
    pub(crate) judged: usize,
    /// Refused because we do not take their kind, valid or not.
    pub(crate) outside: usize,
    pub(crate) failures: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.judged += other.judged;
        self.outside += other.outside;
        self.failures.extend(other.failures);
    }
}

/// What judges one test of a group.
pub(crate) type Judge = dyn Fn(&mut Published<'_>, &Value, &Value);

/// Has every test of a Wycheproof file judged.
pub(crate) fn wycheproof(folder: &Path, file: &str, exceptions: &mut Exceptions, judge: &Judge) -> Tally {
    let mut published = Published::load(folder, "signatures", file, exceptions);
    for (group, test) in published.wycheproof() {
        judge(&mut published, &group, &test);
    }
    published.tally
}

impl<'e> Published<'e> {
    pub(crate) fn load(
        folder: &Path,
        family: &'static str,
        file: &str,
        exceptions: &'e mut Exceptions,
    ) -> Self {
        let path = folder.join(family).join(file);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let document = serde_json::from_slice(&bytes).expect("vectors are JSON");
        Self { family, file: file.to_owned(), document, exceptions, tally: Tally::default() }
    }

    /// Every group of a Wycheproof file with every test in it.
    fn wycheproof(&self) -> Vec<(Value, Value)> {
        let groups = self.document["testGroups"].as_array().expect("test groups");
        let tests = groups.iter().flat_map(|group| {
            let tests = group["tests"].as_array().expect("tests");
            tests.iter().map(|test| (group.clone(), test.clone()))
        });
        let tests: Vec<_> = tests.collect();
        assert_eq!(self.document["numberOfTests"], tests.len(), "{}", self.file);
        tests
    }

    /// Compares our verdict with the published one of the vector `id`. Outside our subset everything is refused.
    pub(crate) fn judge(&mut self, id: &str, in_subset: bool, is_valid: bool, accepted: bool) {
        if in_subset {
            self.tally.judged += 1;
        } else {
            self.tally.outside += 1;
        }
        let expected = in_subset && is_valid;
        let id = format!("{}#{id}", self.file.trim_end_matches(".json"));
        if accepted != expected && !self.exceptions.allow_published(self.family, &id, accepted) {
            let verdict = |accepted| if accepted { "accepted" } else { "refused" };
            self.tally.failures.push(format!(
                "{}/{id}: expected {}, found {}",
                self.family,
                verdict(expected),
                verdict(accepted)
            ));
        }
    }

    /// Notes a condition that must hold whatever is accepted.
    pub(crate) fn must(&mut self, id: &str, condition: bool, what: &str) {
        if !condition {
            self.tally.failures.push(format!("{}/{}#{id}: {what}", self.family, self.file));
        }
    }
}

/// A member that is text.
pub(crate) fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_else(|| panic!("no text {member}"))
}
