//! An attestation service that trusts the virtual phones, one phone of each platform, and the time at which they meet.

use std::sync::LazyLock;

use countersign_core::challenge::{MacKey, MacKeyRing, Scope};
use countersign_core::enrolment::DecodedEnrolment;
use countersign_core::time::Timestamp;
use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::enrolment::{AuthenticEnrolment, DecodeFailure, Service, Signals, Verdict};
use countersign_verifier::evidence::{EvidenceError, EvidenceSet, VerifiedEvidence};
use countersign_verifier::policy::{AndroidApp, AppPolicy, AppleApp, AppraisalPolicy, Circumstances};
use countersign_verifier::revocation::RevocationList;
use countersign_virtual_device::{
    AppleAuthority, GoogleAuthority, Seed, ServiceCall, SessionKey, VirtualAndroid, VirtualIphone,
};

/// The time of everything here.
pub const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);
/// The issuer of the service.
pub const ISSUER: &str = "https://attest.example";

// Making an authority takes more work than verifying what it signs.
static APPLE: LazyLock<AppleAuthority> = LazyLock::new(|| AppleAuthority::from_seed(&seed()));
static GOOGLE: LazyLock<GoogleAuthority> = LazyLock::new(|| GoogleAuthority::from_seed(&seed()));

/// The service: what it checks by.
pub struct World {
    /// Keys of its challenges.
    pub challenge_keys: MacKeyRing,
    /// The embedded roots and those of the virtual authorities.
    pub anchors: TrustAnchors,
    /// A status list without entries.
    pub revocation: RevocationList,
    policy: AppraisalPolicy,
}

/// What the authorities, phones and keys are made of.
pub fn seed() -> Seed {
    Seed::from_text("a phone of each platform")
}

/// The session key of the phones.
pub fn session() -> SessionKey {
    SessionKey::from_seed(&seed())
}

/// The authority above [`android`].
pub fn google() -> &'static GoogleAuthority {
    &GOOGLE
}

/// An honest iPhone.
pub fn iphone() -> VirtualIphone {
    VirtualIphone::new(&APPLE, &seed()).app("ABCDE12345", "com.example.app")
}

/// An honest Android phone.
pub fn android() -> VirtualAndroid {
    VirtualAndroid::new(&GOOGLE, &seed()).app("com.example.app", 1, [8; 32])
}

impl World {
    /// A service that has seen nothing yet.
    #[expect(clippy::new_without_default, reason = "it is made, not assumed")]
    pub fn new() -> Self {
        const ROOT: &str = "the root of a virtual authority is one";
        let mut anchors = TrustAnchors::embedded();
        anchors.danger_add_app_attest_roots(&APPLE.root_certificate_der()).expect(ROOT);
        anchors.danger_add_android_key_roots(&GOOGLE.root_certificate_der()).expect(ROOT);
        let mut app = AppPolicy::new("app");
        app.apple.push(AppleApp::new("ABCDE12345", "com.example.app"));
        app.android
            .push(AndroidApp { package: "com.example.app".to_owned(), signing_digests: vec![[8; 32]] });
        Self {
            challenge_keys: MacKeyRing::new(MacKey::new(1, [3; 32]), vec![]),
            anchors,
            revocation: RevocationList::parse(br#"{"entries":{}}"#, NOW).expect("it is well-formed"),
            policy: AppraisalPolicy::new("test/1").with_app(app),
        }
    }

    /// What a phone is told that calls.
    pub fn call(&self) -> ServiceCall<'_> {
        ServiceCall {
            issuer: ISSUER,
            client_id: "app",
            challenge: self.challenge_keys.issue(Scope::Challenge { issuer: ISSUER }, NOW, &[1; 16]),
            app_version: "1.0",
            environment: 0,
            now: NOW,
        }
    }

    /// Whether the service would issue a result for this envelope.
    pub fn admits(&self, envelope: &[u8]) -> bool {
        let service = Service {
            issuer: ISSUER,
            challenge_keys: &self.challenge_keys,
            anchors: &self.anchors,
            revocation: Some(&self.revocation),
            development_keys: &|_| None,
            policy: &self.policy,
        };
        let Ok(decoded) = DecodedEnrolment::decode(envelope) else { return false };
        let verified = AuthenticEnrolment::verify(decoded, None, &service, NOW)
            .and_then(|authentic| authentic.verify_evidence(&service, NOW))
            .and_then(|offline| offline.complete(Err(DecodeFailure::NotAsked), NOW));
        let Ok(verified) = verified else { return false };
        matches!(verified.appraise(&self.policy, Signals::default(), NOW), Verdict::Admitted(_))
    }

    /// Whether this evidence is authentic and good enough.
    pub fn accepts(&self, evidence: Result<VerifiedEvidence, EvidenceError>) -> bool {
        let Ok(evidence) = evidence else { return false };
        let set = EvidenceSet::new(evidence);
        !self.policy.appraise("app", &set, &Circumstances::default(), NOW).is_refused()
    }
}
