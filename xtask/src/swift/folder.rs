//! Debian's Swift in a folder of its own: a small Debian of the release that has it, which programs see as their whole
//! system. Nothing else on this machine changes.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{INSIDE, failed};
use crate::{Stop, setup, workspace};

/// The release of Debian that has Swift 6.0.
const RELEASE: &str = "trixie";
const MIRROR: &str = "http://deb.debian.org/debian";
/// The compiler, what it needs to link, and the git that its package manager asks for.
const PACKAGES: [&str; 4] = ["swiftlang", "libc6-dev", "libstdc++-14-dev", "git"];
/// The version of Swift that the package is written for.
const VERSION: &str = "Swift version 6.0";

/// The folder, by default `.cache/swift` of the workspace.
pub(super) struct Folder(PathBuf);

impl Default for Folder {
    fn default() -> Self {
        Self(workspace::root().join(".cache").join("swift"))
    }
}

impl Folder {
    /// Whether everything was installed.
    pub(super) fn is_complete(&self) -> bool {
        self.root().join("usr/bin/swiftc").exists()
            && self.root().join(INSIDE.trim_start_matches('/')).is_dir()
    }

    /// Installs what is missing: 600 MB to download, 2.7 GB on the disk, a few minutes.
    pub(super) fn set_up(&self) -> Result<(), Stop> {
        if self.is_complete() {
            println!("swift: {} is already here; nothing to install", self.root().display());
            return Ok(());
        }
        if !is_root() {
            return Err(Stop::Failed(
                "swift: not installed: a folder with a system of its own takes root. As root:\n  cargo xtask setup swift"
                    .to_owned(),
            ));
        }
        if workspace::program("debootstrap").is_none() {
            setup::debian_packages("swift", &["debootstrap"])?;
        }
        fs::create_dir_all(&self.0).map_err(|error| failed(&self.0, &error))?;
        // What an earlier try left unfinished is made anew.
        let unfinished = self.0.join("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(|error| failed(&unfinished, &error))?;
        }
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.args(["--variant=minbase", RELEASE]).arg(&unfinished).arg(MIRROR);
        println!("swift: $ {}", workspace::shown(&debootstrap));
        workspace::output(debootstrap)?;
        let names = unfinished.join("etc/resolv.conf");
        fs::copy("/etc/resolv.conf", &names).map_err(|error| failed(&names, &error))?;
        let packages = PACKAGES.join(" ");
        let install = format!(
            "export DEBIAN_FRONTEND=noninteractive && \
             apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 {packages} >/dev/null && apt-get clean"
        );
        println!("swift: installing {packages} of Debian {RELEASE} (600 MB) into {}", self.root().display());
        workspace::succeed(in_root(&unfinished, &install))?;
        let version = workspace::output(in_root(&unfinished, "swift --version 2>/dev/null"))?;
        if !version.contains(VERSION) {
            return Err(Stop::Failed(format!(
                "swift: Debian's is another than {VERSION}: {}",
                version.trim_end()
            )));
        }
        let mount_point = unfinished.join(INSIDE.trim_start_matches('/'));
        fs::create_dir_all(&mount_point).map_err(|error| failed(&mount_point, &error))?;
        fs::rename(&unfinished, self.root()).map_err(|error| failed(&self.root(), &error))?;
        println!("swift: installed {}", version.lines().next().unwrap_or_default());
        Ok(())
    }

    /// `script` for a shell in this system, in its folder `directory`, with the workspace at [`INSIDE`] and this machine's
    /// network. Mounts are its own and end with it, as does every process that it starts.
    pub(super) fn command(&self, script: &str, directory: &str) -> Command {
        let root = self.root();
        let inner = format!("cd '{directory}' && {script}");
        // What programs leave in /tmp goes with their world.
        let mount = "mount -t tmpfs -o size=256m tmpfs \"$2/tmp\" && mount --bind \"$1\" \"$2$3\" && exec chroot \"$2\" /bin/sh -c \"$4\"";
        let mut command = own_world(&root);
        command.args(["/bin/sh", "-c", mount, "sh"]);
        command.arg(workspace::root()).arg(&root).arg(INSIDE).arg(inner);
        command
    }

    fn root(&self) -> PathBuf {
        // A link may stand for the folder; mounts want the real one.
        let folder = fs::canonicalize(&self.0).unwrap_or_else(|_| self.0.clone());
        folder.join("root")
    }
}

/// Whether this process may do what a system in a folder takes.
pub(super) fn is_root() -> bool {
    // The owner of what the kernel says of this process is this process's user.
    fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

/// A private folder for one run.
pub(super) fn private_folder(path: &Path) -> Result<(), Stop> {
    fs::create_dir_all(path).map_err(|error| failed(path, &error))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(|error| failed(path, &error))
}

fn in_root(root: &Path, script: &str) -> Command {
    let mut command = own_world(root);
    command.arg("chroot").arg(root).args(["/bin/sh", "-c", script]);
    command
}

/// Mounts and processes of its own: nothing of either is left behind, whatever ends it.
fn own_world(root: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child"]);
    command.arg(format!("--mount-proc={}", root.join("proc").display()));
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("LC_ALL", "C.UTF-8");
    command
}
