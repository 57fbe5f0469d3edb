//! What the signals cost: a made-up Android phone and iPhone, as files in a directory of this machine, clean, so that
//! every check looks to its end. What the platform answers comes from memory here: on a phone, calls to its interface
//! are to be added.
#![cfg(unix)]
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, reason = "prints its table")]

use std::fmt::Write;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use countersign_core::environment::probe::{
    AppFacts, Each, ExpectedApp, Installer, PlatformProbe, Probe, ProcessProbe, Settings, System,
    SystemFunction,
};
use countersign_core::environment::{Environment, at_renewal, per_request};
use tempfile::TempDir;

use countersign_ffi::Process;

const ROUNDS: usize = 400;
/// Mappings of a large app; each library has four.
const MAPPINGS: usize = 4000;
const THREADS: usize = 80;
const MOUNTS: usize = 150;
const IMAGES: usize = 900;

/// A platform that answers at once.
struct Platform(System);

impl PlatformProbe for Platform {
    fn system(&self) -> System {
        self.0
    }

    fn property(&self, name: &str) -> Option<String> {
        Some(if name == "ro.secure" { "1".to_owned() } else { format!("value of {name}") })
    }

    fn loaded_images(&self, limit: usize, each: &mut Each<'_>) -> Option<()> {
        for index in 0..IMAGES.min(limit) {
            if each(format!("/System/Library/PrivateFrameworks/F{index}.framework/F{index}").as_bytes())
                .is_break()
            {
                break;
            }
        }
        Some(())
    }

    fn is_installed(&self, _: &str) -> Option<bool> {
        Some(false)
    }

    fn is_debugger_attached(&self) -> Option<bool> {
        Some(false)
    }

    fn app(&self) -> AppFacts {
        AppFacts {
            identifier: Some("com.example.shop".to_owned()),
            installer: Some(Installer::Package("com.android.vending".to_owned())),
            data_folder: Some("/data/user/0/com.example.shop".to_owned()),
            bundle_folder: Some("/private/var/containers/Bundle/Application/X/Shop.app".to_owned()),
            ..AppFacts::default()
        }
    }

    fn settings(&self) -> Settings {
        Settings::default()
    }
}

/// The made-up files, with this machine's ports and functions; its owner may write everywhere, so that is not asked
/// and counted as one more look at each path.
struct Phone(Process);

impl ProcessProbe for Phone {
    fn entry(&self, path: &str) -> Option<countersign_core::environment::probe::Entry> {
        self.0.entry(path)
    }

    fn is_writable(&self, path: &str) -> Option<bool> {
        black_box(self.0.is_writable(path));
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

    fn is_listening(&self, port: u16) -> Option<bool> {
        self.0.is_listening(port)
    }

    fn function_start(&self, function: SystemFunction) -> Option<[u8; 16]> {
        self.0.function_start(function)
    }

    fn tracer(&self) -> Option<u32> {
        self.0.tracer()
    }
}

fn main() {
    let expected = ExpectedApp::default();
    let folder = TempDir::new().unwrap();
    android(folder.path());
    let made_up = Phone(Process::rooted(folder.path().to_owned()));
    let this = Phone(Process::new());
    let phone = |process, system: &'static Platform| Probe { process, platform: system, expected: &expected };
    let android = phone(&made_up, &Platform(System::Android));
    let apple = phone(&made_up, &Platform(System::Apple));
    let running = phone(&this, &Platform(System::Android));
    for probe in [&android, &apple] {
        assert_eq!(at_renewal(probe), Environment::default(), "a clean phone");
    }
    println!("| case | median | slowest of {ROUNDS} |");
    println!("| --- | --- | --- |");
    row("device: all signals at a renewal, Android", || at_renewal(&android));
    row("device: all signals at a renewal, Apple", || at_renewal(&apple));
    row("device: the signals of each request", || per_request(&running));
}

fn row(name: &str, mut look: impl FnMut() -> Environment) {
    let mut samples: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            black_box(look());
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    println!("| {name} | {:.1} us | {:.1} us |", samples[ROUNDS / 2], samples[ROUNDS - 1]);
}

/// A clean phone: a large app's memory, its threads and its mounts.
fn android(root: &Path) {
    let file = |path: &str, text: &str| {
        let path: PathBuf = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let mut maps = String::new();
    for index in 0..MAPPINGS {
        let start = 0x7300_0000_0000_u64 + index as u64 * 0x2_1000;
        let library = index / 4;
        writeln!(
            maps,
            "{start:x}-{:x} r-xp 00021000 07:58 {index:<10}                 /apex/com.android.runtime/lib64/bionic/lib{library}.so",
            start + 0x2_1000
        )
        .unwrap();
    }
    file("proc/self/maps", &maps);
    let mounts: String = (0..MOUNTS)
        .map(|index| format!("/dev/block/dm-{index} /apex/a{index} ext4 ro,seclabel,nodev 0 0\n"))
        .collect();
    file("proc/self/mounts", &mounts);
    file("proc/self/status", "Name:\tshop\nTracerPid:\t0\n");
    for thread in 0..THREADS {
        file(&format!("proc/self/task/{}/comm", 4711 + thread), "RenderThread\n");
    }
    file("system/bin/sh", "");
    file("system/xbin/busybox", "");
}
