//! The access token: stolen, of another app or server, bound otherwise, or out of its time.

use countersign_core::token::result::{InstanceId, ResultClaims};
use countersign_verifier::check::trust::KeyOwner;
use countersign_verifier::check::{ClientCertificate, Decision, Lookup, Reason, Route, TokenBinding};
use countersign_verifier::credential::jwt::AccessTokenError;

use super::scene::{AUTHORIZATION_SERVER, NOW, Scene, Sent};

#[test]
fn a_stolen_access_token_alone_is_refused() {
    let scene = Scene::new();
    let sent = Sent { result: None, proof: None, ..scene.sent() };
    assert_eq!(scene.refused(&sent), Reason::NoAttestation);
    let with_result = Sent { proof: None, ..scene.sent() };
    assert_eq!(scene.refused(&with_result), Reason::NoAttestation, "the result alone is no possession");
}

#[test]
fn a_stolen_access_token_in_another_genuine_install_is_refused() {
    let scene = Scene::new();
    let thief = scene.device([9; 32]);
    let sent = scene.sent_by(&thief, |_| {}, |_| {});
    assert_eq!(scene.refused(&sent), Reason::TokenOfAnotherInstance);
}

#[test]
fn a_bound_token_never_passes_as_bearer_nor_an_unbound_one_as_dpop() {
    let scene = Scene::new();
    let token = scene.token(&scene.device([4; 32]), |_| {});
    assert_eq!(scene.refused(&scene.sent_with("Bearer", &token)), Reason::SchemeMismatch);
    let unbound = scene.token(&scene.device([4; 32]), |claims| drop(claims.remove("cnf")));
    assert_eq!(scene.refused(&scene.sent_with("DPoP", &unbound)), Reason::SchemeMismatch);
    assert_eq!(scene.refused(&scene.sent_with("Bearer", &unbound)), Reason::TokenUnbound);
    assert_eq!(scene.refused(&scene.sent_with("Basic", "dXNlcjpwYXNz")), Reason::BasicRefused);
    assert_eq!(scene.refused(&scene.sent_with("Token", &token)), Reason::AuthorizationMalformed);
    assert_eq!(scene.refused(&scene.sent_with("DPoP ", &token)), Reason::AuthorizationMalformed);
}

#[test]
fn a_certificate_bound_token_needs_its_certificate() {
    let scene = Scene::new();
    let device = scene.device([4; 32]);
    let token = scene.token(&device, |claims| {
        claims["cnf"]["x5t#S256"] = countersign_core::encoding::base64url(&[1; 32]).into();
    });
    let with = |shown| Sent { client_certificate: shown, ..scene.sent_with("DPoP", &token) };
    assert_eq!(scene.refused(&with(None)), Reason::CertificateMissing);
    assert_eq!(scene.refused(&with(certificate([2; 32]))), Reason::CertificateMismatch);
    assert_eq!(scene.verdict(&with(certificate([1; 32]))), None);
}

#[test]
fn a_certificate_does_not_stand_in_for_the_instance() {
    let (scene, thumbprint) = (Scene::new(), countersign_core::encoding::base64url(&[1; 32]));
    let certificate_alone = scene.token(&scene.device([4; 32]), |claims| {
        claims["cnf"] = serde_json::json!({ "x5t#S256": thumbprint });
    });
    let sent = |scheme| Sent {
        client_certificate: certificate([1; 32]),
        ..scene.sent_with(scheme, &certificate_alone)
    };
    assert_eq!(scene.refused(&sent("Bearer")), Reason::TokenUnbound);
    assert_eq!(scene.refused(&sent("DPoP")), Reason::SchemeMismatch);
    let thief = Sent {
        client_certificate: certificate([1; 32]),
        ..scene.sent_by(&scene.device([9; 32]), |_| {}, |_| {})
    };
    assert_eq!(scene.refused(&thief), Reason::TokenOfAnotherInstance);
}

#[test]
fn a_certificate_beside_a_token_that_asks_for_none_changes_nothing() {
    let scene = Scene::new();
    assert_eq!(scene.verdict(&Sent { client_certificate: certificate([1; 32]), ..scene.sent() }), None);
}

#[test]
fn a_bearer_token_stays_with_the_instance_that_used_it_first() {
    let scene = Scene::with_route(Route { token_binding: TokenBinding::FirstUse, ..Route::new("/") });
    let (owner, thief) = (scene.device([4; 32]), scene.device([9; 32]));
    let token = scene.token(&owner, |claims| drop(claims.remove("cnf")));
    let by = |device, instance| {
        let change = |claims: &mut ResultClaims| claims.instance = InstanceId::from_bytes(instance);
        scene.verdict(&scene.sent_by_with(device, "Bearer", &token, change, |_| {}))
    };
    assert_eq!(by(&owner, [5; 16]), None);
    assert_eq!(by(&thief, [6; 16]), Some(Reason::TokenUsedElsewhere));
    assert_eq!(by(&owner, [5; 16]), None);
}

#[test]
fn danger_client_only_takes_a_stolen_token_of_the_same_app_and_no_other() {
    let scene = Scene::with_route(Route { token_binding: TokenBinding::DangerClientOnly, ..Route::new("/") });
    let thief = scene.device([9; 32]);
    let token = scene.token(&scene.device([4; 32]), |claims| drop(claims.remove("cnf")));
    assert_eq!(scene.verdict(&scene.sent_by_with(&thief, "Bearer", &token, |_| {}, |_| {})), None);
    let bound = scene.token(&scene.device([4; 32]), |_| {});
    let sent = scene.sent_by_with(&thief, "DPoP", &bound, |_| {}, |_| {});
    assert_eq!(scene.refused(&sent), Reason::TokenOfAnotherInstance, "a cnf holds in every mode");
}

#[test]
fn another_app_or_another_authorization_server_is_refused() {
    let scene = Scene::new();
    let device = scene.device([4; 32]);
    let foreign_app = scene.sent_by(&device, |claims| claims.client_id = "other-app".into(), |_| {});
    assert_eq!(scene.refused(&foreign_app), Reason::AppNotAccepted, "a genuine but foreign app");
    let foreign_client = scene.token(&device, |claims| claims["client_id"] = "other-client".into());
    assert_eq!(scene.refused(&scene.sent_with("DPoP", &foreign_client)), Reason::ClientMismatch);
    let foreign_server = scene.token(&device, |claims| claims["iss"] = "https://other-as.example".into());
    let refused = scene.refused(&scene.sent_with("DPoP", &foreign_server));
    assert_eq!(refused, Reason::AccessToken(AccessTokenError::UnknownIssuer), "the same client_id elsewhere");
}

#[test]
fn an_expired_or_early_token_is_refused_from_the_cache_too() {
    let scene = Scene::new();
    let device = scene.device([4; 32]);
    let token = scene.token(&device, |claims| claims["exp"] = NOW.plus(5).as_unix_seconds().into());
    assert_eq!(scene.verdict(&scene.sent_with("DPoP", &token)), None);
    let sent = scene.sent_with("DPoP", &token);
    assert_eq!(scene.verdict_at(&sent, NOW.plus(5)), Some(Reason::AccessTokenTime));
    let early = scene.token(&device, |claims| {
        claims.insert("nbf".to_owned(), NOW.plus(61).as_unix_seconds().into());
    });
    assert_eq!(scene.refused(&scene.sent_with("DPoP", &early)), Reason::AccessTokenTime);
}

#[test]
fn an_unknown_access_token_key_asks_for_one_fetch() {
    let scene = Scene::new();
    let token = scene.token_signed(&scene.device([4; 32]), "made-up", |_| {});
    let owner = KeyOwner::AuthorizationServer(AUTHORIZATION_SERVER.to_owned());
    let sent = scene.sent_with("DPoP", &token);
    assert!(matches!(scene.check(&sent), Decision::Needs(Lookup::Keys(needed)) if needed == owner));
    scene.edge.authorization_server(AUTHORIZATION_SERVER).unwrap().fetched(NOW);
    assert_eq!(scene.refused(&sent), Reason::AccessToken(AccessTokenError::UnknownKey));
}

fn certificate(thumbprint: [u8; 32]) -> Option<ClientCertificate> {
    Some(ClientCertificate::from_thumbprint(thumbprint))
}
