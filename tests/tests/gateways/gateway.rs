//! The gateways: where the program of each is, the configuration of its example, and how it is started.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A gateway that has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gateway {
    Nginx,
    Caddy,
    Haproxy,
    EnvoyHttp,
    EnvoyGrpc,
}

/// The addresses that a gateway needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) gateway: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) service: SocketAddr,
    pub(crate) edge: SocketAddr,
}

impl Gateway {
    pub(crate) const ALL: [Self; 5] =
        [Self::Nginx, Self::Caddy, Self::Haproxy, Self::EnvoyHttp, Self::EnvoyGrpc];

    /// The folder of its example, and the name of its program.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
            Self::EnvoyHttp | Self::EnvoyGrpc => "envoy",
        }
    }

    /// What the edge's settings call it.
    pub(crate) const fn setting(self) -> &'static str {
        match self {
            Self::EnvoyHttp => "envoy-http",
            Self::EnvoyGrpc => "envoy-grpc",
            other => other.name(),
        }
    }

    pub(crate) fn example(self) -> PathBuf {
        workspace().join("examples").join(self.name())
    }

    /// The file of its example that it is started with.
    pub(crate) const fn main_file(self) -> &'static str {
        match self {
            Self::Nginx => "nginx.conf",
            Self::Caddy => "Caddyfile",
            Self::Haproxy => "haproxy.cfg",
            Self::EnvoyHttp => "envoy.yaml",
            Self::EnvoyGrpc => "envoy-grpc.yaml",
        }
    }

    /// The settings of its example.
    pub(crate) fn settings(self) -> PathBuf {
        self.example().join(match self {
            Self::EnvoyGrpc => "countersign-grpc.toml",
            _ => "countersign.toml",
        })
    }

    /// Whether it is installed. If not, says that its tests are skipped, or fails where none may be.
    pub(crate) fn is_installed(self) -> bool {
        if self.program().is_some() {
            return true;
        }
        let name = self.name();
        let required = std::env::var("COUNTERSIGN_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|group| group.trim() == "gateways"),
            "{name} is required and not installed"
        );
        // Not `println!`, which the test harness swallows.
        let mut terminal = std::io::stdout();
        let _ = writeln!(terminal, "SKIPPED gateways: {name} is not installed (cargo xtask setup gateways)");
        false
    }

    /// The command that runs it in the foreground, in a folder that [`Gateway::configure`] has filled.
    pub(crate) fn command(self, folder: &Path) -> Command {
        let mut command = Command::new(self.program().expect("looked for before"));
        command.current_dir(folder);
        match self {
            Self::Nginx => command
                .args(["-c", "nginx.conf", "-e", "stderr", "-p"])
                .arg(folder)
                .args(["-g", "daemon off; master_process off; pid nginx.pid;"]),
            Self::Caddy => command
                .args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"])
                .env("XDG_CONFIG_HOME", folder)
                .env("XDG_DATA_HOME", folder),
            Self::Haproxy => command.args(["-db", "-f", "haproxy.cfg"]),
            // Without a base id of its own it would share memory with another test's.
            Self::EnvoyHttp | Self::EnvoyGrpc => {
                let quiet = ["--use-dynamic-base-id", "--log-level", "warn"];
                command.args(["-c", self.main_file(), "--concurrency", "1"]).args(quiet)
            }
        };
        command
    }

    /// Puts the example's files into `folder`, without their stand-in for the API, with the addresses of a test.
    pub(crate) fn configure(self, folder: &Path, addresses: Addresses) {
        let (files, stand_in): (&[&str], Option<(&str, &str)>) = match self {
            Self::Nginx => (
                &[
                    "nginx.conf",
                    "countersign/edge.conf",
                    "countersign/server.conf",
                    "countersign/location.conf",
                ],
                Some(("    # Stands for the API", "}\n")),
            ),
            Self::Caddy => (&["Caddyfile", "countersign/site.caddy"], Some(("# Stands for the API", ""))),
            Self::Haproxy => {
                (&["haproxy.cfg", "countersign/countersign.lua"], Some(("# Stands for the API", "")))
            }
            Self::EnvoyHttp => (&["envoy.yaml"], None),
            Self::EnvoyGrpc => (&["envoy-grpc.yaml"], None),
        };
        std::fs::create_dir(folder.join("countersign")).unwrap();
        for (index, name) in files.iter().enumerate() {
            let mut text = std::fs::read_to_string(self.example().join(name)).unwrap();
            if let Some((mark, end)) = stand_in.filter(|_| index == 0) {
                let (gateway, _) = text.split_once(mark).expect("the stand-in comes last");
                text = format!("{gateway}{end}");
            }
            if self.name() == "envoy" {
                text = without_stand_in_listener(&text);
            }
            std::fs::write(folder.join(name), addresses.put_into(text)).unwrap();
        }
    }

    fn program(self) -> Option<PathBuf> {
        // Debian keeps some where only root's PATH looks; `cargo xtask setup gateways` puts Envoy into .cache.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([
            PathBuf::from("/usr/sbin"),
            PathBuf::from("/usr/local/sbin"),
            workspace().join(".cache/envoy/bin"),
        ]);
        folders.map(|folder| folder.join(self.name())).find(|program| program.is_file())
    }
}

impl Addresses {
    /// Puts these where the examples have theirs.
    fn put_into(self, text: String) -> String {
        let examples = [(8000, self.gateway), (8001, self.api), (8080, self.service), (8081, self.edge)];
        // First a name, so that no port of this test is taken for one of an example.
        let named = examples.iter().fold(text, |text, (port, _)| {
            text.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:<{port}>"))
                .replace(&format!("http://:{port}"), &format!("http://:<{port}>"))
                .replace(&format!("port_value: {port}"), &format!("port_value: <{port}>"))
        });
        examples.iter().fold(named, |text, (port, address)| {
            text.replace(&format!("<{port}>"), &address.port().to_string())
        })
    }
}

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn without_stand_in_listener(text: &str) -> String {
    let (before, rest) = text.split_once("    # Stands for the API").expect("a stand-in");
    let (_, after) = rest.split_once("\n  clusters:").expect("clusters come after listeners");
    format!("{before}\n  clusters:{after}")
}
