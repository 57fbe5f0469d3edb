//! `countersign virtual-device` against `countersign serve`: what the command prints passes the edge, once.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use countersign_core::encoding::from_base64url;
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
    command.env_remove("COUNTERSIGN_ACCESS_TOKEN").env_remove("COUNTERSIGN_API_KEY");
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

#[test]
fn a_token_request_is_authenticated_in_each_mode() {
    let served = Served::start();
    let service = format!("http://{}", served.public);
    let request = |words: &[&str]| {
        let mut all = vec!["virtual-device", "token-request", "--service", &service, "--client-id", "app"];
        all.extend(["--issuer", "https://attest.example", "--authorization-server", "https://login.example"]);
        all.extend(words);
        run(served.directory.path(), &all)
    };
    let endpoint = ["--token-endpoint", "https://login.example/token"];
    let (attestation, pop) = ("oauth-client-attestation", "oauth-client-attestation-pop");
    for (mode, fields) in [
        ("dpop", &[attestation, "dpop"][..]),
        ("pop", &[attestation, pop]),
        ("pop-and-dpop", &[attestation, pop, "dpop"]),
    ] {
        let given = ["--mode", mode, "--challenge", "given-challenge", "--nonce", "given-nonce"];
        let output = request(&[&endpoint[..], &given].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = printed.lines().map(|line| line.split_once(": ").unwrap()).collect();
        assert_eq!(lines.iter().map(|(name, _)| *name).collect::<Vec<_>>(), fields, "{mode}");
        for (name, value) in lines {
            let claims = from_base64url(value.split('.').nth(1).unwrap()).unwrap();
            let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
            match name {
                "dpop" => {
                    assert_eq!(claims["htu"], "https://login.example/token");
                    assert_eq!((&claims["htm"], &claims["nonce"]), (&"POST".into(), &"given-nonce".into()));
                }
                "oauth-client-attestation" => {
                    assert_eq!((&claims["sub"], claims.get("countersign")), (&"app".into(), None));
                }
                _ => {
                    assert_eq!(claims["aud"], "https://login.example");
                    assert_eq!(claims["challenge"], "given-challenge");
                }
            }
        }
    }
    let output = request(&["--token-endpoint", "http://login.example/token"]);
    assert_eq!(output.status.code(), Some(1), "in the clear to another machine");
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

#[tokio::test]
async fn a_phone_with_state_renews_as_the_instance_that_it_was() {
    let served = Served::start();
    for platform in ["iphone", "android"] {
        let words = ["--platform", platform, "--state", platform, "--format", "json", "https://api.example/"];
        let instances: Vec<_> = (0..3)
            .map(|_| {
                let output = served.headers(&words);
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
                printed["instance_id"].as_str().unwrap().to_owned()
            })
            .collect();
        assert!(instances.iter().all(|instance| *instance == instances[0]), "{instances:?}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let metadata = fs::metadata(served.directory.path().join(platform)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        }
    }
    let other = served.headers(&["--platform", "android", "--state", "iphone", "https://api.example/"]);
    assert!(String::from_utf8(other.stderr).unwrap().contains("saved_device_of_other_platform"));
}

#[tokio::test]
async fn a_request_is_named_in_one_word_and_printed_for_curl() {
    let served = Served::start();
    fs::write(served.directory.path().join("body"), "7").unwrap();
    let request = ["--request", "POST https://api.example/v1/pay", "--format", "curl", "--body", "body"];
    let printed = String::from_utf8(served.headers(&request).stdout).unwrap();
    for part in ["curl --include --request 'POST'", "--header 'Attestation-Proof: ", "--data-binary '@body'"]
    {
        assert!(printed.contains(part), "{part} in {printed}");
    }
    assert!(printed.trim_end().ends_with("'https://api.example/v1/pay'"), "{printed}");
}

#[tokio::test]
async fn attacks_are_refused_by_the_service_or_by_the_edge() {
    let served = Served::start();
    for attack in
        ["iphone:other-app", "android:rooted", "assertion:counter-replay", "envelope:relayed-evidence"]
    {
        let output = served.headers(&["--attack", attack, "https://api.example/"]);
        assert_eq!(output.status.code(), Some(1), "{attack}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("The service refuses: "), "{attack}");
    }
    let output = served.headers(&["--attack", "proof:self-issued-result", "https://api.example/"]);
    assert_eq!(served.ask(&String::from_utf8(output.stdout).unwrap(), "/").await, 401);
    let unknown = served.headers(&["--attack", "android:unheard-of", "https://api.example/"]);
    assert_eq!(unknown.status.code(), Some(3));
    let listed = run(served.directory.path(), &["virtual-device", "attacks"]);
    assert!(String::from_utf8(listed.stdout).unwrap().contains("android:rooted"));
}

#[test]
fn nothing_is_sent_in_the_clear_to_another_machine() {
    let directory = tempfile::tempdir().unwrap();
    for (service, url) in [
        ("http://attest.example", "https://api.example/"),
        ("https://attest.example", "http://api.example/"),
        ("http://192.0.2.1:8080", "https://api.example/"),
    ] {
        for attack in [&[][..], &["--attack", "proof:old"]] {
            let words = ["virtual-device", "headers", "--service", service, "--client-id", "app", url];
            let output = run(directory.path(), &[&words, attack].concat());
            assert_eq!(output.status.code(), Some(1), "{service} {url}");
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains("config_plaintext"), "{said}");
        }
    }
}

#[tokio::test]
async fn what_real_curl_shows_of_a_request_is_inspected_step_by_step() {
    let served = Served::start();
    let printed = served.headers(&["https://api.example/v1/me?full"]);
    fs::write(served.directory.path().join("fields"), printed.stdout).unwrap();
    let url = format!("http://{}/v1/me?full", served.public);
    let words =
        ["--silent", "--verbose", "--noproxy", "*", "--header", "@fields", "--header", "Host: api.example"];
    let curl = Command::new("curl").args(words).arg(&url).current_dir(served.directory.path()).output();
    let Ok(curl) = curl else {
        let required = std::env::var("COUNTERSIGN_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|group| group == "interop"), "curl is required and not here");
        // Past the capture of the test harness, for the table of `cargo xtask test`.
        let _ = writeln!(std::io::stderr(), "SKIPPED interop: curl is not installed");
        return;
    };
    let capture = String::from_utf8(curl.stderr).unwrap();
    let inspect = |capture: &str| {
        fs::write(served.directory.path().join("capture.txt"), capture).unwrap();
        run(served.directory.path(), &["inspect", "capture.txt", "--settings", "countersign.toml"])
    };
    let output = inspect(&capture);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}\n{capture}");
    assert!(told.contains("PERMITTED by the edge of api"), "{told}");
    let moved = inspect(&capture.replace("GET /v1/me", "GET /v1/you"));
    let told = String::from_utf8(moved.stdout).unwrap();
    assert_eq!(moved.status.code(), Some(1), "{told}");
    assert!(told.contains("REFUSED by the edge of api: proof_target"), "{told}");
    let alone = run(served.directory.path(), &["inspect", "capture.txt"]);
    assert_eq!(alone.status.code(), Some(1));
    assert_eq!(
        run(served.directory.path(), &["inspect", "capture.txt", "-s", "missing.toml"]).status.code(),
        Some(2)
    );
    // Asking has used up nothing.
    assert_eq!(
        served.ask(&fs::read_to_string(served.directory.path().join("fields")).unwrap(), "/v1/me?full").await,
        200
    );
}
