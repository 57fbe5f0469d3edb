//! Bans of users: subjects of an authorization server.

use countersign_core::time::Timestamp;
use countersign_verifier::check::deny_list::SubjectDigest;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::acts::{Action, Actor};
use super::{ChangeError, Store, StoreError, seconds};

/// Most users that can be banned at the same time: the deny list has a longest length, beyond which no edge takes it.
pub const MAX_SUBJECT_BANS: i64 = 50_000;

/// A banned user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectBan {
    /// What deny lists name him by.
    pub digest: SubjectDigest,
    /// `iss` of his access tokens.
    pub issuer: String,
    /// `sub` of his access tokens.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub banned: Timestamp,
}

impl Store {
    /// Bans a user for a reason; a second ban replaces the reason. The number of the deny list rises.
    ///
    /// # Errors
    /// [`ChangeError::Full`], or the database cannot be written.
    pub async fn ban_subject(
        &self,
        issuer: &str,
        subject: &str,
        reason: &str,
        by: &Actor<'_>,
    ) -> Result<SubjectBan, ChangeError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let digest = SubjectDigest::of(issuer, subject);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let others = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM subject_ban WHERE digest <> ?")
            .bind(digest.as_bytes().as_slice())
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed)?;
        if others >= MAX_SUBJECT_BANS {
            return Err(ChangeError::Full);
        }
        sqlx::query(
            "INSERT INTO subject_ban (digest, issuer, subject, reason, banned) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (digest) DO UPDATE SET reason = ?4, banned = ?5",
        )
        .bind(digest.as_bytes().as_slice())
        .bind(issuer)
        .bind(subject)
        .bind(reason)
        .bind(seconds(by.now))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        self.raise(&mut transaction, by.now).await?;
        self.write_act(&mut transaction, by, Action::BanSubject, &text_of(&digest), reason).await?;
        transaction.commit().await.map_err(failed)?;
        let (issuer, subject, reason) = (issuer.to_owned(), subject.to_owned(), reason.to_owned());
        Ok(SubjectBan { digest, issuer, subject, reason, banned: by.now })
    }

    /// Lifts the ban of a user; whether there was one. The number of the deny list rises.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn unban_subject(&self, digest: &SubjectDigest, by: &Actor<'_>) -> Result<bool, StoreError> {
        let failed = |error: sqlx::Error| self.failed(&error);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let done = sqlx::query("DELETE FROM subject_ban WHERE digest = ?")
            .bind(digest.as_bytes().as_slice())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.raise(&mut transaction, by.now).await?;
        self.write_act(&mut transaction, by, Action::UnbanSubject, &text_of(digest), "").await?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }

    /// At most `limit` banned users in the order of their digests, after `after`; of one issuer, if it is named.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn subject_bans(
        &self,
        issuer: Option<&str>,
        after: Option<SubjectDigest>,
        limit: u32,
    ) -> Result<Vec<SubjectBan>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM subject_ban WHERE (?1 IS NULL OR issuer = ?1) AND (?2 IS NULL OR digest > ?2) \
             ORDER BY digest LIMIT ?3",
        )
        .bind(issuer)
        .bind(after.map(|digest| digest.as_bytes().to_vec()))
        .bind(limit)
        .fetch_all(&self.reader)
        .await
        .map_err(|error| self.failed(&error))?;
        rows.iter().map(|row| subject_ban(row).ok_or_else(|| self.damaged())).collect()
    }
}

/// A digest as administrators read and write it: 43 characters of base64url.
fn text_of(digest: &SubjectDigest) -> String {
    countersign_core::encoding::base64url(digest.as_bytes())
}

fn subject_ban(row: &SqliteRow) -> Option<SubjectBan> {
    Some(SubjectBan {
        digest: SubjectDigest::from_bytes(row.try_get::<&[u8], _>("digest").ok()?.try_into().ok()?),
        issuer: row.try_get("issuer").ok()?,
        subject: row.try_get("subject").ok()?,
        reason: row.try_get("reason").ok()?,
        banned: u64::try_from(row.try_get::<i64, _>("banned").ok()?)
            .ok()
            .map(Timestamp::from_unix_seconds)?,
    })
}
