//! Instances as administrators see them: lists, bans, and the end of one.

use countersign_core::time::Timestamp;
use countersign_core::token::result::{InstanceId, MAX_LIFETIME, Tier};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::acts::{Action, Actor};
use super::record::InstanceRecord;
use super::{ChangeError, Store, StoreError, seconds};

/// How long an erased instance stays on the deny list, in seconds: the life of a result, and the most that the clocks
/// of service and edge may differ by.
pub const ERASED_DENIED_FOR: u64 = MAX_LIFETIME + 60;
/// Most instances that can be banned at the same time: the deny list has a longest length, beyond which no edge takes
/// it.
pub const MAX_INSTANCE_BANS: i64 = 100_000;
/// Most instances that can stand in the deny list because they were erased.
pub const MAX_ERASED: i64 = 30_000;
/// Instances that retention erases in one transaction.
const PART: i64 = 200;

/// Which instances to list; an empty filter lists all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFilter {
    /// Those of this client.
    pub client_id: Option<String>,
    /// Those that this platform key vouches for.
    pub platform: Option<PlatformName>,
    /// Those whose last evidence was worth this.
    pub tier: Option<Tier>,
    /// Those that are banned, or are not.
    pub banned: Option<bool>,
    /// Those that are withdrawn, or are not.
    pub withdrawn: Option<bool>,
    /// Those that enrolled or renewed last at this time or later.
    pub updated_since: Option<Timestamp>,
    /// Those that enrolled or renewed last before this time.
    pub updated_before: Option<Timestamp>,
    /// Those of this version of the app.
    pub app_version: Option<String>,
}

/// Some instances, and those of them that nobody can read.
#[derive(Clone, Debug, Default)]
pub struct InstanceRows {
    /// Those that are whole.
    pub records: Vec<InstanceRecord>,
    /// Those whose row breaks the rules of the schema.
    pub unreadable: Vec<InstanceId>,
    /// The last one in the order in which they were asked for.
    pub last: Option<InstanceId>,
}

/// What vouches for an instance, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PlatformName {
    /// An App Attest key.
    AppAttest,
    /// An attested Android key.
    AndroidKey,
    /// Google Play alone.
    PlayIntegrity,
    /// A development key.
    DevelopmentKey,
}

impl PlatformName {
    /// The name in the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AppAttest => "app-attest",
            Self::AndroidKey => "android-key",
            Self::PlayIntegrity => "play-integrity",
            Self::DevelopmentKey => "development-key",
        }
    }
}

impl Store {
    /// At most `limit` instances in the order of their identifiers, which never change, after the instance `after`. One
    /// whose identifier is damaged cannot be named, and is not among them.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn instances(
        &self,
        filter: &InstanceFilter,
        after: Option<InstanceId>,
        limit: u32,
    ) -> Result<InstanceRows, StoreError> {
        self.instances_in(&self.select_instances(filter, after, limit).await?)
    }

    /// Tells rows that can be read from those that cannot.
    pub(super) fn instances_in(&self, rows: &[SqliteRow]) -> Result<InstanceRows, StoreError> {
        let mut all = InstanceRows::default();
        for row in rows {
            match self.instance_in(row) {
                Ok(record) => {
                    all.last = Some(record.registered.id);
                    all.records.push(record);
                }
                Err(StoreError::DamagedRow { instance: Some(id), .. }) => {
                    all.last = Some(id);
                    all.unreadable.push(id);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    async fn select_instances(
        &self,
        filter: &InstanceFilter,
        after: Option<InstanceId>,
        limit: u32,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        sqlx::query(
            "SELECT * FROM instance WHERE (?1 IS NULL OR client_id = ?1) AND (?2 IS NULL OR platform_key = ?2) \
             AND (?3 IS NULL OR evidence_tier = ?3) AND (?4 IS NULL OR banned = ?4) \
             AND (?5 IS NULL OR updated >= ?5) AND (?6 IS NULL OR updated < ?6) \
             AND (?7 IS NULL OR app_version = ?7) AND (?8 IS NULL OR id > ?8) \
             AND (?10 IS NULL OR (withdrawn_at IS NOT NULL) = ?10) AND length(id) = 16 ORDER BY id LIMIT ?9",
        )
        .bind(&filter.client_id)
        .bind(filter.platform.map(PlatformName::name))
        .bind(filter.tier.map(Tier::number))
        .bind(filter.banned)
        .bind(filter.updated_since.map(seconds))
        .bind(filter.updated_before.map(seconds))
        .bind(&filter.app_version)
        .bind(after.map(|id| id.as_bytes().to_vec()))
        .bind(limit)
        .bind(filter.withdrawn)
        .fetch_all(&self.reader)
        .await
        .map_err(|error| self.failed(&error))
    }

    /// Bans an instance for a reason; whether it exists. The number of the deny list rises.
    ///
    /// # Errors
    /// [`ChangeError::Full`], or the database cannot be written.
    pub async fn ban_instance(
        &self,
        id: &InstanceId,
        reason: &str,
        by: &Actor<'_>,
    ) -> Result<bool, ChangeError> {
        self.change_ban(id, Some(reason), by).await
    }

    /// Lifts the ban of an instance; whether it exists. The number of the deny list rises.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn unban_instance(&self, id: &InstanceId, by: &Actor<'_>) -> Result<bool, ChangeError> {
        self.change_ban(id, None, by).await
    }

    /// Erases an instance: its row and all that hangs on it, and what decisions about it say of the device. Edges
    /// refuse it until its last result has expired. Whether it existed.
    ///
    /// # Errors
    /// [`ChangeError::Full`] after so many within ten minutes, or the database cannot be written; nothing is erased
    /// then.
    pub async fn erase_instance(&self, id: &InstanceId, by: &Actor<'_>) -> Result<bool, ChangeError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let done = sqlx::query("DELETE FROM instance WHERE id = ?")
            .bind(id.as_bytes().as_slice())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let erased =
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM erased_instance WHERE denied_until > ?")
                .bind(seconds(by.now))
                .fetch_one(&mut *transaction)
                .await
                .map_err(failed)?;
        if erased >= MAX_ERASED {
            return Err(ChangeError::Full);
        }
        self.forget_what_was_said(&mut transaction, id.as_bytes()).await?;
        sqlx::query(
            "INSERT INTO erased_instance (id, denied_until) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET \
             denied_until = ?2",
        )
        .bind(id.as_bytes().as_slice())
        .bind(seconds(by.now.plus(ERASED_DENIED_FOR)))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        self.raise(&mut transaction, by.now).await?;
        self.write_act(&mut transaction, by, Action::DeleteInstance, &id.to_base64url(), "").await?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }

    /// Erases instances that were last used before `before`, a bounded part at a time; how many. Bans stay, however
    /// old: forgetting one would lift it.
    ///
    /// # Errors
    /// The database cannot be written; what was erased before stays erased.
    pub async fn erase_unused(&self, before: Timestamp) -> Result<u64, StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut erased = 0;
        loop {
            let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
            let ids = sqlx::query_scalar::<_, Vec<u8>>(
                "DELETE FROM instance WHERE id IN \
                 (SELECT id FROM instance WHERE updated < ? AND banned = 0 ORDER BY updated LIMIT ?) RETURNING id",
            )
            .bind(seconds(before))
            .bind(PART)
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed)?;
            for id in &ids {
                self.forget_what_was_said(&mut transaction, id).await?;
            }
            transaction.commit().await.map_err(failed)?;
            if ids.is_empty() {
                return Ok(erased);
            }
            erased += ids.len() as u64;
        }
    }

    /// Decisions stay as figures: without the instance, without what the evidence said, and without the evidence that
    /// is kept of refusals.
    async fn forget_what_was_said(
        &self,
        connection: &mut SqliteConnection,
        id: &[u8],
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE decision SET instance = NULL, claims = 'null', appraisal = 'null', evidence = NULL, \
             circumstances = NULL WHERE instance = ?",
        )
        .bind(id)
        .execute(connection)
        .await
        .map(drop)
        .map_err(|error| self.failed(&error))
    }

    async fn change_ban(
        &self,
        id: &InstanceId,
        reason: Option<&str>,
        by: &Actor<'_>,
    ) -> Result<bool, ChangeError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let others =
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM instance WHERE banned = 1 AND id <> ?")
                .bind(id.as_bytes().as_slice())
                .fetch_one(&mut *transaction)
                .await
                .map_err(failed)?;
        if reason.is_some() && others >= MAX_INSTANCE_BANS {
            return Err(ChangeError::Full);
        }
        let done =
            sqlx::query("UPDATE instance SET banned = ?2, ban_reason = ?3, ban_time = ?4 WHERE id = ?1")
                .bind(id.as_bytes().as_slice())
                .bind(reason.is_some())
                .bind(reason)
                .bind(reason.map(|_| seconds(by.now)))
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let action = if reason.is_some() { Action::BanInstance } else { Action::UnbanInstance };
        self.raise(&mut transaction, by.now).await?;
        self.write_act(&mut transaction, by, action, &id.to_base64url(), reason.unwrap_or_default()).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }
}
