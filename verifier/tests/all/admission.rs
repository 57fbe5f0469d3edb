//! What an admission holds for the registry and for the results, and what else than a phone can be admitted.

use countersign_core::enrolment::{Cure, DecodedEnrolment, Enrolment};
use countersign_core::environment::{Environment, Signal};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_core::token::result::{Protection, Tier, VouchedBy};
use countersign_core::token::trust_vector::TrustClaim;
use countersign_verifier::enrolment::{
    Admission, AuthenticEnrolment, DecodeFailure, EnrolmentError, PlatformKey, RegisteredInstance, Service,
    Signals, Verdict,
};
use countersign_verifier::evidence::android_key::unverified_attestation_key;
use countersign_verifier::evidence::play_integrity::PlayIntegrityError;
use countersign_verifier::evidence::recorded::verify_all;
use countersign_verifier::evidence::{Claims, EvidenceError, EvidenceKind, TrustData};
use countersign_verifier::policy::{AppMode, AppPolicy, Constraint, Enforcement, History};
use countersign_virtual_device::{DevelopmentKey, EnrolmentAttack, Provisioning, ServiceCall, VirtualPhone};

use crate::world::{
    CHALLENGE, INSTANCE, ISSUER, NOW, Refused, World, anchors, android, call, challenge_keys, iphone,
    nothing_revoked, policy, registered, seed, session,
};

/// The constraint that fails on phones from the factory, as a warning that edges are told.
fn tells_of_the_factory(app: &mut AppPolicy) {
    app.enforcements.set(Constraint::RemoteProvisioning, None, Enforcement::Warn);
    app.exported_labels = [Constraint::RemoteProvisioning].into();
}

fn from_the_factory() -> VirtualPhone {
    android().provisioning(Provisioning::Factory).into()
}

#[test]
fn an_admission_says_of_the_device_what_the_envelope_said() {
    let world = World::with(|app| app.result_lifetime = Some(300));
    let seen = Environment::default().with(Signal::ALL[0]);
    let call = ServiceCall { app_version: "3.2.1", environment: seen.0, ..call(NOW) };
    let mut phone: VirtualPhone = android().into();
    let admission = world.admit(&phone.enrol(&call, &session()), None, NOW).unwrap();
    assert_eq!(
        (admission.app_version(), admission.policy(), admission.client_id()),
        ("3.2.1", "test/1", "app")
    );
    assert_eq!((admission.environment(), admission.result_lifetime()), (seen, Some(300)));
    assert_eq!(admission.session_key(), &session().public_key());
    assert_eq!(admission.appraisal().policy(), "test/1");
    let plain = World::new().admit(&phone.enrol(&self::call(NOW), &session()), None, NOW).unwrap();
    assert_eq!((plain.environment(), plain.result_lifetime()), (Environment::default(), None));
}

#[test]
fn what_failed_and_is_exported_is_stored_and_issued() {
    let world = World::with(tells_of_the_factory);
    let mut phone = from_the_factory();
    let admission = world.admit(&phone.enrol(&call(NOW), &session()), None, NOW).unwrap();
    for worth in [admission.evidence(), admission.issued()] {
        assert_eq!(
            (worth.tier, worth.labels.as_slice()),
            (Tier::Warning, &["remote-provisioning".to_owned()][..])
        );
        assert_eq!(worth.trust_vector.value(TrustClaim::Hardware), 32);
        assert_eq!(worth.trust_vector.value(TrustClaim::Executables), 3);
    }
    let without = phone.forge_renewal(&call(NOW), INSTANCE, &session(), EnrolmentAttack::NoEvidence);
    let renewed = world.admit(&without, Some(&registered(&admission)), NOW).unwrap();
    assert_eq!(
        renewed.issued().labels,
        ["remote-provisioning"],
        "a renewal without evidence forgets nothing"
    );
    assert_eq!(renewed.evidence(), admission.evidence());
    let good = world.admit(&VirtualPhone::from(android()).enrol(&call(NOW), &session()), None, NOW).unwrap();
    assert_eq!((good.issued().tier, good.issued().labels.len()), (Tier::Affirming, 0));
}

#[test]
fn evidence_is_due_after_a_day_and_not_on_it() {
    let world = World::new();
    let mut phone: VirtualPhone = android().into();
    let registered = world.enrol(&mut phone);
    for (age, expected) in [(86_400, Tier::Affirming), (86_401, Tier::Warning)] {
        let registered = RegisteredInstance { evidence_time: NOW.minus(age), ..registered.clone() };
        let without = phone.forge_renewal(&call(NOW), INSTANCE, &session(), EnrolmentAttack::NoEvidence);
        let admission = world.admit(&without, Some(&registered), NOW).unwrap();
        assert_eq!(admission.issued().tier, expected, "{age}");
    }
}

#[test]
fn the_attestation_key_is_told_so_that_its_instances_can_be_counted() {
    let world = World::new();
    let key = |phone: VirtualPhone| {
        let mut phone = phone;
        let admission = world.admit(&phone.enrol(&call(NOW), &session()), None, NOW).unwrap();
        let kinds: Vec<_> = admission.recorded_evidence().iter().map(|piece| piece.kind()).collect();
        (admission.attestation_key().copied(), kinds)
    };
    let (of_android, kinds) = key(android().into());
    assert_eq!((of_android, kinds), (Some(attestation_key_of(&world)), vec![EvidenceKind::AndroidKey]));
    assert_eq!(key(iphone().into()), (None, vec![EvidenceKind::AppAttest]));
    // What is looked up before anything is verified is the same key.
    let chain = android().attest(&CHALLENGE, NOW);
    assert_eq!(unverified_attestation_key(&chain), of_android);
    assert_eq!(unverified_attestation_key(&chain[..1]), None);
}

/// That of the Android phone, as its verified evidence has it.
fn attestation_key_of(world: &World) -> [u8; 32] {
    let mut phone: VirtualPhone = android().into();
    let admission = world.admit(&phone.enrol(&call(NOW), &session()), None, NOW).unwrap();
    let (anchors, revocation) = (anchors(), nothing_revoked());
    let trust = TrustData { anchors: &anchors, revocation: Some(&revocation), development_keys: &|_| None };
    let evidence = verify_all(admission.recorded_evidence(), &trust).unwrap().unwrap();
    match evidence.primary().claims() {
        Claims::AndroidKey(claims) => claims.attestation_key,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_seen_before_is_kept_beside_what_is_seen_now() {
    let world = World::new();
    let mut phone: VirtualPhone = android().into();
    let first = world.admit(&phone.enrol(&call(NOW), &session()), None, NOW).unwrap();
    assert_eq!(first.history_before(), None);
    assert_ne!(first.history(), &History::default());
    let renewal = phone.renew(&call(NOW), INSTANCE, &session());
    let second = world.admit(&renewal, Some(&registered(&first)), NOW).unwrap();
    assert_eq!(second.history_before(), Some(first.history()));
}

#[test]
fn that_google_was_not_asked_is_told_apart_from_that_it_could_not_be() {
    let world = World::new();
    let play = countersign_virtual_device::VirtualPlay::from_seed(&seed()).app("com.example.app", 1, [8; 32]);
    let request = countersign_virtual_device::PlayRequest::Classic;
    let explained = |mut phone: VirtualPhone| {
        let admission = world
            .admit_with(&phone.enrol(&call(NOW), &session()), None, NOW, |_| Err(DecodeFailure::Unreachable))
            .unwrap();
        let outcomes = admission.appraisal().outcomes().iter();
        let mut of_google = outcomes.filter(|outcome| outcome.constraint == Constraint::PlayIntegrityPresent);
        of_google.next().map(|outcome| outcome.explanation.clone())
    };
    assert_eq!(explained(android().into()).as_deref(), Some("Google Play gave no verdict."));
    assert_eq!(
        explained(android().google_play(&play, request).into()).as_deref(),
        Some("Google could not be asked for its verdict: the token counts as absent.")
    );
}

/// The envelope of a build on a simulator, whose instance key is in software and which a developer's key vouches for.
fn of_a_developer(key: &DevelopmentKey, instance: Option<&RegisteredInstance>) -> Vec<u8> {
    let phone: VirtualPhone = iphone().into();
    let call = call(NOW);
    let mut enrolment = Enrolment {
        instance: instance.map(|registered| registered.id),
        issuer: ISSUER.to_owned(),
        challenge: call.challenge,
        client_id: "app".to_owned(),
        instance_key: phone.instance_key(),
        session_key: session().public_key(),
        possession: [0; 64],
        evidence: Vec::new(),
        environment: 0,
        app_version: "1.0".to_owned(),
        protection: Protection::Software,
    };
    let binding = enrolment.binding(enrolment.purpose(), true, instance.is_some()).hash();
    enrolment.evidence.push(key.evidence(&binding));
    enrolment.possession = session().sign(&enrolment.possession_hash());
    let unsigned = enrolment.to_unsigned();
    unsigned.with_signature(&phone.sign(&unsigned.to_be_signed()))
}

fn admit_developer(
    envelope: &[u8],
    registered: Option<&RegisteredInstance>,
    keys: &dyn Fn(&str) -> Option<PublicKey>,
    mode: AppMode,
) -> Result<Admission, Refused> {
    let (policy, anchors, challenge_keys) = (policy(|app| app.mode = mode), anchors(), challenge_keys());
    let service = Service {
        issuer: ISSUER,
        challenge_keys: &challenge_keys,
        anchors: &anchors,
        revocation: None,
        development_keys: keys,
        policy: &policy,
    };
    let decoded = DecodedEnrolment::decode(envelope).map_err(|_| Refused::Encoding)?;
    let offline = AuthenticEnrolment::verify(decoded, registered, &service, NOW)
        .and_then(|authentic| authentic.verify_evidence(&service, NOW))
        .map_err(Refused::Error)?;
    assert_eq!(offline.offline_evidence().map(|piece| piece.kind()), Some(EvidenceKind::DevelopmentKey));
    let verified = offline.complete(Err(DecodeFailure::NotAsked), NOW).map_err(Refused::Error)?;
    assert!(verified.evidence().is_some_and(|set| set.primary().kind() == EvidenceKind::DevelopmentKey));
    match verified.appraise(&policy, Signals::default(), NOW) {
        Verdict::Admitted(admission) => Ok(*admission),
        Verdict::Refused(_) => Err(Refused::Policy(Vec::new())),
    }
}

#[test]
fn a_registered_developers_key_vouches_in_development_alone_and_renews_what_it_enrolled() {
    let key = DevelopmentKey::from_seed(&seed(), "laptop");
    let keys = |id: &str| (id == "laptop").then(|| key.public_key());
    let enrolment = of_a_developer(&key, None);
    let admission = admit_developer(&enrolment, None, &keys, AppMode::Development).unwrap();
    assert_eq!(admission.platform_key(), &PlatformKey::DevelopmentKey);
    assert_eq!(
        (admission.protection(), admission.vouched_by()),
        (Protection::Software, VouchedBy::Developer)
    );
    assert_eq!((admission.tier(), admission.attestation_key()), (Tier::Warning, None));
    let in_production = admit_developer(&enrolment, None, &keys, AppMode::Production).err();
    assert_eq!(in_production, Some(Refused::Policy(Vec::new())));
    let registered = registered(&admission);
    let renewal = of_a_developer(&key, Some(&registered));
    assert!(admit_developer(&renewal, Some(&registered), &keys, AppMode::Development).is_ok());
}

#[test]
fn a_developers_key_that_nobody_registered_vouches_for_nothing() {
    let (key, other) = (
        DevelopmentKey::from_seed(&seed(), "laptop"),
        DevelopmentKey::from_seed(&seed().child("b"), "laptop"),
    );
    let refused = |envelope: &[u8], keys: &dyn Fn(&str) -> Option<PublicKey>| {
        admit_developer(envelope, None, keys, AppMode::Development).err()
    };
    let unknown = refused(&of_a_developer(&key, None), &|_| None);
    assert_eq!(unknown, Some(Refused::Error(EnrolmentError::UnknownDevelopmentKey)));
    let foreign = refused(&of_a_developer(&other, None), &|_| Some(key.public_key()));
    assert!(matches!(foreign, Some(Refused::Error(EnrolmentError::Evidence(_)))), "{foreign:?}");
}

#[test]
fn a_developers_key_does_not_renew_what_hardware_vouched_for() {
    let key = DevelopmentKey::from_seed(&seed(), "laptop");
    let mut phone: VirtualPhone = iphone().into();
    let registered = World::new().enrol(&mut phone);
    let renewal = of_a_developer(&key, Some(&registered));
    let keys = |_: &str| Some(key.public_key());
    let refused = admit_developer(&renewal, Some(&registered), &keys, AppMode::Development).err();
    assert_eq!(refused, Some(Refused::Error(EnrolmentError::UnexpectedEvidence)));
}

#[test]
fn an_honest_device_is_told_what_helps() {
    use EnrolmentError as E;
    let late = E::Evidence(EvidenceError::PlayIntegrity(PlayIntegrityError::TooOld));
    for retried in [E::PlayIntegrityUnreachable, late] {
        assert_eq!(retried.cure(), Some(Cure::Retry), "{retried:?}");
    }
    for enrolled_again in [
        E::UnknownInstance,
        E::InstanceMismatch,
        E::DevelopmentInstance,
        E::KeyNotAttested,
        E::Evidence(EvidenceError::CounterNotZero),
    ] {
        assert_eq!(enrolled_again.cure(), Some(Cure::ReEnrol), "{enrolled_again:?}");
    }
    for incurable in [E::Issuer, E::Signature, E::Possession, E::UnknownClient, E::NoEvidence] {
        assert_eq!(incurable.cure(), None, "{incurable:?}");
    }
}

#[test]
fn evidence_for_another_time_is_evidence_of_that_time() {
    let world = World::new();
    let later = Timestamp::from_unix_seconds(NOW.as_unix_seconds() + 60);
    let mut phone: VirtualPhone = iphone().into();
    let admission = world.admit(&phone.enrol(&call(later), &session()), None, later).unwrap();
    assert_eq!(admission.evidence_time(), later);
    let times: Vec<_> = admission.recorded_evidence().iter().map(|piece| piece.verified_at()).collect();
    assert_eq!(times, [later]);
}
