//! The steps: type checks, the library of an Android app and of an iPhone app, tests in an emulator.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Stop,
    mobile::{
        library::{Library, Names, Rules, words_in},
        packages,
        target::{self, Target, Toolchain},
    },
    workspace,
};

/// The largest pages of an Android device: 16 KiB, which Google Play demands of what is uploaded.
const ANDROID_PAGE: u64 = 16 * 1024;

/// Libraries of Android that ours may be linked to. The NDK has `unwind` as a static library and puts it into ours;
/// here it is a stub as the others are: a check build lacks the unwinder, and 64-bit phones refuse to load it.
const ANDROID_LIBRARIES: [&str; 5] = ["c", "m", "dl", "log", "unwind"];

/// What only tests have, and must be in no library of an app.
const TESTS_ONLY: [&str; 4] = ["host-jvm", "host_jvm", "never trust", "virtual-device"];

/// Both packages of a device, as an app has them.
const DEVICE: [&str; 6] = [
    "--package",
    "countersign-core",
    "--package",
    "countersign-ffi",
    "--features",
    "countersign-core/attester",
];

/// A library that was built and held against the rules.
pub(super) struct Built {
    /// With its symbols, which tell what takes how much room.
    pub(super) unstripped: PathBuf,
    /// As it would be in an app.
    pub(super) stripped: PathBuf,
    /// What to say about it, on one line.
    pub(super) said: String,
}

/// Type-checks core and bindings; a warning is a failure, because the host's own checks never see this code.
///
/// # Errors
/// With what the compiler said.
pub(super) fn check_types(toolchain: &Toolchain, target: Target) -> Result<String, Stop> {
    let mut command = target.cargo(toolchain, &[&["clippy"], &DEVICE[..]].concat())?;
    command.args(["--", "-D", "warnings"]);
    workspace::output(command).map(|_| "core and bindings".to_owned())
}

/// Links the library of an Android app against stubs of the system.
///
/// # Errors
/// With what the compiler or linker said, or the rules that are broken.
pub(super) fn android_library(toolchain: &Toolchain, target: Target) -> Result<Built, Stop> {
    let Some(abi) = target.android_abi() else {
        return Err(Stop::Usage(format!("{} is not Android", target.triple())));
    };
    let mut command = library_of_an_app(toolchain, target, "cdylib")?;
    command.args(["--", &format!("-Clink-arg=-Wl,-z,max-page-size={ANDROID_PAGE}")]);
    link_with_lld(&mut command, toolchain, target, &format!("-L{}", stubs(toolchain, target)?.display()));
    workspace::output(command)?;

    let unstripped = target::folder().join(target.triple()).join("mobile").join("libcountersign_ffi.so");
    let stripped = check_builds().join("android").join(abi).join("libcountersign_ffi.so");
    strip(toolchain, &unstripped, &stripped)?;
    let bytes = read(&stripped)?;
    let needed = ANDROID_LIBRARIES.map(|name| format!("lib{name}.so"));
    let needed: Vec<_> = needed.iter().map(String::as_str).collect();
    let library = Library::shared(&bytes).map_err(Stop::Failed)?;
    hold_against(
        &library,
        &bytes,
        &Rules {
            defined_by_the_system: &names("android")?,
            exported: Some(&names("exported")?),
            needed: &needed,
            page: Some(ANDROID_PAGE),
        },
    )?;
    let said = format!(
        "check build of {abi}, not to be shipped: {}, needs {} names, exports {}",
        kib(bytes.len()),
        library.undefined.len(),
        library.exported.len()
    );
    Ok(Built { unstripped, stripped, said })
}

/// Builds the static library of an iPhone app.
///
/// # Errors
/// With what the compiler said, or the rules that are broken.
pub(super) fn ios_library(toolchain: &Toolchain, target: Target) -> Result<Built, Stop> {
    if !target.is_apple() {
        return Err(Stop::Usage(format!("{} is not Apple's", target.triple())));
    }
    workspace::output(library_of_an_app(toolchain, target, "staticlib")?)?;
    let built = target::folder().join(target.triple()).join("mobile").join("libcountersign_ffi.a");
    let bytes = read(&built)?;
    let library = Library::archive(&bytes).map_err(Stop::Failed)?;
    let system = names("ios")?;
    hold_against(
        &library,
        &bytes,
        &Rules { defined_by_the_system: &system, exported: None, needed: &[], page: None },
    )?;
    let said = format!(
        "static library, {} before the app is linked, needs {} names",
        kib(bytes.len()),
        library.undefined.len()
    );
    Ok(Built { unstripped: built.clone(), stripped: built, said })
}

/// Runs the tests of the core on ARM64, in an emulator.
///
/// # Errors
/// With what the compiler or the tests said.
pub(super) fn test_in_emulator(toolchain: &Toolchain) -> Result<String, Stop> {
    let target = Target::LinuxArm64;
    let arguments = ["test", "--package", "countersign-core", "--features", "attester", "--lib", "--tests"];
    let mut command = target.cargo(toolchain, &arguments)?;
    let system = packages::ARM64.path();
    let (c, compiler) = ("usr/aarch64-linux-gnu/lib", "usr/lib/gcc-cross/aarch64-linux-gnu/12");
    let at = |path: &str| system.join(path).display().to_string();
    link_with_lld(
        &mut command,
        toolchain,
        target,
        &format!("--sysroot={} -L{} -L{}", at(""), at(c), at(compiler)),
    );
    let file = |folder: &str, name: &str| at(&format!("{folder}/{name}"));
    command.env(
        "COUNTERSIGN_LINK_PROGRAM",
        format!(
            "-dynamic-linker /lib/ld-linux-aarch64.so.1 {} {} {}",
            file(c, "Scrt1.o"),
            file(c, "crti.o"),
            file(compiler, "crtbeginS.o")
        ),
    );
    command
        .env("COUNTERSIGN_LINK_END", format!("-lgcc {} {}", file(compiler, "crtendS.o"), file(c, "crtn.o")));
    command.env(
        cargo_variable(target, "RUNNER"),
        format!("{} -L {}", at("usr/bin/qemu-aarch64-static"), at("usr/aarch64-linux-gnu")),
    );
    let said = workspace::output(command)?;
    let passed: usize = said.lines().filter_map(passed_tests).sum();
    if passed == 0 {
        return Err(Stop::Failed(format!("no test ran:\n{said}")));
    }
    Ok(format!("{passed} tests of the core in an emulator"))
}

/// The cargo command that builds the library with the profile of apps.
fn library_of_an_app(toolchain: &Toolchain, target: Target, kind: &str) -> Result<Command, Stop> {
    let arguments =
        ["rustc", "--package", "countersign-ffi", "--lib", "--crate-type", kind, "--profile", "mobile"];
    let mut command = target.cargo(toolchain, &arguments)?;
    // Its symbols say what takes how much room; they are taken off below.
    command.args(["--config", "profile.mobile.strip=false"]);
    // Panics say where they happened. Where the library was built is nobody's business, and not the same everywhere.
    command.args(["--config", &format!("target.{}.rustflags=[{}]", target.triple(), remapped_paths())]);
    Ok(command)
}

/// `--remap-path-prefix` for every folder of this machine, as members of a list of TOML.
fn remapped_paths() -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".cargo"))
    });
    let folders = [(home, "cargo"), (Some(workspace::root().to_owned()), "countersign")];
    let flags = folders.into_iter().filter_map(|(folder, name)| {
        let flag = format!("--remap-path-prefix={}=/{name}", folder?.display());
        Some(format!("{flag:?}"))
    });
    flags.collect::<Vec<_>>().join(",")
}

fn link_with_lld(command: &mut Command, toolchain: &Toolchain, target: Target, arguments: &str) {
    command
        .env(cargo_variable(target, "LINKER"), folder().join("link-with-lld"))
        .env("COUNTERSIGN_LLD", toolchain.program_path("rust-lld"))
        .env("COUNTERSIGN_LINK", format!("-m {} {arguments}", target.lld_emulation()));
}

/// `CARGO_TARGET_AARCH64_LINUX_ANDROID_LINKER`
fn cargo_variable(target: Target, name: &str) -> String {
    format!("CARGO_TARGET_{}_{name}", target.triple().to_uppercase().replace('-', "_"))
}

/// Libraries without a name in them, under the names of Android's: what ours needs is held against a list instead.
fn stubs(toolchain: &Toolchain, target: Target) -> Result<PathBuf, Stop> {
    let folder = target::folder().join("stubs").join(target.triple());
    let nothing = folder.join("nothing.a");
    write(&nothing, b"!<arch>\n")?;
    for name in ANDROID_LIBRARIES {
        let file = format!("lib{name}.so");
        let mut lld = toolchain.program("rust-lld");
        lld.args(["-flavor", "gnu", "-shared", "-m", target.lld_emulation(), "-soname", &file, "-o"]);
        lld.arg(folder.join(&file)).arg(&nothing);
        workspace::output(lld)?;
    }
    Ok(folder)
}

/// Copies a library without its symbols.
fn strip(toolchain: &Toolchain, from: &Path, to: &Path) -> Result<(), Stop> {
    write(to, b"")?;
    let mut objcopy = toolchain.program("rust-objcopy");
    objcopy.arg("--strip-all").arg(from).arg(to);
    workspace::output(objcopy).map(drop)
}

fn hold_against(library: &Library, bytes: &[u8], rules: &Rules<'_>) -> Result<(), Stop> {
    let mut broken = library.breaks(rules);
    for word in words_in(bytes, &TESTS_ONLY) {
        broken.push(format!("contains `{word}`, which only tests have"));
    }
    let here = workspace::root().display().to_string();
    for folder in words_in(bytes, &[here.as_str(), "/.cargo/registry"]) {
        broken.push(format!("tells that it was built in `{folder}`"));
    }
    if broken.is_empty() { Ok(()) } else { Err(Stop::Failed(format!("\n  {}", broken.join("\n  ")))) }
}

/// `bindings/mobile/symbols/NAME.txt`
fn names(name: &str) -> Result<Names, Stop> {
    let bytes = read(&folder().join("symbols").join(format!("{name}.txt")))?;
    Ok(Names::read(&String::from_utf8_lossy(&bytes)))
}

fn folder() -> PathBuf {
    workspace::root().join("bindings").join("mobile")
}

/// Where the libraries lie that were linked here; their folder's name says what they are.
fn check_builds() -> PathBuf {
    target::folder().join("check-builds")
}

fn read(path: &Path) -> Result<Vec<u8>, Stop> {
    fs::read(path).map_err(|error| Stop::Failed(format!("{}: {error}", path.display())))
}

/// Writes a file into a folder that need not exist yet.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Stop> {
    let folder = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, bytes));
    written.map_err(|error| Stop::Failed(format!("{}: {error}", path.display())))
}

/// How many passed, of a closing line of Rust's test harness.
fn passed_tests(line: &str) -> Option<usize> {
    let (_, counts) = line.split_once("test result: ok. ")?;
    counts.split_once(" passed")?.0.parse().ok()
}

fn kib(bytes: usize) -> String {
    format!("{} KiB", bytes.div_ceil(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_of_names_is_there() {
        for list in ["android", "exported", "ios"] {
            assert_ne!(names(list).unwrap(), Names::default(), "{list}");
        }
    }

    #[test]
    fn test_code_and_the_folder_of_a_build_are_found() {
        let rules = Names::read("*");
        let rules = Rules { defined_by_the_system: &rules, exported: None, needed: &[], page: None };
        let library = Library { exported: ["ffi".to_owned()].into(), ..Library::default() };
        assert_eq!(hold_against(&library, b"countersign", &rules), Ok(()));
        let here = workspace::root().display().to_string();
        for word in TESTS_ONLY.into_iter().chain([here.as_str(), "/root/.cargo/registry/src"]) {
            let bytes = format!("before\0{word}\0behind");
            assert!(hold_against(&library, bytes.as_bytes(), &rules).is_err(), "{word}");
        }
    }

    #[test]
    fn passed_tests_are_counted_and_failed_ones_are_not() {
        assert_eq!(passed_tests("test result: ok. 12 passed; 0 failed; 0 ignored"), Some(12));
        assert_eq!(passed_tests("test result: FAILED. 12 passed; 1 failed; 0 ignored"), None);
        assert_eq!(passed_tests("running 12 tests"), None);
    }

    #[test]
    fn cargo_is_told_about_a_target_by_variables() {
        let linker = cargo_variable(Target::AndroidArm, "LINKER");
        assert_eq!(linker, "CARGO_TARGET_ARMV7_LINUX_ANDROIDEABI_LINKER");
    }
}
