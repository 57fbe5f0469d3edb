//! Every seed of the fuzz targets and every input that ever broke one, replayed without instrumentation: none panics,
//! and the promises that the targets check hold.
//!
//! With `COUNTERSIGN_FUZZ_SEEDS` naming a folder the seeds are also written there, one folder per target;
//! `cargo xtask fuzz` starts from them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs, unreachable_pub, reason = "borrows the modules of the targets")]

#[path = "../fuzz/src/lib.rs"]
pub mod fuzz;

use std::fs;
use std::path::{Path, PathBuf};

use fuzz::TARGETS;

fn findings(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions").join(target);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_seed_keeps_its_promises() {
    let folder = std::env::var_os("COUNTERSIGN_FUZZ_SEEDS").map(PathBuf::from);
    for target in &TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} starts from nothing", target.name);
        for (number, seed) in seeds.iter().enumerate() {
            (target.run)(seed);
            if let Some(folder) = &folder {
                let folder = folder.join(target.name);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(format!("seed-{number:03}")), seed).unwrap();
            }
        }
    }
}

/// Two cheap changes of every seed, at every byte: what a fuzzer does first.
#[test]
fn neighbours_of_short_seeds_keep_their_promises() {
    const LONGEST: usize = 400;
    // The seeds of the corpus are many, and much like each other.
    const MOST: usize = 24;
    for target in TARGETS.iter().filter(|target| !["appraise", "check", "enrol"].contains(&target.name)) {
        for seed in (target.seeds)().iter().filter(|seed| seed.len() <= LONGEST).take(MOST) {
            for at in 0..seed.len() {
                let mut changed = seed.clone();
                changed[at] ^= 1 << (at % 8);
                (target.run)(&changed);
                (target.run)(&seed[..at]);
            }
        }
    }
}

#[test]
fn every_earlier_finding_stays_fixed() {
    for target in &TARGETS {
        for file in findings(target.name) {
            (target.run)(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_finding_belongs_to_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name();
        let known = TARGETS.iter().any(|target| *target.name == *name) || name == "README.md";
        assert!(known, "{}", name.to_string_lossy());
    }
}

/// The table in the manifest and the one in the library.
#[test]
fn every_target_has_its_program() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
    let mut programs: Vec<_> =
        manifest.lines().filter(|line| line.starts_with("path = \"targets/")).collect();
    programs.sort_unstable();
    let expected: Vec<_> =
        TARGETS.iter().map(|target| format!("path = \"targets/{}.rs\"", target.name)).collect();
    assert_eq!(programs, expected, "in the order of their names");
}
