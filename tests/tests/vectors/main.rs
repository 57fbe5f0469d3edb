//! Every genuine, altered and synthetic case of the vector collection, and every variant of it, through the
//! public interface of the verifier, with the clock set as the manifest says; and the published vectors of JOSE, COSE,
//! signatures and encryption, of which we take a subset, through the code that reads tokens and verifies them.
//!
//! The collection is not part of the repository: `COUNTERSIGN_VECTORS` names its folder. Without it the run says
//! that it was skipped, unless `COUNTERSIGN_REQUIRE` names `vectors`.
#![allow(clippy::print_stdout)]

mod android_key;
mod app_attest;
mod case;
mod changed_bytes;
mod cose;
mod encryption;
mod exceptions;
mod jose;
mod play_integrity;
mod published;
mod signatures;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use case::{Case, Verdict};
use changed_bytes::Changes;
use exceptions::Exceptions;
use published::Tally;

fn main() -> ExitCode {
    let folder = std::env::var_os("COUNTERSIGN_VECTORS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"), PathBuf::from);
    if !folder.is_dir() {
        println!("SKIPPED vectors: folder {} not found", folder.display());
        let required = std::env::var("COUNTERSIGN_REQUIRE").unwrap_or_default();
        return if required.split([',', ' ']).any(|group| group == "vectors") {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }

    let mut exceptions = Exceptions::load();
    let mut run = Run::default();
    let mut changes = Changes::default();
    for case in Case::load(&folder.join("app-attest")) {
        changes.try_all(&case);
        match case.text("kind") {
            "attestation" => run.judge(&case, &mut exceptions, app_attest::attestation),
            "assertion" => run.judge(&case, &mut exceptions, app_attest::assertion),
            "receipt" => {
                run.judge(&case, &mut exceptions, app_attest::receipt);
                for change in app_attest::receipt_changes(&case) {
                    let variant = case.with(&change, &"invalid".into());
                    run.variants += 1;
                    run.compare(&variant, &mut exceptions, app_attest::receipt);
                }
            }
            kind => panic!("{case}: a case of the unknown kind {kind}"),
        }
    }
    for case in Case::load(&folder.join("android-key-attestation")) {
        changes.try_all(&case);
        run.judge(&case, &mut exceptions, android_key::chain);
        run.failures.extend(android_key::other_findings(&case));
    }
    for case in Case::load(&folder.join("play-integrity")) {
        run.judge(&case, &mut exceptions, play_integrity::token);
    }
    println!(
        "vectors: one byte of genuine evidence changed: {} times refused, {} times the same is said",
        changes.refused, changes.same
    );
    run.failures.append(&mut changes.failures);
    let mut standards = Tally::default();
    type Judge = fn(&Path, &mut Exceptions) -> Tally;
    let collections = [
        ("JOSE", jose::all as Judge),
        ("COSE", cose::all),
        ("Wycheproof, signatures", signatures::all),
        ("Wycheproof, encryption", encryption::all),
    ];
    for (name, judge) in collections {
        let tally = judge(&folder, &mut exceptions);
        println!(
            "vectors: {name}: {} judged as published, {} outside our subset",
            tally.judged, tally.outside
        );
        standards.add(tally);
    }
    run.failures.append(&mut standards.failures);
    run.failures.extend(exceptions.unused());

    for failure in &run.failures {
        println!("FAILED {failure}");
    }
    println!("vectors: {} cases, {} variants, {} exceptions", run.cases, run.variants, exceptions.len());
    let judged = run.cases + run.variants + standards.judged + standards.outside;
    println!("vectors: {} passed, {} failed", judged.saturating_sub(run.failures.len()), run.failures.len());
    if run.failures.is_empty() && run.cases > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Run {
    cases: usize,
    variants: usize,
    failures: Vec<String>,
}

impl Run {
    fn judge(&mut self, case: &Case, exceptions: &mut Exceptions, verdict: fn(&Case) -> Verdict) {
        self.cases += 1;
        self.compare(case, exceptions, verdict);
        for variant in case.variants() {
            self.variants += 1;
            self.compare(&variant, exceptions, verdict);
        }
    }

    fn compare(&mut self, case: &Case, exceptions: &mut Exceptions, verdict: fn(&Case) -> Verdict) {
        let verdict = verdict(case);
        let expected = matches!(case.text("expected"), "valid" | "accept");
        if verdict.is_accepted() == expected {
            return;
        }
        if !exceptions.allow(case, verdict.is_accepted()) {
            self.failures.push(format!("{case}: expected {}, found {verdict}", case.text("expected")));
        }
    }
}
