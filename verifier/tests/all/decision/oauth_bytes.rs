//! Any change of any one byte of the OAuth flavour's fields is refused; also another spelling of the same bytes.

use countersign_verifier::check::{Decision, Route, TokenBinding};

use super::oauth_scene::{Sent, passes, scene, sent, sent_with_pop};
use super::scene::{NOW, Scene};

/// The text with each character replaced, left out, and doubled in turn.
fn changes(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for (at, character) in text.char_indices() {
        let doubled = format!("{character}{character}");
        for other in ["A", "_", "-", "w", ".", "=", " ", ",", "\u{e9}", "", &doubled] {
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            if changed != text {
                all.push((at, changed));
            }
        }
    }
    all
}

fn refuses_every_change(scene: &Scene, field: &str, text: &str, with: impl Fn(String) -> Sent) {
    assert!(text.len() > 100, "there is something to change");
    for (at, changed) in changes(text) {
        let decision = scene.edge.check("api", &with(changed).request(), NOW);
        // A changed `kid` makes the edge ask for keys, and then nothing is decided.
        assert!(
            matches!(decision, Decision::Refusal(_) | Decision::Needs(_)),
            "character {at} of {field}: {decision:?}"
        );
    }
}

#[test]
fn no_changed_client_attestation_passes() {
    let (scene, honest) = (scene(Route::new("/")), sent());
    let attestation = honest.attestation.clone().unwrap();
    refuses_every_change(&scene, "the attestation", &attestation, |changed| Sent {
        attestation: Some(changed),
        ..honest.clone()
    });
    assert!(passes(&scene, &honest), "none of them used up the proof");
}

#[test]
fn no_changed_dpop_proof_passes() {
    let (scene, honest) = (scene(Route::new("/")), sent());
    let dpop = honest.dpop.clone().unwrap();
    refuses_every_change(&scene, "the proof", &dpop, |changed| Sent {
        dpop: Some(changed),
        ..honest.clone()
    });
    assert!(passes(&scene, &honest), "none of them used up the proof");
}

#[test]
fn no_changed_proof_of_possession_passes() {
    let unbound =
        Route { danger_unbound_pop: true, token_binding: TokenBinding::DangerClientOnly, ..Route::new("/") };
    let (scene, honest) = (scene(unbound), sent_with_pop(|_| {}));
    let pop = honest.pop.clone().unwrap();
    refuses_every_change(&scene, "the proof", &pop, |changed| Sent { pop: Some(changed), ..honest.clone() });
    assert!(passes(&scene, &honest), "none of them used up the proof");
}
