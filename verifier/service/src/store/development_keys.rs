//! Development keys: keys of developers' machines, which vouch for the instances of development apps.

use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::acts::{Action, Actor};
use super::{ChangeError, Store, StoreError, seconds};

/// Most development keys, revoked ones among them.
pub const MAX_DEVELOPMENT_KEYS: i64 = 1000;

/// A registered development key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevelopmentKeyRecord {
    /// What evidence names it by.
    pub id: String,
    /// The key: P-256.
    pub public_key: PublicKey,
    /// The apps that it may vouch for.
    pub client_ids: Vec<String>,
    /// When it was registered.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was revoked, if it was.
    pub revoked: Option<Timestamp>,
}

/// Why a development key does not vouch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DevelopmentKeyRefusal {
    /// An administrator revoked it.
    Revoked,
    /// Its time is over.
    Expired,
    /// It was registered for other apps.
    OtherClient,
}

impl DevelopmentKeyRefusal {
    /// A stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Revoked => "development_key_revoked",
            Self::Expired => "development_key_expired",
            Self::OtherClient => "development_key_of_other_client",
        }
    }
}

impl DevelopmentKeyRecord {
    /// Whether the key vouches for `client_id` at `now`.
    ///
    /// # Errors
    /// Why not.
    pub fn vouches_for(&self, client_id: &str, now: Timestamp) -> Result<(), DevelopmentKeyRefusal> {
        if self.revoked.is_some() {
            Err(DevelopmentKeyRefusal::Revoked)
        } else if now >= self.expires {
            Err(DevelopmentKeyRefusal::Expired)
        } else if !self.client_ids.iter().any(|client| client == client_id) {
            Err(DevelopmentKeyRefusal::OtherClient)
        } else {
            Ok(())
        }
    }
}

impl Store {
    /// Registers a development key; `created` and `revoked` of the record are not looked at.
    ///
    /// # Errors
    /// [`ChangeError::Taken`] if the identifier was ever given to a key, [`ChangeError::Full`], or the database cannot
    /// be written.
    pub async fn add_development_key(
        &self,
        key: &DevelopmentKeyRecord,
        by: &Actor<'_>,
    ) -> Result<(), ChangeError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM development_key")
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed)?;
        if count >= MAX_DEVELOPMENT_KEYS {
            return Err(ChangeError::Full);
        }
        let done = sqlx::query(
            "INSERT INTO development_key (id, public_key, client_ids, created, expires) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
        )
        .bind(&key.id)
        .bind(key.public_key.to_p256_sec1().map(Vec::from).unwrap_or_default())
        .bind(serde_json::json!(key.client_ids).to_string())
        .bind(seconds(by.now))
        .bind(seconds(key.expires))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Err(ChangeError::Taken);
        }
        let clients = key.client_ids.join(" ");
        self.write_act(&mut transaction, by, Action::AddDevelopmentKey, &key.id, &clients).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(())
    }

    /// Revokes a development key; whether one of this identifier was there and not revoked before.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn revoke_development_key(&self, id: &str, by: &Actor<'_>) -> Result<bool, StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let done = sqlx::query("UPDATE development_key SET revoked = ? WHERE id = ? AND revoked IS NULL")
            .bind(seconds(by.now))
            .bind(id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.write_act(&mut transaction, by, Action::RevokeDevelopmentKey, id, "").await?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }

    /// The development key of an identifier, whether it is good or not.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn development_key(&self, id: &str) -> Result<Option<DevelopmentKeyRecord>, StoreError> {
        let query = sqlx::query("SELECT * FROM development_key WHERE id = ?").bind(id);
        let row = query.fetch_optional(&self.reader).await.map_err(|error| self.failed(&error))?;
        row.map(|row| development_key(&row).ok_or_else(|| self.damaged())).transpose()
    }

    /// All development keys, revoked ones too, by identifier.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn development_keys(&self) -> Result<Vec<DevelopmentKeyRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM development_key ORDER BY id").fetch_all(&self.reader).await;
        let rows = rows.map_err(|error| self.failed(&error))?;
        rows.iter().map(|row| development_key(row).ok_or_else(|| self.damaged())).collect()
    }
}

fn development_key(row: &SqliteRow) -> Option<DevelopmentKeyRecord> {
    let time = |column: &str| -> Option<Timestamp> {
        u64::try_from(row.try_get::<i64, _>(column).ok()?).ok().map(Timestamp::from_unix_seconds)
    };
    let revoked = match row.try_get::<Option<i64>, _>("revoked").ok()? {
        Some(_) => Some(time("revoked")?),
        None => None,
    };
    Some(DevelopmentKeyRecord {
        id: row.try_get("id").ok()?,
        public_key: PublicKey::from_p256_sec1(row.try_get::<&[u8], _>("public_key").ok()?).ok()?,
        client_ids: serde_json::from_str(row.try_get("client_ids").ok()?).ok()?,
        created: time("created")?,
        expires: time("expires")?,
        revoked,
    })
}
