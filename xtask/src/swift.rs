//! `cargo xtask swift`: the Swift face on Linux, in a folder of its own, against the real library and a real service.

mod folder;
mod results;
mod scene;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Stop, lines, setup, tally::Count, workspace};
use folder::Folder;
use results::Results;
use scene::Scene;

/// Where the folder's world finds the workspace.
const INSIDE: &str = "/countersign";

/// What a test that runs away may take: kilobytes of memory for each process, and seconds for all.
const BOUNDS: &str = "ulimit -v 8000000 && exec timeout --kill-after=10 1200";

/// The name of the library as programs look for it.
const LIBRARY: &str = "libcountersign_ffi.so";

/// Whether tests of this group have been written.
pub(crate) fn exists() -> bool {
    package().join("Package.swift").is_file()
}

/// What is missing, in words.
pub(crate) fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !folder::is_root() {
        missing.push("root, which the folder of its own needs".to_owned());
    }
    if !Folder::default().is_complete() {
        missing.push("Swift in .cache/swift".to_owned());
    }
    if workspace::program("nginx").is_none() {
        missing.push("nginx".to_owned());
    }
    missing
}

/// Installs what is missing.
///
/// # Errors
/// When something could not be installed; the sentence says what to type instead.
pub(crate) fn set_up() -> Result<(), Stop> {
    if workspace::program("nginx").is_none() {
        setup::debian_packages("swift", &["nginx"])?;
    }
    Folder::default().set_up()
}

/// `cargo xtask swift [ARGS]...`; the arguments go to `swift test`. `cargo xtask swift measure` prints what a proof costs.
///
/// # Errors
/// When a check failed.
pub(crate) fn run(arguments: &[String]) -> Result<(), Stop> {
    if let [first, ..] = missing().as_slice() {
        return Err(Stop::Failed(format!(
            "without {first}; `cargo xtask setup swift` installs it, or says how"
        )));
    }
    if arguments == ["measure"] {
        return measure();
    }
    tests(arguments)?.tell("swift")
}

/// `cargo xtask scene -- COMMAND [ARGS]...`: runs a command beside a service and nginx, which end with it.
///
/// # Errors
/// When the scene cannot be built, or the command ends with another status than 0.
pub(crate) fn scene(arguments: &[String]) -> Result<(), Stop> {
    let [dashes, program, arguments @ ..] = arguments else {
        return Err(Stop::Usage("`scene` needs a command behind `--`".to_owned()));
    };
    if dashes != "--" {
        return Err(Stop::Usage("`scene` needs its command behind `--`".to_owned()));
    }
    build(&["-p", "countersign-service"])?;
    let scene = Scene::start()?;
    let mut command = Command::new(program);
    command.args(arguments).envs(scene.environment());
    workspace::succeed(command)
}

/// The tests of this group as part of `cargo xtask test`.
pub(crate) fn test() -> Count {
    println!("\n$ cargo xtask swift");
    Count::of("swift", tests(&[]))
}

/// Builds the library, generates its Swift face, and runs the tests in front of a service and nginx; then once more with a
/// library of another version.
fn tests(arguments: &[String]) -> Result<Count, Stop> {
    build(&[])?;
    let folder = Folder::default();
    generate(&programs())?;
    let scene = Scene::start()?;
    let environment = scene.environment();
    let results = swift_test(&folder, "lib", &environment, arguments)?;
    drop(scene);
    let mut count = results.count();
    if arguments.is_empty() && results.ended() {
        make_another_version(&folder)?;
        let skipping = ["--skip-build", "--filter", "AnotherVersion"].map(str::to_owned);
        let other = [("COUNTERSIGN_TEST_ANOTHER_VERSION".to_owned(), "1".to_owned())];
        let results = swift_test(&folder, "another-version", &other, &skipping)?;
        count = count.and(results.count());
    }
    Ok(count)
}

/// The library, its generator and the service; or what `instead` names.
fn build(instead: &[&str]) -> Result<(), Stop> {
    const EVERYTHING: [&str; 6] =
        ["-p", "countersign-ffi", "-p", "countersign-uniffi-bindgen", "-p", "countersign-service"];
    let packages = if instead.is_empty() { &EVERYTHING[..] } else { instead };
    let command = workspace::cargo(["build", "--locked"].into_iter().chain(packages.iter().copied()));
    println!("swift: $ {}", workspace::shown(&command));
    workspace::succeed(command)
}

/// What a proof costs through the face, with the library and the face as apps ship them.
fn measure() -> Result<(), Stop> {
    build(&[])?;
    build(&["--profile", "mobile", "-p", "countersign-ffi"])?;
    let folder = Folder::default();
    generate(&workspace::target().join("mobile"))?;
    let scene = Scene::start()?;
    let installation = work().join("scene").join("installation");
    let work = inside(&work());
    let program = |arguments: &str| {
        let script = format!(
            "{BOUNDS} swift run -q -c release --disable-sandbox --scratch-path {work}/measure -Xlinker -L{work}/lib \
             -Xlinker -rpath={work}/lib Measure {arguments}"
        );
        let mut command = folder.command(&script, &inside(&package().join("measure")));
        command.envs(scene.environment()).env("LD_LIBRARY_PATH", format!("{work}/lib"));
        command.env("COUNTERSIGN_TEST_FOLDER", inside(&installation));
        command
    };
    let registration = workspace::output(program("--key"))?;
    scene.administrate(registration.lines().last().unwrap_or_default())?;
    workspace::succeed(program(""))
}

/// Generates the Swift code from the library that was just built, and puts that library beside it.
fn generate(libraries_of: &Path) -> Result<(), Stop> {
    let work = work();
    // Libraries for apps are stripped of what the generator reads; the functions are the same.
    let built = programs().join(LIBRARY);
    let generated = work.join("generated");
    let libraries = work.join("lib");
    for folder in [&generated, &libraries] {
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    }
    let mut generator = Command::new(programs().join("countersign-uniffi-bindgen"));
    // The generator looks for a configuration of the crate where it is called.
    generator.current_dir(workspace::root().join("bindings"));
    generator.args(["generate", "--no-format", "--metadata-no-deps", "--language", "swift", "--library"]);
    generator.arg(&built).arg("--out-dir").arg(&generated);
    workspace::output(generator)?;
    let face = generated.join("countersign.swift");
    let mut text = fs::read_to_string(&face).map_err(|error| failed(&face, &error))?;
    // The generated code ends the process where library and code are of different versions; this asks first.
    let check = package().join("version-check.swift");
    text += &fs::read_to_string(&check).map_err(|error| failed(&check, &error))?;
    let sources = package().join("Sources");
    replace(&sources.join("CountersignBindings/Generated/countersign.swift"), text.as_bytes())?;
    let header = generated.join("countersignFFI.h");
    let header = fs::read(&header).map_err(|error| failed(&header, &error))?;
    replace(&sources.join("CountersignFFI/include/countersignFFI.h"), &header)?;
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(libraries.join(LIBRARY)).arg(libraries_of.join(LIBRARY));
    workspace::succeed(strip)
}

/// Writes only what has changed, so that nothing is compiled anew for nothing.
fn replace(path: &Path, content: &[u8]) -> Result<(), Stop> {
    if fs::read(path).is_ok_and(|before| before == content) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    fs::write(path, content).map_err(|error| failed(path, &error))
}

/// A library that has the same functions, each of which answers 7: of another version, as its checksums tell.
fn make_another_version(folder: &Folder) -> Result<(), Stop> {
    let work = work();
    let mut names = Command::new("nm");
    names.args(["--dynamic", "--defined-only", "--format=just-symbols"]).arg(work.join("lib").join(LIBRARY));
    let functions: String = workspace::output(names)?
        .lines()
        .filter(|name| name.starts_with("ffi_") || name.starts_with("uniffi_"))
        .map(|name| format!("long {name}(void) {{ return 7; }}\n"))
        .collect();
    let other = work.join("another-version");
    replace(&other.join("library.c"), functions.as_bytes())?;
    let inside = inside(&other);
    workspace::succeed(folder.command(&format!("exec gcc -shared -fPIC -o {LIBRARY} library.c"), &inside))
}

/// Runs `swift test` with the library in the folder `library` of our work.
fn swift_test(
    folder: &Folder,
    library: &str,
    environment: &[(String, String)],
    arguments: &[String],
) -> Result<Results, Stop> {
    let work = inside(&work());
    let mut words = format!(
        "{BOUNDS} swift test --disable-sandbox --scratch-path {work}/build -Xlinker -L{work}/lib \
         -Xlinker -rpath={work}/lib -Xswiftc -warnings-as-errors"
    );
    for argument in arguments {
        words.push_str(&format!(" '{}'", argument.replace('\'', "")));
    }
    if arguments.is_empty() {
        words.push_str(" --skip AnotherVersion");
    }
    println!("swift: $ {words}");
    let mut command = folder.command(&words, &inside(&package()));
    command.env("LD_LIBRARY_PATH", format!("{work}/{library}"));
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let mut results = Results::default();
    let status = lines::stream(command, |line| results.line(line))
        .map_err(|error| Stop::Failed(format!("swift: cannot run `swift test`: {error}")))?;
    results.end(status.success());
    Ok(results)
}

fn package() -> PathBuf {
    workspace::root().join("bindings").join("swift")
}

/// Where libraries, generated code and what Swift builds lie: within the workspace, which is all that the folder's world
/// sees.
fn work() -> PathBuf {
    workspace::root().join(".cache").join("swift-work")
}

/// Where cargo puts programs.
fn programs() -> PathBuf {
    workspace::target().join("debug")
}

/// A path of the workspace as the folder's world sees it.
fn inside(path: &Path) -> String {
    let path = path.strip_prefix(workspace::root()).unwrap_or(path);
    format!("{INSIDE}/{}", path.display())
}

fn failed(path: &Path, error: &io::Error) -> Stop {
    Stop::Failed(format!("swift: {}: {error}", path.display()))
}
