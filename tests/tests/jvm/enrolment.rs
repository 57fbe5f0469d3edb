//! The attester of Android against a real service: an enrolment, a renewal with a throwaway key, and what a phone's
//! faults come to.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_ffi::{
    Advice, ApiAnswer, ApiRequest, ApiResource, Attester, Configuration, CountersignError, DevicePlatform,
    KeyProtection, ServiceAnswer, ServiceCall, Timer, Transport, TransportError,
};
use countersign_service::clock::Clock;
use countersign_service::settings::Settings;
use countersign_service::trust::Trust;
use countersign_service::{RunningService, Service};
use countersign_verifier::policy::{AndroidApp, AppPolicy, AppraisalPolicy, Danger};
use countersign_verifier::revocation::RevocationList;
use tempfile::TempDir;

use crate::phone::{NOW, PACKAGE, Phone, SIGNING_DIGEST, google};

const ISSUER: &str = "https://attest.example";
const API: &str = "https://api.example";

/// A service that knows the app, trusts the phone's maker, and finds no key on the status list.
struct World {
    service: RunningService,
    calls: Arc<Calls>,
    _directory: TempDir,
}

/// The network between phone and service.
struct Calls {
    service: SocketAddr,
    client: reqwest::Client,
    paths: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl Transport for Calls {
    async fn call(&self, call: ServiceCall) -> Result<ServiceAnswer, TransportError> {
        let path = call.url.strip_prefix(ISSUER).ok_or(TransportError::Unreached)?;
        self.paths.lock().unwrap().push(path.to_owned());
        let url = format!("http://{}{path}", self.service);
        let mut request = if call.post { self.client.post(url) } else { self.client.get(url) };
        if let Some(content_type) = call.content_type {
            request = request.header("content-type", content_type);
        }
        let answer = request.body(call.body).send().await.map_err(|_| TransportError::Unreached)?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(|_| TransportError::Unreached)?.to_vec();
        Ok(ServiceAnswer { status, retry_after: None, body })
    }
}

/// A first failure is tried again after about a second, by the system's clock.
#[async_trait::async_trait]
impl Timer for Calls {
    async fn sleep(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let service = start(directory.path()).await;
        let calls = Arc::new(Calls {
            service: service.address("public").unwrap(),
            client: reqwest::Client::new(),
            paths: Mutex::default(),
        });
        Self { service, calls, _directory: directory }
    }

    /// An app on the phone, for the first time or started again.
    fn app(&self) -> Arc<Attester> {
        Attester::android(configuration(), self.calls.clone(), self.calls.clone(), None).unwrap()
    }

    /// How many calls went to paths with this ending.
    fn calls(&self, ending: &str) -> usize {
        self.calls.paths.lock().unwrap().iter().filter(|path| path.ends_with(ending)).count()
    }
}

async fn start(directory: &Path) -> RunningService {
    std::fs::write(directory.join("policy.toml"), "").unwrap();
    std::fs::write(directory.join("login.jwks"), r#"{"keys":[]}"#).unwrap();
    let text = format!(
        "issuer = '{ISSUER}'\n[listen]\npublic = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\n[[resource]]\nname = 'api'\n\
         identifier = '{API}'\n[[resource.authorization_server]]\nissuer = 'https://login.example'\n\
         jwks = 'login.jwks'\nclients = {{ app = ['mobile'] }}\n[[resource.route]]\npath = '/'\n"
    );
    let settings = Settings::parse(&directory.join("countersign.toml"), &text).unwrap();
    let danger = Danger { android_key_roots: vec![google().root_certificate_der()], ..Danger::default() };
    let mut app = AppPolicy::new("app");
    let identity = AndroidApp { package: PACKAGE.to_owned(), signing_digests: vec![SIGNING_DIGEST] };
    app.android.push(identity);
    let mut trust = Trust::new(AppraisalPolicy::new("test/1").with_app(app).with_danger(danger)).unwrap();
    trust.revocation = Some(RevocationList::parse(br#"{"entries":{}}"#, NOW).unwrap());
    Service::start_with(settings, trust, Clock::from_fn(|| NOW)).await.unwrap()
}

fn configuration() -> Configuration {
    Configuration {
        issuer: ISSUER.to_owned(),
        client_id: "app".to_owned(),
        resources: vec![ApiResource { origin: API.to_owned(), identifier: API.to_owned() }],
        app_version: "1.2.3".to_owned(),
        platform: DevicePlatform::Development,
        pinned_keys: None,
        danger_plaintext: false,
        expected_app: None,
    }
}

fn request() -> ApiRequest {
    ApiRequest {
        method: "GET".to_owned(),
        uri: format!("{API}/orders"),
        credential: None,
        content: None,
        environment: None,
    }
}

/// A phone that was never used; nothing where there is no virtual machine.
fn new_phone() -> Option<Phone> {
    let phone = Phone::take()?;
    let folder = phone.machine.folder();
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    Some(phone)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_enrols_renews_and_proves() {
    let Some(phone) = new_phone() else { return };
    let world = World::new().await;
    let app = world.app();
    let proof = app.prove_when_ready(request()).await.unwrap();
    assert_eq!(proof.fields.len(), 2);
    let standing = app.standing();
    assert_eq!(standing.protection, Some(KeyProtection::Strongbox));
    assert_eq!(standing.affirming, Some(true));
    assert_eq!((world.calls("/v1/instances"), phone.aliases().len()), (1, 1));

    // The API wants fresh evidence: a throwaway key is attested, and gone.
    let answer = ApiAnswer {
        status: 401,
        challenge: None,
        www_authenticate: vec![r#"DPoP error="use_fresh_attestation""#.to_owned()],
    };
    assert_eq!(app.observe(request().uri, answer), Advice::RefreshAndProveAgain);
    app.refresh().await.unwrap();
    assert_eq!((world.calls("/results"), phone.keys_made(), phone.aliases().len()), (1, 2, 1));
    assert_eq!(app.standing().instance, standing.instance);
    assert!(app.prove_with_instance_key(request()).await.is_ok());
    world.service.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_started_again_goes_on_with_its_key() {
    let Some(phone) = new_phone() else { return };
    let world = World::new().await;
    world.app().refresh().await.unwrap();
    let app = world.app();
    app.refresh().await.unwrap();
    assert_eq!((world.calls("/v1/instances"), world.calls("/results")), (1, 1));
    assert_eq!(phone.aliases().len(), 1);
    world.service.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_without_strongbox_enrols_and_says_so() {
    let Some(phone) = new_phone() else { return };
    phone.play("no StrongBox");
    let world = World::new().await;
    let app = world.app();
    app.refresh().await.unwrap();
    assert_eq!(app.standing().protection, Some(KeyProtection::Tee));
    world.service.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_invalidated_is_deleted_and_another_one_enrolled() {
    let Some(phone) = new_phone() else { return };
    let world = World::new().await;
    world.app().refresh().await.unwrap();
    let before = phone.aliases();
    phone.play("unrecoverable");
    let app = world.app();
    // The new key cannot be read either, while this lasts.
    assert!(app.refresh().await.is_err());
    phone.play("");
    let app = world.app();
    app.refresh().await.unwrap();
    let after = phone.aliases();
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before, after);
    assert!(app.prove(request()).is_ok());
    world.service.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_store_that_died_costs_no_key() {
    let Some(phone) = new_phone() else { return };
    let world = World::new().await;
    world.app().refresh().await.unwrap();
    let before = phone.aliases();
    phone.play("dead on signing");
    assert_eq!(world.app().refresh().await, Err(CountersignError::PlatformUnavailable));
    phone.play("");
    world.app().refresh().await.unwrap();
    assert_eq!((phone.aliases(), world.calls("/v1/instances")), (before, 1));
    world.service.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_attests_no_keys_needs_somebody_else_to_vouch() {
    let Some(phone) = new_phone() else { return };
    phone.play("not provisioned");
    let world = World::new().await;
    assert_eq!(world.app().refresh().await, Err(CountersignError::DeviceUnsupported));
    assert_eq!((phone.aliases(), world.calls("/v1/instances")), (vec![], 0));
    world.service.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_pool_of_attestation_keys_is_told_as_unavailable() {
    let Some(phone) = new_phone() else { return };
    phone.play("out of keys");
    let world = World::new().await;
    assert_eq!(world.app().refresh().await, Err(CountersignError::PlatformUnavailable));
    assert_eq!(phone.aliases(), Vec::<String>::new());
    world.service.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_stays_in_the_folder_without_backups() {
    let Some(phone) = new_phone() else { return };
    let world = World::new().await;
    world.app().refresh().await.unwrap();
    let kept: Vec<_> = std::fs::read_dir(phone.machine.folder()).unwrap().collect();
    assert_eq!(kept.len(), 1, "a folder of our own");
    world.service.shut_down().await;
}
