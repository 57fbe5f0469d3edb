//! The corpus of forged evidence: what the virtual devices can be made to say, with the verdict that each piece
//! deserves, as files that a verifier in any language can read. `cargo xtask corpus` writes them to `tests/corpus`.
//!
//! Nothing here asks our verifier anything: verdicts and reasons are stated, and a test holds the verifier to them.

mod android_chain;
mod android_key;
mod app_attest;
mod app_attest_assertion;
mod case;
mod cbor;
mod explanation;
mod key_description;
mod verdicts;

use countersign_core::time::Timestamp;
use countersign_virtual_device::{AppleAuthority, GoogleAuthority, Seed};
use serde::Serialize;

pub use case::{Case, Expected};

/// The names of the families, which are also those of their files.
pub const FAMILIES: [&str; 3] = ["app-attest", "app-attest-assertion", "android-key"];

/// The time that the phones' clocks show, and that most cases are to be judged at: 2026-09-21T14:13:20Z.
const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

/// A family's file.
pub struct File {
    /// Its name, such as `app-attest.json`.
    pub name: String,
    /// Its content, JSON.
    pub json: String,
    /// How many cases are in it.
    pub cases: usize,
}

/// All files of the corpus: the same bytes every time.
pub fn files() -> Vec<File> {
    let [app_attest, assertion, android_key] = FAMILIES;
    vec![
        file(app_attest, app_attest::policy(), vec![apple().root_certificate_pem()], app_attest::cases()),
        file(assertion, app_attest_assertion::policy(), Vec::new(), app_attest_assertion::cases()),
        file(android_key, android_key::policy(), vec![google().root_certificate_pem()], android_key::cases()),
    ]
}

/// Honest evidence of so many phones under the corpus' roots, as files of the same form: for measurements, because whoever
/// sees the same certificates twice may know them. `honest-ios-26~7` is what `honest-ios-26` is, of the seventh phone.
/// Assertions carry no certificates and are those of the corpus.
pub fn crowd(phones: usize) -> Vec<File> {
    let [app_attest, assertion, android_key] = FAMILIES;
    vec![
        file(
            app_attest,
            app_attest::policy(),
            vec![apple().root_certificate_pem()],
            app_attest::crowd(phones),
        ),
        file(assertion, app_attest_assertion::policy(), Vec::new(), app_attest_assertion::cases()),
        file(
            android_key,
            android_key::policy(),
            vec![google().root_certificate_pem()],
            android_key::crowd(phones),
        ),
    ]
}

#[derive(Serialize)]
struct Manifest<P, I> {
    format: &'static str,
    family: &'static str,
    notice: &'static str,
    /// Certificates, PEM, of the only roots to trust.
    roots: Vec<String>,
    policy: P,
    cases: Vec<Case<I>>,
}

fn file(
    family: &'static str,
    policy: impl Serialize,
    roots: Vec<String>,
    cases: Vec<Case<impl Serialize>>,
) -> File {
    let count = cases.len();
    let manifest = Manifest {
        format: "countersign-corpus/1",
        family,
        notice: "Test data. The keys of these roots are public: trust them in tests only.",
        roots,
        policy,
        cases,
    };
    let json = serde_json::to_string_pretty(&manifest).expect("names of members are text");
    File { name: format!("{family}.json"), json: json + "\n", cases: count }
}

fn seed() -> Seed {
    Seed::from_text("forged evidence corpus")
}

fn apple() -> AppleAuthority {
    AppleAuthority::from_seed(&seed())
}

fn google() -> GoogleAuthority {
    GoogleAuthority::from_seed(&seed())
}
