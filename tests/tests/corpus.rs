//! The corpus of forged evidence, read as any other verifier would read it: our verdict and reason for every case.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64ct::{Base64, Encoding};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_tests::corpus;
use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::evidence::android_key::{self, PatchLevel};
use countersign_verifier::evidence::app_attest;
use countersign_verifier::evidence::{EvidenceError, VerifiedEvidence};
use countersign_verifier::policy::{
    AndroidApp, AppPolicy, AppleApp, AppraisalPolicy, Circumstances, Constraint, Enforcement,
};
use countersign_verifier::revocation::RevocationList;
use serde_json::Value;

const CLIENT: &str = "corpus";
/// The whole corpus has to be cheap to carry along.
const LARGEST: usize = 5 * 1024 * 1024;

/// Made once: the virtual devices sign a thousand certificates for it.
static FRESH: LazyLock<Vec<corpus::File>> = LazyLock::new(corpus::files);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn read(family: &str) -> Value {
    let path = folder().join(format!("{family}.json"));
    serde_json::from_slice(
        &std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    )
    .unwrap()
}

fn cases(manifest: &Value) -> &[Value] {
    manifest["cases"].as_array().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    Base64::decode_vec(value.as_str().unwrap()).unwrap()
}

fn verify_at(case: &Value) -> Timestamp {
    Timestamp::from_unix_seconds(case["verify_at"].as_u64().unwrap())
}

/// The embedded anchors and the family's own root.
fn anchors(manifest: &Value) -> TrustAnchors {
    let mut anchors = TrustAnchors::embedded();
    for root in manifest["roots"].as_array().unwrap() {
        let root = root.as_str().unwrap().as_bytes();
        match manifest["family"].as_str().unwrap() {
            "android-key" => anchors.danger_add_android_key_roots(root).unwrap(),
            _ => anchors.danger_add_app_attest_roots(root).unwrap(),
        }
    }
    anchors
}

fn app_attest_policy(manifest: &Value) -> AppraisalPolicy {
    let mut app = AppPolicy::new(CLIENT);
    app.apple.push(AppleApp::from_app_id(manifest["policy"]["app_id"].as_str().unwrap()));
    let categories = manifest["policy"]["validation_categories"].as_array().unwrap();
    app.validation_categories = categories
        .iter()
        .map(|category| app_attest::ValidationCategory(category.as_u64().unwrap().try_into().unwrap()))
        .collect();
    AppraisalPolicy::new("corpus/1").with_app(app)
}

fn android_policy(manifest: &Value) -> AppraisalPolicy {
    let policy = &manifest["policy"];
    let digests = policy["signing_digests"].as_array().unwrap();
    let mut app = AppPolicy::new(CLIENT);
    app.android.push(AndroidApp {
        package: policy["package"].as_str().unwrap().to_owned(),
        signing_digests: digests.iter().map(|digest| bytes(digest).try_into().unwrap()).collect(),
    });
    app.minimum_os_patch = PatchLevel::from_number(policy["minimum_os_patch_level"].as_u64().unwrap());
    app.enforcements.set(Constraint::StrongboxInChain, None, Enforcement::Require);
    AppraisalPolicy::new("corpus/1").with_app(app)
}

/// Our verdict and reasons, in the words of the corpus.
fn judged(
    verified: Result<VerifiedEvidence, EvidenceError>,
    policy: &AppraisalPolicy,
    now: Timestamp,
) -> (&'static str, Vec<&'static str>) {
    let evidence = match verified {
        Ok(evidence) => evidence,
        Err(error) => return ("invalid", vec![error.reason()]),
    };
    let appraisal = policy.appraise(CLIENT, &evidence.into(), &Circumstances::default(), now);
    if !appraisal.is_refused() {
        return ("accept", Vec::new());
    }
    let decisive = appraisal.objections().filter(|outcome| outcome.enforcement == Enforcement::Require);
    ("contraindicated", decisive.map(|outcome| outcome.constraint.label()).collect())
}

/// Judges every case and lists those where we say something else.
fn disagreements(
    family: &str,
    policy: fn(&Value) -> AppraisalPolicy,
    verify: impl Fn(&Value, &TrustAnchors) -> Result<VerifiedEvidence, EvidenceError>,
) -> Vec<String> {
    let manifest = read(family);
    let (anchors, policy) = (anchors(&manifest), policy(&manifest));
    let mut found = Vec::new();
    for case in cases(&manifest) {
        let (verdict, reasons) = judged(verify(case, &anchors), &policy, verify_at(case));
        let expected: Vec<_> =
            case["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap()).collect();
        if case["verdict"] != verdict || expected != reasons {
            found.push(format!(
                "{}: the corpus says {} {expected:?}, we say {verdict} {reasons:?}",
                case["id"], case["verdict"]
            ));
        }
    }
    found
}

#[track_caller]
fn assert_none(disagreements: &[String]) {
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
}

#[test]
fn our_verdict_on_every_app_attest_case_is_the_one_stated() {
    assert_none(&disagreements("app-attest", app_attest_policy, |case, anchors| {
        app_attest::verify_attestation(
            &bytes(&case["attestation_object"]),
            bytes(&case["key_id"]).as_slice().try_into().unwrap(),
            &bytes(&case["client_data_hash"]),
            anchors,
            verify_at(case),
        )
    }));
}

#[test]
fn our_verdict_on_every_assertion_is_the_one_stated() {
    assert_none(&disagreements("app-attest-assertion", app_attest_policy, |case, _| {
        app_attest::verify_assertion(
            &bytes(&case["assertion"]),
            &PublicKey::from_p256_sec1(&bytes(&case["public_key"])).unwrap(),
            &bytes(&case["client_data_hash"]),
            case["previous_counter"].as_u64().unwrap().try_into().unwrap(),
            verify_at(case),
        )
    }));
}

#[test]
fn our_verdict_on_every_android_case_is_the_one_stated() {
    assert_none(&disagreements("android-key", android_policy, |case, anchors| {
        let chain: Vec<_> = case["chain"].as_array().unwrap().iter().map(bytes).collect();
        let chain: Vec<_> = chain.iter().map(Vec::as_slice).collect();
        let list =
            RevocationList::parse(case["status_list"].to_string().as_bytes(), verify_at(case)).unwrap();
        android_key::verify(&chain, &bytes(&case["challenge"]), anchors, Some(&list), verify_at(case))
    }));
}

#[test]
fn the_files_are_what_the_virtual_devices_make_today() {
    for file in FRESH.iter() {
        let committed = std::fs::read_to_string(folder().join(&file.name)).unwrap_or_default();
        assert!(committed == file.json, "{} is out of date: `cargo xtask corpus`", file.name);
    }
}

#[test]
fn the_corpus_is_large_enough_to_count_and_small_enough_to_carry() {
    assert!(FRESH.iter().map(|file| file.cases).sum::<usize>() >= 150);
    assert!(FRESH.iter().map(|file| file.json.len()).sum::<usize>() < LARGEST);
}

#[test]
fn a_verifier_that_refuses_everything_does_not_pass_for_a_good_one() {
    for family in corpus::FAMILIES {
        let manifest = read(family);
        let honest = cases(&manifest).iter().filter(|case| case["verdict"] == "accept").count();
        assert!(honest >= 8, "{family}: {honest} honest cases");
    }
}

#[test]
fn every_case_has_a_name_of_its_own_and_every_refusal_its_reason() {
    for family in corpus::FAMILIES {
        let manifest = read(family);
        let mut names = BTreeSet::new();
        for case in cases(&manifest) {
            let id = case["id"].as_str().unwrap();
            assert!(names.insert(id), "{id} stands twice");
            assert_eq!(id.starts_with("honest"), case["verdict"] == "accept", "{id}");
            let explained = case["why"].is_string() && case["reference"].is_string();
            assert_eq!(explained, case["verdict"] != "accept", "{id}");
            assert!(case["summary"].as_str().unwrap().ends_with('.'), "{id}");
        }
    }
}

#[test]
fn the_readme_counts_the_cases_that_are_there() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    for family in corpus::FAMILIES {
        let manifest = read(family);
        let count = |verdict| cases(&manifest).iter().filter(|case| case["verdict"] == verdict).count();
        let verdicts = ["accept", "invalid", "contraindicated"].map(|verdict| count(verdict).to_string());
        let counts = format!("| {} | {} |", cases(&manifest).len(), verdicts.join(" | "));
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{family}.json` |")));
        assert!(row.is_some_and(|row| row.ends_with(&counts)), "{family}: the row should end with {counts}");
    }
}

/// Otherwise a case would pass for the wrong reason: because nobody trusts its root.
#[test]
fn no_honest_case_is_accepted_without_the_roots_of_the_corpus() {
    let manifest = read("app-attest");
    for case in cases(&manifest).iter().filter(|case| case["verdict"] == "accept") {
        let verdict = app_attest::verify_attestation(
            &bytes(&case["attestation_object"]),
            bytes(&case["key_id"]).as_slice().try_into().unwrap(),
            &bytes(&case["client_data_hash"]),
            &TrustAnchors::embedded(),
            verify_at(case),
        );
        assert_eq!(verdict.err().map(EvidenceError::reason), Some("chain_unknown_root"), "{}", case["id"]);
    }
}
