//! What stands in the header fields of a request, and what is answered.

use countersign_verifier::check::refusal::Scheme;
use countersign_verifier::check::{Decision, Field, ProofKind, Reason};

use super::scene::{self, NOW, Scene, Sent};

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
    assert_eq!(with(&only_oauth), Some(Reason::NoAttestation), "a DPoP proof that nobody vouches for");
    let twice = || Field::from_lines([&b"a"[..], b"b"]);
    assert_eq!(with(&|fields| fields.attestation_proof = twice()), Some(Reason::FieldMalformed));
    assert_eq!(with(&|fields| fields.authorization = twice()), Some(Reason::AuthorizationMalformed));
    let joined = || Field::from_lines([&b"DPoP a,DPoP b"[..]]);
    assert_eq!(with(&|fields| fields.authorization = joined()), Some(Reason::AuthorizationMalformed));
    for reason in [Reason::TwoFlavours, Reason::FieldMalformed, Reason::AuthorizationMalformed] {
        assert_eq!(reason.code(ProofKind::Compact).status(), 400);
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
            (refusal.code().status(), refusal.www_authenticate().unwrap_or_default())
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
fn answers_speak_in_the_scheme_that_came_and_name_the_metadata() {
    let scene = Scene::new();
    let refusal = |sent: &Sent| match scene.check(sent) {
        Decision::Refusal(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let none = refusal(&Sent { authorization: None, ..scene.sent() });
    assert_eq!(
        none.www_authenticate().unwrap(),
        "DPoP algs=\"ES256\", resource_metadata=\"https://api.example/m\", \
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
