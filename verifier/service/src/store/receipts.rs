//! Receipts of App Attest: the latest of each instance, its risk metric, and when the next one is due.

use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::InstanceId;
use countersign_verifier::evidence::app_attest::AppAttestEnvironment;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError, seconds};

/// The latest receipt of an instance.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptReceipt {
    /// The instance.
    pub instance: InstanceId,
    /// The App Attest key that it is for.
    pub key: PublicKey,
    /// SHA-256 of the App ID.
    pub rp_id_hash: [u8; 32],
    /// Where the key was attested.
    pub environment: AppAttestEnvironment,
    /// The receipt, as Apple sent it.
    pub bytes: Vec<u8>,
    /// Its risk metric, if it has one.
    pub risk_metric: Option<u64>,
    /// When Apple made it.
    pub created: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// When it is to be exchanged.
    pub due: Timestamp,
    /// How many exchanges of it have failed, one after the other.
    pub failures: u32,
}

impl Store {
    /// Keeps the receipt of an enrolment, unless one of the same key is kept, which may be newer, or the instance has
    /// another key by now: an old request, sent again, would put its receipt in the place of the one that counts.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn keep_receipt(&self, receipt: &KeptReceipt) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO receipt (instance, app_attest_key, rp_id_hash, environment, receipt, risk_metric, created, \
             expires, due, failures) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0 FROM instance WHERE id = ?1 \
             AND instance.app_attest_key = ?2 ON CONFLICT (instance) DO UPDATE SET app_attest_key = ?2, rp_id_hash = ?3, environment = ?4, receipt = ?5, risk_metric = ?6, created = ?7, \
             expires = ?8, due = ?9, failures = 0 WHERE receipt.app_attest_key <> ?2",
        );
        self.write_receipt(query, receipt).await
    }

    /// Puts the receipt of an exchange in the place of the one that was exchanged.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn replace_receipt(&self, receipt: &KeptReceipt) -> Result<(), StoreError> {
        let query = sqlx::query(
            "UPDATE receipt SET rp_id_hash = ?3, environment = ?4, receipt = ?5, risk_metric = ?6, created = ?7, \
             expires = ?8, due = ?9, failures = 0 WHERE instance = ?1 AND app_attest_key = ?2",
        );
        self.write_receipt(query, receipt).await
    }

    /// Puts the next exchange of this receipt off to `due`, after so many failures. A receipt of another key, which the
    /// instance may have by now, stays due when it is.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn defer_receipt(
        &self,
        receipt: &KeptReceipt,
        due: Timestamp,
        failures: u32,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE receipt SET due = ?3, failures = ?4 WHERE instance = ?1 AND app_attest_key = ?2")
            .bind(receipt.instance.as_bytes().as_slice())
            .bind(receipt.key.to_p256_sec1().map(Vec::from).unwrap_or_default())
            .bind(seconds(due))
            .bind(failures)
            .execute(&self.writer)
            .await
            .map(drop)
            .map_err(|error| self.failed(&error))
    }

    /// The risk metric of the latest receipt for the key that the instance has now.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn risk_metric(&self, instance: &InstanceId) -> Result<Option<u64>, StoreError> {
        let metric = sqlx::query_scalar::<_, Option<i64>>(
            "SELECT receipt.risk_metric FROM receipt JOIN instance ON instance.id = receipt.instance \
             AND instance.app_attest_key = receipt.app_attest_key WHERE receipt.instance = ?",
        )
        .bind(instance.as_bytes().as_slice())
        .fetch_optional(&self.reader)
        .await
        .map_err(|error| self.failed(&error))?;
        Ok(metric.flatten().and_then(|metric| u64::try_from(metric).ok()))
    }

    /// At most `limit` receipts that are due, the longest overdue first; not those of banned instances, of keys that
    /// are no longer in use, and not expired ones.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn due_receipts(&self, now: Timestamp, limit: u32) -> Result<Vec<KeptReceipt>, StoreError> {
        let rows = sqlx::query(
            "SELECT receipt.* FROM receipt JOIN instance ON instance.id = receipt.instance \
             AND instance.app_attest_key = receipt.app_attest_key \
             WHERE receipt.due <= ?1 AND receipt.expires > ?1 AND instance.banned = 0 ORDER BY receipt.due LIMIT ?2",
        )
        .bind(seconds(now))
        .bind(limit)
        .fetch_all(&self.reader)
        .await
        .map_err(|error| self.failed(&error))?;
        let damaged = || self.damaged();
        rows.iter().map(|row| KeptReceipt::from_row(row).ok_or_else(damaged)).collect()
    }

    /// Forgets receipts that have expired; returns how many.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn forget_expired_receipts(&self, now: Timestamp) -> Result<u64, StoreError> {
        let query = sqlx::query("DELETE FROM receipt WHERE expires <= ?").bind(seconds(now));
        let done = query.execute(&self.writer).await;
        done.map(|done| done.rows_affected()).map_err(|error| self.failed(&error))
    }

    async fn write_receipt(
        &self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
        receipt: &KeptReceipt,
    ) -> Result<(), StoreError> {
        query
            .bind(receipt.instance.as_bytes().to_vec())
            .bind(receipt.key.to_p256_sec1().map(Vec::from).unwrap_or_default())
            .bind(receipt.rp_id_hash.to_vec())
            .bind(environment_name(receipt.environment))
            .bind(receipt.bytes.clone())
            .bind(receipt.risk_metric.map(|metric| i64::try_from(metric).unwrap_or(i64::MAX)))
            .bind(seconds(receipt.created))
            .bind(seconds(receipt.expires))
            .bind(seconds(receipt.due))
            .execute(&self.writer)
            .await
            .map(drop)
            .map_err(|error| self.failed(&error))
    }
}

impl KeptReceipt {
    /// The receipt in a row; `None` if the row breaks the rules of the schema.
    fn from_row(row: &SqliteRow) -> Option<Self> {
        let unsigned = |column: &str| u64::try_from(row.try_get::<i64, _>(column).ok()?).ok();
        let time = |column: &str| unsigned(column).map(Timestamp::from_unix_seconds);
        let bytes = |column: &str| row.try_get::<&[u8], _>(column).ok();
        Some(Self {
            instance: InstanceId::from_bytes(bytes("instance")?.try_into().ok()?),
            key: PublicKey::from_p256_sec1(bytes("app_attest_key")?).ok()?,
            rp_id_hash: bytes("rp_id_hash")?.try_into().ok()?,
            environment: match row.try_get("environment").ok()? {
                "production" => AppAttestEnvironment::Production,
                "development" => AppAttestEnvironment::Development,
                _ => return None,
            },
            bytes: bytes("receipt")?.to_vec(),
            risk_metric: match row.try_get::<Option<i64>, _>("risk_metric").ok()? {
                Some(metric) => Some(u64::try_from(metric).ok()?),
                None => None,
            },
            created: time("created")?,
            expires: time("expires")?,
            due: time("due")?,
            failures: row.try_get("failures").ok()?,
        })
    }
}

/// Receipts let their holder ask Apple about a device: they enter no log.
impl std::fmt::Debug for KeptReceipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptReceipt")
            .field("instance", &self.instance)
            .field("due", &self.due)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

/// Empty, which the schema refuses, for an environment that there is not.
const fn environment_name(environment: AppAttestEnvironment) -> &'static str {
    match environment {
        AppAttestEnvironment::Production => "production",
        AppAttestEnvironment::Development => "development",
        _ => "",
    }
}
