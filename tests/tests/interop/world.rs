//! Everything that runs: authorization server, attestation service with its edge, nginx, and an API behind it.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use countersign_core::attester::{Answer, Fetch, Now, Platform, Resource, ResultKeys, Settings, Unreached};
use countersign_core::request::Origin;
use countersign_core::time::Timestamp;
use countersign_service::clock::Clock;
use countersign_service::settings::Settings as ServiceSettings;
use countersign_service::trust::Trust;
use countersign_service::{RunningService, Service};
use countersign_virtual_device::google_authority::status_list_json;
use countersign_virtual_device::{
    AppleAuthority, GoogleAuthority, Seed, VirtualAndroid, VirtualDevice, VirtualIphone, VirtualPhone,
};
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::app::Mode;
use crate::authorization_server::AuthorizationServer;
use crate::gateway::{Addresses, Gateway};
use crate::upstream::Upstream;

/// The attestation service, as it calls itself.
pub(crate) const ATTESTER: &str = "https://attest.example";
const TEAM: &str = "ABCDE12345";
const PACKAGE: &str = "com.example.app";
const SIGNER: [u8; 32] = [8; 32];

const ROUTES: &str = "
[[resource.route]]
path = '/v1'
scopes = ['read']
[[resource.route]]
path = '/v1/nonce'
nonce = 'required'
[[resource.route]]
path = '/v1/scope'
scopes = ['administer']
[[resource.route]]
path = '/v1/login'
acr_values = ['hardware-key']
credentials = ['jwt']
";

/// Everything that runs.
pub(crate) struct World {
    /// For every call; follows no redirect.
    pub(crate) client: Client,
    pub(crate) login: AuthorizationServer,
    pub(crate) upstream: Upstream,
    /// The API as clients know it: nginx.
    pub(crate) resource: String,
    /// The attestation service as it is called.
    service_url: String,
    seconds_ahead: Arc<AtomicI64>,
    begun: Instant,
    _service: RunningService,
    _nginx: Nginx,
    _directory: TempDir,
}

impl World {
    /// Starts everything.
    pub(crate) async fn start() -> Self {
        // Another process may take nginx' port between our letting go and its taking it.
        for _ in 0..5 {
            if let Some(world) = Self::try_start().await {
                return world;
            }
        }
        panic!("nginx does not start");
    }

    async fn try_start() -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let gateway = free.local_addr().unwrap();
        let resource = format!("http://{gateway}");
        let mut login = AuthorizationServer::start(&resource);
        let directory = tempfile::tempdir().unwrap();
        let seconds_ahead = Arc::new(AtomicI64::new(0));
        let offset = Arc::clone(&seconds_ahead);
        let clock = Clock::from_fn(move || wall(&offset));
        let service = start_service(directory.path(), &login.issuer, &resource, clock).await;
        let public = service.address("public").unwrap();
        login.trust(ATTESTER, &format!("http://{public}/.well-known/jwks.json"));
        let upstream = Upstream::start().await;
        let addresses = Addresses {
            gateway,
            api: upstream.address,
            service: public,
            edge: service.address("edge").unwrap(),
        };
        drop(free);
        let nginx = Nginx::start(&directory.path().join("nginx"), addresses).await?;
        let client = Client::builder()
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Some(Self {
            client,
            login,
            upstream,
            resource,
            service_url: format!("http://{public}"),
            seconds_ahead,
            begun: Instant::now(),
            _service: service,
            _nginx: nginx,
            _directory: directory,
        })
    }

    /// The clocks of service and phones; the authorization server has the system's.
    pub(crate) fn now(&self) -> Now {
        Now { wall: wall(&self.seconds_ahead), uptime: self.begun.elapsed() }
    }

    /// Sets the clocks of service and phones back.
    pub(crate) fn set_back(&self, seconds: i64) {
        self.seconds_ahead.store(-seconds, Ordering::Relaxed);
    }

    /// A phone with the app on it that was never started: an iPhone for the client of the normal mode, an Android phone
    /// for that of the combined mode.
    pub(crate) fn device(&self, mode: Mode, owner: &str) -> VirtualDevice {
        let owner = seed().child(owner);
        let phone: VirtualPhone = match mode {
            Mode::Pop => {
                VirtualIphone::new(&AppleAuthority::from_seed(&seed()), &owner).app(TEAM, PACKAGE).into()
            }
            Mode::Dpop => VirtualAndroid::new(&GoogleAuthority::from_seed(&seed()), &owner)
                .app(PACKAGE, 1, SIGNER)
                .into(),
        };
        let settings = Settings {
            issuer: ATTESTER.to_owned(),
            client_id: mode.client_id().to_owned(),
            resources: vec![Resource {
                origin: Origin::parse(&self.resource).unwrap(),
                identifier: self.resource.clone(),
            }],
            app_version: "1.0".to_owned(),
            // The virtual device puts its own here.
            platform: Platform::Development,
            result_keys: ResultKeys::Fetched,
            danger_plaintext: false,
        };
        VirtualDevice::new(phone, settings, &owner).unwrap()
    }

    /// One call of a phone to the attestation service.
    pub(crate) async fn carry_out(&self, call: Fetch) -> Result<Answer, Unreached> {
        let path = call.url.strip_prefix(ATTESTER).ok_or(Unreached)?;
        let url = format!("{}{path}", self.service_url);
        let mut request = if call.post { self.client.post(url) } else { self.client.get(url) };
        if let Some(kind) = call.content_type {
            request = request.header("content-type", kind);
        }
        let response = request.body(call.body).send().await.map_err(|_| Unreached)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|_| Unreached)?.to_vec();
        Ok(Answer { status, retry_after: None, body })
    }

    /// The keys of the attestation service.
    pub(crate) async fn jwks(&self) -> Value {
        let url = format!("{}/.well-known/jwks.json", self.service_url);
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }
}

async fn start_service(directory: &Path, login: &str, resource: &str, clock: Clock) -> RunningService {
    let signer = SIGNER.map(|byte| format!("{byte:02x}")).concat();
    let policy = format!(
        "id = 'interop/1'\n[[app]]\nclient_id = '{pop}'\n\
         [[app.apple]]\nteam_id = '{TEAM}'\nbundle_id = '{PACKAGE}'\n\
         [[app]]\nclient_id = '{dpop}'\n[[app.android]]\npackage = '{PACKAGE}'\nsigning_digests = ['{signer}']\n\
         [danger]\napp_attest_roots = ['apple.pem']\nandroid_key_roots = ['google.pem']\n",
        pop = Mode::Pop.client_id(),
        dpop = Mode::Dpop.client_id(),
    );
    for (name, content) in [
        ("policy.toml", policy),
        ("apple.pem", AppleAuthority::from_seed(&seed()).root_certificate_pem()),
        ("google.pem", GoogleAuthority::from_seed(&seed()).root_certificate_pem()),
        ("status.json", status_list_json(&[])),
    ] {
        std::fs::write(directory.join(name), content).unwrap();
    }
    let clients = Mode::ALL.map(|mode| format!("{0} = ['{0}']", mode.client_id())).join(", ");
    let text = format!(
        "issuer = '{ATTESTER}'\n[trust]\nrevocation = 'status.json'\n\
         [listen]\npublic = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\nedge = '127.0.0.1:0'\ngateway = 'nginx'\n\
         [[resource]]\nname = 'api'\nidentifier = '{resource}'\n\
         [[resource.authorization_server]]\nissuer = '{login}'\njwks = '{login}/jwks'\n\
         clients = {{ {clients} }}\n{ROUTES}"
    );
    let settings = ServiceSettings::parse(&directory.join("countersign.toml"), &text).unwrap();
    let trust = Trust::load(&settings, clock.now()).unwrap();
    Service::start_with(settings, trust, clock).await.unwrap()
}

fn wall(seconds_ahead: &AtomicI64) -> Timestamp {
    let now = Clock::system().now().as_unix_seconds();
    Timestamp::from_unix_seconds(now.saturating_add_signed(seconds_ahead.load(Ordering::Relaxed)))
}

fn seed() -> Seed {
    Seed::from_text("interop")
}

/// nginx with the configuration of its example; ends when dropped.
pub(crate) struct Nginx(Child);

impl Nginx {
    /// `None` if it does not listen, as when its port was taken.
    pub(crate) async fn start(folder: &Path, addresses: Addresses) -> Option<Self> {
        std::fs::create_dir(folder).unwrap();
        Gateway::Nginx.configure(folder, addresses);
        let log = File::create(folder.join("log")).unwrap();
        let mut command = Gateway::Nginx.command(folder);
        let mut nginx = Self(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline && nginx.0.try_wait().unwrap().is_none() {
            if listens(addresses.gateway) {
                return Some(nginx);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    }
}

/// An address that nobody listens at now.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap()
}

fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
