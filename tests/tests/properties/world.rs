//! A service that trusts the virtual phones, and an edge with one device.

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

pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);
pub(crate) const ISSUER: &str = "https://attest.example";

pub(crate) struct World {
    pub(crate) challenge_keys: MacKeyRing,
    pub(crate) anchors: TrustAnchors,
    pub(crate) revocation: RevocationList,
    policy: AppraisalPolicy,
}

pub(crate) fn seed() -> Seed {
    Seed::from_text("properties")
}

pub(crate) fn session() -> SessionKey {
    SessionKey::from_seed(&seed())
}

pub(crate) fn iphone() -> VirtualIphone {
    VirtualIphone::new(&AppleAuthority::from_seed(&seed()), &seed()).app("ABCDE12345", "com.example.app")
}

pub(crate) fn android() -> VirtualAndroid {
    VirtualAndroid::new(&GoogleAuthority::from_seed(&seed()), &seed()).app("com.example.app", 1, [8; 32])
}

impl World {
    pub(crate) fn new() -> Self {
        let mut anchors = TrustAnchors::embedded();
        let apple = AppleAuthority::from_seed(&seed()).root_certificate_der();
        anchors.danger_add_app_attest_roots(&apple).unwrap();
        let google = GoogleAuthority::from_seed(&seed()).root_certificate_der();
        anchors.danger_add_android_key_roots(&google).unwrap();
        let mut app = AppPolicy::new("app");
        app.apple.push(AppleApp::new("ABCDE12345", "com.example.app"));
        app.android
            .push(AndroidApp { package: "com.example.app".to_owned(), signing_digests: vec![[8; 32]] });
        Self {
            challenge_keys: MacKeyRing::new(MacKey::new(1, [3; 32]), vec![]),
            anchors,
            revocation: RevocationList::parse(br#"{"entries":{}}"#, NOW).unwrap(),
            policy: AppraisalPolicy::new("properties/1").with_app(app),
        }
    }

    pub(crate) fn call(&self) -> ServiceCall<'_> {
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
    pub(crate) fn admits(&self, envelope: &[u8]) -> bool {
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
    pub(crate) fn accepts(&self, evidence: Result<VerifiedEvidence, EvidenceError>) -> bool {
        let Ok(evidence) = evidence else { return false };
        let set = EvidenceSet::new(evidence);
        !self.policy.appraise("app", &set, &Circumstances::default(), NOW).is_refused()
    }
}
