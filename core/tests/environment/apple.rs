//! iOS: a clean iPhone, simulators, and one phone for each jailbreak.

use countersign_core::environment::Environment;
use countersign_core::environment::Signal::{
    Debugger, Emulator, HookedFunctions, Hooks, NoPasscode, PrivilegedAccess, RootHiding, SandboxEscape,
    WritableSystem,
};
use countersign_core::environment::probe::{System, SystemFunction};

use crate::device::{BUNDLE, Device, set};

const NOTHING: Environment = Environment(0);

#[test]
fn a_clean_iphone_has_nothing_to_say() {
    assert_eq!(Device::iphone().seen(), NOTHING);
    assert_eq!(Device::iphone().seen_each_time(), NOTHING);
}

#[test]
fn an_iphone_that_answers_nothing_is_accused_of_nothing() {
    assert_eq!(Device::silent(System::Apple).seen(), NOTHING);
}

#[test]
fn unc0ver() {
    let phone = Device::iphone()
        .file("/.installed_unc0ver", "")
        .directory("/Applications/Cydia.app")
        .file("/usr/lib/libsubstitute.dylib", "")
        .image("/usr/lib/TweakInject/Tweak.dylib")
        .image("/usr/lib/libsubstitute.dylib");
    assert_eq!(phone.seen(), set(&[PrivilegedAccess, Hooks]));
}

#[test]
fn checkra1n() {
    let phone =
        Device::iphone().directory("/binpack").directory("/Applications/loader.app").file("/bin/bash", "");
    assert_eq!(phone.seen(), set(&[PrivilegedAccess]));
}

#[test]
fn palera1n_with_a_root_file_system_of_its_own() {
    let phone =
        Device::iphone().file("/.palecursus_strapped", "").image("/cores/binpack/usr/lib/systemhook.dylib");
    assert_eq!(phone.seen(), set(&[PrivilegedAccess, Hooks]));
}

#[test]
fn rootless_jailbreaks() {
    let linked = Device::iphone().link("/var/jb", "/private/preboot/6F/jb-x1/procursus");
    assert_eq!(linked.seen(), set(&[PrivilegedAccess]));
    // Dopamine hides the link from apps, not what it loads into them.
    let loaded =
        Device::iphone().image("/private/preboot/6F/dopamine-x1/procursus/usr/lib/TweakLoader.dylib");
    assert_eq!(loaded.seen(), set(&[PrivilegedAccess, Hooks]));
}

#[test]
fn images_of_ios_and_of_the_app_are_no_jailbreaks() {
    let phone = Device::iphone()
        .image("/private/preboot/Cryptexes/OS/System/Library/Frameworks/procursusKit")
        .image(&format!("{BUNDLE}/Frameworks/FridaKahlo.framework/FridaKahlo"))
        .image(&format!("{BUNDLE}/Frameworks/Shadows.framework/Shadows"))
        .image("/usr/lib/libsubs.dylib");
    assert_eq!(phone.seen(), NOTHING);
}

#[test]
fn a_directory_that_a_jailbreak_moved() {
    let phone = Device::iphone().link("/Applications", "/var/stash/Applications.x");
    assert_eq!(phone.seen(), set(&[PrivilegedAccess]));
}

#[test]
fn tweaks_that_hide_a_jailbreak() {
    for image in ["Shadow.dylib", "ABypass.dylib", "FlyJB.dylib", "zzzzLiberty.dylib"] {
        let phone = Device::iphone().image(&format!("/usr/lib/x/{image}"));
        assert_eq!(phone.seen(), set(&[RootHiding]), "{image}");
    }
    assert_eq!(Device::iphone().file("/usr/bin/vnodebypass", "").seen(), set(&[RootHiding]));
}

#[test]
fn frida_and_substrate_as_images() {
    for image in [
        "/usr/lib/frida/frida-agent.dylib",
        &format!("{BUNDLE}/Frameworks/FridaGadget.dylib"),
        "/Library/Frameworks/CydiaSubstrate.framework/CydiaSubstrate",
    ] {
        assert_eq!(Device::iphone().image(image).seen(), set(&[Hooks]), "{image}");
    }
}

#[test]
fn fridas_server_on_a_jailbroken_iphone() {
    let phone = Device::iphone().file("/usr/sbin/frida-server", "").port(27042);
    assert_eq!(phone.seen(), set(&[PrivilegedAccess, Hooks]));
}

#[test]
fn a_function_that_jumps_elsewhere() {
    let jump = [0x51, 0, 0, 0x58, 0x20, 0x02, 0x1f, 0xd6];
    assert_eq!(Device::iphone().function(SystemFunction::Trace, &jump).seen(), set(&[HookedFunctions]));
}

#[test]
fn a_process_out_of_its_sandbox() {
    assert_eq!(Device::iphone().with(|phone| phone.can_fork = Some(true)).seen(), set(&[SandboxEscape]));
    let others = "/private/var/mobile/Containers/Data/Application";
    let phone = Device::iphone().file(&format!("{others}/0B6D3C1E/x"), "").listable(others);
    assert_eq!(phone.seen(), set(&[SandboxEscape]));
}

#[test]
fn a_writable_system() {
    assert_eq!(Device::iphone().writable("/private").seen(), set(&[WritableSystem]));
}

#[test]
fn a_debugger_also_with_each_request() {
    let phone = Device::iphone().with(|phone| phone.has_debugger = Some(true));
    assert_eq!(phone.seen(), set(&[Debugger]));
    assert_eq!(phone.seen_each_time(), set(&[Debugger]));
}

#[test]
fn a_simulator_is_one_and_not_jailbroken_by_its_macs_files() {
    let simulator = Device::iphone()
        .file("/bin/bash", "")
        .file("/usr/sbin/sshd", "")
        .with(|phone| phone.is_simulator = Some(true))
        .with(|phone| phone.can_fork = Some(true));
    assert_eq!(simulator.seen(), set(&[Emulator]));
}

#[test]
fn a_mac_that_runs_the_app_of_an_iphone() {
    let mac = Device::iphone().file("/bin/zsh", "").directory("/System/Library/CoreServices/Finder.app");
    assert_eq!(mac.seen(), set(&[Emulator]));
}

#[test]
fn a_phone_without_passcode() {
    let phone = Device::iphone().with(|phone| phone.settings.has_passcode = Some(false));
    assert_eq!(phone.seen(), set(&[NoPasscode]));
}
