//! The library as it is loaded on phones: by JNA's `dlopen` first, which calls no `JNI_OnLoad`, then by Java's own loader.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::phone::Phone;

/// The shared library. Cargo has built it with this test, unless another build with other features came after.
fn library() -> PathBuf {
    let built = std::env::current_exe().unwrap().with_file_name("libcountersign_ffi.so");
    if exports_attach(&built) {
        return built;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = root.join("target/jvm");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "-p", "countersign-ffi", "--features", "host-jvm", "--target-dir"]);
    let output = cargo.arg(&target).current_dir(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("debug/libcountersign_ffi.so")
}

fn exports_attach(library: &Path) -> bool {
    let symbol = b"Java_dev_countersign_internal_NativeLibrary_attach\0";
    std::fs::read(library).is_ok_and(|bytes| bytes.windows(symbol.len()).any(|window| window == symbol))
}

/// Runs `LoadPath` in a virtual machine of its own.
fn run(phone: &Phone, case: &str) -> Output {
    let mut java = Command::new(&phone.machine.java);
    java.args(["-Xcheck:jni", "-cp", &phone.machine.class_path(), "dev.countersign.phone.LoadPath", case]);
    java.arg(library()).arg(phone.machine.folder()).output().unwrap()
}

fn says(case: &str, expected: &str) {
    let Some(phone) = Phone::take() else { return };
    let output = run(&phone, case);
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaints}");
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("> ")).collect();
    assert_eq!(lines.join("\n"), expected, "{said}\n{complaints}");
}

#[test]
fn the_library_works_after_jna_has_loaded_it_first() {
    says(
        "jna first",
        "> loaded by JNA\n> attached: false\n> version: null\n> loaded by Java\n> attached: false\n> attach: null\n\
         > attached: true\n> version: 1.2.3\n> version on another thread: 1.2.3",
    );
}

#[test]
fn the_library_works_if_java_loads_it_first() {
    says(
        "java first",
        "> loaded by Java\n> attach: null\n> loaded by JNA\n> attached: true\n> version: 1.2.3",
    );
}

#[test]
fn what_is_no_context_is_refused_and_a_good_one_is_taken_afterwards() {
    says(
        "no context",
        "> loaded by Java\n> attach: context_or_class_loader_unusable\n> attach: context_or_class_loader_unusable\n\
         > attach: java_threw\n> attach: null",
    );
}
