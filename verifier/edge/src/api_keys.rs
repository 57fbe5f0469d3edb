//! The file that a resource's API keys stand in: read again while the edge runs, so that a revoked key is refused
//! within ten seconds.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use countersign_core::request::sha256;
use countersign_verifier::check::Edge;
use countersign_verifier::credential::api_key::{ApiKeys, ApiKeysError, MAX_API_KEYS};

/// How often the files are read.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// Why a file of API keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiKeyFileError {
    /// It cannot be read.
    Unreadable(ErrorKind),
    /// Somebody else than its owner may read or write it: who writes it makes keys.
    Exposed,
    /// What stands in it cannot be used.
    Keys(ApiKeysError),
}

impl fmt::Display for ApiKeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(ErrorKind::NotFound) => {
                f.write_str("it does not exist; `countersign keys api new` makes it")
            }
            Self::Unreadable(kind) => write!(f, "it cannot be read: {kind}"),
            Self::Exposed => f.write_str("others than its owner may read or write it; give it mode 0600"),
            Self::Keys(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ApiKeyFileError {}

/// A file of API keys, and what of it is in force.
pub(crate) struct ApiKeyFile {
    pub(crate) resource: String,
    path: PathBuf,
    /// SHA-256 of what was read last.
    in_force: Mutex<Option<[u8; 32]>>,
}

impl ApiKeyFile {
    pub(crate) fn new(resource: String, path: PathBuf) -> Self {
        Self { resource, path, in_force: Mutex::default() }
    }

    /// Puts what stands in the file in force, if it is something else than before. Blocks while it reads.
    pub(crate) fn load(&self, edge: &Edge) -> Result<(), ApiKeyFileError> {
        // Held throughout: of two that read at once, the one that reads later has the last word.
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = read(&self.path)?;
        let digest = sha256(&bytes);
        if *in_force == Some(digest) {
            return Ok(());
        }
        let keys = ApiKeys::decode(&bytes).map_err(ApiKeyFileError::Keys)?;
        let count = keys.iter().count();
        edge.replace_api_keys(&self.resource, keys);
        *in_force = Some(digest);
        tracing::info!(resource = self.resource, count, "API keys in force");
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ApiKeyFileError> {
    let unreadable = |error: std::io::Error| ApiKeyFileError::Unreadable(error.kind());
    // Before it is opened: a pipe would keep whoever opens it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(ApiKeyFileError::Unreadable(ErrorKind::InvalidInput));
    }
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
        return Err(ApiKeyFileError::Exposed);
    }
    let mut bytes = Vec::new();
    file.take(MAX_API_KEYS as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
