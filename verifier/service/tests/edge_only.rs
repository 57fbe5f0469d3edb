//! One service and two edges, each a process of its own, as an operator starts them: the edges need no file of the
//! service's, and go on without it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const POLICY: &str = "
id = 'test/1'
[[app]]
client_id = 'com.example.app'
apple = [{ team_id = 'ABCDE12345', bundle_id = 'com.example.app' }]
android = [{ package = 'com.example.app', signing_digests = ['0808080808080808080808080808080808080808080808080808080808080808'] }]
[danger]
app_attest_roots = ['apple.pem']
android_key_roots = ['google.pem']
";

const RESOURCE: &str = "
[[resource]]
name = 'api'
identifier = 'http://127.0.0.1:8000'
apps = ['com.example.app']
[[resource.route]]
path = '/'
credentials = []
";

fn countersign(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(words).current_dir(directory).env_remove("RUST_LOG").env_remove("COUNTERSIGN_SETTINGS");
    command
}

/// A process that says where it listens.
struct Running {
    child: Child,
    /// Held, so that the process can go on writing.
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
    listeners: Vec<(String, SocketAddr)>,
}

impl Running {
    /// Starts `countersign` and waits for `count` listeners.
    fn start(directory: &Path, words: &[&str], count: usize) -> Self {
        let mut command = countersign(directory, words);
        let mut child =
            command.args(["--log", "json"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut listeners = Vec::new();
        while listeners.len() < count {
            let line = lines.next().expect("it listens or says why not").unwrap();
            let value = |key: &str| line.split(&format!("\"{key}\":\"")).nth(1)?.split('"').next();
            if let (Some(name), Some(address)) = (value("listener"), value("address")) {
                listeners.push((name.to_owned(), address.parse().unwrap()));
            }
        }
        Self { child, lines, listeners }
    }

    fn address(&self, name: &str) -> SocketAddr {
        self.listeners.iter().find(|(listener, _)| listener == name).unwrap().1
    }

    /// Waits until the log has these words.
    fn says(&mut self, words: &str) {
        assert!(self.lines.any(|line| line.unwrap().contains(words)), "it never says: {words}");
    }

    fn signal(&self, name: &str) {
        assert!(
            Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap().success()
        );
    }

    fn end(mut self) {
        self.signal("TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(address: SocketAddr, target: &str, lines: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A service that takes virtual phones, in a directory of its own.
fn service() -> (TempDir, Running, u16) {
    let directory = tempfile::tempdir().unwrap();
    let roots = countersign(directory.path(), &["virtual-device", "roots", "--out", "."]).output().unwrap();
    assert!(roots.status.success());
    fs::write(directory.path().join("policy.toml"), POLICY).unwrap();
    // Its port is a part of its issuer, so it must be known before.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = format!(
        "issuer = 'http://127.0.0.1:{port}'\n[listen]\npublic = '127.0.0.1:{port}'\nadmin = '127.0.0.1:0'\n"
    );
    fs::write(directory.path().join("countersign.toml"), settings).unwrap();
    let running = Running::start(directory.path(), &["serve"], 2);
    (directory, running, port)
}

fn edge_settings(port: u16) -> String {
    format!(
        "[attestation_service]\nissuer = 'http://127.0.0.1:{port}'\n[listen]\nedge = '127.0.0.1:0'\ngateway = 'nginx'\n\
         admin = '127.0.0.1:0'\n{RESOURCE}"
    )
}

/// The header lines of a request for `/hello`, proven by a virtual phone, as nginx would tell of it.
fn proven(phone: &Path, port: u16) -> String {
    let service = format!("http://127.0.0.1:{port}");
    let words =
        ["virtual-device", "headers", "--service", &service, "--client-id", "com.example.app", "--resource"];
    let mut command = countersign(phone, &words);
    let output = command.args(["http://127.0.0.1:8000", "http://127.0.0.1:8000/hello"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: String =
        lines.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
    format!("{lines}X-Original-Method: GET\r\nX-Original-URI: /hello\r\n")
}

#[test]
fn two_edges_decide_while_the_service_is_away() {
    let (phone, service, port) = service();
    let desks = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let edges = desks.each_ref().map(|desk| {
        fs::write(desk.path().join("edge.toml"), edge_settings(port)).unwrap();
        Running::start(desk.path(), &["edge"], 2)
    });
    let requests = [(); 4].map(|()| proven(phone.path(), port));
    for (edge, request) in edges.iter().zip(&requests) {
        let answer = ask(edge.address("edge"), "/edge/check/api", request);
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("x-attested-client: com.example.app"),
            "{answer}"
        );
    }
    service.end();
    for (edge, request) in edges.iter().zip(&requests[2..]) {
        let answer = ask(edge.address("edge"), "/edge/check/api", request);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let again = ask(edge.address("edge"), "/edge/check/api", request);
        assert!(again.contains("reason=\"replayed\""), "{again}");
        assert!(ask(edge.address("admin"), "/readyz", "").starts_with("HTTP/1.1 200"));
        let metrics = ask(edge.address("admin"), "/metrics", "");
        assert!(metrics.contains("{resource=\"api\",verdict=\"permit\",reason=\"ok\"} 2"), "{metrics}");
    }
    for edge in edges {
        edge.end();
    }
}

#[cfg(unix)]
#[test]
fn the_nonce_keys_are_made_private() {
    use std::os::unix::fs::PermissionsExt;

    let desk = tempfile::tempdir().unwrap();
    fs::write(desk.path().join("edge.toml"), edge_settings(9)).unwrap();
    Running::start(desk.path(), &["edge"], 2).end();
    let file = desk.path().join("countersign-data/keys/edge.jwks");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let output = countersign(desk.path(), &["edge"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("chmod 600"), "{said}");
}

#[test]
fn a_proxy_needs_to_be_told_where_to() {
    let desk = tempfile::tempdir().unwrap();
    fs::write(desk.path().join("edge.toml"), edge_settings(9)).unwrap();
    let output = countersign(desk.path(), &["proxy"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("[[proxy]]"), "{said}");
    let check = countersign(desk.path(), &["settings", "check", "--edge", "edge.toml"]).output().unwrap();
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stderr));
}

/// Hangs up after nonsense and after other rules, and asks in between.
fn changes_its_rules(desk: &Path, words: &[&str], file: &str, settings: &str, count: usize) {
    let file = desk.join(file);
    fs::write(&file, settings).unwrap();
    let mut running = Running::start(desk, words, count);
    let (edge, admin) = (running.address("edge"), running.address("admin"));
    let status = |resource: &str| {
        let lines = "X-Original-Method: GET\r\nX-Original-URI: /hello\r\n";
        ask(edge, &format!("/edge/check/{resource}"), lines)[9..12].to_owned()
    };
    assert_eq!((status("api").as_str(), status("other").as_str()), ("401", "500"));
    fs::write(&file, settings.replace("path = '/'", "path = 'nonsense'")).unwrap();
    running.signal("HUP");
    running.says("the last ones stay in force");
    assert!(ask(admin, "/metrics", "").contains("\ncountersign_settings_reload_failures_total 1\n"));
    assert_eq!((status("api").as_str(), status("other").as_str()), ("401", "500"));
    fs::write(&file, settings.replace("name = 'api'", "name = 'other'").replace("nginx", "caddy")).unwrap();
    running.signal("HUP");
    running.says("listen.gateway");
    running.says("their rules are in force");
    assert_eq!((status("api").as_str(), status("other").as_str()), ("500", "401"));
    assert!(ask(admin, "/metrics", "").contains("\ncountersign_settings_reload_failures_total 1\n"));
    running.end();
}

#[test]
fn an_edge_that_is_hung_up_on_reads_its_rules_again() {
    let desk = tempfile::tempdir().unwrap();
    changes_its_rules(desk.path(), &["edge"], "edge.toml", &edge_settings(9), 2);
}

#[test]
fn a_service_that_is_hung_up_on_reads_the_rules_of_its_edge_again() {
    let desk = tempfile::tempdir().unwrap();
    fs::write(desk.path().join("policy.toml"), "id = 'test/1'").unwrap();
    let settings = format!(
        "issuer = 'http://127.0.0.1:9'\n[listen]\npublic = '127.0.0.1:0'\nedge = '127.0.0.1:0'\ngateway = 'nginx'\n\
         admin = '127.0.0.1:0'\n{RESOURCE}"
    );
    changes_its_rules(desk.path(), &["serve"], "countersign.toml", &settings, 3);
}
