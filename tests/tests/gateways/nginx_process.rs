//! nginx itself, with the configuration of `examples/nginx`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::world::World;

/// A running nginx; ends when dropped.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    _process: Process,
    _directory: TempDir,
}

impl Nginx {
    /// Starts nginx in front of the API of `world`, asking its edge.
    pub(crate) async fn start(world: &World) -> Self {
        Self::start_asking(world.edge, world).await
    }

    /// As [`Nginx::start`], asking something else than the edge.
    pub(crate) async fn start_asking(edge: SocketAddr, world: &World) -> Self {
        // Another process may take the port between our letting go and nginx' taking it.
        let mut words = String::new();
        for _ in 0..5 {
            let directory = tempfile::tempdir().unwrap();
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            configure(directory.path(), [free, world.upstream.address, world.public, edge]);
            let child = Command::new(program().expect("looked for before"))
                .arg("-p")
                .arg(directory.path())
                .args(["-c", "nginx.conf", "-e"])
                .arg(directory.path().join("error.log"))
                .args(["-g", "daemon off; master_process off; pid nginx.pid;"])
                .spawn()
                .unwrap();
            let mut process = Process(child);
            if listens(&mut process.0, free).await {
                return Self { address: free, _process: process, _directory: directory };
            }
            words = std::fs::read_to_string(directory.path().join("error.log")).unwrap_or_default();
        }
        panic!("nginx does not start: {words}");
    }
}

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether nginx is installed. If not, says that the test is skipped, or fails where nothing may be.
pub(crate) fn is_installed() -> bool {
    if program().is_some() {
        return true;
    }
    let required = std::env::var("COUNTERSIGN_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|group| group.trim() == "gateways"),
        "nginx is required and not installed"
    );
    // Not `println!`, which the test harness swallows.
    let mut terminal = std::io::stdout();
    let _ = writeln!(terminal, "SKIPPED gateways: nginx is not installed (cargo xtask setup gateways)");
    false
}

fn program() -> Option<PathBuf> {
    // Debian keeps it where only root's PATH looks.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    folders.map(|folder| folder.join("nginx")).find(|program| program.is_file())
}

/// The example's files with the addresses of this test.
fn configure(directory: &Path, addresses: [SocketAddr; 4]) {
    let replaced = ["127.0.0.1:8000", "127.0.0.1:8001", "127.0.0.1:8080", "127.0.0.1:8081"];
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/nginx");
    let read = |name: &str| std::fs::read_to_string(example.join(name)).unwrap();
    let adapt = |text: &str| {
        replaced
            .iter()
            .zip(addresses)
            .fold(text.to_owned(), |text, (old, new)| text.replace(old, &new.to_string()))
    };
    let whole = read("nginx.conf");
    let (gateway, _) = whole.split_once("    # Stands for the API").expect("the stand-in comes last");
    std::fs::create_dir(directory.join("countersign")).unwrap();
    std::fs::write(directory.join("nginx.conf"), format!("{}}}\n", adapt(gateway))).unwrap();
    for name in ["countersign/server.conf", "countersign/location.conf"] {
        std::fs::write(directory.join(name), adapt(&read(name))).unwrap();
    }
}

/// Waits until something listens, or the process has ended.
async fn listens(process: &mut Child, address: SocketAddr) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        if TcpStream::connect(address).await.is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}
