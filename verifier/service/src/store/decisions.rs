//! Decisions as administrators find them.

use countersign_core::time::Timestamp;
use sqlx::Row;

use super::record::{Decision, decision_name};
use super::{Store, StoreError, seconds};

/// Which decisions to list; an empty filter lists all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecisionFilter {
    /// Those at this time or later.
    pub since: Option<Timestamp>,
    /// Those before this time.
    pub before: Option<Timestamp>,
    /// `affirming`, `warning` or `refused`.
    pub verdict: Option<String>,
    /// Those with this reason among theirs.
    pub reason: Option<String>,
    /// Those about this client.
    pub client_id: Option<String>,
}

/// Where a list of decisions goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionNumber(pub i64);

/// Some decisions, and those of them that nobody can read.
#[derive(Clone, Debug, Default)]
pub struct DecisionRows {
    /// Those that are whole.
    pub whole: Vec<Decision>,
    /// Those whose row breaks the rules of the schema: their references, or their rows where those are damaged too.
    pub unreadable: Vec<String>,
    /// The last one in the order in which they were asked for.
    pub last: Option<DecisionNumber>,
}

impl Store {
    /// The decision that a reference names, for whoever explains it to a person.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn decision(&self, reference: &str) -> Result<Option<Decision>, StoreError> {
        let query =
            sqlx::query("SELECT * FROM decision WHERE reference = ? ORDER BY time DESC").bind(reference);
        let row = query.fetch_optional(&self.reader).await.map_err(|error| self.failed(&error))?;
        row.map(|row| Decision::from_row(&row).ok_or_else(|| self.damaged())).transpose()
    }

    /// At most `limit` decisions, the latest first, from before the decision `before` on.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn decisions(
        &self,
        filter: &DecisionFilter,
        before: Option<DecisionNumber>,
        limit: u32,
    ) -> Result<DecisionRows, StoreError> {
        let rows = sqlx::query(
            "SELECT rowid AS number, * FROM decision WHERE (?1 IS NULL OR time >= ?1) \
             AND (?2 IS NULL OR time < ?2) AND (?3 IS NULL OR verdict = ?3) \
             AND (?4 IS NULL OR EXISTS (SELECT 1 FROM json_each(reasons) WHERE value = ?4)) \
             AND (?5 IS NULL OR client_id = ?5) AND (?6 IS NULL OR rowid < ?6) ORDER BY rowid DESC LIMIT ?7",
        )
        .bind(filter.since.map(seconds))
        .bind(filter.before.map(seconds))
        .bind(&filter.verdict)
        .bind(&filter.reason)
        .bind(&filter.client_id)
        .bind(before.map(|DecisionNumber(number)| number))
        .bind(limit)
        .fetch_all(&self.reader)
        .await
        .map_err(|error| self.failed(&error))?;
        let mut all = DecisionRows::default();
        for row in &rows {
            let number = row.try_get("number").map_err(|error| self.failed(&error))?;
            all.last = Some(DecisionNumber(number));
            match Decision::from_row(row) {
                Some(decision) => all.whole.push(decision),
                None => all.unreadable.push(decision_name(row, number)),
            }
        }
        Ok(all)
    }
}
