//! `countersign trust`, as a person uses it: in a directory, with bare file names.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const LIST: &str = r#"{"entries":{"a1":{"status":"REVOKED"}}}"#;
const BOOT_KEYS: &str = "[[boot_key]]\nname = \"GrapheneOS\"\nmodels = [\"Pixel 10a\"]\n\
     verified_boot_key = \"d8f879d10419eddc9fcda6280718be763f6bf12299e1f72df3ea8ad8a8eb7f80\"\n";

fn run(directory: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(words).current_dir(directory).env_remove("COUNTERSIGN_SETTINGS");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

/// A directory with a key, and its public half.
fn desk() -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("status.json"), LIST).unwrap();
    fs::write(directory.path().join("boot-keys.toml"), BOOT_KEYS).unwrap();
    let made = run(directory.path(), &["trust", "key", "new", "trust.key"]);
    assert!(made.status.success(), "{}", said(&made));
    let public = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    (directory, public)
}

fn make(directory: &Path, more: &[&str]) -> Output {
    let words = ["trust", "bundle", "make", "--key", "trust.key", "--version", "7", "--out", "trust.bundle"];
    run(directory, &[words.as_slice(), more].concat())
}

#[test]
fn a_bundle_is_made_shown_and_verified_with_the_public_key_alone() {
    let (directory, public) = desk();
    let directory = directory.path();
    let made = make(directory, &["--status-list", "status.json", "--boot-keys", "boot-keys.toml"]);
    assert!(made.status.success(), "{}", said(&made));
    let shown = said(&run(directory, &["trust", "bundle", "show", "trust.bundle"]));
    assert!(shown.contains("GrapheneOS") && shown.contains('7'), "{shown}");
    fs::remove_file(directory.join("trust.key")).unwrap();
    assert!(
        run(directory, &["trust", "bundle", "verify", "--key", &public, "trust.bundle"]).status.success()
    );
}

#[test]
fn a_bundle_of_another_key_or_with_a_changed_byte_is_not_verified() {
    let (directory, public) = desk();
    let (_, other) = desk();
    let directory = directory.path();
    assert!(make(directory, &["--boot-keys", "boot-keys.toml"]).status.success());
    let verify = |key: &str| run(directory, &["trust", "bundle", "verify", "--key", key, "trust.bundle"]);
    assert_eq!(verify(&other).status.code(), Some(1));
    let mut bytes = fs::read(directory.join("trust.bundle")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(directory.join("trust.bundle"), bytes).unwrap();
    assert_eq!(verify(&public).status.code(), Some(1));
}

#[test]
fn a_key_is_never_written_over_and_a_bundle_of_nothing_useful_is_not_made() {
    let (directory, _) = desk();
    let directory = directory.path();
    assert!(!run(directory, &["trust", "key", "new", "trust.key"]).status.success());
    fs::write(directory.join("empty.json"), r#"{"entries":{}}"#).unwrap();
    for refused in [
        &["--status-list", "empty.json"][..],
        &["--status-list", "boot-keys.toml"],
        &["--boot-keys", "status.json"],
        &["--roots", "app-attest=status.json"],
        &["--status-list", "missing.json"],
    ] {
        let made = make(directory, refused);
        assert!(!made.status.success() && !said(&made).is_empty(), "{refused:?}");
        assert!(!directory.join("trust.bundle").exists(), "{refused:?}");
    }
}

#[test]
fn what_is_in_force_tells_how_long_the_bundle_is_good() {
    let (directory, public) = desk();
    let directory = directory.path();
    assert!(make(directory, &["--boot-keys", "boot-keys.toml", "--lifetime", "90d"]).status.success());
    fs::write(directory.join("policy.toml"), "id = 'shop/1'\n").unwrap();
    let settings = format!(
        "issuer = 'https://attest.example'\n[trust]\nbundle = 'trust.bundle'\nbundle_key = '{public}'\n"
    );
    fs::write(directory.join("countersign.toml"), settings).unwrap();
    let shown = run(directory, &["trust", "show"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let hours = shown["bundle"]["hours_left"].as_u64().unwrap();
    assert!((90 * 24 - 2..=90 * 24).contains(&hours), "{shown}");
}
