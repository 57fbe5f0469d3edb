//! A device in memory: a tree of files, and what its platform would tell.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use countersign_core::environment::probe::{
    AppFacts, Each, Entry, ExpectedApp, FUNCTION_START, Installer, PlatformProbe, Probe, ProcessProbe,
    Settings, System, SystemFunction,
};
use countersign_core::environment::{Environment, Signal, at_renewal, per_request};

pub const PACKAGE: &str = "com.example.shop";
pub const SIGNER: [u8; 32] = [8; 32];
pub const TEAM: &str = "ABCDE12345";
pub const BUNDLE: &str =
    "/private/var/containers/Bundle/Application/0B6D3C1E-0000-4000-8000-000000000000/Shop.app";

/// Libraries of a phone as it is sold, mapped as the kernel prints them.
const MAPS: &str = "\
12c00000-52c00000 rw-p 00000000 00:00 0                                  [anon:dalvik-main space (region space)]
7100000000-7100021000 r--p 00000000 fe:0a 1234                           /system/framework/arm64/boot.art
7100021000-7100052000 r-xp 00021000 fe:0a 1234                           /system/framework/arm64/boot.art
7200000000-7200021000 r--p 00000000 fe:2c 77                             /data/app/~~Qx==/com.example.shop-1==/base.apk
7200100000-7200121000 r--p 00000000 fe:2c 78                             /data/app/~~Qx==/com.example.shop-1==/lib/arm64/libcountersign.so
7300000000-7300021000 r--p 00000000 07:58 19                             /apex/com.android.runtime/lib64/bionic/libc.so
7300021000-7300052000 --xp 00021000 07:58 19                             /apex/com.android.runtime/lib64/bionic/libc.so
7400000000-7400001000 rw-s 00000000 00:01 4096                           /memfd:jit-cache (deleted)
7400001000-7400002000 rw-p 00000000 00:00 0 
7ff0000000-7ff0800000 rw-p 00000000 00:00 0                              [stack]
";

const MOUNTS: &str = "\
/dev/block/dm-4 / ext4 ro,seclabel,nodev,relatime,discard 0 0
tmpfs /dev tmpfs rw,seclabel,nosuid,relatime,size=3800000k,mode=755 0 0
/dev/block/dm-5 /product ext4 ro,seclabel,nodev,relatime 0 0
/dev/block/dm-6 /vendor erofs ro,seclabel,nodev,relatime 0 0
overlay /vendor/overlay overlay ro,seclabel,lowerdir=/vendor/overlay 0 0
/dev/block/dm-47 /data f2fs rw,lazytime,seclabel,nosuid,nodev,noatime 0 0
tmpfs /apex tmpfs rw,seclabel,nosuid,nodev,noexec,relatime 0 0
";

pub enum Node {
    File(Vec<u8>),
    Directory,
    Link(&'static str),
    /// A file without end.
    Endless,
}

pub struct Device {
    pub system: System,
    pub nodes: BTreeMap<String, Node>,
    /// Directories that this process may list.
    pub listable: BTreeSet<String>,
    pub writable: BTreeSet<String>,
    pub properties: BTreeMap<String, String>,
    pub packages: BTreeSet<String>,
    pub ports: BTreeSet<u16>,
    pub images: Vec<Vec<u8>>,
    pub functions: BTreeMap<usize, [u8; FUNCTION_START]>,
    pub tracer: Option<u32>,
    pub has_debugger: Option<bool>,
    pub is_simulator: Option<bool>,
    pub can_fork: Option<bool>,
    pub app: AppFacts,
    pub settings: Settings,
    pub expected: ExpectedApp,
}

impl Device {
    /// A phone that answers nothing at all.
    pub fn silent(system: System) -> Self {
        Self {
            system,
            nodes: BTreeMap::new(),
            listable: BTreeSet::new(),
            writable: BTreeSet::new(),
            properties: BTreeMap::new(),
            packages: BTreeSet::new(),
            ports: BTreeSet::new(),
            images: Vec::new(),
            functions: BTreeMap::new(),
            tracer: None,
            has_debugger: None,
            is_simulator: None,
            can_fork: None,
            app: AppFacts::default(),
            settings: Settings::default(),
            expected: ExpectedApp::default(),
        }
    }

    /// A phone as it is sold, with the shop's app from Google Play. It has `busybox`, as some do.
    pub fn android() -> Self {
        let mut device = Self::silent(System::Android)
            .file("/proc/self/maps", MAPS)
            .file("/proc/self/mounts", MOUNTS)
            .file("/proc/self/task/4711/comm", "example.shop\n")
            .file("/proc/self/task/4720/comm", "gmain\n")
            .file("/system/bin/sh", "")
            .file("/system/xbin/busybox", "")
            .file("/system/bin/sum", "")
            .directory("/data/adb")
            .directory("/data/local/tmp")
            .property("ro.build.tags", "release-keys")
            .property("ro.build.type", "user")
            .property(
                "ro.build.fingerprint",
                "google/tokay/tokay:16/BP2A.250605.031/13578606:user/release-keys",
            )
            .property("ro.debuggable", "0")
            .property("ro.secure", "1")
            .property("ro.hardware", "tokay")
            .property("ro.product.model", "Pixel 9")
            .property("ro.product.manufacturer", "Google")
            .package("com.android.vending");
        device.listable.insert("/proc/self/task".into());
        device.tracer = Some(0);
        device.has_debugger = Some(false);
        // `paciasp; stp x29, x30, [sp, #-…]!` after the landing pad.
        let start = [0x3f, 0x23, 0x03, 0xd5, 0xff, 0x43, 0x01, 0xd1, 0xfd, 0x7b, 0x02, 0xa9, 0, 0, 0, 0];
        device.functions = SystemFunction::ALL.iter().map(|function| (*function as usize, start)).collect();
        device.app = AppFacts {
            identifier: Some(PACKAGE.into()),
            signing_digests: Some(vec![SIGNER]),
            installer: Some(Installer::Package("com.android.vending".into())),
            is_debuggable: Some(false),
            data_folder: Some(format!("/data/user/0/{PACKAGE}")),
            ..AppFacts::default()
        };
        device.settings =
            Settings { developer_mode: Some(false), adb_enabled: Some(false), has_passcode: Some(true) };
        device.expected = ExpectedApp {
            identifier: Some(PACKAGE.into()),
            signing_digests: vec![[7; 32], SIGNER],
            ..ExpectedApp::default()
        };
        device
    }

    /// A phone as it is sold, with the shop's app from the App Store.
    pub fn iphone() -> Self {
        let mut device = Self::silent(System::Apple)
            .directory("/Applications")
            .directory("/usr/share")
            .directory("/usr/libexec")
            .directory("/cores")
            .directory("/Library/Ringtones")
            .file("/bin/df", "")
            .file("/bin/ps", "")
            .file(&format!("{BUNDLE}/Info.plist"), "")
            .image("/usr/lib/libSystem.B.dylib")
            .image("/private/preboot/Cryptexes/OS/usr/lib/libobjc-trampolines.dylib")
            .image("/System/Library/Frameworks/UIKit.framework/UIKit")
            .image(&format!("{BUNDLE}/Shop"))
            .image(&format!("{BUNDLE}/Frameworks/ShadowKit.framework/ShadowKit"));
        device.has_debugger = Some(false);
        device.is_simulator = Some(false);
        device.can_fork = Some(false);
        // `mov x16, #5; svc #0x80`.
        let start = [0xb0, 0x00, 0x80, 0xd2, 0x01, 0x10, 0x00, 0xd4, 0, 0, 0, 0, 0, 0, 0, 0];
        device.functions = SystemFunction::ALL.iter().map(|function| (*function as usize, start)).collect();
        device.app = AppFacts {
            identifier: Some(PACKAGE.into()),
            team: Some(TEAM.into()),
            is_debuggable: Some(false),
            is_encrypted: Some(true),
            bundle_folder: Some(BUNDLE.into()),
            ..AppFacts::default()
        };
        device.settings = Settings { has_passcode: Some(true), ..Settings::default() };
        device.expected = ExpectedApp {
            identifier: Some(PACKAGE.into()),
            team: Some(TEAM.into()),
            ..ExpectedApp::default()
        };
        device
    }

    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.nodes.insert(path.into(), Node::File(text.as_bytes().to_vec()));
        self
    }

    pub fn directory(mut self, path: &str) -> Self {
        self.nodes.insert(path.into(), Node::Directory);
        self
    }

    pub fn link(mut self, path: &str, target: &'static str) -> Self {
        self.nodes.insert(path.into(), Node::Link(target));
        self
    }

    pub fn node(mut self, path: &str, node: Node) -> Self {
        self.nodes.insert(path.into(), node);
        self
    }

    pub fn listable(mut self, path: &str) -> Self {
        self.listable.insert(path.into());
        self
    }

    pub fn writable(mut self, path: &str) -> Self {
        self.writable.insert(path.into());
        self
    }

    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    pub fn package(mut self, package: &str) -> Self {
        self.packages.insert(package.into());
        self
    }

    pub fn image(mut self, path: &str) -> Self {
        self.images.push(path.as_bytes().to_vec());
        self
    }

    pub fn port(mut self, port: u16) -> Self {
        self.ports.insert(port);
        self
    }

    pub fn function(mut self, function: SystemFunction, start: &[u8]) -> Self {
        let mut bytes = [0; FUNCTION_START];
        bytes[..start.len()].copy_from_slice(start);
        self.functions.insert(function as usize, bytes);
        self
    }

    /// With one more file mapped into the process.
    pub fn mapped(self, path: &str) -> Self {
        let maps = format!("{MAPS}7500000000-7500021000 r-xp 00000000 fe:2c 99          {path}\n");
        self.file("/proc/self/maps", &maps)
    }

    /// With one more file system.
    pub fn mounted(self, line: &str) -> Self {
        let mounts = format!("{MOUNTS}{line} 0 0\n");
        self.file("/proc/self/mounts", &mounts)
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// What it says at a renewal.
    pub fn seen(&self) -> Environment {
        at_renewal(&self.probe())
    }

    /// What it says with each request.
    pub fn seen_each_time(&self) -> Environment {
        per_request(&self.probe())
    }

    fn probe(&self) -> Probe<'_> {
        Probe { process: self, platform: self, expected: &self.expected }
    }
}

/// A set of signals.
pub fn set(signals: &[Signal]) -> Environment {
    signals.iter().fold(Environment::default(), |set, signal| set.with(*signal))
}

impl ProcessProbe for Device {
    fn entry(&self, path: &str) -> Option<Entry> {
        Some(match self.nodes.get(path) {
            None => Entry::Absent,
            Some(Node::File(_) | Node::Endless) => Entry::File,
            Some(Node::Directory) => Entry::Directory,
            Some(Node::Link(_)) => Entry::Link,
        })
    }

    fn is_writable(&self, path: &str) -> Option<bool> {
        Some(self.writable.contains(path))
    }

    fn read(&self, path: &str, limit: usize, each: &mut Each<'_>) -> Option<()> {
        match self.nodes.get(path)? {
            // As the kernel does it, a page at a time.
            Node::File(bytes) => {
                for piece in bytes.get(..limit).unwrap_or(bytes).chunks(4096) {
                    if each(piece).is_break() {
                        break;
                    }
                }
                Some(())
            }
            Node::Endless => {
                for _ in 0..limit.div_ceil(4096) {
                    if each(&[b'f'; 4096]).is_break() {
                        break;
                    }
                }
                Some(())
            }
            Node::Directory | Node::Link(_) => None,
        }
    }

    fn list(&self, path: &str, limit: usize, each: &mut Each<'_>) -> Option<()> {
        self.listable.contains(path).then_some(())?;
        let below = format!("{path}/");
        let mut names = BTreeSet::new();
        for node in self.nodes.keys().filter_map(|node| node.strip_prefix(&below)) {
            names.extend(node.split('/').next());
        }
        for name in names.into_iter().take(limit) {
            if each(name.as_bytes()).is_break() {
                break;
            }
        }
        Some(())
    }

    fn link_target(&self, path: &str) -> Option<Vec<u8>> {
        match self.nodes.get(path)? {
            Node::Link(target) => Some(target.as_bytes().to_vec()),
            _ => None,
        }
    }

    fn is_listening(&self, port: u16) -> Option<bool> {
        Some(self.ports.contains(&port))
    }

    fn function_start(&self, function: SystemFunction) -> Option<[u8; FUNCTION_START]> {
        self.functions.get(&(function as usize)).copied()
    }

    fn tracer(&self) -> Option<u32> {
        self.tracer
    }
}

impl PlatformProbe for Device {
    fn system(&self) -> System {
        self.system
    }

    fn is_simulator(&self) -> Option<bool> {
        self.is_simulator
    }

    fn property(&self, name: &str) -> Option<String> {
        self.properties.get(name).cloned()
    }

    fn loaded_images(&self, limit: usize, each: &mut Each<'_>) -> Option<()> {
        for image in self.images.iter().take(limit) {
            if each(image) == ControlFlow::Break(()) {
                break;
            }
        }
        Some(())
    }

    fn is_installed(&self, package: &str) -> Option<bool> {
        Some(self.packages.contains(package))
    }

    fn is_debugger_attached(&self) -> Option<bool> {
        self.has_debugger
    }

    fn can_fork(&self) -> Option<bool> {
        self.can_fork
    }

    fn app(&self) -> AppFacts {
        self.app.clone()
    }

    fn settings(&self) -> Settings {
        self.settings
    }
}
