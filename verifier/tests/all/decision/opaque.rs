//! Opaque access tokens, about which their authorization server is asked (RFC 7662): made up, revoked, stolen, of another
//! app, and what an answer is believed for.

use countersign_core::encoding::base64url;
use countersign_core::time::Timestamp;
use countersign_core::token::result::{InstanceId, ResultClaims};
use countersign_verifier::check::deny_list::SubjectDigest;
use countersign_verifier::check::{
    ClientCertificate, CredentialKind, Decision, Lookup, Reason, Route, StepUp, TokenBinding,
};
use countersign_verifier::credential::introspection::{AnswerError, OpaqueToken};
use countersign_verifier::credential::jwt::AccessTokenError;
use serde_json::{Value, json};

use super::scene::{AUTHORIZATION_SERVER, NOW, RESOURCE, Scene, Sent};

const TOKEN: &str = "2YotnFZFEjr1zCsicMWpAA";

fn route() -> Route {
    Route { credentials: vec![CredentialKind::Opaque], ..Route::new("/") }
}

/// What an honest server says about a token of the honest device.
fn honest(scene: &Scene) -> Value {
    json!({
        "active": true, "client_id": "client", "sub": "user", "aud": RESOURCE, "scope": "read", "token_type": "DPoP",
        "exp": NOW.plus(600).as_unix_seconds(), "cnf": {"jkt": scene.device([4; 32]).instance_jkt().to_base64url()},
    })
}

fn with(mut answer: Value, name: &str, value: Value) -> Value {
    answer[name] = value;
    answer
}

fn bearer(scene: &Scene) -> Value {
    let mut answer = honest(scene);
    answer.as_object_mut().unwrap().retain(|name, _| name != "cnf" && name != "token_type");
    answer
}

fn asks(scene: &Scene, sent: &Sent, now: Timestamp) -> Option<OpaqueToken> {
    match scene.edge.check("api", &sent.request(), now) {
        Decision::Needs(Lookup::Introspection(token)) => Some(token),
        _ => None,
    }
}

/// The verdict about a request, with a server that answers this where it is asked.
fn verdict_at(scene: &Scene, sent: &Sent, answer: &Value, now: Timestamp) -> Option<Reason> {
    match scene.edge.check("api", &sent.request(), now) {
        Decision::Needs(Lookup::Introspection(token)) => {
            let taken = scene.edge.introspected("api", &token, answer.to_string().as_bytes(), now);
            assert_eq!(taken, Ok(()), "{answer}");
            scene.verdict_at(sent, now)
        }
        Decision::Refusal(refusal) => Some(refusal.reason),
        Decision::Permit(_) => None,
        other => panic!("{other:?}"),
    }
}

fn verdict(scene: &Scene, scheme: &str, answer: &Value) -> Option<Reason> {
    verdict_at(scene, &scene.sent_with(scheme, TOKEN), answer, NOW)
}

#[test]
fn a_bound_token_passes_and_its_server_is_asked_once_for_many_requests() {
    let scene = Scene::with_route(route());
    let sent = scene.sent_with("DPoP", TOKEN);
    assert_eq!(asks(&scene, &sent, NOW).map(|token| token.expose().to_owned()).as_deref(), Some(TOKEN));
    assert_eq!(verdict_at(&scene, &sent, &honest(&scene), NOW), None);
    assert_eq!(scene.verdict(&sent), Some(Reason::Replayed), "the proof is used up all the same");
    let Decision::Permit(permit) = scene.check(&scene.sent_with("DPoP", TOKEN)) else { panic!("refused") };
    let token = permit.access_token().unwrap();
    assert_eq!((token.issuer.as_str(), token.subject.as_deref()), (AUTHORIZATION_SERVER, Some("user")));
}

#[test]
fn strangers_cause_no_question() {
    let scene = Scene::with_route(route());
    let (thief, honest) = (scene.device([9; 32]), scene.sent_with("DPoP", TOKEN));
    let forged = scene.sent_by_with(&thief, "DPoP", TOKEN, |_| {}, |_| {});
    for (what, sent) in [
        ("no attestation", Sent { result: None, proof: None, ..honest.clone() }),
        ("somebody else's proof", Sent { proof: forged.proof, ..honest.clone() }),
        ("another path", Sent { path_and_query: "/v1/accounts/2".into(), ..honest.clone() }),
        ("a proof of another token", Sent { authorization: Some("DPoP another".into()), ..honest.clone() }),
        (
            "another app",
            scene.sent_by_with(&thief, "DPoP", TOKEN, |claims| claims.client_id = "x".into(), |_| {}),
        ),
    ] {
        assert_eq!(asks(&scene, &sent, NOW), None, "{what}");
    }
    assert!(asks(&scene, &honest, NOW).is_some());
}

#[test]
fn a_revoked_token_is_refused_once_the_answer_has_grown_old() {
    let scene = Scene::with_route(route());
    let revoked = json!({"active": false});
    let at = |now: Timestamp, answer: &Value| {
        let sent =
            scene.sent_by_with(&scene.device([4; 32]), "DPoP", TOKEN, |_| {}, |proof| proof.issued_at = now);
        verdict_at(&scene, &sent, answer, now)
    };
    assert_eq!(at(NOW, &honest(&scene)), None);
    assert_eq!(at(NOW.plus(59), &revoked), None, "nobody was asked");
    assert_eq!(at(NOW.plus(60), &revoked), Some(Reason::TokenInactive));
}

#[test]
fn no_answer_is_believed_beyond_the_tokens_end_or_by_a_clock_that_was_set_back() {
    let scene = Scene::with_route(route());
    let short = with(honest(&scene), "exp", NOW.plus(5).as_unix_seconds().into());
    assert_eq!(verdict(&scene, "DPoP", &short), None);
    let sent = scene.sent_with("DPoP", TOKEN);
    assert!(asks(&scene, &sent, NOW.plus(5)).is_some());
    assert_eq!(verdict_at(&scene, &sent, &short, NOW.plus(5)), Some(Reason::AccessTokenTime));
    assert_eq!(asks(&scene, &sent, NOW.plus(6)), None, "and is not asked about with each request");
    assert!(asks(&scene, &sent, NOW.minus(1)).is_some());
}

#[test]
fn a_token_that_is_inactive_is_asked_about_every_ten_seconds_at_most() {
    let scene = Scene::with_route(route());
    let sent = scene.sent_with("DPoP", "made-up");
    assert_eq!(verdict_at(&scene, &sent, &json!({"active": false}), NOW), Some(Reason::TokenInactive));
    assert_eq!(asks(&scene, &sent, NOW.plus(9)), None);
    assert!(asks(&scene, &sent, NOW.plus(10)).is_some());
    assert!(!Reason::TokenInactive.counts_against_source(), "a token that ended is everyday life");
}

#[test]
fn an_instance_that_makes_up_tokens_causes_no_flood_of_questions_and_no_harm_to_others() {
    let scene = Scene::with_route(route());
    let made_up = |number: u32| scene.sent_with("DPoP", &format!("made-up-{number}"));
    let inactive = json!({"active": false});
    for number in 0..20 {
        assert_eq!(verdict_at(&scene, &made_up(number), &inactive, NOW), Some(Reason::TokenInactive));
    }
    assert_eq!(scene.verdict(&made_up(20)), Some(Reason::InstanceBudget), "nobody is asked");
    let change = |claims: &mut ResultClaims| claims.instance = InstanceId::from_bytes([6; 16]);
    let other = scene.sent_by_with(&scene.device([4; 32]), "DPoP", TOKEN, change, |_| {});
    assert_eq!(verdict_at(&scene, &other, &honest(&scene), NOW), None);
    assert_eq!(verdict(&scene, "DPoP", &honest(&scene)), None, "what is known passes all the same");
    assert!(asks(&scene, &made_up(21), NOW.plus(10)).is_some(), "ten seconds later");
}

#[test]
fn a_good_token_that_another_instance_presents_is_not_refused_to_its_owner_afterwards() {
    let scene = Scene::with_route(route());
    let answer = honest(&scene);
    let stolen = scene.sent_by_with(&scene.device([9; 32]), "DPoP", TOKEN, |_| {}, |_| {});
    assert_eq!(verdict_at(&scene, &stolen, &answer, NOW), Some(Reason::TokenOfAnotherInstance));
    assert_eq!(asks(&scene, &scene.sent_with("DPoP", TOKEN), NOW), None);
    assert_eq!(verdict(&scene, "DPoP", &answer), None);
}

#[test]
fn a_stolen_token_is_refused_in_another_install_and_as_bearer() {
    let scene = Scene::with_route(route());
    let stolen = scene.sent_by_with(&scene.device([9; 32]), "DPoP", TOKEN, |_| {}, |_| {});
    let answer = honest(&scene);
    assert_eq!(verdict_at(&scene, &stolen, &answer, NOW), Some(Reason::TokenOfAnotherInstance));
    assert_eq!(verdict(&scene, "Bearer", &answer), Some(Reason::SchemeMismatch));
}

#[test]
fn a_token_without_a_key_is_refused_unless_the_route_takes_bearer_tokens() {
    let scene = Scene::with_route(route());
    assert_eq!(verdict(&scene, "Bearer", &bearer(&scene)), Some(Reason::TokenUnbound));
    assert_eq!(verdict(&scene, "DPoP", &bearer(&scene)), Some(Reason::SchemeMismatch));
    let open = Scene::with_route(Route { token_binding: TokenBinding::DangerClientOnly, ..route() });
    assert_eq!(verdict(&open, "Bearer", &bearer(&open)), None);
}

#[test]
fn a_bearer_token_stays_with_the_instance_that_used_it_first() {
    let scene = Scene::with_route(Route { token_binding: TokenBinding::FirstUse, ..route() });
    let by = |seed, instance| {
        let change = |claims: &mut ResultClaims| claims.instance = InstanceId::from_bytes(instance);
        let sent = scene.sent_by_with(&scene.device(seed), "Bearer", TOKEN, change, |_| {});
        verdict_at(&scene, &sent, &bearer(&scene), NOW)
    };
    assert_eq!(by([4; 32], [5; 16]), None);
    assert_eq!(by([9; 32], [6; 16]), Some(Reason::TokenUsedElsewhere));
}

#[test]
fn what_a_server_says_of_another_client_resource_or_issuer_lets_nothing_pass() {
    for (name, value, reason) in [
        ("client_id", json!("other-client"), Reason::ClientMismatch),
        ("aud", json!("https://other.example"), Reason::AccessToken(AccessTokenError::Audience)),
        ("iss", json!("https://evil.example"), Reason::AccessToken(AccessTokenError::UnknownIssuer)),
        ("exp", json!(NOW.as_unix_seconds()), Reason::AccessTokenTime),
        ("nbf", json!(NOW.plus(61).as_unix_seconds()), Reason::AccessTokenTime),
        ("cnf", json!({"jkt": base64url(&[0; 32])}), Reason::TokenOfAnotherInstance),
        ("cnf", json!({"jku": "https://evil.example"}), Reason::AccessToken(AccessTokenError::Confirmation)),
        ("token_use", json!("refresh_token"), Reason::AccessToken(AccessTokenError::Typ)),
    ] {
        let scene = Scene::with_route(route());
        let answer = with(honest(&scene), name, value);
        assert_eq!(verdict(&scene, "DPoP", &answer), Some(reason), "{answer}");
    }
}

#[test]
fn an_answer_that_is_none_changes_nothing() {
    let scene = Scene::with_route(route());
    let sent = scene.sent_with("DPoP", TOKEN);
    let token = asks(&scene, &sent, NOW).unwrap();
    let lie = with(honest(&scene), "active", json!("true")).to_string();
    for (answer, error) in [(lie.as_str(), AnswerError::Active), ("<html>", AnswerError::Json)] {
        assert_eq!(scene.edge.introspected("api", &token, answer.as_bytes(), NOW), Err(error));
        assert!(asks(&scene, &sent, NOW).is_some(), "{answer}");
    }
    let refused = scene.edge.unavailable("api", &sent.request(), Reason::IntrospectionUnavailable, NOW);
    let Decision::Refusal(refusal) = refused else { panic!("passed") };
    assert_eq!((refusal.code().status(), refusal.retry_after), (503, Some(5)));
}

#[test]
fn a_certificate_bound_token_needs_its_certificate() {
    let scene = Scene::with_route(route());
    let mut answer = honest(&scene);
    answer["cnf"]["x5t#S256"] = base64url(&[1; 32]).into();
    let by = |client_certificate| {
        verdict_at(&scene, &Sent { client_certificate, ..scene.sent_with("DPoP", TOKEN) }, &answer, NOW)
    };
    assert_eq!(by(None), Some(Reason::CertificateMissing));
    assert_eq!(by(Some(ClientCertificate::from_thumbprint([2; 32]))), Some(Reason::CertificateMismatch));
    assert_eq!(by(Some(ClientCertificate::from_thumbprint([1; 32]))), None);
}

#[test]
fn scopes_and_step_up_hold_as_for_a_jwt() {
    let scene = Scene::with_route(Route { scopes: vec!["write".into()], ..route() });
    assert_eq!(verdict(&scene, "DPoP", &honest(&scene)), Some(Reason::ScopeMissing));
    let step_up = StepUp { acr_values: vec!["gold".into()], max_age: None };
    let demanding = || Scene::with_route(Route { step_up: step_up.clone(), ..route() });
    let scene = demanding();
    assert_eq!(verdict(&scene, "DPoP", &honest(&scene)), Some(Reason::AuthenticationTooWeak));
    let scene = demanding();
    assert_eq!(verdict(&scene, "DPoP", &with(honest(&scene), "acr", "gold".into())), None);
}

#[test]
fn a_banned_user_is_refused() {
    let scene = Scene::with_route(route());
    let banned = SubjectDigest::of(AUTHORIZATION_SERVER, "user");
    scene.edge.replace_deny_list(scene.deny_list(1, |list| list.subjects = [banned].into()));
    assert_eq!(verdict(&scene, "DPoP", &honest(&scene)), Some(Reason::SubjectDenied));
}

#[test]
fn a_route_takes_the_kinds_that_it_names_and_a_jwt_is_never_asked_about() {
    let both = vec![CredentialKind::Jwt, CredentialKind::Opaque];
    let scene = Scene::with_route(Route { credentials: both, ..Route::new("/") });
    assert_eq!(scene.verdict(&scene.sent()), None, "a JWT");
    assert_eq!(verdict(&scene, "DPoP", &honest(&scene)), None, "an opaque token");
    let opaque_only = Scene::with_route(route());
    assert_eq!(opaque_only.refused(&opaque_only.sent()), Reason::CredentialNotAccepted);
    let jwt_only = Scene::new();
    let refused = jwt_only.refused(&jwt_only.sent_with("DPoP", TOKEN));
    assert!(matches!(refused, Reason::AccessToken(AccessTokenError::Encoding(_))), "{refused:?}");
}

#[test]
fn a_token_with_dots_is_opaque_unless_it_has_a_jwts_form() {
    let scene = Scene::with_route(route());
    for opaque in ["ory_at_a.b", "a.b.c", "eyJhbGciOiJ9", "eyJ.a", "e.b.c", "eyJ.a.b.c.d"] {
        assert!(asks(&scene, &scene.sent_with("DPoP", opaque), NOW).is_some(), "{opaque}");
    }
    for jwt in ["eyJhbGciOiJub25lIn0.e30.", "eyAiYWxnIjoxfQ.e30.AA", "ewoiYSI6MX0.e30.AA"] {
        assert_eq!(asks(&scene, &scene.sent_with("DPoP", jwt), NOW), None, "{jwt}");
    }
}
