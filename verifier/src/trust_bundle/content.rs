//! What stands in a trust bundle, and its encoding.

use core::convert::Infallible;

use countersign_core::cbor::{self, CborError};
use countersign_core::time::Timestamp;
use minicbor::encode::Error;
use minicbor::{Decoder, Encoder};

use super::BundleError;
use crate::boot_keys::BootKey;

/// Most certificates of one kind of roots.
pub const MAX_ROOTS: usize = 32;
/// Most entries of boot keys.
pub use crate::boot_keys::MAX_BOOT_KEYS;

/// What roots are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootKind {
    /// App Attest.
    AppAttest,
    /// The receipts of App Attest.
    AppAttestReceipt,
    /// Android key attestation.
    AndroidKey,
}

/// Roots of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundledRoots {
    /// What they are for.
    pub kind: RootKind,
    /// Whether they stand in the place of the embedded ones. Otherwise they stand beside them.
    pub replace: bool,
    /// The certificates, DER: 1 to [`MAX_ROOTS`].
    pub certificates: Vec<Vec<u8>>,
}

/// A status list as its publisher gave it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundledStatusList {
    /// When it was current.
    pub as_of: Timestamp,
    /// The JSON.
    pub json: Vec<u8>,
}

/// A boot key, and what people should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedBootKey {
    /// The key.
    pub key: BootKey,
    /// Where it is from, for people; empty if nothing is said.
    pub note: String,
}

/// The content of a trust bundle: everything but the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleContent {
    /// Grows with every bundle of one signer.
    pub version: u64,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it is not taken any more.
    pub expires_at: Option<Timestamp>,
    /// Roots, each kind at most once.
    pub roots: Vec<BundledRoots>,
    /// The status list of Android attestation certificates.
    pub status_list: Option<BundledStatusList>,
    /// Verified boot keys of other systems than the vendors'.
    pub boot_keys: Vec<NotedBootKey>,
}

impl RootKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AppAttest, Self::AppAttestReceipt, Self::AndroidKey];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AppAttest => "app-attest",
            Self::AppAttestReceipt => "app-attest-receipt",
            Self::AndroidKey => "android-key",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::AppAttest => 0,
            Self::AppAttestReceipt => 1,
            Self::AndroidKey => 2,
        }
    }
}

impl BundleContent {
    /// Its deterministic encoding.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = self.encode(&mut Encoder::new(&mut bytes));
        debug_assert!(written.is_ok());
        bytes
    }

    fn encode(&self, e: &mut Encoder<&mut Vec<u8>>) -> Result<(), Error<Infallible>> {
        let optional = [
            self.expires_at.is_some(),
            !self.roots.is_empty(),
            self.status_list.is_some(),
            !self.boot_keys.is_empty(),
        ];
        e.map(2 + optional.iter().filter(|present| **present).count() as u64)?;
        e.u8(1)?.u64(self.version)?.u8(2)?.u64(self.issued_at.as_unix_seconds())?;
        if let Some(expires_at) = self.expires_at {
            e.u8(3)?.u64(expires_at.as_unix_seconds())?;
        }
        if !self.roots.is_empty() {
            e.u8(4)?.array(self.roots.len() as u64)?;
            for roots in &self.roots {
                e.map(3)?.u8(1)?.u8(roots.kind.number())?.u8(2)?.bool(roots.replace)?;
                e.u8(3)?.array(roots.certificates.len() as u64)?;
                for certificate in &roots.certificates {
                    e.bytes(certificate)?;
                }
            }
        }
        if let Some(list) = &self.status_list {
            e.u8(5)?.map(2)?.u8(1)?.u64(list.as_of.as_unix_seconds())?.u8(2)?.bytes(&list.json)?;
        }
        if !self.boot_keys.is_empty() {
            e.u8(6)?.array(self.boot_keys.len() as u64)?;
            for NotedBootKey { key, note } in &self.boot_keys {
                e.map(2 + u64::from(!key.models.is_empty()) + u64::from(!note.is_empty()))?;
                e.u8(1)?.bytes(&key.verified_boot_key)?.u8(2)?.str(&key.name)?;
                if !key.models.is_empty() {
                    e.u8(3)?.array(key.models.len() as u64)?;
                    for model in &key.models {
                        e.str(model)?;
                    }
                }
                if !note.is_empty() {
                    e.u8(4)?.str(note)?;
                }
            }
        }
        Ok(())
    }

    /// Reads what [`cbor::deterministic`] has let through.
    pub(super) fn decode(d: &mut Decoder<'_>) -> Result<Self, BundleError> {
        let (mut version, mut issued_at, mut expires_at) = (None, None, None);
        let (mut roots, mut status_list, mut boot_keys) = (Vec::new(), None, Vec::new());
        for _ in 0..d.map()?.ok_or(CborError::Unexpected)? {
            match d.u64()? {
                1 => version = Some(d.u64()?),
                2 => issued_at = Some(Timestamp::from_unix_seconds(d.u64()?)),
                3 => expires_at = Some(Timestamp::from_unix_seconds(d.u64()?)),
                4 => roots = list(d, RootKind::ALL.len(), BundledRoots::decode)?,
                5 => status_list = Some(BundledStatusList::decode(d)?),
                6 => boot_keys = list(d, MAX_BOOT_KEYS, NotedBootKey::decode)?,
                // What is not known could be what a revocation depends on.
                _ => return Err(CborError::UnknownCritical.into()),
            }
        }
        Ok(Self {
            version: version.ok_or(CborError::Missing)?,
            issued_at: issued_at.ok_or(CborError::Missing)?,
            expires_at,
            roots,
            status_list,
            boot_keys,
        })
    }
}

impl BundledRoots {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, BundleError> {
        let (mut kind, mut replace, mut certificates) = (None, None, None);
        for _ in 0..d.map()?.ok_or(CborError::Unexpected)? {
            match d.u64()? {
                1 => {
                    let number = d.u8()?;
                    kind = RootKind::ALL.into_iter().find(|kind| kind.number() == number);
                    if kind.is_none() {
                        return Err(CborError::UnknownCritical.into());
                    }
                }
                2 => replace = Some(d.bool()?),
                3 => certificates = Some(list(d, MAX_ROOTS, |d| Ok(d.bytes()?.to_vec()))?),
                _ => return Err(CborError::UnknownCritical.into()),
            }
        }
        Ok(Self {
            kind: kind.ok_or(CborError::Missing)?,
            replace: replace.ok_or(CborError::Missing)?,
            certificates: certificates.ok_or(CborError::Missing)?,
        })
    }
}

impl BundledStatusList {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, BundleError> {
        if d.map()? != Some(2) || d.u8()? != 1 {
            return Err(CborError::Unexpected.into());
        }
        let as_of = Timestamp::from_unix_seconds(d.u64()?);
        if d.u8()? != 2 {
            return Err(CborError::Unexpected.into());
        }
        Ok(Self { as_of, json: d.bytes()?.to_vec() })
    }
}

impl NotedBootKey {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, BundleError> {
        let (mut verified_boot_key, mut name) = (None, None);
        let (mut models, mut note) = (Vec::new(), String::new());
        for _ in 0..d.map()?.ok_or(CborError::Unexpected)? {
            match d.u64()? {
                1 => verified_boot_key = Some(cbor::bytes_array(d)?),
                2 => name = Some(d.str()?.to_owned()),
                3 => models = list(d, crate::boot_keys::MAX_MODELS, |d| Ok(d.str()?.to_owned()))?,
                4 => note = d.str()?.to_owned(),
                _ => return Err(CborError::UnknownCritical.into()),
            }
        }
        let (verified_boot_key, name) = verified_boot_key.zip(name).ok_or(CborError::Missing)?;
        Ok(Self { key: BootKey { verified_boot_key, name, models }, note })
    }
}

/// An array of 1 to `limit` items. One without any would say nothing that its absence does not say, and it may be what
/// is left where something was meant to stand.
fn list<T>(
    d: &mut Decoder<'_>,
    limit: usize,
    item: impl Fn(&mut Decoder<'_>) -> Result<T, BundleError>,
) -> Result<Vec<T>, BundleError> {
    let length = d.array()?.ok_or(CborError::Unexpected)?;
    if length == 0 {
        return Err(BundleError::EmptyList);
    }
    if length > limit as u64 {
        return Err(CborError::Unexpected.into());
    }
    (0..length).map(|_| item(d)).collect()
}
