//! `countersign virtual-device` against `countersign serve`: what the command prints passes the edge, once.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A service with an edge, in a directory of its own.
struct Served {
    directory: TempDir,
    child: Child,
    public: String,
    edge: String,
}

impl Served {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let roots = run(directory.path(), &["virtual-device", "roots"]);
        assert!(roots.status.success());
        let danger = String::from_utf8(roots.stdout).unwrap();
        let signer = "08".repeat(32);
        let policy = format!(
            "id = 'test/1'\n{danger}\n[[app]]\nclient_id = 'app'\n[[app.apple]]\nteam_id = 'ABCDE12345'\n\
             bundle_id = 'com.example.app'\n[[app.android]]\npackage = 'com.example.app'\n\
             signing_digests = ['{signer}']\n"
        );
        fs::write(directory.path().join("policy.toml"), policy).unwrap();
        fs::write(directory.path().join("revoked.json"), r#"{"entries":{}}"#).unwrap();
        fs::write(directory.path().join("login.jwks"), r#"{"keys":[]}"#).unwrap();
        let settings = "issuer = 'https://attest.example'\n[trust]\nrevocation = 'revoked.json'\n[listen]\n\
                        public = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\nedge = '127.0.0.1:0'\ngateway = 'caddy'\n\
                        [[resource]]\nname = 'api'\nidentifier = 'https://api.example'\n\
                        [[resource.authorization_server]]\nissuer = 'https://login.example'\njwks = 'login.jwks'\n\
                        clients = { app = ['mobile'] }\n[[resource.route]]\npath = '/'\ncredentials = []\n";
        fs::write(directory.path().join("countersign.toml"), settings).unwrap();
        let mut child =
            command(directory.path(), &["serve", "--log", "json"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address = |name: &str| {
            let listener = format!("\"listener\":\"{name}\"");
            let line = lines.by_ref().map(Result::unwrap).find(|line| line.contains(&listener)).unwrap();
            line.split("\"address\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
        };
        // In the order in which they are opened.
        let (public, edge) = (address("public"), address("edge"));
        Self { directory, child, public, edge }
    }

    fn headers(&self, words: &[&str]) -> Output {
        let service = format!("http://{}", self.public);
        let mut all = vec!["virtual-device", "headers", "--service", &service];
        all.extend(["--issuer", "https://attest.example", "--client-id", "app"]);
        all.extend(words);
        run(self.directory.path(), &all)
    }

    /// The edge's status for a request with the printed fields.
    async fn ask(&self, printed: &str, uri: &str) -> u16 {
        let mut request = reqwest::Client::new()
            .get(format!("http://{}/edge/check/api", self.edge))
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-uri", uri);
        for line in printed.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        request.send().await.unwrap().status().as_u16()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(words).current_dir(directory).env_remove("RUST_LOG").env_remove("COUNTERSIGN_SETTINGS");
    command.env_remove("COUNTERSIGN_ACCESS_TOKEN");
    command
}

fn run(directory: &Path, words: &[&str]) -> Output {
    command(directory, words).output().unwrap()
}

#[tokio::test]
async fn what_is_printed_passes_the_edge_once_and_for_one_request() {
    let served = Served::start();
    for platform in ["iphone", "android"] {
        let output = served.headers(&["--platform", platform, "https://api.example/v1/me?full"]);
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(served.ask(&printed, "/v1/you?full").await, 401);
        assert_eq!(served.ask(&printed, "/v1/me?full").await, 200);
        assert_eq!(served.ask(&printed, "/v1/me?full").await, 401);
    }
}

#[tokio::test]
async fn a_refusal_is_a_sentence_with_its_reference() {
    let served = Served::start();
    let output = served.headers(&["--app-id", "ABCDE12345.com.example.other", "https://api.example/"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("The app or device is not accepted. Reference: "), "{said}");
    assert!(output.stdout.is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn the_seed_is_private() {
    use std::os::unix::fs::PermissionsExt;

    let served = Served::start();
    let metadata = fs::metadata(served.directory.path().join("virtual-device.seed")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_reference_is_explained_and_an_instance_banned_beside_the_running_service() {
    let served = Served::start();
    let refused = served.headers(&["--app-id", "ABCDE12345.com.example.other", "https://api.example/"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    let reference = said.split("Reference: ").nth(1).unwrap().get(..8).unwrap();
    let explained = run(served.directory.path(), &["explain", reference]);
    assert!(String::from_utf8(explained.stdout).unwrap().contains("app-identity"));
    assert_eq!(run(served.directory.path(), &["explain", "00000000"]).status.code(), Some(1));

    let enrolled = served.headers(&["--json", "https://api.example/"]);
    let enrolled: serde_json::Value = serde_json::from_slice(&enrolled.stdout).unwrap();
    let instance = enrolled["instance_id"].as_str().unwrap();
    let shown = run(served.directory.path(), &["instances", "show", instance]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["banned"], &shown["tier"]), (&false.into(), &"affirming".into()));
    assert!(run(served.directory.path(), &["instances", "ban", instance]).status.success());
    let refused = served.headers(&["https://api.example/"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(run(served.directory.path(), &["instances", "unban", instance]).status.success());
    assert!(served.headers(&["https://api.example/"]).status.success());
}
