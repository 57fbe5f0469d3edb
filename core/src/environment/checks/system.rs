//! The state of an Android system: who signed it, whether it can be changed, how strictly it separates apps.

use core::ops::ControlFlow;

use super::lines::{contains, each_line};
use super::shows_entries;
use crate::environment::probe::Probe;
use crate::environment::{Environment, Signal};

/// Mount points that are read-only on every phone as it is sold.
const READ_ONLY: &[&[u8]] = &[b"/", b"/system", b"/vendor", b"/product", b"/system_ext", b"/odm"];

/// Directories into which no app may write.
const PROTECTED: &[&str] =
    &["/system", "/system/bin", "/system/xbin", "/system/etc", "/vendor", "/vendor/bin"];

/// Directories whose entries no app may see.
const CLOSED: &[&str] = &["/data/adb", "/data/system", "/data/misc"];

/// The names under which root managers mount: Magisk's `tmpfs`, the overlays of KernelSU and APatch.
const MANAGERS: &[&[u8]] = &[b"magisk", b"KSU", b"APatch"];

/// Where root managers keep modules and their own `tmpfs`, as it stands in mount points and in overlays' options.
const MANAGED: &[&str] = &["/data/adb/", "/.magisk"];

/// All of this file but what mounts tell.
pub(super) fn signals(probe: &Probe<'_>) -> Environment {
    Environment::default()
        .with_if(Signal::TestKeys, is_test_build(probe))
        .with_if(Signal::WritableSystem, is_writable(probe))
        .with_if(Signal::SandboxEscape, CLOSED.iter().any(|path| shows_entries(probe.process, path)))
        .with_if(Signal::SelinuxPermissive, is_permissive(probe))
}

/// What `/proc/self/mounts` tells, in one pass: [`Signal::WritableSystem`] for a system partition mounted `rw`;
/// [`Signal::PrivilegedAccess`] and [`Signal::RootHiding`] for mounts of Magisk, KernelSU and APatch. Found without
/// guilt: developers who ran `adb remount` on a userdebug build.
pub(super) fn mounts(probe: &Probe<'_>) -> Environment {
    let mut found = Environment::default();
    each_line(probe.process, "/proc/self/mounts", &mut |line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let mut field = || fields.next().unwrap_or_default();
        let (source, point, kind, options) = (field(), field(), field(), field());
        // The `rootfs` of Android 8 and older lies in memory, and was writable on some phones as they were sold.
        let is_writable = READ_ONLY.contains(&point)
            && kind != b"rootfs"
            && options.split(|byte| *byte == b',').next() == Some(b"rw");
        let is_managed = MANAGERS.contains(&source)
            || MANAGED.iter().any(|part| contains(point, part) || contains(options, part));
        found = found
            .with_if(Signal::WritableSystem, is_writable)
            .with_if(Signal::PrivilegedAccess, is_managed)
            .with_if(Signal::RootHiding, is_managed);
        ControlFlow::Continue(())
    });
    found
}

/// [`Signal::TestKeys`]: signed with the keys that everybody has, or debuggable as a whole. `userdebug` alone does not
/// count, because LineageOS and its relatives publish such builds with `ro.debuggable` 0 and keys of their own. Found
/// without guilt: some cheap phones are sold with test keys, and smaller systems (older /e/OS, unofficial LineageOS)
/// come with them; GrapheneOS does not.
fn is_test_build(probe: &Probe<'_>) -> bool {
    let property = |name: &str| probe.platform.property(name).unwrap_or_default();
    let tags = property("ro.build.tags");
    tags.split(',').any(|tag| matches!(tag.trim(), "test-keys" | "dev-keys"))
        || property("ro.build.type") == "eng"
        || property("ro.debuggable") == "1"
        || property("ro.secure") == "0"
}

/// [`Signal::WritableSystem`], the other half: the system says that this process may write where no app may.
fn is_writable(probe: &Probe<'_>) -> bool {
    PROTECTED.iter().any(|path| probe.process.is_writable(path) == Some(true))
}

/// [`Signal::SelinuxPermissive`]: `/sys/fs/selinux/enforce` reads 0. Where SELinux is enforced, apps may not read it.
/// Found without guilt: some unofficial systems.
fn is_permissive(probe: &Probe<'_>) -> bool {
    let mut state = None;
    probe.process.read("/sys/fs/selinux/enforce", 1, &mut |piece| {
        state = piece.first().copied();
        ControlFlow::Break(())
    });
    state == Some(b'0')
}
