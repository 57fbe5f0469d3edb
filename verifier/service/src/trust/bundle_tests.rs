//! Trust bundles on a running service: taken up without a restart, and never taken back.

use std::path::Path;

use countersign_core::encoding::base64url;
use countersign_core::enrolment::Cure;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_verifier::revocation::RevocationList;
use countersign_verifier::trust_bundle::{BundleContent, BundledRoots, BundledStatusList, RootKind};
use countersign_virtual_device::google_authority::status_list_json;
use countersign_virtual_device::{AppleAuthority, GoogleAuthority};
use ed25519_dalek::{Signer, SigningKey};

use super::Trust;
use super::watch::{BundleLife, Told};
use crate::attestation::Cause;
use crate::service::Service;
use crate::settings::Settings;
use crate::virtual_world::{START, World, android, iphone, seed, session, trust};

const POLICY: &str = "id = 'bundled/1'\n[[app]]\nclient_id = 'app'\n\
    apple = [{ team_id = 'ABCDE12345', bundle_id = 'com.example.app' }]\n\
    android = [{ package = 'com.example.app', signing_digests = \
    ['0808080808080808080808080808080808080808080808080808080808080808'] }]\n";

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// A bundle of the roots of the virtual world, without revoked serials that matter.
fn content(version: u64) -> BundleContent {
    let roots = |kind, certificate| BundledRoots { kind, replace: false, certificates: vec![certificate] };
    BundleContent {
        version,
        issued_at: START,
        expires_at: None,
        roots: vec![
            roots(RootKind::AppAttest, AppleAuthority::from_seed(&seed()).root_certificate_der()),
            roots(RootKind::AndroidKey, GoogleAuthority::from_seed(&seed()).root_certificate_der()),
        ],
        status_list: Some(BundledStatusList {
            as_of: START,
            json: status_list_json(&[("abcdef", "REVOKED")]).into_bytes(),
        }),
        boot_keys: Vec::new(),
    }
}

fn write(directory: &Path, content: &BundleContent, signer: &SigningKey) {
    let public = PublicKey::from_ed25519(signer.verifying_key().to_bytes()).unwrap();
    let message = content.to_unsigned(&public);
    let signature = signer.sign(&message.to_be_signed()).to_bytes();
    std::fs::write(directory.join("trust.bundle"), message.with_signature(&signature)).unwrap();
}

/// A service whose roots and status list come from a bundle of version 5.
async fn world() -> World {
    let public = base64url(&key(1).verifying_key().to_bytes());
    let settings = format!("[trust]\nbundle = 'trust.bundle'\nbundle_key = '{public}'\n");
    let world = World::with(&settings, |directory| {
        std::fs::write(directory.join("policy.toml"), POLICY).unwrap();
        write(directory, &content(5), &key(1));
    })
    .await;
    world.service().reload_trust().await.unwrap();
    world
}

async fn refused(world: &World, content: &BundleContent, signer: &SigningKey) -> String {
    write(world.directory(), content, signer);
    world.service().reload_trust().await.unwrap_err().to_string()
}

fn in_force(world: &World) -> u64 {
    world.service().trust.load().bundle().unwrap().seen().version
}

#[tokio::test]
async fn devices_enrol_under_the_roots_and_the_list_of_a_bundle() {
    let world = world().await;
    world.enrol(&mut iphone()).await;
    world.enrol(&mut android()).await;
    let trust = world.service().trust.load();
    assert_eq!(trust.revocation.as_ref().map(|list| (list.len(), list.as_of())), Some((1, START)));
    assert!(trust.policy.danger().is_empty());
}

#[tokio::test]
async fn a_bundle_that_takes_a_root_away_withdraws_what_stood_on_it() {
    let world = world().await;
    let instance = world.enrol(&mut android()).await;
    let mut next = content(6);
    next.roots.pop();
    write(world.directory(), &next, &key(1));
    world.service().reload_trust().await.unwrap();
    world.service().reappraise_all().await.unwrap();
    let record = world.service().store.instance(&instance).await.unwrap().unwrap();
    assert_eq!(record.withdrawn.unwrap().reasons, ["chain_unknown_root"]);
    // And given back under a higher version, it stands again.
    write(world.directory(), &content(7), &key(1));
    world.service().reload_trust().await.unwrap();
    world.service().reappraise_all().await.unwrap();
    assert_eq!(world.service().store.instance(&instance).await.unwrap().unwrap().withdrawn, None);
}

#[tokio::test]
async fn what_is_not_taken_changes_nothing_and_says_why() {
    let world = world().await;
    let mut other = content(5);
    other.boot_keys.clear();
    other.expires_at = Some(START.plus(1));
    let expired = BundleContent { expires_at: Some(START), ..content(6) };
    let early = BundleContent { issued_at: START.plus(3600), ..content(6) };
    let cases = [
        (content(4), key(1), "version 5 was in force before"),
        (other, key(1), "another bundle of this version"),
        (content(6), key(2), "another key than the one that is trusted"),
        (expired, key(1), "has expired"),
        (early, key(1), "made in the future"),
    ];
    for (content, signer, sentence) in cases {
        let said = refused(&world, &content, &signer).await;
        assert!(said.contains(sentence) && said.contains("trust.bundle"), "{said}");
        assert_eq!(in_force(&world), 5);
    }
    std::fs::write(world.directory().join("trust.bundle"), "{}").unwrap();
    let said = world.service().reload_trust().await.unwrap_err().to_string();
    assert!(said.contains("no signed trust bundle"), "{said}");
    std::fs::remove_file(world.directory().join("trust.bundle")).unwrap();
    assert!(world.service().reload_trust().await.unwrap_err().to_string().contains("cannot be read"));
    assert!(world.service().attest(None, &iphone().enrol(&world.call(), &session("s"))).await.is_ok());
}

#[tokio::test]
async fn an_old_bundle_does_not_come_back_with_a_restart() {
    let world = world().await;
    let settings: Settings = world.service().settings.clone();
    let old = content(4);
    write(world.directory(), &old, &key(1));
    let trust = Trust::load(&settings, world.now()).unwrap();
    let clock = world.service().clock.clone();
    let refused = Service::start_with(settings, trust, clock).await.unwrap_err().to_string();
    assert!(refused.contains("version 5 was in force before"), "{refused}");
}

#[tokio::test]
async fn a_bundle_needs_its_key_in_the_settings_and_the_key_its_bundle() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), POLICY).unwrap();
    write(directory.path(), &content(1), &key(1));
    let said = |lines: &str| {
        let text = format!("issuer = 'https://attest.example'\n[trust]\n{lines}");
        Settings::parse(&directory.path().join("countersign.toml"), &text).unwrap_err().to_string()
    };
    assert!(said("bundle = 'trust.bundle'\n").contains("Add `bundle_key`"));
    assert!(said("bundle_key = 'AAAA'\n").contains("no `bundle`"));
    assert!(said("bundle = 'trust.bundle'\nbundle_key = 'AAAA'\n").contains("no Ed25519 public key"));
    assert!(said("bundle = 'absent'\nbundle_key = 'AAAA'\n").contains("does not exist"));
}

#[tokio::test]
async fn without_a_network_the_bundle_alone_keeps_android_fresh() {
    let world = world().await;
    let mut phone = android();
    world.wait(7 * 86_400 + 1);
    assert!(world.service().attest(None, &phone.enrol(&world.call(), &session("late"))).await.is_err());
    let now: Timestamp = world.now();
    let list =
        BundledStatusList { as_of: now, json: status_list_json(&[("abcdef", "REVOKED")]).into_bytes() };
    write(
        world.directory(),
        &BundleContent { issued_at: now, status_list: Some(list), ..content(6) },
        &key(1),
    );
    world.service().reload_trust().await.unwrap();
    assert!(world.service().attest(None, &phone.enrol(&world.call(), &session("again"))).await.is_ok());
}

#[tokio::test]
async fn a_set_without_bundle_remembers_none() {
    let world = World::new().await;
    world.service().replace_trust(trust()).await;
    assert_eq!(world.service().store.seen_bundle().await, Ok(None));
}

/// A service whose bundle of version 5 expires `life` seconds after the start.
async fn expiring(life: u64) -> World {
    let world = world().await;
    write(world.directory(), &BundleContent { expires_at: Some(START.plus(life)), ..content(6) }, &key(1));
    world.service().reload_trust().await.unwrap();
    world
}

#[tokio::test]
async fn an_expired_bundle_refuses_enrolments_and_renewals_until_a_newer_one_comes() {
    let world = expiring(3600).await;
    let mut phone = iphone();
    let instance = world.enrol(&mut phone).await;
    world.wait(3599);
    let renewal = phone.renew(&world.call(), instance, &session("in time"));
    assert!(world.service().attest(Some(instance), &renewal).await.is_ok());

    world.wait(1);
    let late = phone.renew(&world.call(), instance, &session("late"));
    let enrolment = android().enrol(&world.call(), &session("first"));
    for (addressed, envelope) in [(Some(instance), &late), (None, &enrolment), (Some(instance), &renewal)] {
        let denial = world.service().attest(addressed, envelope).await.err().unwrap();
        assert_eq!((&denial.cause, denial.cause.cure()), (&Cause::TrustBundleExpired, Some(Cure::Retry)));
        let reference = denial.reference.unwrap();
        let decision = world.service().store.decision(reference.as_str()).await.unwrap().unwrap();
        assert_eq!(decision.reasons, ["trust_bundle_expired"]);
    }
    let record = world.service().store.instance(&instance).await.unwrap().unwrap();
    assert_eq!(record.withdrawn, None, "the end of a bundle says nothing of a device");
    let metrics = world.service().metrics.to_prometheus();
    assert!(metrics.contains("{purpose=\"enrol\",verdict=\"refused\",reason=\"trust_bundle_expired\"} 1\n"));

    let now = world.now();
    write(world.directory(), &BundleContent { issued_at: now, ..content(7) }, &key(1));
    world.service().reload_trust().await.unwrap();
    assert!(world.service().attest(Some(instance), &late).await.is_ok());
    assert!(world.service().attest(None, &enrolment).await.is_ok());
}

#[tokio::test]
async fn reading_an_expired_bundle_again_lifts_nothing() {
    let world = expiring(3600).await;
    world.wait(3600);
    let said = world.service().reload_trust().await.unwrap_err().to_string();
    assert!(said.contains("has expired"), "{said}");
    let list = RevocationList::parse(br#"{"entries":{}}"#, world.now()).unwrap();
    world.service().adopt_status_list(list).await;
    let denial =
        world.service().attest(None, &iphone().enrol(&world.call(), &session("s"))).await.err().unwrap();
    assert_eq!(denial.cause, Cause::TrustBundleExpired);
}

#[tokio::test]
async fn an_expired_bundle_stops_the_start() {
    let world = expiring(3600).await;
    let refused = Trust::load(&world.service().settings, START.plus(3600)).unwrap_err().to_string();
    assert!(refused.contains("trust.bundle is not taken: it has expired"), "{refused}");
}

#[tokio::test]
async fn the_end_of_a_bundle_is_told_from_seven_days_before_and_every_day() {
    const DAY: u64 = 86_400;
    let world = expiring(10 * DAY).await;
    let life = |left: u64| {
        let trust = world.service().trust.load();
        trust.bundle_life(START.plus(10 * DAY).minus(left))
    };
    assert_eq!(life(7 * DAY + 1), BundleLife::Long);
    assert_eq!(
        (life(7 * DAY), life(6 * DAY + 1), life(6 * DAY)),
        (BundleLife::Days(7), BundleLife::Days(7), BundleLife::Days(6))
    );
    assert_eq!((life(1), life(0)), (BundleLife::Days(1), BundleLife::Expired));
    let told = world.service().tell_of_age(Told::default());
    world.wait(4 * DAY);
    assert_ne!(world.service().tell_of_age(told), told);
    let metrics = world.service().metrics.to_prometheus();
    let end = START.plus(10 * DAY).as_unix_seconds();
    assert!(metrics.contains(&format!("countersign_trust_bundle_expires_at_seconds {end}\n")), "{metrics}");
}

#[tokio::test]
async fn a_bundle_without_an_end_does_not_expire() {
    let world = world().await;
    let trust = world.service().trust.load();
    let far = START.plus(100 * 366 * 86_400);
    assert_eq!((trust.bundle_time_left(far), trust.bundle_has_expired(far)), (None, false));
    assert_eq!(trust.bundle_life(far), BundleLife::Long);
}
