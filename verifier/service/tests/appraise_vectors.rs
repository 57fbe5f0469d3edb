//! `countersign appraise` over every case and variant of the vector collection: the exit code is the manifest's
//! verdict, and tells *genuine but refused* from *could not be verified*.
#![allow(clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Map, Value};

const EXCEPTIONS: &str = include_str!("../../../tests/vectors-exceptions.json");

/// Changes that leave the evidence genuine: alone they lead to 1, never to 2.
const REFUSED_BY_POLICY: [&str; 5] =
    ["app_id", "environment", "package", "signature_digest", "required_level"];

fn main() -> ExitCode {
    let folder = std::env::var_os("COUNTERSIGN_VECTORS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"), PathBuf::from);
    if !folder.is_dir() {
        println!("SKIPPED vectors: folder {} not found", folder.display());
        let required = std::env::var("COUNTERSIGN_REQUIRE").unwrap_or_default();
        let required = required.split([',', ' ']).any(|group| group == "vectors");
        return if required { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let exceptions: Value = serde_json::from_str(EXCEPTIONS).expect("JSON");
    let (mut runs, mut failures) = (0, Vec::new());
    for family in ["app-attest", "android-key-attestation"] {
        let manifest = fs::read(folder.join(family).join("manifest.json")).expect("a manifest");
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        let cases = manifest["cases"].as_array().expect("cases").iter();
        for case in cases.filter(|case| case["kind"] != "receipt").filter_map(Value::as_object) {
            let own = Run { folder: folder.join(family), case: case.clone(), change: Value::Null };
            let base = own.exit_code(scratch.path());
            runs += 1;
            failures.extend(own.judge(base, None, &exceptions));
            for variant in case.get("variants").and_then(Value::as_array).into_iter().flatten() {
                let variant = own.variant(variant);
                runs += 1;
                failures.extend(variant.judge(variant.exit_code(scratch.path()), Some(base), &exceptions));
            }
        }
    }
    for failure in &failures {
        println!("FAILED {failure}");
    }
    println!("appraise: {runs} runs over the vectors");
    if failures.is_empty() && runs > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One run of the command.
struct Run {
    folder: PathBuf,
    case: Map<String, Value>,
    change: Value,
}

impl Run {
    fn variant(&self, variant: &Value) -> Self {
        let mut case = self.case.clone();
        case.extend(variant["change"].as_object().expect("a change").clone());
        case.insert("expected".to_owned(), variant["expected"].clone());
        Self { folder: self.folder.clone(), case, change: variant["change"].clone() }
    }

    fn member(&self, name: &str) -> &Value {
        self.case.get(name).unwrap_or(&Value::Null)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.member(name).as_str()
    }

    fn judge(&self, found: i32, base: Option<i32>, exceptions: &Value) -> Option<String> {
        let expected = matches!(self.text("expected"), Some("valid" | "accept"));
        let excepted = exceptions.as_array().expect("groups").iter().any(|group| {
            let named = |named: &Value| named["case"] == *self.member("id") && named["change"] == self.change;
            let of_this_family = group["family"].as_str().is_some_and(|family| self.folder.ends_with(family));
            of_this_family && group["cases"].as_array().expect("cases").iter().any(named)
        });
        let wanted: &[i32] = match (expected != excepted, self.change.as_object()) {
            (true, _) => &[0],
            (false, Some(change)) if base != Some(2) => {
                let by_policy = change.keys().all(|key| REFUSED_BY_POLICY.contains(&key.as_str()));
                if by_policy { &[1] } else { &[2] }
            }
            (false, Some(_)) => &[2],
            (false, None) => &[1, 2],
        };
        (!wanted.contains(&found)).then(|| {
            format!("{} with {}: exit code {found}, wanted {wanted:?}", self.member("id"), self.change)
        })
    }

    fn exit_code(&self, scratch: &Path) -> i32 {
        let policy = scratch.join("policy.toml");
        fs::write(&policy, self.policy()).expect("a policy file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("appraise").arg("--json").arg("--policy").arg(&policy).stdout(Stdio::null());
        if let Some(time) = self.text("verify_at") {
            command.args(["--at", time]);
        }
        match self.text("kind") {
            Some("attestation") => {
                command.args(["--kind", "app-attest"]);
                command.args(["--client-data-hash", self.text("client_data_hash_hex").expect("a hash")]);
                command.args(["--key-id", self.text("key_id_b64").expect("a key identifier")]);
                command.args(["--app-id", self.text("app_id").expect("an App ID")]);
            }
            Some("assertion") => {
                command.args(["--kind", "app-attest-assertion"]);
                command.args(["--client-data-hash", self.text("client_data_hash_hex").expect("a hash")]);
                command.args(["--public-key", self.text("public_key_sec1_hex").expect("a key")]);
                command.args(["--counter", &self.member("previous_counter").to_string()]);
                command.args(["--app-id", self.text("app_id").expect("an App ID")]);
            }
            _ => self.android(&mut command),
        }
        let file = self.folder.join(self.text("file").expect("a file"));
        command.arg(file).status().expect("the command runs").code().expect("the command ends by itself")
    }

    fn android(&self, command: &mut Command) {
        command.args(["--kind", "android-key"]);
        let described = self.member("key_description");
        let challenge = self.text("challenge_hex").or(described["challenge_hex"].as_str()).unwrap_or("00");
        command.args(["--challenge", challenge]);
        let own = self.member("application");
        let application = if own.is_null() { &described["application"] } else { own };
        let package = self.text("package").or(application["packages"][0]["name"].as_str()).unwrap_or("none");
        command.args(["--package", package]);
        let digests = application["signature_digests_sha256"].as_array().map_or(&[][..], Vec::as_slice);
        let mut digests: Vec<_> = digests.iter().filter_map(Value::as_str).collect();
        if let Some(digest) = self.text("signature_digest") {
            digests = vec![digest];
        }
        if digests.is_empty() {
            digests.push("0000000000000000000000000000000000000000000000000000000000000000");
        }
        for digest in digests {
            command.args(["--signer", digest]);
        }
        if let Some(list) = self.text("status_list") {
            command.arg("--revocation").arg(self.folder.join(list));
        }
    }

    /// The collection's reference policy, as far as it differs from our defaults.
    fn policy(&self) -> String {
        let mut policy = "id = 'vectors/1'\n\
             [apple]\nvalidation_categories = ['operating-system', 'test-flight', 'app-store', 'developer-id']\n\
             [android.constraints]\nkey-algorithm = 'ignore'\nkey-curve = 'ignore'\nkey-purpose = 'ignore'\n\
             key-digest = 'ignore'\n[android]\n"
            .to_owned();
        if self.text("required_level") == Some("STRONGBOX") {
            policy += "minimum_protection = 'strongbox'\n";
        }
        policy += "[danger]\nweak_keys = ['key-algorithm', 'key-curve', 'key-purpose', 'key-digest']\n";
        if self.text("environment") == Some("development") {
            policy += "app_attest_environments = ['development']\n";
        }
        if let Some(anchor) = self.text("trust_anchor").filter(|anchor| anchor.starts_with("synthetic-")) {
            let list = if anchor.contains("android") { "android_key_roots" } else { "app_attest_roots" };
            let root = self.folder.join(format!("../trust-anchors/{anchor}.pem"));
            policy += &format!("{list} = ['{}']\n", root.display());
        }
        policy
    }
}
