//! The attestation result: who signed it, how long it is good, and whose it is.

use countersign_verifier::check::trust::KeyOwner;
use countersign_verifier::check::{Decision, Lookup, Reason};

use super::scene::{self, NOW, Scene, Sent};

#[test]
fn the_result_of_another_instance_does_not_take_my_proof() {
    let scene = Scene::new();
    let other = scene.device([9; 32]);
    let sent = Sent { result: Some(scene.result(&other, |_| {})), ..scene.sent() };
    assert_eq!(scene.refused(&sent), Reason::ProofOfAnotherResult);
    let sent = scene.sent_by(
        &scene.device([9; 32]),
        |claims| claims.confirmation = scene.device([4; 32]).key(),
        |_| {},
    );
    assert_eq!(scene.refused(&sent), Reason::ProofSignature, "a result that names another key");
}

#[test]
fn a_result_expires_in_the_cache_too() {
    let scene = Scene::new();
    let device = scene.device([4; 32]);
    assert_eq!(scene.verdict(&scene.sent()), None);
    let later = NOW.plus(300);
    let sent = scene.sent_by(&device, |_| {}, |proof| proof.issued_at = later.minus(1));
    assert_eq!(scene.verdict_at(&sent, later), Some(Reason::ResultExpired));
}

#[test]
fn a_result_signed_by_anybody_else_is_refused() {
    let scene = Scene::new();
    let device = scene.device([4; 32]);
    let forged = scene.result_signed(&device, "service-1", [66; 32], |_| {});
    let sent = Sent {
        result: Some(forged.clone()),
        proof: Some(scene.proof(&device, &forged, |_| {})),
        ..scene.sent()
    };
    assert_eq!(scene.refused(&sent), Reason::ResultSignature);
    let foreign = scene.sent_by(&device, |claims| claims.issuer = "https://other.example".into(), |_| {});
    assert_eq!(scene.refused(&foreign), Reason::ResultUnknownIssuer);
}

#[test]
fn made_up_key_ids_ask_for_one_fetch_and_are_then_refused() {
    let scene = Scene::new();
    let device = scene.device([4; 32]);
    let result = scene.result_signed(&device, "made-up", scene::SERVICE_SEED, |_| {});
    let sent = Sent {
        result: Some(result.clone()),
        proof: Some(scene.proof(&device, &result, |_| {})),
        ..scene.sent()
    };
    let owner = KeyOwner::AttestationService(scene::SERVICE.to_owned());
    assert!(matches!(scene.check(&sent), Decision::Needs(Lookup::Keys(needed)) if needed == owner));
    scene.edge.service(scene::SERVICE).unwrap().fetched(NOW);
    assert_eq!(scene.refused(&sent), Reason::ResultUnknownKey);
}

#[test]
fn a_key_that_is_gone_takes_its_cached_results_with_it() {
    let scene = Scene::new();
    assert_eq!(scene.verdict(&scene.sent()), None);
    scene.edge.service(scene::SERVICE).unwrap().replace(Default::default());
    scene.edge.service(scene::SERVICE).unwrap().fetched(NOW);
    assert_eq!(scene.refused(&scene.sent()), Reason::ResultUnknownKey);
}

#[test]
fn every_changed_bit_of_result_and_proof_is_refused() {
    let scene = Scene::new();
    scene.edge.service(scene::SERVICE).unwrap().fetched(NOW);
    let good = scene.sent();
    let (result, proof) = (good.result.clone().unwrap(), good.proof.clone().unwrap());
    let change = |field: &str, index: usize| {
        let mut bytes = countersign_core::encoding::from_base64url(field).unwrap();
        bytes[index] ^= 0x01;
        countersign_core::encoding::base64url(&bytes)
    };
    let length = |field: &str| countersign_core::encoding::from_base64url(field).unwrap().len();
    for index in 0..length(&result) {
        let sent = Sent { result: Some(change(&result, index)), ..good.clone() };
        assert!(scene.verdict(&sent).is_some(), "byte {index} of the result");
    }
    for index in 0..length(&proof) {
        let sent = Sent { proof: Some(change(&proof, index)), ..good.clone() };
        assert!(scene.verdict(&sent).is_some(), "byte {index} of the proof");
    }
    assert_eq!(scene.verdict(&good), None);
}
