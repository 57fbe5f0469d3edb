//! What a re-appraisal reads and changes: whose verdict is of another generation, and what comes of it.

use countersign_core::time::Timestamp;
use countersign_core::token::result::{InstanceId, Tier};
use countersign_core::token::trust_vector::TrustVector;
use serde_json::json;
use sqlx::{Row, SqliteConnection};

use super::instances::InstanceRows;
use super::record::{Decision, InstanceRecord};
use super::{Store, StoreError, seconds};
use crate::trust::Generation;

/// How long after a withdrawal the deny list names the instance, in seconds: the longest life of a result, and what
/// the clocks of edges may be off.
pub(super) const WITHDRAWN_ON_DENY_LIST: u64 = 600 + 120;

/// Most withdrawn instances that the deny list names at the same time: it has a longest length, beyond which no edge
/// takes it. The rest gets no new results either, and edges take the last ones until they end.
pub const MAX_WITHDRAWN_LISTED: i64 = 250_000;

/// How an instance stands after a re-appraisal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its evidence is still good enough.
    Stands {
        /// The tier of its evidence.
        tier: Tier,
        /// What was found.
        trust_vector: TrustVector,
        /// The labels that edges are told.
        labels: Vec<String>,
    },
    /// It is not, or cannot be verified any more.
    Withdrawn {
        /// Why, by stable names.
        reasons: Vec<String>,
    },
    /// No evidence of it is kept: it stays as it is until it brings some.
    Unknown,
}

/// One instance's new standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The instance.
    pub instance: InstanceId,
    /// The revision that was judged; the settlement of another one does not count.
    pub revision: i64,
    /// How it stands.
    pub standing: Standing,
    /// The audit record, where something changed.
    pub decision: Option<Decision>,
}

impl Store {
    /// At most `limit` instances that were judged under another generation. Those whose identifier is damaged are not
    /// among them: nothing can be written of them, and no result can carry it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn outdated(&self, generation: &Generation, limit: u32) -> Result<InstanceRows, StoreError> {
        // Two ranges, so that the index answers.
        let rows = sqlx::query(
            "SELECT * FROM instance WHERE (generation < ?1 OR generation > ?1) AND length(id) = 16 LIMIT ?2",
        )
        .bind(generation.as_bytes().as_slice())
        .bind(limit)
        .fetch_all(&self.reader)
        .await
        .map_err(|error| self.failed(&error))?;
        self.instances_in(&rows)
    }

    /// How many instances that were judged under another generation have a damaged identifier.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn outdated_without_name(&self, generation: &Generation) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM instance WHERE (generation < ?1 OR generation > ?1) AND length(id) <> 16",
        );
        let count = count.bind(generation.as_bytes().as_slice()).fetch_one(&self.reader).await;
        count.map(i64::unsigned_abs).map_err(|error| self.failed(&error))
    }

    /// Withdraws an instance whose row cannot be read, for `reason`, so that it gets no results and edges refuse the
    /// one that it has. None if it can be read by now, or is gone; else whether it was not withdrawn before, when
    /// `decision` is written too.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn withdraw_unreadable(
        &self,
        id: &InstanceId,
        decision: &Decision,
        generation: &Generation,
    ) -> Result<Option<bool>, StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let row = sqlx::query("SELECT * FROM instance WHERE id = ?")
            .bind(id.as_bytes().as_slice())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed)?;
        let Some(row) = row.filter(|row| InstanceRecord::from_row(row).is_none()) else { return Ok(None) };
        let newly = row.try_get::<Option<i64>, _>("withdrawn_at").map_err(failed)?.is_none();
        sqlx::query(
            "UPDATE instance SET generation = ?2, revision = revision + 1, \
             withdrawn_at = coalesce(withdrawn_at, ?3), withdrawn_reasons = ?4 WHERE id = ?1",
        )
        .bind(id.as_bytes().as_slice())
        .bind(generation.as_bytes().as_slice())
        .bind(seconds(decision.time))
        .bind(json!(decision.reasons).to_string())
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        if newly {
            self.insert_decision(&mut transaction, decision, Some(*id)).await?;
            self.raise(&mut transaction, decision.time).await?;
        }
        transaction.commit().await.map_err(failed)?;
        Ok(Some(newly))
    }

    /// How many instances there are, and how many of them are withdrawn.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn withdrawn_count(&self) -> Result<(u64, u64), StoreError> {
        let counts: (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM instance), (SELECT count(*) FROM instance WHERE withdrawn_at IS NOT NULL)",
        )
        .fetch_one(&self.reader)
        .await
        .map_err(|error| self.failed(&error))?;
        Ok((counts.0.unsigned_abs(), counts.1.unsigned_abs()))
    }

    /// Settles a batch in one transaction: new standing, audit records, and the number of the deny list if that has
    /// changed. Returns the instances that were settled; others changed meanwhile and are to be judged again.
    ///
    /// # Errors
    /// The database cannot be written; nothing was changed.
    pub async fn settle(
        &self,
        settlements: &[Settlement],
        generation: &Generation,
        now: Timestamp,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let mut settled = Vec::new();
        let mut listed = false;
        for settlement in settlements {
            let withdrawn_before = self.settle_one(&mut transaction, settlement, generation, now).await?;
            let Some(withdrawn_before) = withdrawn_before else { continue };
            let withdrawn_now = match settlement.standing {
                Standing::Withdrawn { .. } => true,
                Standing::Stands { .. } => false,
                Standing::Unknown => withdrawn_before,
            };
            listed |= withdrawn_now != withdrawn_before;
            if let Some(decision) = &settlement.decision {
                self.insert_decision(&mut transaction, decision, decision.instance).await?;
            }
            settled.push(settlement.instance);
        }
        if listed {
            self.raise(&mut transaction, now).await?;
        }
        transaction.commit().await.map_err(failed)?;
        Ok(settled)
    }

    /// Whether the instance was withdrawn before; None if it is not any more what was judged.
    async fn settle_one(
        &self,
        connection: &mut SqliteConnection,
        settlement: &Settlement,
        generation: &Generation,
        now: Timestamp,
    ) -> Result<Option<bool>, StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let id = settlement.instance.as_bytes().as_slice();
        let before: Option<(bool,)> =
            sqlx::query_as("SELECT withdrawn_at IS NOT NULL FROM instance WHERE id = ? AND revision = ?")
                .bind(id)
                .bind(settlement.revision)
                .fetch_optional(&mut *connection)
                .await
                .map_err(failed)?;
        let Some((withdrawn_before,)) = before else { return Ok(None) };
        let query = match &settlement.standing {
            Standing::Stands { tier, trust_vector, labels } => sqlx::query(
                "UPDATE instance SET generation = ?2, revision = revision + 1, evidence_tier = ?3, trust_vector = ?4, \
                 labels = ?5, withdrawn_at = NULL, withdrawn_reasons = NULL WHERE id = ?1",
            )
            .bind(id)
            .bind(generation.as_bytes().as_slice())
            .bind(tier.number())
            .bind(json!(trust_vector).to_string())
            .bind(json!(labels).to_string()),
            Standing::Withdrawn { reasons } => sqlx::query(
                "UPDATE instance SET generation = ?2, revision = revision + 1, \
                 withdrawn_at = coalesce(withdrawn_at, ?3), withdrawn_reasons = ?4 WHERE id = ?1",
            )
            .bind(id)
            .bind(generation.as_bytes().as_slice())
            .bind(seconds(now))
            .bind(json!(reasons).to_string()),
            Standing::Unknown => {
                sqlx::query("UPDATE instance SET generation = ?2, revision = revision + 1 WHERE id = ?1")
                    .bind(id)
                    .bind(generation.as_bytes().as_slice())
            }
        };
        query.execute(connection).await.map_err(failed)?;
        Ok(Some(withdrawn_before))
    }
}
