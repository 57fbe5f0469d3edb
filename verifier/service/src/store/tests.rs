//! The rules of the registry: what is kept, what is refused, and that it is all or nothing.

use countersign_core::challenge::Challenge;
use countersign_core::enrolment::DecodedEnrolment;
use countersign_core::token::result::InstanceId;
use countersign_verifier::enrolment::{
    Admission, AuthenticEnrolment, DecodeFailure, PlatformKey, RegisteredInstance, Service as Checks,
    Signals, Verdict,
};
use countersign_verifier::policy::History;
use countersign_virtual_device::{ServiceCall, VirtualPhone};
use tempfile::TempDir;

use super::*;
use crate::keys::ServiceKeys;
use crate::trust::Trust;
use crate::virtual_world::{self, CLIENT, ISSUER, START as NOW, iphone, session};

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

/// A store, and what it takes to be admitted to it.
struct Bench {
    directory: TempDir,
    path: PathBuf,
    store: Store,
    keys: ServiceKeys,
    trust: Trust,
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/registry.sqlite");
        let store = Store::open(&path).await.unwrap();
        let keys = ServiceKeys::open(&directory.path().join("keys"), false, NOW).unwrap();
        Self { directory, path, store, keys, trust: virtual_world::trust() }
    }

    fn challenge(&self, number: u8) -> Challenge {
        let scope = countersign_core::challenge::Scope::Challenge { issuer: ISSUER };
        self.keys.challenges.issue(scope, NOW, &[number; 16])
    }

    fn call(&self, client_id: &'static str) -> ServiceCall<'static> {
        let challenge = self.challenge(255);
        ServiceCall { issuer: ISSUER, client_id, challenge, app_version: "1.0", environment: 0, now: NOW }
    }

    fn admit(&self, envelope: &[u8], registered: Option<&RegisteredInstance>) -> Admission {
        let checks = Checks {
            issuer: ISSUER,
            challenge_keys: &self.keys.challenges,
            anchors: &self.trust.anchors,
            revocation: None,
            development_keys: &|_| None,
            policy: &self.trust.policy,
        };
        let decoded = DecodedEnrolment::decode(envelope).unwrap();
        let authentic = AuthenticEnrolment::verify(decoded, registered, &checks, NOW).unwrap();
        let offline = authentic.verify_evidence(&checks, NOW).unwrap();
        match offline.complete(Err(DecodeFailure::NotAsked), NOW).unwrap().appraise(
            &self.trust.policy,
            Signals::default(),
            NOW,
        ) {
            Verdict::Admitted(admission) => *admission,
            Verdict::Refused(appraisal) => panic!("{appraisal:?}"),
        }
    }

    fn admitted(&self, phone: &mut VirtualPhone) -> Admission {
        self.admit(&phone.enrol(&self.call(CLIENT), &session("s")), None)
    }

    async fn commit(
        &self,
        challenge: u8,
        request: u8,
        change: InstanceChange,
        admission: &Admission,
    ) -> Result<Committed, CommitError> {
        let decision = decision();
        let commit = Commit {
            challenge: &self.challenge(challenge),
            challenge_expires: NOW.plus(1200),
            request: [request; 32],
            change,
            admission,
            sharing: None,
            generation: self.trust.generation(),
            decision: &decision,
            now: NOW,
        };
        self.store.commit(&commit).await
    }

    async fn enrol(&self, challenge: u8, id: u8, phone: &mut VirtualPhone) -> Result<Committed, CommitError> {
        let admission = self.admitted(phone);
        self.commit(challenge, challenge, InstanceChange::Enrol(id_of(id)), &admission).await
    }

    /// Renews as the stored instance was when `phone` was seen last.
    async fn renew(
        &self,
        challenge: u8,
        phone: &mut VirtualPhone,
        registered: &RegisteredInstance,
    ) -> Result<Committed, CommitError> {
        let envelope = phone.renew(&self.call(CLIENT), registered.id, &session("s"));
        let admission = self.admit(&envelope, Some(registered));
        let previous_counter = counter_of(registered);
        let change = InstanceChange::Renew { id: registered.id, previous_counter };
        self.commit(challenge, challenge, change, &admission).await
    }

    async fn registered(&self, id: u8) -> RegisteredInstance {
        self.store.instance(&id_of(id)).await.unwrap().unwrap().registered
    }
}

fn counter_of(registered: &RegisteredInstance) -> Option<u32> {
    match registered.platform_key {
        PlatformKey::AppAttest { counter, .. } => Some(counter),
        _ => None,
    }
}

fn id_of(number: u8) -> InstanceId {
    InstanceId::from_bytes([number; 16])
}

fn decision() -> Decision {
    Decision {
        reference: Reference::from_random([1, 2, 3, 4, 5]),
        time: NOW,
        client_id: Some(CLIENT.to_owned()),
        instance: None,
        verdict: "affirming".to_owned(),
        reasons: vec!["ok".to_owned()],
        claims: serde_json::json!({ "os": "26.0" }),
        appraisal: serde_json::Value::Null,
    }
}

#[tokio::test]
async fn an_enrolled_instance_is_found_by_id_and_by_key() {
    let bench = Bench::new().await;
    let mut phone = iphone();
    assert_eq!(bench.enrol(1, 1, &mut phone).await, Ok(Committed::Done(id_of(1))));
    let by_id = bench.store.instance(&id_of(1)).await.unwrap().unwrap();
    let by_key = bench.store.instance_of_key(CLIENT, &phone.instance_key()).await.unwrap().unwrap();
    assert_eq!(by_id, by_key);
    assert_eq!(by_id.registered.instance_key, phone.instance_key());
    assert_eq!(counter_of(&by_id.registered), Some(0));
    assert_eq!(bench.store.instance_of_key("other", &phone.instance_key()).await, Ok(None));
    assert_eq!(bench.store.instance(&id_of(2)).await, Ok(None));
    let kept = bench.store.decision(decision().reference.as_str()).await.unwrap().unwrap();
    assert_eq!(kept, Decision { instance: Some(id_of(1)), ..decision() });
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_instance() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    let again = bench.enrol(1, 2, &mut iphone()).await;
    let Ok(Committed::Repeated(consumed)) = again else { panic!("{again:?}") };
    assert_eq!((consumed.instance, consumed.verdict.as_str()), (id_of(1), "affirming"));
    assert_eq!(consumed.committed, NOW);
    assert_eq!(bench.store.decisions_of("affirming").await, 1);
}

#[tokio::test]
async fn a_used_challenge_is_refused_to_other_bytes_and_nothing_changes() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    let mut other = iphone().of_somebody_else();
    let admission = bench.admitted(&mut other);
    let refused = bench.commit(1, 99, InstanceChange::Enrol(id_of(2)), &admission).await;
    assert_eq!(refused, Err(CommitError::ChallengeUsed));
    assert_eq!(bench.store.instance_of_key(CLIENT, &other.instance_key()).await, Ok(None));
    assert_eq!(bench.store.decisions_of("affirming").await, 1);
}

#[tokio::test]
async fn enrolling_a_known_key_replaces_what_vouches_for_it_and_keeps_the_id() {
    let bench = Bench::new().await;
    let mut phone = iphone();
    bench.enrol(1, 1, &mut phone).await.unwrap();
    let before = bench.registered(1).await;
    assert_eq!(bench.enrol(2, 2, &mut phone).await, Ok(Committed::Done(id_of(1))));
    let after = bench.registered(1).await;
    assert_ne!(after.platform_key, before.platform_key);
    assert_eq!(bench.store.instance(&id_of(2)).await, Ok(None));
}

#[tokio::test]
async fn what_another_request_saw_meanwhile_stays_seen() {
    let bench = Bench::new().await;
    let mut phone = iphone();
    bench.enrol(1, 1, &mut phone).await.unwrap();
    let registered = bench.registered(1).await;
    let seen = History {
        apple_version: Some("999.0".to_owned()),
        bundle_version: Some("999".to_owned()),
        verified_boot_key: Some("aa".to_owned()),
        ..History::default()
    };
    let set = async || {
        let query = sqlx::query("UPDATE instance SET history = ?").bind(serde_json::json!(seen).to_string());
        query.execute(&bench.store.writer).await.unwrap();
    };
    // Both were admitted before the other one was stored.
    set().await;
    bench.renew(2, &mut phone, &registered).await.unwrap();
    assert_eq!(bench.registered(1).await.history, seen.joined(&registered.history), "a renewal");
    set().await;
    bench.enrol(3, 3, &mut phone).await.unwrap();
    assert_eq!(bench.registered(1).await.history, seen.joined(&registered.history), "an enrolment");
}

#[tokio::test]
async fn a_ban_outlives_a_new_enrolment_of_the_key() {
    let bench = Bench::new().await;
    let mut phone = iphone();
    bench.enrol(1, 1, &mut phone).await.unwrap();
    let before = bench.registered(1).await;
    assert_eq!(bench.store.set_banned(&id_of(1), true, NOW).await, Ok(true));
    assert_eq!(bench.renew(3, &mut phone.clone(), &before).await, Err(CommitError::Banned));
    assert_eq!(bench.enrol(2, 2, &mut phone).await, Err(CommitError::Banned));
    assert_eq!(bench.registered(1).await, before);
    let bans = bench.store.bans(NOW).await.unwrap();
    assert_eq!((bans.sequence, bans.instances), (NOW.as_unix_seconds(), vec![id_of(1)]));
    assert_eq!(bench.store.set_banned(&id_of(9), true, NOW).await, Ok(false));
}

#[tokio::test]
async fn a_restored_backup_does_not_take_the_deny_list_back() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    let sequence = async |store: &Store| store.bans(NOW).await.unwrap().sequence;
    // More changes than seconds pass, and the number rises with each of them all the same.
    let mut given_out = 0;
    for banned in [true, false, true] {
        bench.store.set_banned(&id_of(1), banned, NOW).await.unwrap();
        assert!(sequence(&bench.store).await > given_out);
        given_out = sequence(&bench.store).await;
    }
    let backup = Bench::new().await;
    backup.store.raise_ban_sequence(NOW.plus(60)).await.unwrap();
    assert!(sequence(&backup.store).await > given_out, "at the start already, not only with the next ban");
    let restored = sequence(&backup.store).await;
    backup.store.raise_ban_sequence(NOW.minus(3600)).await.unwrap();
    assert!(sequence(&backup.store).await > restored, "nor does a clock that goes back");
}

#[tokio::test]
async fn an_assertion_counter_only_rises() {
    let bench = Bench::new().await;
    let mut phone = iphone();
    bench.enrol(1, 1, &mut phone).await.unwrap();
    let enrolled = bench.registered(1).await;
    let copy = phone.clone();
    assert_eq!(bench.renew(2, &mut phone, &enrolled).await, Ok(Committed::Done(id_of(1))));
    assert_eq!(counter_of(&bench.registered(1).await), Some(1));
    // Verified against the registry as it was before; the transaction sees what it is now.
    let refused = bench.renew(3, &mut copy.clone(), &enrolled).await;
    assert_eq!(refused, Err(CommitError::CounterNotAbove));
    assert_eq!(bench.store.consumed(&bench.challenge(3)).await, Ok(None), "a refusal uses nothing up");
}

#[tokio::test]
async fn of_assertions_that_race_with_one_counter_only_one_passes() {
    let bench = Bench::new().await;
    let mut phone = iphone();
    bench.enrol(1, 1, &mut phone).await.unwrap();
    let enrolled = bench.registered(1).await;
    let (mut a, mut b, mut c) = (phone.clone(), phone.clone(), phone);
    let (a, b, c) = tokio::join!(
        bench.renew(2, &mut a, &enrolled),
        bench.renew(3, &mut b, &enrolled),
        bench.renew(4, &mut c, &enrolled)
    );
    assert_eq!([a, b, c].iter().filter(|committed| committed.is_ok()).count(), 1);
}

#[tokio::test]
async fn an_instance_that_is_gone_is_not_renewed() {
    let bench = Bench::new().await;
    let mut phone = iphone();
    bench.enrol(1, 1, &mut phone).await.unwrap();
    let enrolled = bench.registered(1).await;
    let gone = RegisteredInstance { id: id_of(2), ..enrolled };
    assert_eq!(bench.renew(3, &mut phone, &gone).await, Err(CommitError::UnknownInstance));
}

#[tokio::test]
async fn pruning_forgets_what_is_over_and_nothing_else() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    assert_eq!(bench.store.prune(NOW.plus(1200), NOW).await, Ok(0));
    assert_eq!(bench.store.prune(NOW.plus(1201), NOW.plus(1)).await, Ok(2));
    assert_eq!(bench.store.consumed(&bench.challenge(1)).await, Ok(None));
    assert!(bench.store.instance(&id_of(1)).await.unwrap().is_some());
}

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

/// How many rows a table has.
async fn rows(store: &Store, count: &'static str) -> i64 {
    sqlx::query_scalar(count).fetch_one(&store.writer).await.unwrap()
}

#[tokio::test]
async fn what_is_not_used_for_long_is_erased_and_bans_stay() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    bench.enrol(2, 2, &mut iphone().of_somebody_else()).await.unwrap();
    bench.store.set_banned(&id_of(2), true, NOW).await.unwrap();
    assert_eq!(bench.store.erase_unused(NOW).await, Ok(0), "used at this very second");
    assert_eq!(bench.store.erase_unused(NOW.plus(1)).await, Ok(1));
    assert_eq!(bench.store.instance(&id_of(1)).await, Ok(None));
    assert!(bench.store.instance(&id_of(2)).await.unwrap().unwrap().banned);
    let linked = "SELECT count(*) FROM decision WHERE instance IS NOT NULL OR claims <> 'null'";
    assert_eq!(rows(&bench.store, linked).await, 1, "of the banned one");
    let denied = "SELECT count(*) FROM erased_instance";
    assert_eq!(rows(&bench.store, denied).await, 0, "its results expired long ago");
}

#[tokio::test]
async fn the_evidence_of_refusals_is_erased_with_the_instance() {
    let bench = Bench::new().await;
    let mut phone = iphone();
    bench.enrol(1, 1, &mut phone).await.unwrap();
    let recorded = bench.admitted(&mut phone).recorded_evidence().to_vec();
    let refused = RefusedEvidence { recorded, circumstances: RecordedCircumstances::default() };
    let decision = Decision { instance: Some(id_of(1)), verdict: "refused".to_owned(), ..decision() };
    bench.store.record_with_evidence(&decision, &refused).await.unwrap();
    let kept = "SELECT count(*) FROM decision WHERE evidence IS NOT NULL OR circumstances IS NOT NULL";
    assert_eq!(rows(&bench.store, kept).await, 1);
    bench.store.erase_instance(&id_of(1), &Actor { name: "ops", now: NOW }).await.unwrap();
    assert_eq!(rows(&bench.store, kept).await, 0);
}

#[tokio::test]
async fn more_than_one_part_of_unused_instances_is_erased() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    let copies = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 450) \
                  INSERT INTO instance (id, client_id, instance_key, platform_key, protection, vouched_by, \
                  evidence_time, evidence_tier, app_version, created, updated) SELECT randomblob(16), 'copy' || i, \
                  instance_key, 'android-key', protection, vouched_by, evidence_time, evidence_tier, app_version, \
                  created, updated FROM instance, n";
    sqlx::query(copies).execute(&bench.store.writer).await.unwrap();
    assert_eq!(bench.store.erase_unused(NOW.plus(1)).await, Ok(451));
}

#[tokio::test]
async fn an_erased_instance_is_denied_until_its_last_result_has_expired() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    let by = Actor { name: "ops", now: NOW };
    let before = bench.store.bans(NOW).await.unwrap().sequence;
    assert_eq!(bench.store.erase_instance(&id_of(9), &by).await, Ok(false));
    assert_eq!(bench.store.bans(NOW).await.unwrap().sequence, before, "nothing happened");
    assert_eq!(bench.store.erase_instance(&id_of(1), &by).await, Ok(true));
    let denied = async |after| bench.store.bans(NOW.plus(after)).await.unwrap();
    assert!(denied(0).await.sequence > before);
    assert_eq!(denied(ERASED_DENIED_FOR - 1).await.instances, [id_of(1)]);
    assert!(denied(ERASED_DENIED_FOR).await.instances.is_empty());
    bench.store.prune(NOW.plus(ERASED_DENIED_FOR + 1), NOW).await.unwrap();
    assert_eq!(rows(&bench.store, "SELECT count(*) FROM erased_instance").await, 0);
}

#[tokio::test]
async fn the_act_is_written_with_the_change_or_not_at_all() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    let by = Actor { name: "ops", now: NOW };
    let acts = async || bench.store.acts(None, 100).await.unwrap().len();
    assert_eq!(bench.store.ban_instance(&id_of(9), "nobody", &by).await, Ok(false));
    assert_eq!(bench.store.unban_instance(&id_of(9), &by).await, Ok(false));
    assert_eq!(bench.store.revoke_admin_key("nobody", &by).await, Ok(false));
    assert_eq!(bench.store.revoke_development_key("nobody", &by).await, Ok(false));
    assert_eq!(acts().await, 0);
    assert_eq!(bench.store.add_admin_key("a", &[1; 32], None, &by).await, Ok(()));
    assert_eq!(bench.store.add_admin_key("a", &[2; 32], None, &by).await, Err(ChangeError::Taken));
    assert_eq!(bench.store.add_admin_key("b", &[1; 32], None, &by).await, Err(ChangeError::Taken));
    assert_eq!(acts().await, 1);
    // Where the trail cannot be written, nothing is changed.
    sqlx::query("DROP TABLE administrative_act").execute(&bench.store.writer).await.unwrap();
    assert!(bench.store.ban_instance(&id_of(1), "x", &by).await.is_err());
    assert!(bench.store.erase_instance(&id_of(1), &by).await.is_err());
    assert!(bench.store.ban_subject("i", "s", "x", &by).await.is_err());
    let record = bench.store.instance(&id_of(1)).await.unwrap().unwrap();
    assert!(!record.banned);
    assert!(bench.store.bans(NOW).await.unwrap().subjects.is_empty());
}

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
