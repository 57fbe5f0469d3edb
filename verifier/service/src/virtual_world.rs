//! For the tests of this crate: a service whose policy accepts two virtual phones, at a time that stands still.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_core::challenge::{Challenge, Scope};
use countersign_core::encoding::base64url;
use countersign_core::enrolment::EnrolmentAnswer;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::InstanceId;
use countersign_verifier::policy::{AndroidApp, AppPolicy, AppleApp, AppraisalPolicy, Danger};
use countersign_verifier::revocation::RevocationList;
use countersign_virtual_device::{
    AppleAuthority, GoogleAuthority, Seed, ServiceCall, Session, SessionKey, VirtualAndroid, VirtualIphone,
    VirtualPhone,
};
use tempfile::TempDir;

use crate::attestation::Denial;
use crate::clock::Clock;
use crate::settings::Settings;
use crate::trust::Trust;
use crate::{RunningService, Service};

pub(crate) const ISSUER: &str = "https://attest.example";
pub(crate) const CLIENT: &str = "app";
pub(crate) const RESOURCE: &str = "https://api.example";
pub(crate) const LOGIN: &str = "https://login.example";
pub(crate) const START: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

/// A running service on loopback, its clock, and the directory of its files.
pub(crate) struct World {
    pub(crate) running: RunningService,
    clock: Arc<AtomicU64>,
    directory: TempDir,
}

impl World {
    /// An attestation service without an edge.
    pub(crate) async fn new() -> Self {
        Self::with("", |_| {}).await
    }

    /// An attestation service and an edge for the resource `api` behind `gateway`; the tokens are those of
    /// [`access_token`]. `route` holds further settings of its only route.
    pub(crate) async fn with_edge(gateway: &str, route: &str) -> Self {
        let settings = format!(
            "edge = '127.0.0.1:0'\ngateway = '{gateway}'\n[[resource]]\nname = 'api'\nidentifier = '{RESOURCE}'\n\
             [[resource.authorization_server]]\nissuer = '{LOGIN}'\njwks = 'login.jwks'\n\
             clients = {{ {CLIENT} = ['mobile'] }}\n[[resource.route]]\npath = '/'\n{route}\n"
        );
        let key = login_key();
        let public = key.verifying_key().to_sec1_point(false);
        let public = PublicKey::from_p256_sec1(public.as_bytes()).unwrap();
        let jwks = countersign_verifier::issue::jwks([("login", &public)]).to_string();
        Self::with(&settings, |directory| std::fs::write(directory.join("login.jwks"), jwks).unwrap()).await
    }

    /// An attestation service and an edge behind nginx that asks at `endpoint` about opaque tokens.
    pub(crate) async fn with_opaque_tokens(endpoint: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let settings = format!(
            "edge = '127.0.0.1:0'\ngateway = 'nginx'\n[[resource]]\nname = 'api'\nidentifier = '{RESOURCE}'\n\
             [[resource.authorization_server]]\nissuer = '{LOGIN}'\nclients = {{ {CLIENT} = ['mobile'] }}\n\
             introspection = {{ endpoint = '{endpoint}', client_id = 'edge', client_secret_file = 'edge.secret' }}\n\
             [[resource.route]]\npath = '/'\ncredentials = ['opaque']\n"
        );
        let write = |directory: &Path| {
            let file = directory.join("edge.secret");
            std::fs::write(&file, "s3cret\n").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        Self::with(&settings, write).await
    }

    /// An attestation service that keeps receipts.
    pub(crate) async fn with_receipts() -> Self {
        let settings = "[app_attest]\nkey_file = 'key.p8'\nkey_id = 'KEY7654321'\nteam_id = 'ABCDE12345'\n";
        Self::with(settings, |directory| write_device_check_key(&directory.join("key.p8"))).await
    }

    /// The same service after a restart: its files, its clock, and this trust.
    pub(crate) async fn restarted(self, trust: Trust) -> Self {
        let Self { running, clock, directory } = self;
        let settings = running.service().settings.clone();
        running.shut_down().await;
        let running = Service::start_with(settings, trust, clock_of(&clock)).await.unwrap();
        Self { running, clock, directory }
    }

    /// An attestation service with these settings beside its own, and the files that `prepare` makes for them.
    pub(crate) async fn with_settings(more: &str, prepare: impl FnOnce(&Path)) -> Self {
        Self::with(more, prepare).await
    }

    /// Where the settings file is, and what it names.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) async fn with(listen_and_more: &str, prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("policy.toml"), "").unwrap();
        prepare(directory.path());
        let clock = Arc::new(AtomicU64::new(START.as_unix_seconds()));
        let text = format!(
            "issuer = '{ISSUER}'\n[listen]\npublic = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\n{listen_and_more}"
        );
        let settings = Settings::parse(&directory.path().join("countersign.toml"), &text).unwrap();
        let running = Service::start_with(settings, trust(), clock_of(&clock)).await.unwrap();
        Self { running, clock, directory }
    }

    pub(crate) fn service(&self) -> &Service {
        self.running.service()
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.clock.load(Ordering::Relaxed))
    }

    /// Puts the service's clock to another time, as somebody who sets it right.
    pub(crate) fn set_clock(&self, time: Timestamp) {
        self.clock.store(time.as_unix_seconds(), Ordering::Relaxed);
    }

    pub(crate) fn wait(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) fn call(&self) -> ServiceCall<'static> {
        let challenge = self.service().fresh_challenge(self.now()).unwrap();
        ServiceCall {
            issuer: ISSUER,
            client_id: CLIENT,
            challenge,
            app_version: "1.0",
            environment: 0,
            now: self.now(),
        }
    }

    /// Enrols a phone and returns a session to prove requests with.
    pub(crate) async fn session(&self, phone: &mut VirtualPhone) -> Session {
        let key = session("first");
        let answer = self.service().attest(None, &phone.enrol(&self.call(), &key)).await.unwrap();
        Session { key, result: answer.result }
    }

    /// Enrols a phone and returns its instance.
    pub(crate) async fn enrol(&self, phone: &mut VirtualPhone) -> InstanceId {
        let envelope = phone.enrol(&self.call(), &session("first"));
        let answer = self.service().attest(None, &envelope).await.unwrap();
        InstanceId::from_base64url(&answer.instance_id).unwrap()
    }
}

impl Service {
    /// A call from an address that does not matter.
    pub(crate) async fn attest(
        &self,
        addressed: Option<InstanceId>,
        body: &[u8],
    ) -> Result<EnrolmentAnswer, Denial> {
        self.attest_from(IpAddr::from([192, 0, 2, 1]), addressed, body).await
    }
}

pub(crate) fn clock_of(seconds: &Arc<AtomicU64>) -> Clock {
    let seconds = Arc::clone(seconds);
    Clock::from_fn(move || Timestamp::from_unix_seconds(seconds.load(Ordering::Relaxed)))
}

pub(crate) fn trust() -> Trust {
    let danger = Danger {
        app_attest_roots: vec![AppleAuthority::from_seed(&seed()).root_certificate_der()],
        android_key_roots: vec![GoogleAuthority::from_seed(&seed()).root_certificate_der()],
        ..Danger::default()
    };
    let mut app = AppPolicy::new(CLIENT);
    app.apple.push(AppleApp::new("ABCDE12345", "com.example.app"));
    app.android.push(AndroidApp { package: "com.example.app".to_owned(), signing_digests: vec![[8; 32]] });
    let mut trust = Trust::new(AppraisalPolicy::new("test/1").with_app(app).with_danger(danger)).unwrap();
    trust.revocation = Some(RevocationList::parse(br#"{"entries":{}}"#, START).unwrap());
    trust
}

pub(crate) fn iphone() -> VirtualPhone {
    let phone = VirtualIphone::new(&AppleAuthority::from_seed(&seed()), &seed());
    phone.app("ABCDE12345", "com.example.app").into()
}

pub(crate) fn android() -> VirtualPhone {
    VirtualAndroid::new(&GoogleAuthority::from_seed(&seed()), &seed())
        .app("com.example.app", 1, [8; 32])
        .into()
}

pub(crate) fn session(name: &str) -> SessionKey {
    SessionKey::from_seed(&Seed::from_text(name))
}

pub(crate) fn seed() -> Seed {
    Seed::from_text("virtual world")
}

/// An access token of the authorization server for `subject`, bound to the instance key if one is given.
pub(crate) fn access_token(subject: &str, bound_to: Option<&PublicKey>, now: Timestamp) -> String {
    use p256::ecdsa::signature::Signer;

    let mut claims = serde_json::json!({
        "iss": LOGIN, "aud": RESOURCE, "sub": subject, "client_id": "mobile", "jti": "1",
        "iat": now.as_unix_seconds(), "exp": now.as_unix_seconds() + 600,
    });
    if let Some(key) = bound_to {
        claims["cnf"] = serde_json::json!({ "jkt": key.thumbprint().to_base64url() });
    }
    let header = serde_json::json!({ "typ": "at+jwt", "alg": "ES256", "kid": "login" });
    let input =
        format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
    let signature: p256::ecdsa::Signature = login_key().sign(input.as_bytes());
    format!("{input}.{}", base64url(&signature.to_bytes()))
}

fn login_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[6; 32]).unwrap()
}

/// The key of the team, in the form in which Apple gives such keys out.
pub(crate) fn device_check_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[5; 32]).unwrap()
}

pub(crate) fn write_device_check_key(path: &Path) {
    use p256::pkcs8::{EncodePrivateKey, LineEnding};
    use std::os::unix::fs::PermissionsExt;

    std::fs::write(path, device_check_key().to_pkcs8_pem(LineEnding::LF).unwrap()).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A well-formed challenge of the issuer that nobody gave out.
pub(crate) fn foreign_challenge() -> Challenge {
    use countersign_core::challenge::{MacKey, MacKeyRing};
    MacKeyRing::new(MacKey::new(1, [9; 32]), vec![]).issue(
        Scope::Challenge { issuer: ISSUER },
        START,
        &[1; 16],
    )
}
