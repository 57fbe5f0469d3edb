//! Documents that name tests: each test exists, and the checklist has every line.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Names of test functions by the file they are in; those of a folder's files also go by its name if it is a module.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut folders = ["core", "verifier", "tests", "bindings"].map(|room| root().join(room)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let names = test_functions(&fs::read_to_string(&path).unwrap());
                let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
                let folder = path.parent().and_then(Path::file_name).unwrap().to_string_lossy().into_owned();
                let is_module = |name| path.with_file_name(name).exists();
                if is_module("main.rs") || is_module("mod.rs") {
                    found.entry(folder).or_default().extend(names.clone());
                }
                found.entry(stem).or_default().extend(names);
            }
        }
    }
    found
}

/// The functions that a test attribute stands before.
fn test_functions(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((before, name)) = line.split_once("fn ")
            && (before.is_empty() || before == "async ")
        {
            if is_test {
                names.insert(name.split('(').next().unwrap_or_default().to_owned());
            }
            is_test = false;
        }
    }
    names
}

/// Every `file::test` that stands between backticks.
fn named(text: &str) -> Vec<(String, String)> {
    let code = text.split('`').skip(1).step_by(2);
    code.filter_map(|code| code.split_once("::"))
        .filter(|(file, test)| [file, test].iter().all(|part| is_name(part)))
        .map(|(file, test)| (file.to_owned(), test.to_owned()))
        .collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The rows of the checklist: line, and what answers it.
fn lines() -> Vec<(u32, String)> {
    let document = document("docs/security-testing.md");
    let chapter = document.split("## Attack checklist").nth(1).unwrap().split("\n## ").next().unwrap();
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split(" | ");
        let number = cells.next()?.trim().parse().ok()?;
        Some((number, cells.nth(1)?.trim().to_owned()))
    };
    chapter.lines().filter(|line| line.starts_with("| ")).filter_map(row).collect()
}

#[test]
fn every_named_test_exists() {
    let tests = tests();
    // SECURITY.md says at its head what it calls this file.
    let files = BTreeMap::from([("hostile", "hostile_evidence")]);
    for name in ["docs/security-testing.md", "SECURITY.md", "docs/platforms.md"] {
        let named = named(&document(name));
        assert!(named.len() > 20, "{name} names its tests in a way that is not read here");
        for (file, test) in named {
            let stem = files.get(&*file).copied().unwrap_or(&file);
            let exists = tests.get(stem).is_some_and(|names| names.contains(&test));
            assert!(exists, "{name} names {file}::{test}, which does not exist");
        }
    }
}

#[test]
fn every_state_of_a_device_names_its_test() {
    let document = document("docs/platforms.md");
    let chapter = document.split("## What happens, and the way out").nth(1).unwrap();
    let rows: Vec<&str> = chapter
        .split("\n## ")
        .next()
        .unwrap()
        .lines()
        .skip_while(|line| !line.starts_with("| --- |"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 5, "{row}");
        assert!(cells.last().is_some_and(|cell| !named(cell).is_empty()), "no test holds: {row}");
    }
}

#[test]
fn the_checklist_has_every_line_once() {
    let numbers: Vec<u32> = lines().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, (1..=44).collect::<Vec<_>>());
}

#[test]
fn every_line_has_a_test_or_a_reason() {
    for (number, answer) in lines() {
        let has_test = !named(&answer).is_empty();
        let has_reason = answer.split('`').step_by(2).any(|text| text.split_whitespace().count() > 4);
        assert!(has_test || has_reason, "line {number}: {answer}");
    }
}

#[test]
fn a_name_that_only_looks_like_a_test_is_not_one() {
    let source =
        "fn helper() {}\n#[test]\nfn a_rule() {}\n#[tokio::test(flavor = \"x\")]\nasync fn b() {}\nfn c() {}";
    assert_eq!(test_functions(source), ["a_rule", "b"].map(str::to_owned).into());
    assert_eq!(named("`a::b` and `cargo test -p x::y` or `A::b`"), [("a".to_owned(), "b".to_owned())]);
}
