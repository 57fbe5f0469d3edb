//! The trust bundle: roots, status list and boot keys in one signed, versioned file (docs/trust-bundle.md).
//!
//! A COSE_Sign1 of type [`TYP`], signed with an Ed25519 key that the operator names. Whoever has that key decides what
//! a genuine phone is, so it belongs to those who may change the policy, and to nobody else.

mod content;
mod error;
#[cfg(test)]
mod tests;

use countersign_core::cbor::{self, CborError};
use countersign_core::time::Timestamp;
use countersign_core::token::cose::{Header, Sign1, Unsigned};
use countersign_core::token::keys::{Algorithm, PublicKey};

pub use self::content::{
    BundleContent, BundledRoots, BundledStatusList, MAX_BOOT_KEYS, MAX_ROOTS, NotedBootKey, RootKind,
};
pub use self::error::BundleError;
use crate::anchors::{Anchor, TrustAnchors};
use crate::boot_keys::BootKeys;
use crate::crypto::{AwsLc, sha256};
use crate::revocation::{MAX_LIST_LENGTH, RevocationList};

/// The media type in `typ`.
pub const TYP: &str = "application/vnd.countersign.trust-bundle+cbor";
/// Longest bundle, in bytes.
pub const MAX_BUNDLE: usize = MAX_LIST_LENGTH + 4 * 1024 * 1024;

/// What the signer's clock may be ahead, in seconds.
const CLOCK_SKEW: u64 = 60;

/// Which bundle was taken: its version, and SHA-256 of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenBundle {
    /// The version.
    pub version: u64,
    /// SHA-256 of the whole file, 32 bytes.
    pub digest: [u8; 32],
}

/// A bundle that the trusted key signed, current, and whole: every part of it can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustBundle {
    seen: SeenBundle,
    issued_at: Timestamp,
    expires_at: Option<Timestamp>,
    roots: Vec<(RootKind, bool, Vec<Anchor>)>,
    revocation: Option<RevocationList>,
    boot_keys: BootKeys,
}

impl BundleContent {
    /// The message to be signed with the Ed25519 key `key`.
    pub fn to_unsigned(&self, key: &PublicKey) -> Unsigned {
        let key_id = key.thumbprint().to_base64url();
        let header = Header { algorithm: Algorithm::Ed25519, key_id: Some(key_id.as_bytes()), typ: TYP };
        Unsigned::new(&header, self.to_bytes())
    }

    /// Takes a bundle apart for a person who wants to read it; nothing is verified.
    ///
    /// # Errors
    /// The first deviation of the encoding.
    pub fn claimed(bytes: &[u8]) -> Result<Self, BundleError> {
        let message = open(bytes)?;
        Self::decode(&mut cbor::deterministic(message.payload())?)
    }
}

impl SeenBundle {
    /// Whether a bundle may follow this one: the same again, or a higher version.
    ///
    /// # Errors
    /// [`BundleError::OlderVersion`] or [`BundleError::SameVersion`].
    pub fn may_be_followed_by(&self, next: &Self) -> Result<(), BundleError> {
        if next.version < self.version {
            return Err(BundleError::OlderVersion { seen: self.version, version: next.version });
        }
        if next.version == self.version && next.digest != self.digest {
            return Err(BundleError::SameVersion);
        }
        Ok(())
    }
}

impl TrustBundle {
    /// Takes a bundle that `key` signed. Whether its version may follow the one before is for
    /// [`SeenBundle::may_be_followed_by`] to say.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn verify(bytes: &[u8], key: &PublicKey, now: Timestamp) -> Result<Self, BundleError> {
        let message = open(bytes)?;
        let key_id = key.thumbprint().to_base64url();
        if message.header().key_id != Some(key_id.as_bytes()) {
            return Err(BundleError::OtherKey);
        }
        message.verify(key, &AwsLc).map_err(|_| BundleError::Signature)?;
        let content = BundleContent::decode(&mut cbor::deterministic(message.payload())?)?;
        if content.issued_at > now.plus(CLOCK_SKEW) {
            return Err(BundleError::FromTheFuture);
        }
        if content.expires_at.is_some_and(|expires_at| now >= expires_at) {
            return Err(BundleError::Expired);
        }
        let revocation = content.status_list.as_ref().map(|list| status_list(list, content.issued_at));
        let boot_keys = content.boot_keys.iter().map(|noted| noted.key.clone()).collect();
        Ok(Self {
            seen: SeenBundle { version: content.version, digest: sha256(bytes) },
            issued_at: content.issued_at,
            expires_at: content.expires_at,
            roots: roots(&content.roots)?,
            revocation: revocation.transpose()?,
            boot_keys: BootKeys::new(boot_keys).map_err(BundleError::BootKeys)?,
        })
    }

    /// Version and hash, to be remembered.
    pub const fn seen(&self) -> SeenBundle {
        self.seen
    }

    /// When it was made.
    pub const fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// When it is not taken any more.
    pub const fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// The embedded roots with those of the bundle beside them, or in their place where it says so.
    pub fn anchors(&self) -> TrustAnchors {
        let mut anchors = TrustAnchors::embedded();
        for (kind, replace, roots) in &self.roots {
            anchors.take(*kind, *replace, roots);
        }
        anchors
    }

    /// Its status list.
    pub const fn revocation(&self) -> Option<&RevocationList> {
        self.revocation.as_ref()
    }

    /// Its boot keys.
    pub const fn boot_keys(&self) -> &BootKeys {
        &self.boot_keys
    }
}

/// The message, whose header must be that of a trust bundle.
fn open(bytes: &[u8]) -> Result<Sign1<'_>, BundleError> {
    if bytes.len() > MAX_BUNDLE {
        return Err(BundleError::TooLong);
    }
    let message = Sign1::decode(bytes)?;
    if message.header().typ != TYP || message.header().algorithm != Algorithm::Ed25519 {
        return Err(CborError::Unexpected.into());
    }
    Ok(message)
}

fn roots(all: &[BundledRoots]) -> Result<Vec<(RootKind, bool, Vec<Anchor>)>, BundleError> {
    let mut known: Vec<(RootKind, bool, Vec<Anchor>)> = Vec::new();
    for BundledRoots { kind, replace, certificates } in all {
        if known.iter().any(|(present, _, _)| present == kind) {
            return Err(BundleError::Roots);
        }
        let anchors = certificates.iter().map(|der| Anchor::bundled(der).map_err(BundleError::Root));
        known.push((*kind, *replace, anchors.collect::<Result<_, _>>()?));
    }
    Ok(known)
}

fn status_list(list: &BundledStatusList, issued_at: Timestamp) -> Result<RevocationList, BundleError> {
    let parsed = RevocationList::parse(&list.json, list.as_of).map_err(BundleError::StatusList)?;
    if parsed.is_empty() || list.as_of > issued_at.plus(CLOCK_SKEW) {
        return Err(BundleError::StatusListNotBelieved);
    }
    Ok(parsed)
}
