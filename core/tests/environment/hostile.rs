//! Answers that somebody prepared: without end, without sense.

use std::ops::ControlFlow;

use countersign_core::environment::Signal::{Hooks, PrivilegedAccess};
use countersign_core::environment::probe::{
    Each, Entry, ExpectedApp, FUNCTION_START, MAX_FILE, PlatformProbe, Probe, ProcessProbe, System,
    SystemFunction,
};
use countersign_core::environment::{Environment, at_renewal, queried_packages};

use crate::device::{Device, Node, set};

const NOTHING: Environment = Environment(0);

#[test]
fn files_without_end_end() {
    let phone = Device::android()
        .node("/proc/self/maps", Node::Endless)
        .node("/proc/self/mounts", Node::Endless)
        .node("/proc/self/task/4711/comm", Node::Endless)
        .node("/sys/fs/selinux/enforce", Node::Endless);
    assert_eq!(phone.seen(), NOTHING);
}

#[test]
fn what_stands_behind_too_much_is_not_found_and_what_stands_before_is() {
    let line = "7500000000-7500021000 r-xp 00000000 fe:2c 99 /system/lib64/libc.so\n";
    let filler = line.repeat(100 * 1024 * 1024 / line.len());
    let frida = "7500000000-7500021000 r-xp 00000000 fe:2c 99 /x/frida-agent-64.so\n";
    assert!(filler.len() > 20 * MAX_FILE);
    let behind = Device::android().file("/proc/self/maps", &format!("{filler}{frida}"));
    assert_eq!(behind.seen(), NOTHING);
    let before = Device::android().file("/proc/self/maps", &format!("{frida}{filler}"));
    assert_eq!(before.seen(), set(&[Hooks]));
}

#[test]
fn a_line_across_pieces_and_one_without_an_end_are_read() {
    // Pieces have 4096 bytes; the line begins in one and ends in the next, wherever the cut is.
    for filler in 4020..4100 {
        let maps = format!("{}\n7-8 r-xp 0 0:0 9 /x/frida-agent-64.so", "x".repeat(filler));
        assert_eq!(Device::android().file("/proc/self/maps", &maps).seen(), set(&[Hooks]), "{filler}");
    }
}

#[test]
fn bytes_that_are_no_text_hide_nothing() {
    let mut maps = b"7-8 r-xp 0 0:0 9 /\xff\xfe\x00\x80/lib\xc3\x28.so\n\n\n\xff\n/\n//\n".to_vec();
    maps.extend_from_slice(b"7-8 r-xp 0 0:0 9 /\xff/frida-agent-64.so\n");
    let phone = Device::android().node("/proc/self/maps", Node::File(maps));
    assert_eq!(phone.seen(), set(&[Hooks]));
}

#[test]
fn a_long_line_is_cut_and_the_next_one_is_read() {
    let maps = format!("7-8 r-xp 0 0:0 9 /{}\n7-8 r-xp 0 0:0 9 /x/frida-agent.so\n", "y".repeat(1 << 20));
    assert_eq!(Device::android().file("/proc/self/maps", &maps).seen(), set(&[Hooks]));
}

#[test]
fn mounts_with_too_few_and_too_many_fields_are_read() {
    let mounts = "\n \n/\nmagisk\n a b c d e f g\nKSU  \n";
    let phone = Device::android().file("/proc/self/mounts", mounts);
    assert_eq!(phone.seen(), set(&[PrivilegedAccess, countersign_core::environment::Signal::RootHiding]));
}

#[test]
fn values_without_sense_are_accused_of_nothing() {
    let long = "x".repeat(1 << 20);
    let phone = Device::android()
        .property("ro.build.tags", &long)
        .property("ro.hardware", "\u{0}")
        .property("ro.debuggable", "")
        .file("/proc/self/task/not-a-number/comm", "gum-js-loop")
        .file("/proc/self/task/99999999999999999999/comm", "gum-js-loop");
    assert_eq!(phone.seen(), NOTHING);
}

#[test]
fn files_and_directories_without_end_are_not_followed_to_it() {
    assert_eq!(seen_by(&Endless), NOTHING);
}

#[test]
fn packages_are_asked_for_once_each() {
    let mut packages: Vec<_> = queried_packages().collect();
    let count = packages.len();
    packages.sort_unstable();
    packages.dedup();
    assert_eq!((packages.len(), count), (count, count));
    // Each is a call to another process.
    assert!(count <= 40, "{count}");
}

fn seen_by(device: &Endless) -> Environment {
    at_renewal(&Probe { process: device, platform: device, expected: &ExpectedApp::default() })
}

/// A device whose files and directories go on for ever, and whose implementation forgot the limits.
struct Endless;

impl ProcessProbe for Endless {
    fn entry(&self, _: &str) -> Option<Entry> {
        None
    }

    fn is_writable(&self, _: &str) -> Option<bool> {
        None
    }

    fn read(&self, _: &str, _: usize, each: &mut Each<'_>) -> Option<()> {
        while each(&[b'f'; 4096]).is_continue() {}
        Some(())
    }

    fn list(&self, path: &str, _: usize, each: &mut Each<'_>) -> Option<()> {
        // The first entries of closed directories would be a signal of their own.
        if path != "/proc/self/task" {
            return None;
        }
        (0_u32..).find(|thread| each(thread.to_string().as_bytes()) == ControlFlow::Break(()))?;
        Some(())
    }

    fn link_target(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn is_listening(&self, _: u16) -> Option<bool> {
        None
    }

    fn function_start(&self, _: SystemFunction) -> Option<[u8; FUNCTION_START]> {
        None
    }

    fn tracer(&self) -> Option<u32> {
        None
    }
}

impl PlatformProbe for Endless {
    fn system(&self) -> System {
        System::Android
    }
}
