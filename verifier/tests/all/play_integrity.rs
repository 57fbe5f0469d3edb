//! Google Play's verdict beside key attestation and alone, from the token to the tier.

use countersign_core::enrolment::{Cure, DecodedEnrolment};
use countersign_core::time::Timestamp;
use countersign_core::token::result::{Protection, Tier, VouchedBy};
use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::enrolment::{
    ANDROID_EVIDENCE_LIFETIME, Admission, DecodeFailure, DecodedToken, EnrolmentError, PlatformKey,
    RegisteredInstance,
};
use countersign_verifier::evidence::play_integrity::{
    ClassicKeys, PlayIntegrityError, decrypt, from_decode_answer,
};
use countersign_verifier::evidence::{EvidenceError, RecordedEvidence, TrustData};
use countersign_verifier::policy::{
    AppPolicy, Constraint, Danger, DeviceIntegrity, Enforcement, PLAY_INTEGRITY_LIFETIME,
};
use countersign_virtual_device::{
    EnrolmentAttack, Expected, PlayIntegrityAttack, PlayRequest, VirtualAndroid, VirtualPhone, VirtualPlay,
};
use serde_json::json;

use crate::world::{self, NOW, Refused, World, call, registered, seed, session};

/// A service that holds the console's keys, and a Google that answers.
struct Console {
    service: World,
    play: VirtualPlay,
}

fn play() -> VirtualPlay {
    VirtualPlay::from_seed(&seed()).app("com.example.app", 1, [8; 32])
}

fn android(play: &VirtualPlay, request: PlayRequest) -> VirtualAndroid {
    world::android().google_play(play, request)
}

fn beside(play: &VirtualPlay) -> VirtualPhone {
    android(play, PlayRequest::Classic).into()
}

fn alone(play: &VirtualPlay) -> VirtualPhone {
    android(play, PlayRequest::Standard).without_key_attestation().into()
}

impl Console {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut AppPolicy)) -> Self {
        Self { service: World::with(change), play: play() }
    }

    /// What the service's keys, or Google, make of a token.
    fn decode(&self, token: &str) -> DecodedToken {
        let keys = ClassicKeys::new(self.play.decryption_key(), &self.play.verification_key()).unwrap();
        match decrypt(token, &keys) {
            // Google decodes it, as one of its own or not at all.
            Err(PlayIntegrityError::WrongKey) => match self.play.decode(token) {
                Some(answer) => from_decode_answer(answer.as_bytes()).map_err(DecodeFailure::Invalid),
                None => Err(DecodeFailure::Invalid(PlayIntegrityError::Rejected)),
            },
            opened => opened.map_err(DecodeFailure::Invalid),
        }
    }

    fn enrol(&self, phone: &mut VirtualPhone) -> Result<Admission, Refused> {
        self.service.admit_with(&phone.enrol(&call(NOW), &session()), None, NOW, |token| self.decode(token))
    }

    fn renew(
        &self,
        phone: &mut VirtualPhone,
        registered: &RegisteredInstance,
        now: Timestamp,
    ) -> Result<Admission, Refused> {
        let envelope = phone.renew(&call(now), registered.id, &session());
        self.service.admit_with(&envelope, Some(registered), now, |token| self.decode(token))
    }
}

fn objections(admission: &Admission) -> Vec<&'static str> {
    admission.appraisal().objections().map(|outcome| outcome.constraint.label()).collect()
}

fn warns_instead(label: Constraint) -> impl FnOnce(&mut AppPolicy) {
    move |app| app.enforcements.set(label, None, Enforcement::Warn)
}

#[test]
fn beside_key_attestation_hardware_vouches_and_google_agrees() {
    let admission = Console::new().enrol(&mut beside(&play())).unwrap();
    assert_eq!(admission.tier(), Tier::Affirming);
    assert_eq!(
        (admission.platform_key(), admission.protection()),
        (&PlatformKey::AndroidKey, Protection::Tee)
    );
    assert_eq!(admission.vouched_by(), VouchedBy::Platform);
    assert_eq!(admission.appraisal().kinds().len(), 2);
}

#[test]
fn alone_google_play_reaches_the_tier_warning_and_attests_no_key() {
    let admission = Console::new().enrol(&mut alone(&play())).unwrap();
    assert_eq!(admission.tier(), Tier::Warning);
    assert_eq!(objections(&admission), ["key-attestation-present"]);
    assert_eq!(admission.platform_key(), &PlatformKey::PlayIntegrity);
    assert_eq!(admission.protection(), Protection::Software);
    assert_eq!(admission.vouched_by(), VouchedBy::AttestedApp);
}

#[test]
fn that_google_play_is_alone_can_be_refused_and_is_ignored_only_with_danger() {
    let refusing = Console::with(|app| {
        app.enforcements.set(Constraint::KeyAttestationPresent, None, Enforcement::Require)
    });
    let refused = refusing.enrol(&mut alone(&play()));
    assert_eq!(refused.err(), Some(Refused::Policy(vec!["key-attestation-present"])));
    let ignoring = |app: &mut AppPolicy| {
        app.enforcements.set(Constraint::KeyAttestationPresent, None, Enforcement::Ignore);
    };
    let mut world = Console::with(ignoring);
    assert_eq!(world.enrol(&mut alone(&play())).unwrap().tier(), Tier::Warning);
    let danger = Danger { weak_devices: vec![Constraint::KeyAttestationPresent], ..Danger::default() };
    world.service.policy = world.service.policy.with_danger(danger);
    assert_eq!(world.enrol(&mut alone(&play())).unwrap().tier(), Tier::Affirming);
}

#[test]
fn every_lying_token_alone_gets_its_verdict() {
    let world = Console::new();
    for attack in PlayIntegrityAttack::ALL {
        for request in [PlayRequest::Classic, PlayRequest::Standard] {
            if request == PlayRequest::Standard && !attack.is_in_the_payload() {
                continue;
            }
            let phone = android(&play().attack(*attack), request).without_key_attestation();
            let verdict = world.enrol(&mut phone.into());
            let as_expected = match attack.expected() {
                Expected::Unverifiable => matches!(
                    verdict,
                    Err(Refused::Error(EnrolmentError::Evidence(EvidenceError::PlayIntegrity(_))))
                ),
                Expected::Contraindicated => matches!(verdict, Err(Refused::Policy(_))),
                Expected::BelowMinimum => verdict.as_ref().is_ok_and(|one| one.tier() == Tier::Warning),
            };
            assert!(as_expected, "{} {request:?}: {:?}", attack.name(), verdict.err());
        }
    }
}

/// Hardware's word stands; only what is no token of ours at all, or names another app, refuses.
#[test]
fn a_bad_verdict_beside_key_attestation_lowers_the_tier_and_another_app_refuses() {
    let world = Console::new();
    for attack in PlayIntegrityAttack::ALL {
        use PlayIntegrityAttack as A;
        let verdict = world.enrol(&mut beside(&play().attack(*attack)));
        let other_app = matches!(
            attack,
            A::OtherPackage
                | A::OtherRequestPackage
                | A::OtherAppPackage
                | A::OtherCertificate
                | A::ExtraCertificate
        );
        match (attack.expected(), verdict) {
            (Expected::Unverifiable, verdict) => {
                assert!(matches!(verdict, Err(Refused::Error(_))), "{}", attack.name());
            }
            (_, Err(refused)) => {
                assert_eq!(refused, Refused::Policy(vec!["play-app-identity"]), "{}", attack.name());
                assert!(other_app, "{}", attack.name());
            }
            (_, Ok(admission)) => {
                assert!(!other_app, "{}", attack.name());
                // That nobody is named, and strong integrity that is not asked for, lower nothing.
                let silent = [A::NoCertificate, A::StrongOfOldAndroid].contains(attack);
                let expected = if silent { Tier::Affirming } else { Tier::Warning };
                assert_eq!(admission.tier(), expected, "{}", attack.name());
            }
        }
    }
}

#[test]
fn a_token_for_another_phones_key_is_refused() {
    let (mut mine, mut other) = (alone(&play()), alone(&play()).of_somebody_else());
    let world = Console::new();
    let (mine, other) = (mine.enrol(&call(NOW), &session()), other.enrol(&call(NOW), &session()));
    let decoded = DecodedEnrolment::decode(&other).unwrap();
    let countersign_core::enrolment::Evidence::PlayIntegrity { token } = &decoded.enrolment.evidence[0]
    else {
        panic!("the evidence is of Google Play");
    };
    let refused = world.service.admit_with(&mine, None, NOW, |_| world.decode(token)).err();
    let mismatch = EvidenceError::PlayIntegrity(PlayIntegrityError::BindingMismatch);
    assert_eq!(refused, Some(Refused::Error(EnrolmentError::Evidence(mismatch))));
}

#[test]
fn when_google_is_unreachable_its_word_beside_hardware_counts_as_absent() {
    let envelope = beside(&play()).enrol(&call(NOW), &session());
    let unreachable = |_: &str| Err(DecodeFailure::Unreachable);
    let admission = World::new().admit_with(&envelope, None, NOW, unreachable).unwrap();
    assert_eq!(admission.tier(), Tier::Affirming);
    let world = Console::with(warns_instead(Constraint::PlayIntegrityPresent));
    let admission = world.service.admit_with(&envelope, None, NOW, unreachable).unwrap();
    assert_eq!(admission.tier(), Tier::Warning);
    let said = admission.appraisal().objections().next().unwrap();
    assert_eq!(said.constraint, Constraint::PlayIntegrityPresent);
    assert!(said.explanation.contains("could not be asked"), "{}", said.explanation);
}

#[test]
fn when_google_is_unreachable_a_lone_token_is_to_be_tried_again() {
    let envelope = alone(&play()).enrol(&call(NOW), &session());
    let refused = World::new().admit_with(&envelope, None, NOW, |_| Err(DecodeFailure::Unreachable));
    assert_eq!(refused.err(), Some(Refused::Error(EnrolmentError::PlayIntegrityUnreachable)));
    assert_eq!(EnrolmentError::PlayIntegrityUnreachable.cure(), Some(Cure::Retry));
}

#[test]
fn a_lone_token_is_refused_where_the_service_can_ask_nobody() {
    let envelope = alone(&play()).enrol(&call(NOW), &session());
    let refused = World::new().admit_with(&envelope, None, NOW, |_| Err(DecodeFailure::NotAsked));
    assert_eq!(refused.err(), Some(Refused::Error(EnrolmentError::UnsupportedEvidence)));
}

#[test]
fn a_renewal_by_google_play_alone_keeps_what_hardware_was_worth_and_its_time() {
    let world = Console::new();
    let mut phone = beside(&play());
    let before = registered(&world.enrol(&mut phone).unwrap());
    // The same phone, as it renews between two chains: with a token and no more.
    phone = match phone {
        VirtualPhone::Android(phone) => phone.without_key_attestation().into(),
        phone => phone,
    };
    let later = NOW.plus(6 * 3600);
    let renewed = world.renew(&mut phone, &before, later).unwrap();
    assert_eq!(renewed.tier(), Tier::Affirming);
    assert_eq!(renewed.platform_key(), &PlatformKey::AndroidKey);
    assert_eq!(renewed.evidence_time(), NOW, "hardware last vouched at enrolment");
    assert_eq!(renewed.history().play_integrity.as_ref().unwrap().time, later.as_unix_seconds());
}

#[test]
fn a_bad_verdict_counts_until_the_next_one_and_not_beyond_a_day() {
    let world = Console::new();
    let mut honest: VirtualPhone = android(&play(), PlayRequest::Classic).into();
    let first = registered(&world.enrol(&mut honest).unwrap());
    let worse =
        play().saying("deviceIntegrity", json!({"deviceRecognitionVerdict": ["MEETS_BASIC_INTEGRITY"]}));
    let VirtualPhone::Android(phone) = honest else { panic!("it is an Android phone") };
    let mut worse: VirtualPhone = phone.clone().google_play(&worse, PlayRequest::Classic).into();
    let with_bad_verdict = registered(&world.renew(&mut worse, &first, NOW.plus(600)).unwrap());
    assert_eq!(with_bad_verdict.trustworthiness.tier, Tier::Warning);

    // A chain without a token beside it does not wash the verdict off.
    let mut silent = world::android().into();
    let VirtualPhone::Android(_) = &silent else { panic!("it is an Android phone") };
    let envelope = |phone: &mut VirtualPhone, now| {
        phone.enrol(&call(NOW), &session());
        phone.renew(&call(now), with_bad_verdict.id, &session())
    };
    let silent_renewal = |silent: &mut VirtualPhone, now| {
        let envelope = envelope(silent, now);
        world.service.admit_with(&envelope, Some(&with_bad_verdict), now, |token| world.decode(token))
    };
    let soon = silent_renewal(&mut silent, NOW.plus(1200)).unwrap();
    assert_eq!(soon.tier(), Tier::Warning);
    assert_eq!(objections(&soon), ["play-device-integrity"]);
    let mut silent = world::android().into();
    let much_later = NOW.plus(600 + PLAY_INTEGRITY_LIFETIME + 1);
    assert_eq!(silent_renewal(&mut silent, much_later).unwrap().tier(), Tier::Affirming);

    let mut good: VirtualPhone = phone.into();
    let better = world.renew(&mut good, &with_bad_verdict, NOW.plus(1200)).unwrap();
    assert_eq!(better.tier(), Tier::Affirming);
}

#[test]
fn strong_integrity_counts_from_android_13_on() {
    let strict =
        || Console::with(|app| app.play_integrity.minimum_device_integrity = DeviceIntegrity::Strong);
    assert!(strict().enrol(&mut alone(&play())).is_ok());
    let of_sdk = |version: serde_json::Value| {
        play().saying(
            "deviceIntegrity",
            json!({
                "deviceRecognitionVerdict": ["MEETS_DEVICE_INTEGRITY", "MEETS_STRONG_INTEGRITY"],
                "deviceAttributes": version,
            }),
        )
    };
    for (version, passes) in [
        (json!({"sdkVersion": 33}), true),
        (json!({"sdkVersion": 32}), false),
        (json!({}), false),
        (json!(null), false),
    ] {
        let verdict = strict().enrol(&mut alone(&of_sdk(version.clone())));
        assert_eq!(verdict.is_ok(), passes, "{version}");
        assert!(
            Console::new().enrol(&mut alone(&of_sdk(version))).is_ok(),
            "device integrity it is all the same"
        );
    }
}

#[test]
fn device_integrity_of_a_lone_verdict_is_not_negotiable_and_its_minimum_is() {
    let basic = play().attack(PlayIntegrityAttack::BasicOnly);
    let ignores = |app: &mut AppPolicy| {
        app.enforcements.set(Constraint::PlayDeviceIntegrity, None, Enforcement::Ignore);
    };
    let refused = Console::with(ignores).enrol(&mut alone(&basic));
    assert_eq!(refused.err(), Some(Refused::Policy(vec!["play-device-integrity"])));
    let beside_hardware = Console::with(ignores).enrol(&mut beside(&basic)).unwrap();
    assert_eq!(beside_hardware.tier(), Tier::Affirming);
    let lower = Console::with(|app| app.play_integrity.minimum_device_integrity = DeviceIntegrity::Basic);
    assert_eq!(lower.enrol(&mut alone(&basic)).unwrap().tier(), Tier::Warning);
}

#[test]
fn a_verdict_is_kept_and_verified_again_as_of_its_time() {
    let admission = Console::new().enrol(&mut beside(&play())).unwrap();
    let kinds: Vec<_> = admission.recorded_evidence().iter().map(|piece| piece.kind().name()).collect();
    assert_eq!(kinds, ["android-key", "play-integrity"]);
    let verdict = &admission.recorded_evidence()[1];
    let kept = RecordedEvidence::from_bytes(&verdict.to_bytes()).unwrap();
    let anchors = TrustAnchors::embedded();
    let trust = TrustData { anchors: &anchors, revocation: None, development_keys: &|_| None };
    let again = kept.verify(&trust).unwrap();
    assert_eq!((again.kind().name(), again.evidence_time()), ("play-integrity", NOW));
    assert!(!kept.vouches_alone(), "it knows of no key");
}

#[test]
fn another_phones_instance_is_not_renewed_with_google_play() {
    let world = Console::new();
    let before = registered(&world.enrol(&mut alone(&play())).unwrap());
    let mut other = alone(&play()).of_somebody_else();
    let refused = world.renew(&mut other, &before, NOW.plus(600));
    assert_eq!(refused.err(), Some(Refused::Error(EnrolmentError::InstanceMismatch)));
}

#[test]
fn an_instance_of_google_play_is_due_after_a_day_and_renews_by_another_token() {
    let world = Console::new();
    let mut phone = alone(&play());
    let before = registered(&world.enrol(&mut phone).unwrap());
    let later = NOW.plus(25 * 3600);
    let renewed = world.renew(&mut phone, &before, later).unwrap();
    assert_eq!(renewed.evidence_time(), later);
    assert_eq!(renewed.platform_key(), &PlatformKey::PlayIntegrity);
}

/// What becomes of an instance that Google Play alone vouches for, so many seconds after its last verdict.
fn overdue(after: u64, decoded: Option<DecodeFailure>) -> Result<Admission, Refused> {
    let world = Console::new();
    let mut phone = alone(&play());
    let before = registered(&world.enrol(&mut phone).unwrap());
    let later = NOW.plus(after);
    let envelope = match decoded {
        Some(_) => phone.renew(&call(later), before.id, &session()),
        None => phone.forge_renewal(&call(later), before.id, &session(), EnrolmentAttack::NoEvidence),
    };
    world
        .service
        .admit_with(&envelope, Some(&before), later, |_| Err(decoded.unwrap_or(DecodeFailure::NotAsked)))
}

#[test]
fn an_instance_of_google_play_alone_renews_for_a_day_without_a_verdict_and_no_longer() {
    let last = overdue(ANDROID_EVIDENCE_LIFETIME, None).unwrap();
    assert_eq!((last.tier(), last.evidence_time()), (Tier::Warning, NOW));
    let due = EnrolmentError::EvidenceDue;
    assert_eq!(overdue(ANDROID_EVIDENCE_LIFETIME + 1, None).err(), Some(Refused::Error(due.clone())));
    assert_eq!((due.reason(), due.cure()), ("enrolment_evidence_due", Some(Cure::Retry)));
}

#[test]
fn a_token_that_nobody_can_decode_prolongs_nothing_and_costs_no_instance() {
    for failure in [DecodeFailure::Unreachable, DecodeFailure::NotAsked] {
        let waiting = overdue(ANDROID_EVIDENCE_LIFETIME, Some(failure)).unwrap();
        assert_eq!((waiting.tier(), waiting.evidence_time()), (Tier::Warning, NOW), "an outage for a day");
    }
    let after = |failure| match overdue(ANDROID_EVIDENCE_LIFETIME + 1, Some(failure)) {
        Err(Refused::Error(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(after(DecodeFailure::Unreachable), EnrolmentError::PlayIntegrityUnreachable);
    assert_eq!(after(DecodeFailure::NotAsked), EnrolmentError::EvidenceDue);
    let invalid = DecodeFailure::Invalid(PlayIntegrityError::Signature);
    assert!(matches!(after(invalid), EnrolmentError::Evidence(_)));
    for failure in [DecodeFailure::Unreachable, DecodeFailure::NotAsked] {
        assert_eq!(after(failure).cure(), Some(Cure::Retry), "with the same keys");
    }
}

#[test]
fn an_instance_whose_key_is_in_hardware_renews_at_the_tier_warning_when_evidence_is_due() {
    let world = Console::new();
    let mut phone = beside(&play());
    let before = registered(&world.enrol(&mut phone).unwrap());
    let later = NOW.plus(ANDROID_EVIDENCE_LIFETIME + 1);
    let envelope = phone.forge_renewal(&call(later), before.id, &session(), EnrolmentAttack::NoEvidence);
    let renewed =
        world.service.admit_with(&envelope, Some(&before), later, |_| Err(DecodeFailure::NotAsked)).unwrap();
    assert_eq!((renewed.tier(), renewed.evidence().tier), (Tier::Warning, Tier::Affirming));
}

#[test]
fn a_chain_for_an_instance_of_google_play_alone_leads_to_an_instance_of_hardware() {
    let world = Console::new();
    let before = registered(&world.enrol(&mut alone(&play())).unwrap());
    let mut attesting: VirtualPhone = world::android().into();
    let before = RegisteredInstance { instance_key: attesting.instance_key(), ..before };
    let refused = world.renew(&mut attesting, &before, NOW.plus(600)).err();
    assert_eq!(refused, Some(Refused::Error(EnrolmentError::UnexpectedEvidence)));
    assert_eq!(EnrolmentError::UnexpectedEvidence.cure(), Some(Cure::ReEnrol));
}
