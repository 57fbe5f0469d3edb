//! The edge's decision, attacked step by step: each test names what an attacker tries, and the reason it is refused
//! for.

mod anomaly;
mod answers;
mod api_key;
mod bounds;
mod budget;
mod client_certificate;
mod credential;
mod deny_list;
mod explanation;
mod limits;
mod oauth;
mod oauth_bytes;
mod oauth_scene;
mod opaque;
mod pending;
mod percentage;
mod proof;
mod request;
mod result;
mod route;
mod scene;
mod step_up;
mod witness;

use countersign_core::token::result::InstanceId;
use countersign_verifier::check::{Decision, Reason};

use scene::Scene;

#[test]
fn a_bound_token_with_its_instance_passes_once() {
    let scene = Scene::new();
    let sent = scene.sent();
    let Decision::Permit(permit) = scene.check(&sent) else { panic!("refused") };
    assert_eq!(permit.attestation().instance, InstanceId::from_bytes([5; 16]));
    assert_eq!(permit.access_token().and_then(|token| token.subject.as_deref()), Some("user"));
    assert_eq!(scene.refused(&sent), Reason::Replayed, "replayed proof");
    assert_eq!(scene.verdict(&scene.sent()), None, "a further proof of the same device passes");
}
