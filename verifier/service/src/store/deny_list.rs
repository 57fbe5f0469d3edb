//! What the deny list says, and its number, which never falls.

use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;
use countersign_verifier::check::deny_list::SubjectDigest;
use sqlx::SqliteConnection;

use super::reappraisal::{MAX_WITHDRAWN_LISTED, WITHDRAWN_ON_DENY_LIST};
use super::{Store, StoreError, seconds};

/// What the deny list says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bans {
    /// Grows with every change; never falls.
    pub sequence: u64,
    /// Banned instances, and withdrawn and erased ones whose last result may still be good.
    pub instances: Vec<InstanceId>,
    /// How many lately withdrawn instances found no room: their last results end by themselves.
    pub left_out: u64,
    /// How many instances have an identifier of another length than 16 bytes: no result can carry that, so there is
    /// nothing to refuse.
    pub unreadable: u64,
    /// Banned users.
    pub subjects: Vec<SubjectDigest>,
}

impl Store {
    /// Raises the number of the deny list to the present, so that it is above every number given out before this
    /// database was restored from a backup. To be called at each start.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn raise_ban_sequence(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut connection = self.writer.acquire().await.map_err(|error| self.failed(&error))?;
        self.raise(&mut connection, now).await
    }

    /// What the deny list says, as it was at one moment: the instances that are banned, those that were withdrawn or
    /// erased so lately that a result of theirs may still be good, and the users that are banned. Of the withdrawn no
    /// more than [`MAX_WITHDRAWN_LISTED`], the latest first: a list that no edge takes would stop the whole API, and so would none: an instance whose identifier is damaged is
    /// counted and left out.
    ///
    /// # Errors
    /// The database cannot be read, or a banned user in it cannot.
    pub async fn bans(&self, now: Timestamp) -> Result<Bans, StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut transaction = self.reader.begin().await.map_err(failed)?;
        let sequence = self.sequence(&mut transaction).await?;
        let mut instances = sqlx::query_scalar::<_, Vec<u8>>(
            "SELECT id FROM instance WHERE banned = 1 UNION SELECT id FROM erased_instance WHERE denied_until > ?",
        )
        .bind(seconds(now))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
        let since = seconds(now.minus(WITHDRAWN_ON_DENY_LIST));
        let withdrawn = sqlx::query_scalar::<_, Vec<u8>>(
            "SELECT id FROM instance WHERE withdrawn_at > ? AND banned = 0 ORDER BY withdrawn_at DESC, id LIMIT ?",
        )
        .bind(since)
        .bind(MAX_WITHDRAWN_LISTED)
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
        let all_withdrawn = sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM instance WHERE withdrawn_at > ? AND banned = 0",
        )
        .bind(since)
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
        let left_out = all_withdrawn.unsigned_abs().saturating_sub(withdrawn.len() as u64);
        instances.extend(withdrawn);
        let subjects = sqlx::query_scalar::<_, Vec<u8>>("SELECT digest FROM subject_ban")
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed)?;
        let found = instances.len();
        let id = |bytes: Vec<u8>| bytes.try_into().ok().map(InstanceId::from_bytes);
        let instances: Vec<_> = instances.into_iter().filter_map(id).collect();
        let unreadable = found.saturating_sub(instances.len()) as u64;
        let digest =
            |bytes: Vec<u8>| bytes.try_into().map(SubjectDigest::from_bytes).map_err(|_| self.damaged());
        Ok(Bans {
            sequence,
            instances,
            left_out,
            unreadable,
            subjects: subjects.into_iter().map(digest).collect::<Result<_, _>>()?,
        })
    }

    /// The number of the deny list: another one says something else.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn ban_sequence(&self) -> Result<u64, StoreError> {
        let mut connection = self.reader.acquire().await.map_err(|error| self.failed(&error))?;
        self.sequence(&mut connection).await
    }

    async fn sequence(&self, connection: &mut SqliteConnection) -> Result<u64, StoreError> {
        let query =
            sqlx::query_scalar::<_, String>("SELECT value FROM service_fact WHERE name = 'ban_sequence'");
        let text = query.fetch_optional(connection).await.map_err(|error| self.failed(&error))?;
        text.map_or(Ok(0), |text| text.parse().map_err(|_| self.damaged()))
    }

    /// The next number of the deny list is one more, and at least the time in seconds: a backup knows nothing of the
    /// numbers that were given out after it, but the clock is beyond them.
    pub(super) async fn raise(
        &self,
        connection: &mut SqliteConnection,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO service_fact (name, value) VALUES ('ban_sequence', CAST(?1 AS TEXT)) ON CONFLICT (name) \
             DO UPDATE SET value = CAST(max(CAST(value AS INTEGER) + 1, ?1) AS TEXT)",
        );
        let done = query.bind(seconds(now)).execute(connection).await;
        done.map(drop).map_err(|error| self.failed(&error))
    }
}
