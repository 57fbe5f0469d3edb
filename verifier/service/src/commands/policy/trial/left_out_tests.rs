//! What a trial leaves out is counted and named; what refusals belong to; and what `--since` and `--limit` bound.

use countersign_core::time::Timestamp;
use countersign_verifier::policy::{Cohort, Constraint, Enforcement, Enforcements};
use countersign_virtual_device::{Provisioning, VirtualPhone};

use super::tally::Change;
use super::tests::{android, changed, enrolled, ids, iphone, named, try_beside, try_out};
use super::*;
use crate::attestation::Denial;
use crate::store::Actor;
use crate::virtual_world::{World, session, trust};

const OLD_REFUSAL: &str = "the refusal was recorded without what its cohort follows from";

/// A cohort of `percentage` whose members need a remotely provisioned key.
fn cohort(percentage: u8) -> Cohort {
    let mut enforcements = Enforcements::default();
    enforcements.set(Constraint::RemoteProvisioning, None, Enforcement::Require);
    Cohort { name: "strict".to_owned(), percentage, enforcements }
}

/// A policy in force that refuses every Android phone.
fn nobody() -> Trust {
    changed(|app| app.minimum_version_code = Some(5))
}

async fn refused(world: &World, phone: &mut VirtualPhone) -> Denial {
    world.service().trust.store(Arc::new(nobody()));
    world.service().attest(None, &phone.enrol(&world.call(), &session("first"))).await.err().unwrap()
}

#[tokio::test]
async fn a_refused_enrolment_belongs_to_the_cohort_of_its_key() {
    let world = World::new().await;
    let mut members = 0;
    for number in 0..10 {
        let mut phone = VirtualPhone::from(android(number).provisioning(Provisioning::Factory));
        refused(&world, &mut phone).await;
        members += u64::from(cohort(40).contains(phone.instance_key().thumbprint().as_bytes()));
    }
    assert!((1..10).contains(&members));
    let rollout = changed(|app| app.cohorts = vec![cohort(40)]);
    let tally = try_beside(&world, nobody(), rollout, Timestamp::EPOCH).await;
    assert_eq!((tally.refusals.replayed, tally.refusals.newly.admitted), (10, 10 - members));
}

#[tokio::test]
async fn a_refusal_without_its_cohort_is_counted_apart_where_there_are_cohorts() {
    let world = World::new().await;
    let denial = refused(&world, &mut android(1).into()).await;
    let reference = denial.reference.unwrap().to_string();
    world.service().store.forget_cohorts().await;
    let rollout = changed(|app| app.cohorts = vec![cohort(40)]);
    let tally = try_beside(&world, nobody(), rollout, Timestamp::EPOCH).await;
    assert_eq!(tally.refusals.replayed, 0);
    assert_eq!(tally.not_replayed.iter().collect::<Vec<_>>(), [(&OLD_REFUSAL, &1)]);
    let text = printed::text(&tally, Timestamp::EPOCH, 10);
    assert!(text.contains(OLD_REFUSAL) && text.contains(&reference), "{text}");
    let tally = try_beside(&world, nobody(), trust(), Timestamp::EPOCH).await;
    assert_eq!(tally.refusals.newly.admitted, 1, "without cohorts there is nothing that it lacks");
}

#[tokio::test]
async fn what_is_not_replayed_is_counted_and_named_with_its_reason() {
    let world = World::new().await;
    enrolled(&world, iphone(9)).await;
    let banned = enrolled(&world, android(1)).await;
    let bare = enrolled(&world, iphone(2)).await;
    let damaged = enrolled(&world, android(3)).await;
    let unreadable = enrolled(&world, android(4)).await;
    let store = &world.service().store;
    store.ban_instance(&banned, "", &Actor { name: "test", now: world.now() }).await.unwrap();
    store.forget_evidence(&bare, "app-attest").await;
    store.damage("instance", "trust_vector", &damaged).await;
    store.damage("evidence", "circumstances", &unreadable).await;
    let tally = try_out(&world, changed(|app| app.minimum_os_patch = "2199-01".parse().ok())).await;
    assert_eq!((tally.instances.replayed, named(&tally, Change::Refused)), (1, ids([])));
    let counted: Vec<_> = tally.not_replayed.iter().map(|(reason, count)| (*reason, *count)).collect();
    assert_eq!(
        counted,
        [
            ("no evidence of the instance is stored", 1),
            ("the instance is banned", 1),
            ("what is stored of the instance cannot be read", 2),
        ]
    );
    let text = printed::text(&tally, Timestamp::EPOCH, 10);
    for id in [banned, bare, damaged, unreadable] {
        assert!(text.contains(&id.to_base64url()), "{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&printed::json(&tally, Timestamp::EPOCH, 10)).unwrap();
    assert_eq!(json["skipped"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_refusal_that_cannot_be_read_is_counted_and_named_and_the_others_are_replayed() {
    let world = World::new().await;
    let damaged = refused(&world, &mut android(1).into()).await.reference.unwrap().to_string();
    world.service().store.damage_with("UPDATE decision SET circumstances = '[damaged'").await;
    refused(&world, &mut android(2).into()).await;
    world
        .service()
        .store
        .damage_with("UPDATE decision SET reference = 'no' WHERE circumstances <> '[damaged'")
        .await;
    refused(&world, &mut android(3).into()).await;
    let tally = try_beside(&world, nobody(), trust(), Timestamp::EPOCH).await;
    assert_eq!((tally.refusals.replayed, tally.refusals.newly.admitted), (1, 1));
    let reason = "what is stored of the refusal cannot be read";
    assert_eq!(tally.not_replayed.iter().collect::<Vec<_>>(), [(&reason, &2)]);
    let text = printed::text(&tally, Timestamp::EPOCH, 10);
    assert!(text.contains(&damaged) && text.contains("row 2"), "{text}");
}

#[tokio::test]
async fn refusals_before_the_time_asked_for_do_not_count() {
    let world = World::new().await;
    refused(&world, &mut android(1).into()).await;
    world.wait(1000);
    let since = world.now();
    refused(&world, &mut android(2).into()).await;
    let tally = try_beside(&world, nobody(), trust(), since).await;
    assert_eq!((tally.refusals.replayed, tally.refusals.newly.admitted), (1, 1));
    let tally = try_beside(&world, nobody(), trust(), since.plus(1)).await;
    assert_eq!(tally.refusals.replayed, 0);
}

#[tokio::test]
async fn the_limit_bounds_every_list_and_says_how_many_it_leaves_out() {
    let world = World::new().await;
    for number in 0..3 {
        enrolled(&world, android(number).system(130_000 + u64::from(number) * 10_000, 202_601)).await;
        let banned = enrolled(&world, android(10 + number)).await;
        let by = Actor { name: "test", now: world.now() };
        world.service().store.ban_instance(&banned, "", &by).await.unwrap();
    }
    let tally = try_out(&world, changed(|app| app.minimum_os_patch = "2026-04".parse().ok())).await;
    let text = printed::text(&tally, Timestamp::EPOCH, 1);
    assert_eq!(text.matches("and 2 more; --limit shows them").count(), 3, "{text}");
    assert_eq!(printed::text(&tally, Timestamp::EPOCH, 3).matches("more; --limit").count(), 0);
}

#[tokio::test]
async fn a_database_of_an_older_version_is_told_so_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    let store = Store::open(&path).await.unwrap();
    let version = store.forget_last_migration().await;
    store.close().await;
    let refused = Store::open_read_only(&path).await.unwrap_err();
    assert_eq!(refused, StoreError::OlderSchema(path.clone()));
    assert!(refused.to_string().contains("start the service of this version once"), "{refused}");
    assert_eq!(Store::schema_version(&path).await, version);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_not_read_either() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    let store = Store::open(&path).await.unwrap();
    store.pretend_newer_migration().await;
    store.close().await;
    assert_eq!(Store::open_read_only(&path).await.unwrap_err(), StoreError::ForeignSchema(path));
}
