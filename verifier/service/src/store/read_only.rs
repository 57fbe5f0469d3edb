//! Opening the registry to look at it and no more.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::{BUSY_TIMEOUT, Store, StoreError};

impl Store {
    /// Opens the database in `path` for reading alone, beside a service that may be writing to it. Nothing is made,
    /// migrated or changed; whatever would write fails.
    ///
    /// # Errors
    /// What is wrong with the file, as a sentence that says what to do; [`StoreError::OlderSchema`] where the service
    /// of this version has not been started on it.
    pub async fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let failed = |error: sqlx::Error| StoreError::of(path, &error);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let reader = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options)
            .await
            .map_err(failed)?;
        let stored = sqlx::query_scalar::<_, Option<i64>>("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&reader)
            .await
            .map_err(failed)?;
        let known = sqlx::migrate!("./migrations").iter().map(|migration| migration.version).max();
        match stored.cmp(&known) {
            std::cmp::Ordering::Less => Err(StoreError::OlderSchema(path.to_owned())),
            std::cmp::Ordering::Greater => Err(StoreError::ForeignSchema(path.to_owned())),
            std::cmp::Ordering::Equal => Ok(Self { path: path.to_owned(), writer: reader.clone(), reader }),
        }
    }
}
