//! A decision that is explained step by step is the decision, and asking for more finds no way past a step.
//! [`Scene::refused`](super::scene::Scene::refused) compares both for each attack of the other modules.

use countersign_verifier::check::explanation::Outcome;
use countersign_verifier::check::{Decision, Lookup, Reason, Step};

use super::scene::{NOW, Scene, Sent};

fn refusing(scene: &Scene, sent: &Sent) -> Vec<(Step, Vec<Reason>)> {
    let steps = scene.edge.explain("api", &sent.request(), NOW).steps;
    steps
        .into_iter()
        .filter_map(|(step, outcome)| match outcome {
            Outcome::Refused(reasons) => Some((step, reasons)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_request_that_passes_passes_every_step_and_passes_once() {
    let scene = Scene::new();
    let sent = scene.sent();
    let explanation = scene.edge.explain("api", &sent.request(), NOW);
    assert!(matches!(explanation.decision, Decision::Permit(_)));
    assert_eq!(explanation.decided_at, None);
    let numbers: Vec<_> = explanation.steps.iter().map(|(step, _)| step.number()).collect();
    assert_eq!(numbers, (1..=15).collect::<Vec<_>>());
    assert!(explanation.steps.iter().all(|(_, outcome)| *outcome == Outcome::Passed));
    assert_eq!(refusing(&scene, &sent), [(Step::Replay, vec![Reason::Replayed])]);
}

#[test]
fn every_independent_fault_is_found_and_the_first_decides() {
    let scene = Scene::new();
    let mut sent = scene.sent_by(
        &scene.device([4; 32]),
        |result| result.expires_at = NOW.minus(1),
        |proof| proof.issued_at = NOW.minus(3600),
    );
    sent.method = "PUT";
    sent.path_and_query = "/v1/accounts/2".into();
    assert_eq!(
        refusing(&scene, &sent),
        [
            (Step::Result, vec![Reason::ResultExpired]),
            (Step::Time, vec![Reason::ProofTime]),
            (Step::RequestBinding, vec![Reason::ProofMethod, Reason::ProofTarget, Reason::ProofQuery]),
        ]
    );
    assert_eq!(scene.refused(&sent), Reason::ResultExpired);
}

#[test]
fn asking_what_else_is_wrong_lets_nothing_pass_and_remembers_nothing() {
    let scene = Scene::new();
    let good = scene.sent();
    let mut expired = good.clone();
    expired.method = "PUT";
    for _ in 0..3 {
        let explanation = scene.edge.explain("api", &expired.request(), NOW);
        assert!(matches!(explanation.decision, Decision::Refusal(_)));
        assert!(explanation.steps.contains(&(Step::Replay, Outcome::NotReached)));
    }
    assert_eq!(scene.verdict(&good), None, "the proof has not been used by the questions");
}

#[test]
fn what_rests_on_a_fault_is_not_reached() {
    let scene = Scene::new();
    let sent = Sent { result: Some("AAAA".into()), ..scene.sent() };
    let explanation = scene.edge.explain("api", &sent.request(), NOW);
    assert_eq!(explanation.decided_at, Some(Step::Result));
    let behind = explanation.steps.iter().filter(|(step, _)| *step > Step::Result);
    assert!(behind.map(|(_, outcome)| outcome).all(|outcome| *outcome == Outcome::NotReached));
}

#[test]
fn missing_keys_are_told_at_their_step() {
    let edge = Scene::without_keys();
    let explanation = edge.explain("api", &Scene::new().sent().request(), NOW);
    assert_eq!(explanation.decided_at, Some(Step::Result));
    assert!(matches!(explanation.decision, Decision::Needs(Lookup::Keys(_))));
    let told = explanation.steps.iter().find(|(step, _)| *step == Step::Result);
    assert!(matches!(told, Some((_, Outcome::Needs(Lookup::Keys(_))))));
}

#[test]
fn a_resource_that_is_not_there_is_told_at_the_first_step() {
    let scene = Scene::new();
    let explanation = scene.edge.explain("other", &scene.sent().request(), NOW);
    assert_eq!(explanation.decided_at, Some(Step::Request));
    assert_eq!(explanation.steps.first(), Some(&(Step::Request, Outcome::Refused(vec![Reason::NoRoute]))));
}
