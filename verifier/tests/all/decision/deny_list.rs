//! Banned instances, users and keys, and lists that are not to be taken.

use countersign_core::token::result::InstanceId;
use countersign_verifier::check::deny_list::{DenyList, DenyListError, SubjectDigest};
use countersign_verifier::check::{Code, ProofKind, Reason, Route};

use super::scene::{self, NOW, Scene};

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
    assert_eq!(
        Reason::SubjectDenied.code(ProofKind::Compact),
        Reason::InstanceDenied.code(ProofKind::Compact)
    );
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
    assert_eq!(Reason::DenyListStale.code(ProofKind::Compact), Code::Unavailable);
    scene.edge.replace_deny_list(scene.deny_list(1, |list| list.expires_at = NOW));
    assert_eq!(scene.refused(&scene.sent()), Reason::DenyListStale);
    scene.edge.replace_deny_list(scene.deny_list(2, |_| {}));
    assert_eq!(scene.verdict(&scene.sent()), None);
}
