//! The story as a reader runs it.

use std::process::{Command, Output};

fn run() -> Output {
    Command::new(env!("CARGO_BIN_EXE_quickstart")).output().expect("the binary was built beside this test")
}

#[test]
fn every_attack_is_refused_and_every_honest_call_passes() {
    let output = run();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    for verdict in ["PASSED", "FAILED", "WRONG", "breaks off"] {
        assert!(!said.contains(verdict), "{said}");
    }
    for reason in [
        "no_attestation",
        "token_of_another_instance",
        "replayed",
        "proof_target",
        "proof_content",
        "app-identity",
        "boot-state",
        "security-level",
        "evidence_revoked",
        "enrolment_key_not_attested",
        "enrolment_instance_mismatch",
        "instance_denied",
        "instance_banned",
    ] {
        assert!(said.contains(reason), "{reason} in {said}");
    }
}

#[test]
fn what_is_piped_has_no_colours_and_no_tokens() {
    let said = String::from_utf8(run().stdout).unwrap();
    assert!(!said.contains('\u{1b}'), "{said:?}");
    assert!(said.split_whitespace().all(|word| word.len() < 64), "{said}");
}
