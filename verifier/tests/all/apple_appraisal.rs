//! What a policy makes of iPhones: receipts, the risk metric, the source of the app, the version of the system.

use countersign_core::token::trust_vector::{TrustClaim, TrustTier};
use countersign_verifier::evidence::app_attest::{AppAttestEnvironment, verify_assertion};
use countersign_verifier::evidence::{Platform, VerifiedEvidence};
use countersign_verifier::policy::{
    Appraisal, AppraisalPolicy, Circumstances, Constraint, Danger, Enforcement, Tier,
};
use countersign_virtual_device::{AppExtensions, Environment, ReceiptAttack, VirtualIphone};

use crate::world::{CHALLENGE, NOW, attested, iphone, policy};

fn iphone_27(category: u32) -> VirtualIphone {
    iphone().ios_27(AppExtensions { bundle_version: "7".to_owned(), category, flag: false })
}

fn asserted(mut phone: VirtualIphone) -> VerifiedEvidence {
    let assertion = phone.assert(&CHALLENGE);
    verify_assertion(&assertion, &phone.app_attest_key(), &CHALLENGE, 0, NOW).unwrap()
}

fn appraise(policy: &AppraisalPolicy, evidence: VerifiedEvidence, risk_metric: Option<u64>) -> Appraisal {
    let circumstances = Circumstances { risk_metric, ..Circumstances::default() };
    policy.appraise("app", &evidence.into(), &circumstances, NOW)
}

fn verdict(policy: &AppraisalPolicy, evidence: VerifiedEvidence) -> (Tier, Vec<&'static str>) {
    let appraisal = appraise(policy, evidence, None);
    (appraisal.tier(), appraisal.objections().map(|outcome| outcome.constraint.label()).collect())
}

fn enforce(constraint: Constraint, enforcement: Enforcement) -> AppraisalPolicy {
    policy(|app| app.enforcements.set(constraint, None, enforcement))
}

#[test]
fn a_receipt_that_is_not_believed_lowers_the_tier_and_blocks_nobody() {
    for attack in [ReceiptAttack::Missing, ReceiptAttack::OtherKey, ReceiptAttack::SignatureBit] {
        let evidence = attested(&iphone().receipt_attack(attack));
        assert_eq!(verdict(&policy(|_| ()), evidence), (Tier::Warning, vec!["receipt"]));
    }
}

#[test]
fn a_policy_can_demand_a_receipt_or_look_away() {
    let evidence = attested(&iphone().receipt_attack(ReceiptAttack::Missing));
    let with = |enforcement| verdict(&enforce(Constraint::Receipt, enforcement), evidence.clone());
    assert_eq!(with(Enforcement::Require), (Tier::Contraindicated, vec!["receipt"]));
    assert_eq!(with(Enforcement::Ignore), (Tier::Affirming, vec![]));
}

#[test]
fn an_assertion_carries_no_receipt_and_none_is_missed() {
    let strict = enforce(Constraint::Receipt, Enforcement::Require);
    assert_eq!(verdict(&strict, asserted(iphone())), (Tier::Affirming, vec![]));
}

#[test]
fn receipts_of_the_sandbox_pass_with_the_sandbox_itself_through_danger_alone() {
    let evidence = attested(&iphone().environment(Environment::Development));
    assert_eq!(verdict(&policy(|_| ()), evidence.clone()), (Tier::Contraindicated, vec!["environment"]));
    let danger =
        Danger { app_attest_environments: vec![AppAttestEnvironment::Development], ..Danger::default() };
    assert_eq!(verdict(&policy(|_| ()).with_danger(danger), evidence), (Tier::Affirming, vec![]));
}

#[test]
fn a_risk_metric_above_the_maximum_warns_and_stands_in_the_trust_vector() {
    let policy = policy(|app| app.maximum_risk_metric = Some(5));
    let tier_of = |metric| appraise(&policy, asserted(iphone()), metric).tier();
    assert_eq!(tier_of(None), Tier::Affirming, "Apple tells nothing before the first exchange");
    assert_eq!(tier_of(Some(5)), Tier::Affirming);
    assert_eq!(tier_of(Some(6)), Tier::Warning);
    let appraisal = appraise(&policy, asserted(iphone()), Some(6));
    let value = appraisal.trust_vector().value(TrustClaim::InstanceIdentity);
    assert_eq!(TrustTier::of(value), TrustTier::Warning);
}

#[test]
fn a_risk_metric_alone_never_refuses_by_default() {
    assert_eq!(appraise(&policy(|_| ()), asserted(iphone()), Some(u64::MAX)).tier(), Tier::Affirming);
    let strictest = policy(|app| app.maximum_risk_metric = Some(0));
    assert_eq!(appraise(&strictest, asserted(iphone()), Some(u64::MAX)).tier(), Tier::Warning);
}

#[test]
fn a_risk_metric_counts_in_a_renewal_without_evidence() {
    let policy = policy(|app| app.maximum_risk_metric = Some(5));
    let circumstances = Circumstances { risk_metric: Some(6), ..Circumstances::default() };
    let report = |platform| policy.appraise_report("app", platform, &circumstances, NOW).tier();
    assert_eq!(report(Platform::Apple), Tier::Warning);
    assert_eq!(report(Platform::Android), Tier::Affirming, "it is Apple's");
}

#[test]
fn app_store_and_test_flight_pass_and_older_systems_need_not_tell() {
    for phone in [iphone(), iphone_27(4), iphone_27(2)] {
        assert_eq!(verdict(&policy(|_| ()), attested(&phone)), (Tier::Affirming, vec![]));
        assert_eq!(verdict(&policy(|_| ()), asserted(phone)), (Tier::Affirming, vec![]));
    }
}

#[test]
fn every_other_source_of_the_app_is_refused_in_attestation_and_assertion() {
    let refused = (Tier::Contraindicated, vec!["validation-category"]);
    for category in [0, 1, 3, 5, 6, 7, 8, 9, 10, 11, u32::MAX] {
        assert_eq!(verdict(&policy(|_| ()), attested(&iphone_27(category))), refused, "{category}");
        assert_eq!(verdict(&policy(|_| ()), asserted(iphone_27(category))), refused, "{category}");
    }
}

#[test]
fn a_policy_can_demand_that_the_system_tells_the_source() {
    let strict = enforce(Constraint::ValidationCategoryPresent, Enforcement::Require);
    let refused = (Tier::Contraindicated, vec!["validation-category-present"]);
    assert_eq!(verdict(&strict, attested(&iphone())), refused);
    assert_eq!(verdict(&strict, asserted(iphone())), refused);
    assert_eq!(verdict(&strict, attested(&iphone_27(4))), (Tier::Affirming, vec![]));
}

#[test]
fn a_system_older_than_the_minimum_is_refused() {
    let policy = policy(|app| app.minimum_apple_version = Some("17.4".to_owned()));
    for (version, tier) in [
        ("17.3.1", Tier::Contraindicated),
        ("9.9", Tier::Contraindicated),
        ("beta", Tier::Contraindicated),
        ("17.4", Tier::Affirming),
        ("26.3", Tier::Affirming),
    ] {
        assert_eq!(verdict(&policy, attested(&iphone().os_version(version))).0, tier, "{version}");
    }
}

#[test]
fn a_system_that_hides_its_version_is_refused_where_a_minimum_is_set() {
    let hidden = attested(&iphone().os_version("not printable: \u{e9}"));
    assert_eq!(verdict(&policy(|_| ()), hidden.clone()), (Tier::Affirming, vec![]));
    let minimum = |enforcement| {
        policy(|app| {
            app.minimum_apple_version = Some("17".to_owned());
            app.enforcements.set(Constraint::OsVersion, None, enforcement);
        })
    };
    assert_eq!(
        verdict(&minimum(Enforcement::Require), hidden.clone()),
        (Tier::Contraindicated, vec!["os-version"])
    );
    assert_eq!(verdict(&minimum(Enforcement::Warn), hidden), (Tier::Warning, vec!["os-version"]));
}

#[test]
fn an_assertion_names_no_version_and_is_not_asked_for_one() {
    let policy = policy(|app| app.minimum_apple_version = Some("17".to_owned()));
    assert_eq!(verdict(&policy, asserted(iphone())), (Tier::Affirming, vec![]));
}
