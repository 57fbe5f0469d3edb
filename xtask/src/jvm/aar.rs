//! The Android archive: put together from what was built, and held against what Android, JNI and JNA look up by name.
//!
//! The libraries in it are check builds, linked against stubs of the system; the name of the archive says so. What can be
//! shipped has libraries that `bindings/mobile/release-android` makes, in the same places.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object, ObjectSegment, ObjectSymbol};

use crate::{Stop, jvm::maven, tally::Count, workspace};

#[path = "../../../bindings/src/android/names.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the bindings' own list of names, of which only some matter here"
)]
mod names;

/// The largest pages of an Android device, for which Google Play demands alignment.
const PAGE: u64 = 16 * 1024;

/// What the generated code asks of a library before it calls anything.
const CONTRACT: &str = "ffi_countersign_ffi_uniffi_contract_version";

/// What is looked at, and what is said of it.
type Check = fn(&Archive) -> Result<String, String>;

/// `cargo xtask kotlin --aar`.
///
/// # Errors
/// When the archive cannot be put together, or a check failed.
pub(super) fn assemble_and_check() -> Result<(), Stop> {
    super::build()?;
    workspace::succeed(maven::command(&["--quiet", "compile"], "debug"))?;
    match check()? {
        Count { failed: 0, ignored: 0, .. } => Ok(()),
        Count { failed: 0, .. } => {
            Err(Stop::Failed("the archive has no library: `cargo xtask mobile` makes one".to_owned()))
        }
        Count { failed, .. } => Err(Stop::Failed(format!("aar: {failed} checks failed"))),
    }
}

/// Puts the archive together from classes that were compiled, and counts its checks.
///
/// # Errors
/// When it cannot be put together.
pub(super) fn check() -> Result<Count, Stop> {
    let archive = Archive::assemble()?;
    let mut count = Count::default();
    println!("aar: {}", archive.file.display());
    let checks: [(&str, Check); 5] = [
        ("parts", parts),
        ("no test code", no_test_code),
        ("keep rules for JNI", keep_rules_for_jni),
        ("keep rules for JNA", keep_rules_for_jna),
        ("JNA's own library", library_of_jna),
    ];
    let mut note = |name: &str, outcome: Result<String, String>| match outcome {
        Ok(said) => {
            count.passed += 1;
            println!("aar: ok      {name}: {said}");
        }
        Err(why) => {
            count.failed += 1;
            println!("aar: FAILED  {name}: {why}");
        }
    };
    for (name, check) in checks {
        note(name, check(&archive));
    }
    for abi in &archive.abis {
        note(&format!("library of {abi}"), library(&archive, abi));
    }
    if archive.abis.is_empty() {
        count.ignored += 1;
        println!(
            "aar: ignored library: there is no check build; `cargo xtask mobile --only android` makes one"
        );
    }
    Ok(count)
}

/// The archive, and the folder that it was made of.
struct Archive {
    folder: PathBuf,
    file: PathBuf,
    abis: Vec<String>,
    /// Every file of `classes.jar`.
    classes: BTreeSet<String>,
    keep_rules: String,
}

impl Archive {
    fn assemble() -> Result<Self, Stop> {
        let target = workspace::target();
        let folder = target.join("kotlin-aar");
        let failed = |error: io::Error| Stop::Failed(format!("aar: {}: {error}", folder.display()));
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(failed)?;
        }
        fs::create_dir_all(folder.join("META-INF/com/android/build/gradle")).map_err(failed)?;
        let own = super::project().join("android");
        fs::copy(own.join("AndroidManifest.xml"), folder.join("AndroidManifest.xml")).map_err(failed)?;
        fs::copy(own.join("proguard.txt"), folder.join("proguard.txt")).map_err(failed)?;
        fs::write(folder.join("R.txt"), "").map_err(failed)?;
        fs::copy(
            own.join("aar-metadata.properties"),
            folder.join("META-INF/com/android/build/gradle/aar-metadata.properties"),
        )
        .map_err(failed)?;
        fs::write(
            folder.join("CHECK-BUILD.txt"),
            "The libraries in jni/ are linked against stubs of Android: they show what a library has, and no phone loads them.\n",
        )
        .map_err(failed)?;
        let classes = target.join("kotlin").join("classes");
        jar(&["--create", "--no-manifest", "--file"], &folder.join("classes.jar"), &classes)?;

        let builds = target.join("mobile").join("check-builds").join("android");
        let mut abis = Vec::new();
        for entry in fs::read_dir(&builds).into_iter().flatten().flatten() {
            let library = entry.path().join(super::LIBRARY);
            if let (true, Ok(abi)) = (library.is_file(), entry.file_name().into_string()) {
                let place = folder.join("jni").join(&abi);
                fs::create_dir_all(&place).map_err(failed)?;
                fs::copy(library, place.join(super::LIBRARY)).map_err(failed)?;
                abis.push(abi);
            }
        }
        abis.sort_unstable();
        let file = target.join(format!("countersign-{}-check-build.aar", env!("CARGO_PKG_VERSION")));
        jar(&["--create", "--no-manifest", "--file"], &file, &folder)?;
        let mut list = Command::new("jar");
        list.args(["--list", "--file"]).arg(folder.join("classes.jar"));
        let classes = workspace::output(list)?.lines().map(str::to_owned).collect();
        let keep_rules = fs::read_to_string(folder.join("proguard.txt")).map_err(failed)?;
        Ok(Self { folder, file, abis, classes, keep_rules })
    }

    /// What `javap` says of a class.
    fn class(&self, name: &str) -> Result<String, String> {
        let mut javap = Command::new("javap");
        javap.arg("-p").arg("-cp").arg(self.folder.join("classes.jar")).arg(name);
        workspace::output(javap).map_err(words)
    }

    /// Whether a rule of its own keeps these classes, whole or with their native methods.
    fn keeps(&self, classes: &str, members: &str) -> bool {
        let rules: String = self.keep_rules.split_whitespace().collect::<Vec<_>>().join(" ");
        rules.contains(&format!("-keep class {classes} {{ {members}; }}"))
    }
}

/// What Android's tools look for.
fn parts(archive: &Archive) -> Result<String, String> {
    let mut list = Command::new("jar");
    list.args(["--list", "--file"]).arg(&archive.file);
    let names = workspace::output(list).map_err(words)?;
    let names: BTreeSet<&str> = names.lines().collect();
    for part in ["AndroidManifest.xml", "classes.jar", "proguard.txt", "R.txt", "CHECK-BUILD.txt"] {
        if !names.contains(part) {
            return Err(format!("there is no {part}"));
        }
    }
    Ok(format!("{} KiB, libraries for {:?}", kib(&archive.file)?, archive.abis))
}

/// Nothing but the SDK is in the classes.
fn no_test_code(archive: &Archive) -> Result<String, String> {
    let ours = |name: &&String| name.starts_with("dev/") || name.starts_with("META-INF/");
    if let Some(stranger) = archive.classes.iter().find(|name| !ours(name)) {
        return Err(format!("{stranger} is not of the SDK"));
    }
    let of_tests =
        |name: &&String| name.contains("Test") || name.contains("Main") || name.contains("ProveCost");
    match archive.classes.iter().find(of_tests) {
        Some(test) => Err(format!("{test} is a test's")),
        None => {
            Ok(format!("{} classes", archive.classes.iter().filter(|name| name.ends_with(".class")).count()))
        }
    }
}

/// What native code looks up is there under its name, and a rule keeps it so.
fn keep_rules_for_jni(archive: &Archive) -> Result<String, String> {
    for (class, methods) in names::TO_BE_KEPT {
        let said = archive.class(class)?;
        for method in *methods {
            let declared = |line: &str| line.contains(" native ") && line.contains(&format!(" {method}("));
            if !said.lines().any(declared) {
                return Err(format!("{class} declares no native {method}"));
            }
        }
        if !archive.keeps(class, "native <methods>") {
            return Err(format!("no rule keeps {class}"));
        }
    }
    let ours = names::MEMBERS.iter().filter(|member| member.class.starts_with("dev.countersign."));
    for member in ours {
        if !archive.keeps(member.class, "*") {
            return Err(format!("no rule keeps {}.{}", member.class, member.name));
        }
    }
    Ok(format!("{} class", names::TO_BE_KEPT.len()))
}

/// What JNA finds by name is in packages that are kept whole.
fn keep_rules_for_jna(archive: &Archive) -> Result<String, String> {
    for package in ["dev.countersign.ffi.**", "com.sun.jna.**"] {
        if !archive.keeps(package, "*") {
            return Err(format!("no rule keeps {package}"));
        }
    }
    // Nothing outside of that package may be found by name.
    let outside = archive.classes.iter().filter(|name| {
        name.starts_with("dev/") && name.ends_with(".class") && !name.starts_with("dev/countersign/ffi/")
    });
    let mut javap = Command::new("javap");
    javap.arg("-p").arg("-cp").arg(archive.folder.join("classes.jar"));
    javap.args(outside.map(|name| name.trim_end_matches(".class").replace('/', ".")));
    let said = workspace::output(javap).map_err(words)?;
    let by_name = said.lines().find(|line| line.contains("com.sun.jna"));
    match by_name {
        Some(line) => Err(format!("JNA outside of dev.countersign.ffi: {line}")),
        None => Ok("dev.countersign.ffi and com.sun.jna are kept whole".to_owned()),
    }
}

/// Every function that the generated code calls is there, the way in of JNI too, and the pages are large enough.
fn library(archive: &Archive, abi: &str) -> Result<String, String> {
    let file = archive.folder.join("jni").join(abi).join(super::LIBRARY);
    let bytes = fs::read(&file).map_err(|error| error.to_string())?;
    let read = Shared::read(&bytes)?;
    let generated = super::generated().join("dev/countersign/ffi/countersign.kt");
    let code = fs::read_to_string(generated).map_err(|error| error.to_string())?;
    let functions = functions_called(&code);
    if functions.len() < 20 || !functions.contains(CONTRACT) {
        return Err(format!("the generated code calls {} functions", functions.len()));
    }
    let jni = names::TO_BE_KEPT.iter().flat_map(|(class, methods)| {
        methods.iter().map(|method| format!("Java_{}_{method}", class.replace('.', "_")))
    });
    let wanted = functions.iter().map(|name| (*name).to_owned()).chain(jni);
    let absent: Vec<_> = wanted.filter(|name| !read.exported.contains(name)).collect();
    if let [first, ..] = absent.as_slice() {
        return Err(format!("{} functions are not exported, {first} among them", absent.len()));
    }
    aligned(&read, abi)?;
    Ok(format!("{} KiB, exports all {} functions that are called", kib(&file)?, functions.len()))
}

/// JNA brings a library of its own to each app: it counts.
fn library_of_jna(archive: &Archive) -> Result<String, String> {
    let jna = maven::jna_archive().map_err(words)?;
    let folder = workspace::target().join("kotlin-jna");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let mut unpack = Command::new("jar");
    unpack.arg("--extract").arg("--file").arg(&jna).current_dir(&folder);
    workspace::output(unpack).map_err(words)?;
    let mut said = Vec::new();
    let wanted = if archive.abis.is_empty() { vec!["arm64-v8a".to_owned()] } else { archive.abis.clone() };
    for abi in &wanted {
        let file = folder.join("jni").join(abi).join("libjnidispatch.so");
        let bytes = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        aligned(&Shared::read(&bytes)?, abi)?;
        said.push(format!("{} KiB for {abi}", kib(&file)?));
    }
    Ok(format!("{}, classes {} KiB", said.join(", "), kib(&folder.join("classes.jar"))?))
}

/// What matters of a shared library.
struct Shared {
    exported: BTreeSet<String>,
    alignments: BTreeSet<u64>,
}

impl Shared {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
        let exported = file.dynamic_symbols().filter(|symbol| !symbol.is_undefined());
        let exported = exported.filter_map(|symbol| symbol.name().ok().map(str::to_owned)).collect();
        Ok(Self { exported, alignments: file.segments().map(|segment| segment.align()).collect() })
    }
}

/// 32-bit devices have pages of 4 KiB alone.
fn aligned(library: &Shared, abi: &str) -> Result<(), String> {
    let page = if abi.contains("64") { PAGE } else { 4096 };
    match library.alignments.iter().find(|align| **align % page != 0) {
        Some(align) => Err(format!("{abi} is aligned to {align} bytes, and there are pages of {page}")),
        None if library.alignments.is_empty() => Err(format!("{abi}: nothing is mapped into memory")),
        None => Ok(()),
    }
}

/// The names behind `external fun` in generated Kotlin.
fn functions_called(code: &str) -> BTreeSet<&str> {
    let name = |line: &'_ str| -> Option<usize> { line.find("external fun ").map(|at| at + 13) };
    code.lines()
        .filter_map(|line| line.get(name(line)?..)?.split('(').next())
        .map(|name| name.trim_matches('`'))
        .collect()
}

/// `jar OPTIONS FILE -C FOLDER .`.
fn jar(options: &[&str], file: &Path, folder: &Path) -> Result<(), Stop> {
    let mut jar = Command::new("jar");
    jar.args(options).arg(file).arg("-C").arg(folder).arg(".");
    workspace::output(jar).map(drop)
}

fn kib(file: &Path) -> Result<u64, String> {
    fs::metadata(file).map(|file| file.len().div_ceil(1024)).map_err(|error| error.to_string())
}

fn words(stop: Stop) -> String {
    let (Stop::Failed(why) | Stop::Usage(why)) = stop;
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_generated_code_calls_are_found() {
        let code = "    external fun ffi_one(\n    @JvmStatic external fun `two`(a: Int)\n    fun three()\n";
        assert_eq!(functions_called(code), BTreeSet::from(["ffi_one", "two"]));
    }

    #[test]
    fn pages_of_64_bit_devices_may_be_larger() {
        let with = |align| Shared { exported: BTreeSet::new(), alignments: BTreeSet::from([align]) };
        assert!(aligned(&with(0x4000), "arm64-v8a").is_ok());
        assert!(aligned(&with(0x1000), "arm64-v8a").is_err());
        assert!(aligned(&with(0x1000), "armeabi-v7a").is_ok());
        let nothing = Shared { exported: BTreeSet::new(), alignments: BTreeSet::new() };
        assert!(aligned(&nothing, "arm64-v8a").is_err());
    }

    #[test]
    fn what_is_no_library_is_refused() {
        assert!(Shared::read(b"no library").is_err());
    }
}
