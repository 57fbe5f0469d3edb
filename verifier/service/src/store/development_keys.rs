//! Development keys: keys of developers' machines, which vouch for the instances of development apps.

use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::InstanceId;
use countersign_verifier::evidence::RecordedEvidence;
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::acts::{Action, Actor};
use super::record::{Decision, Reference};
use super::{ChangeError, Store, StoreError, seconds};

/// Most development keys, revoked ones among them.
pub const MAX_DEVELOPMENT_KEYS: i64 = 1000;

/// Instances that are looked at in one go when a key is revoked.
const PART: i64 = 500;

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

    /// Revokes a development key, and withdraws the instances that it vouches for, all or nothing: the number of the
    /// deny list rises, so that edges refuse the results that those have. How many; None if no key of this identifier
    /// was there, or it was revoked before. Audit records get their names from `reference`.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn revoke_development_key(
        &self,
        id: &str,
        by: &Actor<'_>,
        reference: impl Fn() -> Option<Reference>,
    ) -> Result<Option<u64>, StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let done = sqlx::query("UPDATE development_key SET revoked = ? WHERE id = ? AND revoked IS NULL")
            .bind(seconds(by.now))
            .bind(id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        // Those that are withdrawn for something else get another revision too: what is being judged of them meanwhile,
        // by the key as it was, does not restore them.
        sqlx::query(
            "UPDATE instance SET revision = revision + 1 WHERE withdrawn_at IS NOT NULL \
             AND id IN (SELECT instance FROM evidence WHERE kind = 'development-key')",
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        let vouched_for = self.vouched_for_by(&mut transaction, id).await?;
        for (instance, client_id) in &vouched_for {
            let withdrawal = reference().map(|reference| Decision {
                reference,
                time: by.now,
                client_id: Some(client_id.clone()),
                instance: Some(*instance),
                verdict: "withdrawn".to_owned(),
                reasons: vec![DevelopmentKeyRefusal::Revoked.reason().to_owned()],
                claims: Value::Null,
                appraisal: Value::Null,
            });
            self.withdraw(&mut transaction, instance, by.now, withdrawal.as_ref()).await?;
        }
        if !vouched_for.is_empty() {
            self.raise(&mut transaction, by.now).await?;
        }
        self.write_act(&mut transaction, by, Action::RevokeDevelopmentKey, id, "").await?;
        transaction.commit().await.map_err(failed)?;
        Ok(Some(vouched_for.len() as u64))
    }

    /// The instances, each with its client, that stand on this development key and are not withdrawn.
    async fn vouched_for_by(
        &self,
        connection: &mut SqliteConnection,
        id: &str,
    ) -> Result<Vec<(InstanceId, String)>, StoreError> {
        let mut vouched_for = Vec::new();
        let mut after = Vec::new();
        loop {
            let rows: Vec<(Vec<u8>, Vec<u8>, String)> = sqlx::query_as(
                "SELECT evidence.instance, evidence.recorded, instance.client_id FROM evidence \
                 JOIN instance ON instance.id = evidence.instance \
                 WHERE evidence.kind = 'development-key' AND evidence.instance > ?1 \
                 AND instance.withdrawn_at IS NULL ORDER BY evidence.instance LIMIT ?2",
            )
            .bind(&after)
            .bind(PART)
            .fetch_all(&mut *connection)
            .await
            .map_err(|error| self.failed(&error))?;
            let Some((last, ..)) = rows.last() else { return Ok(vouched_for) };
            after.clone_from(last);
            for (instance, recorded, client_id) in rows {
                // What cannot be read names no key; the next re-appraisal withdraws it.
                let named = RecordedEvidence::from_bytes(&recorded);
                if named.is_ok_and(|named| named.development_key_id() == Some(id)) {
                    let instance = instance.try_into().map_err(|_| self.damaged())?;
                    vouched_for.push((InstanceId::from_bytes(instance), client_id));
                }
            }
        }
    }

    async fn withdraw(
        &self,
        connection: &mut SqliteConnection,
        instance: &InstanceId,
        now: Timestamp,
        decision: Option<&Decision>,
    ) -> Result<(), StoreError> {
        let reasons = serde_json::json!([DevelopmentKeyRefusal::Revoked.reason()]).to_string();
        // Another revision: what is being judged of it meanwhile does not count.
        sqlx::query(
            "UPDATE instance SET revision = revision + 1, withdrawn_at = ?2, withdrawn_reasons = ?3 WHERE id = ?1",
        )
        .bind(instance.as_bytes().as_slice())
        .bind(seconds(now))
        .bind(reasons)
        .execute(&mut *connection)
        .await
        .map_err(|error| self.failed(&error))?;
        match decision {
            Some(decision) => self.insert_decision(connection, decision, decision.instance).await,
            None => Ok(()),
        }
    }

    /// Whether the development key that vouches in these pieces, if one does, was revoked by now.
    pub(super) async fn stands_on_revoked_key(
        &self,
        connection: &mut SqliteConnection,
        pieces: &[RecordedEvidence],
    ) -> Result<bool, StoreError> {
        let Some(id) = pieces.iter().find_map(RecordedEvidence::development_key_id) else { return Ok(false) };
        sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM development_key WHERE id = ? AND revoked IS NOT NULL",
        )
        .bind(id)
        .fetch_one(connection)
        .await
        .map(|revoked| revoked > 0)
        .map_err(|error| self.failed(&error))
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
