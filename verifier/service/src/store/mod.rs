//! The registry of client instances, used challenges and decisions: one SQLite file.
//!
//! What was answered is on the disk: write-ahead log, `synchronous = FULL`, and one transaction for everything that
//! an enrolment or renewal changes. Killing the process at any time loses nothing that a device was told.

mod acts;
mod admin_keys;
mod attestation_keys;
#[cfg(test)]
mod bench;
mod decisions;
mod deny_list;
mod development_keys;
mod error;
mod evidence;
#[cfg(test)]
mod file_tests;
mod instances;
#[cfg(test)]
mod limits_tests;
mod read_only;
mod reappraisal;
mod receipts;
mod record;
mod registry;
mod retention;
mod subjects;
#[cfg(test)]
mod tampering;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod upkeep_tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;
use countersign_verifier::trust_bundle::SeenBundle;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};

pub use acts::{Act, Action, Actor};
pub use admin_keys::{AdminKeyRecord, MAX_ADMIN_KEYS};
pub use decisions::{DecisionFilter, DecisionNumber, DecisionRows};
pub use deny_list::Bans;
pub use development_keys::{DevelopmentKeyRecord, DevelopmentKeyRefusal, MAX_DEVELOPMENT_KEYS};
pub use error::{ChangeError, StoreError};
pub use evidence::{RecordedCircumstances, RefusalRows, RefusedEvidence, StoredEvidence};
pub use instances::{
    ERASED_DENIED_FOR, InstanceFilter, InstanceRows, MAX_ERASED, MAX_INSTANCE_BANS, PlatformName,
};
pub use reappraisal::{MAX_WITHDRAWN_LISTED, Settlement, Standing};
pub use receipts::KeptReceipt;
pub use record::{Ban, ConsumedChallenge, Decision, InstanceRecord, Reference, Withdrawal};
pub use registry::{Commit, CommitError, Committed, InstanceChange};
pub use retention::KeptSince;
pub use subjects::{MAX_SUBJECT_BANS, SubjectBan};

/// How long a writer waits for another process that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The open database. Writes are serialised over one connection; reads do not wait for them.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
    writer: SqlitePool,
    reader: SqlitePool,
}

impl Store {
    /// Opens the database in `path`, makes it if there is none, and brings it to the current schema.
    ///
    /// # Errors
    /// What is wrong with the file or the disk, as a sentence that says what to do.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        make_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            // What was deleted is gone from the file as well.
            .pragma("secure_delete", "ON");
        let failed = |error: sqlx::Error| StoreError::of(path, &error);
        let pool = |connections: u32, options: SqliteConnectOptions| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .idle_timeout(None)
                .max_lifetime(None)
                .acquire_timeout(Duration::from_secs(10))
                .connect_with(options)
        };
        let writer = pool(1, options.clone()).await.map_err(failed)?;
        sqlx::migrate!("./migrations")
            .run(&writer)
            .await
            .map_err(|error| StoreError::of_migration(path, error))?;
        let reader = pool(4, options.read_only(true)).await.map_err(failed)?;
        Ok(Self { path: path.to_owned(), writer, reader })
    }

    /// Whether a transaction can be written to the disk now.
    ///
    /// # Errors
    /// Why not.
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        self.remember_fact("written", "").await
    }

    /// Whether this installation had its keys made before.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn had_keys(&self) -> Result<bool, StoreError> {
        let row = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM service_fact WHERE name = 'keys'")
            .fetch_one(&self.reader)
            .await;
        row.map(|count| count > 0).map_err(|error| self.failed(&error))
    }

    /// Remembers that this installation has its keys.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn remember_keys(&self) -> Result<(), StoreError> {
        self.remember_fact("keys", "made").await
    }

    /// Closes the database after what is being written.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// The trust bundle that was taken last.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn seen_bundle(&self) -> Result<Option<SeenBundle>, StoreError> {
        let text =
            sqlx::query_scalar::<_, String>("SELECT value FROM service_fact WHERE name = 'trust_bundle'")
                .fetch_optional(&self.reader)
                .await
                .map_err(|error| self.failed(&error))?;
        let read = |text: String| {
            let (version, digest) = text.split_once(' ')?;
            let digest = countersign_core::encoding::from_base64url_array(digest).ok()?;
            Some(SeenBundle { version: version.parse().ok()?, digest })
        };
        text.map(|text| read(text).ok_or_else(|| self.damaged())).transpose()
    }

    /// Remembers the trust bundle that is taken now.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn remember_bundle(&self, seen: &SeenBundle) -> Result<(), StoreError> {
        let digest = countersign_core::encoding::base64url(&seen.digest);
        self.remember_fact("trust_bundle", &format!("{} {digest}", seen.version)).await
    }

    async fn remember_fact(&self, name: &str, value: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO service_fact (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
            .bind(name)
            .bind(value)
            .execute(&self.writer)
            .await
            .map(drop)
            .map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &sqlx::Error) -> StoreError {
        StoreError::of(&self.path, error)
    }

    fn damaged(&self) -> StoreError {
        StoreError::DamagedRow { path: self.path.clone(), instance: None }
    }

    /// That what is stored of this instance cannot be read.
    pub(crate) fn damaged_instance(&self, id: &InstanceId) -> StoreError {
        StoreError::DamagedRow { path: self.path.clone(), instance: Some(*id) }
    }

    /// The instance in a row, or an error that names it.
    fn instance_in(&self, row: &SqliteRow) -> Result<InstanceRecord, StoreError> {
        InstanceRecord::from_row(row).ok_or_else(|| match record::id_in(row) {
            Some(id) => self.damaged_instance(&id),
            None => self.damaged(),
        })
    }
}

/// SQLite's integers are signed; times beyond their range do not occur before the year 292 billion.
fn seconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_unix_seconds()).unwrap_or(i64::MAX)
}

/// Makes the directory and the file with modes 0700 and 0600; SQLite gives its log files the same.
fn make_private(path: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::of_io(path, error.kind());
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(failed)
}
