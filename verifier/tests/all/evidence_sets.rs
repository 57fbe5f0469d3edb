//! Several pieces of evidence for one device: which one vouches, what they say together, and what was recorded of them.

use countersign_core::time::Timestamp;
use countersign_core::token::result::Protection;
use countersign_core::token::trust_vector::{TrustClaim, TrustVector};
use countersign_verifier::evidence::play_integrity::{self, Payload, from_decode_answer};
use countersign_verifier::evidence::recorded::verify_all;
use countersign_verifier::evidence::{
    EvidenceError, EvidenceKind, EvidenceSet, RecordedEvidence, TrustData, VerifiedEvidence, android_key,
    app_attest, development_key,
};
use countersign_verifier::policy::{
    AndroidApp, AppMode, AppPolicy, AppleApp, Appraisal, AppraisalPolicy, Circumstances, Constraint, Tier,
};
use countersign_virtual_device::{AppExtensions, DevelopmentKey, SecurityLevel, VirtualAndroid, VirtualPlay};

use crate::world::{CHALLENGE, NOW, anchors, android, iphone, seed};

fn verdict_of_google() -> Payload {
    let play = VirtualPlay::from_seed(&seed()).app("com.example.app", 1, [8; 32]);
    let answer = play.decode(&play.standard_token(&CHALLENGE, NOW)).unwrap();
    from_decode_answer(answer.as_bytes()).unwrap()
}

fn by_google() -> VerifiedEvidence {
    play_integrity::verify(verdict_of_google(), &CHALLENGE, NOW).unwrap()
}

fn by_hardware(mut phone: VirtualAndroid) -> VerifiedEvidence {
    let chain = phone.attest(&CHALLENGE, NOW);
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    android_key::verify(&chain, &CHALLENGE, &anchors(), None, NOW).unwrap()
}

fn by_apple(bundle_version: &str) -> VerifiedEvidence {
    let extensions = AppExtensions { bundle_version: bundle_version.to_owned(), category: 4, flag: false };
    let attestation = iphone().ios_27(extensions).attest(&CHALLENGE, NOW);
    app_attest::verify_attestation(&attestation.object, &attestation.key_id, &CHALLENGE, &anchors(), NOW)
        .unwrap()
}

fn by_developer() -> VerifiedEvidence {
    let key = DevelopmentKey::from_seed(&seed(), "laptop");
    let countersign_core::enrolment::Evidence::DevelopmentKey { key_id, signature } =
        key.evidence(&CHALLENGE)
    else {
        panic!("a development key's evidence")
    };
    development_key::verify(&key_id, &key.public_key(), &CHALLENGE, &signature, NOW).unwrap()
}

fn app(change: impl FnOnce(&mut AppPolicy)) -> AppraisalPolicy {
    let mut app = AppPolicy::new("app");
    app.mode = AppMode::Development;
    app.apple.push(AppleApp::new("ABCDE12345", "com.example.app"));
    app.android.push(AndroidApp { package: "com.example.app".to_owned(), signing_digests: vec![[8; 32]] });
    change(&mut app);
    AppraisalPolicy::new("test/1").with_app(app)
}

fn appraise(evidence: impl Into<EvidenceSet>, change: impl FnOnce(&mut AppPolicy)) -> Appraisal {
    app(change).appraise("app", &evidence.into(), &Circumstances::default(), NOW)
}

/// The claims of a vector that say something.
fn said(vector: &TrustVector) -> Vec<(TrustClaim, i8)> {
    vector.claims().filter(|(_, value)| *value != 0).collect()
}

#[test]
fn only_one_piece_of_each_kind_and_of_one_platform_is_in_a_set() {
    let android = || EvidenceSet::new(by_hardware(android()));
    assert_eq!(android().accompanied_by(by_google()).all().count(), 2);
    assert_eq!(android().accompanied_by(by_google()).accompanied_by(by_google()).all().count(), 2);
    assert_eq!(android().accompanied_by(by_hardware(self::android())).all().count(), 1);
    assert_eq!(android().accompanied_by(by_apple("1")).all().count(), 1, "another platform's");
    assert_eq!(EvidenceSet::new(by_apple("1")).accompanied_by(by_google()).all().count(), 1);
}

#[test]
fn what_was_recorded_verifies_again_and_hardware_vouches_in_any_order() {
    let anchors = anchors();
    let trust = TrustData { anchors: &anchors, revocation: None, development_keys: &|_| None };
    let mut phone = android();
    let hardware = RecordedEvidence::android_key(&phone.attest(&CHALLENGE, NOW), CHALLENGE, NOW);
    let google = RecordedEvidence::play_integrity(&verdict_of_google(), CHALLENGE, NOW);
    for pieces in [[hardware.clone(), google.clone()], [google.clone(), hardware.clone()]] {
        let set = verify_all(&pieces, &trust).unwrap().unwrap();
        assert_eq!(set.primary().kind(), EvidenceKind::AndroidKey);
        assert!(set.of_kind(EvidenceKind::PlayIntegrity).is_some());
    }
    let alone = verify_all(&[google], &trust).unwrap().unwrap();
    assert_eq!((alone.primary().kind(), alone.all().count()), (EvidenceKind::PlayIntegrity, 1));
    assert_eq!(verify_all(&[], &trust), Ok(None));
}

#[test]
fn one_recorded_piece_that_does_not_verify_spoils_all() {
    let anchors = anchors();
    let trust = TrustData { anchors: &anchors, revocation: None, development_keys: &|_| None };
    let mut phone = android();
    let hardware = RecordedEvidence::android_key(&phone.attest(&CHALLENGE, NOW), CHALLENGE, NOW);
    let stale = RecordedEvidence::play_integrity(&verdict_of_google(), CHALLENGE, NOW.plus(601));
    assert!(matches!(verify_all(&[hardware, stale], &trust), Err(EvidenceError::PlayIntegrity(_))));
}

#[test]
fn what_evidence_says_of_a_device_depends_on_who_vouches() {
    use TrustClaim::{Configuration, Executables, Hardware, InstanceIdentity, StorageOpaque};
    let vector = |evidence: VerifiedEvidence, change: fn(&mut AppPolicy)| {
        said(appraise(evidence, change).trust_vector())
    };
    let affirmed =
        [(InstanceIdentity, 2), (Configuration, 2), (Executables, 3), (Hardware, 2), (StorageOpaque, 2)];
    assert_eq!(vector(by_apple("1"), |_| ()), affirmed);
    let unrevoked = |app: &mut AppPolicy| {
        let ignore = countersign_verifier::policy::Enforcement::Ignore;
        app.enforcements.set(Constraint::RevocationChecked, None, ignore);
    };
    let android_with_list = {
        let mut phone = android();
        let chain = phone.attest(&CHALLENGE, NOW);
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let list =
            countersign_verifier::revocation::RevocationList::parse(br#"{"entries":{}}"#, NOW).unwrap();
        android_key::verify(&chain, &CHALLENGE, &anchors(), Some(&list), NOW).unwrap()
    };
    assert_eq!(vector(android_with_list, unrevoked), affirmed);
    let software = by_hardware(android().security_level(SecurityLevel::Software));
    assert_eq!(software.protection(), Protection::Software);
    let vector_of_software = vector(software, |_| ());
    assert!(vector_of_software.iter().all(|(claim, _)| *claim != StorageOpaque), "{vector_of_software:?}");
    let google = vector(by_google(), |_| ());
    assert!(google.contains(&(Executables, 3)) && google.contains(&(Hardware, 32)), "{google:?}");
    assert!(google.iter().all(|(claim, _)| *claim != StorageOpaque), "{google:?}");
    let developer = vector(by_developer(), |_| ());
    assert_eq!(developer, [(InstanceIdentity, 2), (Hardware, 32)]);
}

#[test]
fn an_appraisal_says_what_it_is_of() {
    let appraisal = appraise(by_apple("1"), |_| ());
    assert_eq!((appraisal.policy(), appraisal.client_id()), ("test/1", "app"));
    assert_eq!((appraisal.evidence_time(), appraisal.appraised_at()), (Some(NOW), NOW));
    assert_eq!(appraisal.protection(), Some(Protection::SecureEnclave));
    assert_eq!(appraisal.kinds(), [EvidenceKind::AppAttest]);
    let report = app(|_| ()).appraise_report(
        "app",
        countersign_verifier::evidence::Platform::Apple,
        &Circumstances::default(),
        NOW,
    );
    assert_eq!((report.evidence_time(), report.protection(), report.kinds()), (None, None, &[][..]));
    assert_eq!([Tier::Affirming, Tier::Warning, Tier::Contraindicated].map(Tier::code), [2, 32, 96]);
}

#[test]
fn a_policy_gives_back_what_it_was_made_of() {
    use countersign_verifier::boot_keys::{BootKey, BootKeys};
    use countersign_verifier::policy::Danger;
    let entry = BootKey { verified_boot_key: [5; 32], name: "Another".to_owned(), models: Vec::new() };
    let (boot_keys, danger) = (
        BootKeys::new(vec![entry]).unwrap(),
        Danger { weak_keys: vec![Constraint::KeyDigest], ..Danger::default() },
    );
    let policy = app(|_| ())
        .with_app(AppPolicy::new("another"))
        .with_boot_keys(boot_keys.clone())
        .with_danger(danger.clone());
    assert_eq!((policy.boot_keys(), policy.danger()), (&boot_keys, &danger));
    let ids: Vec<_> = policy.apps().map(|app| app.client_id.as_str()).collect();
    assert_eq!(ids, ["another", "app"]);
    assert_eq!(AppleApp::new("ABCDE12345", "com.example.app").app_id(), "ABCDE12345.com.example.app");
}

#[test]
fn an_attested_version_below_the_minimum_is_refused_and_an_unknown_code_too() {
    let objects = |evidence: VerifiedEvidence, change: fn(&mut AppPolicy)| {
        let appraisal = appraise(evidence, change);
        appraisal.objections().any(|outcome| outcome.constraint == Constraint::AppVersion)
    };
    let text: fn(&mut AppPolicy) = |app| app.minimum_app_version = Some("7".to_owned());
    assert!(!objects(by_apple("7"), text));
    assert!(!objects(by_apple("10"), text));
    assert!(objects(by_apple("6"), text));
    let code: fn(&mut AppPolicy) = |app| app.minimum_version_code = Some(1);
    assert!(!objects(by_hardware(android()), code));
    assert!(objects(by_developer(), code), "evidence that tells no code");
}

#[test]
fn evidence_is_as_old_as_its_verification() {
    let later = Timestamp::from_unix_seconds(NOW.as_unix_seconds() + 5);
    let evidence = play_integrity::verify(verdict_of_google(), &CHALLENGE, later).unwrap();
    assert_eq!(EvidenceSet::new(evidence).evidence_time(), later);
}

#[test]
fn what_a_leaf_describes_can_be_read_without_believing_it() {
    let chain = android().attestation_version(200).attest(&CHALLENGE, NOW);
    let read = |index: usize| android_key::UnverifiedKeyDescription::read(&chain[index]);
    let description = read(0).unwrap().expect("a key description");
    assert_eq!((description.challenge.as_slice(), description.attestation_version), (&CHALLENGE[..], 200));
    assert_eq!(read(1), Ok(None), "no leaf");
    assert_eq!(android_key::UnverifiedKeyDescription::read(&chain[0][1..]), Err(EvidenceError::MalformedKey));
}
