//! What can go wrong with the database, each with what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use countersign_core::token::result::InstanceId;
use sqlx::migrate::MigrateError;

/// The database cannot be used. Displayed as a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// No space is left.
    DiskFull(PathBuf),
    /// The file or its directory may not be written.
    NotWritable(PathBuf),
    /// The file is not a SQLite database, or is damaged.
    Damaged(PathBuf),
    /// A row breaks the rules of the schema; everything else may be whole.
    DamagedRow {
        /// The database file.
        path: PathBuf,
        /// The instance that it is about, where that can be told.
        instance: Option<InstanceId>,
    },
    /// The file is of an older version, and the service of this one has not been started on it.
    OlderSchema(PathBuf),
    /// The file was written by a newer version, or its schema was changed by hand.
    ForeignSchema(PathBuf),
    /// Another process kept the file locked.
    Busy(PathBuf),
    /// Something else, by SQLite's result code where there is one.
    Other {
        /// The database file.
        path: PathBuf,
        /// SQLite's extended result code.
        code: Option<i32>,
    },
}

/// Why an administrator's change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeError {
    /// The name belongs to another, or did before it was revoked.
    Taken,
    /// There are as many already as there may be.
    Full,
    /// The database cannot be used.
    Store(StoreError),
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("this name is taken, or was before; names are not used twice"),
            Self::Full => f.write_str("there are as many as there may be; take some back first"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ChangeError {}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl StoreError {
    /// A stable name for logs and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::DiskFull(_) => "store_disk_full",
            Self::NotWritable(_) => "store_not_writable",
            Self::Damaged(_) => "store_damaged",
            Self::DamagedRow { .. } => "store_damaged_row",
            Self::OlderSchema(_) => "store_older_schema",
            Self::ForeignSchema(_) => "store_foreign_schema",
            Self::Busy(_) => "store_busy",
            Self::Other { .. } => "store_other",
        }
    }

    pub(super) fn of(path: &Path, error: &sqlx::Error) -> Self {
        let path = path.to_owned();
        let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
        // Primary result codes of https://www.sqlite.org/rescode.html; the upper bits only refine them.
        match (code.map(|code| code & 0xff), error) {
            (Some(5 | 6), _) | (_, sqlx::Error::PoolTimedOut) => Self::Busy(path),
            (Some(8 | 14 | 23), _) => Self::NotWritable(path),
            (Some(13), _) => Self::DiskFull(path),
            (Some(11 | 26), _) => Self::Damaged(path),
            (_, sqlx::Error::Io(error)) => Self::of_io(&path, error.kind()),
            _ => Self::Other { path, code },
        }
    }

    pub(super) fn of_migration(path: &Path, error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Self::of(path, &error),
            _ => Self::ForeignSchema(path.to_owned()),
        }
    }

    pub(super) fn of_io(path: &Path, kind: io::ErrorKind) -> Self {
        let path = path.to_owned();
        match kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(path),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::NotWritable(path),
            _ => Self::Other { path, code: None },
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiskFull(path) => {
                write!(
                    f,
                    "the disk is full, {} cannot be written; make room, nothing is lost",
                    path.display()
                )
            }
            Self::NotWritable(path) => write!(
                f,
                "{} cannot be opened for writing; check that its directory exists and belongs to this user",
                path.display()
            ),
            Self::Damaged(path) => write!(
                f,
                "{} is not a database of this service or is damaged; restore it from a backup, or name another \
                 file in [store]",
                path.display()
            ),
            Self::DamagedRow { path, instance: Some(id) } => {
                let id = id.to_base64url();
                write!(
                    f,
                    "what {} says of the instance {id} cannot be read; delete the instance (`countersign instances \
                     delete {id}`), and its device enrols anew",
                    path.display()
                )
            }
            Self::DamagedRow { path, instance: None } => {
                write!(f, "a row of {} cannot be read; restore it from a backup", path.display())
            }
            Self::OlderSchema(path) => write!(
                f,
                "{} is of an older version of this program; start the service of this version once, which brings it \
                 up to date",
                path.display()
            ),
            Self::ForeignSchema(path) => write!(
                f,
                "{} was written by another version of this program; start that version, or a newer one",
                path.display()
            ),
            Self::Busy(path) => write!(
                f,
                "{} is locked by another process; end that one, or try again when it is done",
                path.display()
            ),
            Self::Other { path, code: Some(code) } => {
                write!(f, "{} cannot be used: SQLite reports code {code}", path.display())
            }
            Self::Other { path, code: None } => write!(f, "{} cannot be used", path.display()),
        }
    }
}

impl std::error::Error for StoreError {}
