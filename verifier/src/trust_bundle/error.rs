//! Why a trust bundle is not taken.

use core::fmt;

use countersign_core::cbor::CborError;

use crate::anchors::AnchorError;
use crate::boot_keys::BootKeysError;
use crate::revocation::RevocationListError;

/// Why a trust bundle is not taken. What is in force stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundleError {
    /// Longer than [`MAX_BUNDLE`](super::MAX_BUNDLE).
    TooLong,
    /// Not deterministic CBOR of its shape: also what is not signed at all.
    Encoding(CborError),
    /// Signed with another key than the one that is trusted.
    OtherKey,
    /// The signature does not verify.
    Signature,
    /// Issued more than 60 seconds ahead.
    FromTheFuture,
    /// Its time has passed.
    Expired,
    /// Older than a bundle that was taken before: it could take a revocation or a root's removal back.
    OlderVersion {
        /// The version that was taken before.
        seen: u64,
        /// The version that came.
        version: u64,
    },
    /// Another content under a version that was taken before.
    SameVersion,
    /// A list without items: whoever means none leaves it out.
    EmptyList,
    /// A kind of roots stands twice.
    Roots,
    /// A certificate that cannot be a root.
    Root(AnchorError),
    /// The status list cannot be read.
    StatusList(RevocationListError),
    /// The status list has no entries, or is of a later time than the bundle.
    StatusListNotBelieved,
    /// The boot keys cannot be used.
    BootKeys(BootKeysError),
}

impl BundleError {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "trust_bundle_too_long",
            Self::Encoding(error) => error.reason(),
            Self::OtherKey => "trust_bundle_other_key",
            Self::Signature => "trust_bundle_signature",
            Self::FromTheFuture => "trust_bundle_from_the_future",
            Self::Expired => "trust_bundle_expired",
            Self::OlderVersion { .. } => "trust_bundle_older_version",
            Self::SameVersion => "trust_bundle_same_version",
            Self::EmptyList => "trust_bundle_empty_list",
            Self::Roots => "trust_bundle_roots",
            Self::Root(error) => error.reason(),
            Self::StatusList(error) => error.reason(),
            Self::StatusListNotBelieved => "trust_bundle_status_list_not_believed",
            Self::BootKeys(error) => error.reason(),
        }
    }
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("it is longer than a trust bundle may be"),
            Self::Encoding(error) => {
                write!(
                    f,
                    "it is no signed trust bundle ({}); make one with `countersign trust bundle make`",
                    error.reason()
                )
            }
            Self::OtherKey => f.write_str("it is signed with another key than the one that is trusted"),
            Self::Signature => {
                f.write_str("its signature does not verify: it was changed, or another key signed it")
            }
            Self::FromTheFuture => {
                f.write_str("it says that it was made in the future; put the clocks right")
            }
            Self::Expired => f.write_str("it has expired; make a newer one"),
            Self::OlderVersion { seen, version } => write!(
                f,
                "its version is {version}, but version {seen} was in force before; a version never goes back, so sign \
                 what is meant under a higher one"
            ),
            Self::SameVersion => f.write_str(
                "another bundle of this version was in force before; give this one a higher version",
            ),
            Self::EmptyList => f.write_str("a list in it has no items; what is not meant is to be left out"),
            Self::Roots => f.write_str("a kind of roots stands twice in it"),
            Self::Root(error) => write!(f, "a certificate in it cannot be a root ({})", error.reason()),
            Self::StatusList(error) => write!(f, "its status list cannot be read ({})", error.reason()),
            Self::StatusListNotBelieved => {
                f.write_str("its status list has no entries, or is of a later time than the bundle itself")
            }
            Self::BootKeys(error) => write!(f, "its boot keys cannot be used: {error}"),
        }
    }
}

impl std::error::Error for BundleError {}

impl From<CborError> for BundleError {
    fn from(error: CborError) -> Self {
        Self::Encoding(error)
    }
}

impl From<minicbor::decode::Error> for BundleError {
    fn from(error: minicbor::decode::Error) -> Self {
        Self::Encoding(error.into())
    }
}
