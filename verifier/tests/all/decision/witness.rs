//! What the witness of decisions hears: each decision once, and of nobody what others only claim.

use std::sync::{Arc, Mutex};

use countersign_core::token::result::InstanceId;
use countersign_verifier::check::request::UserAgent;
use countersign_verifier::check::{
    Class, Decided, Decision, Fields, Mode, Outcome, Reason, Request, Route, Witness,
};

use super::scene::{NOW, Scene, Sent};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    route: Option<String>,
    app: Option<String>,
    instance: Option<InstanceId>,
    is_proven: bool,
    user_agent: Option<String>,
    outcome: Outcome,
    class: Class,
}

#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<Heard>>>);

impl Witness for Ear {
    fn decided(&self, decided: &Decided<'_>) {
        self.0.lock().unwrap().push(Heard {
            route: decided.route.map(|route| route.path.clone()),
            app: decided.result.map(|result| result.client_id.clone()),
            instance: decided.result.map(|result| result.instance),
            is_proven: decided.is_proven,
            user_agent: decided.user_agent.map(str::to_owned),
            outcome: decided.outcome,
            class: decided.class,
        });
    }
}

fn scene(route: Route) -> (Scene, Ear) {
    let ear = Ear::default();
    let scene = Scene::with_route(route).with_edge(|edge| edge.with_witness(ear.clone()));
    (scene, ear)
}

/// What is heard of one request.
fn heard(scene: &Scene, ear: &Ear, sent: &Sent) -> Heard {
    scene.check(sent);
    let heard = std::mem::take(&mut *ear.0.lock().unwrap());
    <[Heard; 1]>::try_from(heard).expect("one decision, heard once").into_iter().next().unwrap()
}

#[test]
fn a_request_that_passes_is_heard_of_with_its_app_and_route() {
    let (scene, ear) = scene(Route::new("/v1"));
    let heard = heard(&scene, &ear, &scene.sent());
    assert_eq!((heard.route.as_deref(), heard.app.as_deref()), (Some("/v1"), Some("app")));
    assert_eq!((heard.outcome, heard.class, heard.is_proven), (Outcome::Permitted, Class::Verified, true));
}

#[test]
fn whoever_shows_a_result_that_he_made_up_is_nobody() {
    let (scene, ear) = scene(Route::new("/"));
    let forged = scene.result_signed(&scene.device([4; 32]), "service-1", [9; 32], |_| {});
    let heard = heard(&scene, &ear, &Sent { result: Some(forged), ..scene.sent() });
    assert_eq!((heard.app, heard.instance, heard.is_proven), (None, None, false));
    assert_eq!((heard.outcome, heard.class), (Outcome::Refused(Reason::ResultSignature), Class::Invalid));
}

#[test]
fn a_caught_result_without_its_key_is_not_proven() {
    let (scene, ear) = scene(Route::new("/"));
    let heard = heard(
        &scene,
        &ear,
        &Sent { proof: scene.sent_by(&scene.device([9; 32]), |_| {}, |_| {}).proof, ..scene.sent() },
    );
    assert_eq!((heard.app.as_deref(), heard.is_proven), (Some("app"), false));
    assert_eq!(heard.class, Class::Invalid);
}

#[test]
fn clients_that_do_not_attest_yet_are_told_from_strangers_and_replays() {
    let (scene, ear) = scene(Route { mode: Mode::Observe, ..Route::new("/") });
    let sent = scene.sent();
    let bare = Sent { result: None, proof: None, ..sent.clone() };
    let stranger = Sent { authorization: None, ..bare.clone() };
    for (sent, class) in [
        (&sent, Class::Verified),
        (&sent, Class::Reused),
        (&bare, Class::OutdatedClient),
        (&stranger, Class::UnknownOrigin),
    ] {
        let heard = heard(&scene, &ear, sent);
        assert_eq!(heard.class, class);
        assert_eq!(matches!(heard.outcome, Outcome::Observed(_)), class != Class::Verified);
    }
}

#[test]
fn what_could_not_be_looked_up_is_heard_of_too_and_a_lookup_is_not() {
    let ear = Ear::default();
    let edge = Scene::without_keys().with_witness(ear.clone());
    let sent = Scene::new().sent();
    assert!(matches!(edge.check("api", &sent.request(), NOW), Decision::Needs(_)));
    assert_eq!(ear.0.lock().unwrap().len(), 0);
    edge.lookup_failed("api", &sent.request(), NOW);
    assert_eq!(ear.0.lock().unwrap().iter().map(|heard| heard.class).collect::<Vec<_>>(), [Class::Undecided]);
}

#[test]
fn the_user_agent_is_told_as_far_as_it_is_printable() {
    let (scene, ear) = scene(Route::new("/"));
    let sent = scene.sent();
    let user_agent = UserAgent::from_lines([&b"App/1.0\nforged line"[..]]);
    let request = sent.request();
    let request = Request { fields: Fields { user_agent, ..request.fields }, ..request };
    scene.verdict_of(&request);
    assert_eq!(ear.0.lock().unwrap().first().unwrap().user_agent.as_deref(), Some("App/1.0"));
}
