//! A real attestation service with its edge, and a real nginx in front of a stand-in for an API, with the configuration
//! of `examples/nginx`. Everything ends with it.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use super::{failed, folder, programs, work};
use crate::{Stop, workspace};

/// The app of the tests: the example's own is for phones alone.
const CLIENT: &str = "com.example.app.dev";
const POLICY: &str = "
[[app]]
client_id = 'com.example.app.dev'
mode = 'development'
";
/// What the example lacks: routes that answer with a demand.
const ROUTES: &str = "
[[resource.route]]
path = '/nonce'
credentials = []
tier = 'warning'
nonce = 'required'
[[resource.route]]
path = '/hardware'
credentials = []
tier = 'warning'
assurance = 'hardware'
[[resource.route]]
path = '/key'
credentials = ['api_key']
tier = 'warning'
";
const PATIENCE: Duration = Duration::from_secs(30);

/// The running programs.
pub(super) struct Scene {
    folder: PathBuf,
    ports: Ports,
    admin_key: String,
    api_key: String,
    programs: Vec<Child>,
}

#[derive(Clone, Copy)]
struct Ports {
    gateway: u16,
    api: u16,
    public: u16,
    edge: u16,
    admin: u16,
}

impl Scene {
    /// Starts everything, and waits until it answers.
    pub(super) fn start() -> Result<Self, Stop> {
        let folder = work().join("scene");
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        }
        folder::private_folder(&folder)?;
        let [gateway, api, public, edge, admin] = free_ports()?;
        let ports = Ports { gateway, api, public, edge, admin };
        let mut scene =
            Self { folder, ports, admin_key: String::new(), api_key: String::new(), programs: Vec::new() };
        scene.configure()?;
        scene.start_service()?;
        scene.start_nginx()?;
        Ok(scene)
    }

    /// What the tests are told.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        [
            ("SERVICE", url(self.ports.public)),
            ("API", url(self.ports.gateway)),
            ("ADMIN", url(self.ports.admin)),
            ("ADMIN_KEY", self.admin_key.clone()),
            ("API_KEY", self.api_key.clone()),
            ("CLIENT", CLIENT.to_owned()),
        ]
        .map(|(name, value)| (format!("COUNTERSIGN_TEST_{name}"), value))
        .into()
    }

    /// Runs the command line `countersign …` beside the service.
    pub(super) fn administrate(&self, line: &str) -> Result<(), Stop> {
        let mut words = line.split_whitespace().map(|word| word.trim_matches('\''));
        if words.next() != Some("countersign") {
            return Err(Stop::Failed(format!("swift: no command of countersign: {line}")));
        }
        workspace::output(self.countersign(&words.collect::<Vec<_>>())).map(drop)
    }

    /// The example's files, with the addresses of this run, the app of the tests and its routes.
    fn configure(&self) -> Result<(), Stop> {
        let example = workspace::root().join("examples").join("nginx");
        let files = [
            "nginx.conf",
            "countersign/edge.conf",
            "countersign/server.conf",
            "countersign/location.conf",
            "countersign.toml",
        ];
        let parts = self.folder.join("countersign");
        fs::create_dir_all(&parts).map_err(|error| failed(&parts, &error))?;
        for name in files.into_iter().chain(["policy.toml", "login.jwks"]) {
            let path = example.join(name);
            let mut text = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
            text = self.ports.put_into(text);
            match name {
                "countersign.toml" => {
                    text = changed(
                        &text,
                        "clients = { ",
                        &format!("clients = {{ \"{CLIENT}\" = [\"dev-app\"], "),
                    )?;
                    text = changed(&text, "credentials = []\n", "credentials = []\ntier = 'warning'\n")?;
                    text = changed(&text, "[[resource]]\n", "[[resource]]\napi_keys = 'api-keys.json'\n")?;
                    text.push_str(ROUTES);
                }
                "policy.toml" => {
                    // The roots of virtual phones have no business here.
                    let (apps, _) = text.split_once("# The roots of").ok_or_else(|| unlike(name))?;
                    text = format!("{apps}{POLICY}");
                }
                // The stand-in for an API also says what the edge told it of the body.
                "nginx.conf" => {
                    text = changed(&text, "_tier\\n", "_tier content $http_x_attested_content\\n")?
                }
                _ => {}
            }
            let path = self.folder.join(name);
            fs::write(&path, text).map_err(|error| failed(&path, &error))?;
        }
        Ok(())
    }

    fn start_service(&mut self) -> Result<(), Stop> {
        let key = |stdout: String, prefix: &str| {
            let key = stdout.split_whitespace().find(|word| word.starts_with(prefix)).map(str::to_owned);
            key.ok_or_else(|| Stop::Failed(format!("swift: no key in: {stdout}")))
        };
        self.api_key = key(workspace::output(self.countersign(&["keys", "api", "new", CLIENT]))?, "csk_")?;
        self.spawn(self.countersign(&["serve"]), "service")?;
        self.wait_until("the service is ready", self.ports.admin, is_ready)?;
        // The registry is there now.
        let stdout = workspace::output(self.countersign(&["keys", "admin", "new", "swift-tests"]))?;
        self.admin_key = key(stdout, "csa_")?;
        Ok(())
    }

    fn countersign(&self, words: &[&str]) -> Command {
        let mut command = Command::new(programs().join("countersign"));
        command.args(words).args(["--settings", "countersign.toml"]).current_dir(&self.folder);
        command.env("RUST_LOG", "info");
        command
    }

    fn start_nginx(&mut self) -> Result<(), Stop> {
        let program =
            workspace::program("nginx").ok_or_else(|| Stop::Failed("swift: without nginx".to_owned()))?;
        let mut command = Command::new(program);
        command.args(["-c", "nginx.conf", "-e", "stderr", "-p"]).arg(&self.folder);
        command.args(["-g", "daemon off; master_process off; pid nginx.pid;"]).current_dir(&self.folder);
        self.spawn(command, "nginx")?;
        let listens = |port| TcpStream::connect(("127.0.0.1", port)).is_ok();
        self.wait_until("nginx listens", self.ports.gateway, listens)
    }

    fn spawn(&mut self, mut command: Command, name: &str) -> Result<(), Stop> {
        let path = self.folder.join(format!("{name}.log"));
        let log = File::create(&path).map_err(|error| failed(&path, &error))?;
        let other = log.try_clone().map_err(|error| failed(&path, &error))?;
        command.stdin(std::process::Stdio::null()).stdout(log).stderr(other);
        let child = command.spawn().map_err(|error| {
            Stop::Failed(format!("swift: cannot start `{}`: {error}", workspace::shown(&command)))
        })?;
        self.programs.push(child);
        Ok(())
    }

    /// Waits until the program that was started last serves on `port`.
    fn wait_until(&mut self, what: &str, port: u16, is_there: impl Fn(u16) -> bool) -> Result<(), Stop> {
        let begun = Instant::now();
        while !is_there(port) {
            let ended = self.programs.last_mut().and_then(|program| program.try_wait().ok().flatten());
            if ended.is_some() || begun.elapsed() > PATIENCE {
                return Err(Stop::Failed(format!("swift: waited in vain until {what}:\n{}", self.logs())));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn logs(&self) -> String {
        let log = |name: &str| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        format!("{}{}", log("service.log"), log("nginx.log"))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for program in &mut self.programs {
            // It may have ended by itself.
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

impl Ports {
    /// Puts these where the example has its own.
    fn put_into(self, text: String) -> String {
        let of_example = [
            (8000, self.gateway),
            (8001, self.api),
            (8080, self.public),
            (8081, self.edge),
            (8082, self.admin),
        ];
        // First a name, so that no port of this run is taken for one of the example.
        let named = of_example.iter().fold(text, |text, (port, _)| {
            text.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:<{port}>"))
        });
        of_example
            .iter()
            .fold(named, |text, (port, own)| text.replace(&format!("<{port}>"), &own.to_string()))
    }
}

/// Whether the service has its registry, and answers.
fn is_ready(port: u16) -> bool {
    let answer = || -> io::Result<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.write_all(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    answer().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

fn changed(text: &str, from: &str, to: &str) -> Result<String, Stop> {
    if text.contains(from) { Ok(text.replacen(from, to, 1)) } else { Err(unlike(from)) }
}

fn unlike(what: &str) -> Stop {
    Stop::Failed(format!("swift: examples/nginx has changed: `{}` is not where it was", what.trim_end()))
}

/// Ports that nobody listens on, below those that the system hands out by itself.
fn free_ports<const N: usize>() -> Result<[u16; N], Stop> {
    let mut listeners = Vec::new();
    let mut port = 20_000 + u16::try_from(std::process::id() % 11_000).unwrap_or_default();
    while listeners.len() < N {
        port += 1;
        if port > 32_000 {
            return Err(Stop::Failed("swift: no port of 127.0.0.1 is free".to_owned()));
        }
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            listeners.push((port, listener));
        }
    }
    let ports: Vec<u16> = listeners.iter().map(|(port, _)| *port).collect();
    ports.try_into().map_err(|_| Stop::Failed("swift: not enough ports".to_owned()))
}
