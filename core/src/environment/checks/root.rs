//! Root on Android: `su`, root managers, what hides them, and apps that change other apps.

use super::{any_entry, any_file, any_package};
use crate::environment::probe::Probe;
use crate::environment::{Environment, Signal};

/// Where `su` is put. Directories of that name do not count, nor does `busybox`: OnePlus and Motorola sold phones
/// with it.
const SU: &[&str] = &[
    "/system/bin/su",
    "/system/xbin/su",
    "/system/sbin/su",
    "/system/bin/.ext/su",
    "/system/bin/.ext/.su",
    "/system/bin/failsafe/su",
    "/system/sd/xbin/su",
    "/system/usr/we-need-root/su",
    "/system_ext/bin/su",
    "/product/bin/su",
    "/vendor/bin/su",
    "/odm/bin/su",
    "/sbin/su",
    "/su/bin/su",
    "/bin/su",
    "/cache/su",
    "/data/su",
    "/dev/su",
    "/data/local/su",
    "/data/local/bin/su",
    "/data/local/xbin/su",
    "/data/local/tmp/su",
];

/// What older root managers leave: SuperSU, Superuser, KingRoot.
const MANAGER_FILES: &[&str] = &[
    "/system/app/Superuser.apk",
    "/system/app/SuperSU/SuperSU.apk",
    "/system/app/SuperSU.apk",
    "/system/app/Kinguser.apk",
    "/system/xbin/daemonsu",
    "/system/bin/daemonsu",
    "/system/xbin/sugote",
    "/system/xbin/ku.sud",
    "/system/etc/init.d/99SuperSUDaemon",
    "/system/etc/.has_su_daemon",
    "/dev/com.koushikdutta.superuser.daemon",
    "/data/data/eu.chainfire.supersu",
];

/// What root managers that hide themselves leave: Magisk, KernelSU, APatch. `/data/adb` itself is the system's.
const HIDING_FILES: &[&str] = &[
    "/sbin/.magisk",
    "/sbin/magisk",
    "/debug_ramdisk/.magisk",
    "/debug_ramdisk/magisk",
    "/dev/.magisk",
    "/dev/.magisk.unblock",
    "/cache/magisk.log",
    "/cache/.disable_magisk",
    "/data/magisk.img",
    "/data/adb/magisk",
    "/data/adb/magisk.db",
    "/data/adb/modules",
    "/data/adb/ksu",
    "/data/adb/ksud",
    "/data/adb/ap",
    "/data/adb/apd",
    "/system/bin/magisk",
    "/system/bin/resetprop",
    "/system/bin/ksud",
];

/// Root managers, by package. Magisk, KernelSU and APatch can be given other names, and often are.
pub(super) const MANAGERS: &[&str] = &[
    "com.topjohnwu.magisk",
    "io.github.huskydg.magisk",
    "io.github.vvb2060.magisk",
    "me.weishu.kernelsu",
    "com.rifsxd.ksunext",
    "com.sukisu.ultra",
    "me.bmax.apatch",
    "eu.chainfire.supersu",
    "com.noshufou.android.su",
    "com.koushikdutta.superuser",
    "com.thirdparty.superuser",
    "com.yellowes.su",
    "com.kingroot.kinguser",
    "com.kingo.root",
];

/// Apps that hide root or other apps.
pub(super) const HIDERS: &[&str] = &[
    "com.tsng.hidemyapplist",
    "org.frknkrc44.hma_oss",
    "com.devadvance.rootcloak",
    "com.devadvance.rootcloakplus",
    "com.amphoras.hidemyroot",
    "com.amphoras.hidemyrootadfree",
    "com.formyhm.hideroot",
    "com.zachspong.temprootremovejb",
];

/// Apps that change others: patchers of purchases and licences, memory editors.
pub(super) const TAMPERERS: &[&str] = &[
    "com.chelpus.lackypatch",
    "com.chelpus.luckypatcher",
    "com.dimonvideo.luckypatcher",
    "com.android.vending.billing.InAppBillingService.COIN",
    "com.android.vending.billing.InAppBillingService.LUCK",
    "catch_.me_.if_.you_.can_",
    "com.xmodgame",
    "org.creeplays.hack",
];

/// [`Signal::PrivilegedAccess`], [`Signal::RootHiding`] and [`Signal::TamperingApp`]. Found without guilt: systems
/// with a root of their own for the owner (builds of type `eng`, some for TV boxes), and who only installed such an
/// app and never used it.
pub(super) fn signals(probe: &Probe<'_>) -> Environment {
    let hides = any_entry(probe.process, HIDING_FILES);
    let is_rooted = hides
        || any_file(probe.process, SU)
        || any_entry(probe.process, MANAGER_FILES)
        || any_package(probe, MANAGERS);
    Environment::default()
        .with_if(Signal::PrivilegedAccess, is_rooted)
        .with_if(Signal::RootHiding, hides || any_package(probe, HIDERS))
        .with_if(Signal::TamperingApp, any_package(probe, TAMPERERS))
}
