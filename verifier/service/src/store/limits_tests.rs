//! How many there may be of everything, and what happens beyond.

use super::bench::{Bench, id_of};
use super::*;
use crate::virtual_world::{ISSUER, START as NOW, iphone};

#[tokio::test]
async fn as_many_keys_and_bans_as_there_may_be() {
    let bench = Bench::new().await;
    let by = Actor { name: "ops", now: NOW };
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) \
                INSERT INTO subject_ban SELECT randomblob(32), 'i', 's' || i, '', 0 FROM n";
    sqlx::query(fill).execute(&bench.store.writer).await.unwrap();
    assert_eq!(bench.store.ban_subject("i", "one more", "", &by).await, Err(ChangeError::Full));
    for number in 0..MAX_ADMIN_KEYS {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        bench.store.add_admin_key(&format!("key-{number}"), &digest, None, &by).await.unwrap();
    }
    assert_eq!(bench.store.add_admin_key("one-more", &[9; 32], None, &by).await, Err(ChangeError::Full));
}

#[tokio::test]
async fn the_longest_deny_list_that_there_can_be_is_taken_by_edges() {
    use countersign_verifier::check::deny_list::{DenyList, MAX_DENY_LIST, SubjectDigest};

    let number = |number: i64| u64::try_from(number).unwrap();
    let id = |number: u64| InstanceId::from_bytes((u128::from(number) << 64).to_be_bytes());
    let digest = |number: u64| SubjectDigest::of("i", &number.to_string());
    let list = DenyList {
        issuer: ISSUER.to_owned(),
        sequence: u64::MAX,
        issued_at: NOW,
        expires_at: NOW.plus(600),
        instances: (0..number(MAX_INSTANCE_BANS + MAX_ERASED + MAX_WITHDRAWN_LISTED)).map(id).collect(),
        key_ids: Default::default(),
        subjects: (0..number(MAX_SUBJECT_BANS)).map(digest).collect(),
    };
    let bytes = list.to_unsigned("01234567").with_signature(&[0; 64]);
    assert!(bytes.len() <= MAX_DENY_LIST, "{}", bytes.len());
}

#[tokio::test]
async fn a_mass_withdrawal_leaves_the_deny_list_short_enough_and_names_the_latest() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    bench.enrol(2, 2, &mut iphone().of_somebody_else()).await.unwrap();
    let columns: String = sqlx::query_scalar(
        "SELECT group_concat(name) FROM pragma_table_info('instance') WHERE name NOT IN ('id', 'instance_key', 'withdrawn_at')",
    )
    .fetch_one(&bench.store.writer)
    .await
    .unwrap();
    let fill = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MAX_WITHDRAWN_LISTED}) \
         INSERT INTO instance (id, instance_key, withdrawn_at, {columns}) \
         SELECT randomblob(16), randomblob(65), ?1, {columns} FROM n, instance WHERE id = ?2",
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(fill)).bind(seconds(NOW)).bind(id_of(1).as_bytes().to_vec());
    query.execute(&bench.store.writer).await.unwrap();
    for (number, at) in [(1, NOW.minus(1)), (2, NOW.plus(1))] {
        let query = sqlx::query("UPDATE instance SET withdrawn_at = ? WHERE id = ?");
        let query = query.bind(seconds(at)).bind(id_of(number).as_bytes().to_vec());
        query.execute(&bench.store.writer).await.unwrap();
    }
    let bans = bench.store.bans(NOW.plus(1)).await.unwrap();
    assert_eq!((bans.instances.len() as i64, bans.left_out), (MAX_WITHDRAWN_LISTED, 2));
    assert!(bans.instances.contains(&id_of(2)), "the latest is named");
    assert!(!bans.instances.contains(&id_of(1)), "the earliest gives way");
}

#[tokio::test]
async fn nobody_is_banned_or_erased_whom_the_deny_list_has_no_room_for() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    let by = Actor { name: "ops", now: NOW };
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) \
                INSERT INTO erased_instance SELECT randomblob(16), ? FROM n";
    sqlx::query(fill).bind(seconds(NOW.plus(1))).execute(&bench.store.writer).await.unwrap();
    assert_eq!(bench.store.erase_instance(&id_of(1), &by).await, Err(ChangeError::Full));
    assert!(bench.store.instance(&id_of(1)).await.unwrap().is_some(), "nothing was erased");
    let later = Actor { now: NOW.plus(1), ..by };
    assert_eq!(bench.store.erase_instance(&id_of(1), &later).await, Ok(true));
}

#[tokio::test]
async fn a_second_ban_of_a_user_replaces_the_reason_also_when_the_list_is_full() {
    let bench = Bench::new().await;
    let by = Actor { name: "ops", now: NOW };
    bench.store.ban_subject("i", "s", "first", &by).await.unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 49999) \
                INSERT INTO subject_ban SELECT randomblob(32), 'i', 't' || i, '', 0 FROM n";
    sqlx::query(fill).execute(&bench.store.writer).await.unwrap();
    bench.store.ban_subject("i", "s", "second", &by).await.unwrap();
    let bans = bench.store.bans(NOW).await.unwrap();
    assert_eq!(bans.subjects.len(), 50_000);
}
