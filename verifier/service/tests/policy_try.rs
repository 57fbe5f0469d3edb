//! `countersign policy try` beside `countersign serve`: what it prints, how it ends, and that it changes nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A running service with two enrolled phones.
struct Served {
    directory: TempDir,
    child: Child,
}

impl Served {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        assert!(run(directory.path(), &["virtual-device", "roots"]).status.success());
        fs::write(directory.path().join("policy.toml"), policy("test/1", "")).unwrap();
        fs::write(directory.path().join("revoked.json"), r#"{"entries":{}}"#).unwrap();
        let settings = "issuer = 'https://attest.example'\n[trust]\nrevocation = 'revoked.json'\n[listen]\n\
                        public = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\n";
        fs::write(directory.path().join("countersign.toml"), settings).unwrap();
        let mut child =
            command(directory.path(), &["serve", "--log", "json"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line =
            lines.by_ref().map(Result::unwrap).find(|line| line.contains("\"listener\":\"public\"")).unwrap();
        let address = line.split("\"address\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        // The service writes on; a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        let service = format!("http://{address}");
        for platform in ["iphone", "android"] {
            let words =
                ["virtual-device", "headers", "--service", &service, "--issuer", "https://attest.example"];
            let words = [&words[..], &["--client-id", "app", "--platform", platform, "https://api.example/"]]
                .concat();
            let output = run(directory.path(), &words);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Self { directory, child }
    }

    fn try_out(&self, new: &str, flags: &[&str]) -> Output {
        fs::write(self.directory.path().join("new.toml"), new).unwrap();
        run(self.directory.path(), &[&["policy", "try", "new.toml"], flags].concat())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn policy(id: &str, more: &str) -> String {
    let signer = "08".repeat(32);
    format!(
        "id = '{id}'\n[danger]\napp_attest_roots = ['apple.pem']\nandroid_key_roots = ['google.pem']\n\
         [[app]]\nclient_id = 'app'\napple = [{{ team_id = 'ABCDE12345', bundle_id = 'com.example.app' }}]\n\
         android = [{{ package = 'com.example.app', signing_digests = ['{signer}'] }}]\n{more}"
    )
}

fn command(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(words).current_dir(directory).env_remove("RUST_LOG").env_remove("COUNTERSIGN_SETTINGS");
    command
}

fn run(directory: &Path, words: &[&str]) -> Output {
    command(directory, words).output().unwrap()
}

#[test]
fn a_policy_is_tried_beside_the_running_service() {
    let served = Served::start();
    let strict = policy("test/2", "on_android = { minimum_os_version = '99' }\n");
    let output = served.try_out(&strict, &["--since", "7d"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("Policy test/2 instead of test/1: 2 instances and 0 refusals"), "{text}");
    assert!(text.contains("1  newly refused, 50.0% of the instances that pass at present"), "{text}");
    assert!(text.contains("os-version"), "{text}");

    // For CI: half of them is more than 49 percent, and not more than 50.
    for (percent, code) in [("49", 1), ("50", 0)] {
        let output = served.try_out(&strict, &["--fail-above", percent]);
        assert_eq!(output.status.code(), Some(code), "{percent}");
    }

    // Nobody's standing has changed by it.
    let same = served.try_out(&policy("test/3", ""), &["--json"]);
    let json: serde_json::Value = serde_json::from_slice(&same.stdout).unwrap();
    assert_eq!(
        (&json["instances"]["replayed"], &json["instances"]["newly"]["refused"]),
        (&2.into(), &0.into())
    );
}

#[test]
fn a_policy_with_problems_is_not_tried() {
    let served = Served::start();
    let output = served.try_out(&policy("test/2", "[app.constraints]\nboot-state = 'warn'\n"), &[]);
    assert_eq!(output.status.code(), Some(1));
    let named = String::from_utf8(output.stderr).unwrap();
    assert!(named.contains("new.toml:10: ") && output.stdout.is_empty(), "{named}");
    let never = served.try_out(&policy("test/2", ""), &["--since", "yesterday"]);
    assert_eq!(never.status.code(), Some(3));
}

#[test]
fn without_a_database_nothing_is_made() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("policy.toml"), "id = 'x'\n").unwrap();
    fs::write(directory.path().join("countersign.toml"), "issuer = 'https://attest.example'\n").unwrap();
    let output = run(directory.path(), &["policy", "try", "policy.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}
