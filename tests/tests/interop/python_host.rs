//! Another host of the same library: Python, through the face that uniffi generates for it. It enrols at a real service
//! with its development key, and calls an API behind nginx.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use countersign_service::clock::Clock;
use countersign_service::settings::Settings;
use countersign_service::trust::Trust;
use countersign_service::{RunningService, Service};
use serde_json::{Value, json};
use tempfile::TempDir;
use uniffi::{GenerateOptions, TargetLanguage};

use crate::gateway::Addresses;
use crate::programs;
use crate::upstream::Upstream;
use crate::world::{Nginx, free_address};

// The library is built because it is named here; Python loads it, and its metadata is what the generator reads.
use countersign_ffi as _;

const CLIENT: &str = "com.example.app.dev";
const LIBRARY: &str = "libcountersign_ffi.so";

/// Service, edge, nginx and API.
struct Scene {
    directory: TempDir,
    face: TempDir,
    resource: String,
    issuer: String,
    upstream: Upstream,
    _service: RunningService,
    _nginx: Nginx,
}

impl Scene {
    async fn start() -> Self {
        // Another process may take a port between our letting go and its being taken.
        for _ in 0..5 {
            if let Some(scene) = Self::try_start().await {
                return scene;
            }
        }
        panic!("the ports are always taken");
    }

    async fn try_start() -> Option<Self> {
        let [gateway, public] = [free_address(), free_address()];
        let (resource, issuer) = (format!("http://{gateway}"), format!("http://{public}"));
        let directory = tempfile::tempdir().unwrap();
        let policy = format!("id = 'python/1'\n[[app]]\nclient_id = '{CLIENT}'\nmode = 'development'\n");
        let settings = format!(
            "issuer = '{issuer}'\n[listen]\npublic = '{public}'\nadmin = '127.0.0.1:0'\nedge = '127.0.0.1:0'\n\
             gateway = 'nginx'\n[[resource]]\nname = 'api'\nidentifier = '{resource}'\n\
             [[resource.authorization_server]]\nissuer = 'https://login.example'\njwks = 'login.jwks'\n\
             clients = {{ '{CLIENT}' = ['app'] }}\n[[resource.route]]\npath = '/v1'\ncredentials = []\ntier = 'warning'\n"
        );
        for (name, content) in [
            ("policy.toml", policy),
            ("login.jwks", r#"{"keys":[]}"#.to_owned()),
            ("countersign.toml", settings),
        ] {
            std::fs::write(directory.path().join(name), content).unwrap();
        }
        let path = directory.path().join("countersign.toml");
        let settings = Settings::parse(&path, &std::fs::read_to_string(&path).unwrap()).unwrap();
        let clock = Clock::system();
        let trust = Trust::load(&settings, clock.now()).unwrap();
        let service = Service::start_with(settings, trust, clock).await.ok()?;
        let upstream = Upstream::start().await;
        let addresses = Addresses {
            gateway,
            api: upstream.address,
            service: public,
            edge: service.address("edge").unwrap(),
        };
        let nginx = Nginx::start(&directory.path().join("nginx"), addresses).await?;
        let face = tempfile::tempdir().unwrap();
        make_face(face.path());
        Some(Self { directory, face, resource, issuer, upstream, _service: service, _nginx: nginx })
    }

    /// Runs a part of the program, as a process of its own, on the files of one installation.
    async fn run(&self, part: &str) -> Value {
        let input = json!({
            "part": part,
            "face": self.face.path(),
            "service": self.issuer,
            "api": self.resource,
            "client": CLIENT,
            "folder": self.directory.path().join("installation"),
        });
        tokio::task::spawn_blocking(move || programs::run("python_host.py", &input)).await.unwrap()
    }

    /// Types a command beside the running service.
    async fn types(&self, command: &str) -> ExitCode {
        // The client id stands in quotes, for a shell.
        let words = command.split(' ').map(|word| OsString::from(word.trim_matches('\'')));
        let settings = self.directory.path().join("countersign.toml").into_os_string();
        let words: Vec<_> = words.chain([OsString::from("--settings"), settings]).collect();
        tokio::task::spawn_blocking(move || countersign_service::cli::main(words)).await.unwrap()
    }
}

/// The generated module, and the library beside it.
fn make_face(folder: &Path) {
    let test = std::env::current_exe().unwrap();
    let library: PathBuf = test.parent().unwrap().join(LIBRARY);
    assert!(library.is_file(), "{} was not built", library.display());
    std::fs::copy(&library, folder.join(LIBRARY)).unwrap();
    uniffi::generate(GenerateOptions {
        languages: vec![TargetLanguage::Python],
        source: folder.join(LIBRARY).try_into().unwrap(),
        out_dir: folder.to_owned().try_into().unwrap(),
        format: false,
        metadata_no_deps: true,
        ..GenerateOptions::default()
    })
    .unwrap();
}

#[tokio::test]
async fn a_python_program_enrols_and_calls_an_api_behind_nginx() {
    if !programs::are_installed() {
        return;
    }
    let scene = Scene::start().await;
    let key = scene.run("key").await;
    let reference = key["refused"].as_str().expect("nobody has registered its key");
    assert_eq!(reference.len(), 8, "support can look it up");
    let command = key["command"].as_str().unwrap();
    assert_eq!(scene.types(command).await, ExitCode::SUCCESS, "{command}");

    let said = scene.run("call").await;
    assert_eq!(said["accepted"], json!(vec![200; 20]), "{said}");
    assert_eq!(scene.upstream.requests(), 20, "nothing else has reached the API");
    for refused in ["again", "bare", "path", "query", "method", "altered"] {
        assert_eq!(said[refused], 401, "{refused}: {said}");
    }
    assert_eq!(said["elsewhere"], "unknown_origin");
    assert_eq!(said["mismatch"], json!([said["version"], "0.0.0"]));

    let later = scene.run("call").await;
    assert_eq!(later["accepted"], json!(vec![200; 20]), "{later}");
    assert_eq!(later["instance"], said["instance"], "another process is the same installation");
}
