//! A world that changes under enrolled instances: serials are revoked, policies change and are taken back.

use countersign_core::enrolment::{Cure, EnrolmentAnswer};
use countersign_core::token::result::{InstanceId, Tier};
use countersign_verifier::evidence::Claims;
use countersign_verifier::evidence::recorded::TrustData;
use countersign_verifier::policy::{AppPolicy, AppleApp, AppraisalPolicy, Constraint, Enforcement};
use countersign_verifier::revocation::RevocationList;
use countersign_virtual_device::google_authority::status_list_json;
use countersign_virtual_device::{
    AndroidAttack, EnrolmentAttack, GoogleAuthority, VirtualAndroid, VirtualPhone,
};

use super::*;
use crate::attestation::{Cause, Denial};
use crate::store::Decision;
use crate::store::InstanceFilter;
use crate::trust::Trust;
use crate::virtual_world::{CLIENT, START, World, android, iphone, seed, session, trust};

/// The policy of the virtual world with another rule, under another name.
fn changed(id: &str, change: impl FnOnce(&mut AppPolicy)) -> Trust {
    let before = trust();
    let mut app = before.policy.app(CLIENT).unwrap().clone();
    change(&mut app);
    let policy = AppraisalPolicy::new(id).with_app(app).with_danger(before.policy.danger().clone());
    let mut trust = Trust::new(policy).unwrap();
    trust.revocation = before.revocation;
    trust
}

/// A policy that accepts no Android phone's patch level.
fn stricter() -> Trust {
    changed("test/2", |app| app.minimum_os_patch = "2099-01".parse().ok())
}

fn revoked(serials: &[String]) -> Trust {
    let entries: Vec<(&str, &str)> = serials.iter().map(|serial| (serial.as_str(), "REVOKED")).collect();
    let mut trust = trust();
    trust.revocation = RevocationList::parse(status_list_json(&entries).as_bytes(), START).ok();
    trust
}

/// Serial numbers of the chain that is kept of an instance, leaf first.
async fn serials(world: &World, instance: InstanceId) -> Vec<String> {
    let kept = world.service().store.evidence_of(&instance).await.unwrap();
    let trust = trust();
    let data = TrustData { anchors: &trust.anchors, revocation: None, development_keys: &|_| None };
    let verified = kept[0].recorded.as_ref().unwrap().verify(&data).unwrap();
    let Claims::AndroidKey(claims) = verified.claims() else { panic!("{verified:?}") };
    claims.serials.clone()
}

/// The same phone after an update of its app.
fn updated(phone: &VirtualPhone, version: u64) -> VirtualPhone {
    let VirtualPhone::Android(phone) = phone else { panic!("an Android phone is updated here") };
    phone.clone().app("com.example.app", version, [8; 32]).into()
}

async fn apply(world: &World, trust: Trust) -> Summary {
    world.service().trust.store(Arc::new(trust));
    world.service().reappraise_all().await.unwrap()
}

async fn renew(
    world: &World,
    phone: &mut VirtualPhone,
    instance: InstanceId,
) -> Result<EnrolmentAnswer, Denial> {
    let envelope = phone.renew(&world.call(), instance, &session("renewal"));
    world.service().attest(Some(instance), &envelope).await
}

async fn renew_without_evidence(
    world: &World,
    phone: &mut VirtualPhone,
    instance: InstanceId,
) -> Result<EnrolmentAnswer, Denial> {
    let attack = EnrolmentAttack::NoEvidence;
    let envelope = phone.forge_renewal(&world.call(), instance, &session("renewal"), attack);
    world.service().attest(Some(instance), &envelope).await
}

async fn is_denied(world: &World, instance: InstanceId) -> bool {
    world.service().deny_list().await.unwrap().instances.contains(&instance)
}

async fn decision(world: &World, denial: &Denial) -> Decision {
    let reference = denial.reference.unwrap();
    world.service().store.decision(reference.as_str()).await.unwrap().unwrap()
}

async fn decisions(world: &World, verdict: &str) -> usize {
    world.service().store.decisions_of(verdict).await
}

#[tokio::test]
async fn a_revoked_serial_withdraws_the_instances_below_it_and_no_other() {
    let world = World::new().await;
    let (mut phone, mut apple) = (android(), iphone());
    let (instance, other) = (world.enrol(&mut phone).await, world.enrol(&mut apple).await);
    let serials = serials(&world, instance).await;
    let summary = apply(&world, revoked(&serials[1..2])).await;
    assert_eq!(summary, Summary { judged: 2, withdrawn: 1, ..Summary::default() });
    assert!(is_denied(&world, instance).await && !is_denied(&world, other).await);
    assert!(renew(&world, &mut apple, other).await.is_ok());

    let denial = renew_without_evidence(&world, &mut phone, instance).await.err().unwrap();
    assert_eq!((denial.cause.clone(), denial.cause.cure()), (Cause::Withdrawn, Some(Cure::ReEnrol)));
    assert_eq!(decision(&world, &denial).await.reasons, ["instance_withdrawn", "evidence_revoked"]);
    let listed = async |withdrawn| {
        let filter = InstanceFilter { withdrawn: Some(withdrawn), ..InstanceFilter::default() };
        let records = world.service().store.instances(&filter, None, 10).await.unwrap().records;
        records.iter().map(|record| record.registered.id).collect::<Vec<_>>()
    };
    assert_eq!((listed(true).await, listed(false).await), (vec![instance], vec![other]));
    let withdrawn = world.service().store.instance(&instance).await.unwrap().unwrap().withdrawn.unwrap();
    assert_eq!(withdrawn.reasons, ["evidence_revoked"]);
    // Its chain is revoked, so what it brings anew does not help.
    assert!(renew(&world, &mut phone, instance).await.is_err());
    assert!(world.service().attest(None, &phone.enrol(&world.call(), &session("again"))).await.is_err());
}

#[tokio::test]
async fn a_stricter_policy_withdraws_and_taking_it_back_restores() {
    let world = World::new().await;
    let mut phone = android();
    let instance = world.enrol(&mut phone).await;
    assert_eq!(apply(&world, stricter()).await.withdrawn, 1);
    let sequence = world.service().deny_list().await.unwrap().sequence;
    assert!(is_denied(&world, instance).await);
    let denial = renew_without_evidence(&world, &mut phone, instance).await.err().unwrap();
    assert_eq!(decision(&world, &denial).await.reasons, ["instance_withdrawn", "os-patch-level"]);

    assert_eq!(apply(&world, trust()).await.restored, 1);
    assert!(!is_denied(&world, instance).await);
    assert!(world.service().deny_list().await.unwrap().sequence > sequence, "it never falls");
    assert!(renew_without_evidence(&world, &mut phone, instance).await.is_ok());
    assert_eq!((decisions(&world, "withdrawn").await, decisions(&world, "restored").await), (1, 1));
    let metrics = world.service().metrics.to_prometheus();
    assert!(metrics.contains("countersign_reappraisals_total{verdict=\"withdrawn\"} 1\n"), "{metrics}");
    assert!(metrics.contains("countersign_withdrawn_instances 0\n"), "{metrics}");
}

#[tokio::test]
async fn a_renewal_does_not_outrun_the_background() {
    let world = World::new().await;
    let (mut phone, mut apple) = (android(), iphone());
    let (instance, other) = (world.enrol(&mut phone).await, world.enrol(&mut apple).await);
    let gone = changed("test/2", |app| {
        app.minimum_os_patch = "2099-01".parse().ok();
        app.apple = vec![AppleApp::new("ABCDE12345", "com.example.next")];
    });
    let _background = world.service().reappraisal.one_at_a_time.lock().await;
    world.service().trust.store(Arc::new(gone));
    for (phone, instance) in [(&mut phone, instance), (&mut apple, other)] {
        let denial = renew_without_evidence(&world, phone, instance).await.err().unwrap();
        assert_eq!(denial.cause, Cause::Withdrawn);
        assert!(is_denied(&world, instance).await);
    }
}

#[tokio::test]
async fn fresh_evidence_that_passes_lifts_a_withdrawal() {
    let world = World::new().await;
    let mut phone = android();
    let instance = world.enrol(&mut phone).await;
    apply(&world, changed("test/2", |app| app.minimum_version_code = Some(2))).await;
    assert!(is_denied(&world, instance).await);
    assert!(renew(&world, &mut phone, instance).await.is_err(), "the old version again");
    assert!(is_denied(&world, instance).await);
    let mut updated = updated(&phone, 2);
    renew(&world, &mut updated, instance).await.unwrap();
    assert!(!is_denied(&world, instance).await);
    assert!(renew_without_evidence(&world, &mut updated, instance).await.is_ok());
    assert_eq!(apply(&world, trust()).await.restored, 0, "there is nothing left to restore");
}

#[tokio::test]
async fn an_assertion_does_not_lift_the_withdrawal_of_its_key_but_a_new_key_does() {
    let world = World::new().await;
    let mut phone = iphone();
    let instance = world.enrol(&mut phone).await;
    apply(&world, changed("test/2", |app| app.minimum_app_version = Some("2.0".to_owned()))).await;
    let denial = renew(&world, &mut phone, instance).await.err().unwrap();
    assert_eq!((denial.cause.clone(), denial.cause.cure()), (Cause::Withdrawn, Some(Cure::ReEnrol)));
    let call = countersign_virtual_device::ServiceCall { app_version: "2.0", ..world.call() };
    let envelope = phone.enrol(&call, &session("again"));
    let answer = world.service().attest(None, &envelope).await.unwrap();
    assert_eq!(answer.instance_id, instance.to_base64url());
    assert!(!is_denied(&world, instance).await);
}

#[tokio::test]
async fn an_answer_from_before_is_not_given_again_to_who_is_withdrawn() {
    let world = World::new().await;
    let mut phone = android();
    let envelope = phone.enrol(&world.call(), &session("first"));
    world.service().attest(None, &envelope).await.unwrap();
    apply(&world, stricter()).await;
    let again = world.service().attest(None, &envelope).await.err().unwrap();
    assert_eq!(again.cause, Cause::Withdrawn);
}

#[tokio::test]
async fn the_deny_list_forgets_a_withdrawal_when_no_result_is_left_and_the_registry_does_not() {
    let world = World::new().await;
    let mut phone = android();
    let instance = world.enrol(&mut phone).await;
    apply(&world, stricter()).await;
    world.wait(660);
    assert!(is_denied(&world, instance).await);
    world.wait(61);
    assert!(!is_denied(&world, instance).await);
    let denial = renew_without_evidence(&world, &mut phone, instance).await.err().unwrap();
    assert_eq!(denial.cause, Cause::Withdrawn);
}

#[tokio::test]
async fn a_tier_that_falls_or_rises_is_kept() {
    let world = World::new().await;
    let instance = world.enrol(&mut android()).await;
    let tier = async || {
        world.service().store.instance(&instance).await.unwrap().unwrap().registered.trustworthiness.tier
    };
    let warns = changed("test/2", |app| {
        app.minimum_os_patch = "2099-01".parse().ok();
        app.enforcements.set(Constraint::OsPatchLevel, None, Enforcement::Warn);
    });
    assert_eq!(apply(&world, warns).await.tier_changed, 1);
    assert_eq!(tier().await, Tier::Warning);
    assert_eq!(apply(&world, trust()).await.tier_changed, 1);
    assert_eq!(tier().await, Tier::Affirming);
    assert_eq!((decisions(&world, "lowered").await, decisions(&world, "raised").await), (1, 1));
}

#[tokio::test]
async fn what_an_instance_continued_when_it_was_judged_does_not_count_against_it_later() {
    let world = World::new().await;
    let mut phone = android();
    let instance = world.enrol(&mut phone).await;
    let mut updated = updated(&phone, 2);
    renew(&world, &mut updated, instance).await.unwrap();
    assert_eq!(apply(&world, changed("test/2", |_| {})).await, Summary { judged: 1, ..Summary::default() });
}

#[tokio::test]
async fn nothing_is_judged_twice_under_one_generation() {
    let world = World::new().await;
    world.enrol(&mut android()).await;
    assert_eq!(world.service().reappraise_all().await, Ok(Summary::default()));
    assert_eq!(apply(&world, trust()).await, Summary::default(), "the same again");
    assert_eq!(apply(&world, stricter()).await.judged, 1);
    assert_eq!(world.service().reappraise_all().await, Ok(Summary::default()));
}

#[tokio::test]
async fn an_old_status_list_withdraws_nobody_and_lets_nobody_through() {
    let world = World::new().await;
    let mut phone = android();
    let instance = world.enrol(&mut phone).await;
    world.wait(7 * 86_400 + 1);
    assert_eq!(apply(&world, changed("test/2", |_| {})).await, Summary { judged: 1, ..Summary::default() });
    for refused in [
        renew(&world, &mut phone, instance).await,
        renew_without_evidence(&world, &mut phone, instance).await,
        world.service().attest(None, &phone.of_somebody_else().enrol(&world.call(), &session("again"))).await,
    ] {
        let denial = refused.err().unwrap();
        assert_eq!(
            (denial.cause.clone(), denial.cause.cure()),
            (Cause::RevocationListTooOld, Some(Cure::Retry))
        );
        assert_eq!(decision(&world, &denial).await.reasons, ["revocation-fresh"]);
    }
    let mut apple = iphone();
    let other = world.enrol(&mut apple).await;
    assert!(renew(&world, &mut apple, other).await.is_ok(), "no list speaks of iPhones");
    let mut fresh = trust();
    fresh.revocation = fresh.revocation.map(|list| list.confirmed(world.now()));
    world.service().replace_trust(fresh).await;
    renew(&world, &mut phone, instance).await.unwrap();
}

#[tokio::test]
async fn an_app_that_is_gone_from_the_policy_loses_its_instances() {
    let world = World::new().await;
    let instance = world.enrol(&mut iphone()).await;
    let nothing = Trust::new(AppraisalPolicy::new("test/2").with_danger(trust().policy.danger().clone()));
    assert_eq!(apply(&world, nothing.unwrap()).await.withdrawn, 1);
    assert!(is_denied(&world, instance).await);
}

#[tokio::test]
async fn roots_that_are_not_trusted_any_more_withdraw_what_stood_on_them() {
    let world = World::new().await;
    let (instance, other) = (world.enrol(&mut android()).await, world.enrol(&mut iphone()).await);
    let before = trust();
    let danger = countersign_verifier::policy::Danger {
        android_key_roots: Vec::new(),
        ..before.policy.danger().clone()
    };
    let app = before.policy.app(CLIENT).unwrap().clone();
    let without = Trust::new(AppraisalPolicy::new("test/1").with_app(app).with_danger(danger)).unwrap();
    assert_eq!(apply(&world, without).await.withdrawn, 1);
    assert!(is_denied(&world, instance).await && !is_denied(&world, other).await);
    let withdrawn = world.service().store.instance(&instance).await.unwrap().unwrap().withdrawn.unwrap();
    assert_eq!(withdrawn.reasons, ["chain_unknown_root"]);
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let world = World::new().await;
    let mut phone = android();
    let instance = world.enrol(&mut phone).await;
    // The policy was changed while the service was down.
    let world = world.restarted(stricter()).await;
    let summary = world.service().reappraise_all().await.unwrap();
    assert!(summary.judged <= 1, "the task that started with the service may have been first");
    assert!(is_denied(&world, instance).await);
    let world = world.restarted(stricter()).await;
    assert_eq!(world.service().reappraise_all().await, Ok(Summary::default()));
    let denial = renew_without_evidence(&world, &mut phone, instance).await.err().unwrap();
    assert_eq!(denial.cause, Cause::Withdrawn);
    assert_eq!(decisions(&world, "withdrawn").await, 1);
}

#[tokio::test]
async fn all_instances_are_judged_however_many() {
    let world = World::new().await;
    let mut phone = android();
    for _ in 0..BATCH + 6 {
        world.enrol(&mut phone).await;
        phone = phone.of_somebody_else();
    }
    let summary = apply(&world, stricter()).await;
    assert_eq!((summary.judged, summary.withdrawn), (u64::from(BATCH) + 6, u64::from(BATCH) + 6));
    let metrics = world.service().metrics.to_prometheus();
    assert!(metrics.contains("countersign_mass_withdrawals_total 0\n"), "fewer than a hundred");
}

#[tokio::test]
async fn a_large_withdrawal_takes_place_and_is_told() {
    let alarm = "[trust.withdrawal_alarm]\ninstances = 2\npercent = 50\n";
    let world = World::with(alarm, |_| {}).await;
    let mut phone = android();
    for _ in 0..3 {
        world.enrol(&mut phone).await;
        phone = phone.of_somebody_else();
    }
    assert_eq!(apply(&world, stricter()).await.withdrawn, 3);
    let metrics = world.service().metrics.to_prometheus();
    assert!(metrics.contains("countersign_mass_withdrawals_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn the_evidence_of_what_was_refused_is_kept_where_another_policy_could_decide_otherwise() {
    let world = World::new().await;
    let rooted = VirtualAndroid::new(&GoogleAuthority::from_seed(&seed()), &seed())
        .app("com.example.app", 1, [8; 32])
        .attack(AndroidAttack::Rooted);
    let refused = VirtualPhone::from(rooted).enrol(&world.call(), &session("first"));
    assert_eq!(world.service().attest(None, &refused).await.err().unwrap().cause, Cause::Policy);
    let forged =
        android().forge_enrolment(&world.call(), &session("first"), EnrolmentAttack::RelayedEvidence);
    assert!(world.service().attest(None, &forged).await.is_err());
    let kept = world.service().store.refused_evidence(START, 0, 10).await.unwrap().whole;
    let [(decision, evidence)] = kept.as_slice() else { panic!("{kept:?}") };
    assert!(decision.reasons.iter().any(|reason| reason == "boot-state"));
    assert_eq!(evidence.recorded.len(), 1);
    assert_eq!(evidence.circumstances.app_version, "1.0");
    let trust = trust();
    let data = TrustData { anchors: &trust.anchors, revocation: None, development_keys: &|_| None };
    assert!(evidence.recorded[0].verify(&data).is_ok());
}

#[tokio::test]
async fn evidence_goes_with_its_instance() {
    let world = World::new().await;
    let mut phone = iphone();
    let instance = world.enrol(&mut phone).await;
    let kinds = async || {
        let kept = world.service().store.evidence_of(&instance).await.unwrap();
        kept.iter().map(|one| one.recorded.as_ref().unwrap().kind().name()).collect::<Vec<_>>()
    };
    assert_eq!(kinds().await, ["app-attest"]);
    renew(&world, &mut phone, instance).await.unwrap();
    assert_eq!(kinds().await, ["app-attest", "app-attest-assertion"]);
    world.enrol(&mut phone).await;
    assert_eq!(kinds().await, ["app-attest"], "a new key has no assertion yet");
    world.service().store.forget(&instance).await;
    assert!(kinds().await.is_empty());
}

#[tokio::test]
async fn an_assertion_alone_does_not_raise_what_the_attestation_of_its_key_was_worth() {
    let world = World::new().await;
    let mut phone = iphone();
    let instance = world.enrol(&mut phone).await;
    renew(&world, &mut phone, instance).await.unwrap();
    world.service().store.forget_evidence(&instance, "app-attest").await;
    apply(&world, changed("test/2", |app| app.minimum_app_version = Some("0.1".to_owned()))).await;
    let record = world.service().store.instance(&instance).await.unwrap().unwrap();
    assert_eq!(record.registered.trustworthiness.tier, Tier::Warning);
}

/// Two instances of which the first is damaged, after a change of the policy that accepts both.
async fn after_damage(table: &str, column: &str) -> (World, InstanceId, InstanceId, Summary) {
    let world = World::new().await;
    let (damaged, whole) = (world.enrol(&mut android()).await, world.enrol(&mut iphone()).await);
    world.service().store.damage(table, column, &damaged).await;
    let summary = apply(&world, changed("test/2", |_| {})).await;
    (world, damaged, whole, summary)
}

#[tokio::test]
async fn an_instance_whose_row_cannot_be_read_is_withdrawn_and_the_rest_goes_on() {
    let (world, damaged, whole, summary) = after_damage("instance", "trust_vector").await;
    assert_eq!(summary, Summary { judged: 2, withdrawn: 1, unreadable: 1, ..Summary::default() });
    assert!(is_denied(&world, damaged).await && !is_denied(&world, whole).await);
    assert_eq!(decisions(&world, "withdrawn").await, 1);
    let metrics = world.service().metrics.to_prometheus();
    assert!(metrics.contains("countersign_unreadable_instances_total 1\n"), "{metrics}");
    assert_eq!(world.service().reappraise_all().await, Ok(Summary::default()), "once for each change");
}

#[tokio::test]
async fn an_instance_whose_evidence_cannot_be_read_is_withdrawn_for_that_and_the_rest_goes_on() {
    let (world, damaged, whole, summary) = after_damage("evidence", "circumstances").await;
    assert_eq!(summary, Summary { judged: 2, withdrawn: 1, unreadable: 1, ..Summary::default() });
    assert!(is_denied(&world, damaged).await && !is_denied(&world, whole).await);
    let record = world.service().store.instance(&damaged).await.unwrap().unwrap();
    assert_eq!(record.withdrawn.unwrap().reasons, ["record_unreadable"]);
}

#[tokio::test]
async fn an_instance_whose_identifier_is_damaged_does_not_keep_the_others_from_being_judged() {
    let world = World::new().await;
    let (mut other, mut phone) = (iphone(), android());
    world.enrol(&mut other).await;
    world.service().store.damage_with("UPDATE instance SET id = x'00'").await;
    let instance = world.enrol(&mut phone).await;
    let summary = apply(&world, stricter()).await;
    assert_eq!(summary, Summary { judged: 1, withdrawn: 1, ..Summary::default() });
    assert!(is_denied(&world, instance).await);
    let generation = world.service().trust.load().generation();
    assert_eq!(world.service().store.outdated_without_name(&generation).await, Ok(1));
}

#[tokio::test]
async fn an_instance_whose_row_cannot_be_read_gets_no_result_until_it_is_deleted() {
    let world = World::new().await;
    let mut phone = android();
    let instance = world.enrol(&mut phone).await;
    world.service().store.damage("instance", "labels", &instance).await;
    let denial = renew(&world, &mut phone, instance).await.err().unwrap();
    assert_eq!((denial.cause.reason(), denial.cause.cure()), ("store_damaged_row", Some(Cure::Retry)));
    let Cause::Store(error) = denial.cause else { panic!("{:?}", denial.cause) };
    assert!(error.to_string().contains(&format!("countersign instances delete {}", instance.to_base64url())));
    let by = crate::store::Actor { name: "test", now: world.now() };
    assert!(world.service().store.erase_instance(&instance, &by).await.unwrap());
    world.enrol(&mut phone).await;
}
