//! The commands of administrators beside a running service, as they are typed, and the same over HTTP.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A service with an edge, in a directory of its own.
struct Served {
    directory: TempDir,
    child: Child,
    public: String,
    edge: String,
    admin: String,
}

impl Served {
    fn start() -> Self {
        Self::start_with("credentials = []")
    }

    /// A service whose resource keeps its API keys in a file without any, if its route asks for them.
    fn start_with(credentials: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let roots = run(directory.path(), &["virtual-device", "roots"]);
        let danger = String::from_utf8(roots.stdout).unwrap();
        let policy = format!(
            "id = 'test/1'\n{danger}\n[[app]]\nclient_id = 'app'\n[[app.apple]]\nteam_id = 'ABCDE12345'\n\
             bundle_id = 'com.example.app'\n[[app.android]]\npackage = 'com.example.app'\n\
             signing_digests = ['{}']\n[[app]]\nclient_id = 'dev'\nmode = 'development'\n",
            "08".repeat(32)
        );
        fs::write(directory.path().join("policy.toml"), policy).unwrap();
        fs::write(directory.path().join("login.jwks"), r#"{"keys":[]}"#).unwrap();
        let mut api_keys = "";
        if credentials.contains("api_key") {
            let path = directory.path().join("api-keys.json");
            fs::write(&path, "{\"api_keys\": []}").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            api_keys = "api_keys = 'api-keys.json'\n";
        }
        let settings = format!(
            "issuer = 'https://attest.example'\n[listen]\npublic = '127.0.0.1:0'\n\
                        admin = '127.0.0.1:0'\nedge = '127.0.0.1:0'\ngateway = 'caddy'\n[[resource]]\n\
                        name = 'api'\nidentifier = 'https://api.example'\n{api_keys}[[resource.authorization_server]]\n\
                        issuer = 'https://login.example'\njwks = 'login.jwks'\n\
                        clients = {{ app = ['mobile'], dev = ['mobile'] }}\n[[resource.route]]\npath = '/'\n\
                        {credentials}\ntier = 'warning'\n"
        );
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
        let (public, edge, admin) = (address("public"), address("edge"), address("admin"));
        // What is logged later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { directory, child, public, edge, admin }
    }

    fn run(&self, words: &[&str]) -> Output {
        run(self.directory.path(), words)
    }

    /// What a command that succeeds prints.
    fn told(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The exit code and the complaint of a command that fails.
    fn refused(&self, words: &[&str]) -> (i32, String) {
        let output = self.run(words);
        assert!(output.stdout.is_empty(), "{words:?}");
        (output.status.code().unwrap(), said(&output))
    }

    fn headers(&self, client_id: &str, words: &[&str]) -> Output {
        let service = format!("http://{}", self.public);
        let mut all = vec!["virtual-device", "headers", "--service", &service, "--client-id", client_id];
        all.extend(["--issuer", "https://attest.example"]);
        all.extend(words);
        self.run(&all)
    }

    /// Enrols the app on a phone and returns its instance.
    fn enrol(&self, platform: &str) -> String {
        let output = self.headers("app", &["--platform", platform, "--json", "https://api.example/"]);
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        printed["instance_id"].as_str().unwrap().to_owned()
    }

    async fn call(&self, method: reqwest::Method, path: &str, key: &str) -> reqwest::Response {
        let url = format!("http://{}/admin/v1{path}", self.admin);
        reqwest::Client::new().request(method, url).bearer_auth(key).send().await.unwrap()
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
    command.args(words).current_dir(directory).stdin(Stdio::null());
    for name in ["RUST_LOG", "COUNTERSIGN_SETTINGS", "COUNTERSIGN_ACCESS_TOKEN", "COUNTERSIGN_API_KEY"] {
        command.env_remove(name);
    }
    command
}

fn run(directory: &Path, words: &[&str]) -> Output {
    command(directory, words).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn instances_are_listed_shown_banned_and_deleted() {
    let served = Served::start();
    let (first, second) = (served.enrol("iphone"), served.enrol("android"));
    let table = served.told(&["instances", "list"]);
    assert!(table.starts_with("INSTANCE  ") && table.contains(&first) && table.contains(&second), "{table}");
    let page = json_of(&served.told(&["instances", "list", "--json", "--limit", "1"]));
    let next = page["next"].as_str().unwrap();
    let rest = json_of(&served.told(&["instances", "list", "--json", "--cursor", next]));
    assert_eq!((rest["instances"].as_array().map(Vec::len), &rest["next"]), (Some(1), &Value::Null));

    served.told(&["instances", "ban", &first, "--reason", "fraud 17"]);
    let banned = json_of(&served.told(&["instances", "list", "--banned", "--json"]));
    assert_eq!(banned["instances"][0]["ban"]["reason"], "fraud 17");
    served.told(&["instances", "unban", &first]);
    assert_eq!(served.told(&["instances", "list", "--banned"]).trim(), "no such instance");

    let (code, why) = served.refused(&["instances", "delete", &second]);
    assert!(code == 1 && why.contains("--yes"), "nobody can be asked: {why}");
    served.told(&["instances", "show", &second]);
    served.told(&["instances", "delete", &second, "--yes"]);
    assert_eq!(served.refused(&["instances", "show", &second]).0, 1);
    assert_eq!(served.refused(&["instances", "delete", &second, "--yes"]).0, 1);
}

#[test]
fn wrong_use_of_the_lists_is_told_and_does_nothing() {
    let served = Served::start();
    served.enrol("iphone");
    for words in [
        &["instances", "list", "--limit", "501"][..],
        &["instances", "list", "--limit", "0"],
        &["instances", "list", "--cursor", "' OR 1=1 --"],
        &["instances", "list", "--updated-since", "yesterday"],
        &["instances", "list", "--platform", "windows"],
        &["instances", "list", "--banned", "--not-banned"],
        &["instances", "show", "../../etc/passwd"],
        &["instances", "ban", "AAAAAAAAAAAAAAAAAAAAAA", "--reason", "two\nlines"],
        &["subjects", "ban", "user"],
        &["subjects", "ban", "--issuer", "", "user"],
        &["subjects", "list", "--cursor", "short"],
        &["keys", "admin", "new", "a b"],
        &["keys", "admin", "new", "ops", "--expires", "2020-01-01"],
        &["keys", "admin", "new", "ops", "--expires", "never"],
        &["development-keys", "add", "x", "missing.pem", "--client", "dev", "--expires", "367d"],
        &["development-keys", "add", "x", "missing.pem", "--client", "dev"],
        &["development-keys", "add", "x", "--client", "dev", "--expires", "1d"],
        &[
            "development-keys",
            "add",
            "x",
            "a.pem",
            "--public-key",
            "AA",
            "--client",
            "dev",
            "--expires",
            "1d",
        ],
        &["explain", "short"],
    ] {
        assert_eq!(served.refused(words).0, 3, "{words:?}");
    }
    for words in [
        &["instances", "ban", "AAAAAAAAAAAAAAAAAAAAAA"][..],
        &["subjects", "unban", "--issuer", "https://login.example", "nobody"],
        &["keys", "admin", "revoke", "nobody"],
        &["development-keys", "revoke", "nobody"],
        &["development-keys", "add", "x", "--public-key", "AA", "--client", "dev", "--expires", "1d"],
        &["explain", "00000000"],
    ] {
        assert_eq!(served.refused(words).0, 1, "{words:?}");
    }
}

#[tokio::test]
async fn an_admin_key_is_shown_once_and_opens_until_it_is_revoked() {
    let served = Served::start();
    let key = served.told(&["keys", "admin", "new", "ops", "--expires", "90d"]);
    let key = key.trim();
    assert!(key.starts_with("csa_") && key.len() == 47, "{key}");
    assert_eq!(served.refused(&["keys", "admin", "new", "ops"]).0, 1, "names are not used twice");
    let listed = served.told(&["keys", "admin", "list"]) + &served.told(&["keys", "admin", "list", "--json"]);
    assert!(listed.contains("ops") && listed.contains("good") && !listed.contains(key), "{listed}");
    let database = served.directory.path().join("countersign-data/registry.sqlite");
    for file in [database.clone(), database.with_extension("sqlite-wal")] {
        let bytes = fs::read(file).unwrap_or_default();
        assert!(!bytes.windows(43).any(|window| window == &key.as_bytes()[4..]), "only its hash is stored");
    }
    let instance = served.enrol("iphone");
    let page: Value = served.call(reqwest::Method::GET, "/instances", key).await.json().await.unwrap();
    assert_eq!(page["instances"][0]["instance"], instance.as_str());
    served.told(&["instances", "ban", &instance, "--reason", "typed"]);
    let acts: Value = served.call(reqwest::Method::GET, "/acts", key).await.json().await.unwrap();
    assert_eq!(
        (&acts["acts"][0]["actor"], &acts["acts"][0]["detail"]),
        (&json!("command line"), &json!("typed"))
    );
    served.told(&["keys", "admin", "revoke", "ops"]);
    assert_eq!(served.call(reqwest::Method::GET, "/instances", key).await.status(), 401);
    assert!(served.told(&["keys", "admin", "list"]).contains("revoked"));
}

#[tokio::test]
async fn an_api_key_is_shown_once_and_opens_until_it_is_revoked_without_a_restart() {
    let served = Served::start_with("credentials = ['api_key']\nscopes = ['read']");
    let file = served.directory.path().join("api-keys.json");
    let new = ["keys", "api", "new", "app", "--scope", "read", "--expires", "90d"];
    let key = served.told(&new);
    let key = key.trim();
    assert!(key.starts_with("csk_") && key.len() == 60, "{key}");
    let listed = served.told(&["keys", "api", "list"]) + &served.told(&["keys", "api", "list", "--json"]);
    assert!(listed.contains(&key[4..16]) && listed.contains("good"), "{listed}");
    for text in [listed, fs::read_to_string(&file).unwrap()] {
        assert!(!text.contains(&key[17..]), "only its hash is stored");
    }
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let asked = async || {
        let words = ["--api-key", key, "--state", "phone.state", "https://api.example/"];
        let printed = served.headers("app", &words);
        assert!(printed.status.success(), "{}", said(&printed));
        ask(&served, &printed.stdout).await
    };
    // A signal is taken up when the process gets to it; each question takes long enough.
    let becomes = async |status: u16| {
        let hang_up = Command::new("kill").args(["-HUP", &served.child.id().to_string()]).status().unwrap();
        assert!(hang_up.success());
        for _ in 0..100 {
            if asked().await == status {
                return true;
            }
        }
        false
    };
    assert!(becomes(200).await, "a new key counts without a restart");
    served.told(&["keys", "api", "revoke", &key[4..16]]);
    assert!(becomes(401).await, "a revoked one does not");
    assert!(served.told(&["keys", "api", "list"]).contains("revoked"));
    assert_eq!(served.refused(&["keys", "api", "revoke", &key[4..16]]).0, 1, "once");
}

#[test]
fn an_app_has_two_api_keys_at_most_and_mistakes_change_nothing() {
    let served = Served::start_with("credentials = ['api_key']");
    let file = served.directory.path().join("api-keys.json");
    let new = ["keys", "api", "new", "app"];
    let first = served.told(&new);
    served.told(&new);
    let before = fs::read(&file).unwrap();
    let (code, why) = served.refused(&new);
    assert!(code == 1 && why.contains("two good keys"), "{why}");
    for (words, expected) in [
        (&["keys", "api", "new", "nobody"][..], 1),
        (&["keys", "api", "new", "dev", "--scope", "two words"], 1),
        (&["keys", "api", "new", "dev", "--expires", "732d"], 3),
        (&["keys", "api", "new", "dev", "--expires", "2020-01-01"], 3),
        (&["keys", "api", "new", "dev", "--expires", "never"], 3),
        (&["keys", "api", "new", "dev", "--resource", "other"], 1),
        (&["keys", "api", "revoke", "000000000000"], 1),
        (&["keys", "api", "revoke", "../../etc/passwd"], 3),
    ] {
        assert_eq!(served.refused(words).0, expected, "{words:?}");
    }
    assert_eq!(fs::read(&file).unwrap(), before);
    served.told(&["keys", "api", "revoke", first.trim()]);
    served.told(&new);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(served.refused(&["keys", "api", "list"]).0, 1, "others could have written it");
}

#[test]
fn a_user_is_banned_listed_and_let_in_again() {
    let served = Served::start();
    let issuer = ["--issuer", "https://login.example"];
    let ban = [&["subjects", "ban"][..], &issuer, &["auth0|7", "--reason", "spam"]].concat();
    served.told(&ban);
    let table = served.told(&["subjects", "list"]);
    assert!(table.contains("auth0|7") && table.contains("spam"), "{table}");
    let other = ["subjects", "list", "--issuer", "https://other.example"];
    assert_eq!(served.told(&other).trim(), "nobody is banned");
    let unban = [&["subjects", "unban"][..], &issuer, &["auth0|7"]].concat();
    served.told(&unban);
    assert_eq!(served.refused(&unban).0, 1);
}

#[test]
fn support_understands_why_a_device_was_refused() {
    let served = Served::start();
    let refused =
        served.headers("app", &["--app-id", "ABCDE12345.com.example.other", "https://api.example/"]);
    let why = said(&refused);
    let reference = why.split("Reference: ").nth(1).unwrap().get(..8).unwrap();
    let text = served.told(&["explain", &reference.to_ascii_lowercase()]);
    assert!(text.starts_with(&format!("{reference}: refused\n")), "{text}");
    let line = text.lines().find(|line| line.starts_with("->")).unwrap();
    assert!(
        line.contains("app-identity") && line.contains("require") && line.contains("does not hold"),
        "{text}"
    );
    assert!(text.contains("policy    test/1") && text.contains("client    app"), "{text}");
    let ear = json_of(&served.told(&["explain", reference, "--ear"]));
    assert_eq!(ear["ear_status"], "contraindicated");
    let all = json_of(&served.told(&["explain", reference, "--json"]));
    assert_eq!(all["decided_by"], json!(["app-identity"]));
    assert!(all["constraints"].as_array().unwrap().iter().any(|outcome| outcome["satisfied"] == true));
    for text in [text, all.to_string()] {
        assert!(!text.contains("\"receipt\":") && !text.contains("sec1"), "{text}");
    }
}

/// The edge's status for a request with the printed fields.
async fn ask(served: &Served, printed: &[u8]) -> u16 {
    let mut request = reqwest::Client::new()
        .get(format!("http://{}/edge/check/api", served.edge))
        .header("x-forwarded-method", "GET")
        .header("x-forwarded-uri", "/");
    for line in str::from_utf8(printed).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_developers_laptop_is_a_device_until_its_key_is_revoked() {
    let served = Served::start();
    let jwk = served.told(&["virtual-device", "development-key"]);
    fs::write(served.directory.path().join("laptop.jwk"), jwk).unwrap();
    let simulate = |client: &str| {
        let words = ["--development-key", "laptop", "--state", "laptop.state", "https://api.example/"];
        served.headers(client, &words)
    };
    assert!(!simulate("dev").status.success(), "nobody has registered it");
    let add = |client: &'static str| {
        let words =
            ["development-keys", "add", "laptop", "laptop.jwk", "--client", client, "--expires", "90d"];
        served.run(&words)
    };
    let refused = add("app");
    assert!(!refused.status.success() && said(&refused).contains("meant for users"), "{}", said(&refused));
    assert!(!add("unheard-of").status.success());
    assert!(add("dev").status.success());
    assert!(!add("dev").status.success(), "identifiers are not used twice");

    let enrolled = simulate("dev");
    assert!(enrolled.status.success(), "{}", said(&enrolled));
    assert_eq!(ask(&served, &enrolled.stdout).await, 200);
    let renewed = simulate("dev");
    assert!(renewed.status.success(), "{}", said(&renewed));
    assert_eq!(said(&renewed), said(&enrolled), "the same instance");
    assert!(served.told(&["development-keys", "list"]).contains("good"));

    served.told(&["development-keys", "revoke", "laptop"]);
    assert!(!simulate("dev").status.success());
    assert!(served.told(&["development-keys", "list", "--json"]).contains("\"revoked\""));
}

#[test]
fn a_private_key_is_not_registered() {
    let served = Served::start();
    let path = served.directory.path().join("laptop.pem");
    fs::write(path, "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n").unwrap();
    let words = ["development-keys", "add", "laptop", "laptop.pem", "--client", "dev", "--expires", "90d"];
    let (code, why) = served.refused(&words);
    assert!(code == 1 && why.contains("never leaves"), "{why}");
}
