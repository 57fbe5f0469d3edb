//! Maven, with its packages in `.cache/jvm`: fetched once, at the versions of `pom.xml`; everything else is done offline.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::{Stop, tally::Count, workspace};

/// Fetches single packages; nothing of it is part of the build.
const DEPENDENCY_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1";

/// A project so small that it builds in seconds, with everything that ours has: Kotlin, Java that calls it, a test.
const SMALL: [(&str, &str); 3] = [
    ("src/main/kotlin/One.kt", "package small\n\nclass One { fun one() = 1 }\n"),
    (
        "src/test/java/Two.java",
        "package small;\n\nclass Two {\n    static int one() { return new One().one(); }\n}\n",
    ),
    (
        "src/test/kotlin/OneTest.kt",
        "package small\n\nimport org.junit.jupiter.api.Test\n\nclass OneTest {\n    @Test\n    fun one() = check(Two.one() == 1)\n}\n",
    ),
];

/// Whether what was fetched is what `pom.xml` names today.
pub(super) fn packages_are_current() -> bool {
    let [fetched, wanted] = [folder().join("pom.xml"), super::project().join("pom.xml")]
        .map(|file| fs::read_to_string(file).ok().map(|pom| packages(&pom)));
    fetched.is_some() && fetched == wanted && repository().is_dir()
}

/// The lines that name packages and versions: what else stands in `pom.xml` takes nothing more to be fetched.
fn packages(pom: &str) -> String {
    let lines = pom.lines().filter(|line| line.contains("artifactId>") || line.contains("ersion>"));
    lines.map(str::trim).collect::<Vec<_>>().join("\n")
}

/// Fetches every package. Maven's own way to go offline overlooks what plugins fetch while they run, so a small project
/// with the same `pom.xml` is built and tested instead.
///
/// # Errors
/// When a package cannot be had.
pub(super) fn fetch_packages() -> Result<(), Stop> {
    let small = folder().join("small");
    let failed = |error| Stop::Failed(format!("jvm: {}: {error}", small.display()));
    if small.exists() {
        fs::remove_dir_all(&small).map_err(failed)?;
    }
    for (name, text) in SMALL {
        let file = small.join(name);
        fs::create_dir_all(file.parent().unwrap_or(&small)).map_err(failed)?;
        fs::write(file, text).map_err(failed)?;
    }
    let pom = super::project().join("pom.xml");
    fs::copy(&pom, small.join("pom.xml")).map_err(failed)?;
    let mut build = maven(&["--quiet", "package", "-Dcountersign.generated=generated"]);
    build.arg(format!("-Dcountersign.root={}", small.display())).current_dir(&small);
    let text = fs::read_to_string(&pom).map_err(failed)?;
    let mut jna = get(&format!("net.java.dev.jna:jna:{}:aar", version(&text, "jna")?));
    jna.current_dir(&small);
    for command in [build, jna] {
        println!("jvm: $ {}", workspace::shown(&command));
        workspace::succeed(command)?;
    }
    fs::remove_dir_all(&small).map_err(failed)?;
    fs::copy(pom, folder().join("pom.xml")).map_err(failed)?;
    println!("jvm: Maven's packages are in {}", repository().display());
    Ok(())
}

/// `mvn GOALS` of our project, offline, with the library of the profile whose folder is `profile`.
pub(super) fn command(goals: &[&str], profile: &str) -> Command {
    let mut command = maven(&["--offline"]);
    let target = workspace::target();
    command
        .args(goals)
        .arg(format!("-Dcountersign.generated={}", super::generated().display()))
        .arg(format!("-Dcountersign.library={}", target.join(profile).display()))
        .arg(format!("-Dcountersign.program={}", target.join("debug/countersign").display()))
        .current_dir(super::project());
    command
}

/// The JNA archive for Android.
///
/// # Errors
/// When `pom.xml` does not say which.
pub(super) fn jna_archive() -> Result<PathBuf, Stop> {
    let pom = super::project().join("pom.xml");
    let text =
        fs::read_to_string(&pom).map_err(|error| Stop::Failed(format!("{}: {error}", pom.display())))?;
    let version = version(&text, "jna")?;
    Ok(repository().join(format!("net/java/dev/jna/jna/{version}/jna-{version}.aar")))
}

/// The counts of surefire's last line, `Tests run: 76, Failures: 8, Errors: 3, Skipped: 0`; nothing for the lines of
/// single classes, which go on.
pub(super) fn summary(line: &str) -> Option<Count> {
    let (_, counts) = line.split_once("Tests run: ")?;
    let mut parts = counts.split(", ");
    let run: usize = parts.next()?.parse().ok()?;
    let mut number = |name: &str| parts.next()?.strip_prefix(name)?.parse::<usize>().ok();
    let (failures, errors, skipped) = (number("Failures: ")?, number("Errors: ")?, number("Skipped: ")?);
    let failed = failures + errors;
    let passed = run.checked_sub(failed + skipped)?;
    parts.next().is_none().then_some(Count { passed, failed, ignored: skipped, ..Count::default() })
}

/// The value of `<NAME.version>`.
fn version<'a>(pom: &'a str, name: &str) -> Result<&'a str, Stop> {
    let of = || pom.split_once(&format!("<{name}.version>"))?.1.split_once('<').map(|(version, _)| version);
    of().ok_or_else(|| Stop::Failed(format!("bindings/kotlin/pom.xml names no version of {name}")))
}

/// Fetches one package, without what it depends on.
pub(super) fn get(artifact: &str) -> Command {
    let mut command = maven(&["--quiet", "-Dtransitive=false"]);
    command.arg(format!("{DEPENDENCY_PLUGIN}:get")).arg(format!("-Dartifact={artifact}"));
    command
}

fn maven(arguments: &[&str]) -> Command {
    let mut command = Command::new("mvn");
    command
        .args(["--batch-mode", "--no-transfer-progress"])
        .arg(format!("-Dmaven.repo.local={}", repository().display()))
        // A compiler that stays would outlive the command.
        .arg("-Dkotlin.compiler.daemon=false")
        .args(arguments);
    command
}

/// Where the packages are.
pub(super) fn repository() -> PathBuf {
    folder().join("repository")
}

fn folder() -> PathBuf {
    workspace::root().join(".cache").join("jvm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_surefire_is_counted() {
        let counted = summary("[ERROR] Tests run: 76, Failures: 8, Errors: 3, Skipped: 1").unwrap();
        assert_eq!((counted.passed, counted.failed, counted.ignored), (64, 11, 1));
        let counted = summary("[WARNING] Tests run: 5, Failures: 0, Errors: 0, Skipped: 0").unwrap();
        assert_eq!((counted.passed, counted.failed, counted.ignored), (5, 0, 0));
    }

    #[test]
    fn lines_of_single_classes_and_what_looks_alike_are_not_counted() {
        for line in [
            "[INFO] Tests run: 4, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.477 s -- in dev.countersign.A",
            "Tests run: 4",
            "Tests run: 4, Failures: 0, Errors: 0, Skipped: many",
            "Tests run: 1, Failures: 1, Errors: 1, Skipped: 0",
            "",
        ] {
            assert_eq!(summary(line), None, "{line}");
        }
    }

    #[test]
    fn a_new_version_is_fetched_and_a_new_folder_is_not() {
        let pom = "<artifactId>jna</artifactId>\n<jna.version>5.1</jna.version>\n<sourceDir>a</sourceDir>";
        assert_eq!(packages(pom), packages(&pom.replace(">a<", ">b<")));
        assert_ne!(packages(pom), packages(&pom.replace("5.1", "5.2")));
    }

    #[test]
    fn versions_are_read_from_the_project() {
        let pom = fs::read_to_string(super::super::project().join("pom.xml")).unwrap();
        assert!(version(&pom, "jna").unwrap().starts_with("5."));
        assert!(version(&pom, "nothing").is_err());
    }
}
