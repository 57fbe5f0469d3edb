//! Policies tried on a running service with a few dozen phones: exactly those that a change hits are named.

use std::collections::BTreeSet;

use countersign_core::environment::{Environment, Signal};
use countersign_core::time::Timestamp;
use countersign_core::token::result::InstanceId;
use countersign_verifier::policy::{
    AppPolicy, AppraisalPolicy, Cohort, Constraint, Danger, Enforcement, Enforcements,
};
use countersign_virtual_device::{
    AppleAuthority, GoogleAuthority, Provisioning, Seed, ServiceCall, VirtualAndroid, VirtualIphone,
    VirtualPhone,
};

use super::tally::{Change, Changes, Tiers};
use super::*;
use crate::store::Actor;
use crate::virtual_world::{CLIENT, World, seed, session, trust};

/// Phone number `number` of its kind, with a key of its own.
pub(super) fn android(number: u32) -> VirtualAndroid {
    VirtualAndroid::new(&GoogleAuthority::from_seed(&seed()), &Seed::from_text(&format!("android {number}")))
        .app("com.example.app", 1, [8; 32])
}

pub(super) fn iphone(number: u32) -> VirtualPhone {
    VirtualIphone::new(&AppleAuthority::from_seed(&seed()), &Seed::from_text(&format!("iphone {number}")))
        .app("ABCDE12345", "com.example.app")
        .into()
}

/// The usual policy with another rule, under another name.
pub(super) fn changed(change: impl FnOnce(&mut AppPolicy)) -> Trust {
    let usual = trust();
    let mut app = usual.policy.app(CLIENT).unwrap().clone();
    change(&mut app);
    let policy = AppraisalPolicy::new("test/2").with_app(app).with_danger(usual.policy.danger().clone());
    let mut trust = Trust::new(policy).unwrap();
    trust.revocation = usual.revocation;
    trust
}

/// Enrols a phone that says this of itself.
async fn enrol(
    world: &World,
    phone: &mut VirtualPhone,
    app_version: &str,
    environment: Environment,
) -> InstanceId {
    let call = ServiceCall { app_version, environment: environment.0, ..world.call() };
    let answer = world.service().attest(None, &phone.enrol(&call, &session("first"))).await.unwrap();
    InstanceId::from_base64url(&answer.instance_id).unwrap()
}

pub(super) async fn enrolled(world: &World, phone: impl Into<VirtualPhone>) -> InstanceId {
    enrol(world, &mut phone.into(), "1.0", Environment::default()).await
}

/// Tries a policy beside the usual one, on the file of the running service.
pub(super) async fn try_out(world: &World, new: Trust) -> Tally {
    try_beside(world, trust(), new, Timestamp::EPOCH).await
}

pub(super) async fn try_beside(world: &World, present: Trust, new: Trust, since: Timestamp) -> Tally {
    let store = Store::open_read_only(&world.service().settings.store.path).await.unwrap();
    let tally = replay(&store, present, new, since, world.now()).await.unwrap();
    store.close().await;
    tally
}

/// The instances that would change so.
pub(super) fn named(tally: &Tally, change: Change) -> BTreeSet<String> {
    let named = tally.named.iter().filter(|named| named.newly == change);
    named.filter_map(|named| named.instance.clone()).collect()
}

pub(super) fn ids(instances: impl IntoIterator<Item = InstanceId>) -> BTreeSet<String> {
    instances.into_iter().map(|id| id.to_base64url()).collect()
}

#[tokio::test]
async fn a_stricter_policy_names_exactly_the_affected_ones() {
    let world = World::new().await;
    let mut old = Vec::new();
    for number in 0..24 {
        let month = 202_601 + u64::from(number % 8);
        let id =
            enrolled(&world, android(number).system(130_000 + u64::from(number % 3) * 10_000, month)).await;
        if month < 202_604 {
            old.push(id);
        }
    }
    for number in 0..6 {
        enrolled(&world, iphone(number)).await;
    }
    let tally = try_out(&world, changed(|app| app.minimum_os_patch = "2026-04".parse().ok())).await;
    assert_eq!(old.len(), 9);
    assert_eq!(named(&tally, Change::Refused), ids(old));
    assert_eq!(tally.instances.replayed, 30);
    assert_eq!(tally.instances.present, Tiers { affirming: 30, ..Tiers::default() });
    assert_eq!(tally.instances.new, Tiers { affirming: 21, refused: 9, ..Tiers::default() });
    let nine = Changes { refused: 9, ..Changes::default() };
    assert_eq!(tally.constraints.iter().collect::<Vec<_>>(), [(&"os-patch-level", &nine)]);
    assert_eq!(
        (tally.tables.platform["Android"].newly, tally.tables.platform["Apple"].newly),
        (nine, Changes::default())
    );
    let refused = |system: &str| tally.tables.system[system].newly.refused;
    assert_eq!(refused("Android 13") + refused("Android 14") + refused("Android 15"), 9);
    assert!((tally.newly_refused_percent() - 30.0).abs() < 0.01);
}

#[tokio::test]
async fn the_same_policy_changes_nobody() {
    let world = World::new().await;
    enrolled(&world, android(1)).await;
    enrolled(&world, iphone(1)).await;
    let tally = try_out(&world, trust()).await;
    assert_eq!((tally.instances.replayed, tally.instances.newly), (2, Changes::default()));
    assert!(tally.named.is_empty() && tally.not_replayed.is_empty());
}

#[tokio::test]
async fn what_a_device_said_of_itself_counts_as_it_said_it_last() {
    let world = World::new().await;
    let hooked = Environment::default().with(Signal::Hooks);
    let one = enrol(&world, &mut android(1).into(), "2.0", hooked).await;
    let two = enrol(&world, &mut iphone(2), "1.9", Environment::default()).await;
    enrol(&world, &mut iphone(3), "2.1", Environment::default()).await;
    let tally = try_out(&world, changed(|app| app.refused_signals = hooked)).await;
    assert_eq!(named(&tally, Change::Refused), ids([one]));
    let tally = try_out(&world, changed(|app| app.minimum_app_version = Some("2.0".to_owned()))).await;
    assert_eq!(named(&tally, Change::Refused), ids([two]));
    assert_eq!(tally.tables.app_version["1.9"].newly.refused, 1);
}

#[tokio::test]
async fn a_warning_is_no_refusal() {
    let world = World::new().await;
    let factory = enrolled(&world, android(1).provisioning(Provisioning::Factory)).await;
    enrolled(&world, android(2)).await;
    let warns = changed(|app| app.enforcements.set(Constraint::RemoteProvisioning, None, Enforcement::Warn));
    let tally = try_out(&world, warns).await;
    assert_eq!(
        (named(&tally, Change::Warned), named(&tally, Change::Refused)),
        (ids([factory]), BTreeSet::new())
    );
    assert_eq!(tally.constraints["remote-provisioning"].warned, 1);
}

#[tokio::test]
async fn a_cohort_hits_those_that_belong_to_it() {
    let world = World::new().await;
    let mut enforcements = Enforcements::default();
    enforcements.set(Constraint::RemoteProvisioning, None, Enforcement::Require);
    let cohort = Cohort { name: "strict".to_owned(), percentage: 40, enforcements };
    let mut members = Vec::new();
    for number in 0..20 {
        let phone = android(number).provisioning(Provisioning::Factory);
        let id = enrolled(&world, phone).await;
        let record = world.service().store.instance(&id).await.unwrap().unwrap();
        if cohort.contains(record.registered.instance_key.thumbprint().as_bytes()) {
            members.push(id);
        }
    }
    assert!((1..20).contains(&members.len()));
    let tally = try_out(&world, changed(|app| app.cohorts = vec![cohort])).await;
    assert_eq!(named(&tally, Change::Refused), ids(members));
}

#[tokio::test]
async fn a_refusal_that_would_not_be_any_is_told_by_its_reference() {
    let world = World::new().await;
    world.service().trust.store(Arc::new(changed(|app| app.minimum_version_code = Some(5))));
    let envelope = VirtualPhone::from(android(1)).enrol(&world.call(), &session("first"));
    let denial = world.service().attest(None, &envelope).await.err().unwrap();
    let strict = || changed(|app| app.minimum_version_code = Some(5));
    let tally = try_beside(&world, strict(), trust(), Timestamp::EPOCH).await;
    assert_eq!((tally.instances.replayed, tally.refusals.replayed), (0, 1));
    assert_eq!(tally.refusals.newly.admitted, 1);
    assert_eq!(
        tally.named[0].reference.as_deref(),
        denial.reference.as_ref().map(|reference| reference.as_str())
    );
    assert_eq!(tally.named[0].reasons, ["app-version"]);
    let tally = try_beside(&world, strict(), strict(), Timestamp::EPOCH).await;
    assert!(tally.named.is_empty());
}

#[tokio::test]
async fn an_app_that_is_no_longer_observed_shows_whom_that_hits() {
    let world = World::new().await;
    let observed = || changed(|app| (app.observe, app.minimum_os_patch) = (true, "2026-04".parse().ok()));
    world.service().trust.store(Arc::new(observed()));
    let old = enrolled(&world, android(1).system(140_000, 202_601)).await;
    enrolled(&world, android(2).system(140_000, 202_608)).await;
    let enforced = changed(|app| app.minimum_os_patch = "2026-04".parse().ok());
    let tally = try_beside(&world, observed(), enforced, Timestamp::EPOCH).await;
    assert_eq!(named(&tally, Change::Refused), ids([old]));
    assert_eq!(tally.instances.present, Tiers { warning: 2, ..Tiers::default() });
    assert_eq!(tally.instances.newly.affirmed, 1);
}

#[tokio::test]
async fn without_the_root_everybody_under_it_would_be_refused() {
    let world = World::new().await;
    enrolled(&world, android(1)).await;
    let usual = trust().policy;
    let policy = AppraisalPolicy::new("test/2")
        .with_app(usual.app(CLIENT).unwrap().clone())
        .with_danger(Danger::default());
    let tally = try_out(&world, Trust::new(policy).unwrap()).await;
    assert_eq!(tally.instances.newly.refused, 1);
    assert_eq!(tally.constraints.keys().copied().collect::<Vec<_>>(), ["chain_unknown_root"]);
    assert_eq!(tally.tables.platform["Android"].newly.refused, 1);
}

#[tokio::test]
async fn an_app_that_the_new_policy_forgets_is_refused_as_a_client() {
    let world = World::new().await;
    enrolled(&world, iphone(1)).await;
    let policy = AppraisalPolicy::new("test/2").with_danger(trust().policy.danger().clone());
    let tally = try_out(&world, Trust::new(policy).unwrap()).await;
    assert_eq!(tally.constraints.keys().copied().collect::<Vec<_>>(), ["client"]);
}

#[tokio::test]
async fn who_came_before_is_not_replayed_and_who_is_banned_is_counted_apart() {
    let world = World::new().await;
    enrolled(&world, android(1)).await;
    world.wait(1000);
    let since = world.now();
    enrolled(&world, android(2)).await;
    let banned = enrolled(&world, android(3)).await;
    let by = Actor { name: "test", now: world.now() };
    world.service().store.ban_instance(&banned, "", &by).await.unwrap();
    let tally = try_beside(&world, trust(), trust(), since).await;
    assert_eq!(tally.instances.replayed, 1);
    assert_eq!(tally.not_replayed.iter().collect::<Vec<_>>(), [(&"the instance is banned", &1)]);
}

#[tokio::test]
async fn nothing_can_be_written_through_the_database_that_is_read() {
    let world = World::new().await;
    let store = Store::open_read_only(&world.service().settings.store.path).await.unwrap();
    assert!(store.check_writable().await.is_err());
    assert!(store.remember_keys().await.is_err());
    assert!(world.service().store.check_writable().await.is_ok());
    store.close().await;
}

#[tokio::test]
async fn a_database_that_is_not_there_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    assert!(Store::open_read_only(&path).await.is_err());
    assert!(!path.exists());
}

#[tokio::test]
async fn the_text_tells_totals_tables_and_devices() {
    let world = World::new().await;
    let old = enrolled(&world, android(1).system(140_000, 202_601)).await;
    enrolled(&world, iphone(1)).await;
    let tally = try_out(&world, changed(|app| app.minimum_os_patch = "2026-04".parse().ok())).await;
    let text = printed::text(&tally, Timestamp::EPOCH, 10);
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for expected in [
        "Policy test/2 instead of test/1: 2 instances and 0 refusals with evidence since 1970-01-01T00:00:00Z",
        "instances, at present 2 0 0 2",
        "instances, under the new 1 0 1 2",
        "1 newly refused, 50.0% of the instances that pass at present",
        "os-patch-level 1 0 0",
        "Android 14 1 0 1 1 0 0",
        "1.0 2 0 1 1 0 0",
        &format!("{} {CLIENT}: os-patch-level", old.to_base64url()),
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected}\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let json: serde_json::Value = serde_json::from_str(&printed::json(&tally, Timestamp::EPOCH, 1)).unwrap();
    assert_eq!(json["instances"]["newly"]["refused"], 1);
    assert_eq!(json["tables"]["platform"]["rows"].as_array().unwrap().len(), 1);
    assert_eq!(json["tables"]["platform"]["left_out"], 1);
    assert_eq!(json["named"][0]["instance"], old.to_base64url());
}
