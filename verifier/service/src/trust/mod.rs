//! What evidence is judged by: the policy, the platforms' roots and the revocation list, as one consistent set.

mod bundle;
#[cfg(test)]
mod bundle_tests;
mod generation;
pub(crate) mod status_list;
#[cfg(test)]
mod status_list_tests;
mod watch;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use countersign_core::time::Timestamp;
use countersign_verifier::anchors::{AnchorError, TrustAnchors};
use countersign_verifier::policy::{AppPolicy, AppraisalPolicy};
use countersign_verifier::revocation::{MAX_LIST_LENGTH, RevocationList, RevocationListError};
use countersign_verifier::trust_bundle::{BundleError, TrustBundle};

pub(crate) use bundle::{bundle_key, remember};
pub use generation::Generation;
pub(crate) use watch::watch_files;

use crate::bounded_file;
use crate::document::Problems;
use crate::settings::Settings;
use crate::store::StoreError;
use status_list::KeptList;

/// What the clocks of file systems may be ahead, in seconds.
const CLOCK_SKEW: u64 = 300;

/// Policy, roots and revocation list.
#[derive(Debug)]
pub struct Trust {
    /// Which apps and devices are accepted.
    pub policy: AppraisalPolicy,
    /// The roots that are built in, and those that the policy's `danger` section adds.
    pub anchors: TrustAnchors,
    /// The status list of Android attestation certificates, if the settings name one.
    pub revocation: Option<RevocationList>,
    bundle: Option<TrustBundle>,
    generation: OnceLock<Generation>,
}

/// Why the files that trust comes from cannot be used. Displayed as sentences that say what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum TrustError {
    /// The policy file, or the list of boot keys.
    Policy(Problems),
    /// A root in the policy's `danger` section.
    Anchors(AnchorError),
    /// The revocation list cannot be read.
    Unreadable(PathBuf, io::ErrorKind),
    /// The revocation list is dated later than now, and would be fresh for ever.
    FromTheFuture(PathBuf),
    /// The revocation list is not one.
    Revocation(PathBuf, RevocationListError),
    /// The trust bundle.
    Bundle(PathBuf, BundleError),
    /// Reading broke off.
    Interrupted,
    /// Which bundle was taken before cannot be read or remembered.
    Store(StoreError),
}

impl Trust {
    /// A set from a policy, without revocation list.
    ///
    /// # Errors
    /// A root in the policy's `danger` section cannot be used.
    pub fn new(policy: AppraisalPolicy) -> Result<Self, AnchorError> {
        let anchors = policy.danger().trust_anchors()?;
        Ok(Self { policy, anchors, revocation: None, bundle: None, generation: OnceLock::new() })
    }

    /// Reads the files that the settings name. Waits for file systems: not on the threads that answer requests.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(settings: &Settings, now: Timestamp) -> Result<Self, TrustError> {
        let mut policy = crate::policy_file::load(&settings.policy).map_err(TrustError::Policy)?;
        if let Some(path) = &settings.trust.boot_keys {
            policy = policy.with_boot_keys(crate::boot_keys_file::load(path).map_err(TrustError::Policy)?);
        }
        let mut trust = Self::new(policy).map_err(TrustError::Anchors)?;
        if let Some(bundle) = bundle::read(settings, now)? {
            trust = trust.with_bundle(bundle).map_err(TrustError::Anchors)?;
        }
        if let Some(path) = &settings.trust.revocation {
            trust.revocation = Some(newest(trust.revocation, revocation_list(path, now)?));
        }
        if let Some(kept) = KeptList::read(settings).and_then(|kept| kept.parse(now)) {
            trust.revocation = Some(newest(trust.revocation, kept));
        }
        Ok(trust)
    }

    /// The same policy with the roots, status list and boot keys of a trust bundle.
    ///
    /// # Errors
    /// A root in the policy's `danger` section cannot be used.
    pub fn with_bundle(self, bundle: TrustBundle) -> Result<Self, AnchorError> {
        let anchors = self.policy.danger().trust_anchors_beside(bundle.anchors())?;
        let revocation = match bundle.revocation() {
            Some(list) => Some(newest(self.revocation, list.clone())),
            None => self.revocation,
        };
        // A bundle without boot keys says nothing of them.
        let policy = match bundle.boot_keys().entries() {
            [] => self.policy,
            _ => self.policy.with_boot_keys(bundle.boot_keys().clone()),
        };
        Ok(Self { policy, anchors, revocation, bundle: Some(bundle), generation: OnceLock::new() })
    }

    /// The trust bundle, if the settings name one.
    pub const fn bundle(&self) -> Option<&TrustBundle> {
        self.bundle.as_ref()
    }

    /// The same set with another status list.
    pub(crate) fn with_revocation(&self, list: RevocationList) -> Self {
        Self {
            policy: self.policy.clone(),
            anchors: self.anchors.clone(),
            revocation: Some(list),
            bundle: self.bundle.clone(),
            generation: OnceLock::new(),
        }
    }

    /// Age of the status list in seconds, and whether some app does not accept it any more.
    pub fn revocation_age(&self, now: Timestamp) -> Option<(u64, bool)> {
        let age = now.seconds_since(self.revocation.as_ref()?.as_of());
        let stale = |app: &AppPolicy| !app.android.is_empty() && age > app.maximum_revocation_age;
        Some((age, self.policy.apps().any(stale)))
    }

    /// Names this set: another policy, root or entry of the status list gives another one. To be asked only when all
    /// is in its place.
    pub fn generation(&self) -> Generation {
        *self.generation.get_or_init(|| Generation::of(&self.policy, &self.anchors, self.revocation.as_ref()))
    }
}

/// The one of two lists that is of a later time. They are never merged: a list is what its publisher says at one time.
pub(crate) fn newest(one: Option<RevocationList>, other: RevocationList) -> RevocationList {
    match one {
        Some(one) if one.as_of() > other.as_of() => one,
        _ => other,
    }
}

/// The state of the files that trust comes from; another state means that they are to be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileState(Vec<Option<(SystemTime, u64)>>);

impl FileState {
    /// Waits for file systems, as [`Trust::load`] does: not on the threads that answer requests.
    pub(crate) fn of(settings: &Settings) -> Self {
        let state = |path: &PathBuf| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        let trust = &settings.trust;
        let files = std::iter::once(&settings.policy).chain(&trust.revocation).chain(&trust.boot_keys);
        Self(files.chain(&trust.bundle).map(state).collect())
    }
}

/// The list in a file, as of the file's modification: a bare list does not say its time.
fn revocation_list(path: &Path, now: Timestamp) -> Result<RevocationList, TrustError> {
    let unreadable = |error: io::Error| TrustError::Unreadable(path.to_owned(), error.kind());
    let metadata = fs::metadata(path).map_err(unreadable)?;
    let modified = metadata.modified().map_err(unreadable)?;
    let modified = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let as_of = Timestamp::from_unix_seconds(modified);
    if as_of > now.plus(CLOCK_SKEW) {
        return Err(TrustError::FromTheFuture(path.to_owned()));
    }
    let json = bounded_file::read(path, MAX_LIST_LENGTH as u64).map_err(unreadable)?;
    RevocationList::parse(&json, as_of).map_err(|error| TrustError::Revocation(path.to_owned(), error))
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(problems) => problems.fmt(f),
            Self::Anchors(error) => write!(
                f,
                "a root in the policy's [danger] section cannot be used ({}); name a PEM or DER certificate file",
                error.reason()
            ),
            Self::Unreadable(path, io::ErrorKind::InvalidInput) => {
                write!(f, "{} is a pipe or a device; name a file", path.display())
            }
            Self::Unreadable(path, kind) => {
                write!(f, "{} cannot be read: {kind}", path.display())
            }
            Self::FromTheFuture(path) => write!(
                f,
                "the revocation list {} is dated in the future, so nobody could tell how old it is; put the clock or \
                 the date of the file right",
                path.display()
            ),
            Self::Bundle(path, error) => {
                write!(f, "the trust bundle {} is not taken: {error}", path.display())
            }
            Self::Interrupted => f.write_str("reading policy and trust data broke off; it is tried again"),
            Self::Store(error) => error.fmt(f),
            Self::Revocation(path, error) => write!(
                f,
                "{} is not Android's attestation status list ({}); fetch it again",
                path.display(),
                error.reason()
            ),
        }
    }
}

impl std::error::Error for TrustError {}
