//! Everything that runs: the attestation service as a library, the authorization server, the API, and the authorities
//! under which this run's phones are made.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use countersign_core::attester::Now;
use countersign_core::challenge::Challenge;
use countersign_core::enrolment::ChallengeAnswer;
use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;
use countersign_service::settings::Settings;
use countersign_service::store::{Actor, Store};
use countersign_service::{RunningService, Service};
use countersign_verifier::certificate_summary::CertificateSummary;
use countersign_virtual_device::google_authority::status_list_json;
use countersign_virtual_device::{
    AppleAuthority, GoogleAuthority, Seed, ServiceCall, VirtualAndroid, VirtualIphone,
};
use reqwest::{Client, RequestBuilder};
use tempfile::TempDir;

use crate::Trouble;
use crate::api::Api;
use crate::authorization_server;
use crate::server_log::ServerLog;

/// The app, as the attestation service knows it.
pub(crate) const APP: &str = "org.example.bank";
/// The same app, as the authorization server knows it.
pub(crate) const OAUTH_CLIENT: &str = "mobile-bank";
const TEAM: &str = "ABCDE12345";
const SIGNER: [u8; 32] = [0x5b; 32];

/// The running servers, and what phones are made of.
pub(crate) struct World {
    /// The attestation service: its URL, which is its issuer.
    pub(crate) service_url: String,
    /// The authorization server: its URL, which is its issuer.
    pub(crate) authorization_server: String,
    /// The protected API.
    pub(crate) api: Api,
    /// For every call.
    pub(crate) client: Client,
    log: ServerLog,
    seed: Seed,
    apple: AppleAuthority,
    google: GoogleAuthority,
    service: RunningService,
    database: PathBuf,
    begun: Instant,
    _directory: TempDir,
}

/// What came back from a server, and what it says of it in its log.
pub(crate) struct Answered {
    /// The status.
    pub(crate) status: u16,
    /// The precise reasons of a refusal, from the server's log.
    pub(crate) reasons: Vec<String>,
    /// What is worth telling of a success.
    pub(crate) told: String,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl World {
    /// Starts everything on loopback.
    ///
    /// # Errors
    /// Whatever is in the way.
    pub(crate) async fn start(log: ServerLog) -> Result<Self, Trouble> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| "the system gives no randomness")?;
        let seed = Seed::from_bytes(bytes);
        let (apple, google) = (AppleAuthority::from_seed(&seed), GoogleAuthority::from_seed(&seed));
        let directory = tempfile::tempdir()?;
        let address = free_address()?;
        let service_url = format!("http://{address}");
        write_files(&directory, &apple, &google, &leaked(&google, &seed))?;
        let settings = format!(
            "issuer = '{service_url}'\n\
             [trust]\nrevocation = 'status.json'\n\
             [listen]\npublic = '{address}'\nadmin = '127.0.0.1:0'\n"
        );
        let settings = Settings::parse(&directory.path().join("countersign.toml"), &settings)
            .map_err(|problems| problems.to_string())?;
        let database = settings.store.path.clone();
        let service = Service::start(settings).await?;

        let client = Client::builder().timeout(Duration::from_secs(10)).no_proxy().build()?;
        let api = Api::bind().await?;
        let authorization_server = authorization_server::start(&client, &service_url, &api.url).await?;
        let api = api.serve(&service_url, &authorization_server).await?;
        Ok(Self {
            service_url,
            authorization_server,
            api,
            client,
            log,
            seed,
            apple,
            google,
            service,
            database,
            begun: Instant::now(),
            _directory: directory,
        })
    }

    /// An iPhone with the genuine app.
    pub(crate) fn iphone(&self, owner: &str) -> VirtualIphone {
        VirtualIphone::new(&self.apple, &self.seed.child(owner)).app(TEAM, APP)
    }

    /// An Android phone with the genuine app.
    pub(crate) fn android(&self, owner: &str) -> VirtualAndroid {
        VirtualAndroid::new(&self.google, &self.seed.child(owner)).app(APP, 1, SIGNER)
    }

    /// An Android phone whose attestation key has leaked, and stands on the status list.
    pub(crate) fn leaked_android(&self) -> VirtualAndroid {
        leaked(&self.google, &self.seed).app(APP, 1, SIGNER)
    }

    /// Secrets of this name, new in each run.
    pub(crate) fn seed(&self, name: &str) -> Seed {
        self.seed.child(name)
    }

    /// What a device knows when it calls the service; with a fresh challenge.
    ///
    /// # Errors
    /// The service gives none.
    pub(crate) async fn call(&self) -> Result<ServiceCall<'_>, Trouble> {
        let answer = self.client.post(format!("{}/v1/challenge", self.service_url)).send().await?;
        let answer: ChallengeAnswer = answer.error_for_status()?.json().await?;
        Ok(ServiceCall {
            issuer: &self.service_url,
            client_id: APP,
            challenge: Challenge::from_base64url(&answer.attestation_challenge)
                .map_err(|error| error.reason())?,
            app_version: "1.0",
            environment: 0,
            now: Timestamp::from_unix_seconds(answer.server_time),
        })
    }

    /// Sends an envelope: an enrolment, or a renewal of `instance`.
    ///
    /// # Errors
    /// No answer.
    pub(crate) async fn attest(
        &self,
        instance: Option<InstanceId>,
        envelope: Vec<u8>,
    ) -> Result<Answered, Trouble> {
        let path = match instance {
            Some(instance) => format!("/v1/instances/{}/results", instance.to_base64url()),
            None => "/v1/instances".to_owned(),
        };
        let request = self.client.post(format!("{}{path}", self.service_url));
        self.ask(request.header("content-type", "application/cbor").body(envelope)).await
    }

    /// Sends a request, and takes what the servers log about it.
    ///
    /// # Errors
    /// No answer.
    pub(crate) async fn ask(&self, request: RequestBuilder) -> Result<Answered, Trouble> {
        self.log.take();
        let response = request.send().await?;
        let status = response.status().as_u16();
        let body = response.bytes().await?.to_vec();
        let told = String::from_utf8_lossy(&body).into_owned();
        Ok(Answered { status, reasons: self.log.take(), told, body })
    }

    /// The reasons that the servers logged since the last call.
    pub(crate) fn reasons(&self) -> Vec<String> {
        self.log.take()
    }

    /// Bans an instance, as an operator does with `countersign instances ban`, and has the API hear of it at once.
    ///
    /// # Errors
    /// The registry cannot be used, or knows no such instance.
    pub(crate) async fn ban(&self, instance: &InstanceId) -> Result<(), Trouble> {
        let registry = Store::open(&self.database).await?;
        let known =
            registry.ban_instance(instance, "shown to a visitor", &Actor::command_line(wall_clock())).await;
        registry.close().await;
        self.api.refresh().await;
        if known? { Ok(()) } else { Err("the registry knows no such instance".into()) }
    }

    /// Both clocks of this machine, as a phone has them.
    pub(crate) fn now(&self) -> Now {
        Now { wall: wall_clock(), uptime: self.begun.elapsed() }
    }

    /// Ends the attestation service in order.
    pub(crate) async fn shut_down(self) {
        self.service.shut_down().await;
    }
}

/// The time of this machine.
pub(crate) fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_seconds(since_epoch.as_secs())
}

fn leaked(google: &GoogleAuthority, seed: &Seed) -> VirtualAndroid {
    VirtualAndroid::new(google, &seed.child("leaked"))
}

/// A port that nobody uses. The service's issuer contains it, so it has to be known before the service starts.
fn free_address() -> Result<SocketAddr, Trouble> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// What an operator writes: the policy, the roots that its danger section names, and the status list.
fn write_files(
    directory: &TempDir,
    apple: &AppleAuthority,
    google: &GoogleAuthority,
    leaked: &VirtualAndroid,
) -> Result<(), Trouble> {
    let signer: String = SIGNER.iter().map(|byte| format!("{byte:02x}")).collect();
    let policy = format!(
        "id = 'quickstart/1'\n\
         [[app]]\nclient_id = '{APP}'\n\
         [[app.apple]]\nteam_id = '{TEAM}'\nbundle_id = '{APP}'\n\
         [[app.android]]\npackage = '{APP}'\nsigning_digests = ['{signer}']\n\
         [danger]\napp_attest_roots = ['apple.pem']\nandroid_key_roots = ['google.pem']\n"
    );
    // Google lists a leaked attestation key by the serial number of its certificate, the one above the leaf.
    let chain = leaked.clone().attest(b"any", wall_clock());
    let attestation_key = chain.get(1).ok_or("a chain has a certificate above its leaf")?;
    let summary =
        CertificateSummary::of(attestation_key).map_err(|_| "a virtual phone has a malformed chain")?;
    let files = [
        ("policy.toml", policy),
        ("apple.pem", apple.root_certificate_pem()),
        ("google.pem", google.root_certificate_pem()),
        ("status.json", status_list_json(&[(&summary.serial, "REVOKED")])),
    ];
    for (name, content) in files {
        fs::write(directory.path().join(name), content)?;
    }
    Ok(())
}
