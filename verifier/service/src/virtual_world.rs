//! For the tests of this crate: a service whose policy accepts two virtual phones, at a time that stands still.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_core::challenge::{Challenge, Scope};
use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;
use countersign_verifier::policy::{AndroidApp, AppPolicy, AppleApp, AppraisalPolicy, Danger};
use countersign_verifier::revocation::RevocationList;
use countersign_virtual_device::{
    AppleAuthority, GoogleAuthority, Seed, ServiceCall, SessionKey, VirtualAndroid, VirtualIphone,
    VirtualPhone,
};
use tempfile::TempDir;

use crate::clock::Clock;
use crate::settings::Settings;
use crate::trust::Trust;
use crate::{RunningService, Service};

pub(crate) const ISSUER: &str = "https://attest.example";
pub(crate) const CLIENT: &str = "app";
pub(crate) const START: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

/// A running service on loopback, its clock, and the directory of its files.
pub(crate) struct World {
    pub(crate) running: RunningService,
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) directory: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_settings("").await
    }

    /// A world with further settings behind the listeners.
    pub(crate) async fn with_settings(further: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("policy.toml"), "").unwrap();
        let clock = Arc::new(AtomicU64::new(START.as_unix_seconds()));
        let text = format!(
            "issuer = '{ISSUER}'\n[listen]\npublic = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\n{further}"
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

    /// Enrols a phone and returns its instance.
    pub(crate) async fn enrol(&self, phone: &mut VirtualPhone) -> InstanceId {
        let envelope = phone.enrol(&self.call(), &session("first"));
        let answer = self.service().attest(None, &envelope).await.unwrap();
        InstanceId::from_base64url(&answer.instance_id).unwrap()
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
    trust.revocation = Some(RevocationList::parse(br#"{"entries":{}}"#).unwrap());
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

/// A well-formed challenge of the issuer that nobody gave out.
pub(crate) fn foreign_challenge() -> Challenge {
    use countersign_core::challenge::{MacKey, MacKeyRing};
    MacKeyRing::new(MacKey::new(1, [9; 32]), vec![]).issue(
        Scope::Challenge { issuer: ISSUER },
        START,
        &[1; 16],
    )
}
