//! The virtual world of these tests: the vendors' authorities, one phone below each, and a service that trusts them.
//! Making an authority takes more work than verifying what it signs, so each is made once for the whole program.

use std::sync::LazyLock;

use countersign_core::challenge::{MacKey, MacKeyRing, Scope};
use countersign_core::enrolment::DecodedEnrolment;
use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;
use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::enrolment::{
    Admission, AuthenticEnrolment, DecodeFailure, DecodedToken, EnrolmentError, RegisteredInstance, Service,
    Signals, Verdict,
};
use countersign_verifier::evidence::{VerifiedEvidence, android_key, app_attest};
use countersign_verifier::policy::{
    AndroidApp, AppPolicy, AppleApp, AppraisalPolicy, Circumstances, Enforcement, Tier,
};
use countersign_verifier::revocation::RevocationList;
use countersign_virtual_device::{
    AppleAuthority, GoogleAuthority, Seed, ServiceCall, SessionKey, VirtualAndroid, VirtualIphone,
    VirtualPhone,
};

/// The time of every test.
pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);
/// What evidence is bound to, where no envelope says it.
pub(crate) const CHALLENGE: [u8; 32] = [7; 32];
pub(crate) const ISSUER: &str = "https://attest.example";
/// The instance of whoever is registered.
pub(crate) const INSTANCE: InstanceId = InstanceId::from_bytes([5; 16]);

static APPLE: LazyLock<AppleAuthority> = LazyLock::new(|| AppleAuthority::from_seed(&seed()));
static GOOGLE: LazyLock<GoogleAuthority> = LazyLock::new(|| GoogleAuthority::from_seed(&seed()));

static ANCHORS: LazyLock<TrustAnchors> = LazyLock::new(|| {
    let mut anchors = TrustAnchors::embedded();
    anchors.danger_add_app_attest_roots(&APPLE.root_certificate_der()).unwrap();
    anchors.danger_add_android_key_roots(&GOOGLE.root_certificate_der()).unwrap();
    anchors
});

pub(crate) fn seed() -> Seed {
    Seed::from_text("a phone of each platform")
}

pub(crate) fn session() -> SessionKey {
    SessionKey::from_seed(&seed())
}

/// The embedded roots and those of the virtual authorities. A clone: it has seen no evidence yet.
pub(crate) fn anchors() -> TrustAnchors {
    ANCHORS.clone()
}

/// A status list without entries.
pub(crate) fn nothing_revoked() -> RevocationList {
    RevocationList::parse(br#"{"entries":{}}"#, NOW).unwrap()
}

pub(crate) fn iphone() -> VirtualIphone {
    VirtualIphone::new(&APPLE, &seed()).app("ABCDE12345", "com.example.app")
}

pub(crate) fn android() -> VirtualAndroid {
    VirtualAndroid::new(&GOOGLE, &seed()).app("com.example.app", 1, [8; 32])
}

/// The verified attestation of an iPhone's key.
pub(crate) fn attested(phone: &VirtualIphone) -> VerifiedEvidence {
    let attestation = phone.attest(&CHALLENGE, NOW);
    app_attest::verify_attestation(&attestation.object, &attestation.key_id, &CHALLENGE, &anchors(), NOW)
        .unwrap()
}

/// The verified chain of an Android phone's key.
pub(crate) fn verified(mut phone: VirtualAndroid) -> VerifiedEvidence {
    let chain = phone.attest(&CHALLENGE, NOW);
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    android_key::verify(&chain, &CHALLENGE, &anchors(), Some(&nothing_revoked()), NOW).unwrap()
}

/// The app of both phones, with the policy that it has by default.
pub(crate) fn app() -> AppPolicy {
    let mut app = AppPolicy::new("app");
    app.apple.push(AppleApp::new("ABCDE12345", "com.example.app"));
    app.android.push(AndroidApp { package: "com.example.app".to_owned(), signing_digests: vec![[8; 32]] });
    app
}

pub(crate) fn policy(change: impl FnOnce(&mut AppPolicy)) -> AppraisalPolicy {
    let mut app = app();
    change(&mut app);
    AppraisalPolicy::new("test/1").with_app(app)
}

pub(crate) fn tier(policy: &AppraisalPolicy, evidence: &VerifiedEvidence) -> Tier {
    policy.appraise("app", &evidence.clone().into(), &Circumstances::default(), NOW).tier()
}

/// The labels of what speaks against the evidence.
pub(crate) fn objections(policy: &AppraisalPolicy, evidence: &VerifiedEvidence) -> Vec<&'static str> {
    let appraisal = policy.appraise("app", &evidence.clone().into(), &Circumstances::default(), NOW);
    appraisal.objections().map(|outcome| outcome.constraint.label()).collect()
}

/// What a phone is told that calls the service.
pub(crate) fn call(now: Timestamp) -> ServiceCall<'static> {
    ServiceCall {
        issuer: ISSUER,
        client_id: "app",
        challenge: challenge_keys().issue(Scope::Challenge { issuer: ISSUER }, now, &[1; 16]),
        app_version: "1.0",
        environment: 0,
        now,
    }
}

pub(crate) fn challenge_keys() -> MacKeyRing {
    MacKeyRing::new(MacKey::new(1, [3; 32]), vec![])
}

/// An attestation service that trusts the virtual authorities.
pub(crate) struct World {
    pub(crate) policy: AppraisalPolicy,
    anchors: TrustAnchors,
    revocation: RevocationList,
}

/// Why no result is issued.
#[derive(Debug, PartialEq)]
pub(crate) enum Refused {
    Encoding,
    Error(EnrolmentError),
    /// The required constraints that do not hold.
    Policy(Vec<&'static str>),
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut AppPolicy)) -> Self {
        Self { policy: policy(change), anchors: anchors(), revocation: nothing_revoked() }
    }

    /// Judges an envelope; a Play Integrity token in it goes to `decode`.
    pub(crate) fn admit_with(
        &self,
        envelope: &[u8],
        registered: Option<&RegisteredInstance>,
        now: Timestamp,
        decode: impl FnOnce(&str) -> DecodedToken,
    ) -> Result<Admission, Refused> {
        let service = Service {
            issuer: ISSUER,
            challenge_keys: &challenge_keys(),
            anchors: &self.anchors,
            revocation: Some(&self.revocation),
            development_keys: &|_| None,
            policy: &self.policy,
        };
        let decoded = DecodedEnrolment::decode(envelope).map_err(|_| Refused::Encoding)?;
        let verified = AuthenticEnrolment::verify(decoded, registered, &service, now)
            .and_then(|authentic| authentic.verify_evidence(&service, now))
            .and_then(|offline| {
                let payload = offline.play_integrity_token().map_or(Err(DecodeFailure::NotAsked), decode);
                offline.complete(payload, now)
            })
            .map_err(Refused::Error)?;
        match verified.appraise(&self.policy, Signals::default(), now) {
            Verdict::Admitted(admission) => Ok(*admission),
            Verdict::Refused(appraisal) => Err(Refused::Policy(
                appraisal
                    .objections()
                    .filter(|outcome| outcome.enforcement == Enforcement::Require)
                    .map(|outcome| outcome.constraint.label())
                    .collect(),
            )),
        }
    }

    /// Judges an envelope without asking about a Play Integrity token.
    pub(crate) fn admit(
        &self,
        envelope: &[u8],
        registered: Option<&RegisteredInstance>,
        now: Timestamp,
    ) -> Result<Admission, Refused> {
        self.admit_with(envelope, registered, now, |_| Err(DecodeFailure::NotAsked))
    }

    /// Enrols a phone that is admitted.
    pub(crate) fn enrol(&self, phone: &mut VirtualPhone) -> RegisteredInstance {
        registered(&self.admit(&phone.enrol(&call(NOW), &session()), None, NOW).unwrap())
    }
}

/// What the registry keeps of an admission.
pub(crate) fn registered(admission: &Admission) -> RegisteredInstance {
    RegisteredInstance {
        id: INSTANCE,
        client_id: admission.client_id().to_owned(),
        instance_key: *admission.instance_key(),
        platform_key: admission.platform_key().clone(),
        protection: admission.protection(),
        vouched_by: admission.vouched_by(),
        evidence_time: admission.evidence_time(),
        trustworthiness: admission.evidence().clone(),
        history: admission.history().clone(),
    }
}
