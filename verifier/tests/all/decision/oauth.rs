//! The OAuth flavour: a client attestation, and a DPoP proof by the instance key that it vouches for.

use countersign_core::encoding::base64url;
use countersign_core::request::sha256;
use countersign_core::token::client_attestation::{
    ClientAttestation, ClientAttestationError, ClientAttestationPopError,
};
use countersign_core::token::dpop::{DpopError, DpopProof};
use countersign_core::token::field;
use countersign_core::token::jose::JwsError;
use countersign_core::token::keys::KeyError;
use countersign_core::token::result::{InstanceId, ResultClaims};
use countersign_verifier::check::{
    Assurance, Code, Content, Decision, Field, NoncePolicy, ProofKind, Reason, Route, TokenBinding,
};
use serde_json::{Map, Value, json};

use super::oauth_scene::{
    Phone, Sent, changed, key, passes, phone, refusal, refused, scene, sent, sent_with, sent_with_pop,
    service_key, signed, token,
};
use super::scene::{NOW, RESOURCE, SERVICE};

#[test]
fn the_instance_key_proves_a_request_once() {
    let scene = scene(Route { assurance: Assurance::Hardware, ..Route::new("/") });
    let Decision::Permit(permit) = scene.edge.check("api", &sent().request(), NOW) else { panic!("refused") };
    assert_eq!(permit.attestation(), &phone().claims(), "the member `countersign` reads as it was written");
    assert_eq!((permit.assurance(), permit.proof_kind()), (Assurance::Hardware, ProofKind::Dpop));
    let again = refusal(&scene, &sent());
    assert_eq!((again.reason, again.code()), (Reason::Replayed, Code::InvalidDpopProof));
    assert!(passes(&scene, &sent_with(|proof| proof.token_id = "another")));
}

#[test]
fn a_renewed_attestation_makes_no_used_proof_new() {
    let scene = scene(Route::new("/"));
    assert!(passes(&scene, &sent()));
    let renewed = phone().attestation_of(&ResultClaims { issued_at: NOW, ..phone().claims() });
    assert_eq!(refused(&scene, &Sent { attestation: Some(renewed), ..sent() }), Reason::Replayed);
}

#[test]
fn a_copied_attestation_is_worth_nothing_without_its_key() {
    let scene = scene(Route::new("/"));
    let thief = Phone(key(6));
    for token in [token(Some(&phone())), token(Some(&thief))] {
        let copied = Sent {
            authorization: Some(format!("DPoP {token}")),
            dpop: Some(thief.dpop(&token, |_| {})),
            ..sent()
        };
        let refusal = refusal(&scene, &copied);
        assert_eq!((refusal.reason, refusal.code()), (Reason::ProofOfAnotherResult, Code::InvalidDpopProof));
    }
    let without = Sent { dpop: None, ..sent() };
    assert_eq!(refused(&scene, &without), Reason::NoAttestation);
    let forged = changed(sent().dpop.as_ref().unwrap(), &thief.0, |_, _| {});
    assert_eq!(refused(&scene, &Sent { dpop: Some(forged), ..sent() }), Reason::ProofSignature);
}

#[test]
fn a_token_of_another_instance_is_refused() {
    let scene = scene(Route::new("/"));
    let token = token(Some(&Phone(key(6))));
    let stolen = Sent {
        authorization: Some(format!("DPoP {token}")),
        dpop: Some(phone().dpop(&token, |_| {})),
        ..sent()
    };
    let refusal = refusal(&scene, &stolen);
    assert_eq!((refusal.reason, refusal.code()), (Reason::TokenOfAnotherInstance, Code::InvalidToken));
}

#[test]
fn the_attestation_for_the_authorization_server_opens_no_resource() {
    let (scene, claims) = (scene(Route::new("/")), phone().claims());
    let attestation = ClientAttestation {
        issuer: SERVICE,
        client_id: "app",
        issued_at: NOW,
        expires_at: NOW.plus(300),
        instance_key: &claims.confirmation,
        result: None,
    };
    let attestation = signed(&attestation.to_unsigned("jwt-1"), &service_key());
    let reason = refused(&scene, &Sent { attestation: Some(attestation), ..sent() });
    assert_eq!(reason, Reason::ClientAttestation(ClientAttestationError::NoResult));
}

type Change = fn(&mut Value, &mut Map<String, Value>);
type ChangeOfProof = fn(&mut DpopProof<'_>);

#[test]
fn no_lie_in_an_attestation_is_believed_though_the_service_signed_it() {
    use ClientAttestationError as Error;

    let scene = scene(Route::new("/"));
    let changes: [(Change, Error); 22] = [
        (|header, _| header["typ"] = "JWT".into(), Error::Typ),
        (|header, _| header["typ"] = "at+jwt".into(), Error::Typ),
        (|header, _| header["alg"] = "none".into(), Error::Algorithm),
        (|header, _| header["alg"] = "HS256".into(), Error::Algorithm),
        (|header, _| header["kid"] = "".into(), Error::KeyId),
        (|header, _| header["crit"] = json!(["exp"]), Error::Encoding(JwsError::Critical)),
        (|_, claims| drop(claims.remove("iss")), Error::Claims),
        (|_, claims| drop(claims.insert("sub".into(), json!(["app"]))), Error::Claims),
        (|_, claims| drop(claims.insert("exp".into(), json!("1800000300"))), Error::Claims),
        (|_, claims| drop(claims.insert("nbf".into(), json!(1))), Error::Claims),
        (|_, claims| drop(claims.insert("aud".into(), json!("https://as.example"))), Error::Claims),
        (|_, claims| drop(claims.insert("exp".into(), json!(1_800_000_301))), Error::Lifetime),
        (|_, claims| drop(claims.insert("exp".into(), json!(1_799_999_700))), Error::Lifetime),
        (|_, claims| drop(claims.remove("cnf")), Error::Confirmation(KeyError::Malformed)),
        (|_, claims| claims["cnf"]["jkt"] = "x".into(), Error::Confirmation(KeyError::Malformed)),
        (|_, claims| claims["cnf"]["jwk"]["d"] = "x".into(), Error::Confirmation(KeyError::PrivateKey)),
        (|_, claims| claims["countersign"] = json!([]), Error::Result),
        (|_, claims| claims["countersign"]["tier"] = json!(96), Error::Result),
        (|_, claims| claims["countersign"]["tier"] = json!("2"), Error::Result),
        (|_, claims| claims["countersign"]["protection"] = json!(258), Error::Result),
        (|_, claims| claims["countersign"]["instance_jkt"] = base64url(&[0; 32]).into(), Error::Result),
        (|_, claims| claims["countersign"]["trust_vector"] = json!({"hardware": 128}), Error::Result),
    ];
    for (number, (change, error)) in changes.into_iter().enumerate() {
        let attestation = changed(&phone().attestation(), &service_key(), change);
        let refusal = refusal(&scene, &Sent { attestation: Some(attestation), ..sent() });
        assert_eq!(refusal.reason, Reason::ClientAttestation(error), "change {number}");
        assert_eq!(refusal.code(), Code::InvalidClientAttestation, "change {number}");
    }
}

#[test]
fn only_the_services_key_for_attestations_signs_attestations() {
    let scene = scene(Route::new("/"));
    let by_the_device = changed(&phone().attestation(), &phone().0, |_, _| {});
    let reason = refused(&scene, &Sent { attestation: Some(by_the_device), ..sent() });
    assert_eq!(reason, Reason::ResultSignature);
    for kid in ["service-1", "jwt-2"] {
        let named = changed(&phone().attestation(), &service_key(), |header, _| header["kid"] = kid.into());
        let ended = scene.edge.check("api", &Sent { attestation: Some(named), ..sent() }.request(), NOW);
        assert!(matches!(ended, Decision::Needs(_)), "{kid}: no key of that name for attestations");
    }
}

#[test]
fn an_attestation_in_the_field_of_the_other_flavour_is_none() {
    let scene = scene(Route::new("/"));
    assert!(passes(&scene, &sent()), "and is remembered");
    let attestation = phone().attestation();
    let compact = scene.sent();
    let mut request = compact.request();
    request.fields.attestation_result = Field::from_lines([attestation.as_bytes()]);
    assert_eq!(scene.verdict_of(&request), Some(Reason::FieldMalformed));
}

#[test]
fn a_dpop_proof_holds_for_its_request_alone() {
    let scene = scene(Route::new("/"));
    let cases: [(ChangeOfProof, Reason); 11] = [
        (|proof| proof.method = "POST", Reason::ProofMethod),
        (|proof| proof.method = "get", Reason::ProofMethod),
        (|proof| proof.target = "https://api.example/v1/accounts/2", Reason::ProofTarget),
        (|proof| proof.target = "https://evil.example/v1/accounts/1", Reason::ProofTarget),
        (|proof| proof.target = "https://api.example/v1/accounts/1?page=1", Reason::ProofTarget),
        (|proof| proof.query = None, Reason::ProofQuery),
        (|proof| proof.query = Some(sha256(b"page=2")), Reason::ProofQuery),
        (|proof| proof.ath = None, Reason::ProofCredential),
        (|proof| proof.ath = Some([0; 32]), Reason::ProofCredential),
        (|proof| proof.issued_at = NOW.minus(61), Reason::ProofTime),
        (|proof| proof.issued_at = NOW.plus(11), Reason::ProofTime),
    ];
    for (number, (change, reason)) in cases.into_iter().enumerate() {
        assert_eq!(refused(&scene, &sent_with(change)), reason, "case {number}");
    }
    assert_eq!(refused(&scene, &Sent { method: "POST", ..sent() }), Reason::ProofMethod);
    let other_query = Sent { path_and_query: "/v1/accounts/1?page=2", ..sent() };
    assert_eq!(refused(&scene, &other_query), Reason::ProofQuery);
}

#[test]
fn a_malformed_dpop_proof_is_refused_in_the_words_of_dpop() {
    let scene = scene(Route::new("/"));
    let changes: [(Change, DpopError); 12] = [
        (|header, _| header["typ"] = "JWT".into(), DpopError::Typ),
        (|header, _| header["alg"] = "Ed25519".into(), DpopError::Algorithm),
        (|header, _| header["alg"] = "none".into(), DpopError::Algorithm),
        (|header, _| header["jwk"]["d"] = "x".into(), DpopError::Key(KeyError::PrivateKey)),
        (|header, _| header["jwk"] = "x".into(), DpopError::Key(KeyError::Malformed)),
        (|_, claims| drop(claims.remove("jti")), DpopError::Claims),
        (|_, claims| drop(claims.insert("jti".into(), "x".repeat(257).into())), DpopError::Claims),
        (|_, claims| drop(claims.insert("htm".into(), "".into())), DpopError::Claims),
        (|_, claims| drop(claims.insert("iat".into(), json!(1.5))), DpopError::Claims),
        (|_, claims| drop(claims.insert("nonce".into(), json!(1))), DpopError::Claims),
        (|_, claims| drop(claims.insert("ath".into(), "short".into())), DpopError::Claims),
        (|_, claims| drop(claims.insert("countersign_query".into(), json!(null))), DpopError::Claims),
    ];
    for (number, (change, error)) in changes.into_iter().enumerate() {
        let dpop = changed(sent().dpop.as_ref().unwrap(), &phone().0, change);
        let refusal = refusal(&scene, &Sent { dpop: Some(dpop), ..sent() });
        assert_eq!(
            (refusal.reason, refusal.code()),
            (Reason::Dpop(error), Code::InvalidDpopProof),
            "{number}"
        );
    }
}

#[test]
fn the_body_is_covered_where_the_route_asks() {
    let scene = scene(Route { content_required: true, ..Route::new("/") });
    let body = |content| Sent {
        content: Content::Hash(sha256(b"body")),
        ..sent_with(|proof| proof.content = content)
    };
    assert_eq!(refused(&scene, &body(None)), Reason::ProofContent);
    assert_eq!(refused(&scene, &body(Some(sha256(b"other")))), Reason::ProofContent);
    assert!(passes(&scene, &body(Some(sha256(b"body")))));
}

#[test]
fn a_query_may_go_uncovered_only_under_its_danger_switch_and_a_wrong_one_never() {
    let scene = scene(Route { danger_unbound_query: true, ..Route::new("/") });
    let wrong = sent_with(|proof| proof.query = Some(sha256(b"page=2")));
    assert_eq!(refused(&scene, &wrong), Reason::ProofQuery);
    assert!(passes(&scene, &sent_with(|proof| proof.query = None)));
    let compact = scene.sent_by(&scene.device([4; 32]), |_| {}, |proof| proof.query = None);
    assert_eq!(scene.refused(&compact), Reason::ProofQuery, "the switch is for those who know no better");
}

#[test]
fn a_nonce_is_asked_for_and_given_in_the_words_of_dpop() {
    let scene = scene(Route { nonce: NoncePolicy::Required, ..Route::new("/") });
    let refusal = refusal(&scene, &sent());
    assert_eq!((refusal.reason, refusal.code()), (Reason::NonceMissing, Code::UseDpopNonce));
    assert_eq!(refusal.proof.nonce_field(), field::DPOP_NONCE);
    let header = refusal.www_authenticate().unwrap();
    assert!(header.starts_with("DPoP error=\"use_dpop_nonce\""), "{header}");
    let nonce = refusal.nonce.unwrap().to_base64url();
    assert!(passes(
        &scene,
        &sent_with(|proof| {
            proof.nonce = Some(nonce.as_str());
            // The nonce tells the time; the phone's clock does not.
            proof.issued_at = NOW.plus(200);
        })
    ));
    let made_up = sent_with(|proof| proof.nonce = Some("made-up"));
    assert!(matches!(refused(&scene, &made_up), Reason::Nonce(_)));
}

#[test]
fn what_is_wrong_with_a_dpop_proof_is_said_by_dpop_also_without_a_token() {
    let scene = scene(Route { credentials: Vec::new(), ..Route::new("/") });
    let sent = Sent { authorization: None, ..sent_with(|proof| (proof.ath, proof.method) = (None, "POST")) };
    let header = refusal(&scene, &sent).www_authenticate().unwrap();
    assert!(header.starts_with("DPoP error=\"invalid_dpop_proof\""), "{header}");
}

#[test]
fn a_route_that_demands_the_instance_key_refuses_the_session_key() {
    let scene = scene(Route { assurance: Assurance::Hardware, ..Route::new("/") });
    let Decision::Refusal(refusal) = scene.check(&scene.sent()) else { panic!("passed") };
    assert_eq!((refusal.reason, refusal.code()), (Reason::AssuranceTooLow, Code::UseFreshAttestation));
    assert!(refusal.www_authenticate().unwrap().contains("assurance=\"hardware\""));
}

#[test]
fn the_drafts_own_proof_is_taken_only_under_its_danger_switch() {
    assert_eq!(refused(&scene(Route::new("/")), &sent_with_pop(|_| {})), Reason::ProofUnbound);
    let route =
        Route { danger_unbound_pop: true, token_binding: TokenBinding::DangerClientOnly, ..Route::new("/") };
    let scene = scene(route);
    assert!(passes(&scene, &sent_with_pop(|_| {})));
    let again = refusal(&scene, &sent_with_pop(|_| {}));
    assert_eq!((again.reason, again.code()), (Reason::Replayed, Code::InvalidClientAttestation));
}

#[test]
fn the_drafts_own_proof_is_no_signature_of_the_request_by_hardware() {
    let route = Route { danger_unbound_pop: true, assurance: Assurance::Hardware, ..Route::new("/") };
    assert_eq!(refused(&scene(route), &sent_with_pop(|_| {})), Reason::AssuranceTooLow);
    let route =
        Route { danger_unbound_pop: true, token_binding: TokenBinding::DangerClientOnly, ..Route::new("/") };
    let decision = scene(route).edge.check("api", &sent_with_pop(|_| {}).request(), NOW);
    let Decision::Permit(permit) = decision else { panic!("refused") };
    assert_eq!(permit.assurance(), Assurance::Session);
}

#[test]
fn no_lie_in_the_drafts_own_proof_is_believed() {
    let route =
        Route { danger_unbound_pop: true, token_binding: TokenBinding::DangerClientOnly, ..Route::new("/") };
    let scene = scene(route);
    let other = sent_with_pop(|pop| pop.audience = "https://as.example");
    assert_eq!(refused(&scene, &other), Reason::ProofAudience, "made for the authorization server");
    assert_eq!(refused(&scene, &sent_with_pop(|pop| pop.issued_at = NOW.minus(61))), Reason::ProofTime);
    let made_up = sent_with_pop(|pop| pop.challenge = Some("made-up"));
    assert!(matches!(refused(&scene, &made_up), Reason::Nonce(_)));
    let thief = Sent { pop: Some(Phone(key(6)).pop(|_| {})), ..sent_with_pop(|_| {}) };
    assert_eq!(refused(&scene, &thief), Reason::ProofSignature);
    let changes: [(Change, ClientAttestationPopError); 5] = [
        (|header, _| header["typ"] = "dpop+jwt".into(), ClientAttestationPopError::Typ),
        (|header, _| header["alg"] = "none".into(), ClientAttestationPopError::Algorithm),
        (|_, claims| drop(claims.insert("aud".into(), json!([RESOURCE]))), ClientAttestationPopError::Claims),
        (|_, claims| drop(claims.insert("exp".into(), json!(1))), ClientAttestationPopError::Claims),
        (|_, claims| drop(claims.remove("iat")), ClientAttestationPopError::Claims),
    ];
    for (change, error) in changes {
        let pop = changed(&phone().pop(|_| {}), &phone().0, change);
        let sent = Sent { pop: Some(pop), ..sent_with_pop(|_| {}) };
        assert_eq!(refused(&scene, &sent), Reason::ClientAttestationPop(error));
    }
}

#[test]
fn both_proofs_at_once_are_ambiguous() {
    let scene = scene(Route { danger_unbound_pop: true, ..Route::new("/") });
    let both = Sent { pop: Some(phone().pop(|_| {})), ..sent() };
    let refusal = refusal(&scene, &both);
    assert_eq!((refusal.reason, refusal.code()), (Reason::TwoFlavours, Code::InvalidRequest));
}

#[test]
fn a_ban_and_an_end_hold_in_this_flavour_too() {
    let scene = scene(Route::new("/"));
    let ended = phone().attestation_of(&ResultClaims {
        issued_at: NOW.minus(600),
        expires_at: NOW,
        ..phone().claims()
    });
    assert_eq!(refused(&scene, &Sent { attestation: Some(ended), ..sent() }), Reason::ResultExpired);
    scene.edge.replace_deny_list(scene.deny_list(1, |list| {
        list.instances.insert(InstanceId::from_bytes([5; 16]));
    }));
    assert_eq!(refused(&scene, &sent()), Reason::InstanceDenied);
}
