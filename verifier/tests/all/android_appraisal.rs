//! What a policy says of Android's devices: other systems, how attestation keys came about, what was tolerated.

use countersign_verifier::boot_keys::{BootKey, BootKeys};
use countersign_verifier::evidence::VerifiedEvidence;
use countersign_verifier::policy::{
    AppPolicy, AppraisalPolicy, Circumstances, Constraint, Danger, Enforcement, InstancesPerCertificate, Tier,
};
use countersign_virtual_device::{AndroidAttack, AndroidQuirk, BootState, Provisioning, VirtualAndroid};

use crate::world::{NOW, android, objections, policy, tier, verified};

const BOOT_KEY: [u8; 32] = [5; 32];

/// As [`policy`], for apps that may be lax about the boot loader's lock.
fn policy_for_unlocked(change: impl FnOnce(&mut AppPolicy)) -> AppraisalPolicy {
    policy(change).with_danger(Danger { weak_devices: vec![Constraint::DeviceLocked], ..Danger::default() })
}

fn boot_keys(entries: &[([u8; 32], &str, &[&str])]) -> BootKeys {
    let entry = |(key, name, models): &([u8; 32], &str, &[&str])| BootKey {
        verified_boot_key: *key,
        name: (*name).to_owned(),
        models: models.iter().map(|model| (*model).to_owned()).collect(),
    };
    BootKeys::new(entries.iter().map(entry).collect()).unwrap()
}

fn explanation(policy: &AppraisalPolicy, evidence: &VerifiedEvidence, constraint: Constraint) -> String {
    let appraisal = policy.appraise("app", &evidence.clone().into(), &Circumstances::default(), NOW);
    let outcome = appraisal.outcomes().iter().find(|outcome| outcome.constraint == constraint);
    outcome.unwrap().explanation.clone()
}

#[test]
fn a_known_system_passes_where_the_app_names_it_and_the_boot_loader_is_locked() {
    let keys = boot_keys(&[(BOOT_KEY, "GrapheneOS", &[]), ([6; 32], "OtherOS", &[])]);
    let accepting = policy(|app| app.boot_keys = vec!["GrapheneOS".to_owned()]).with_boot_keys(keys.clone());
    let booted = |key, state, locked| verified(android().boot(state, locked).boot_key(key));
    let grapheneos = booted(BOOT_KEY, BootState::SelfSigned, true);
    assert_eq!(tier(&accepting, &grapheneos), Tier::Affirming);
    assert!(explanation(&accepting, &grapheneos, Constraint::BootState).contains("GrapheneOS"));

    let other = booted([6; 32], BootState::SelfSigned, true);
    assert_eq!(objections(&accepting, &other), ["boot-state"]);
    let told = explanation(&accepting, &other, Constraint::BootState);
    assert!(told.contains("OtherOS") && told.contains("not accept"), "{told}");
    let unknown = booted([7; 32], BootState::SelfSigned, true);
    assert_eq!(objections(&accepting, &unknown), ["boot-state"]);
    assert!(explanation(&accepting, &unknown, Constraint::BootState).contains("not known"));

    let nobody = policy(|_| ()).with_boot_keys(keys);
    assert_eq!(objections(&nobody, &grapheneos), ["boot-state"]);
    let by_another_case = policy(|app| app.boot_keys = vec!["grapheneos".to_owned()]);
    assert_eq!(objections(&by_another_case, &grapheneos), ["boot-state"]);
}

#[test]
fn a_known_systems_key_excuses_neither_an_open_boot_loader_nor_an_unverified_system() {
    let keys = boot_keys(&[(BOOT_KEY, "GrapheneOS", &[])]);
    let accepting = policy_for_unlocked(|app| {
        app.boot_keys = vec!["GrapheneOS".to_owned()];
        app.enforcements.set(Constraint::DeviceLocked, None, Enforcement::Ignore);
    })
    .with_boot_keys(keys);
    let booted = |state, locked| verified(android().boot(state, locked).boot_key(BOOT_KEY));
    assert_eq!(objections(&accepting, &booted(BootState::SelfSigned, false)), ["boot-state"]);
    for state in [BootState::Unverified, BootState::Failed, BootState::Unknown(9)] {
        assert_eq!(objections(&accepting, &booted(state, true)), ["boot-state"], "{state:?}");
    }
}

#[test]
fn models_of_a_boot_key_count_only_where_hardware_attests_one() {
    let keys = boot_keys(&[(BOOT_KEY, "GrapheneOS", &["Pixel 9", "Pixel 9 Pro"])]);
    let accepting = policy(|app| app.boot_keys = vec!["GrapheneOS".to_owned()]).with_boot_keys(keys);
    let booted = |phone: VirtualAndroid| verified(phone.boot(BootState::SelfSigned, true).boot_key(BOOT_KEY));
    assert_eq!(tier(&accepting, &booted(android())), Tier::Affirming);
    assert_eq!(tier(&accepting, &booted(android().attested_model("Pixel 9 Pro"))), Tier::Affirming);
    assert_eq!(objections(&accepting, &booted(android().attested_model("Pixel 8"))), ["boot-state"]);
}

#[test]
fn an_ml_dsa_key_is_refused_as_one() {
    let evidence = verified(android().attack(AndroidAttack::MlDsaKey));
    assert!(objections(&policy(|_| ()), &evidence).contains(&"key-algorithm"));
    assert!(explanation(&policy(|_| ()), &evidence, Constraint::KeyAlgorithm).contains("ml-dsa-65"));
}

#[test]
fn factory_and_unknown_keys_are_a_lower_tier_if_the_policy_says_so() {
    let strict = policy(|app| app.enforcements.set(Constraint::RemoteProvisioning, None, Enforcement::Warn));
    let unknown = verified(android().attack(AndroidAttack::UnknownIntermediate));
    assert_eq!(tier(&strict, &unknown), Tier::Warning);
    assert_eq!(objections(&strict, &unknown), ["remote-provisioning"]);
    let required =
        policy(|app| app.enforcements.set(Constraint::RemoteProvisioning, None, Enforcement::Require));
    for refused in [unknown, verified(android().provisioning(Provisioning::Factory))] {
        assert_eq!(tier(&required, &refused), Tier::Contraindicated);
    }
}

#[test]
fn more_issued_certificates_than_the_maximum_are_a_warning() {
    let with = |maximum| policy(|app: &mut AppPolicy| app.maximum_certificates_issued = maximum);
    let eight = verified(android());
    for (maximum, expected) in [(None, Tier::Affirming), (Some(8), Tier::Affirming), (Some(7), Tier::Warning)]
    {
        assert_eq!(tier(&with(maximum), &eight), expected, "{maximum:?}");
    }
    let many = verified(android().certificates_issued(5000));
    assert_eq!(tier(&with(None), &many), Tier::Affirming);
    assert_eq!(objections(&with(Some(4999)), &many), ["certificates-issued"]);
    let factory = verified(android().provisioning(Provisioning::Factory));
    assert_eq!(tier(&with(Some(0)), &factory), Tier::Affirming);
}

#[test]
fn a_shared_attestation_key_is_a_warning_above_the_maximum_for_its_kind() {
    let judged = |policy: &AppraisalPolicy, evidence: &VerifiedEvidence, instances| {
        let circumstances = Circumstances { instances_of_certificate: instances, ..Circumstances::default() };
        let appraisal = policy.appraise("app", &evidence.clone().into(), &circumstances, NOW);
        let objections = appraisal.objections();
        objections.map(|outcome| outcome.constraint.label()).collect::<Vec<_>>()
    };
    let remote = verified(android());
    let factory = verified(android().provisioning(Provisioning::Factory));
    let default = policy(|_| ());
    for fine in [None, Some(1), Some(10)] {
        assert_eq!(judged(&default, &remote, fine), Vec::<&str>::new(), "{fine:?}");
    }
    assert_eq!(judged(&default, &remote, Some(11)), ["attestation-key-sharing"]);
    assert_eq!(judged(&default, &factory, Some(u32::MAX)), Vec::<&str>::new());
    let own = policy(|app| {
        app.maximum_instances_per_certificate = InstancesPerCertificate { remote: None, factory: Some(100) };
    });
    assert_eq!(judged(&own, &remote, Some(u32::MAX)), Vec::<&str>::new());
    assert_eq!(judged(&own, &factory, Some(101)), ["attestation-key-sharing"]);
    let unknown = verified(android().attack(AndroidAttack::UnknownIntermediate));
    assert_eq!(judged(&default, &unknown, Some(11)), ["attestation-key-sharing"]);
}

#[test]
fn a_policy_can_refuse_every_departure_from_the_standards() {
    let strict = policy(|app| app.enforcements.set(Constraint::Leniencies, None, Enforcement::Require));
    let odd = verified(android().quirk(AndroidQuirk::UnsortedSets));
    assert_eq!(tier(&policy(|_| ()), &odd), Tier::Affirming);
    assert_eq!(objections(&strict, &odd), ["leniencies"]);
    assert_eq!(tier(&strict, &verified(android())), Tier::Affirming);
}
