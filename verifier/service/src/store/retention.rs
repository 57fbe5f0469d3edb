//! How long things are kept, and that what is over is forgotten.

use countersign_core::time::Timestamp;
use sqlx::SqliteConnection;

use super::{Store, StoreError, seconds};

/// Rows in one statement, so that no enrolment waits for a long deletion.
const PART: i64 = 2000;

/// From when on things are kept; what is earlier is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptSince {
    /// Decisions.
    pub decisions: Timestamp,
    /// What decisions quote of evidence, and the evidence of refusals itself.
    pub evidence: Timestamp,
    /// Administrative acts.
    pub acts: Timestamp,
}

impl Store {
    /// Forgets used challenges that have expired, erased instances whose last result has, and what is earlier than
    /// `kept`; returns how many rows. A decision whose evidence is forgotten stays, with its verdict and reasons.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn prune(&self, now: Timestamp, kept: &KeptSince) -> Result<u64, StoreError> {
        let parts = [
            (
                "DELETE FROM consumed_challenge WHERE challenge IN \
                 (SELECT challenge FROM consumed_challenge WHERE expires < ? LIMIT ?)",
                now,
            ),
            (
                "DELETE FROM decision WHERE rowid IN (SELECT rowid FROM decision WHERE time < ? LIMIT ?)",
                kept.decisions,
            ),
            (
                "UPDATE decision SET claims = 'null', appraisal = 'null', evidence = NULL, circumstances = NULL \
                 WHERE rowid IN (SELECT rowid FROM decision WHERE time < ? \
                 AND (claims <> 'null' OR appraisal <> 'null' OR evidence IS NOT NULL) LIMIT ?)",
                kept.evidence,
            ),
            (
                "DELETE FROM erased_instance WHERE id IN \
                 (SELECT id FROM erased_instance WHERE denied_until < ? LIMIT ?)",
                now,
            ),
            (
                "DELETE FROM administrative_act WHERE number IN \
                 (SELECT number FROM administrative_act WHERE time < ? LIMIT ?)",
                kept.acts,
            ),
        ];
        let mut rows = 0;
        for (statement, before) in parts {
            loop {
                let mut connection = self.writer.acquire().await.map_err(|error| self.failed(&error))?;
                let part = self.forget_part(&mut connection, statement, before).await?;
                rows += part;
                if part == 0 {
                    break;
                }
            }
        }
        Ok(rows)
    }

    async fn forget_part(
        &self,
        connection: &mut SqliteConnection,
        statement: &'static str,
        before: Timestamp,
    ) -> Result<u64, StoreError> {
        let done = sqlx::query(statement).bind(seconds(before)).bind(PART).execute(connection).await;
        done.map(|done| done.rows_affected()).map_err(|error| self.failed(&error))
    }
}
