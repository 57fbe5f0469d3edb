//! A service, an edge's issuers and two phones, always the same; and time, as an input says it.

use std::sync::LazyLock;

use countersign_core::challenge::{Challenge, MacKey, MacKeyRing, Scope};
use countersign_core::enrolment::Evidence;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::{InstanceId, Protection, ResultClaims, Tier, VouchedBy};
use countersign_core::token::trust_vector::{TrustClaim, TrustVector};
use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::enrolment::Service;
use countersign_verifier::policy::{AndroidApp, AppPolicy, AppleApp, AppraisalPolicy};
use countersign_verifier::revocation::RevocationList;
use countersign_virtual_device::{
    AppleAuthority, GoogleAuthority, Seed, ServiceCall, SessionKey, VirtualAndroid, VirtualIphone,
    VirtualPhone,
};

pub const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);
pub const ISSUER: &str = "https://attest.example";
pub const CLIENT: &str = "app";
pub const CHALLENGE: [u8; 32] = [7; 32];
pub const PACKAGE: &str = "com.example.app";
pub const SIGNING_DIGEST: [u8; 32] = [8; 32];

/// The policy's numbers are not tried here, so it is the default one with the two phones' app in it.
pub static POLICY: LazyLock<AppraisalPolicy> = LazyLock::new(|| {
    let mut app = AppPolicy::new(CLIENT);
    app.apple.push(AppleApp::new("ABCDE12345", PACKAGE));
    app.android.push(AndroidApp { package: PACKAGE.to_owned(), signing_digests: vec![SIGNING_DIGEST] });
    AppraisalPolicy::new("fuzz/1").with_app(app)
});

/// The platforms' roots and those of the virtual phones.
pub static ANCHORS: LazyLock<TrustAnchors> = LazyLock::new(|| {
    let mut anchors = TrustAnchors::embedded();
    anchors.danger_add_app_attest_roots(&apple().root_certificate_der()).expect("a root");
    anchors.danger_add_android_key_roots(&google().root_certificate_der()).expect("a root");
    anchors
});

pub static NOTHING_REVOKED: LazyLock<RevocationList> =
    LazyLock::new(|| RevocationList::parse(br#"{"entries":{}}"#, NOW).expect("a status list"));

static CHALLENGE_KEYS: LazyLock<MacKeyRing> =
    LazyLock::new(|| MacKeyRing::new(MacKey::new(1, [3; 32]), vec![]));

pub fn seed() -> Seed {
    Seed::from_text("fuzzing")
}

// Deriving their keys anew for each input would cost more than what is tried with it.
static APPLE: LazyLock<AppleAuthority> = LazyLock::new(|| AppleAuthority::from_seed(&seed()));
static GOOGLE: LazyLock<GoogleAuthority> = LazyLock::new(|| GoogleAuthority::from_seed(&seed()));
static IPHONE: LazyLock<VirtualIphone> =
    LazyLock::new(|| VirtualIphone::new(&APPLE, &seed()).app("ABCDE12345", PACKAGE));
static ANDROID: LazyLock<VirtualAndroid> =
    LazyLock::new(|| VirtualAndroid::new(&GOOGLE, &seed()).app(PACKAGE, 1, SIGNING_DIGEST));

pub fn apple() -> &'static AppleAuthority {
    &APPLE
}

pub fn google() -> &'static GoogleAuthority {
    &GOOGLE
}

pub fn iphone() -> VirtualIphone {
    IPHONE.clone()
}

pub fn android() -> VirtualAndroid {
    ANDROID.clone()
}

pub fn phones() -> [VirtualPhone; 2] {
    [iphone().into(), android().into()]
}

pub fn session() -> SessionKey {
    SessionKey::from_seed(&seed())
}

pub fn challenge() -> Challenge {
    CHALLENGE_KEYS.issue(Scope::Challenge { issuer: ISSUER }, NOW, &[1; 16])
}

pub fn call() -> ServiceCall<'static> {
    ServiceCall {
        issuer: ISSUER,
        client_id: CLIENT,
        challenge: challenge(),
        app_version: "1.0",
        environment: 0,
        now: NOW,
    }
}

pub fn service() -> Service<'static> {
    Service {
        issuer: ISSUER,
        challenge_keys: &CHALLENGE_KEYS,
        anchors: &ANCHORS,
        revocation: Some(&NOTHING_REVOKED),
        development_keys: &|_| None,
        policy: &POLICY,
    }
}

/// The claims of a result for `confirmation`.
pub fn result_claims(confirmation: PublicKey) -> ResultClaims {
    ResultClaims {
        issuer: ISSUER.to_owned(),
        client_id: CLIENT.to_owned(),
        issued_at: NOW.minus(300),
        expires_at: NOW.plus(300),
        confirmation,
        tier: Tier::Affirming,
        instance: InstanceId::from_bytes([5; 16]),
        instance_jkt: confirmation.thumbprint(),
        protection: Protection::Tee,
        vouched_by: VouchedBy::Platform,
        evidence_time: NOW.minus(300),
        app_version: Some("4.12.0".to_owned()),
        policy: "default/12".to_owned(),
        labels: vec!["beta".to_owned()],
        trust_vector: {
            let mut vector = TrustVector::default();
            vector.worsen(TrustClaim::Hardware, 2);
            vector.worsen(TrustClaim::StorageOpaque, 32);
            vector
        },
    }
}

/// The first four bytes as a time: up to 68 years before or after [`NOW`]. All zero is [`NOW`].
pub fn time(data: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (seconds, rest) = data.split_first_chunk()?;
    let offset = i32::from_le_bytes(*seconds);
    let now = NOW.as_unix_seconds().saturating_add_signed(offset.into());
    Some((Timestamp::from_unix_seconds(now), rest))
}

/// Bytes of a piece of evidence that a seed may hold: chains one certificate after the other.
pub fn evidence_bytes(evidence: &Evidence) -> Vec<u8> {
    match evidence {
        Evidence::AppAttest { attestation_object, .. } => attestation_object.clone(),
        Evidence::AppAttestAssertion { assertion } => assertion.clone(),
        Evidence::AndroidKey { chain } => chain.concat(),
        Evidence::PlayIntegrity { token } => token.clone().into_bytes(),
        Evidence::DevelopmentKey { signature, .. } => signature.to_vec(),
        #[allow(unreachable_patterns)]
        _ => Vec::new(),
    }
}
