//! The rules of the registry: what is kept, what is refused, and that it is all or nothing.

use std::path::PathBuf;

use countersign_core::challenge::{Challenge, MacKey, MacKeyRing, Scope};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::{InstanceId, Protection};
use tempfile::TempDir;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

struct Bench {
    _directory: TempDir,
    path: PathBuf,
    store: Store,
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/registry.sqlite");
        let store = Store::open(&path).await.unwrap();
        Self { _directory: directory, path, store }
    }

    async fn commit(
        &self,
        challenge: u8,
        request: u8,
        change: InstanceChange<'_>,
    ) -> Result<Committed, CommitError> {
        let decision = decision();
        self.store
            .commit(&Commit {
                challenge: &challenge_of(challenge),
                challenge_expires: NOW.plus(1200),
                request: [request; 32],
                change,
                verdict: &format!("verdict of {request}"),
                decision: &decision,
                now: NOW,
            })
            .await
    }

    async fn enrol(&self, challenge: u8, id: u8, evidenced: &Evidenced) -> Result<Committed, CommitError> {
        let change = InstanceChange::Enrol { id: id_of(id), client_id: "app", evidenced };
        self.commit(challenge, challenge, change).await
    }

    async fn renew(&self, challenge: u8, id: u8, counter: Option<u32>) -> Result<Committed, CommitError> {
        let change = InstanceChange::Renew {
            id: id_of(id),
            evidenced: None,
            assertion_counter: counter,
            app_version: "2.0",
        };
        self.commit(challenge, challenge, change).await
    }

    async fn decisions(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM decision").fetch_one(&self.store.reader).await.unwrap()
    }
}

fn challenge_of(number: u8) -> Challenge {
    let ring = MacKeyRing::new(MacKey::new(1, [1; 32]), vec![]);
    ring.issue(Scope::Challenge { issuer: "https://attest.example" }, NOW, &[number; 16])
}

fn id_of(number: u8) -> InstanceId {
    InstanceId::from_bytes([number; 16])
}

fn key_of(number: u8) -> PublicKey {
    let key = p256::ecdsa::SigningKey::from_slice(&[number; 32]).unwrap();
    PublicKey::from_p256_sec1(key.verifying_key().to_sec1_point(false).as_bytes()).unwrap()
}

fn evidenced(key: u8, counter: u32) -> Evidenced {
    Evidenced {
        platform: "apple".to_owned(),
        instance_key: key_of(key),
        app_attest: Some((key_of(100), counter)),
        protection: Protection::SecureEnclave,
        evidence: StoredEvidence { bytes: vec![1, 2, 3], binding: [4; 32], time: NOW },
        app_version: "1.0".to_owned(),
    }
}

fn decision() -> Decision {
    Decision {
        reference: Reference::from_random([1, 2, 3, 4, 5]),
        time: NOW,
        client_id: Some("app".to_owned()),
        instance: None,
        verdict: "affirming".to_owned(),
        reasons: vec!["ok".to_owned()],
        claims: serde_json::json!({ "os": "17.0" }),
    }
}

#[tokio::test]
async fn an_enrolled_instance_is_found_by_id_and_by_key() {
    let bench = Bench::new().await;
    assert_eq!(bench.enrol(1, 1, &evidenced(7, 0)).await, Ok(Committed::Done(id_of(1))));
    let by_id = bench.store.instance(&id_of(1)).await.unwrap().unwrap();
    let by_key = bench.store.instance_of_key("app", &key_of(7)).await.unwrap().unwrap();
    assert_eq!(by_id, by_key);
    assert_eq!(by_id.evidenced, evidenced(7, 0));
    assert_eq!(bench.store.instance_of_key("other", &key_of(7)).await, Ok(None));
    assert_eq!(bench.store.instance(&id_of(2)).await, Ok(None));
    assert_eq!(bench.decisions().await, 1);
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_instance_and_verdict() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &evidenced(7, 0)).await.unwrap();
    let again = bench.enrol(1, 2, &evidenced(7, 0)).await;
    let Ok(Committed::Repeated(consumed)) = again else { panic!("{again:?}") };
    assert_eq!((consumed.instance, consumed.verdict.as_str()), (id_of(1), "verdict of 1"));
    assert_eq!(bench.decisions().await, 1);
}

#[tokio::test]
async fn a_used_challenge_is_refused_to_other_bytes_and_nothing_changes() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &evidenced(7, 0)).await.unwrap();
    let evidence = evidenced(8, 0);
    let change = InstanceChange::Enrol { id: id_of(2), client_id: "app", evidenced: &evidence };
    assert_eq!(bench.commit(1, 99, change).await, Err(CommitError::ChallengeUsed));
    assert_eq!(bench.store.instance_of_key("app", &key_of(8)).await, Ok(None));
    assert_eq!(bench.decisions().await, 1);
}

#[tokio::test]
async fn enrolling_a_known_key_replaces_the_evidence_and_keeps_the_id() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &evidenced(7, 5)).await.unwrap();
    let mut fresh = evidenced(7, 0);
    fresh.app_attest = Some((key_of(101), 0));
    fresh.evidence.bytes = vec![9];
    assert_eq!(bench.enrol(2, 2, &fresh).await, Ok(Committed::Done(id_of(1))));
    let record = bench.store.instance(&id_of(1)).await.unwrap().unwrap();
    assert_eq!(record.evidenced, fresh);
    assert_eq!(bench.store.instance(&id_of(2)).await, Ok(None));
}

#[tokio::test]
async fn another_client_gets_another_instance_for_the_same_key() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &evidenced(7, 0)).await.unwrap();
    let evidence = evidenced(7, 0);
    let change = InstanceChange::Enrol { id: id_of(2), client_id: "other", evidenced: &evidence };
    assert_eq!(bench.commit(2, 2, change).await, Ok(Committed::Done(id_of(2))));
}

#[tokio::test]
async fn a_ban_outlives_a_new_enrolment_of_the_key() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &evidenced(7, 0)).await.unwrap();
    assert_eq!(bench.store.set_banned(&id_of(1), true).await, Ok(true));
    let mut fresh = evidenced(7, 0);
    fresh.evidence.bytes = vec![9];
    assert_eq!(bench.enrol(2, 2, &fresh).await, Err(CommitError::Banned));
    assert_eq!(bench.renew(3, 1, None).await, Err(CommitError::Banned));
    let record = bench.store.instance(&id_of(1)).await.unwrap().unwrap();
    assert!(record.banned);
    assert_eq!(record.evidenced, evidenced(7, 0));
    assert_eq!(bench.store.banned().await, Ok(vec![id_of(1)]));
}

#[tokio::test]
async fn an_assertion_counter_only_rises() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &evidenced(7, 3)).await.unwrap();
    assert_eq!(bench.renew(2, 1, Some(3)).await, Err(CommitError::CounterNotAbove));
    assert_eq!(bench.renew(3, 1, Some(4)).await, Ok(Committed::Done(id_of(1))));
    assert_eq!(bench.renew(4, 1, Some(4)).await, Err(CommitError::CounterNotAbove));
    let record = bench.store.instance(&id_of(1)).await.unwrap().unwrap();
    assert_eq!(record.evidenced.app_attest, Some((key_of(100), 4)));
    assert_eq!(record.evidenced.app_version, "2.0");
}

#[tokio::test]
async fn of_assertions_that_race_with_one_counter_only_one_passes() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &evidenced(7, 0)).await.unwrap();
    let (first, second, third) =
        tokio::join!(bench.renew(2, 1, Some(1)), bench.renew(3, 1, Some(1)), bench.renew(4, 1, Some(1)));
    let passed = [first, second, third].into_iter().filter(Result::is_ok).count();
    assert_eq!(passed, 1);
}

#[tokio::test]
async fn a_refused_renewal_leaves_its_challenge_unused() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &evidenced(7, 3)).await.unwrap();
    bench.renew(2, 1, Some(1)).await.unwrap_err();
    assert_eq!(bench.store.consumed(&challenge_of(2)).await, Ok(None));
    assert_eq!(bench.renew(2, 1, Some(4)).await, Ok(Committed::Done(id_of(1))));
}

#[tokio::test]
async fn an_instance_without_app_attest_takes_no_assertion() {
    let bench = Bench::new().await;
    let android = Evidenced { app_attest: None, platform: "android".to_owned(), ..evidenced(7, 0) };
    bench.enrol(1, 1, &android).await.unwrap();
    assert_eq!(bench.renew(2, 1, Some(1)).await, Err(CommitError::CounterNotAbove));
    assert_eq!(bench.renew(3, 2, None).await, Err(CommitError::UnknownInstance));
}

#[tokio::test]
async fn pruning_forgets_what_is_over_and_nothing_else() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &evidenced(7, 0)).await.unwrap();
    assert_eq!(bench.store.prune(NOW.plus(1200), NOW).await, Ok(0));
    assert_eq!(bench.store.prune(NOW.plus(1201), NOW.plus(1)).await, Ok(2));
    assert_eq!(bench.store.consumed(&challenge_of(1)).await, Ok(None));
    assert!(bench.store.instance(&id_of(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &evidenced(7, 0)).await.unwrap();
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
    bench.enrol(1, 1, &evidenced(7, 0)).await.unwrap();
    for name in ["registry.sqlite", "registry.sqlite-wal", "registry.sqlite-shm"] {
        let file = bench.path.with_file_name(name);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(
        &path,
        "these are notes and not a database, and they are long enough to be looked at".repeat(20),
    )
    .unwrap();
    assert_eq!(Store::open(&path).await.unwrap_err(), StoreError::Damaged(path));
}

#[tokio::test]
async fn a_database_of_another_version_is_left_alone() {
    let bench = Bench::new().await;
    sqlx::query("UPDATE _sqlx_migrations SET version = 9999").execute(&bench.store.writer).await.unwrap();
    assert_eq!(Store::open(&bench.path).await.unwrap_err(), StoreError::ForeignSchema(bench.path.clone()));
}

#[tokio::test]
async fn a_full_disk_is_named_and_loses_nothing() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &evidenced(7, 0)).await.unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&bench.store.writer).await.unwrap();
    let limit = format!("PRAGMA max_page_count = {pages}");
    sqlx::query(sqlx::AssertSqlSafe(limit)).execute(&bench.store.writer).await.unwrap();

    let mut large = evidenced(8, 0);
    large.evidence.bytes = vec![0; 60_000];
    let refused = bench.enrol(2, 2, &large).await;
    assert_eq!(refused, Err(CommitError::Store(StoreError::DiskFull(bench.path.clone()))));
    assert!(bench.store.instance(&id_of(1)).await.unwrap().is_some());
    assert_eq!(bench.store.instance(&id_of(2)).await, Ok(None));
    assert_eq!(bench.store.consumed(&challenge_of(2)).await, Ok(None));
}
