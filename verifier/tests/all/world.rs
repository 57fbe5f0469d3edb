//! The vendors' virtual authorities and one phone below each. Making an authority takes more work than verifying what
//! it signs, so each is made once for the whole program.

use std::sync::LazyLock;

use countersign_core::time::Timestamp;
use countersign_verifier::anchors::TrustAnchors;
use countersign_virtual_device::{AppleAuthority, GoogleAuthority, Seed, VirtualAndroid, VirtualIphone};

/// The time of every test.
pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);
/// What evidence is bound to, where no envelope says it.
pub(crate) const CHALLENGE: [u8; 32] = [7; 32];

pub(crate) static APPLE: LazyLock<AppleAuthority> = LazyLock::new(|| AppleAuthority::from_seed(&seed()));
pub(crate) static GOOGLE: LazyLock<GoogleAuthority> = LazyLock::new(|| GoogleAuthority::from_seed(&seed()));

static ANCHORS: LazyLock<TrustAnchors> = LazyLock::new(|| {
    let mut anchors = TrustAnchors::embedded();
    anchors.danger_add_app_attest_roots(&APPLE.root_certificate_der()).unwrap();
    anchors.danger_add_android_key_roots(&GOOGLE.root_certificate_der()).unwrap();
    anchors
});

pub(crate) fn seed() -> Seed {
    Seed::from_text("a phone of each platform")
}

/// The embedded roots and those of the virtual authorities. A clone: it has seen no evidence yet.
pub(crate) fn anchors() -> TrustAnchors {
    ANCHORS.clone()
}

pub(crate) fn iphone() -> VirtualIphone {
    VirtualIphone::new(&APPLE, &seed()).app("ABCDE12345", "com.example.app")
}

pub(crate) fn android() -> VirtualAndroid {
    VirtualAndroid::new(&GOOGLE, &seed()).app("com.example.app", 1, [8; 32])
}
