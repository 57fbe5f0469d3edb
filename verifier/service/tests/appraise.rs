//! `countersign appraise` as a person uses it: what it prints, how it ends, and what it refuses to do.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use countersign_core::time::Timestamp;
use countersign_virtual_device::{
    AndroidAttack, AppleAuthority, GoogleAuthority, Seed, VirtualAndroid, VirtualIphone,
};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);
const AT: &str = "2026-09-21T14:13:20Z";
const CHALLENGE: [u8; 32] = [7; 32];

/// A folder with a policy for the virtual phones, and evidence of one.
struct Desk {
    folder: TempDir,
    seed: Seed,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seed = Seed::from_text("appraise");
        let google = GoogleAuthority::from_seed(&seed);
        fs::write(folder.path().join("google.pem"), google.root_certificate_pem()).unwrap();
        let apple = AppleAuthority::from_seed(&seed);
        fs::write(folder.path().join("apple.der"), apple.root_certificate_der()).unwrap();
        let digest = "08".repeat(32);
        let policy = format!(
            "id = 'desk/1'\n[[app]]\nclient_id = 'app'\n\
             apple = [{{ team_id = 'ABCDE12345', bundle_id = 'com.example.app' }}]\n\
             android = [{{ package = 'com.example.app', signing_digests = ['{digest}'] }}]\n\
             [danger]\nandroid_key_roots = ['google.pem']\napp_attest_roots = ['apple.der']\n"
        );
        fs::write(folder.path().join("policy.toml"), policy).unwrap();
        Self { folder, seed }
    }

    fn android(&self) -> VirtualAndroid {
        VirtualAndroid::new(&GoogleAuthority::from_seed(&self.seed), &self.seed).app(
            "com.example.app",
            1,
            [8; 32],
        )
    }

    fn iphone(&self) -> VirtualIphone {
        VirtualIphone::new(&AppleAuthority::from_seed(&self.seed), &self.seed)
            .app("ABCDE12345", "com.example.app")
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// The chain of `phone`, certificate after certificate.
    fn chain(&self, mut phone: VirtualAndroid) -> PathBuf {
        self.file("chain.der", phone.attest(&CHALLENGE, NOW).concat())
    }

    fn run(&self, evidence: &Path, flags: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["appraise", "--at", AT, "--policy"])
            .arg(self.folder.path().join("policy.toml"))
            .args(flags)
            .arg(evidence)
            .output()
            .unwrap()
    }

    fn run_android(&self, evidence: &Path, flags: &[&str]) -> Output {
        let challenge = hex(&CHALLENGE);
        let flags = [&["--kind", "android-key", "--challenge", &challenge], flags].concat();
        self.run(evidence, &flags)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("the command ends by itself")
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn genuine_refused_and_unverified_end_differently() {
    let desk = Desk::new();
    assert_eq!(code(&desk.run_android(&desk.chain(desk.android()), &[])), 0);
    let unlocked = desk.android().attack(AndroidAttack::Unlocked);
    assert_eq!(code(&desk.run_android(&desk.chain(unlocked), &[])), 1);
    let forged = desk.android().attack(AndroidAttack::ExtendedChain);
    assert_eq!(code(&desk.run_android(&desk.chain(forged), &[])), 2);
}

#[test]
fn what_could_not_be_verified_goes_before_what_is_refused() {
    let desk = Desk::new();
    let unlocked = desk.chain(desk.android().attack(AndroidAttack::Unlocked));
    let output = desk.run(&unlocked, &["--kind", "android-key", "--challenge", "00"]);
    assert_eq!(code(&output), 2);
}

#[test]
fn every_reason_is_printed() {
    let desk = Desk::new();
    let rooted = desk.chain(desk.android().attack(AndroidAttack::Rooted));
    let output = desk.run_android(&rooted, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("verdict: contraindicated\n"), "{text}");
    for reason in ["REFUSED boot-state", "REFUSED device-locked", "ok      app-identity", "\"packages\""] {
        assert!(text.contains(reason), "{reason}: {text}");
    }
}

#[test]
fn json_carries_verdict_reasons_and_claims() {
    let desk = Desk::new();
    let report = json(&desk.run_android(&desk.chain(desk.android()), &["--json"]));
    // No status list was given, and the report says so.
    assert_eq!(report["verdict"], "warning");
    assert_eq!(report["appraisal"]["policy"], "desk/1");
    let lists = &report["evidence"]["claims"]["android-key"];
    assert_eq!(lists["hardware_enforced"]["root_of_trust"]["device_locked"], true);
    assert!(lists["anchor"].as_str().unwrap().starts_with("danger:"));
    let report = json(&desk.run_android(&desk.file("empty", ""), &["--json"]));
    assert_eq!(
        (&report["verdict"], &report["reason"]),
        (&"unverified".into(), &"certificate_file_empty".into())
    );
}

#[test]
fn a_status_list_is_consulted() {
    let desk = Desk::new();
    let chain = desk.chain(desk.android());
    let report = json(&desk.run_android(&chain, &["--json"]));
    let serial = report["evidence"]["claims"]["android-key"]["serials"][1].as_str().unwrap().to_owned();
    let clean = desk.file("clean.json", r#"{"entries":{}}"#);
    let report = json(&desk.run_android(&chain, &["--json", "--revocation", clean.to_str().unwrap()]));
    assert_eq!(report["verdict"], "affirming");
    let list = format!(r#"{{"entries":{{"{serial}":{{"status":"SUSPENDED"}}}}}}"#);
    let list = desk.file("list.json", list);
    assert_eq!(code(&desk.run_android(&chain, &["--revocation", list.to_str().unwrap()])), 2);
    let broken = desk.file("broken.json", "{");
    assert_eq!(code(&desk.run_android(&chain, &["--revocation", broken.to_str().unwrap()])), 3);
}

#[test]
fn an_ear_says_in_the_fields_words_what_was_found() {
    let desk = Desk::new();
    let ear = |phone: VirtualAndroid| json(&desk.run_android(&desk.chain(phone), &["--ear"]));
    let (status, vector) = ("/ear_status", "/submods/device/ear_trustworthiness_vector/executables");
    let genuine = ear(desk.android());
    assert_eq!(genuine["eat_profile"], "tag:ietf.org,2026:rats/ear#04");
    assert_eq!(genuine.pointer(status).unwrap(), "warning");
    assert_eq!(genuine.pointer(vector).unwrap(), 3);
    let rooted = ear(desk.android().attack(AndroidAttack::Rooted));
    assert_eq!(rooted.pointer(status).unwrap(), "contraindicated");
    assert_eq!(rooted.pointer(vector).unwrap(), 96);
    let forged = ear(desk.android().attack(AndroidAttack::WrongChallenge));
    assert_eq!(forged.pointer(vector).unwrap(), 99, "not verified at all");
}

#[test]
fn flags_replace_the_policys_identity() {
    let desk = Desk::new();
    let chain = desk.chain(desk.android());
    let (own, other) = ("08".repeat(32), "09".repeat(32));
    let with = |package: &str, signer: &str| {
        code(&desk.run_android(&chain, &["--package", package, "--signer", signer]))
    };
    assert_eq!(with("com.example.app", &own), 0);
    assert_eq!(with("com.example.other", &own), 1);
    assert_eq!(with("com.example.app", &other), 1);
}

#[test]
fn attestation_and_assertion_of_an_iphone_are_judged() {
    let desk = Desk::new();
    let mut phone = desk.iphone();
    let attestation = phone.attest(&CHALLENGE, NOW);
    let object = desk.file("attestation.cbor", &attestation.object);
    let hash = hex(&CHALLENGE);
    let attest = |flags: &[&str]| {
        code(&desk.run(&object, &[&["--kind", "app-attest", "--client-data-hash", &hash], flags].concat()))
    };
    assert_eq!(attest(&[]), 0, "the key id in the evidence stands in for the app's");
    assert_eq!(attest(&["--app-id", "ABCDE12345.com.example.other"]), 1);
    assert_eq!(attest(&["--key-id", "bSrEhF8TIzIvWSPwvZ0i2+UOBre4ASH84rK15m6emNY="]), 2);
    assert_eq!(
        code(&desk.run(&object, &["--kind", "app-attest", "--challenge", &hash])),
        2,
        "hashed once more"
    );

    let key = hex(&phone.app_attest_key().to_p256_sec1().unwrap());
    let assertion = desk.file("assertion.cbor", phone.assert(&CHALLENGE));
    let assert = |counter: &str, hash: &str| {
        let flags = [
            "--kind",
            "app-attest-assertion",
            "--client-data-hash",
            hash,
            "--public-key",
            &key,
            "--counter",
            counter,
        ];
        code(&desk.run(&assertion, &flags))
    };
    assert_eq!(assert("0", &hash), 0);
    assert_eq!(assert("1", &hash), 2, "a replay");
    assert_eq!(assert("0", "00"), 2);
}

#[test]
fn wrong_use_ends_with_3_and_judges_nothing() {
    let desk = Desk::new();
    let chain = desk.chain(desk.android());
    let wrong: [&[&str]; 10] = [
        &[],
        &["--kind", "android-key"],
        &["--kind", "android"],
        &["--kind", "android-key", "--challenge", "0"],
        &["--kind", "android-key", "--client-data-hash", "00"],
        &["--kind", "android-key", "--challenge", "00", "--counter", "1"],
        &["--kind", "android-key", "--challenge", "00", "--package", "p"],
        &["--kind", "android-key", "--challenge", "00", "--client-id", "nobody"],
        &["--kind", "app-attest"],
        &["--kind", "app-attest-assertion", "--client-data-hash", "00", "--counter", "0"],
    ];
    for flags in wrong {
        let output = desk.run(&chain, flags);
        assert_eq!(code(&output), 3, "{flags:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{flags:?}");
    }
    assert_eq!(code(&desk.run_android(Path::new("/nonexistent"), &[])), 3);
}

#[test]
fn a_broken_policy_judges_nothing_and_names_its_line() {
    let desk = Desk::new();
    let chain = desk.chain(desk.android());
    desk.file("policy.toml", "id = 'x'\n[dangr]\n");
    let output = desk.run_android(&chain, &["--package", "com.example.app", "--signer", &"08".repeat(32)]);
    assert_eq!(code(&output), 3);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.contains("policy.toml:2: `dangr` is not known here; did you mean `danger`?"),
        "{complaint}"
    );
}

#[test]
fn without_a_policy_an_identity_has_to_be_named() {
    let desk = Desk::new();
    let chain = desk.chain(desk.android());
    let run = |flags: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["appraise", "--kind", "android-key", "--at", AT, "--challenge", &hex(&CHALLENGE)])
            .args(flags)
            .arg(&chain)
            .output();
        code(&output.unwrap())
    };
    assert_eq!(run(&[]), 3);
    // The virtual phone's root is trusted nowhere but in the desk's policy.
    assert_eq!(run(&["--package", "com.example.app", "--signer", &"08".repeat(32)]), 2);
}

#[test]
fn hostile_files_end_in_unverified() {
    let desk = Desk::new();
    let noise: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let files = [
        Vec::new(),
        vec![0x30],
        vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        vec![0xbf; 70_000],
        vec![0x81; 1 << 20],
        vec![0; (1 << 20) + 10],
        noise,
        b"-----BEGIN CERTIFICATE-----\n".repeat(1000),
    ];
    for (index, content) in files.iter().enumerate() {
        let file = desk.file("hostile", content);
        assert_eq!(code(&desk.run_android(&file, &[])), 2, "android {index}");
        let attestation = desk.run(&file, &["--kind", "app-attest", "--challenge", "00"]);
        assert_eq!(code(&attestation), 2, "app-attest {index}");
    }
}
