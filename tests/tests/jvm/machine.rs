//! The virtual machine: found, given its classes, and started once for all tests of this program.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use jni::objects::{JByteArray, JObject, JObjectArray};
use jni::refs::LoaderContext;
use jni::strings::JNIString;
use jni::{EnvUnowned, InitArgsBuilder, JNIVersion, JavaVM, NativeMethod, jni_str};
use tempfile::TempDir;

use crate::phone;

/// Android's framework classes of API level 34, as `cargo xtask setup jvm` fetches them.
const ANDROID: &str = "14-robolectric-10818077";

/// What programs in Java need.
pub(crate) struct Machine {
    pub(crate) vm: JavaVM,
    pub(crate) java: PathBuf,
    classes: TempDir,
}

/// The machine of this program; nothing if it cannot be had here, in which case that was said.
pub(crate) fn machine() -> Option<&'static Machine> {
    static MACHINE: OnceLock<Option<Machine>> = OnceLock::new();
    MACHINE.get_or_init(start).as_ref()
}

impl Machine {
    /// Our classes, and those of Android and JNA. What Android has in native code is replaced by what comes first.
    pub(crate) fn class_path(&self) -> String {
        let ours = ["app", "stubs"].map(|folder| self.classes.path().join(folder));
        let path = ours.into_iter().chain([android(), jna()]);
        std::env::join_paths(path).unwrap().into_string().unwrap()
    }

    /// The folder that the app on the phone keeps files in.
    pub(crate) fn folder(&self) -> PathBuf {
        self.classes.path().join("no_backup")
    }
}

/// Android's classes.
pub(crate) fn android() -> PathBuf {
    package("org/robolectric", "android-all", ANDROID)
}

/// JNA, of the version that the Kotlin face is built with.
fn jna() -> PathBuf {
    let pom = workspace().join("bindings/kotlin/pom.xml");
    let pom = std::fs::read_to_string(pom).unwrap();
    let (_, version) = pom.split_once("<jna.version>").unwrap();
    let (version, _) = version.split_once('<').unwrap();
    package("net/java/dev/jna", "jna", version)
}

/// A package that `cargo xtask setup jvm` fetches.
fn package(group: &str, name: &str, version: &str) -> PathBuf {
    let repository = workspace().join(".cache/jvm/repository");
    repository.join(group).join(name).join(version).join(format!("{name}-{version}.jar"))
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn start() -> Option<Machine> {
    let home = java_home();
    let here = home.is_some() && [android(), jna()].iter().all(|path| path.is_file());
    let required = std::env::var("COUNTERSIGN_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').any(|group| group.trim() == "jvm");
    assert!(here || !is_required, "jvm is required, and a JDK or Android's classes are missing");
    if !here {
        // Not `println!`, which the test harness swallows.
        let _ = writeln!(std::io::stdout(), "SKIPPED jvm: not installed (cargo xtask setup jvm)");
    }
    let home = home.filter(|_| here)?;
    let classes = tempfile::tempdir().unwrap();
    std::fs::create_dir(classes.path().join("no_backup")).unwrap();
    compile(&home, "stubs", &[android()], classes.path());
    compile(&home, "app", &[classes.path().join("stubs"), android(), jna()], classes.path());
    let mut machine = Machine { vm: launch(&home, classes.path()), java: home.join("bin/java"), classes };
    prepare(&mut machine);
    Some(machine)
}

/// The folder of a JDK: `JAVA_HOME`, or where the `java` of the path is from.
fn java_home() -> Option<PathBuf> {
    let named = std::env::var_os("JAVA_HOME").map(PathBuf::from);
    let home = named.or_else(|| {
        let output = Command::new("java").args(["-XshowSettings:properties", "-version"]).output().ok()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = said.lines().find_map(|line| line.trim().strip_prefix("java.home = "))?;
        Some(PathBuf::from(line))
    })?;
    [library(&home), home.join("bin/javac")].iter().all(|path| path.is_file()).then_some(home)
}

fn library(home: &Path) -> PathBuf {
    home.join("lib/server/libjvm.so")
}

/// Compiles the sources in `java/NAME` into `classes/NAME`.
fn compile(home: &Path, name: &str, class_path: &[PathBuf], classes: &Path) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jvm/java").join(name);
    let mut command = Command::new(home.join("bin/javac"));
    command.args(["-nowarn", "-Xlint:none", "-proc:none", "-encoding", "UTF-8", "-d"]);
    command.arg(classes.join(name)).arg("-cp").arg(std::env::join_paths(class_path).unwrap());
    command.args(java_files(&sources));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn java_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let below = folders.iter().flat_map(|folder| java_files(folder));
    files.into_iter().chain(below).collect()
}

fn launch(home: &Path, classes: &Path) -> JavaVM {
    let path = [classes.join("app"), classes.join("stubs"), android(), jna()];
    let path = std::env::join_paths(path).unwrap().into_string().unwrap();
    let arguments = InitArgsBuilder::new()
        .version(JNIVersion::V1_8)
        // Signals stay with the test; misuse of JNI ends the program instead of being guessed at.
        .option("-Xrs")
        .option("-Xcheck:jni")
        .option("-Xshare:auto")
        .option(format!("-Djava.class.path={path}"))
        .build()
        .unwrap();
    JavaVM::with_libjvm(arguments, || Ok(library(home))).unwrap()
}

/// Installs the key store, and what of the phone is played in Rust.
#[expect(unsafe_code, reason = "functions for Java")]
fn prepare(machine: &mut Machine) {
    machine
        .vm
        .attach_current_thread(|env| {
            let mut class =
                |name: &str| LoaderContext::default().load_class(env, JNIString::from(name), true);
            let key_store = class("dev.countersign.phone.VirtualKeyStore")?;
            let provider = class("dev.countersign.phone.KeyStoreProvider")?;
            let library = class("dev.countersign.internal.NativeLibrary")?;
            // SAFETY: both are static, and have the parameters and results that their descriptors name.
            unsafe {
                let attest = NativeMethod::from_raw_parts(
                    jni_str!("attest"),
                    jni_str!("([B[BI)[[B"),
                    attest as *mut core::ffi::c_void,
                );
                env.register_native_methods(&key_store, &[attest])?;
                let attach = NativeMethod::from_raw_parts(
                    jni_str!("attach"),
                    jni_str!("(Ljava/lang/Object;Ljava/lang/ClassLoader;)Ljava/lang/String;"),
                    countersign_ffi::android::Java_dev_countersign_internal_NativeLibrary_attach
                        as *mut core::ffi::c_void,
                );
                env.register_native_methods(&library, &[attach])?;
            }
            env.call_static_method(&provider, jni_str!("install"), jni::jni_sig!("()V"), &[])?;
            Ok::<_, jni::errors::Error>(())
        })
        .unwrap();
}

/// `VirtualKeyStore.attest`.
extern "system" fn attest<'local>(
    mut env: EnvUnowned<'local>,
    _class: JObject<'local>,
    secret: JByteArray<'local>,
    challenge: JByteArray<'local>,
    level: i32,
) -> JObjectArray<'local, JByteArray<'local>> {
    env.with_env(|env| {
        let (secret, challenge) = (env.convert_byte_array(&secret)?, env.convert_byte_array(&challenge)?);
        let chain = phone::attest(&secret, &challenge, level);
        let none = JByteArray::null();
        let array = env.new_object_type_array::<JByteArray<'_>>(chain.len(), &none)?;
        for (at, certificate) in chain.iter().enumerate() {
            let certificate = env.byte_array_from_slice(certificate)?;
            array.set_element(env, at, &certificate)?;
        }
        Ok::<_, jni::errors::Error>(array)
    })
    .resolve::<jni::errors::ThrowRuntimeExAndDefault>()
}
