//! The edge's limits at their last allowed and first refused value, and the parts of a request that are there by halves.

use countersign_core::cbor::CborError;
use countersign_core::request::{RequestError, sha256};
use countersign_core::token::cose::{Header, Unsigned, typ};
use countersign_core::token::keys::Algorithm;
use countersign_core::token::proof::ProofClaims;
use countersign_core::token::result::InstanceId;
use countersign_verifier::check::deny_list::{DenyList, DenyListError, MAX_DENY_LIST, SubjectDigest};
use countersign_verifier::check::trust::KeyOwner;
use countersign_verifier::check::{Content, Decision, Lookup, Reason, Route};
use countersign_verifier::credential::jwks::Jwks;
use countersign_verifier::credential::jwt::AccessTokenError;

use super::scene::{AUTHORIZATION_SERVER, NOW, PARTNER_SERVER, SERVICE, SERVICE_SEED, Scene, Sent};

#[test]
fn a_withdrawn_key_takes_the_cached_access_tokens_with_it() {
    let scene = Scene::new();
    assert_eq!(scene.verdict(&scene.sent()), None);
    let server = scene.edge.authorization_server(AUTHORIZATION_SERVER).unwrap();
    server.replace(Jwks::decode(super::scene::key_set("server-2", [66; 32]).as_bytes()).unwrap());
    let sent = scene.sent();
    let owner = KeyOwner::AuthorizationServer(AUTHORIZATION_SERVER.to_owned());
    assert!(matches!(scene.check(&sent), Decision::Needs(Lookup::Keys(needed)) if needed == owner));
    server.fetched(NOW);
    assert_eq!(scene.refused(&sent), Reason::AccessToken(AccessTokenError::UnknownKey));
}

#[test]
fn a_cached_access_token_needs_no_key_until_its_set_is_replaced() {
    let scene = Scene::new();
    assert_eq!(scene.verdict(&scene.sent()), None);
    // The same token with another signature would have to be verified.
    let mut forged = scene.token(&scene.device([4; 32]), |_| {});
    let last = if forged.pop() == Some('A') { 'Q' } else { 'A' };
    forged.push(last);
    assert!(matches!(scene.refused(&scene.sent_with("DPoP", &forged)), Reason::AccessToken(_)));
    assert_eq!(scene.verdict(&scene.sent()), None);
}

#[test]
fn a_token_of_a_server_that_another_resource_trusts_is_refused() {
    let scene = Scene::new();
    let device = scene.device([4; 32]);
    let token = scene.token(&device, |claims| claims["iss"] = PARTNER_SERVER.into());
    let refused = scene.refused(&scene.sent_with("DPoP", &token));
    assert_eq!(refused, Reason::AccessToken(AccessTokenError::UnknownIssuer));
}

#[test]
fn a_request_has_2048_characters_of_path_and_query_at_most() {
    let scene = Scene::new();
    for (length, too_long) in [(2047, false), (2048, false), (2049, true), (4096, true)] {
        let path_and_query = format!("/v1/accounts/1?{}", "a".repeat(length - 15));
        assert_eq!(path_and_query.len(), length);
        let refused = scene.refused(&Sent { path_and_query, ..scene.sent() });
        let expected = if too_long { Reason::Request(RequestError::TooLong) } else { Reason::ProofQuery };
        assert_eq!(refused, expected, "{length}");
    }
}

#[test]
fn an_authorization_field_has_8200_characters_at_most() {
    let scene = Scene::new();
    for (length, too_long) in [(8199, false), (8200, false), (8201, true), (16_400, true)] {
        let authorization = format!("Bearer {}", "a".repeat(length - 7));
        assert_eq!(authorization.len(), length);
        let sent = scene.sent();
        let refused = scene.refused(&Sent { authorization: Some(authorization), ..sent });
        let expected = if too_long { Reason::AuthorizationMalformed } else { Reason::ProofCredential };
        assert_eq!(refused, expected, "{length}");
    }
}

#[test]
fn result_and_proof_have_4096_characters_each_at_most() {
    let scene = Scene::new();
    let good = scene.sent();
    for (length, too_long) in [(4096, false), (4098, true), (8192, true)] {
        let field = Some("A".repeat(length));
        let as_result = scene.refused(&Sent { result: field.clone(), ..good.clone() });
        assert_eq!(as_result == Reason::FieldMalformed, too_long, "{length}: {as_result:?}");
        let as_proof = scene.refused(&Sent { proof: field, ..good.clone() });
        assert_eq!(as_proof == Reason::FieldMalformed, too_long, "{length}: {as_proof:?}");
    }
}

#[test]
fn a_body_that_must_be_covered_may_be_empty_or_yet_to_come_and_not_too_long() {
    let scene = Scene::with_route(Route { content_required: true, ..Route::new("/") });
    let with = |seen: Content, proven: Option<[u8; 32]>| {
        let sent = scene.sent_by(&scene.device([4; 32]), |_| {}, |proof| proof.content = proven);
        scene.check(&Sent { content: seen, ..sent })
    };
    let refused = |decision| match decision {
        Decision::Refusal(refusal) => refusal.reason,
        other => panic!("{other:?}"),
    };
    let hash = sha256(b"body");
    assert!(matches!(with(Content::Hash(sha256(b"")), None), Decision::Permit(_)), "nothing to cover");
    assert!(matches!(with(Content::Deferred, Some(hash)), Decision::Needs(Lookup::Content)));
    assert_eq!(refused(with(Content::Deferred, None)), Reason::ProofContent);
    assert_eq!(refused(with(Content::TooLarge, Some(hash))), Reason::ContentTooLarge);
    assert_eq!(refused(with(Content::TooLarge, None)), Reason::ContentTooLarge);
    assert_eq!(refused(with(Content::Hash(hash), Some(sha256(b"another")))), Reason::ProofContent);
}

#[test]
fn a_body_that_need_not_be_covered_passes_however_it_came() {
    let scene = Scene::new();
    for seen in [Content::Hash(sha256(b"body")), Content::TooLarge, Content::Unseen, Content::Deferred] {
        assert_eq!(scene.verdict(&Sent { content: seen, ..scene.sent() }), None, "{seen:?}");
    }
}

#[test]
fn only_a_deny_list_signed_with_ed25519_is_one() {
    let scene = Scene::new();
    let list = scene.deny_list(1, |_| {});
    let genuine = scene.signed_deny_list(&list, SERVICE_SEED);
    let (message, _) = DenyList::claimed(&genuine).unwrap();
    let as_other = |typ, algorithm| {
        let header = Header { algorithm, key_id: Some(b"service-1"), typ };
        Unsigned::new(&header, message.payload().to_vec())
            .with_signature(message.signature().try_into().unwrap())
    };
    assert!(DenyList::claimed(&as_other(typ::DENY_LIST, Algorithm::Ed25519)).is_ok());
    for (typ, algorithm) in [(typ::RESULT, Algorithm::Ed25519), (typ::DENY_LIST, Algorithm::Esp256)] {
        let bytes = as_other(typ, algorithm);
        assert_eq!(DenyList::claimed(&bytes).err(), Some(CborError::Unexpected), "{algorithm:?}");
        let taken = DenyList::verify(&bytes, SERVICE, &scene.service_keys(), None, NOW);
        assert_eq!(taken, Err(DenyListError::Encoding(CborError::Unexpected)), "{algorithm:?}");
    }
}

#[test]
fn a_deny_list_has_eight_mebibytes_at_most() {
    let scene = Scene::new();
    let of_length = |key: usize| {
        let list = scene.deny_list(1, |list| list.key_ids.extend([vec![0; key]]));
        scene.signed_deny_list(&list, SERVICE_SEED)
    };
    // What stands around a key whose length takes four bytes to say.
    let around = of_length(1 << 16).len() - (1 << 16);
    for (length, expected) in
        [(MAX_DENY_LIST, None), (MAX_DENY_LIST + 1, Some(DenyListError::Encoding(CborError::Unexpected)))]
    {
        let bytes = of_length(length - around);
        assert_eq!(bytes.len(), length);
        assert_eq!(DenyList::verify(&bytes, SERVICE, &scene.service_keys(), None, NOW).err(), expected);
    }
}

#[test]
fn a_deny_list_is_at_most_a_minute_ahead() {
    let scene = Scene::new();
    for (ahead, expected) in [(60, None), (61, Some(DenyListError::FromTheFuture))] {
        let list = scene.deny_list(1, |list| list.issued_at = NOW.plus(ahead));
        let bytes = scene.signed_deny_list(&list, SERVICE_SEED);
        assert_eq!(DenyList::verify(&bytes, SERVICE, &scene.service_keys(), None, NOW).err(), expected);
    }
}

#[test]
fn a_proof_is_as_old_as_its_result_less_a_minute_at_most() {
    let scene = Scene::new();
    for (age, expected) in [(40, None), (41, Some(Reason::ProofOutlivesResult))] {
        let change = |proof: &mut ProofClaims<'_>| proof.issued_at = NOW.minus(age);
        let sent = scene.sent_by(&scene.device([4; 32]), |claims| claims.issued_at = NOW.plus(20), change);
        assert_eq!(scene.verdict(&sent), expected, "{age}");
    }
}

#[test]
fn the_claims_of_a_deny_list_have_the_numbers_that_other_edges_know() {
    let scene = Scene::new();
    let list = scene.deny_list(1, |list| {
        list.instances.insert(InstanceId::from_bytes([5; 16]));
        list.key_ids.insert(b"service-1".to_vec());
        list.subjects.insert(SubjectDigest::from_bytes([7; 32]));
    });
    let bytes = scene.signed_deny_list(&list, SERVICE_SEED);
    // -66040 to -66043 and what follows each: a number, and arrays of one.
    for (claim, value) in [(0xf7, 0x01), (0xf8, 0x81), (0xf9, 0x81), (0xfa, 0x81)] {
        let member = [0x3a, 0x00, 0x01, 0x01, claim, value];
        assert!(bytes.windows(6).any(|window| window == member), "{claim:#x}");
    }
}

#[test]
fn a_request_of_the_longest_uri_passes() {
    let scene = Scene::new();
    let origin = "https://api.example";
    let path = format!("/v1/{}", "a".repeat(2048 - origin.len() - 4));
    let target = format!("{origin}{path}");
    assert_eq!(target.len(), 2048);
    let change = |proof: &mut ProofClaims<'_>| {
        proof.target = target.clone().leak();
        proof.query = None;
    };
    let sent = scene.sent_by(&scene.device([4; 32]), |_| {}, change);
    assert_eq!(scene.verdict(&Sent { path_and_query: path, ..sent }), None);
}
