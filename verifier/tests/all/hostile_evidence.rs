//! Every lie that evidence can tell, told by the virtual phones, with the verdict it deserves.

use countersign_core::token::result::Protection;
use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::chain::ChainError;
use countersign_verifier::evidence::{Claims, EvidenceError, VerifiedEvidence, android_key, app_attest};
use countersign_verifier::leniency::Leniency;
use countersign_verifier::policy::{AppraisalPolicy, Circumstances, Constraint, Danger, Tier};
use countersign_verifier::revocation::RevocationList;
use countersign_virtual_device::certificate::serial_hex;
use countersign_virtual_device::google_authority::status_list_json;
use countersign_virtual_device::{
    AndroidAttack, AndroidQuirk, AppExtensions, AssertionAttack, Environment, Expected, IphoneAttack,
    Provisioning, SecurityLevel, VirtualAndroid, VirtualIphone,
};

use crate::world::{self, CHALLENGE, NOW, anchors, android, iphone, nothing_revoked};

fn policy() -> AppraisalPolicy {
    world::policy(|_| ())
}

/// The class of a verdict.
fn class(verified: &Result<VerifiedEvidence, EvidenceError>) -> Option<Expected> {
    let Ok(evidence) = verified else { return Some(Expected::Unverifiable) };
    let appraisal = policy().appraise("app", &evidence.clone().into(), &Circumstances::default(), NOW);
    appraisal.is_refused().then_some(Expected::Contraindicated)
}

/// What was expected, where the default policy is meant: a stricter policy's minimum is no objection here.
fn by_default_policy(expected: Expected) -> Option<Expected> {
    Some(expected).filter(|expected| *expected != Expected::BelowMinimum)
}

fn attest_iphone(phone: &VirtualIphone) -> Result<VerifiedEvidence, EvidenceError> {
    let attestation = phone.attest(&CHALLENGE, NOW);
    app_attest::verify_attestation(&attestation.object, &attestation.key_id, &CHALLENGE, &anchors(), NOW)
}

fn attest_android(phone: &mut VirtualAndroid) -> Result<VerifiedEvidence, EvidenceError> {
    let chain = phone.attest(&CHALLENGE, NOW);
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    android_key::verify(&chain, &CHALLENGE, &anchors(), Some(&nothing_revoked()), NOW)
}

#[test]
fn honest_iphones_of_every_kind_are_affirmed() {
    for phone in [
        iphone(),
        iphone().ios_27(AppExtensions { bundle_version: "7".to_owned(), category: 4, flag: false }),
        iphone().ios_27(AppExtensions { bundle_version: "7".to_owned(), category: 2, flag: true }),
    ] {
        let evidence = attest_iphone(&phone).unwrap();
        assert_eq!(
            policy().appraise("app", &evidence.clone().into(), &Circumstances::default(), NOW).tier(),
            Tier::Affirming
        );
    }
}

#[test]
fn honest_androids_of_every_kind_are_affirmed() {
    for mut phone in [
        android(),
        android().provisioning(Provisioning::Factory),
        android().security_level(SecurityLevel::StrongBox),
        android().attestation_version(3),
        android().sharing_user_id_with("com.example.sibling", 3),
    ] {
        let evidence = attest_android(&mut phone).unwrap();
        assert_eq!(
            policy().appraise("app", &evidence.clone().into(), &Circumstances::default(), NOW).tier(),
            Tier::Affirming
        );
        assert_eq!(evidence.attested_key().as_p256(), Some(&phone.instance_key()));
    }
}

#[test]
fn every_app_attest_lie_gets_its_verdict() {
    for attack in IphoneAttack::ALL {
        let verdict = attest_iphone(&iphone().attack(*attack));
        let expected = by_default_policy(attack.expected());
        assert_eq!(class(&verdict), expected, "{}: {:?}", attack.name(), verdict.err());
    }
}

#[test]
fn every_android_lie_gets_its_verdict() {
    for attack in AndroidAttack::ALL {
        let verdict = attest_android(&mut android().attack(*attack));
        let expected = by_default_policy(attack.expected());
        assert_eq!(class(&verdict), expected, "{}: {:?}", attack.name(), verdict.err());
    }
}

#[test]
fn every_assertion_lie_gets_its_verdict() {
    for attack in AssertionAttack::ALL {
        let mut phone = iphone().counter(5).assertion_attack(*attack);
        let key = phone.app_attest_key();
        let assertion = phone.assert(&CHALLENGE);
        let verdict = app_attest::verify_assertion(&assertion, &key, &CHALLENGE, 5, NOW);
        assert_eq!(class(&verdict), by_default_policy(attack.expected()), "{}", attack.name());
    }
}

#[test]
fn development_app_attest_passes_only_where_danger_says_so() {
    let evidence = attest_iphone(&iphone().environment(Environment::Development)).unwrap();
    assert!(policy().appraise("app", &evidence.clone().into(), &Circumstances::default(), NOW).is_refused());
    let environment = app_attest::AppAttestEnvironment::Development;
    let danger = Danger { app_attest_environments: vec![environment], ..Danger::default() };
    assert!(
        !policy()
            .with_danger(danger)
            .appraise("app", &evidence.clone().into(), &Circumstances::default(), NOW)
            .is_refused()
    );
}

#[test]
fn a_revoked_or_suspended_certificate_anywhere_in_the_chain_is_refused() {
    let chain = android().attest(&CHALLENGE, NOW);
    let borrowed: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let verdict = |serial: &str, status| {
        let list = RevocationList::parse(status_list_json(&[(serial, status)]).as_bytes(), NOW).unwrap();
        android_key::verify(&borrowed, &CHALLENGE, &anchors(), Some(&list), NOW)
    };
    assert!(verdict("abcdef", "REVOKED").is_ok(), "somebody else's certificate");
    for certificate in &chain[..chain.len() - 1] {
        let serial = serial_hex(certificate).unwrap();
        for status in ["REVOKED", "SUSPENDED"] {
            assert!(verdict(&serial, status).is_err(), "{status} {serial}");
        }
    }
}

#[test]
fn without_a_status_list_the_tier_falls() {
    let chain = android().attest(&CHALLENGE, NOW);
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let evidence = android_key::verify(&chain, &CHALLENGE, &anchors(), None, NOW).unwrap();
    assert_eq!(
        policy().appraise("app", &evidence.clone().into(), &Circumstances::default(), NOW).tier(),
        Tier::Warning
    );
}

#[test]
fn virtual_phones_are_refused_without_their_root() {
    let attestation = iphone().attest(&CHALLENGE, NOW);
    let embedded = TrustAnchors::embedded();
    let verdict =
        app_attest::verify_attestation(&attestation.object, &attestation.key_id, &CHALLENGE, &embedded, NOW);
    assert!(verdict.is_err());
    let chain = android().attest(&CHALLENGE, NOW);
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    assert!(android_key::verify(&chain, &CHALLENGE, &embedded, None, NOW).is_err());
}

/// With its root twice, the last certificate but the anchor would be the root itself, whose subject has a serial
/// number, as factory intermediates have: an expired, remotely provisioned chain would be judged as a factory chain.
#[test]
fn a_root_that_stands_twice_does_not_turn_an_expired_chain_into_one_from_the_factory() {
    for provisioning in [Provisioning::Remote, Provisioning::Factory] {
        let mut chain = android().provisioning(provisioning).attest(&CHALLENGE, NOW);
        chain.extend(chain.last().cloned());
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let verdict = android_key::verify(&chain, &CHALLENGE, &anchors(), Some(&nothing_revoked()), NOW);
        assert_eq!(
            verdict.err(),
            Some(EvidenceError::Chain(ChainError::MisplacedAnchor { index: chain.len() - 2 }))
        );
    }
}

#[test]
fn extended_chains_are_refused_by_their_own_names() {
    use AndroidAttack as A;
    let reason = |attack| attest_android(&mut android().attack(attack)).err().map(EvidenceError::reason);
    for (attack, expected) in [
        (A::AttestKeyChain, "evidence_attest_key_chain"),
        (A::ExtendedChain, "evidence_misplaced_key_description"),
        (A::ExtendedChainWithAttestPurpose, "evidence_misplaced_key_description"),
        (A::SecondKeyDescriptionInIntermediate, "evidence_misplaced_key_description"),
        (A::KeyDescriptionInUpperIntermediate, "evidence_misplaced_key_description"),
        (A::KeyDescriptionAboveLeaf, "evidence_misplaced_key_description"),
        (A::ProvisioningInfoInLeaf, "evidence_misplaced_provisioning_info"),
        (A::ProvisioningInfoAboveChip, "evidence_misplaced_provisioning_info"),
        (A::MlDsaSignedLeaf, "chain_ml_dsa_unsupported"),
        (A::MlDsaSignedIntermediate, "chain_ml_dsa_unsupported"),
        (A::LeafIsAuthority, "chain_leaf_is_authority"),
        (A::RemoteChipNotCa, "chain_not_authority"),
        (A::FactoryChipNotCa, "chain_not_authority"),
        (A::FactoryBatchNotCa, "chain_not_authority"),
        (A::FactoryBatchNotYetValid, "chain_not_yet_valid"),
        (A::UnknownIntermediateExpired, "chain_expired"),
        (A::NullParametersAboveLeaf, "certificate_algorithm_parameters"),
        (A::DefaultsWrittenAboveLeaf, "chain_malformed_certificate"),
        (A::IssuerInOtherStringType, "chain_name_mismatch"),
        (A::IssuerInOtherCase, "chain_name_mismatch"),
        (A::IssuerLacksAttribute, "chain_name_mismatch"),
    ] {
        assert_eq!(reason(attack), Some(expected), "{}", attack.name());
    }
}

#[test]
fn no_name_but_the_right_one_in_the_right_place_makes_a_strongbox() {
    use AndroidAttack as A;
    for attack in [
        A::StrongBoxOverTee,
        A::StrongBoxBatchTee,
        A::StrongBoxTitleRemote,
        A::StrongBoxSecondOrganization,
        A::StrongBoxUnknownProvisioning,
    ] {
        let evidence = attest_android(&mut android().attack(attack)).unwrap();
        assert_eq!(evidence.protection(), Protection::Tee, "{}", attack.name());
        let appraisal = policy().appraise("app", &evidence.into(), &Circumstances::default(), NOW);
        let objections: Vec<_> = appraisal.objections().map(|outcome| outcome.constraint).collect();
        assert_eq!(objections, [Constraint::StrongboxInChain], "{}", attack.name());
    }
    for provisioning in [Provisioning::Remote, Provisioning::Factory] {
        let mut phone = android().security_level(SecurityLevel::StrongBox).provisioning(provisioning);
        assert_eq!(attest_android(&mut phone).unwrap().protection(), Protection::Strongbox);
    }
}

#[test]
fn genuine_quirks_are_met_by_the_leniency_of_their_name_and_no_other() {
    for quirk in AndroidQuirk::ALL {
        let mut phone = android().quirk(*quirk);
        let evidence = attest_android(&mut phone).unwrap_or_else(|error| panic!("{quirk:?}: {error:?}"));
        let Claims::AndroidKey(claims) = evidence.claims() else { panic!("{quirk:?}") };
        let needed: Vec<_> = claims.leniencies.iter().map(Leniency::name).collect();
        assert_eq!(needed, [quirk.name()], "{quirk:?}");
        let appraisal = policy().appraise("app", &evidence.into(), &Circumstances::default(), NOW);
        assert_eq!(appraisal.tier(), Tier::Affirming, "{quirk:?}");
    }
    let mut honest = android();
    let evidence = attest_android(&mut honest).unwrap();
    let Claims::AndroidKey(claims) = evidence.claims() else { panic!("of Android") };
    assert!(claims.leniencies.is_empty());
}

#[test]
fn every_leniency_is_shown_by_a_quirk() {
    let shown: std::collections::BTreeSet<_> = AndroidQuirk::ALL.iter().map(|quirk| quirk.name()).collect();
    assert_eq!(shown, Leniency::ALL.iter().map(|leniency| leniency.name()).collect());
}

#[test]
fn the_attestation_key_tells_which_phones_share_one() {
    let key = |phone: &mut VirtualAndroid| {
        let evidence = attest_android(phone).unwrap();
        let Claims::AndroidKey(claims) = evidence.claims() else { panic!("of Android") };
        claims.attestation_key
    };
    let mut phone = android();
    assert_eq!(key(&mut phone), key(&mut phone));
    assert_ne!(key(&mut phone), key(&mut android().of_somebody_else()));
    assert_ne!(key(&mut phone), key(&mut android().security_level(SecurityLevel::StrongBox)));
}
