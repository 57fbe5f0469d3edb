//! The trail of administrative acts: who changed what, and when. An act is written in the transaction of its change.

use countersign_core::time::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Store, StoreError, seconds};

/// Who changes something, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor<'a> {
    /// The name of the admin key, or where else the change comes from.
    pub name: &'a str,
    /// Now.
    pub now: Timestamp,
}

impl Actor<'_> {
    /// Whoever may run `countersign` on this machine.
    pub const fn command_line(now: Timestamp) -> Self {
        Self { name: "command line", now }
    }
}

/// What an administrator did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Banned an instance.
    BanInstance,
    /// Lifted the ban of an instance.
    UnbanInstance,
    /// Erased an instance.
    DeleteInstance,
    /// Banned a user.
    BanSubject,
    /// Lifted the ban of a user.
    UnbanSubject,
    /// Made an admin key.
    AddAdminKey,
    /// Revoked an admin key.
    RevokeAdminKey,
    /// Registered a development key.
    AddDevelopmentKey,
    /// Revoked a development key.
    RevokeDevelopmentKey,
}

impl Action {
    /// The name in the trail.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BanInstance => "ban-instance",
            Self::UnbanInstance => "unban-instance",
            Self::DeleteInstance => "delete-instance",
            Self::BanSubject => "ban-subject",
            Self::UnbanSubject => "unban-subject",
            Self::AddAdminKey => "add-admin-key",
            Self::RevokeAdminKey => "revoke-admin-key",
            Self::AddDevelopmentKey => "add-development-key",
            Self::RevokeDevelopmentKey => "revoke-development-key",
        }
    }
}

/// One act as the trail has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Its number; later acts have higher ones.
    pub number: i64,
    /// When.
    pub time: Timestamp,
    /// Who: the name of the admin key, or `command line`.
    pub actor: String,
    /// What; see [`Action::name`].
    pub action: String,
    /// To whom: an instance, the digest of a user, the name of a key.
    pub object: String,
    /// The reason that was given, if any.
    pub detail: String,
}

impl Store {
    /// At most `limit` acts, the latest first, from before the act `before` on.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn acts(&self, before: Option<i64>, limit: u32) -> Result<Vec<Act>, StoreError> {
        let query = sqlx::query(
            "SELECT * FROM administrative_act WHERE ?1 IS NULL OR number < ?1 ORDER BY number DESC LIMIT ?2",
        );
        let rows = query.bind(before).bind(limit).fetch_all(&self.reader).await;
        let rows = rows.map_err(|error| self.failed(&error))?;
        rows.iter().map(|row| act(row).ok_or_else(|| self.damaged())).collect()
    }

    /// Writes an act; the caller's transaction is that of the change.
    pub(super) async fn write_act(
        &self,
        connection: &mut SqliteConnection,
        by: &Actor<'_>,
        action: Action,
        object: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO administrative_act (time, actor, action, object, detail) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(seconds(by.now))
        .bind(by.name)
        .bind(action.name())
        .bind(object)
        .bind(detail)
        .execute(connection)
        .await
        .map(drop)
        .map_err(|error| self.failed(&error))
    }
}

fn act(row: &SqliteRow) -> Option<Act> {
    Some(Act {
        number: row.try_get("number").ok()?,
        time: u64::try_from(row.try_get::<i64, _>("time").ok()?).ok().map(Timestamp::from_unix_seconds)?,
        actor: row.try_get("actor").ok()?,
        action: row.try_get("action").ok()?,
        object: row.try_get("object").ok()?,
        detail: row.try_get("detail").ok()?,
    })
}
