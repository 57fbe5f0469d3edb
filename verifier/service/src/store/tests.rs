//! The rules of the registry: what is kept, what is refused, and that it is all or nothing.

use countersign_verifier::enrolment::RegisteredInstance;
use countersign_verifier::policy::History;

use super::bench::{Bench, counter_of, decision, id_of};
use super::*;
use crate::virtual_world::{CLIENT, START as NOW, iphone};

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
async fn a_damaged_identifier_is_left_out_of_the_deny_list_and_a_damaged_user_is_not() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    bench.enrol(2, 2, &mut iphone().of_somebody_else()).await.unwrap();
    for id in [1, 2] {
        bench.store.set_banned(&id_of(id), true, NOW).await.unwrap();
    }
    bench.store.damage_with("INSERT INTO erased_instance VALUES (x'00', 9999999999)").await;
    bench
        .store
        .damage_with("UPDATE instance SET id = x'0202' WHERE id = x'02020202020202020202020202020202'")
        .await;
    let bans = bench.store.bans(NOW).await.unwrap();
    assert_eq!((bans.instances, bans.unreadable), (vec![id_of(1)], 2));
    // Whom a damaged digest names nobody knows, and he would come through.
    bench.store.damage_with("INSERT INTO subject_ban VALUES (x'00', 'i', 's', '', 0)").await;
    assert_eq!(bench.store.bans(NOW).await.unwrap_err().reason(), "store_damaged_row");
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
async fn the_act_is_written_with_the_change_or_not_at_all() {
    let bench = Bench::new().await;
    bench.enrol(1, 1, &mut iphone()).await.unwrap();
    let by = Actor { name: "ops", now: NOW };
    let acts = async || bench.store.acts(None, 100).await.unwrap().len();
    assert_eq!(bench.store.ban_instance(&id_of(9), "nobody", &by).await, Ok(false));
    assert_eq!(bench.store.unban_instance(&id_of(9), &by).await, Ok(false));
    assert_eq!(bench.store.revoke_admin_key("nobody", &by).await, Ok(false));
    assert_eq!(bench.store.revoke_development_key("nobody", &by, || None).await, Ok(None));
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
