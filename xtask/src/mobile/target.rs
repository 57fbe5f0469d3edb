//! The targets of phones, and where their standard library comes from.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Stop,
    mobile::packages::{RUST, RUST_SOURCE},
    workspace,
};

/// A target that is checked, linked or run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// 64-bit Android phones.
    AndroidArm64,
    /// 32-bit Android phones.
    AndroidArm,
    /// Android's emulator on a PC.
    AndroidX64,
    /// iPhones.
    Ios,
    /// The iPhone simulator of a Mac with an Apple processor.
    IosSimulator,
    /// The processor of phones under Linux, which can be emulated.
    LinuxArm64,
}

impl Target {
    /// What core and bindings are built for.
    pub(super) const PHONES: [Self; 5] =
        [Self::AndroidArm64, Self::AndroidArm, Self::AndroidX64, Self::Ios, Self::IosSimulator];

    /// Rust's name of it.
    pub(super) const fn triple(self) -> &'static str {
        match self {
            Self::AndroidArm64 => "aarch64-linux-android",
            Self::AndroidArm => "armv7-linux-androideabi",
            Self::AndroidX64 => "x86_64-linux-android",
            Self::Ios => "aarch64-apple-ios",
            Self::IosSimulator => "aarch64-apple-ios-sim",
            Self::LinuxArm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Android's name of its ABI, which is the name of a folder in an app.
    pub(super) const fn android_abi(self) -> Option<&'static str> {
        match self {
            Self::AndroidArm64 => Some("arm64-v8a"),
            Self::AndroidArm => Some("armeabi-v7a"),
            Self::AndroidX64 => Some("x86_64"),
            _ => None,
        }
    }

    /// What lld calls its processor and format.
    pub(super) const fn lld_emulation(self) -> &'static str {
        match self {
            Self::AndroidArm => "armelf_linux_eabi",
            Self::AndroidX64 => "elf_x86_64",
            _ => "aarch64linux",
        }
    }

    /// Whether it is one of Apple's.
    pub(super) const fn is_apple(self) -> bool {
        matches!(self, Self::Ios | Self::IosSimulator)
    }

    /// The target of this name, if it is one of ours.
    pub(super) fn named(triple: &str) -> Option<Self> {
        Self::PHONES.into_iter().chain([Self::LinuxArm64]).find(|target| target.triple() == triple)
    }

    /// `cargo ARGUMENTS --target …` in a target folder of its own, with the standard library that there is.
    ///
    /// # Errors
    /// When there is none for this target.
    pub(super) fn cargo(self, toolchain: &Toolchain, arguments: &[&str]) -> Result<Command, Stop> {
        let mut command = workspace::cargo(arguments.iter().copied());
        command.args(["--locked", "--quiet", "--target", self.triple(), "--target-dir"]);
        command.arg(folder()).env("CARGO_INCREMENTAL", "0");
        match toolchain.standard_library(self)? {
            StandardLibrary::Installed => {}
            StandardLibrary::Source(sources) => {
                // Cargo's own way to build the standard library, which a stable toolchain keeps closed. What it opens
                // it opens for every crate of this build; what is released is built with an installed library.
                command.arg("-Zbuild-std=std,panic_unwind");
                command.env("RUSTC_BOOTSTRAP", "1").env("__CARGO_TESTS_ONLY_SRC_ROOT", sources);
            }
        }
        Ok(command)
    }
}

/// The folder of everything that is built here; the standard library of a target is built in it once.
pub(super) fn folder() -> PathBuf {
    workspace::root().join("target").join("mobile")
}

/// The toolchain that builds.
pub(super) struct Toolchain {
    /// `1.95.0`
    release: String,
    /// `x86_64-unknown-linux-gnu`
    host: String,
    sysroot: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
enum StandardLibrary {
    /// `rustup target add` brought it.
    Installed,
    /// It is built from the sources in this folder.
    Source(PathBuf),
}

impl Toolchain {
    /// Asks rustc.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(super) fn of_this_workspace() -> Result<Self, Stop> {
        let rustc = |argument: &[&str]| {
            let mut command = Command::new("rustc");
            command.args(argument).current_dir(workspace::root());
            workspace::output(command)
        };
        let said = rustc(&["--version", "--verbose"])?;
        let line = |name: &str| {
            let value = said.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            value.ok_or_else(|| Stop::Failed(format!("rustc says nothing about {name:?}")))
        };
        Ok(Self {
            release: line("release: ")?,
            host: line("host: ")?,
            sysroot: PathBuf::from(rustc(&["--print", "sysroot"])?.trim()),
        })
    }

    /// Whether this target's standard library came with the toolchain.
    pub(super) fn has(&self, target: Target) -> bool {
        self.sysroot.join("lib/rustlib").join(target.triple()).join("lib").is_dir()
    }

    /// Why the standard library cannot be built here, if that is so.
    pub(super) fn sources_missing(&self) -> Option<String> {
        if self.own_sources().is_dir() || (self.release == RUST && RUST_SOURCE.is_here()) {
            return None;
        }
        Some(if self.release == RUST {
            RUST_SOURCE.what.to_owned()
        } else {
            format!("{} for Rust {} (those of {RUST} are pinned)", RUST_SOURCE.what, self.release)
        })
    }

    /// Whether what is downloaded fits this toolchain and this machine.
    ///
    /// # Errors
    /// When it does not; the sentence says what does.
    pub(super) fn fits(&self) -> Result<(), Stop> {
        if self.host != HOST {
            return Err(Stop::Failed(format!(
                "mobile: what is pinned runs on {HOST}, and this is {}; \
                 `rustup target add` and `cargo check --target` do a part of it here",
                self.host
            )));
        }
        if self.release != RUST {
            return Err(Stop::Failed(format!(
                "mobile: the pinned sources are of Rust {RUST}, and this is {}; rust-toolchain.toml says which is used",
                self.release
            )));
        }
        Ok(())
    }

    /// A program that came with the toolchain.
    pub(super) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.program_path(name));
        // It is linked to the compiler's own copy of LLVM.
        command.env("LD_LIBRARY_PATH", self.sysroot.join("lib"));
        command
    }

    /// Where such a program lies.
    pub(super) fn program_path(&self, name: &str) -> PathBuf {
        self.sysroot.join("lib/rustlib").join(&self.host).join("bin").join(name)
    }

    fn standard_library(&self, target: Target) -> Result<StandardLibrary, Stop> {
        if self.has(target) {
            return Ok(StandardLibrary::Installed);
        }
        let pinned = RUST_SOURCE.path().join(format!("usr/src/rustc-{RUST}/library"));
        match self.sources_missing() {
            None if self.own_sources().is_dir() => Ok(StandardLibrary::Source(self.own_sources())),
            None => Ok(StandardLibrary::Source(pinned)),
            Some(missing) => {
                Err(Stop::Failed(format!("{missing} missing; `cargo xtask setup mobile` fetches it")))
            }
        }
    }

    /// Where `rustup component add rust-src` puts them.
    fn own_sources(&self) -> PathBuf {
        self.sysroot.join(Path::new("lib/rustlib/src/rust/library"))
    }
}

/// The machine that the pinned programs run on.
const HOST: &str = "x86_64-unknown-linux-gnu";

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(release: &str, sysroot: &Path) -> Toolchain {
        Toolchain { release: release.to_owned(), host: HOST.to_owned(), sysroot: sysroot.to_owned() }
    }

    #[test]
    fn every_target_is_found_by_its_name_and_no_other() {
        for target in Target::PHONES {
            assert_eq!(Target::named(target.triple()), Some(target));
        }
        assert_eq!(Target::named("riscv64-linux-android"), None);
    }

    #[test]
    fn an_installed_library_is_preferred_and_the_toolchains_own_sources_come_next() {
        let folder = tempfile::tempdir().unwrap();
        let toolchain = toolchain(RUST, folder.path());
        let sources = folder.path().join("lib/rustlib/src/rust/library");
        std::fs::create_dir_all(&sources).unwrap();
        assert_eq!(toolchain.standard_library(Target::Ios), Ok(StandardLibrary::Source(sources)));
        std::fs::create_dir_all(folder.path().join("lib/rustlib/aarch64-apple-ios/lib")).unwrap();
        assert_eq!(toolchain.standard_library(Target::Ios), Ok(StandardLibrary::Installed));
    }

    #[test]
    fn sources_of_another_release_are_never_used() {
        let folder = tempfile::tempdir().unwrap();
        let toolchain = toolchain("1.96.0", folder.path());
        assert!(toolchain.standard_library(Target::Ios).is_err());
        assert!(toolchain.fits().is_err());
    }

    #[test]
    fn another_machine_is_told_why() {
        let mut toolchain = toolchain(RUST, Path::new("/nowhere"));
        assert_eq!(toolchain.fits(), Ok(()));
        toolchain.host = "aarch64-apple-darwin".to_owned();
        assert!(matches!(toolchain.fits(), Err(Stop::Failed(why)) if why.contains("aarch64-apple-darwin")));
    }
}
