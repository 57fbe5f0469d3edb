//! Continuity: what was seen of an instance does not go back, and what is not known takes nothing away.

use countersign_verifier::evidence::EvidenceSet;
use countersign_verifier::policy::{
    AppraisalPolicy, Circumstances, Constraint, Danger, Enforcement, History, Tier,
};
use countersign_virtual_device::{AndroidQuirk, AppExtensions, BootState, VirtualAndroid};

use crate::world::{self, NOW, app, attested, verified};

const BOOT_KEY: [u8; 32] = [5; 32];

fn phone() -> VirtualAndroid {
    app_version(10).boot_key(BOOT_KEY).system(150_000, 202_501)
}

fn app_version(version: u64) -> VirtualAndroid {
    world::android().app("com.example.app", version, [8; 32])
}

fn android(phone: VirtualAndroid) -> EvidenceSet {
    verified(phone).into()
}

fn iphone(bundle_version: Option<&str>) -> EvidenceSet {
    let mut phone = world::iphone();
    if let Some(version) = bundle_version {
        phone = phone.ios_27(AppExtensions { bundle_version: version.to_owned(), category: 4, flag: false });
    }
    attested(&phone).into()
}

/// The labels of what speaks against `now`, once `before` was seen.
fn objections(before: &History, now: &EvidenceSet) -> Vec<&'static str> {
    let policy = AppraisalPolicy::new("test/1").with_app(app());
    let circumstances = Circumstances { history: Some(before), ..Circumstances::default() };
    let appraisal = policy.appraise("app", now, &circumstances, NOW);
    let labels = appraisal.objections().map(|outcome| outcome.constraint.label());
    labels.filter(|label| label.ends_with("continuity")).collect()
}

fn seen(evidence: &EvidenceSet) -> History {
    History::default().after(evidence)
}

#[test]
fn the_first_enrolment_has_no_history_to_be_measured_by() {
    let policy = AppraisalPolicy::new("test/1").with_app(app());
    let old = android(phone().system(80_000, 201_801));
    let appraisal = policy.appraise("app", &old, &Circumstances::default(), NOW);
    assert_eq!(appraisal.tier(), Tier::Affirming);
    assert!(appraisal.outcomes().iter().all(|one| !one.constraint.label().ends_with("continuity")));
    assert_eq!(objections(&History::default(), &old), Vec::<&str>::new());
}

#[test]
fn the_same_and_newer_continue() {
    let before = seen(&android(phone()));
    for newer in [
        phone(),
        phone().system(150_000, 202_502),
        phone().system(160_000, 202_501),
        app_version(11).boot_key(BOOT_KEY).system(150_000, 202_501),
    ] {
        assert_eq!(objections(&before, &android(newer)), Vec::<&str>::new());
    }
}

#[test]
fn each_thing_that_goes_back_is_refused_by_its_own_label() {
    let before = seen(&android(phone()));
    for (older, label) in [
        (phone().system(149_999, 202_501), "os-version-continuity"),
        (phone().system(150_000, 202_412), "patch-level-continuity"),
        (app_version(9).boot_key(BOOT_KEY).system(150_000, 202_501), "app-version-continuity"),
        (phone().boot_key([6; 32]), "boot-key-continuity"),
    ] {
        assert_eq!(objections(&before, &android(older)), [label]);
    }
}

#[test]
fn going_back_is_refused_at_the_default_enforcement() {
    let policy = AppraisalPolicy::new("test/1").with_app(app());
    let before = seen(&android(phone()));
    let circumstances = Circumstances { history: Some(&before), ..Circumstances::default() };
    for older in [phone().system(150_000, 202_412), phone().boot_key([6; 32])] {
        assert!(policy.appraise("app", &android(older), &circumstances, NOW).is_refused());
    }
}

#[test]
fn the_highest_ever_seen_counts_and_not_the_last() {
    let newest = seen(&android(phone().system(160_000, 202_509)));
    let history = newest.after(&android(phone()));
    assert_eq!(history, newest);
    let labels = objections(&history, &android(phone().system(150_000, 202_508)));
    assert_eq!(labels, ["os-version-continuity", "patch-level-continuity"]);
}

#[test]
fn unknown_values_neither_object_nor_take_anything_away() {
    let before = seen(&android(phone()));
    let unknown = android(phone().quirk(AndroidQuirk::PatchLevelsZero));
    assert_eq!(objections(&before, &unknown), Vec::<&str>::new());
    assert_eq!(before.after(&unknown), before);
    let without_os_patch = android(phone().system(150_000, 0));
    assert_eq!(objections(&before, &without_os_patch), Vec::<&str>::new());
    assert_eq!(before.after(&without_os_patch), before);
    // Of two packages under one user id nothing tells which is the app.
    let two_packages =
        android(app_version(1).boot_key(BOOT_KEY).system(150_000, 202_501).sharing_user_id_with("b", 1));
    assert_eq!(objections(&before, &two_packages), Vec::<&str>::new());
    assert_eq!(before.after(&two_packages), before);
}

#[test]
fn a_month_without_a_day_does_not_launder_a_day() {
    let fifth = seen(&android(phone()));
    let month = fifth.after(&android(phone().quirk(AndroidQuirk::PatchLevelsWithoutDay)));
    // The quirk's months are 2026-08 and 2026-09, so the day is gone with good reason; a day of the same month is not.
    assert_eq!(month.vendor_patch_level, "2026-08".parse().ok());
    let day = History { vendor_patch_level: "2026-08-20".parse().ok(), ..History::default() };
    let same_month = day.after(&android(phone().quirk(AndroidQuirk::PatchLevelsWithoutDay)));
    assert_eq!(same_month.vendor_patch_level, "2026-08-20".parse().ok());
}

#[test]
fn a_boot_key_that_was_not_verified_is_no_key() {
    let zeros = android(phone().boot_key([0; 32]));
    assert_eq!(seen(&zeros).verified_boot_key, None);
    let before = seen(&android(phone()));
    assert_eq!(objections(&before, &zeros), Vec::<&str>::new());
    assert_eq!(objections(&seen(&zeros), &android(phone())), Vec::<&str>::new());
}

#[test]
fn where_another_boot_key_is_a_warning_it_stays_one() {
    let mut lax = app();
    lax.enforcements.set(Constraint::BootKeyContinuity, None, Enforcement::Warn);
    let danger = Danger { weak_devices: vec![Constraint::BootKeyContinuity], ..Danger::default() };
    let policy = AppraisalPolicy::new("test/1").with_app(lax).with_danger(danger);
    let mut history = seen(&android(phone()));
    let another = android(phone().boot_key([6; 32]));
    for _ in 0..3 {
        let circumstances = Circumstances { history: Some(&history), ..Circumstances::default() };
        assert_eq!(policy.appraise("app", &another, &circumstances, NOW).tier(), Tier::Warning);
        history = history.after(&another);
    }
}

#[test]
fn another_system_on_the_same_phone_is_another_boot_key() {
    let before = seen(&android(phone()));
    let other = android(phone().boot(BootState::SelfSigned, true).boot_key([6; 32]));
    assert_eq!(objections(&before, &other), ["boot-key-continuity"]);
}

#[test]
fn bundle_versions_are_compared_by_their_numbers() {
    let before = seen(&iphone(Some("2.10")));
    assert_eq!(before.bundle_version.as_deref(), Some("2.10"));
    for (now, expected) in [("2.10", false), ("2.11", false), ("3", false), ("2.9", true), ("", true)] {
        let labels = objections(&before, &iphone(Some(now)));
        assert_eq!(labels.contains(&"app-version-continuity"), expected, "{now}");
    }
    // The system did not tell before iOS 27, so a phone that is silent has gone back to an older one.
    assert_eq!(objections(&before, &iphone(None)), ["os-version-continuity"]);
    assert_eq!(before.after(&iphone(None)), before);
    assert_eq!(before.after(&iphone(Some("2.9"))).bundle_version.as_deref(), Some("2.10"));
}

#[test]
fn a_history_survives_storage_and_an_older_versions_form() {
    let history = seen(&android(phone()));
    let stored = serde_json::to_string(&history).unwrap();
    assert_eq!(serde_json::from_str::<History>(&stored).unwrap(), history);
    assert_eq!(serde_json::from_str::<History>("{}").unwrap(), History::default());
}
