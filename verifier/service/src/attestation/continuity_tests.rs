//! What the service remembers of an instance, end to end: nothing goes back, a known key keeps its history, a shared
//! attestation key is counted.

use countersign_core::token::result::InstanceId;
use countersign_verifier::enrolment::EnrolmentError;
use countersign_verifier::evidence::EvidenceError;
use countersign_verifier::policy::History;
use countersign_virtual_device::{
    AppExtensions, GoogleAuthority, Provisioning, VirtualAndroid, VirtualPhone,
};

use super::*;
use crate::virtual_world::{World, iphone, seed, session};

fn phone(os_version: u64, patch_level: u64) -> VirtualAndroid {
    VirtualAndroid::new(&GoogleAuthority::from_seed(&seed()), &seed())
        .app("com.example.app", 10, [8; 32])
        .system(os_version, patch_level)
}

fn id(answer: &EnrolmentAnswer) -> InstanceId {
    InstanceId::from_base64url(&answer.instance_id).unwrap()
}

/// Enrols, and says which instance it is.
async fn enrolled(world: &World, phone: &mut VirtualPhone) -> InstanceId {
    let envelope = phone.enrol(&world.call(), &session("first"));
    id(&world.service().attest(None, &envelope).await.unwrap())
}

/// Renews with the same keys in another state of the phone; the reasons of a refusal.
async fn renewed(world: &World, now: &VirtualPhone, instance: InstanceId) -> Result<(), Vec<String>> {
    let envelope = now.clone().renew(&world.call(), instance, &session("second"));
    match world.service().attest(Some(instance), &envelope).await {
        Ok(_) => Ok(()),
        Err(denial) => {
            assert_eq!(denial.cause, Cause::Policy);
            let reference = denial.reference.unwrap().to_string();
            Err(world.service().store.decision(&reference).await.unwrap().unwrap().reasons)
        }
    }
}

fn changed(phone: &VirtualPhone, change: impl FnOnce(VirtualAndroid) -> VirtualAndroid) -> VirtualPhone {
    match phone.clone() {
        VirtualPhone::Android(phone) => change(phone).into(),
        VirtualPhone::Iphone(_) => panic!("an iPhone"),
    }
}

fn with_version(phone: VirtualPhone, version: &str) -> VirtualPhone {
    let extensions = AppExtensions { bundle_version: version.to_owned(), category: 4, flag: false };
    match phone {
        VirtualPhone::Iphone(phone) => phone.ios_27(extensions).into(),
        VirtualPhone::Android(_) => panic!("an Android phone"),
    }
}

async fn history(world: &World, instance: InstanceId) -> History {
    world.service().store.instance(&instance).await.unwrap().unwrap().registered.history
}

#[tokio::test]
async fn a_phone_that_went_back_is_refused_and_one_that_comes_forward_again_is_not() {
    let world = World::new().await;
    let mut first = VirtualPhone::from(phone(150_000, 202_501));
    let instance = enrolled(&world, &mut first).await;
    let newer = changed(&first, |phone| phone.system(160_000, 202_509));
    assert_eq!(renewed(&world, &newer, instance).await, Ok(()));
    for (older, reason) in [
        (changed(&newer, |phone| phone.system(160_000, 202_508)), "patch-level-continuity"),
        (changed(&newer, |phone| phone.system(150_000, 202_509)), "os-version-continuity"),
        (changed(&newer, |phone| phone.boot_key([9; 32])), "boot-key-continuity"),
        (changed(&newer, |phone| phone.app("com.example.app", 9, [8; 32])), "app-version-continuity"),
    ] {
        assert_eq!(renewed(&world, &older, instance).await, Err(vec![reason.to_owned()]));
    }
    assert_eq!(renewed(&world, &newer, instance).await, Ok(()));
}

#[tokio::test]
async fn a_refused_renewal_is_not_remembered() {
    let world = World::new().await;
    let mut first = VirtualPhone::from(phone(150_000, 202_501));
    let instance = enrolled(&world, &mut first).await;
    let before = history(&world, instance).await;
    let refused = changed(&first, |phone| phone.system(170_000, 202_601).boot_key([9; 32]));
    assert!(renewed(&world, &refused, instance).await.is_err());
    assert_eq!(history(&world, instance).await, before);
}

#[tokio::test]
async fn a_known_key_that_enrols_again_keeps_its_history_and_its_instance() {
    let world = World::new().await;
    let mut phone = with_version(iphone(), "2.10");
    let instance = enrolled(&world, &mut phone).await;
    assert_eq!(history(&world, instance).await.bundle_version.as_deref(), Some("2.10"));

    let envelope = with_version(phone.clone(), "2.9").enrol(&world.call(), &session("second"));
    assert_eq!(world.service().attest(None, &envelope).await.map(drop).unwrap_err().cause, Cause::Policy);

    assert_eq!(enrolled(&world, &mut with_version(phone, "2.11")).await, instance);
    assert_eq!(history(&world, instance).await.bundle_version.as_deref(), Some("2.11"));
    // Of another key nothing is known, whatever phone it is on.
    let mut another = with_version(iphone().of_somebody_else(), "2.9");
    assert_ne!(enrolled(&world, &mut another).await, instance);
}

#[tokio::test]
async fn after_a_factory_reset_a_phone_is_a_new_instance_without_a_history() {
    let world = World::new().await;
    let mut first = VirtualPhone::from(phone(160_000, 202_509));
    let instance = enrolled(&world, &mut first).await;
    // Its keys are gone; the system may be an older one by now.
    let mut reset = VirtualPhone::from(phone(150_000, 202_501).of_somebody_else());
    assert_ne!(enrolled(&world, &mut reset).await, instance);
}

#[tokio::test]
async fn a_copy_of_a_phone_whose_counter_stayed_behind_is_refused() {
    let world = World::new().await;
    let mut phone = iphone();
    let instance = enrolled(&world, &mut phone).await;
    let copy = phone.clone();
    for name in ["second", "third"] {
        let envelope = phone.renew(&world.call(), instance, &session(name));
        world.service().attest(Some(instance), &envelope).await.unwrap();
    }
    let behind = copy.clone().renew(&world.call(), instance, &session("fourth"));
    assert_eq!(
        world.service().attest(Some(instance), &behind).await.map(drop).unwrap_err().cause,
        Cause::Enrolment(EnrolmentError::Evidence(EvidenceError::CounterNotGreater {
            previous: 2,
            received: 1
        }))
    );
}

#[tokio::test]
async fn instances_behind_one_attestation_key_are_counted_by_how_it_was_provisioned() {
    for (provisioning, eleventh) in
        [(Provisioning::Remote, Tier::Warning), (Provisioning::Factory, Tier::Affirming)]
    {
        let world = World::new().await;
        // Each enrolment makes a new key on the same chip.
        let mut phone = VirtualPhone::from(phone(160_000, 202_509).provisioning(provisioning));
        let mut last = None;
        for count in 1..=11 {
            let envelope = phone.enrol(&world.call(), &session("first"));
            last = Some(id(&world.service().attest(None, &envelope).await.unwrap()));
            let record = world.service().store.instance(&last.unwrap()).await.unwrap().unwrap();
            let expected = if count < 11 { Tier::Affirming } else { eleventh };
            assert_eq!(record.registered.trustworthiness.tier, expected, "{count}");
        }
        // A renewal of one of them does not count itself twice.
        world.wait(300);
        let envelope = phone.renew(&world.call(), last.unwrap(), &session("second"));
        world.service().attest(last, &envelope).await.unwrap();
        let record = world.service().store.instance(&last.unwrap()).await.unwrap().unwrap();
        assert_eq!(record.registered.trustworthiness.tier, eleventh);
        let metrics = world.service().metrics.to_prometheus();
        let line = "countersign_objections_total{constraint=\"attestation-key-sharing\"} 2";
        assert_eq!(metrics.contains(line), eleventh == Tier::Warning, "{metrics}");
    }
}

#[tokio::test]
async fn what_was_admitted_under_a_policy_that_was_replaced_meanwhile_is_judged_again_at_once() {
    let world = World::new().await;
    let service = world.service();
    let before = service.trust.load_full();
    let mut app = before.policy.app(crate::virtual_world::CLIENT).unwrap().clone();
    app.minimum_os_patch = "2199-01".parse().ok();
    let policy = before.policy.clone().with_app(app);
    service.replace_trust(Trust::new(policy).unwrap()).await;
    service.reappraise_all().await.unwrap();
    let envelope = VirtualPhone::from(phone(160_000, 202_509)).enrol(&world.call(), &session("first"));
    let call = Call { service, trust: &before, body: &envelope, addressed: None, now: world.now() };
    let (answer, _) = call.answer(&mut Known::default()).await.unwrap();
    let withdrawn = async {
        while service.store.instance(&id(&answer)).await.unwrap().unwrap().withdrawn.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), withdrawn).await.unwrap();
}
