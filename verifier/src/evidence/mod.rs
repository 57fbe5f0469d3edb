//! Evidence of a device: bytes in, [`VerifiedEvidence`] out.
//!
//! Two questions are kept apart. *Is it authentic and fresh?* is answered here, and everything that speaks
//! against it is an [`EvidenceError`]. *Do we like what it says?* (which app, which boot state, how old) is for
//! [`crate::policy`], which sees nothing but [`VerifiedEvidence`]. The kinds of evidence meet nowhere else.

pub mod android_key;
pub mod app_attest;
pub mod development_key;
mod error;
mod key;
pub mod play_integrity;
pub mod recorded;
mod set;

use countersign_core::time::Timestamp;
use countersign_core::token::result::Protection;
use serde::{Serialize, Serializer};

pub use self::error::EvidenceError;
pub use self::key::AttestedKey;
pub use self::recorded::{RecordedEvidence, TrustData};
pub use self::set::EvidenceSet;

/// The kind of a piece of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EvidenceKind {
    /// An App Attest attestation object.
    AppAttest,
    /// An App Attest assertion.
    AppAttestAssertion,
    /// An Android key attestation chain.
    AndroidKey,
    /// A Play Integrity token.
    PlayIntegrity,
    /// A signature by a registered development key.
    DevelopmentKey,
}

impl EvidenceKind {
    /// The name in messages and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AppAttest => "app-attest",
            Self::AppAttestAssertion => "app-attest-assertion",
            Self::AndroidKey => "android-key",
            Self::PlayIntegrity => "play-integrity",
            Self::DevelopmentKey => "development-key",
        }
    }

    /// The platform whose devices make this kind.
    pub const fn platform(self) -> Platform {
        match self {
            Self::AppAttest | Self::AppAttestAssertion => Platform::Apple,
            Self::AndroidKey | Self::PlayIntegrity => Platform::Android,
            Self::DevelopmentKey => Platform::Development,
        }
    }
}

/// Whose device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Platform {
    /// iOS, macOS and their relatives.
    Apple,
    /// Android.
    Android,
    /// A developer's machine.
    Development,
}

/// Evidence whose encoding, signatures, chain, anchor and freshness have been verified. Made only by the
/// `verify…` functions of this module's children. What it says has yet to be appraised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifiedEvidence {
    kind: EvidenceKind,
    #[serde(serialize_with = "unix_seconds")]
    evidence_time: Timestamp,
    attested_key: AttestedKey,
    protection: Protection,
    #[serde(skip_serializing_if = "Option::is_none")]
    counter: Option<u32>,
    claims: Claims,
}

/// What the evidence says, by kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Claims {
    /// Of an App Attest attestation or assertion.
    AppAttest(Box<app_attest::AppAttestClaims>),
    /// Of an Android key attestation.
    AndroidKey(Box<android_key::AndroidKeyClaims>),
    /// Of a Play Integrity token.
    PlayIntegrity(Box<play_integrity::PlayIntegrityClaims>),
    /// Of a development key.
    DevelopmentKey(development_key::DevelopmentKeyClaims),
}

impl VerifiedEvidence {
    /// The kind.
    pub const fn kind(&self) -> EvidenceKind {
        self.kind
    }

    /// Whose device it is.
    pub const fn platform(&self) -> Platform {
        self.kind.platform()
    }

    /// When it was verified; the nonce or challenge in it makes that the time it speaks of.
    pub const fn evidence_time(&self) -> Timestamp {
        self.evidence_time
    }

    /// The key that the evidence is about. For App Attest that is App Attest's own key.
    pub const fn attested_key(&self) -> &AttestedKey {
        &self.attested_key
    }

    /// How [`Self::attested_key`] is protected, the weakest of what evidence and chain say.
    pub const fn protection(&self) -> Protection {
        self.protection
    }

    /// The counter of App Attest, to be stored and handed in with the next assertion.
    pub const fn counter(&self) -> Option<u32> {
        self.counter
    }

    /// What it says.
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }
}

pub(crate) fn unix_seconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_unix_seconds())
}

pub(crate) fn optional_unix_seconds<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => unix_seconds(time, serializer),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn hex<S: Serializer>(bytes: &impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Hex(bytes.as_ref()))
}

pub(crate) fn hex_list<S: Serializer>(list: &[impl AsRef<[u8]>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter().map(|bytes| Hex(bytes.as_ref()).to_string()))
}

pub(crate) fn optional_hex<S: Serializer>(
    bytes: &Option<impl AsRef<[u8]>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => hex(bytes, serializer),
        None => serializer.serialize_none(),
    }
}

/// Writes bytes in lower-case hex.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
