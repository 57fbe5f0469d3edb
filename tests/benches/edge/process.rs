//! Programs under measurement: all on one core, and their time on it as the kernel counts it.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// The core of everything that is measured. The client has the others.
const CORE: &str = "0";
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that ends with its owner.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it, writing to `log`, and waits until it listens.
    ///
    /// # Panics
    /// If it ends or does not listen in time, with what it said.
    pub(crate) fn start(command: &Command, log: &Path, listens: SocketAddr) -> Self {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", CORE]).arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            pinned.current_dir(folder);
        }
        let file = File::create(log).expect("a folder of our own");
        pinned.stdout(file.try_clone().expect("an open file")).stderr(file);
        // A service that logs every request would be measured writing; refusals it still says.
        pinned.env("RUST_LOG", "warn");
        let mut process = Self(pinned.spawn().expect("taskset is installed (Debian's util-linux)"));
        let start = Instant::now();
        while TcpStream::connect(listens).is_err() {
            let ended = process.0.try_wait().expect("a child of ours").is_some();
            if ended || start.elapsed() > PATIENCE {
                panic!("{command:?} does not start: {}", fs::read_to_string(log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    /// The time of all its threads on the core since it started, to the nanosecond (`/proc/PID/task/TID/schedstat`).
    pub(crate) fn time_on_core(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("Linux' /proc");
        let nanoseconds = threads.flatten().filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("a bound listener")
}
