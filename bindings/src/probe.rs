//! What this process sees by itself, for the signals: files, directories, ports, its own memory. No platform
//! interface is asked, so it is the same on Android, on Apple's systems and on a host. Nothing is changed, nothing is
//! waited for, and nothing that is not a regular file is read.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::fs::{Access, Mode, OFlags};

use countersign_core::environment::probe::{
    Each, Entry, ExpectedApp, FUNCTION_START, PlatformProbe, Probe, ProcessProbe, SystemFunction,
};
use countersign_core::environment::{Environment, at_renewal, per_request};

use crate::own_memory;
use crate::port::Signals;

/// How long a port of this device may take to answer.
const PORT_PATIENCE: Duration = Duration::from_millis(20);

/// The probes of the running app, in one hand.
pub struct Surroundings {
    process: Process,
    platform: Arc<dyn PlatformProbe>,
    expected: ExpectedApp,
}

impl Surroundings {
    /// With what the platform tells, and what the developer expects of the app.
    pub fn new(platform: Arc<dyn PlatformProbe>, expected: ExpectedApp) -> Self {
        Self { process: Process::new(), platform, expected }
    }

    fn probe(&self) -> Probe<'_> {
        Probe { process: &self.process, platform: &*self.platform, expected: &self.expected }
    }
}

impl Signals for Surroundings {
    fn at_renewal(&self) -> Environment {
        at_renewal(&self.probe())
    }

    fn per_request(&self) -> Environment {
        per_request(&self.probe())
    }
}

/// The running process.
#[derive(Debug, Default)]
pub struct Process {
    /// Put before every path; empty on a device.
    root: PathBuf,
    /// `/proc/self/status`, kept open: to read it again costs half of what it costs to open it, too.
    status: OnceLock<Option<File>>,
}

impl Process {
    /// This process on this device.
    pub const fn new() -> Self {
        Self { root: PathBuf::new(), status: OnceLock::new() }
    }

    /// This process, with the files below `root` as the device's; for tests with made-up devices.
    pub const fn rooted(root: PathBuf) -> Self {
        Self { root, status: OnceLock::new() }
    }

    fn path(&self, path: &str) -> PathBuf {
        if self.root.as_os_str().is_empty() {
            path.into()
        } else {
            self.root.join(path.trim_start_matches('/'))
        }
    }

    /// Opens a regular file. Without waiting, because a pipe would wait for somebody who writes.
    fn open(&self, path: &str) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(rustix::fs::open(self.path(path), flags, Mode::empty()).ok()?);
        file.metadata().ok()?.is_file().then_some(file)
    }
}

impl ProcessProbe for Process {
    fn entry(&self, path: &str) -> Option<Entry> {
        match std::fs::symlink_metadata(self.path(path)) {
            Ok(found) if found.is_file() => Some(Entry::File),
            Ok(found) if found.is_dir() => Some(Entry::Directory),
            Ok(found) if found.is_symlink() => Some(Entry::Link),
            Ok(_) => Some(Entry::Special),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Some(Entry::Absent)
            }
            Err(_) => None,
        }
    }

    fn is_writable(&self, path: &str) -> Option<bool> {
        match rustix::fs::access(self.path(path), Access::WRITE_OK) {
            Ok(()) => Some(true),
            Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM | rustix::io::Errno::ROFS) => Some(false),
            Err(_) => None,
        }
    }

    fn read(&self, path: &str, limit: usize, each: &mut Each<'_>) -> Option<()> {
        let mut file = self.open(path)?.take(limit as u64);
        let mut piece = [0; 8192];
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Some(()),
                Ok(length) => {
                    if each(piece.get(..length).unwrap_or_default()).is_break() {
                        return Some(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    fn list(&self, path: &str, limit: usize, each: &mut Each<'_>) -> Option<()> {
        for entry in std::fs::read_dir(self.path(path)).ok()?.take(limit).flatten() {
            if each(&entry.file_name().into_vec()) == ControlFlow::Break(()) {
                break;
            }
        }
        Some(())
    }

    fn link_target(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read_link(self.path(path)).ok().map(|target| target.into_os_string().into_vec())
    }

    fn is_listening(&self, port: u16) -> Option<bool> {
        match TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PORT_PATIENCE) {
            Ok(_) => Some(true),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Some(false),
            Err(_) => None,
        }
    }

    fn function_start(&self, function: SystemFunction) -> Option<[u8; FUNCTION_START]> {
        own_memory::function_start(function)
    }

    fn tracer(&self) -> Option<u32> {
        let status = self.status.get_or_init(|| self.open("/proc/self/status")).as_ref()?;
        // `TracerPid` stands in the first lines; what the process is called, before it, has 64 characters at most.
        let mut head = [0; 512];
        let length = status.read_at(&mut head, 0).ok()?;
        let mut lines = head.get(..length)?.split(|byte| *byte == b'\n');
        let tracer = lines.find_map(|line| line.strip_prefix(b"TracerPid:"))?;
        std::str::from_utf8(tracer).ok()?.trim().parse().ok()
    }
}
