//! The edge's decision, attacked: each test names what an attacker tries, and the reason it is refused for.

mod answers;
mod bounds;
mod scene;

use std::net::IpAddr;

use countersign_core::challenge::{MacKey, MacKeyRing, Scope};
use countersign_core::request::sha256;
use countersign_core::time::Timestamp;
use countersign_core::token::proof::ProofClaims;
use countersign_core::token::result::{InstanceId, Protection, ResultClaims, Tier};
use countersign_verifier::check::deny_list::{DenyList, DenyListError, SubjectDigest};
use countersign_verifier::check::refusal::Scheme;
use countersign_verifier::check::trust::KeyOwner;
use countersign_verifier::check::{
    Code, Content, Decision, Field, Lookup, Mode, NoncePolicy, Reason, Route, TokenBinding,
};
use countersign_verifier::credential::jwt::AccessTokenError;

use scene::{AUTHORIZATION_SERVER, NOW, Scene, Sent};

#[test]
fn a_bound_token_with_its_instance_passes_once() {
    let scene = Scene::new();
    let sent = scene.sent();
    let Decision::Permit(permit) = scene.check(&sent) else { panic!("refused") };
    assert_eq!(permit.attestation().instance, InstanceId::from_bytes([5; 16]));
    assert_eq!(permit.access_token().map(|token| token.subject.as_str()), Some("user"));
    assert_eq!(scene.refused(&sent), Reason::Replayed, "replayed proof");
    assert_eq!(scene.verdict(&scene.sent()), None, "a further proof of the same device passes");
}

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
fn a_proof_moved_to_another_request_is_refused() {
    let scene = Scene::new();
    for (reason, change) in [
        (Reason::ProofMethod, (|sent: &mut Sent| sent.method = "POST") as fn(&mut Sent)),
        (Reason::ProofTarget, |sent| sent.path_and_query = "/v1/accounts/2?page=1".into()),
        (Reason::ProofTarget, |sent| sent.path_and_query = "/v1/accounts/1/?page=1".into()),
        (Reason::ProofQuery, |sent| sent.path_and_query = "/v1/accounts/1?page=2".into()),
        (Reason::ProofQuery, |sent| sent.path_and_query = "/v1/accounts/1".into()),
        (Reason::ProofQuery, |sent| sent.path_and_query = "/v1/accounts/1?".into()),
        (Reason::ProofContent, |sent| sent.content = Content::Hash([1; 32])),
    ] {
        let mut sent = scene.sent_by(&scene.device([4; 32]), |_| {}, |proof| proof.content = Some([2; 32]));
        change(&mut sent);
        assert_eq!(scene.refused(&sent), reason, "{} {}", sent.method, sent.path_and_query);
    }
}

#[test]
fn a_proof_for_another_resource_or_credential_is_refused() {
    let scene = Scene::new();
    let device = scene.device([4; 32]);
    for (reason, change) in [
        (
            Reason::ProofAudience,
            (|proof| proof.audience = "https://other.example") as fn(&mut ProofClaims<'_>),
        ),
        (Reason::ProofTarget, |proof| proof.target = "https://other.example/v1/accounts/1"),
        (Reason::ProofTarget, |proof| proof.target = "https://api.example/v1/accounts/1?page=1"),
        (Reason::ProofTarget, |proof| proof.target = "/v1/accounts/1"),
        (Reason::ProofCredential, |proof| proof.ath = Some([0; 32])),
        (Reason::ProofCredential, |proof| proof.ath = None),
        (Reason::ProofMethod, |proof| proof.method = "get"),
        (Reason::ProofQuery, |proof| proof.query = None),
    ] {
        assert_eq!(scene.refused(&scene.sent_by(&device, |_| {}, change)), reason);
    }
    let without_token = Sent { authorization: None, ..scene.sent() };
    assert_eq!(scene.refused(&without_token), Reason::NoCredential);
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

#[test]
fn time_has_two_ends() {
    let scene = Scene::new();
    let device = scene.device([4; 32]);
    let at = |seconds: i64| {
        NOW.as_unix_seconds().checked_add_signed(seconds).map(Timestamp::from_unix_seconds).unwrap()
    };
    let proof_at =
        |seconds: i64| scene.verdict(&scene.sent_by(&device, |_| {}, |proof| proof.issued_at = at(seconds)));
    assert_eq!(proof_at(-60), None);
    assert_eq!(proof_at(-61), Some(Reason::ProofTime));
    assert_eq!(proof_at(10), None);
    assert_eq!(proof_at(11), Some(Reason::ProofTime), "a proof made for later");
    let result_over = |issued: i64, expires: i64| {
        let change = |claims: &mut ResultClaims| {
            claims.issued_at = at(issued);
            claims.expires_at = at(expires);
        };
        scene.verdict(&scene.sent_by(&device, change, |_| {}))
    };
    assert_eq!(result_over(-500, 1), None);
    assert_eq!(result_over(-500, 0), Some(Reason::ResultExpired), "exp is the first moment it is not good");
    assert_eq!(result_over(60, 600), None);
    assert_eq!(result_over(61, 600), Some(Reason::ResultFromTheFuture));
    let before_result = scene.sent_by(&device, |claims| claims.issued_at = at(20), |p| p.issued_at = at(-50));
    assert_eq!(scene.verdict(&before_result), Some(Reason::ProofOutlivesResult));
}

#[test]
fn a_proof_dated_after_its_result_is_refused() {
    let scene = Scene::with_route(Route { nonce: NoncePolicy::Required, ..Route::new("/") });
    let device = scene.device([4; 32]);
    let Decision::Refusal(refusal) = scene.check(&scene.sent()) else { panic!("passed without a nonce") };
    let nonce = refusal.nonce.expect("a fresh nonce comes with the refusal").as_bytes().to_vec();
    let at = |seconds| {
        let change = |proof: &mut ProofClaims<'_>| {
            proof.nonce = Some(nonce.clone().leak());
            proof.issued_at = NOW.plus(seconds);
        };
        scene.verdict(&scene.sent_by(&device, |_| {}, change))
    };
    assert_eq!(at(299), None, "the result expires a second later");
    assert_eq!(at(300), Some(Reason::ProofOutlivesResult));
}

#[test]
fn the_same_proof_id_is_a_replay_whatever_else_is_signed_and_anothers_is_not() {
    let scene = Scene::new();
    let (device, other) = (scene.device([4; 32]), scene.device([9; 32]));
    let by = |device, environment| {
        let token = scene.token(device, |_| {});
        let change = |proof: &mut ProofClaims<'_>| {
            proof.token_id = &[1; 12];
            proof.environment = Some(environment);
        };
        scene.verdict(&scene.sent_by_with(device, "DPoP", &token, |_| {}, change))
    };
    assert_eq!(by(&device, 0), None);
    assert_eq!(by(&device, 1), Some(Reason::Replayed), "another message and signature, the same id");
    assert_eq!(by(&other, 0), None, "ids of two devices do not collide");
}

#[test]
fn what_is_wrong_with_an_attestation_is_not_told() {
    let scene = Scene::new();
    scene.edge.service(scene::SERVICE).unwrap().fetched(NOW);
    let device = scene.device([4; 32]);
    let good = scene.sent();
    let forged_result = scene.result_signed(&device, "service-1", [66; 32], |_| {});
    let unknown_key = scene.result_signed(&device, "made-up", [66; 32], |_| {});
    let sents = [
        Sent { result: Some(forged_result), ..good.clone() },
        Sent { result: Some(unknown_key), ..good.clone() },
        Sent { result: good.proof.clone(), ..good.clone() },
        scene.sent_by(&device, |claims| claims.expires_at = NOW, |_| {}),
        scene.sent_by(&device, |claims| claims.confirmation = scene.device([9; 32]).key(), |_| {}),
        scene.sent_by(&device, |_| {}, |proof| proof.result = [0; 32]),
        scene.sent_by(&device, |_| {}, |proof| proof.method = "POST"),
        scene.sent_by(&device, |_| {}, |proof| proof.audience = "https://other.example"),
    ];
    let answer = |sent: &Sent| match scene.check(sent) {
        Decision::Refusal(refusal) => {
            (refusal.reason.code().status(), refusal.www_authenticate().unwrap_or_default())
        }
        other => panic!("{other:?}"),
    };
    let answers: std::collections::BTreeSet<_> = sents.iter().map(answer).collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    // A wrong clock is told, because a nonce cures it: the time stands in the proof for everybody to read.
    let (_, late) = answer(&scene.sent_by(&device, |_| {}, |proof| proof.issued_at = NOW.minus(3600)));
    assert!(late.contains("invalid_client_attestation") && late.contains("attestation_challenge"), "{late}");
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
fn a_banned_instance_is_refused_although_its_result_is_good() {
    let scene = Scene::new();
    assert_eq!(scene.verdict(&scene.sent()), None);
    scene.edge.replace_deny_list(
        scene.deny_list(1, |list| list.instances.extend([InstanceId::from_bytes([5; 16])])),
    );
    assert_eq!(scene.refused(&scene.sent()), Reason::InstanceDenied);
    scene.edge.replace_deny_list(scene.deny_list(2, |list| list.key_ids.extend([b"service-1".to_vec()])));
    assert_eq!(scene.refused(&scene.sent()), Reason::KeyDenied);
}

#[test]
fn a_banned_user_is_refused_on_every_device_although_the_token_is_good() {
    let scene = Scene::new();
    assert_eq!(scene.verdict(&scene.sent()), None);
    let ban = SubjectDigest::of(scene::AUTHORIZATION_SERVER, "user");
    scene.edge.replace_deny_list(scene.deny_list(1, |list| list.subjects.extend([ban])));
    assert_eq!(
        scene.refused(&scene.sent()),
        Reason::SubjectDenied,
        "also with a token that was verified before"
    );
    let (other, token) = (scene.device([8; 32]), scene.token(&scene.device([8; 32]), |_| {}));
    let on_another = scene.sent_by_with(&other, "DPoP", &token, |_| {}, |_| {});
    assert_eq!(scene.refused(&on_another), Reason::SubjectDenied);
    assert_eq!(Reason::SubjectDenied.code(), Reason::InstanceDenied.code());
    scene.edge.replace_deny_list(scene.deny_list(2, |_| {}));
    assert_eq!(scene.verdict(&scene.sent()), None, "the service may lift it");
}

#[test]
fn a_ban_of_one_user_touches_no_other() {
    let scene = Scene::new();
    scene.edge.replace_deny_list(scene.deny_list(1, |list| {
        list.subjects.extend([
            SubjectDigest::of(scene::AUTHORIZATION_SERVER, "another"),
            SubjectDigest::of("https://other.example", "user"),
            SubjectDigest::of("user", scene::AUTHORIZATION_SERVER),
        ]);
    }));
    assert_eq!(scene.verdict(&scene.sent()), None);
    let foreign = |list: &mut DenyList| {
        list.issuer = "https://other.example".to_owned();
        list.subjects.insert(SubjectDigest::of(scene::AUTHORIZATION_SERVER, "user"));
    };
    scene.edge.replace_deny_list(scene.deny_list(2, foreign));
    assert_eq!(scene.verdict(&scene.sent()), None, "a service speaks for its own devices alone");
}

#[test]
fn a_banned_user_is_told_before_the_route_policy_and_after_the_token() {
    let mut route = Route::new("/");
    route.scopes = vec!["admin".to_owned()];
    let scene = Scene::with_route(route);
    let ban = SubjectDigest::of(scene::AUTHORIZATION_SERVER, "user");
    scene.edge.replace_deny_list(scene.deny_list(1, |list| list.subjects.extend([ban])));
    assert_eq!(scene.refused(&scene.sent()), Reason::SubjectDenied);
    let device = scene.device([4; 32]);
    let expired = scene.token(&device, |claims| {
        claims.insert("exp".to_owned(), NOW.minus(1).as_unix_seconds().into());
    });
    assert_eq!(scene.refused(&scene.sent_with("DPoP", &expired)), Reason::AccessTokenTime);
}

#[test]
fn a_deny_list_with_and_without_subjects_is_read_as_it_was_signed() {
    let scene = Scene::new();
    let ban = SubjectDigest::of(scene::AUTHORIZATION_SERVER, "user");
    for list in [scene.deny_list(7, |_| {}), scene.deny_list(7, |list| list.subjects.extend([ban]))] {
        let bytes = scene.signed_deny_list(&list, scene::SERVICE_SEED);
        let read = DenyList::verify(&bytes, scene::SERVICE, &scene.service_keys(), None, NOW);
        assert_eq!(read.as_ref(), Ok(&list));
        // What older edges know ends with the keys.
        let names_subjects = bytes.windows(5).any(|window| window == [0x3a, 0x00, 0x01, 0x01, 0xfa]);
        assert_eq!(names_subjects, !list.subjects.is_empty());
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            let read = DenyList::verify(&changed, scene::SERVICE, &scene.service_keys(), None, NOW);
            assert!(read.is_err(), "byte {position}");
        }
    }
}

#[test]
fn an_old_unsigned_or_foreign_deny_list_is_not_taken() {
    let scene = Scene::new();
    let list = scene.deny_list(7, |_| {});
    let verify = |list: &DenyList, seed, previous, now| {
        DenyList::verify(
            &scene.signed_deny_list(list, seed),
            scene::SERVICE,
            &scene.service_keys(),
            previous,
            now,
        )
    };
    assert_eq!(verify(&list, scene::SERVICE_SEED, Some(&list), NOW).as_ref(), Ok(&list));
    assert_eq!(verify(&list, [66; 32], None, NOW), Err(DenyListError::Signature));
    let newer = scene.deny_list(8, |_| {});
    assert_eq!(verify(&list, scene::SERVICE_SEED, Some(&newer), NOW), Err(DenyListError::SequenceFell));
    assert_eq!(verify(&list, scene::SERVICE_SEED, None, NOW.plus(600)), Err(DenyListError::Expired));
    assert_eq!(verify(&list, scene::SERVICE_SEED, None, NOW.minus(61)), Err(DenyListError::FromTheFuture));
    let foreign = scene.deny_list(7, |list| list.issuer = "https://other.example".into());
    assert_eq!(verify(&foreign, scene::SERVICE_SEED, None, NOW), Err(DenyListError::Issuer));
}

#[test]
fn a_stolen_key_does_not_take_back_its_ban() {
    let scene = Scene::new();
    let ban = scene.deny_list(7, |list| list.key_ids.extend([b"service-1".to_vec()]));
    let forged = scene.signed_deny_list(&scene.deny_list(u64::MAX, |_| {}), scene::SERVICE_SEED);
    let taken = DenyList::verify(&forged, scene::SERVICE, &scene.service_keys(), Some(&ban), NOW);
    assert_eq!(taken, Err(DenyListError::DeniedKey));
}

#[test]
fn a_required_deny_list_that_is_missing_or_stale_lets_nothing_pass() {
    let scene = Scene::with_required_deny_list();
    assert_eq!(scene.refused(&scene.sent()), Reason::DenyListStale);
    assert_eq!(Reason::DenyListStale.code(), Code::Unavailable);
    scene.edge.replace_deny_list(scene.deny_list(1, |list| list.expires_at = NOW));
    assert_eq!(scene.refused(&scene.sent()), Reason::DenyListStale);
    scene.edge.replace_deny_list(scene.deny_list(2, |_| {}));
    assert_eq!(scene.verdict(&scene.sent()), None);
}

#[test]
fn a_nonce_replaces_the_clock_and_only_ours_counts() {
    let scene = Scene::with_route(Route { nonce: NoncePolicy::Required, ..Route::new("/") });
    let device = scene.device([4; 32]);
    let Decision::Refusal(refusal) = scene.check(&scene.sent()) else { panic!("passed without a nonce") };
    assert_eq!(refusal.reason, Reason::NonceMissing);
    let nonce = refusal.nonce.expect("a fresh nonce comes with the refusal");
    let with = |nonce: &[u8], skew: u64, now: Timestamp| {
        let nonce = nonce.to_vec();
        let sent = scene.sent_by(
            &device,
            |_| {},
            |proof| {
                proof.nonce = Some(nonce.clone().leak());
                proof.issued_at = now.plus(skew);
            },
        );
        scene.verdict_at(&sent, now)
    };
    assert_eq!(with(nonce.as_bytes(), 250, NOW), None, "a clock four minutes ahead");
    assert_eq!(with(nonce.as_bytes(), 601, NOW), Some(Reason::ProofTime));
    assert_eq!(with(nonce.as_bytes(), 0, NOW.plus(120)), None);
    assert!(matches!(with(nonce.as_bytes(), 0, NOW.plus(121)), Some(Reason::Nonce(_))), "expired");
    let scope = Scope::Challenge { issuer: "https://api.example" };
    let challenge = MacKeyRing::new(MacKey::new(1, [3; 32]), vec![]).issue(scope, NOW, &[0; 16]);
    assert!(
        matches!(with(challenge.as_bytes(), 0, NOW), Some(Reason::Nonce(_))),
        "a challenge of the service"
    );
    let scope = Scope::Nonce { resource: "https://other.example", replay_domain: "" };
    let other = MacKeyRing::new(MacKey::new(1, [3; 32]), vec![]).issue(scope, NOW, &[0; 16]);
    assert!(matches!(with(other.as_bytes(), 0, NOW), Some(Reason::Nonce(_))), "a nonce of another resource");
    assert!(matches!(with(&[1, 2, 3], 0, NOW), Some(Reason::Nonce(_))));
}

#[test]
fn two_flavours_two_lines_and_joined_lines_are_malformed() {
    let scene = Scene::new();
    let sent = scene.sent();
    let with = |change: &dyn Fn(&mut countersign_verifier::check::Fields<'_>)| {
        let mut request = sent.request();
        change(&mut request.fields);
        scene.verdict_of(&request)
    };
    let dpop = || Field::from_lines([&b"a.b.c"[..]]);
    assert_eq!(with(&|fields| fields.dpop = dpop()), Some(Reason::TwoFlavours));
    assert_eq!(with(&|fields| fields.client_attestation = dpop()), Some(Reason::TwoFlavours));
    let only_oauth = |fields: &mut countersign_verifier::check::Fields<'_>| {
        fields.attestation_result = Field::Absent;
        fields.attestation_proof = Field::Absent;
        fields.dpop = Field::from_lines([&b"a.b.c"[..]]);
    };
    assert_eq!(with(&only_oauth), Some(Reason::FlavourNotAccepted));
    let twice = || Field::from_lines([&b"a"[..], b"b"]);
    assert_eq!(with(&|fields| fields.attestation_proof = twice()), Some(Reason::FieldMalformed));
    assert_eq!(with(&|fields| fields.authorization = twice()), Some(Reason::AuthorizationMalformed));
    let joined = || Field::from_lines([&b"DPoP a,DPoP b"[..]]);
    assert_eq!(with(&|fields| fields.authorization = joined()), Some(Reason::AuthorizationMalformed));
    for reason in [Reason::TwoFlavours, Reason::FieldMalformed, Reason::AuthorizationMalformed] {
        assert_eq!(reason.code().status(), 400);
    }
}

#[test]
fn oversized_truncated_and_garbage_fields_are_refused() {
    let scene = Scene::new();
    let good = scene.sent();
    let proof = good.proof.clone().unwrap();
    for field in [
        "a".repeat(4097),
        "A".repeat(4096),
        "====".into(),
        "h".into(),
        String::new(),
        proof[..proof.len() - 4].into(),
    ] {
        let as_proof = Sent { proof: Some(field.clone()), ..good.clone() };
        assert!(scene.verdict(&as_proof).is_some(), "{} characters as proof", field.len());
        let as_result = Sent { result: Some(field.clone()), ..good.clone() };
        assert!(scene.verdict(&as_result).is_some(), "{} characters as result", field.len());
    }
    let padded = Sent { proof: Some(format!("{proof}=")), ..good };
    assert_eq!(scene.refused(&padded), Reason::FieldMalformed, "another text for the same proof");
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
    assert_eq!(scene.refused(&scene.sent_with("DPoP", &token)), Reason::CertificateMissing);
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

#[test]
fn what_the_route_demands_of_the_attestation_holds() {
    let with = |route: Route, change: fn(&mut ResultClaims)| {
        let scene = Scene::with_route(route);
        let sent = scene.sent_by(&scene.device([4; 32]), change, |_| {});
        scene.verdict(&sent)
    };
    let warning = |claims: &mut ResultClaims| claims.tier = Tier::Warning;
    assert_eq!(with(Route::new("/"), warning), Some(Reason::TierTooLow));
    assert_eq!(with(Route { tier: Tier::Warning, ..Route::new("/") }, warning), None);
    let hardware =
        || Route { protection: vec![Protection::Strongbox, Protection::SecureEnclave], ..Route::new("/") };
    assert_eq!(
        with(hardware(), |claims| claims.protection = Protection::Tee),
        Some(Reason::ProtectionTooLow)
    );
    assert_eq!(with(hardware(), |claims| claims.protection = Protection::Strongbox), None);
    let fresh = || Route { max_evidence_age: Some(3600), ..Route::new("/") };
    assert_eq!(with(fresh(), |claims| claims.evidence_time = NOW.minus(3601)), Some(Reason::EvidenceTooOld));
    assert_eq!(with(fresh(), |claims| claims.evidence_time = NOW.minus(3600)), None);
    assert_eq!(Reason::EvidenceTooOld.code(), Code::UseFreshAttestation);
}

#[test]
fn scopes_are_whole_words() {
    let scene = Scene::with_route(Route { scopes: vec!["read".into()], ..Route::new("/") });
    let device = scene.device([4; 32]);
    let with_scope = |scope: &str| {
        let token = scene.token(&device, |claims| claims["scope"] = scope.into());
        scene.verdict(&scene.sent_with("DPoP", &token))
    };
    assert_eq!(with_scope("write read"), None);
    for scope in ["readwrite", "READ", "read,write", "", "read\u{a0}x"] {
        assert_eq!(with_scope(scope), Some(Reason::ScopeMissing), "{scope:?}");
    }
}

#[test]
fn a_body_that_must_be_covered_must_be_seen_and_proven() {
    let scene = Scene::with_route(Route { content_required: true, ..Route::new("/") });
    let device = scene.device([4; 32]);
    let with = |seen: Content, proven: Option<[u8; 32]>| {
        let mut sent = scene.sent_by(&device, |_| {}, |proof| proof.content = proven);
        sent.content = seen;
        scene.verdict(&sent)
    };
    let hash = sha256(b"body");
    assert_eq!(with(Content::Hash(hash), Some(hash)), None);
    assert_eq!(with(Content::Hash(hash), None), Some(Reason::ProofContent));
    assert_eq!(with(Content::Unseen, Some(hash)), Some(Reason::ProofContent));
    assert_eq!(with(Content::Unseen, None), Some(Reason::ProofContent));
}

#[test]
fn a_changed_body_is_refused_wherever_the_proof_covers_it() {
    let scene = Scene::new();
    let hash = sha256(b"body");
    let with = |seen| {
        let sent = scene.sent_by(&scene.device([4; 32]), |_| {}, |proof| proof.content = Some(hash));
        Sent { content: seen, ..sent }
    };
    let asked = scene.check(&with(Content::Deferred));
    assert!(
        matches!(asked, Decision::Needs(Lookup::Content)),
        "also where the route asks for none: {asked:?}"
    );
    assert_eq!(scene.refused(&with(Content::Hash(sha256(b"another body")))), Reason::ProofContent);
    assert_eq!(scene.verdict(&with(Content::Hash(hash))), None);
    assert_eq!(
        scene.verdict(&Sent { content: Content::Deferred, ..scene.sent() }),
        None,
        "no digest to compare"
    );
}

#[test]
fn paths_with_two_readings_and_unknown_routes_are_refused() {
    let scene = Scene::with_route(Route::new("/v1"));
    for path in
        ["/v1/../admin", "/v1//accounts", "/v1/%2e%2e/admin", "/v1/a%2Fb", "/v1/a;b", "/v1\\a", "/v1/%00"]
    {
        let sent = Sent { path_and_query: path.into(), ..scene.sent() };
        assert!(matches!(scene.refused(&sent), Reason::Request(_)), "{path}");
    }
    let elsewhere = Sent { path_and_query: "/admin".into(), ..scene.sent() };
    assert_eq!(scene.refused(&elsewhere), Reason::NoRoute);
    for query in ["page=1&access_token=x", "access%5Ftoken=x", "%61ccess_token", "a;access_token=x"] {
        let in_query = Sent { path_and_query: format!("/v1/accounts/1?{query}"), ..scene.sent() };
        assert_eq!(scene.refused(&in_query), Reason::TokenInQuery, "{query}");
    }
}

#[test]
fn an_address_that_keeps_failing_waits() {
    let scene = Scene::new();
    let source: IpAddr = "192.0.2.1".parse().unwrap();
    let bad = Sent { proof: Some("garbage".into()), source: Some(source), ..scene.sent() };
    let stranger = Sent { result: Some("garbage".into()), ..bad.clone() };
    for _ in 0..20 {
        assert_ne!(scene.refused(&stranger), Reason::FailureBudget);
    }
    assert_eq!(scene.refused(&stranger), Reason::FailureBudget);
    let newcomer = Sent { source: Some(source), ..scene.sent() };
    assert_eq!(scene.refused(&newcomer), Reason::FailureBudget);
    assert_eq!(scene.verdict_at(&newcomer, NOW.plus(10)), None, "ten seconds later");
}

#[test]
fn an_attacker_behind_the_same_address_does_not_lock_out_phones_that_are_known() {
    let scene = Scene::new();
    let source: IpAddr = "192.0.2.1".parse().unwrap();
    let known = scene.sent();
    assert_eq!(scene.verdict(&known), None);
    let stranger = Sent { result: Some("garbage".into()), source: Some(source), ..scene.sent() };
    for _ in 0..30 {
        scene.refused(&stranger);
    }
    let device = scene.device([4; 32]);
    let proof = scene.proof(&device, known.result.as_deref().unwrap(), |_| {});
    let again = Sent { proof: Some(proof), source: Some(source), ..known };
    assert_eq!(scene.verdict(&again), None);
}

#[test]
fn everyday_refusals_lock_nobody_out() {
    let scene = Scene::new();
    let source: IpAddr = "192.0.2.1".parse().unwrap();
    let without_app = Sent { result: None, proof: None, source: Some(source), ..scene.sent() };
    for _ in 0..30 {
        assert_eq!(scene.refused(&without_app), Reason::NoAttestation);
    }
    assert_eq!(scene.verdict(&Sent { source: Some(source), ..scene.sent() }), None);
}

#[test]
fn one_instance_cannot_fill_the_replay_set_for_everybody() {
    let scene = Scene::new();
    for _ in 0..300 {
        assert_eq!(scene.verdict(&scene.sent()), None);
    }
    assert_eq!(scene.refused(&scene.sent()), Reason::InstanceBudget);
    assert_eq!(Reason::InstanceBudget.code().status(), 429);
    let change = |claims: &mut ResultClaims| claims.instance = InstanceId::from_bytes([6; 16]);
    let other = scene.sent_by(&scene.device([4; 32]), change, |_| {});
    assert_eq!(scene.verdict(&other), None);
}

#[test]
fn a_route_that_only_watches_uses_up_nobodys_budget() {
    let routes = vec![Route { mode: Mode::Observe, ..Route::new("/") }, Route::new("/v1")];
    let scene = Scene::with_routes(routes);
    let source: IpAddr = "192.0.2.1".parse().unwrap();
    let old_app = Sent {
        path_and_query: "/feed".into(),
        proof: None,
        result: None,
        source: Some(source),
        ..scene.sent()
    };
    for _ in 0..100 {
        assert!(matches!(scene.check(&old_app), Decision::Observed { .. }));
    }
    let new_app_behind_the_same_address = Sent { source: Some(source), ..scene.sent() };
    assert_eq!(scene.verdict(&new_app_behind_the_same_address), None);
}

#[test]
fn an_observed_route_passes_without_identity_and_a_warned_one_is_told() {
    for (mode, expected) in [(Mode::Observe, false), (Mode::Warn, true)] {
        let scene = Scene::with_route(Route { mode, ..Route::new("/") });
        let sent = Sent { proof: None, ..scene.sent() };
        let decision = scene.check(&sent);
        let Decision::Observed { refusal, told } = &decision else { panic!("{decision:?}") };
        assert_eq!((refusal.reason, *told), (Reason::NoAttestation, expected));
        let values = countersign_verifier::check::identity::identity_values(&decision);
        assert!(values.iter().all(String::is_empty));
    }
}

#[test]
fn a_route_without_credential_still_binds_one_that_comes() {
    let scene = Scene::with_route(Route { credential_required: false, ..Route::new("/") });
    let device = scene.device([4; 32]);
    let mut sent = scene.sent_by(&device, |_| {}, |proof| proof.ath = None);
    sent.authorization = None;
    assert_eq!(scene.verdict(&sent), None);
    let foreign = |claims: &mut ResultClaims| claims.client_id = "other-app".into();
    let mut foreign = scene.sent_by(&device, foreign, |proof| proof.ath = None);
    foreign.authorization = None;
    assert_eq!(scene.refused(&foreign), Reason::AppNotAccepted, "a genuine but foreign app, without a token");
    let stripped = Sent { authorization: None, ..scene.sent() };
    assert_eq!(scene.refused(&stripped), Reason::ProofCredential, "a token taken out of the request");
}

#[test]
fn answers_speak_in_the_scheme_that_came_and_name_the_metadata() {
    let scene = Scene::new();
    let refusal = |sent: &Sent| match scene.check(sent) {
        Decision::Refusal(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let none = refusal(&Sent { authorization: None, ..scene.sent() });
    assert_eq!(
        none.www_authenticate().unwrap(),
        "DPoP algs=\"ES256 Ed25519\", resource_metadata=\"https://api.example/m\", \
         Bearer resource_metadata=\"https://api.example/m\""
    );
    let missing = refusal(&Sent { proof: None, ..scene.sent() });
    assert_eq!(missing.scheme, Scheme::Dpop);
    let challenge = missing.www_authenticate().unwrap();
    assert!(challenge.starts_with("DPoP error=\"invalid_client_attestation\""), "{challenge}");
    let sent = scene.sent();
    assert_eq!(scene.verdict(&sent), None);
    assert!(refusal(&sent).www_authenticate().unwrap().contains("reason=\"replayed\""));
}
