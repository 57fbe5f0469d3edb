//! The state in a file, for one installation that several processes may share.
//!
//! What is stored holds no secret, and nothing in it is believed without its checksum, its configuration and the
//! service's word: a damaged, old or foreign file costs an enrolment at most.

use std::path::Path;

use countersign_core::request::sha256;

use crate::error::StorageError;
use crate::port::{EnrolmentLock, Entry, Storage};
use crate::private_folder::PrivateFolder;
use crate::record::Configuration;

/// Longest state that is read, in bytes: more than an attester ever stores.
const MAX_STATE: usize = 64 * 1024;

/// A file of mode 0600 in a folder of mode 0700; replaced whole or not at all. Also the lock that keeps the processes
/// of one app from enrolling at the same time.
#[derive(Clone, Debug)]
pub struct FileStorage {
    folder: PrivateFolder,
    state: String,
    lock: String,
}

impl FileStorage {
    /// The state of `configuration` in the folder `countersign` within `folder`, which must be on this device, private
    /// to the app and out of backups. Touches nothing yet. Other issuers and clients have files of their own.
    pub fn new(folder: impl AsRef<Path>, configuration: &Configuration) -> Self {
        let Configuration { issuer, client_id, .. } = configuration;
        let [a, b, c, d, e, f, g, h, ..] = sha256(format!("{issuer}\n{client_id}").as_bytes());
        let name = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Self {
            folder: PrivateFolder::within(folder),
            state: format!("state-{name:016x}"),
            lock: format!("state-{name:016x}.lock"),
        }
    }
}

#[async_trait::async_trait]
impl Storage for FileStorage {
    async fn load(&self) -> Result<Option<Vec<u8>>, StorageError> {
        let read = self.folder.read(&self.state, MAX_STATE).map_err(|_| StorageError::Failed)?;
        Ok(read.map(|bytes| bytes.to_vec()))
    }

    async fn store(&self, state: Vec<u8>) -> Result<(), StorageError> {
        self.folder.replace(&self.state, &state).map_err(|_| StorageError::Failed)
    }
}

impl EnrolmentLock for FileStorage {
    fn try_enter(&self) -> Entry {
        match self.folder.try_lock(&self.lock) {
            Ok(Some(locked)) => Entry::Entered(Box::new(locked)),
            Ok(None) => Entry::Taken,
            // A folder that cannot be written to keeps nobody from enrolling.
            Err(_) => Entry::Unknown,
        }
    }
}
