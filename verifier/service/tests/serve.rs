//! The binary as an operator meets it: it starts from one line of settings, says what is in its way in a sentence
//! that tells what to do, and ends in order.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const ISSUER: &str = "issuer = 'https://attest.example'\n";

/// A directory with settings, and the binary.
struct Desk(TempDir);

impl Desk {
    fn new(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("policy.toml"), "id = 'test/1'").unwrap();
        fs::write(directory.path().join("countersign.toml"), settings).unwrap();
        Self(directory)
    }

    fn with_free_ports() -> Self {
        Self::new(&format!("{ISSUER}[listen]\npublic = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\n"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command
            .args(words)
            .current_dir(self.0.path())
            .env_remove("RUST_LOG")
            .env_remove("COUNTERSIGN_SETTINGS");
        command
    }

    /// Runs to the end: exit code and what was said on standard error.
    fn run(&self, words: &[&str]) -> (i32, String) {
        let output = self.command(words).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn serve(&self) -> Served {
        let mut child = self
            .command(&["serve", "--log", "json"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut public, mut admin) = (None, None);
        while public.is_none() || admin.is_none() {
            let line = lines.next().expect("the service listens or says why not").unwrap();
            let address = |name: &str| -> Option<SocketAddr> {
                let rest = line.contains(&format!("\"listener\":\"{name}\"")).then_some(&line)?;
                rest.split("\"address\":\"").nth(1)?.split('"').next()?.parse().ok()
            };
            public = public.or_else(|| address("public"));
            admin = admin.or_else(|| address("admin"));
        }
        Served { child, lines, public: public.unwrap(), admin: admin.unwrap() }
    }
}

struct Served {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Served {
    fn signal(&mut self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn one_line_of_settings_is_enough_and_it_ends_in_order() {
    let desk = Desk::with_free_ports();
    let mut served = desk.serve();
    assert!(get(served.admin, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(served.admin, "/readyz").starts_with("HTTP/1.1 200"));
    let jwks = get(served.public, "/.well-known/jwks.json");
    assert!(jwks.contains("\r\ndate: ") && jwks.contains("Ed25519"), "{jwks}");
    assert!(get(served.admin, "/metrics").contains("route=\"/.well-known/jwks.json\",status=\"200\"} 1"));
    served.signal("TERM");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_changed_policy_is_taken_up_by_sighup_and_a_broken_one_is_not() {
    let desk = Desk::with_free_ports();
    let mut served = desk.serve();
    for (policy, line) in [
        ("id = 'test/2'", "policy, roots and status list read again"),
        ("id = 2", "the old ones stay in force"),
    ] {
        fs::write(desk.path("policy.toml"), policy).unwrap();
        served.signal("HUP");
        assert!(served.lines.by_ref().any(|said| said.unwrap().contains(line)), "{line}");
    }
    assert!(get(served.admin, "/healthz").starts_with("HTTP/1.1 200"));
}

#[cfg(unix)]
#[test]
fn a_policy_that_keeps_its_reader_waiting_is_refused_and_the_next_signal_is_heard() {
    let desk = Desk::with_free_ports();
    let mut served = desk.serve();
    fs::remove_file(desk.path("policy.toml")).unwrap();
    assert!(Command::new("mkfifo").arg(desk.path("policy.toml")).status().unwrap().success());
    // Each of them is answered, though nothing is new.
    for _ in 0..2 {
        served.signal("HUP");
        assert!(served.lines.by_ref().any(|said| said.unwrap().contains("this is a pipe or a device")));
    }
    served.signal("TERM");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_operators_see_is_not_on_the_public_listener() {
    let desk = Desk::with_free_ports();
    let served = desk.serve();
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert!(get(served.public, path).starts_with("HTTP/1.1 404"), "{path}");
    }
}

#[test]
fn the_keys_are_the_same_after_a_restart() {
    let desk = Desk::with_free_ports();
    let keys = |served: &Served| {
        get(served.public, "/.well-known/jwks.json").split("\r\n\r\n").nth(1).unwrap().to_owned()
    };
    let first = keys(&desk.serve());
    assert_eq!(keys(&desk.serve()), first);
}

#[test]
fn a_port_in_use_is_a_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let desk = Desk::new(&format!("{ISSUER}[listen]\npublic = '127.0.0.1:{port}'\nadmin = '127.0.0.1:0'\n"));
    let (code, said) = desk.run(&["serve"]);
    assert_eq!(code, 1);
    assert!(
        said.contains(&format!("port {port} on 127.0.0.1 is in use")) && said.contains("choose another"),
        "{said}"
    );
}

#[test]
fn a_lost_key_file_is_a_sentence_and_a_way_out() {
    let desk = Desk::with_free_ports();
    drop(desk.serve());
    fs::remove_file(desk.path("countersign-data/keys/service.jwks")).unwrap();
    let (code, said) = desk.run(&["serve"]);
    assert_eq!(code, 1);
    assert!(said.contains("service.jwks is missing") && said.contains("countersign keys new"), "{said}");
    assert_eq!(desk.run(&["keys", "new"]).0, 0);
    drop(desk.serve());
}

#[cfg(unix)]
#[test]
fn keys_that_others_can_read_stop_the_start() {
    use std::os::unix::fs::PermissionsExt;

    let desk = Desk::with_free_ports();
    drop(desk.serve());
    let file = desk.path("countersign-data/keys/edge.jwks");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = desk.run(&["serve"]);
    assert_eq!(code, 1);
    assert!(said.contains("chmod 600"), "{said}");
}

#[test]
fn every_problem_of_the_settings_is_told_and_nothing_is_made() {
    let desk = Desk::new("issuer = 'attest'\npolicy = 'other.toml'\nlisten = 8080\nbans = []\n");
    for words in [["serve", "--settings", "countersign.toml"], ["settings", "check", "countersign.toml"]] {
        let (code, said) = desk.run(&words);
        assert_eq!(code, 1);
        for line in 1..=4 {
            assert!(said.contains(&format!("countersign.toml:{line}: ")), "line {line} in {said}");
        }
    }
    assert!(!desk.path("countersign-data").exists());
}

#[test]
fn a_missing_settings_file_is_a_sentence() {
    let desk = Desk::new("");
    let (code, said) = desk.run(&["serve", "--settings", "elsewhere.toml"]);
    assert_eq!((code, said.as_str()), (1, "elsewhere.toml: the file does not exist; check the path\n"));
}

#[test]
fn wrong_use_of_the_command_line_is_3() {
    let desk = Desk::with_free_ports();
    assert_eq!(desk.run(&["serve", "--port", "1"]).0, 3);
    assert_eq!(desk.run(&[]).0, 3);
    assert_eq!(desk.run(&["--help"]).0, 0);
}
