//! Android: a clean phone, and one for each tool.

use countersign_core::environment::Environment;
use countersign_core::environment::Signal::{
    AdbEnabled, Debugger, DeveloperMode, Emulator, HookedFunctions, Hooks, NoPasscode, PrivilegedAccess,
    RootHiding, SandboxEscape, SelinuxPermissive, TamperingApp, TestKeys, WritableSystem,
};
use countersign_core::environment::probe::{System, SystemFunction};

use crate::device::{Device, set};

const NOTHING: Environment = Environment(0);
const APP: &str = "/data/app/~~Qx==/com.example.shop-1==";

#[test]
fn a_clean_phone_has_nothing_to_say() {
    assert_eq!(Device::android().seen(), NOTHING);
    assert_eq!(Device::android().seen_each_time(), NOTHING);
}

#[test]
fn a_phone_that_answers_nothing_is_accused_of_nothing() {
    assert_eq!(Device::silent(System::Android).seen(), NOTHING);
}

#[test]
fn on_a_host_only_a_debugger_is_looked_for() {
    let mut host = Device::android().file("/system/xbin/su", "").port(27042);
    host.system = System::Host;
    assert_eq!(host.seen(), NOTHING);
    host.tracer = Some(1);
    assert_eq!(host.seen(), set(&[Debugger]));
}

#[test]
fn su_is_found_as_a_file_and_as_a_link() {
    assert_eq!(Device::android().file("/system/xbin/su", "").seen(), set(&[PrivilegedAccess]));
    assert_eq!(Device::android().link("/sbin/su", "/sbin/magiskinit").seen(), set(&[PrivilegedAccess]));
}

#[test]
fn what_only_looks_like_root_is_none() {
    let phone = Device::android()
        .file("/system/app/superuser.txt", "")
        .file("/system/bin/sum", "")
        .file("/system/xbin/busybox", "")
        .directory("/system/bin/su")
        .directory("/data/adb")
        .package("com.example.superuser")
        .package("com.topjohnwu.magisk.theme");
    assert_eq!(phone.seen(), NOTHING);
}

#[test]
fn supersu() {
    let phone = Device::android().file("/system/xbin/daemonsu", "").package("eu.chainfire.supersu");
    assert_eq!(phone.seen(), set(&[PrivilegedAccess]));
}

#[test]
fn the_manager_of_magisk() {
    assert_eq!(Device::android().package("com.topjohnwu.magisk").seen(), set(&[PrivilegedAccess]));
}

#[test]
fn magisk_by_its_mounts_and_files() {
    let root = set(&[PrivilegedAccess, RootHiding]);
    let mounted = Device::android().mounted("magisk /system/bin tmpfs ro,seclabel,relatime,mode=755");
    assert_eq!(mounted.seen(), root);
    assert_eq!(Device::android().mounted("tmpfs /debug_ramdisk/.magisk tmpfs rw").seen(), root);
    assert_eq!(Device::android().directory("/debug_ramdisk/.magisk").seen(), root);
}

#[test]
fn zygisk_in_memory() {
    let zygisk = Device::android().mapped("/system/lib64/libzygisk.so");
    assert_eq!(zygisk.seen(), set(&[RootHiding]));
    let module = Device::android().mapped("/data/adb/modules/zygisksu/lib64/payload.so");
    assert_eq!(module.seen(), set(&[RootHiding]));
}

#[test]
fn kernelsu() {
    let mounted = Device::android()
        .mounted("KSU /system/bin overlay ro,seclabel,lowerdir=/data/adb/modules/x/system/bin:/system/bin");
    assert_eq!(mounted.seen(), set(&[PrivilegedAccess, RootHiding]));
    assert_eq!(Device::android().package("me.weishu.kernelsu").seen(), set(&[PrivilegedAccess]));
}

#[test]
fn apatch() {
    let mounted = Device::android().mounted("APatch /system/etc overlay ro,seclabel");
    assert_eq!(mounted.seen(), set(&[PrivilegedAccess, RootHiding]));
    assert_eq!(Device::android().package("me.bmax.apatch").seen(), set(&[PrivilegedAccess]));
}

#[test]
fn a_mount_of_another_name_is_nobodys() {
    let phone = Device::android()
        .mounted("magiskboot.img /data/media/0/magisk fuse rw,nosuid")
        .mounted("/dev/block/loop4 /apex/com.android.ksu ext4 ro");
    assert_eq!(phone.seen(), NOTHING);
}

#[test]
fn an_app_that_hides_others() {
    assert_eq!(Device::android().package("com.tsng.hidemyapplist").seen(), set(&[RootHiding]));
}

#[test]
fn an_app_that_changes_others() {
    assert_eq!(Device::android().package("com.chelpus.luckypatcher").seen(), set(&[TamperingApp]));
}

#[test]
fn fridas_server_by_its_port_and_file() {
    assert_eq!(Device::android().port(27042).seen(), set(&[Hooks]));
    assert_eq!(Device::android().file("/data/local/tmp/frida-server", "").seen(), set(&[Hooks]));
    assert_eq!(Device::android().port(27041).seen(), NOTHING);
}

#[test]
fn fridas_agent_and_gadget_in_memory() {
    for path in [
        "/memfd:frida-agent-64.so (deleted)",
        "/data/local/tmp/re.frida.server/frida-agent-64.so",
        &format!("{APP}/lib/arm64/libfrida-gadget.so"),
        &format!("{APP}/lib/arm64/libFridaGadget.so"),
    ] {
        assert_eq!(Device::android().mapped(path).seen(), set(&[Hooks]), "{path}");
    }
}

#[test]
fn fridas_threads() {
    for name in ["gum-js-loop\n", "pool-frida\n"] {
        assert_eq!(Device::android().file("/proc/self/task/4730/comm", name).seen(), set(&[Hooks]), "{name}");
    }
}

#[test]
fn an_app_whose_own_name_has_frida_in_it_is_left_in_peace() {
    for path in [
        "/data/app/~~Qx==/com.frida.kahlo-1==/base.apk",
        "/data/app/~~Qx==/com.frida.kahlo-1==/lib/arm64/libfridakahlo.so",
        "/data/app/~~Qx==/com.lsposed.example-1==/base.apk",
        "/data/data/com.example.shop/files/xposed-guide.pdf",
        "/system/lib64/libsubstance.so",
    ] {
        assert_eq!(Device::android().mapped(path).seen(), NOTHING, "{path}");
    }
    let thread = Device::android().file("/proc/self/task/4730/comm", "frida-kahlo\n");
    assert_eq!(thread.seen(), NOTHING);
}

#[test]
fn xposed() {
    let phone = Device::android()
        .file("/system/framework/XposedBridge.jar", "")
        .mapped("/system/framework/XposedBridge.jar");
    assert_eq!(phone.seen(), set(&[Hooks]));
    assert_eq!(Device::android().package("de.robv.android.xposed.installer").seen(), set(&[Hooks]));
}

#[test]
fn lsposed() {
    let module = Device::android().mapped("/data/adb/modules/zygisk_lsposed/zygisk/arm64-v8a.so");
    assert_eq!(module.seen(), set(&[Hooks, RootHiding]));
    assert_eq!(Device::android().mapped("/memfd:liblspd.so (deleted)").seen(), set(&[Hooks]));
    assert_eq!(Device::android().package("org.lsposed.manager").seen(), set(&[Hooks]));
}

#[test]
fn substrate() {
    assert_eq!(Device::android().mapped("/system/lib/libsubstrate.so").seen(), set(&[Hooks]));
}

#[test]
fn every_trampoline_is_found_at_each_function() {
    let jumps: [&[u8]; 6] = [
        &[0x50, 0, 0, 0x58, 0, 0x02, 0x1f, 0xd6, 0, 0, 0, 0, 0x71, 0, 0, 0],
        &[0x51, 0, 0, 0x58, 0x20, 0x02, 0x1f, 0xd6, 0, 0, 0, 0, 0x71, 0, 0, 0],
        &[0x5f, 0x24, 0x03, 0xd5, 0x50, 0, 0, 0x58, 0, 0x02, 0x1f, 0xd6],
        &[0x04, 0xf0, 0x1f, 0xe5, 0, 0, 0, 0x71],
        &[0xdf, 0xf8, 0x00, 0xf0, 0, 0, 0, 0x71],
        &[0xf3, 0x0f, 0x1e, 0xfa, 0xff, 0x25, 0, 0, 0, 0, 0, 0, 0, 0x71],
    ];
    for function in SystemFunction::ALL {
        for jump in jumps {
            assert_eq!(
                Device::android().function(*function, jump).seen(),
                set(&[HookedFunctions]),
                "{jump:x?}"
            );
        }
    }
}

#[test]
fn a_function_that_begins_with_a_plain_branch_is_not_hooked() {
    let branches: [&[u8]; 4] = [
        &[0x10, 0x00, 0x00, 0x14],
        &[0xe9, 0x10, 0x00, 0x00, 0x00],
        &[0xff, 0x25, 0x10, 0x00, 0x00, 0x00],
        &[0x50, 0x00, 0x00, 0x58, 0xfd, 0x7b, 0x02, 0xa9],
    ];
    for branch in branches {
        assert_eq!(Device::android().function(SystemFunction::Open, branch).seen(), NOTHING, "{branch:x?}");
    }
}

#[test]
fn a_debugger_and_a_tracer_also_with_each_request() {
    let traced = Device::android().with(|phone| phone.tracer = Some(4712));
    let debugged = Device::android().with(|phone| phone.has_debugger = Some(true));
    for phone in [traced, debugged] {
        assert_eq!(phone.seen(), set(&[Debugger]));
        assert_eq!(phone.seen_each_time(), set(&[Debugger]));
    }
}

#[test]
fn with_each_request_nothing_else_is_looked_at() {
    let phone = Device::android().file("/system/xbin/su", "").port(27042);
    assert_eq!(phone.seen_each_time(), NOTHING);
}

#[test]
fn emulators_by_properties_and_files() {
    for (name, value) in [
        ("ro.kernel.qemu", "1"),
        ("ro.hardware", "ranchu"),
        ("ro.product.model", "sdk_gphone64_arm64"),
        ("ro.build.fingerprint", "generic/sdk/generic:4.4/KK/eng.x:eng/release-keys"),
        ("ro.product.manufacturer", "Genymotion"),
    ] {
        assert_eq!(Device::android().property(name, value).seen(), set(&[Emulator]), "{name}");
    }
    assert_eq!(Device::android().file("/dev/bst_gps", "").seen(), set(&[Emulator]));
}

#[test]
fn chromebooks_and_generic_system_images_are_no_emulators() {
    for (name, value) in [
        ("ro.hardware", "bertha"),
        ("ro.build.fingerprint", "Android/gsi_arm64/gsi_arm64:16/BP2A/1:user/release-keys"),
        ("ro.boot.qemu", "0"),
    ] {
        assert_eq!(Device::android().property(name, value).seen(), NOTHING, "{name}");
    }
}

#[test]
fn a_build_with_test_keys_or_for_debugging() {
    for (name, value) in [
        ("ro.build.tags", "test-keys"),
        ("ro.build.tags", "release-keys,dev-keys"),
        ("ro.build.type", "eng"),
        ("ro.debuggable", "1"),
        ("ro.secure", "0"),
    ] {
        assert_eq!(Device::android().property(name, value).seen(), set(&[TestKeys]), "{name} {value}");
    }
}

#[test]
fn a_published_lineageos_is_no_test_build() {
    let phone =
        Device::android().property("ro.build.type", "userdebug").property("ro.build.tags", "release-keys");
    assert_eq!(phone.seen(), NOTHING);
}

#[test]
fn a_writable_system_by_its_mounts_and_by_its_word() {
    let writable = set(&[WritableSystem]);
    assert_eq!(
        Device::android().mounted("/dev/block/dm-4 /system ext4 rw,seclabel,relatime").seen(),
        writable
    );
    assert_eq!(Device::android().mounted("overlay /vendor overlay rw,seclabel").seen(), writable);
    assert_eq!(Device::android().writable("/system/bin").seen(), writable);
}

#[test]
fn the_root_of_old_androids_in_memory_is_not_the_system() {
    let phone = Device::android()
        .mounted("rootfs / rootfs rw,seclabel")
        .mounted("tmpfs /system/overlay tmpfs rw,seclabel")
        .mounted("/dev/block/sda1 /odm ext4 ro,rw_hint,seclabel");
    assert_eq!(phone.seen(), NOTHING);
}

#[test]
fn a_process_that_sees_what_none_may() {
    let phone = Device::android().file("/data/system/packages.xml", "").listable("/data/system");
    assert_eq!(phone.seen(), set(&[SandboxEscape]));
    let empty = Device::android().listable("/data/system");
    assert_eq!(empty.seen(), NOTHING);
}

#[test]
fn selinux_that_only_watches() {
    assert_eq!(Device::android().file("/sys/fs/selinux/enforce", "0").seen(), set(&[SelinuxPermissive]));
    assert_eq!(Device::android().file("/sys/fs/selinux/enforce", "1").seen(), NOTHING);
}

#[test]
fn settings_are_told_as_they_are() {
    let phone = Device::android().with(|phone| {
        phone.settings.developer_mode = Some(true);
        phone.settings.adb_enabled = Some(true);
        phone.settings.has_passcode = Some(false);
    });
    assert_eq!(phone.seen(), set(&[DeveloperMode, AdbEnabled, NoPasscode]));
}
