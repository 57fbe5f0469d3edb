//! The evidence that instances stand on, and that of refusals, as it was verified.

use countersign_core::cbor::CborError;
use countersign_core::encoding::from_base64url_array;
use countersign_core::environment::Environment;
use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;
use countersign_verifier::enrolment::{Admission, PlatformKey};
use countersign_verifier::evidence::RecordedEvidence;
use countersign_verifier::policy::History;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::record::{Decision, decision_name};
use super::{Store, StoreError, seconds};

/// Longest evidence of a refusal that is kept, in bytes. Genuine evidence is far below it, and a flood of refusals
/// writes so much at most for each that is recorded.
const MAX_REFUSED_EVIDENCE: usize = 16 * 1024;

/// What was known beside a piece of evidence when it was appraised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedCircumstances {
    /// Environment signals that the device reported, as their mask.
    pub environment: u64,
    /// The app's version, as the app said.
    pub app_version: String,
    /// What had been seen of the instance before; None at its enrolment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// Of a refusal: the JWK thumbprint of the instance key, in base64url, from which cohorts follow. None where a
    /// version before this one wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_jkt: Option<String>,
}

/// A piece of evidence as it is kept for an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvidence {
    /// The evidence; an error where a version of this program wrote it that this one does not know.
    pub recorded: Result<RecordedEvidence, CborError>,
    /// What was known beside it.
    pub circumstances: RecordedCircumstances,
}

/// Some refusals with their evidence, and those of them that nobody can read.
#[derive(Clone, Debug, Default)]
pub struct RefusalRows {
    /// Those that are whole.
    pub whole: Vec<(Decision, RefusedEvidence)>,
    /// Those whose row breaks the rules of the schema: their references, or their rows where those are damaged too.
    pub unreadable: Vec<String>,
    /// The row of the last one in the order in which they were asked for.
    pub last: Option<i64>,
}

/// A refusal with the evidence that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedEvidence {
    /// All pieces.
    pub recorded: Vec<RecordedEvidence>,
    /// What was known beside them.
    pub circumstances: RecordedCircumstances,
}

impl RecordedCircumstances {
    /// Those of an admission.
    pub fn of(admission: &Admission) -> Self {
        Self {
            environment: admission.environment().0,
            app_version: admission.app_version().to_owned(),
            history: admission.history_before().cloned(),
            instance_jkt: None,
        }
    }

    /// What the cohorts of a refused device follow from.
    pub fn cohort_key(&self) -> Option<[u8; 32]> {
        from_base64url_array(self.instance_jkt.as_deref()?).ok()
    }

    /// The environment signals.
    pub const fn environment(&self) -> Environment {
        Environment(self.environment)
    }
}

impl Store {
    /// The evidence that an instance stands on.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn evidence_of(&self, instance: &InstanceId) -> Result<Vec<StoredEvidence>, StoreError> {
        let query =
            sqlx::query("SELECT recorded, circumstances FROM evidence WHERE instance = ? ORDER BY kind");
        let rows = query.bind(instance.as_bytes().as_slice()).fetch_all(&self.reader).await;
        let rows = rows.map_err(|error| self.failed(&error))?;
        let damaged = || self.damaged_instance(instance);
        rows.iter().map(|row| StoredEvidence::from_row(row).ok_or_else(damaged)).collect()
    }

    /// Writes the audit record of a refusal together with the evidence that was refused.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn record_with_evidence(
        &self,
        decision: &Decision,
        refused: &RefusedEvidence,
    ) -> Result<(), StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut transaction = self.writer.begin().await.map_err(failed)?;
        self.insert_decision(&mut transaction, decision, decision.instance).await?;
        let evidence = refused.to_bytes();
        if evidence.len() <= MAX_REFUSED_EVIDENCE {
            sqlx::query(
                "UPDATE decision SET evidence = ?, circumstances = ? WHERE rowid = last_insert_rowid()",
            )
            .bind(evidence)
            .bind(json!(refused.circumstances).to_string())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    /// Refusals since `since` whose evidence is kept, oldest first, at most `limit` of those behind the row `after`
    /// (0 for the first).
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn refused_evidence(
        &self,
        since: Timestamp,
        after: i64,
        limit: u32,
    ) -> Result<RefusalRows, StoreError> {
        let rows = sqlx::query(
            "SELECT rowid AS number, * FROM decision WHERE rowid > ? AND time >= ? AND evidence IS NOT NULL ORDER BY rowid LIMIT ?",
        )
        .bind(after)
        .bind(seconds(since))
        .bind(limit)
        .fetch_all(&self.reader)
        .await
        .map_err(|error| self.failed(&error))?;
        let mut all = RefusalRows::default();
        for row in &rows {
            let number = row.try_get("number").map_err(|error| self.failed(&error))?;
            all.last = Some(number);
            match Decision::from_row(row).zip(RefusedEvidence::from_row(row)) {
                Some(whole) => all.whole.push(whole),
                None => all.unreadable.push(decision_name(row, number)),
            }
        }
        Ok(all)
    }

    /// Keeps the evidence of an admission. What vouches for a key by itself replaces all that was kept before.
    pub(super) async fn keep_evidence(
        &self,
        connection: &mut SqliteConnection,
        instance: &InstanceId,
        admission: &Admission,
    ) -> Result<(), StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let pieces = admission.recorded_evidence();
        // Where Google Play vouches alone, what vouched before does so no more.
        let replaces = !pieces.is_empty() && *admission.platform_key() == PlatformKey::PlayIntegrity;
        if replaces || pieces.iter().any(RecordedEvidence::vouches_alone) {
            sqlx::query("DELETE FROM evidence WHERE instance = ?")
                .bind(instance.as_bytes().as_slice())
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
        }
        let circumstances = json!(RecordedCircumstances::of(admission)).to_string();
        for piece in pieces {
            sqlx::query(
                "INSERT INTO evidence (instance, kind, verified_at, circumstances, recorded) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (instance, kind) DO UPDATE SET verified_at = ?3, circumstances = ?4, recorded = ?5",
            )
            .bind(instance.as_bytes().as_slice())
            .bind(piece.kind().name())
            .bind(seconds(piece.verified_at()))
            .bind(&circumstances)
            .bind(piece.to_bytes())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        }
        Ok(())
    }
}

impl StoredEvidence {
    fn from_row(row: &SqliteRow) -> Option<Self> {
        Some(Self {
            recorded: RecordedEvidence::from_bytes(row.try_get("recorded").ok()?),
            circumstances: serde_json::from_str(row.try_get("circumstances").ok()?).ok()?,
        })
    }
}

impl RefusedEvidence {
    /// The pieces one after the other, each behind its length in four bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in &self.recorded {
            let piece = piece.to_bytes();
            bytes.extend_from_slice(&u32::try_from(piece.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(&piece);
        }
        bytes
    }

    fn from_row(row: &SqliteRow) -> Option<Self> {
        let mut rest: &[u8] = row.try_get("evidence").ok()?;
        let mut recorded = Vec::new();
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (piece, behind) = behind.split_at_checked(length)?;
            // One of a version that is not known here is left out: there is nothing to try a policy on.
            recorded.extend(RecordedEvidence::from_bytes(piece).ok());
            rest = behind;
        }
        let circumstances = serde_json::from_str(row.try_get("circumstances").ok()?).ok()?;
        Some(Self { recorded, circumstances })
    }
}
