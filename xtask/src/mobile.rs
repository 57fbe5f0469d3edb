//! `cargo xtask mobile`: core and bindings for the targets of phones, and the core's tests on ARM64.
//!
//! Checks, not releases: without Android's NDK and Apple's SDK nothing here can be shipped. What can be shipped is made
//! by `bindings/mobile/release-android` and `release-ios`.

use std::time::Instant;

use crate::{Stop, tally::Count, workspace};

mod build;
mod library;
mod packages;
mod sizes;
mod target;

use target::{Target, Toolchain};

/// Whether tests of this group have been written.
pub(crate) fn exists() -> bool {
    workspace::root().join("bindings/mobile/README.md").is_file()
}

/// What is missing, in words.
pub(crate) fn missing() -> Vec<String> {
    let toolchain = match Toolchain::of_this_workspace() {
        Ok(toolchain) => toolchain,
        Err(Stop::Failed(why) | Stop::Usage(why)) => return vec![why],
    };
    if let Err(Stop::Failed(why) | Stop::Usage(why)) = toolchain.fits() {
        return vec![why];
    }
    let mut missing = Vec::new();
    if Task::all().iter().any(|task| !toolchain.has(task.target)) {
        missing.extend(toolchain.sources_missing());
    }
    if !packages::ARM64.is_here() {
        missing.push(packages::ARM64.what.to_owned());
    }
    missing
}

/// Installs what is missing: into `.cache/mobile`, and nothing anywhere else.
///
/// # Errors
/// When something could not be installed; the sentence says what to type instead.
pub(crate) fn set_up() -> Result<(), Stop> {
    if missing().is_empty() {
        println!("mobile: everything is already here; nothing to install");
        return Ok(());
    }
    let toolchain = Toolchain::of_this_workspace()?;
    toolchain.fits()?;
    let without: Vec<_> =
        Target::PHONES.into_iter().filter(|target| !toolchain.has(*target)).map(Target::triple).collect();
    if !without.is_empty() {
        packages::RUST_SOURCE.install()?;
        println!(
            "mobile: the standard library is built from these sources, once per target. Where rustup may download,\n\
             mobile:   rustup target add {}\n\
             mobile: saves that time",
            without.join(" ")
        );
    }
    packages::ARM64.install()
}

/// What is done for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Core and bindings are type-checked, and no lint may speak.
    Types,
    /// The library of an Android app is linked, against stubs of the system, and held against the rules.
    Android,
    /// The library of an iPhone app is built and held against the rules.
    Ios,
    /// The core's tests run, in an emulator.
    Arm64,
}

impl Step {
    const ALL: [(&str, Self); 4] =
        [("types", Self::Types), ("android", Self::Android), ("ios", Self::Ios), ("arm64", Self::Arm64)];

    fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, step)| *step == self).map_or("", |(name, _)| name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Task {
    step: Step,
    target: Target,
    /// Done when nothing is named; the others are there to be named.
    is_usual: bool,
}

impl Task {
    /// Every task there is, quick ones first.
    fn all() -> Vec<Self> {
        let usual = |step, target| Self { step, target, is_usual: true };
        let named = |step, target| Self { step, target, is_usual: false };
        let mut tasks: Vec<_> = Target::PHONES.map(|target| usual(Step::Types, target)).into();
        tasks.extend([
            usual(Step::Android, Target::AndroidArm64),
            named(Step::Android, Target::AndroidArm),
            named(Step::Android, Target::AndroidX64),
            usual(Step::Ios, Target::Ios),
            named(Step::Ios, Target::IosSimulator),
            usual(Step::Arm64, Target::LinuxArm64),
        ]);
        tasks
    }

    fn run(self, toolchain: &Toolchain) -> Result<String, Stop> {
        match self.step {
            Step::Types => build::check_types(toolchain, self.target),
            Step::Android => build::android_library(toolchain, self.target).map(|built| built.said),
            Step::Ios => build::ios_library(toolchain, self.target).map(|built| built.said),
            Step::Arm64 => build::test_in_emulator(toolchain),
        }
    }
}

/// `cargo xtask mobile`.
///
/// # Errors
/// When a check failed.
pub(crate) fn run(arguments: &[String]) -> Result<(), Stop> {
    let wanted = Wanted::read(arguments)?;
    let missing = missing();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(Stop::Failed(format!(
            "mobile: without {missing}; `cargo xtask setup mobile` fetches it"
        )));
    }
    if wanted.sizes {
        return sizes::print(&Toolchain::of_this_workspace()?);
    }
    match carry_out(&wanted.tasks)? {
        Count { failed: 0, .. } => Ok(()),
        Count { failed, .. } => Err(Stop::Failed(format!("mobile: {failed} failed"))),
    }
}

/// The tests of this group as part of `cargo xtask test`: each target of a step is one.
pub(crate) fn test() -> Count {
    println!("\n$ cargo xtask mobile");
    let usual: Vec<_> = Task::all().into_iter().filter(|task| task.is_usual).collect();
    carry_out(&usual).unwrap_or_else(|_| Count { failed: usual.len(), ..Count::default() })
}

fn carry_out(tasks: &[Task]) -> Result<Count, Stop> {
    let toolchain = Toolchain::of_this_workspace()?;
    let mut count = Count::default();
    for task in tasks {
        let started = Instant::now();
        let outcome = task.run(&toolchain);
        let (word, said) = match outcome {
            Ok(said) => {
                count.passed += 1;
                ("ok", said)
            }
            Err(Stop::Failed(why) | Stop::Usage(why)) => {
                count.failed += 1;
                ("FAILED", why)
            }
        };
        let seconds = started.elapsed().as_secs_f32();
        println!("{word:<6} {seconds:>6.1} s  {:<8} {:<26} {said}", task.step.name(), task.target.triple());
    }
    println!("mobile: {} passed, {} failed", count.passed, count.failed);
    Ok(count)
}

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    tasks: Vec<Task>,
    sizes: bool,
}

impl Wanted {
    fn read(arguments: &[String]) -> Result<Self, Stop> {
        let (mut steps, mut targets, mut sizes) = (Vec::new(), Vec::new(), false);
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--sizes" => sizes = true,
                "--only" => {
                    let name = arguments.next().map(String::as_str).unwrap_or_default();
                    let known = Step::ALL.into_iter().find(|(known, _)| *known == name);
                    let names = Step::ALL.map(|(name, _)| name).join(", ");
                    let unknown = || Stop::Usage(format!("--only needs a step: {names}"));
                    steps.push(known.ok_or_else(unknown)?.1);
                }
                "--target" => {
                    let name = arguments.next().map(String::as_str).unwrap_or_default();
                    let unknown = || Stop::Usage(format!("--target needs one of ours, not {name:?}"));
                    targets.push(Target::named(name).ok_or_else(unknown)?);
                }
                other => return Err(Stop::Usage(format!("`mobile` does not know `{other}`"))),
            }
        }
        // What is not usual is done where its target is named.
        let tasks: Vec<_> = Task::all()
            .into_iter()
            .filter(|task| steps.is_empty() || steps.contains(&task.step))
            .filter(|task| if targets.is_empty() { task.is_usual } else { targets.contains(&task.target) })
            .collect();
        if tasks.is_empty() {
            return Err(Stop::Usage("no such step exists for that target".to_owned()));
        }
        Ok(Self { tasks, sizes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(line: &str) -> Result<Vec<(&'static str, &'static str)>, Stop> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let tasks = Wanted::read(&words)?.tasks;
        Ok(tasks.into_iter().map(|task| (task.step.name(), task.target.triple())).collect())
    }

    #[test]
    fn without_a_name_every_target_is_checked_and_each_system_linked_once() {
        let tasks = wanted("").unwrap();
        assert!(Target::PHONES.into_iter().all(|target| tasks.contains(&("types", target.triple()))));
        for step in ["android", "ios", "arm64"] {
            assert_eq!(tasks.iter().filter(|(name, _)| *name == step).count(), 1, "{step}");
        }
    }

    #[test]
    fn a_step_and_a_target_can_be_named() {
        assert_eq!(wanted("--only android").unwrap(), [("android", "aarch64-linux-android")]);
        let simulator = "aarch64-apple-ios-sim";
        assert_eq!(
            wanted(&format!("--target {simulator}")).unwrap(),
            [("types", simulator), ("ios", simulator)]
        );
    }

    #[test]
    fn a_command_line_that_makes_no_sense_is_a_usage_error() {
        for line in
            ["--only", "--only link", "--target wasm", "types", "--only ios --target x86_64-linux-android"]
        {
            assert!(matches!(wanted(line), Err(Stop::Usage(_))), "{line}");
        }
    }
}
