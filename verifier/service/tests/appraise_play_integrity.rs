//! `countersign appraise --kind play-integrity` and `inspect` of such a token, as a person uses them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64ct::{Base64, Encoding};
use countersign_core::time::Timestamp;
use countersign_virtual_device::{PlayIntegrityAttack, Seed, VirtualPlay};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);
const AT: &str = "2026-09-21T14:13:20Z";
const HASH: [u8; 32] = [7; 32];

/// A folder with a policy and the console's keys.
struct Desk(TempDir);

fn play() -> VirtualPlay {
    VirtualPlay::from_seed(&Seed::from_text("appraise")).app("com.example.app", 1, [8; 32])
}

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        let policy = format!(
            "id = 'desk/1'\n[[app]]\nclient_id = 'app'\n\
             android = [{{ package = 'com.example.app', signing_digests = ['{}'] }}]\n",
            "08".repeat(32)
        );
        desk.file("policy.toml", policy);
        desk.secret("decryption.key", Base64::encode_string(play().decryption_key()));
        desk.secret("verification.key", Base64::encode_string(&play().verification_key()));
        desk
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn secret(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name, content);
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    fn token(&self, play: &VirtualPlay) -> PathBuf {
        self.file("token.jwe", play.classic_token(&HASH, NOW))
    }

    fn answer(&self, play: &VirtualPlay) -> PathBuf {
        self.file("answer.json", play.decode(&play.standard_token(&HASH, NOW)).unwrap())
    }

    fn appraise(&self, evidence: &Path, flags: &[&str]) -> Output {
        let challenge: String = HASH.iter().map(|byte| format!("{byte:02x}")).collect();
        Command::new(env!("CARGO_BIN_EXE_countersign"))
            .current_dir(self.0.path())
            .args(["appraise", "--kind", "play-integrity", "--policy", "policy.toml", "--at", AT])
            .args(["--challenge", &challenge])
            .args(flags)
            .arg(evidence)
            .output()
            .unwrap()
    }

    fn appraise_with_keys(&self, play: &VirtualPlay) -> Output {
        let keys = ["--decryption-key", "decryption.key", "--verification-key", "verification.key", "--json"];
        self.appraise(&self.token(play), &keys)
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("the command ends by itself")
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_token_is_judged_with_the_consoles_keys() {
    let desk = Desk::new();
    let good = desk.appraise_with_keys(&play());
    assert_eq!((code(&good), &json(&good)["verdict"]), (0, &"warning".into()));
    let rooted = desk.appraise_with_keys(&play().attack(PlayIntegrityAttack::NoDeviceVerdict));
    assert_eq!((code(&rooted), &json(&rooted)["verdict"]), (1, &"contraindicated".into()));
    let forged = desk.appraise_with_keys(&play().attack(PlayIntegrityAttack::OtherSigner));
    assert_eq!((code(&forged), &json(&forged)["reason"]), (2, &"play_integrity_signature".into()));
}

#[test]
fn googles_answer_is_judged_without_keys() {
    let desk = Desk::new();
    let output = desk.appraise(&desk.answer(&play()), &["--json"]);
    assert_eq!((code(&output), &json(&output)["verdict"]), (0, &"warning".into()));
    let testing = play().attack(PlayIntegrityAttack::TestingResponse);
    let output = desk.appraise(&desk.answer(&testing), &["--json"]);
    assert_eq!((code(&output), &json(&output)["reason"]), (2, &"play_integrity_testing_response".into()));
}

#[test]
fn wrong_use_is_told_apart_from_a_bad_token() {
    let desk = Desk::new();
    assert_eq!(code(&desk.appraise(&desk.token(&play()), &[])), 3, "without keys");
    assert_eq!(code(&desk.appraise(&desk.token(&play()), &["--decryption-key", "decryption.key"])), 3);
    let with_keys = ["--decryption-key", "decryption.key", "--verification-key", "verification.key"];
    assert_eq!(code(&desk.appraise(&desk.answer(&play()), &with_keys)), 3, "decoded already");
    assert_eq!(
        code(&desk.appraise(&desk.token(&play()), &[&with_keys[..], &["--counter", "1"]].concat())),
        3
    );
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_not_used() {
    let desk = Desk::new();
    let key = desk.0.path().join("decryption.key");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(code(&desk.appraise_with_keys(&play())), 3);
}

#[test]
fn inspect_shows_the_outside_of_a_token_and_says_that_nothing_is_verified() {
    let desk = Desk::new();
    let inspect = |file: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["inspect", "--json"])
            .arg(file)
            .output()
            .unwrap();
        (code(&output), json(&output))
    };
    let (code, token) = inspect(&desk.token(&play()));
    assert_eq!((code, &token["kind"]), (0, &"play-integrity".into()));
    assert!(token.to_string().contains("A256KW") && token.to_string().contains("not-verified"), "{token}");
    let (code, answer) = inspect(&desk.answer(&play()));
    assert_eq!((code, &answer["kind"]), (0, &"play-integrity-verdict".into()));
    assert!(answer.to_string().contains("MEETS_STRONG_INTEGRITY"), "{answer}");
    let (code, _) = inspect(&desk.file("no.jwe", "a.b.c.d.e"));
    assert_eq!(code, 2);
}
