//! The signals over real files: made-up devices below a directory, and what a file system can do to a reader.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use countersign_core::environment::probe::{
    Each, Entry, ExpectedApp, PlatformProbe, Probe, ProcessProbe, System, SystemFunction,
};
use countersign_core::environment::{Environment, Signal, at_renewal};
use tempfile::TempDir;

use countersign_ffi::{Process, Signals, Surroundings};

/// A device whose files lie in a directory, and whose platform says nothing.
struct Tree(TempDir);

struct Silent(System);

impl PlatformProbe for Silent {
    fn system(&self) -> System {
        self.0
    }
}

impl Tree {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn clean_android() -> Self {
        Self::new()
            .file(
                "/proc/self/maps",
                "7300000000-7300021000 r--p 00000000 07:58 19  /apex/lib64/bionic/libc.so\n",
            )
            .file("/proc/self/mounts", "/dev/block/dm-4 / ext4 ro,seclabel 0 0\ntmpfs /dev tmpfs rw 0 0\n")
            .file("/proc/self/status", "Name:\tshop\nUmask:\t0077\nState:\tR (running)\nTracerPid:\t0\n")
            .file("/proc/self/task/4711/comm", "shop\n")
            .file("/system/bin/sh", "")
            .file("/system/xbin/busybox", "")
    }

    fn clean_iphone() -> Self {
        Self::new().file("/bin/df", "").file("/usr/libexec/x", "").file("/Applications/Mail.app/Mail", "")
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn link(self, path: &str, target: &str) -> Self {
        let path = self.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    fn process(&self) -> Process {
        Process::rooted(self.path().to_owned())
    }

    /// What it says of its files, except that the owner of this machine may write to all of them.
    fn seen(&self, system: System) -> Vec<&'static str> {
        let process = ReadOnly(self.process());
        let expected = ExpectedApp::default();
        let seen = at_renewal(&Probe { process: &process, platform: &Silent(system), expected: &expected });
        Signal::ALL.iter().filter(|signal| seen.contains(**signal)).map(|signal| signal.name()).collect()
    }
}

/// Without what the made-up tree cannot make up: rights, ports and the memory of this machine.
struct ReadOnly(Process);

impl ProcessProbe for ReadOnly {
    fn entry(&self, path: &str) -> Option<Entry> {
        self.0.entry(path)
    }

    fn is_writable(&self, _: &str) -> Option<bool> {
        None
    }

    fn read(&self, path: &str, limit: usize, each: &mut Each<'_>) -> Option<()> {
        self.0.read(path, limit, each)
    }

    fn list(&self, path: &str, limit: usize, each: &mut Each<'_>) -> Option<()> {
        self.0.list(path, limit, each)
    }

    fn link_target(&self, path: &str) -> Option<Vec<u8>> {
        self.0.link_target(path)
    }

    fn is_listening(&self, _: u16) -> Option<bool> {
        None
    }

    fn function_start(&self, _: SystemFunction) -> Option<[u8; 16]> {
        None
    }

    fn tracer(&self) -> Option<u32> {
        self.0.tracer()
    }
}

#[test]
fn clean_trees_say_nothing() {
    assert_eq!(Tree::clean_android().seen(System::Android), [""; 0]);
    assert_eq!(Tree::clean_iphone().seen(System::Apple), [""; 0]);
    assert_eq!(Tree::new().seen(System::Android), [""; 0]);
}

#[test]
fn each_tool_is_found_by_its_files() {
    let maps = |path: &str| format!("7-8 r-xp 00000000 fe:2c 99   {path}\n");
    let cases = [
        (Tree::clean_android().file("/system/xbin/su", ""), vec!["privileged-access"]),
        (Tree::clean_android().link("/sbin/su", "./magisk64"), vec!["privileged-access"]),
        (Tree::clean_android().file("/sbin/.magisk/config", ""), vec!["privileged-access", "root-hiding"]),
        (
            Tree::clean_android().file("/proc/self/mounts", "KSU /system overlay ro 0 0\n"),
            vec!["privileged-access", "root-hiding"],
        ),
        (
            Tree::clean_android().file("/proc/self/maps", &maps("/system/lib64/libzygisk.so")),
            vec!["root-hiding"],
        ),
        (
            Tree::clean_android().file("/proc/self/maps", &maps("/memfd:frida-agent-64.so (deleted)")),
            vec!["hooks"],
        ),
        (Tree::clean_android().file("/proc/self/task/4712/comm", "gum-js-loop\n"), vec!["hooks"]),
        (Tree::clean_android().file("/proc/self/status", "Name:\tx\nTracerPid:\t4712\n"), vec!["debugger"]),
        (Tree::clean_android().file("/dev/socket/qemud", ""), vec!["emulator"]),
        (Tree::clean_android().file("/proc/self/mounts", "a /system ext4 rw 0 0\n"), vec!["writable-system"]),
        (Tree::clean_android().file("/data/system/packages.xml", ""), vec!["sandbox-escape"]),
        (Tree::clean_android().file("/sys/fs/selinux/enforce", "0"), vec!["selinux-permissive"]),
    ];
    for (index, (tree, expected)) in cases.into_iter().enumerate() {
        assert_eq!(tree.seen(System::Android), expected, "case {index}");
    }
    let cases = [
        (Tree::clean_iphone().link("/var/jb", "/private/preboot/x/procursus"), vec!["privileged-access"]),
        (Tree::clean_iphone().file("/.installed_unc0ver", ""), vec!["privileged-access"]),
        (Tree::clean_iphone().file("/System/Library/CoreServices/Finder.app/x", ""), vec!["emulator"]),
    ];
    for (index, (tree, expected)) in cases.into_iter().enumerate() {
        assert_eq!(tree.seen(System::Apple), expected, "case {index}");
    }
}

#[test]
fn entries_are_told_apart_and_links_are_not_followed() {
    let tree = Tree::new().file("/file", "").link("/link", "/file").link("/dangling", "nowhere");
    let _socket = std::os::unix::net::UnixListener::bind(tree.path().join("socket")).unwrap();
    let process = tree.process();
    assert_eq!(process.entry("/file"), Some(Entry::File));
    assert_eq!(process.entry("/"), Some(Entry::Directory));
    assert_eq!(process.entry("/link"), Some(Entry::Link));
    assert_eq!(process.entry("/dangling"), Some(Entry::Link));
    assert_eq!(process.entry("/socket"), Some(Entry::Special));
    assert_eq!(process.entry("/nothing"), Some(Entry::Absent));
    assert_eq!(process.entry("/file/below"), Some(Entry::Absent));
    assert_eq!(process.link_target("/dangling"), Some(b"nowhere".to_vec()));
    assert_eq!(process.link_target("/file"), None);
}

#[test]
fn loops_of_links_end_in_no_answer() {
    let process = Tree::new().link("/a", "b").link("/b", "a");
    let process = process.process();
    assert_eq!(process.entry("/a/x"), None);
    assert_eq!(process.read("/a", 16, &mut |_| panic!("a loop has no content")), None);
    assert_eq!(process.list("/a", 16, &mut |_| panic!("a loop has no entries")), None);
    assert_eq!(process.is_writable("/a"), None);
}

#[test]
fn a_pipe_that_nobody_writes_to_is_not_waited_for() {
    let tree = Tree::new();
    let pipe = tree.path().join("pipe");
    let status = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(status.success());
    assert_eq!(tree.process().entry("/pipe"), Some(Entry::Special));
    assert_eq!(tree.process().read("/pipe", 16, &mut |_| panic!("a pipe is not read")), None);
}

#[test]
fn a_device_without_end_is_not_read() {
    let read = Process::new().read("/dev/zero", 16, &mut |_| panic!("a device is not read"));
    assert_eq!(read, None);
}

#[test]
fn files_are_read_to_their_limit_and_directories_too() {
    let mut tree = Tree::new().file("/long", &"x".repeat(100_000));
    for index in 0..40 {
        tree = tree.file(&format!("/many/{index}"), "");
    }
    let mut length = 0;
    tree.process().read("/long", 70_001, &mut |piece| {
        length += piece.len();
        ControlFlow::Continue(())
    });
    assert_eq!(length, 70_001);
    let mut entries = 0;
    tree.process().list("/many", 7, &mut |_| {
        entries += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(entries, 7);
    let mut pieces = 0;
    tree.process().read("/long", usize::MAX, &mut |_| {
        pieces += 1;
        ControlFlow::Break(())
    });
    assert_eq!(pieces, 1);
}

#[test]
fn names_that_are_no_text_are_names() {
    use std::os::unix::ffi::OsStrExt;
    let tree = Tree::new();
    fs::write(tree.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "").unwrap();
    let mut names = Vec::new();
    tree.process().list("/", 16, &mut |name| {
        names.push(name.to_vec());
        ControlFlow::Continue(())
    });
    assert_eq!(names, [b"\xff\xfe".to_vec()]);
}

#[test]
fn a_port_is_open_or_not() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(Process::new().is_listening(port), Some(true));
    drop(listener);
    assert_eq!(Process::new().is_listening(port), Some(false));
}

#[test]
fn the_tracer_is_read_anew_each_time() {
    let tree = Tree::new().file("/proc/self/status", "Name:\tx\nTracerPid:\t0\n");
    let process = tree.process();
    assert_eq!(process.tracer(), Some(0));
    fs::write(tree.path().join("proc/self/status"), "Name:\tx\nTracerPid:\t77\n").unwrap();
    assert_eq!(process.tracer(), Some(77));
}

#[test]
fn a_status_without_sense_names_no_tracer() {
    for text in [
        "",
        "TracerPid:",
        "TracerPid:\t-1\n",
        "TracerPid:\tx\n",
        "xTracerPid:\t1\n",
        "TracerPid:\t99999999999",
    ] {
        assert_eq!(Tree::new().file("/proc/self/status", text).process().tracer(), None, "{text:?}");
    }
    assert_eq!(Tree::new().process().tracer(), None);
}

#[test]
fn a_debugger_is_found_again_with_each_request() {
    let none = Surroundings::new(Arc::new(Silent(System::Host)), ExpectedApp::default());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let is_traced = status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"));
    assert_eq!(none.per_request().contains(Signal::Debugger), is_traced);
    assert_eq!(none.at_renewal(), none.per_request());

    struct Debugged;
    impl PlatformProbe for Debugged {
        fn system(&self) -> System {
            System::Host
        }
        fn is_debugger_attached(&self) -> Option<bool> {
            Some(true)
        }
    }
    let debugged = Surroundings::new(Arc::new(Debugged), ExpectedApp::default());
    assert_eq!(debugged.per_request(), Environment::default().with(Signal::Debugger));
}

#[test]
#[cfg(target_os = "linux")]
fn this_machines_own_functions_are_not_hooked() {
    let process = Process::new();
    let expected = ExpectedApp::default();
    let seen =
        at_renewal(&Probe { process: &process, platform: &Silent(System::Android), expected: &expected });
    assert!(!seen.contains(Signal::HookedFunctions), "{seen}");
    assert!(SystemFunction::ALL.iter().all(|function| process.function_start(*function).is_some()));
}
