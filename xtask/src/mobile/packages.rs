//! What is downloaded: Debian's packages of fixed versions, unpacked into `.cache/mobile` and installed nowhere. No root needed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Stop, workspace};

const ARCHIVE: &str = "http://deb.debian.org/debian/pool/main";

/// The release of Rust whose sources are pinned here.
pub(super) const RUST: &str = "1.95.0";

/// Packages that are unpacked into one folder.
pub(super) struct Bundle {
    /// The folder in `.cache/mobile`.
    folder: &'static str,
    /// What it is, in words.
    pub(super) what: &'static str,
    packages: &'static [Package],
}

struct Package {
    /// Behind [`ARCHIVE`].
    path: &'static str,
    sha256: &'static str,
    /// The only file or folder that is taken out of it; everything if empty.
    only: &'static str,
}

/// The sources of Rust's standard library, for targets that the toolchain came without.
pub(super) const RUST_SOURCE: Bundle = Bundle {
    folder: "rust-src",
    what: "the sources of Rust's standard library",
    packages: &[Package {
        path: "r/rustc/rust-src_1.95.0+dfsg1-2~bpo13+1_all.deb",
        sha256: "7b76db5b880a77f9e52975d2baa6209d2f76d2c9c2789515c3088cb960e2c83b",
        only: "./usr/src/rustc-1.95.0/library",
    }],
};

/// C's library and start files for ARM64, and qemu, which runs programs of that processor.
pub(super) const ARM64: Bundle = Bundle {
    folder: "arm64",
    what: "an emulator of ARM64",
    packages: &[
        Package {
            path: "q/qemu/qemu-user-static_7.2+dfsg-7+deb12u18+b3_amd64.deb",
            sha256: "c3e3ba2bd87f8c5b9a5da5ef21b5a3b82d7c63b89dd448d9ddaa4eabc5b6e402",
            only: "./usr/bin/qemu-aarch64-static",
        },
        Package {
            path: "c/cross-toolchain-base/libc6-arm64-cross_2.36-8cross1_all.deb",
            sha256: "91936cbbee75771c360ed16513f6e734a25ca5517fe7c3e13dfd7835d7553186",
            only: "",
        },
        Package {
            path: "c/cross-toolchain-base/libc6-dev-arm64-cross_2.36-8cross1_all.deb",
            sha256: "5e4cf6abf0e89e89c4b3006bb8b7dc47aa831df25d94df9134929b8b968cacb4",
            only: "",
        },
        Package {
            path: "g/gcc-12-cross/libgcc-s1-arm64-cross_12.2.0-14cross1_all.deb",
            sha256: "af1e686fc6a416228222e7bfb68317dd2fa2685236301ae29141fc6108a66cac",
            only: "",
        },
        Package {
            path: "g/gcc-12-cross/libgcc-12-dev-arm64-cross_12.2.0-14cross1_all.deb",
            sha256: "ff1324e262bae2c3aad685c2ed52bd531ab0a2a337a0fe35c3b720947d55b2ba",
            only: "",
        },
    ],
};

impl Bundle {
    /// Where it is unpacked.
    pub(super) fn path(&self) -> PathBuf {
        cache().join(self.folder)
    }

    /// Whether exactly these packages are unpacked there.
    pub(super) fn is_here(&self) -> bool {
        fs::read_to_string(self.path().join(CONTENTS)).is_ok_and(|contents| contents == self.contents())
    }

    /// Downloads and unpacks what is not there yet.
    ///
    /// # Errors
    /// When a package cannot be had, or is not the one that is pinned.
    pub(super) fn install(&self) -> Result<(), Stop> {
        if self.is_here() {
            return Ok(());
        }
        if let Some(program) = PROGRAMS.into_iter().find(|name| workspace::program(name).is_none()) {
            return Err(Stop::Failed(format!(
                "mobile: without {program} no package of Debian can be unpacked"
            )));
        }
        let (done, unfinished) = (self.path(), cache().join(format!("{}.unfinished", self.folder)));
        let failed = |error: io::Error| Stop::Failed(format!("mobile: {}: {error}", unfinished.display()));
        for folder in [&done, &unfinished] {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        fs::create_dir_all(&unfinished).map_err(failed)?;
        for package in self.packages {
            println!("mobile: fetching {}", package.name());
            let file = package.download(&cache())?;
            package.unpack(&file, &unfinished)?;
            fs::remove_file(&file).map_err(failed)?;
        }
        fs::write(unfinished.join(CONTENTS), self.contents()).map_err(failed)?;
        // Only what is complete has its final name.
        fs::rename(&unfinished, &done).map_err(failed)?;
        println!("mobile: {} is in {}", self.what, done.display());
        Ok(())
    }

    fn contents(&self) -> String {
        self.packages.iter().map(|package| format!("{} {}\n", package.sha256, package.name())).collect()
    }
}

/// Lists the packages in the folder they were unpacked into.
const CONTENTS: &str = "packages.txt";
/// Programs of every Debian.
const PROGRAMS: [&str; 3] = ["dpkg-deb", "tar", "sha256sum"];
/// Apt's own download program: honours the system's proxies, and is there where no other is.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";

fn cache() -> PathBuf {
    workspace::root().join(".cache").join("mobile")
}

impl Package {
    fn name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    fn download(&self, folder: &Path) -> Result<PathBuf, Stop> {
        let (address, file) = (format!("{ARCHIVE}/{}", self.path), folder.join(self.name()));
        let mut command = if Path::new(APT_HELPER).is_file() {
            let mut command = Command::new(APT_HELPER);
            command.args(["-qq", "download-file", &address]).arg(&file);
            command
        } else {
            let mut command = Command::new("curl");
            command.args(["--silent", "--show-error", "--fail", "--output"]).arg(&file).arg(&address);
            command
        };
        command.stdin(Stdio::null());
        workspace::output(command)?;
        let mut sum = Command::new("sha256sum");
        sum.arg("--").arg(&file);
        let sum = workspace::output(sum)?;
        if sum.split_whitespace().next() == Some(self.sha256) {
            return Ok(file);
        }
        let _what_is_wrong_is_not_kept = fs::remove_file(&file);
        Err(Stop::Failed(format!("mobile: {address} is not the package that is pinned: {}", sum.trim())))
    }

    fn unpack(&self, file: &Path, folder: &Path) -> Result<(), Stop> {
        let failed =
            |error: io::Error| Stop::Failed(format!("mobile: cannot unpack {}: {error}", self.name()));
        let mut contents = Command::new("dpkg-deb");
        contents.arg("--fsys-tarfile").arg(file).stdout(Stdio::piped());
        let mut contents = contents.spawn().map_err(failed)?;
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--no-same-owner", "--directory"]).arg(folder);
        tar.args(Some(self.only).filter(|only| !only.is_empty()));
        if let Some(pipe) = contents.stdout.take() {
            tar.stdin(pipe);
        }
        let unpacked = workspace::output(tar);
        let status = contents.wait().map_err(failed)?;
        unpacked?;
        if status.success() { Ok(()) } else { Err(failed(io::Error::other(status.to_string()))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned_by_version_and_hash() {
        for package in RUST_SOURCE.packages.iter().chain(ARM64.packages) {
            assert_eq!(package.sha256.len(), 64, "{}", package.name());
            assert!(package.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", package.name());
            assert!(package.name().ends_with(".deb") && package.name().contains('_'), "{}", package.name());
        }
    }

    #[test]
    fn the_sources_are_of_the_release_that_builds() {
        let version = include_str!("../../../rust-toolchain.toml");
        assert!(version.contains(&format!("channel = \"{RUST}\"")));
        assert!(
            RUST_SOURCE
                .packages
                .iter()
                .all(|package| package.path.contains(RUST) && package.only.contains(RUST))
        );
    }

    #[test]
    fn a_folder_of_other_packages_does_not_count() {
        let other = Bundle { folder: "no-such-folder", what: "nothing", packages: ARM64.packages };
        assert!(!other.is_here());
        assert_ne!(RUST_SOURCE.contents(), ARM64.contents());
    }
}
