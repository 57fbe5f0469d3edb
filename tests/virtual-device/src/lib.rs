//! A virtual iPhone and a virtual Android phone. They make attestation evidence of the genuine shape under test
//! roots, honest or with any one lie in it, so that a verifier can be tried without a phone.
//!
//! ```
//! use countersign_core::time::Timestamp;
//! use countersign_virtual_device::{
//!     AndroidAttack, AppleAuthority, GoogleAuthority, Seed, VirtualAndroid, VirtualIphone,
//! };
//!
//! let now = Timestamp::from_unix_seconds(1_790_000_000);
//! let seed = Seed::from_text("example");
//! let iphone = VirtualIphone::new(&AppleAuthority::from_seed(&seed), &seed).app("TEAM123456", "org.example");
//! let attestation = iphone.attest(&[7; 32], now);
//! assert!(attestation.object.starts_with(b"\xa3\x63fmt"));
//!
//! let google = GoogleAuthority::from_seed(&seed);
//! let mut rooted = VirtualAndroid::new(&google, &seed).attack(AndroidAttack::Rooted);
//! assert_eq!(rooted.attest(b"challenge", now).len(), 5);
//! ```
//!
//! Everything follows from a [`Seed`] and the time that is handed in; the same calls make the same bytes. The
//! roots say in their names that nobody is to trust them: this crate is a forge, and belongs into tests and
//! demonstrations only.
#![forbid(unsafe_code)]

pub mod android;
pub mod android_quirk;
pub mod app_attest;
pub mod apple_authority;
pub mod asn1;
pub mod certificate;
pub mod client_authority;
pub mod development_key;
pub mod device;
pub mod enrolment;
pub mod google_authority;
pub mod hostile;
pub mod iphone;
pub mod key_description;
pub mod phone;
pub mod play_integrity;
pub mod receipt;
pub mod saved;
pub mod seed;
pub mod service_account;
pub mod session;

pub use android::VirtualAndroid;
pub use android_quirk::AndroidQuirk;
pub use apple_authority::AppleAuthority;
pub use client_authority::{ClientAuthority, Credentials};
pub use development_key::DevelopmentKey;
pub use device::VirtualDevice;
pub use enrolment::ServiceCall;
pub use google_authority::{GoogleAuthority, Provisioning};
pub use hostile::{
    AndroidAttack, AssertionAttack, EnrolmentAttack, Expected, IphoneAttack, PlayIntegrityAttack,
    ProofAttack, ReceiptAttack,
};
pub use iphone::{AppAttestation, AppExtensions, Environment, VirtualIphone};
pub use key_description::{BootState, SecurityLevel};
pub use phone::VirtualPhone;
pub use play_integrity::{PlayRequest, VirtualPlay};
pub use saved::RestoreError;
pub use seed::{Seed, SeededRandom};
pub use session::{HeaderFields, ProofRequest, Session, SessionKey};
