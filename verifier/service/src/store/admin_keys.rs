//! Keys of the administration over HTTP: names, digests, and until when they are good.

use countersign_core::time::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::acts::{Action, Actor};
use super::{ChangeError, Store, StoreError, seconds};

/// Most admin keys, revoked ones among them: each call compares with all of them.
pub const MAX_ADMIN_KEYS: i64 = 256;

/// What is kept of an admin key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminKeyRecord {
    /// What its acts are signed with in the trail.
    pub name: String,
    /// SHA-256 of its secret bytes.
    pub digest: [u8; 32],
    /// When it was made.
    pub created: Timestamp,
    /// When it ends, if it does.
    pub expires: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked: Option<Timestamp>,
}

impl Store {
    /// Remembers a new admin key.
    ///
    /// # Errors
    /// [`ChangeError::Taken`] if the name was ever given to a key, [`ChangeError::Full`], or the database cannot be
    /// written.
    pub async fn add_admin_key(
        &self,
        name: &str,
        digest: &[u8; 32],
        expires: Option<Timestamp>,
        by: &Actor<'_>,
    ) -> Result<(), ChangeError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM admin_key")
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed)?;
        if count >= MAX_ADMIN_KEYS {
            return Err(ChangeError::Full);
        }
        let done = sqlx::query(
            "INSERT INTO admin_key (name, digest, created, expires) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(name)
        .bind(digest.as_slice())
        .bind(seconds(by.now))
        .bind(expires.map(seconds))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Err(ChangeError::Taken);
        }
        self.write_act(&mut transaction, by, Action::AddAdminKey, name, "").await?;
        transaction.commit().await.map_err(failed)?;
        Ok(())
    }

    /// Revokes an admin key; whether one of this name was there and not revoked before.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn revoke_admin_key(&self, name: &str, by: &Actor<'_>) -> Result<bool, StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let done = sqlx::query("UPDATE admin_key SET revoked = ? WHERE name = ? AND revoked IS NULL")
            .bind(seconds(by.now))
            .bind(name)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.write_act(&mut transaction, by, Action::RevokeAdminKey, name, "").await?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }

    /// All admin keys, revoked ones too, by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn admin_keys(&self) -> Result<Vec<AdminKeyRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM admin_key ORDER BY name").fetch_all(&self.reader).await;
        let rows = rows.map_err(|error| self.failed(&error))?;
        rows.iter().map(|row| admin_key(row).ok_or_else(|| self.damaged())).collect()
    }
}

fn admin_key(row: &SqliteRow) -> Option<AdminKeyRecord> {
    let time = |column: &str| -> Option<Option<Timestamp>> {
        match row.try_get::<Option<i64>, _>(column).ok()? {
            Some(time) => Some(Some(Timestamp::from_unix_seconds(u64::try_from(time).ok()?))),
            None => Some(None),
        }
    };
    Some(AdminKeyRecord {
        name: row.try_get("name").ok()?,
        digest: row.try_get::<&[u8], _>("digest").ok()?.try_into().ok()?,
        created: time("created")??,
        expires: time("expires")?,
        revoked: time("revoked")?,
    })
}
