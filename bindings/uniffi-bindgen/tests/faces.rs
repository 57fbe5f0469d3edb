//! The generator makes the faces of both languages from the built library, with the names that apps use.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panicking too")]

use std::path::{Path, PathBuf};
use std::process::Command;

// The library is built because it is named here; its metadata is what the generator reads.
use countersign_ffi as _;

/// The shared library stands beside this test.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let name = format!("{}countersign_ffi{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let library = test.parent().unwrap().join(name);
    assert!(library.is_file(), "{} was not built", library.display());
    library
}

fn generate(language: &str, out: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign-uniffi-bindgen"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["generate", "--no-format", "--metadata-no-deps", "--language", language, "--out-dir"])
        .arg(out)
        .arg("--library")
        .arg(library())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let extension = if language == "kotlin" { "kt" } else { "swift" };
    let mut folders = vec![out.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                return std::fs::read_to_string(path).unwrap();
            }
        }
    }
    panic!("no {language} was written");
}

#[test]
fn kotlin_has_the_face() {
    let out = tempfile::tempdir().unwrap();
    let kotlin = generate("kotlin", out.path());
    for name in [
        "open class Attester",
        "suspend fun `proveWhenReady`",
        "suspend fun `refresh`",
        "fun `prove`(",
        "fun `observe`(",
        "interface InstanceKeys",
        "interface EvidenceSource",
        "interface Transport",
        "interface Storage",
        "interface Timer",
        "fun `development`(",
        "fun `requireLibraryVersion`(",
        "sealed class CountersignException",
        "class UpdateRequired",
        "data class Configuration",
    ] {
        assert!(kotlin.contains(name), "{name}");
    }
}

#[test]
fn swift_has_the_face() {
    let out = tempfile::tempdir().unwrap();
    let swift = generate("swift", out.path());
    for name in [
        "open class Attester",
        "func proveWhenReady(request: ApiRequest)",
        "func refresh()",
        "protocol InstanceKeys",
        "protocol EvidenceSource",
        "protocol Transport",
        "protocol Storage",
        "protocol Timer",
        "func development(",
        "func requireLibraryVersion(",
        "enum CountersignError",
        "case UpdateRequired(",
        "struct Configuration",
    ] {
        assert!(swift.contains(name), "{name}");
    }
}
