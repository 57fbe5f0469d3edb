//! Which instances share an attestation key: a traded one vouches for more phones than it can belong to.

use countersign_core::token::result::InstanceId;
use countersign_verifier::enrolment::Admission;
use sqlx::SqliteConnection;

use super::{Store, StoreError};

impl Store {
    /// How many instances, of all clients, have their latest evidence from this attestation key: those that are stored,
    /// and `instance`, which is about to be. Keys that are provisioned remotely change within days, so a phone counts
    /// for the one it used last.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn instances_of_attestation_key(
        &self,
        key: &[u8; 32],
        instance: Option<&InstanceId>,
    ) -> Result<u32, StoreError> {
        let query = sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM instance WHERE attestation_key = ?1 AND (?2 IS NULL OR id <> ?2)",
        );
        let others = query
            .bind(key.as_slice())
            .bind(instance.map(|id| id.as_bytes().to_vec()))
            .fetch_one(&self.reader)
            .await
            .map_err(|error| self.failed(&error))?;
        Ok(u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1))
    }

    /// As [`Self::instances_of_attestation_key`], for the key that the stored instance's latest evidence is from; None
    /// without such evidence.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn instances_sharing_the_key_of(
        &self,
        instance: &InstanceId,
    ) -> Result<Option<u32>, StoreError> {
        let query = sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM instance WHERE attestation_key = (SELECT attestation_key FROM instance WHERE id = ?)",
        );
        let query = query.bind(instance.as_bytes().as_slice());
        let sharing = query.fetch_one(&self.reader).await.map_err(|error| self.failed(&error))?;
        Ok((sharing > 0).then(|| u32::try_from(sharing).unwrap_or(u32::MAX)))
    }

    /// Keeps the attestation key of what was admitted, and says how many instances share it now; without Android
    /// evidence, the one that is known stays.
    pub(super) async fn keep_attestation_key(
        &self,
        connection: &mut SqliteConnection,
        instance: &InstanceId,
        admission: &Admission,
    ) -> Result<Option<u32>, StoreError> {
        let Some(key) = admission.attestation_key() else { return Ok(None) };
        let failed = |error: sqlx::Error| self.failed(&error);
        sqlx::query("UPDATE instance SET attestation_key = ?2 WHERE id = ?1")
            .bind(instance.as_bytes().as_slice())
            .bind(key.as_slice())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        let sharing = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM instance WHERE attestation_key = ?")
            .bind(key.as_slice())
            .fetch_one(connection)
            .await
            .map_err(failed)?;
        Ok(Some(u32::try_from(sharing).unwrap_or(u32::MAX)))
    }
}
