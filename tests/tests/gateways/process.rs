//! A real gateway, running with the configuration of its example.

use std::any::Any;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::gateway::{Addresses, Gateway};
use crate::world::World;

/// A running gateway; ends when dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    _held: Box<dyn Any>,
}

impl Running {
    /// Something that listens on `address` as long as it is held.
    pub(crate) fn held(address: SocketAddr, held: impl Any) -> Self {
        Self { address, _held: Box::new(held) }
    }

    /// Starts `gateway` in front of the API of `world`, asking its edge.
    pub(crate) async fn start(gateway: Gateway, world: &World) -> Self {
        Self::start_asking(gateway, world.edge, world).await
    }

    /// As [`Running::start`], asking something else than the edge.
    pub(crate) async fn start_asking(gateway: Gateway, edge: SocketAddr, world: &World) -> Self {
        Self::start_changed(gateway, edge, world, |_| ()).await
    }

    /// As [`Running::start_asking`], after `change` to the folder that holds its configuration.
    pub(crate) async fn start_changed(
        gateway: Gateway,
        edge: SocketAddr,
        world: &World,
        change: impl Fn(&Path),
    ) -> Self {
        // Another process may take the port between our letting go and the gateway's taking it.
        let mut words = String::new();
        for _ in 0..5 {
            let directory = tempfile::tempdir().unwrap();
            let free = free_address();
            let addresses =
                Addresses { gateway: free, api: world.upstream.address, service: world.public, edge };
            gateway.configure(directory.path(), addresses);
            change(directory.path());
            let log = directory.path().join("log");
            let file = File::create(&log).unwrap();
            let mut command = gateway.command(directory.path());
            command.stdout(file.try_clone().unwrap()).stderr(file);
            let mut process = Process(command.spawn().unwrap());
            if listens(&mut process.0, free).await {
                return Self { address: free, _held: Box::new((process, directory)) };
            }
            words = std::fs::read_to_string(log).unwrap_or_default();
        }
        panic!("{} does not start: {words}", gateway.name());
    }
}

/// An address that nobody listens on, below the ports that the system hands out by itself: otherwise a listener of another
/// test may have it before the gateway does, and be taken for the gateway.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let of_this_process = std::process::id().wrapping_mul(97);
    loop {
        let next = of_this_process.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed).into());
        let port = u16::try_from(20_000 + next % 12_000).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
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
