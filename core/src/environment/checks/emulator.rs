//! Emulators and simulators.

use super::{any_entry, any_file};
use crate::environment::probe::Probe;
use crate::environment::{Environment, Signal};

/// Properties with values that only emulators have. `ro.hardware` of Chromebooks (`bertha`, `cheets`) is not among
/// them: they run Android in a container for honest people.
const PROPERTIES: &[(&str, &[&str])] = &[
    ("ro.kernel.qemu", &["1"]),
    ("ro.boot.qemu", &["1"]),
    ("ro.hardware", &["goldfish", "ranchu", "cutf_cvm", "vbox86", "nox", "ttvm_x86", "android_x86"]),
    ("ro.boot.hardware", &["goldfish", "ranchu", "cutf_cvm", "vbox86"]),
    ("ro.product.manufacturer", &["genymotion", "genymobile"]),
];

/// Properties that begin like this only on emulators. A generic system image on a phone says `Android/gsi_…`.
const BEGINNINGS: &[(&str, &[&str])] = &[
    ("ro.product.model", &["sdk_gphone", "Android SDK built for", "Emulator", "google_sdk"]),
    ("ro.build.fingerprint", &["generic/", "generic_", "google/sdk_", "Android/sdk_", "Android/vbox86"]),
];

/// Devices and files of the Android emulator, VirtualBox (Genymotion), BlueStacks, Nox, MEmu, LDPlayer and Andy.
const FILES: &[&str] = &[
    "/dev/qemu_pipe",
    "/dev/goldfish_pipe",
    "/dev/socket/qemud",
    "/dev/socket/genyd",
    "/dev/socket/baseband_genyd",
    "/dev/vboxguest",
    "/dev/vboxuser",
    "/dev/bst_gps",
    "/dev/bst_ime",
    "/dev/bstgyro",
    "/system/bin/qemu-props",
    "/system/bin/androVM-prop",
    "/system/bin/nox-prop",
    "/system/bin/noxd",
    "/system/bin/microvirt-prop",
    "/system/bin/microvirtd",
    "/system/bin/ldinit",
    "/system/bin/ldmountsf",
    "/fstab.andy",
];

/// What only macOS has: an app of the iPhone that runs on a Mac.
const MAC: &[&str] = &["/System/Library/CoreServices/Finder.app", "/System/Applications/Utilities"];

/// [`Signal::Emulator`] on Android: properties, devices and files. Found without guilt: the developer's own emulator,
/// and Google's review of apps before they are published.
pub(super) fn on_android(probe: &Probe<'_>) -> Environment {
    let property = |name: &str| probe.platform.property(name).unwrap_or_default();
    let has = |(name, values): &(&str, &[&str])| {
        let value = property(name);
        values.iter().any(|known| value.eq_ignore_ascii_case(known))
    };
    let begins = |(name, values): &(&str, &[&str])| {
        let value = property(name);
        values.iter().any(|known| value.starts_with(known))
    };
    let is_emulator =
        PROPERTIES.iter().any(has) || BEGINNINGS.iter().any(begins) || any_file(probe.process, FILES);
    Environment::default().with_if(Signal::Emulator, is_emulator)
}

/// Whether this is a simulator, or a Mac that runs the app of an iPhone. Neither has an App Attest that counts.
pub(super) fn on_apple(probe: &Probe<'_>) -> bool {
    probe.platform.is_simulator() == Some(true) || any_entry(probe.process, MAC)
}
