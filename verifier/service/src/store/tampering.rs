//! What only tests do to the database: forgetting, damaging, and pretending to be of another version.

use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;

use super::*;

impl Store {
    /// Bans an instance or lifts its ban, whoever does it and why.
    pub(crate) async fn set_banned(
        &self,
        id: &InstanceId,
        banned: bool,
        now: Timestamp,
    ) -> Result<bool, ChangeError> {
        let by = Actor { name: "test", now };
        if banned { self.ban_instance(id, "", &by).await } else { self.unban_instance(id, &by).await }
    }

    /// Deletes an instance.
    pub(crate) async fn forget(&self, id: &InstanceId) {
        let query = sqlx::query("DELETE FROM instance WHERE id = ?").bind(id.as_bytes().as_slice());
        query.execute(&self.writer).await.unwrap();
    }

    /// Puts a value that nothing can read into a column of what is stored of an instance.
    pub(crate) async fn damage(&self, table: &str, column: &str, id: &InstanceId) {
        let key = if table == "instance" { "id" } else { "instance" };
        let statement = format!("UPDATE {table} SET {column} = '[damaged' WHERE {key} = ?");
        let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(id.as_bytes().as_slice());
        assert_eq!(query.execute(&self.writer).await.unwrap().rows_affected(), 1);
    }

    /// Writes rows that the schema forbids, as a damaged file may have them.
    pub(crate) async fn damage_with(&self, statement: &'static str) {
        let mut connection = self.writer.acquire().await.unwrap();
        for lax in ["PRAGMA ignore_check_constraints = ON", "PRAGMA foreign_keys = OFF"] {
            sqlx::query(lax).execute(&mut *connection).await.unwrap();
        }
        assert!(sqlx::query(statement).execute(&mut *connection).await.unwrap().rows_affected() > 0);
        for strict in ["PRAGMA ignore_check_constraints = OFF", "PRAGMA foreign_keys = ON"] {
            sqlx::query(strict).execute(&mut *connection).await.unwrap();
        }
    }

    /// Forgets what the cohorts of refusals follow from, as versions before it was kept.
    pub(crate) async fn forget_cohorts(&self) {
        let query = "UPDATE decision SET circumstances = json_remove(circumstances, '$.instance_jkt')";
        assert!(sqlx::query(query).execute(&self.writer).await.unwrap().rows_affected() > 0);
    }

    /// Makes the file one of an older version of this program; returns that version.
    pub(crate) async fn forget_last_migration(&self) -> i64 {
        let query =
            "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
        assert_eq!(sqlx::query(query).execute(&self.writer).await.unwrap().rows_affected(), 1);
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&self.writer).await.unwrap()
    }

    /// Makes the file one of a newer version of this program.
    pub(crate) async fn pretend_newer_migration(&self) {
        let query = "INSERT INTO _sqlx_migrations SELECT version + 1, description, installed_on, success, checksum, \
                     execution_time FROM _sqlx_migrations ORDER BY version DESC LIMIT 1";
        assert_eq!(sqlx::query(query).execute(&self.writer).await.unwrap().rows_affected(), 1);
    }

    /// The version of the schema in a file, which is left as it is.
    pub(crate) async fn schema_version(path: &Path) -> i64 {
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&pool).await.unwrap()
    }

    /// Forgets the evidence of this kind, and that the instance's last evidence was worth more than a warning.
    pub(crate) async fn forget_evidence(&self, id: &InstanceId, kind: &str) {
        let delete = sqlx::query("DELETE FROM evidence WHERE instance = ? AND kind = ?");
        delete.bind(id.as_bytes().as_slice()).bind(kind).execute(&self.writer).await.unwrap();
        let warn = sqlx::query("UPDATE instance SET evidence_tier = ? WHERE id = ?");
        let warn = warn.bind(countersign_core::token::result::Tier::Warning.number());
        warn.bind(id.as_bytes().as_slice()).execute(&self.writer).await.unwrap();
    }

    /// How many decisions with this verdict there are.
    pub(crate) async fn decisions_of(&self, verdict: &str) -> usize {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM decision WHERE verdict = ?");
        usize::try_from(count.bind(verdict).fetch_one(&self.writer).await.unwrap()).unwrap()
    }
}
