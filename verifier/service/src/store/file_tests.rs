//! The file itself: who may read it, and what is wrong with it.

use super::bench::{Bench, decision, id_of};
use super::*;
use crate::virtual_world::{START as NOW, iphone};

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    assert_eq!(bench.store.had_keys().await, Ok(false));
    bench.store.remember_keys().await.unwrap();
    bench.store.close().await;
    let store = Store::open(&bench.path).await.unwrap();
    assert!(store.instance(&id_of(1)).await.unwrap().is_some());
    assert_eq!(store.had_keys().await, Ok(true));
    assert_eq!(store.check_writable().await, Ok(()));
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_and_its_logs_are_private() {
    use std::os::unix::fs::PermissionsExt;

    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    for name in ["registry.sqlite", "registry.sqlite-wal", "registry.sqlite-shm"] {
        let file = bench.path.with_file_name(name);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let bench = Bench::new().await;
    let path = bench.directory.path().join("notes.txt");
    std::fs::write(&path, "these are notes and not a database; ".repeat(100)).unwrap();
    assert_eq!(Store::open(&path).await.unwrap_err(), StoreError::Damaged(path));
}

#[tokio::test]
async fn a_database_of_another_version_is_left_alone() {
    let bench = Bench::new().await;
    sqlx::query("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1")
        .execute(&bench.store.writer)
        .await
        .unwrap();
    assert_eq!(Store::open(&bench.path).await.unwrap_err(), StoreError::ForeignSchema(bench.path.clone()));
}

#[tokio::test]
async fn a_full_disk_is_named_and_loses_nothing() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&bench.store.writer).await.unwrap();
    let limit = format!("PRAGMA max_page_count = {pages}");
    sqlx::query(sqlx::AssertSqlSafe(limit)).execute(&bench.store.writer).await.unwrap();

    let admission = bench.admitted(&mut iphone().of_somebody_else());
    let large = Decision { claims: serde_json::json!("x".repeat(60_000)), ..decision() };
    let commit = Commit {
        challenge: &bench.challenge(2),
        challenge_expires: NOW.plus(1200),
        request: [2; 32],
        change: InstanceChange::Enrol(id_of(2)),
        admission: &admission,
        sharing: None,
        generation: bench.trust.generation(),
        decision: &large,
        now: NOW,
    };
    let refused = bench.store.commit(&commit).await;
    assert_eq!(refused, Err(CommitError::Store(StoreError::DiskFull(bench.path.clone()))));
    assert!(bench.store.instance(&id_of(1)).await.unwrap().is_some());
    assert_eq!(bench.store.instance(&id_of(2)).await, Ok(None));
    assert_eq!(bench.store.consumed(&bench.challenge(2)).await, Ok(None));
}
