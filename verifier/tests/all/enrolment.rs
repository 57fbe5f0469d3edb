//! Envelopes of virtual phones, honest and lying, from the wire to a result.

use countersign_core::challenge::{ChallengeError, Scope};
use countersign_core::encoding::from_base64url;
use countersign_core::token::jose::Jws;
use countersign_core::token::keys::{PublicKey, SIGNATURE_LENGTH};
use countersign_core::token::result::{DecodedResult, InstanceId, Protection, Tier, VouchedBy};
use countersign_verifier::crypto::AwsLc;
use countersign_verifier::enrolment::{
    ANDROID_EVIDENCE_LIFETIME, CHALLENGE_LIFETIME, EnrolmentError, PlatformKey, RegisteredInstance,
};
use countersign_verifier::issue::{Issuer, Lifetimes, Signer, SigningFailed};
use countersign_verifier::policy::{AppMode, AppPolicy, AppraisalPolicy, Constraint, Danger, Enforcement};
use countersign_virtual_device::{
    AndroidAttack, AssertionAttack, EnrolmentAttack, Environment, ServiceCall, VirtualPhone,
};

use crate::world::{
    INSTANCE, ISSUER, NOW, Refused, World, android, call, challenge_keys, iphone, registered, session,
};

fn phones() -> [VirtualPhone; 2] {
    [iphone().into(), android().into()]
}

#[test]
fn both_phones_enrol_and_what_vouches_for_their_key_is_said() {
    let world = World::new();
    let [mut iphone, mut android] = phones();
    let admission = world.admit(&iphone.enrol(&call(NOW), &session()), None, NOW).unwrap();
    assert_eq!(admission.vouched_by(), VouchedBy::AttestedApp);
    assert_eq!(admission.protection(), Protection::SecureEnclave);
    assert!(matches!(admission.platform_key(), PlatformKey::AppAttest { counter: 0, .. }));
    let admission = world.admit(&android.enrol(&call(NOW), &session()), None, NOW).unwrap();
    assert_eq!(admission.vouched_by(), VouchedBy::Platform);
    assert_eq!(admission.protection(), Protection::Tee);
    assert_eq!(admission.instance_key(), &android.instance_key());
}

#[test]
fn every_lying_enrolment_is_refused() {
    let world = World::new();
    for attack in EnrolmentAttack::ALL {
        for mut phone in phones() {
            let envelope = phone.forge_enrolment(&call(NOW), &session(), *attack);
            assert!(world.admit(&envelope, None, NOW).is_err(), "{}", attack.name());
        }
    }
}

#[test]
fn relayed_evidence_does_not_enrol_another_key() {
    let world = World::new();
    let [mut iphone, mut android] = phones();
    let envelope = android.forge_enrolment(&call(NOW), &session(), EnrolmentAttack::RelayedEvidence);
    assert_eq!(world.admit(&envelope, None, NOW).err(), Some(Refused::Error(EnrolmentError::KeyNotAttested)));
    let envelope = iphone.forge_enrolment(&call(NOW), &session(), EnrolmentAttack::RelayedEvidence);
    assert!(matches!(world.admit(&envelope, None, NOW), Err(Refused::Error(EnrolmentError::Evidence(_)))));
}

#[test]
fn a_rooted_phone_is_refused_by_policy() {
    let world = World::new();
    let mut rooted: VirtualPhone = android().attack(AndroidAttack::Rooted).into();
    assert_eq!(
        world.admit(&rooted.enrol(&call(NOW), &session()), None, NOW).err(),
        Some(Refused::Policy(vec!["boot-state", "device-locked"]))
    );
}

#[test]
fn a_challenge_lives_twenty_minutes() {
    let world = World::new();
    let [_, mut android] = phones();
    let envelope = android.enrol(&call(NOW), &session());
    assert!(world.admit(&envelope, None, NOW.plus(CHALLENGE_LIFETIME)).is_ok());
    let late = world.admit(&envelope, None, NOW.plus(CHALLENGE_LIFETIME + 1)).err();
    assert_eq!(late, Some(Refused::Error(EnrolmentError::Challenge(ChallengeError::Expired))));
}

#[test]
fn a_nonce_of_an_edge_is_no_challenge() {
    let world = World::new();
    let [_, mut android] = phones();
    let scope = Scope::Nonce { resource: ISSUER, replay_domain: "" };
    let nonce = challenge_keys().issue(scope, NOW, &[1; 16]);
    let call = ServiceCall { challenge: nonce, ..call(NOW) };
    let refused = world.admit(&android.enrol(&call, &session()), None, NOW).err();
    assert_eq!(refused, Some(Refused::Error(EnrolmentError::Challenge(ChallengeError::Unrecognised))));
}

#[test]
fn a_renewal_is_verified_with_the_registered_key_alone() {
    let world = World::new();
    for mut phone in phones() {
        let registered = world.enrol(&mut phone);
        let admission = world.admit(&phone.renew(&call(NOW), INSTANCE, &session()), Some(&registered), NOW);
        assert_eq!(admission.unwrap().tier(), Tier::Affirming);
        let mut thief = phone.of_somebody_else();
        let stolen = thief.renew(&call(NOW), INSTANCE, &session());
        let refused = world.admit(&stolen, Some(&registered), NOW).err();
        assert_eq!(
            refused,
            Some(Refused::Error(EnrolmentError::InstanceMismatch)),
            "renewal under another's id"
        );
        let foreign = phone.renew(&call(NOW), InstanceId::from_bytes([6; 16]), &session());
        assert!(world.admit(&foreign, Some(&registered), NOW).is_err());
        assert_eq!(
            world.admit(&foreign, None, NOW).err(),
            Some(Refused::Error(EnrolmentError::UnknownInstance))
        );
    }
}

#[test]
fn every_lying_renewal_is_refused() {
    let world = World::new();
    for attack in EnrolmentAttack::ALL {
        for mut phone in phones() {
            let registered = world.enrol(&mut phone);
            let envelope = phone.forge_renewal(&call(NOW), INSTANCE, &session(), *attack);
            let admitted = world.admit(&envelope, Some(&registered), NOW);
            // Without evidence a renewal counts on the last appraisal; an iPhone, which could assert, for less.
            let expected = match (attack, &phone) {
                (EnrolmentAttack::NoEvidence, VirtualPhone::Iphone(_)) => Some(Tier::Warning),
                (EnrolmentAttack::NoEvidence, VirtualPhone::Android(_)) => Some(Tier::Affirming),
                _ => None,
            };
            assert_eq!(admitted.ok().map(|admission| admission.tier()), expected, "{}", attack.name());
        }
    }
}

#[test]
fn android_evidence_that_is_due_lowers_the_tier_until_it_comes() {
    let world = World::new();
    let [_, mut android] = phones();
    let mut registered = world.enrol(&mut android);
    registered.evidence_time = NOW.minus(ANDROID_EVIDENCE_LIFETIME + 1);
    let without = android.forge_renewal(&call(NOW), INSTANCE, &session(), EnrolmentAttack::NoEvidence);
    let admission = world.admit(&without, Some(&registered), NOW).unwrap();
    assert_eq!((admission.tier(), admission.evidence().tier), (Tier::Warning, Tier::Affirming));
    let with = android.renew(&call(NOW), INSTANCE, &session());
    let admission = world.admit(&with, Some(&registered), NOW).unwrap();
    assert_eq!((admission.tier(), admission.evidence_time()), (Tier::Affirming, NOW));
}

#[test]
fn an_assertion_does_not_raise_the_tier_of_a_development_attestation() {
    let mut world = World::new();
    let mut app = world.policy.app("app").unwrap().clone();
    app.enforcements.set(Constraint::Environment, None, Enforcement::Warn);
    let danger = Danger { weak_keys: vec![Constraint::Environment], ..Danger::default() };
    world.policy = AppraisalPolicy::new("test/2").with_app(app).with_danger(danger);
    let mut iphone: VirtualPhone = iphone().environment(Environment::Development).into();
    let registered = world.enrol(&mut iphone);
    assert_eq!(registered.trustworthiness.tier, Tier::Warning);
    let renewal = iphone.renew(&call(NOW), INSTANCE, &session());
    let admission = world.admit(&renewal, Some(&registered), NOW).unwrap();
    assert_eq!((admission.tier(), admission.evidence().tier), (Tier::Warning, Tier::Warning));
}

#[test]
fn an_instance_of_an_app_that_was_removed_is_not_renewed() {
    for mut phone in phones() {
        let mut world = World::new();
        let registered = world.enrol(&mut phone);
        world.policy = AppraisalPolicy::new("test/2");
        let without = phone.forge_renewal(&call(NOW), INSTANCE, &session(), EnrolmentAttack::NoEvidence);
        let refused = world.admit(&without, Some(&registered), NOW).err();
        assert_eq!(refused, Some(Refused::Error(EnrolmentError::UnknownClient)));
    }
}

#[test]
fn an_instance_of_a_developer_is_not_renewed_in_production() {
    let mut world = World::new();
    let [_, mut android] = phones();
    let platform_key = PlatformKey::DevelopmentKey;
    let registered = RegisteredInstance { platform_key, ..world.enrol(&mut android) };
    let without = android.forge_renewal(&call(NOW), INSTANCE, &session(), EnrolmentAttack::NoEvidence);
    let refused = world.admit(&without, Some(&registered), NOW).err();
    assert_eq!(refused, Some(Refused::Error(EnrolmentError::DevelopmentInstance)));
    let app = AppPolicy { mode: AppMode::Development, ..world.policy.app("app").unwrap().clone() };
    world.policy = AppraisalPolicy::new("test/2").with_app(app);
    assert!(world.admit(&without, Some(&registered), NOW).is_ok());
}

#[test]
fn an_assertion_counter_only_grows() {
    let world = World::new();
    let [mut iphone, _] = phones();
    let first = world.enrol(&mut iphone);
    let envelope = iphone.renew(&call(NOW), INSTANCE, &session());
    let second = registered(&world.admit(&envelope, Some(&first), NOW).unwrap());
    assert!(matches!(second.platform_key, PlatformKey::AppAttest { counter: 1, .. }));
    assert!(world.admit(&envelope, Some(&second), NOW).is_err(), "the same assertion once more");
    let VirtualPhone::Iphone(phone) = iphone else { panic!("an iPhone") };
    let mut lying: VirtualPhone = phone.assertion_attack(AssertionAttack::CounterZero).into();
    let envelope = lying.renew(&call(NOW), INSTANCE, &session());
    assert!(world.admit(&envelope, Some(&second), NOW).is_err());
}

#[test]
fn what_is_issued_reads_as_it_was_admitted() {
    let world = World::new();
    let [_, mut android] = phones();
    let admission = world.admit(&android.enrol(&call(NOW), &session()), None, NOW).unwrap();
    let (result_signer, attestation_signer) = (TestSigner::ed25519(), TestSigner::p256());
    let issuer = Issuer {
        issuer: ISSUER,
        result_signer: &result_signer,
        attestation_signer: &attestation_signer,
        lifetimes: Lifetimes { result: 9999, attestation: 3600 },
    };
    let issued = issuer.issue(&admission, INSTANCE, NOW).unwrap();
    let bytes = from_base64url(&issued.result).unwrap();
    let result = DecodedResult::decode(&bytes).unwrap();
    result.message.verify(result_signer.public_key(), &AwsLc).unwrap();
    assert_eq!(result.claims.confirmation, session().public_key());
    assert_eq!(result.claims.instance_jkt, android.instance_key().thumbprint());
    assert_eq!(result.claims.expires_at, NOW.plus(600), "no result lives longer than ten minutes");
    let for_server = Jws::decode(&issued.client_attestation_as).unwrap();
    let for_resources = Jws::decode(&issued.client_attestation_rs).unwrap();
    assert!(!for_server.claims.contains_key("countersign"), "a resource must not take this one");
    assert_eq!(for_resources.claims["countersign"]["tier"], 2);
    assert_eq!(for_resources.claims["exp"], NOW.plus(600).as_unix_seconds());
    let jwk = for_server.claims["cnf"]["jwk"].as_object().unwrap();
    assert_eq!(PublicKey::from_jwk(jwk), Ok(android.instance_key()));
}

type Sign = Box<dyn Fn(&[u8]) -> [u8; SIGNATURE_LENGTH] + Send + Sync>;

/// A signing key of the service, in memory.
struct TestSigner {
    key: PublicKey,
    sign: Sign,
}

impl TestSigner {
    fn ed25519() -> Self {
        let key = session();
        Self { key: key.public_key(), sign: Box::new(move |message| key.sign(message)) }
    }

    fn p256() -> Self {
        let [phone, _] = phones();
        Self { key: phone.instance_key(), sign: Box::new(move |message| phone.sign(message)) }
    }
}

impl Signer for TestSigner {
    fn key_id(&self) -> &str {
        "test"
    }

    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LENGTH], SigningFailed> {
        Ok((self.sign)(message))
    }
}
