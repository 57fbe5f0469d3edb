//! The proof: moved, altered, kept for later, replayed, or of another body.

use countersign_core::challenge::{MacKey, MacKeyRing, Scope};
use countersign_core::request::sha256;
use countersign_core::time::Timestamp;
use countersign_core::token::proof::ProofClaims;
use countersign_core::token::result::ResultClaims;
use countersign_verifier::check::{Content, Decision, Lookup, NoncePolicy, Reason, Route};

use super::scene::{NOW, Scene, Sent};

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
