//! Hooking frameworks: in memory, as threads, at their ports, and at the beginning of system functions.

use core::ops::ControlFlow;

use super::lines::{begins_with, contains, each_line, file_name};
use super::{any_entry, any_package, jailbreak};
use crate::environment::probe::{FUNCTION_START, MAX_ENTRIES, Probe, ProcessProbe, SystemFunction};
use crate::environment::{Environment, Signal};

/// How the libraries of hooking frameworks begin. File names alone are compared, so that an app whose own package or
/// directory has "frida" in its name is left in peace; and only names that stand for the tool.
const LIBRARIES: &[&str] = &[
    // Frida: injected agent, gadget in a repackaged app, helper.
    "frida-agent",
    "frida-gadget",
    "frida-helper",
    "fridagadget",
    "libfrida-",
    "libfridagadget",
    // Xposed and its successors.
    "libxposed",
    "xposedbridge",
    "liblspd",
    "liblsposed",
    "libriru_lsp",
    "libriru_edxp",
    "libedxp",
    "lspd.dex",
    // Cydia Substrate on Android.
    "libsubstrate.so",
    "libsubstrate-dvm",
];

/// How libraries begin that bring code of root managers into apps: Zygisk, Riru, Zygisk Next.
const ZYGOTE_LIBRARIES: &[&str] = &["libzygisk", "libriru", "libzn_loader"];

/// Images of hooking frameworks on Apple: Frida, Cycript, Substrate, Substitute, libhooker, ElleKit, and the tweaks
/// that are found most often.
const IMAGES: &[&str] = &[
    "frida-agent",
    "frida-gadget",
    "fridagadget",
    "libcycript",
    "cynject",
    "mobilesubstrate",
    "cydiasubstrate",
    "substrateloader",
    "substrateinserter",
    "substratebootstrap",
    "libsubstrate",
    "libsubstitute",
    "substitute-",
    "tweakinject",
    "tweakloader",
    "libhooker",
    "libellekit",
    "ellekit",
    "rocketbootstrap",
    "sslkillswitch",
    "systemhook.dylib",
];

/// Images of tweaks that hide a jailbreak from apps: Shadow, A-Bypass, FlyJB, Liberty, Hestia.
const HIDING_IMAGES: &[&str] =
    &["shadow.dylib", "shadowcore", "abypass", "flyjb", "zzzzliberty", "libertylite", "hestia.dylib"];

/// The names of Frida's own threads; `gmain` and `gdbus` belong to whoever uses GLib.
const THREADS: &[&[u8]] = &[b"gum-js-loop", b"pool-frida", b"frida-main-loop"];

/// Frida's server listens here unless it is told otherwise.
const PORTS: &[u16] = &[27042, 27043];

/// Files of the frameworks on Android. Apps may not look into `/data/local/tmp` on many phones.
const FILES: &[&str] = &[
    "/data/local/tmp/frida-server",
    "/data/local/tmp/re.frida.server",
    "/system/framework/XposedBridge.jar",
    "/system/bin/app_process32_xposed",
    "/system/bin/app_process64_xposed",
    "/system/lib/libxposed_art.so",
    "/system/lib64/libxposed_art.so",
    "/system/lib/libsubstrate.so",
    "/data/misc/riru",
    "/data/misc/lspd",
];

/// Frameworks and their managers, by package: Xposed, EdXposed, LSPosed, VirtualXposed, TaiChi, Substrate.
pub(super) const FRAMEWORKS: &[&str] = &[
    "de.robv.android.xposed.installer",
    "org.meowcat.edxposed.manager",
    "org.lsposed.manager",
    "io.va.exposed",
    "me.weishu.exp",
    "com.saurik.substrate",
];

/// Most threads whose names are read.
const MAX_THREADS: usize = 256;

/// What `/proc/self/maps` tells, in one pass: [`Signal::Hooks`] and [`Signal::RootHiding`], by the names of mapped
/// files. Found without guilt: nobody known; but a framework that its user lets into all apps is found in this one
/// though nothing in it is changed.
pub(super) fn in_memory(probe: &Probe<'_>) -> Environment {
    let mut found = Environment::default();
    let mut last = Vec::new();
    each_line(probe.process, "/proc/self/maps", &mut |line| {
        // Before the path stand addresses, rights, offset, device and inode, none with a slash.
        let Some(start) = line.iter().position(|byte| *byte == b'/') else {
            return ControlFlow::Continue(());
        };
        let path = line.get(start..).unwrap_or_default();
        // A library is mapped in several parts, one after the other.
        if path != last.as_slice() {
            last.clear();
            last.extend_from_slice(path);
            // A file that exists in memory alone: `/memfd:NAME (deleted)`.
            let name = file_name(path);
            let name = name.strip_prefix(b"memfd:").unwrap_or(name);
            found = found
                .with_if(Signal::Hooks, begins_with(name, LIBRARIES))
                .with_if(Signal::RootHiding, begins_with(name, ZYGOTE_LIBRARIES))
                .with_if(Signal::RootHiding, path.starts_with(b"/data/adb/"))
                .with_if(Signal::Hooks, path.starts_with(b"/data/adb/") && contains(path, "lsposed"));
        }
        ControlFlow::Continue(())
    });
    found
}

/// [`Signal::Hooks`] and [`Signal::HookedFunctions`], the rest of Android: files, packages, threads, ports, functions.
/// Found without guilt: developers with a Frida server on their own phone, who has LSPosed for another app, and
/// libraries inside the app that measure or patch by hooks of their own; try a policy before it refuses.
pub(super) fn on_android(probe: &Probe<'_>) -> Environment {
    let found = any_entry(probe.process, FILES)
        || any_package(probe, FRAMEWORKS)
        || has_hooking_thread(probe.process)
        || is_served(probe.process);
    Environment::default()
        .with_if(Signal::Hooks, found)
        .with_if(Signal::HookedFunctions, is_any_function_hooked(probe.process))
}

/// [`Signal::Hooks`], [`Signal::RootHiding`] and [`Signal::HookedFunctions`] on Apple: loaded images, ports, functions.
pub(super) fn on_apple(probe: &Probe<'_>) -> Environment {
    let mut found = Environment::default();
    probe.platform.loaded_images(MAX_ENTRIES, &mut |path| {
        let name = file_name(path);
        found = found
            .with_if(Signal::Hooks, begins_with(name, IMAGES))
            .with_if(Signal::RootHiding, begins_with(name, HIDING_IMAGES))
            .with_if(Signal::PrivilegedAccess, jailbreak::is_jailbreaks_own(path));
        ControlFlow::Continue(())
    });
    found
        .with_if(Signal::Hooks, is_served(probe.process))
        .with_if(Signal::HookedFunctions, is_any_function_hooked(probe.process))
}

/// Whether Frida's server listens on this device. Found without guilt: another program at these ports.
fn is_served(process: &dyn ProcessProbe) -> bool {
    PORTS.iter().any(|port| process.is_listening(*port) == Some(true))
}

/// Whether a thread bears a name that Frida gives to its own.
fn has_hooking_thread(process: &dyn ProcessProbe) -> bool {
    let mut threads = Vec::new();
    process.list("/proc/self/task", MAX_THREADS, &mut |name| {
        threads.extend(core::str::from_utf8(name).ok().and_then(|name| name.parse::<u32>().ok()));
        if threads.len() < MAX_THREADS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    threads.iter().any(|thread| {
        let mut is_known = false;
        process.read(&format!("/proc/self/task/{thread}/comm"), 32, &mut |piece| {
            is_known = THREADS.contains(&piece.trim_ascii_end());
            ControlFlow::Break(())
        });
        is_known
    })
}

fn is_any_function_hooked(process: &dyn ProcessProbe) -> bool {
    SystemFunction::ALL
        .iter()
        .any(|function| process.function_start(*function).is_some_and(|start| is_jump(&start)))
}

/// Whether a function begins by jumping to an address that stands beside the jump: no compiler writes this, and
/// inline hooks do. A plain branch does not count: short functions begin with one.
fn is_jump(start: &[u8; FUNCTION_START]) -> bool {
    // A landing pad may stand before: `bti c` on AArch64, `endbr64` on x86-64.
    let start = start.as_slice();
    let start = [[0x5f, 0x24, 0x03, 0xd5], [0xf3, 0x0f, 0x1e, 0xfa]]
        .iter()
        .find_map(|pad| start.strip_prefix(pad))
        .unwrap_or(start);
    JUMPS.iter().any(|jump| start.starts_with(jump))
}

/// How inline hooks begin.
const JUMPS: &[&[u8]] = &[
    // AArch64: `ldr x16, #8; br x16`, and the same with x17.
    &[0x50, 0x00, 0x00, 0x58, 0x00, 0x02, 0x1f, 0xd6],
    &[0x51, 0x00, 0x00, 0x58, 0x20, 0x02, 0x1f, 0xd6],
    // ARM: `ldr pc, [pc, #-4]`; Thumb: `ldr.w pc, [pc]`.
    &[0x04, 0xf0, 0x1f, 0xe5],
    &[0xdf, 0xf8, 0x00, 0xf0],
    // x86-64: `jmp [rip]`. x86: `push address; ret` cannot be told from its first byte alone.
    &[0xff, 0x25, 0x00, 0x00, 0x00, 0x00],
];
