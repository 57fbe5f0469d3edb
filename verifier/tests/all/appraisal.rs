//! What a policy changes: the same genuine evidence, appraised by different policies.

use countersign_core::environment::{Environment, Signal};
use countersign_core::token::result::Protection;
use countersign_verifier::evidence::app_attest::ValidationCategory;
use countersign_verifier::evidence::{Platform, VerifiedEvidence, development_key};
use countersign_verifier::policy::{
    AppMode, AppPolicy, Appraisal, AppraisalPolicy, Circumstances, Cohort, Constraint, Danger, Enforcement,
    Enforcements, Tier,
};
use countersign_virtual_device::{AndroidAttack, AppExtensions, BootState, Provisioning, SecurityLevel};

use crate::world::{CHALLENGE, NOW, android, attested, iphone, objections, policy, tier, verified};

const BOOT_KEY: [u8; 32] = [5; 32];

fn verified_iphone(category: u32) -> VerifiedEvidence {
    attested(&iphone().ios_27(AppExtensions { bundle_version: "7".to_owned(), category, flag: false }))
}

/// As [`policy`], for apps that may be lax about the boot loader's lock.
fn policy_for_unlocked(change: impl FnOnce(&mut AppPolicy)) -> AppraisalPolicy {
    policy(change).with_danger(Danger { weak_devices: vec![Constraint::DeviceLocked], ..Danger::default() })
}

#[test]
fn an_unknown_client_is_refused_whatever_it_sends() {
    let appraisal =
        policy(|_| ()).appraise("App", &verified(android()).into(), &Circumstances::default(), NOW);
    assert_eq!(appraisal.tier(), Tier::Contraindicated);
    assert_eq!(appraisal.outcomes()[0].constraint, Constraint::Client);
}

#[test]
fn another_apps_evidence_is_refused_under_a_known_client() {
    let other = AppPolicy { client_id: "other".to_owned(), ..AppPolicy::new("other") };
    let policy = policy(|_| ()).with_app(other);
    assert!(
        policy.appraise("other", &verified(android()).into(), &Circumstances::default(), NOW).is_refused()
    );
    assert!(
        policy.appraise("other", &verified_iphone(4).into(), &Circumstances::default(), NOW).is_refused()
    );
}

#[test]
fn require_warn_and_ignore_are_three_tiers() {
    let unlocked = verified(android().attack(AndroidAttack::Unlocked));
    let with = |enforcement| {
        let policy =
            policy_for_unlocked(|app| app.enforcements.set(Constraint::DeviceLocked, None, enforcement));
        (tier(&policy, &unlocked), objections(&policy, &unlocked))
    };
    assert_eq!(with(Enforcement::Require), (Tier::Contraindicated, vec!["device-locked"]));
    assert_eq!(with(Enforcement::Warn), (Tier::Warning, vec!["device-locked"]));
    assert_eq!(with(Enforcement::Ignore), (Tier::Affirming, vec![]));
}

#[test]
fn an_ignored_outcome_is_still_recorded() {
    let unlocked = verified(android().attack(AndroidAttack::Unlocked));
    let policy =
        policy_for_unlocked(|app| app.enforcements.set(Constraint::DeviceLocked, None, Enforcement::Ignore));
    let appraisal = policy.appraise("app", &unlocked.into(), &Circumstances::default(), NOW);
    let outcome = appraisal.outcomes().iter().find(|o| o.constraint == Constraint::DeviceLocked).unwrap();
    assert!(!outcome.satisfied && !outcome.counts_against());
}

#[test]
fn a_rooted_phone_is_refused_unless_danger_names_the_constraint() {
    let unlocked = verified(android().attack(AndroidAttack::Unlocked));
    for enforcement in [Enforcement::Warn, Enforcement::Ignore] {
        let lax = |app: &mut AppPolicy| {
            for constraint in Constraint::ALL {
                for platform in [None, Some(Platform::Android)] {
                    app.enforcements.set(*constraint, platform, enforcement);
                }
            }
        };
        assert_eq!(tier(&policy(lax), &unlocked), Tier::Contraindicated);
        let other = Danger { weak_devices: vec![Constraint::BootState], ..Danger::default() };
        assert_eq!(tier(&policy(lax).with_danger(other), &unlocked), Tier::Contraindicated);
        assert_ne!(tier(&policy_for_unlocked(lax), &unlocked), Tier::Contraindicated);
    }
}

#[test]
fn a_re_signed_app_is_refused_by_the_laxest_policy() {
    let weak_devices = Constraint::ALL.to_vec();
    let policy = policy(|app| {
        app.android.clear();
        app.apple.clear();
        for constraint in Constraint::ALL {
            app.enforcements.set(*constraint, None, Enforcement::Ignore);
        }
    })
    .with_danger(Danger { weak_devices, ..Danger::default() });
    for evidence in [verified(android()), verified_iphone(4)] {
        assert_eq!(tier(&policy, &evidence), Tier::Contraindicated);
        assert_eq!(objections(&policy, &evidence), ["app-identity"]);
    }
}

#[test]
fn an_enforcement_for_one_platform_leaves_the_other_alone() {
    let policy = policy(|app| {
        let provisioning = Constraint::RemoteProvisioning;
        app.enforcements.set(provisioning, Some(Platform::Apple), Enforcement::Require);
        app.enforcements.set(provisioning, None, Enforcement::Warn);
    });
    let of = |platform| policy.app("app").unwrap().enforcements.of(Constraint::RemoteProvisioning, platform);
    assert_eq!((of(Platform::Apple), of(Platform::Android)), (Enforcement::Require, Enforcement::Warn));
    assert_eq!(tier(&policy, &verified_iphone(4)), Tier::Affirming);
    let factory = verified(android().provisioning(Provisioning::Factory));
    assert_eq!(tier(&policy, &factory), Tier::Warning);
}

#[test]
fn another_system_passes_only_with_its_boot_key_and_a_locked_boot_loader() {
    let listed = policy(|_| ())
        .with_danger(Danger { self_signed_boot_keys: vec![BOOT_KEY.to_vec()], ..Danger::default() });
    let booted = |key, locked| verified(android().boot(BootState::SelfSigned, locked).boot_key(key));
    assert_eq!(tier(&listed, &booted(BOOT_KEY, true)), Tier::Affirming);
    assert_eq!(objections(&listed, &booted([6; 32], true)), ["boot-state"]);
    assert_eq!(objections(&listed, &booted(BOOT_KEY, false)), ["boot-state", "device-locked"]);
    assert_eq!(objections(&policy(|_| ()), &booted(BOOT_KEY, true)), ["boot-state"]);
}

#[test]
fn a_listed_boot_key_does_not_excuse_an_unverified_system() {
    let listed = policy(|_| ())
        .with_danger(Danger { self_signed_boot_keys: vec![BOOT_KEY.to_vec()], ..Danger::default() });
    let unverified = verified(android().boot(BootState::Unverified, true).boot_key(BOOT_KEY));
    assert_eq!(objections(&listed, &unverified), ["boot-state"]);
}

#[test]
fn a_patch_level_below_the_minimum_or_unknown_is_refused() {
    let policy = policy(|app| app.minimum_os_patch = "2025-01".parse().ok());
    assert_eq!(tier(&policy, &verified(android().system(150_000, 202_501))), Tier::Affirming);
    for patch in [202_412, 0] {
        assert_eq!(
            objections(&policy, &verified(android().system(150_000, patch))),
            ["os-patch-level"],
            "{patch}"
        );
    }
}

#[test]
fn strongbox_is_believed_only_over_the_chain_of_one() {
    let strongbox = verified(android().security_level(SecurityLevel::StrongBox));
    let pretended = verified(android().attack(AndroidAttack::StrongBoxOverTee));
    assert_eq!((strongbox.protection(), pretended.protection()), (Protection::Strongbox, Protection::Tee));
    let policy = policy(|app| app.minimum_protection = Protection::Strongbox);
    assert_eq!(tier(&policy, &strongbox), Tier::Affirming);
    assert_eq!(objections(&policy, &pretended), ["security-level", "strongbox-in-chain"]);
    assert_eq!(objections(&policy, &verified(android())), ["security-level"]);
}

#[test]
fn factory_keys_are_a_lower_tier_if_the_policy_says_so() {
    let factory = verified(android().provisioning(Provisioning::Factory));
    let strict = policy(|app| app.enforcements.set(Constraint::RemoteProvisioning, None, Enforcement::Warn));
    assert_eq!(tier(&strict, &factory), Tier::Warning);
    assert_eq!(tier(&strict, &verified(android())), Tier::Affirming);
    assert_eq!(tier(&policy(|_| ()), &factory), Tier::Affirming);
}

#[test]
fn only_accepted_sources_of_the_app_pass_on_ios_27() {
    for category in [1, 3, 5, 6, 7, 10, 11] {
        assert_eq!(
            objections(&policy(|_| ()), &verified_iphone(category)),
            ["validation-category"],
            "{category}"
        );
    }
    let enterprise = policy(|app| app.validation_categories = vec![ValidationCategory(5)]);
    assert_eq!(tier(&enterprise, &verified_iphone(5)), Tier::Affirming);
    assert_eq!(objections(&enterprise, &verified_iphone(4)), ["validation-category"]);
}

#[test]
fn development_keys_vouch_for_apps_in_development_and_never_above_a_warning() {
    let phone = android();
    let (key, signature) = (phone.instance_key(), phone.sign(&CHALLENGE));
    let evidence = development_key::verify("desk", &key, &CHALLENGE, &signature, NOW).unwrap();
    assert_eq!(evidence.protection(), Protection::Software);
    assert_eq!(tier(&policy(|app| app.mode = AppMode::Development), &evidence), Tier::Warning);
    assert_eq!(tier(&policy(|_| ()), &evidence), Tier::Contraindicated);
    assert!(development_key::verify("desk", &key, &[8; 32], &signature, NOW).is_err());
}

#[test]
fn new_apps_start_from_the_template() {
    let template = AppPolicy { minimum_os_patch: "2025-01".parse().ok(), ..AppPolicy::new("") };
    let policy = AppraisalPolicy::new("test/1").with_template(template);
    let app = policy.new_app("x");
    assert_eq!((app.client_id.as_str(), app.minimum_os_patch), ("x", "2025-01".parse().ok()));
}

#[test]
fn a_patch_level_that_is_too_old_today_or_unknown_is_refused() {
    let policy = policy(|app| app.maximum_os_patch_age = Some(180));
    // NOW is 2026-09-21: the first of April is 173 days before, the first of March 204.
    assert_eq!(tier(&policy, &verified(android().system(160_000, 202_604))), Tier::Affirming);
    for patch in [202_603, 0] {
        let old = verified(android().system(160_000, patch));
        assert_eq!(objections(&policy, &old), ["os-patch-age"], "{patch}");
    }
}

#[test]
fn the_same_phone_grows_too_old_without_any_change() {
    let policy = policy(|app| app.maximum_os_patch_age = Some(180));
    let evidence = verified(android().system(160_000, 202_609)).into();
    let after = |days: u64| {
        policy.appraise("app", &evidence, &Circumstances::default(), NOW.plus(days * 86_400)).tier()
    };
    assert_eq!((after(160), after(161)), (Tier::Affirming, Tier::Contraindicated));
}

#[test]
fn a_minimum_version_of_android_is_compared_and_demanded() {
    let policy = policy(|app| app.minimum_android_version = Some(140_000));
    assert_eq!(tier(&policy, &verified(android().system(140_000, 202_609))), Tier::Affirming);
    for version in [130_000, 0] {
        let old = verified(android().system(version, 202_609));
        assert_eq!(objections(&policy, &old), ["os-version"], "{version}");
    }
}

/// Appraises a phone that reports these signals and says that the app has this version.
fn appraised(policy: &AppraisalPolicy, environment: Environment, app_version: &str) -> Appraisal {
    let circumstances = Circumstances { environment, app_version, ..Circumstances::default() };
    policy.appraise("app", &verified(android()).into(), &circumstances, NOW)
}

fn labels_of(appraisal: &Appraisal) -> Vec<&'static str> {
    appraisal.objections().map(|outcome| outcome.constraint.label()).collect()
}

#[test]
fn signals_count_only_where_the_policy_names_them() {
    let none = Environment::default();
    let policy = policy(|app| {
        app.refused_signals = none.with(Signal::Hooks);
        app.warned_signals = none.with(Signal::Debugger);
    });
    let seen = |signals: Environment| {
        let appraisal = appraised(&policy, signals, "");
        (appraisal.tier(), labels_of(&appraisal))
    };
    assert_eq!(seen(none), (Tier::Affirming, vec![]));
    assert_eq!(seen(none.with(Signal::Emulator)), (Tier::Affirming, vec![]));
    assert_eq!(seen(none.with(Signal::Debugger)), (Tier::Warning, vec!["environment-warned"]));
    assert_eq!(seen(none.with(Signal::Hooks)), (Tier::Contraindicated, vec!["environment-refused"]));
}

#[test]
fn a_policy_can_decide_on_each_signal_and_names_it() {
    let none = Environment::default();
    for signal in Signal::ALL {
        let refusing = policy(|app| app.refused_signals = none.with(*signal));
        let warning = policy(|app| app.warned_signals = none.with(*signal));
        let others =
            Signal::ALL.iter().filter(|other| *other != signal).fold(none, |set, other| set.with(*other));
        for (policy, tier) in [(refusing, Tier::Contraindicated), (warning, Tier::Warning)] {
            let appraisal = appraised(&policy, none.with(*signal), "");
            let named = format!(": {}.", signal.name());
            assert_eq!(appraisal.tier(), tier, "{signal:?}");
            assert!(
                appraisal.objections().all(|outcome| outcome.explanation.ends_with(&named)),
                "{signal:?}"
            );
            assert_eq!(appraised(&policy, others, "").tier(), Tier::Affirming, "{signal:?}");
        }
    }
}

#[test]
fn the_attested_version_code_counts_and_not_what_the_app_says() {
    // The virtual phone's app has the version code 1.
    let code = policy(|app| app.minimum_version_code = Some(2));
    assert_eq!(labels_of(&appraised(&code, Environment::default(), "99.0")), ["app-version"]);
    let said = policy(|app| app.minimum_app_version = Some("2.10".to_owned()));
    assert_eq!(labels_of(&appraised(&said, Environment::default(), "2.9")), ["app-version"]);
    assert_eq!(labels_of(&appraised(&said, Environment::default(), "")), ["app-version"]);
    assert_eq!(appraised(&said, Environment::default(), "2.10.1").tier(), Tier::Affirming);
}

#[test]
fn a_cohort_feels_its_constraints_and_nobody_else_does() {
    let mut strict = Enforcements::default();
    strict.set(Constraint::RemoteProvisioning, Some(Platform::Android), Enforcement::Require);
    let cohort = Cohort { name: "strict".to_owned(), percentage: 30, enforcements: strict };
    let policy = policy(|app| app.cohorts = vec![cohort.clone()]);
    let factory = verified(android().provisioning(Provisioning::Factory)).into();
    let mut refused = 0;
    for number in 0..=255_u8 {
        let circumstances = Circumstances { cohort_key: Some([number; 32]), ..Circumstances::default() };
        let is_refused = policy.appraise("app", &factory, &circumstances, NOW).is_refused();
        assert_eq!(is_refused, cohort.contains(&[number; 32]));
        refused += u32::from(is_refused);
    }
    assert!((40..=120).contains(&refused), "{refused}");
    assert!(!policy.appraise("app", &factory, &Circumstances::default(), NOW).is_refused());
}

#[test]
fn a_cohort_cannot_lower_what_guards_the_device() {
    let mut lax = Enforcements::default();
    lax.set(Constraint::DeviceLocked, None, Enforcement::Ignore);
    lax.set(Constraint::KeyOrigin, None, Enforcement::Ignore);
    let policy = policy(|app| {
        app.cohorts = vec![Cohort { name: "lax".to_owned(), percentage: 100, enforcements: lax }];
    });
    let circumstances = Circumstances { cohort_key: Some([1; 32]), ..Circumstances::default() };
    for attack in [AndroidAttack::Unlocked, AndroidAttack::ImportedKey] {
        let evidence = verified(android().attack(attack)).into();
        assert!(policy.appraise("app", &evidence, &circumstances, NOW).is_refused(), "{attack:?}");
    }
}

#[test]
fn an_imported_key_is_refused_unless_danger_names_the_constraint() {
    let imported = verified(android().attack(AndroidAttack::ImportedKey));
    let lax = |app: &mut AppPolicy| app.enforcements.set(Constraint::KeyOrigin, None, Enforcement::Ignore);
    assert_eq!(objections(&policy(lax), &imported), ["key-origin"]);
    let devices = Danger { weak_devices: vec![Constraint::KeyOrigin], ..Danger::default() };
    assert_eq!(tier(&policy(lax).with_danger(devices), &imported), Tier::Contraindicated);
    let keys = Danger { weak_keys: vec![Constraint::KeyOrigin], ..Danger::default() };
    assert_eq!(tier(&policy(lax).with_danger(keys), &imported), Tier::Affirming);
}

#[test]
fn an_observed_app_refuses_nobody_and_lifts_nobody_above_a_warning() {
    let observed = policy(|app| app.observe = true);
    let phones = [
        (android(), Tier::Affirming),
        (android().attack(AndroidAttack::Unlocked), Tier::Contraindicated),
        (android().app("com.example.other", 1, [9; 32]), Tier::Contraindicated),
    ];
    for (phone, enforced) in phones {
        let appraisal = observed.appraise("app", &verified(phone).into(), &Circumstances::default(), NOW);
        assert_eq!((appraisal.tier(), appraisal.enforced_tier()), (Tier::Warning, Some(enforced)));
    }
    assert_eq!(
        policy(|_| ())
            .appraise("app", &verified(android()).into(), &Circumstances::default(), NOW)
            .enforced_tier(),
        None
    );
}

#[test]
fn an_observed_app_still_refuses_unknown_clients_and_developers_keys() {
    let observed = policy(|app| app.observe = true);
    let unknown = observed.appraise("other", &verified(android()).into(), &Circumstances::default(), NOW);
    assert!(unknown.is_refused());
    let phone = android();
    let (key, signature) = (phone.instance_key(), phone.sign(&CHALLENGE));
    let evidence = development_key::verify("desk", &key, &CHALLENGE, &signature, NOW).unwrap();
    assert_eq!(tier(&observed, &evidence), Tier::Contraindicated);
}

#[test]
fn edges_are_told_the_labels_that_the_policy_exports_and_that_failed() {
    let factory = verified(android().provisioning(Provisioning::Factory));
    let policy = policy(|app| {
        app.exported_labels = vec![Constraint::RemoteProvisioning, Constraint::KnownTags];
    });
    let labels = |evidence: &VerifiedEvidence| {
        policy.appraise("app", &evidence.clone().into(), &Circumstances::default(), NOW).labels().to_vec()
    };
    assert_eq!(labels(&factory), ["remote-provisioning"]);
    assert!(labels(&verified(android())).is_empty());
}
