//! App Attest cases.

use base64ct::{Base64, Encoding};
use countersign_core::token::keys::PublicKey;
use countersign_verifier::evidence::app_attest::{
    AppAttestEnvironment, ValidationCategory, verify_assertion, verify_attestation,
};
use countersign_verifier::policy::{AppPolicy, AppleApp, AppraisalPolicy, Danger};

use crate::case::{CLIENT, Case, Verdict, hex};

pub(crate) fn attestation(case: &Case) -> Verdict {
    let policy = policy(case);
    let anchors = policy.danger().trust_anchors().expect("the synthetic root is a root");
    let key_id = Base64::decode_vec(case.text("key_id_b64")).expect("base64");
    let key_id = key_id.as_slice().try_into().expect("key identifiers have 32 bytes");
    let client_data_hash = hex(case.text("client_data_hash_hex"));
    let now = case.verify_at();
    let verified = verify_attestation(&case.evidence(), key_id, &client_data_hash, &anchors, now);
    Verdict::of(verified, &policy, now)
}

pub(crate) fn assertion(case: &Case) -> Verdict {
    let key = PublicKey::from_p256_sec1(&hex(case.text("public_key_sec1_hex"))).expect("a P-256 key");
    let client_data_hash = hex(case.text("client_data_hash_hex"));
    let previous_counter = case.member("previous_counter").as_u64().expect("a counter");
    let previous_counter = u32::try_from(previous_counter).expect("32 bits");
    let now = case.verify_at();
    let verified = verify_assertion(&case.evidence(), &key, &client_data_hash, previous_counter, now);
    Verdict::of(verified, &policy(case), now)
}

/// The case's app and environment. Every validation category is accepted: the collection holds macOS and
/// operating-system samples, and its reference policy does not look.
fn policy(case: &Case) -> AppraisalPolicy {
    let mut app = AppPolicy::new(CLIENT);
    app.apple.push(AppleApp::from_app_id(case.text("app_id")));
    app.validation_categories = (1..=10).map(ValidationCategory).collect();
    let development = case.member("environment").as_str() == Some("development");
    let danger = Danger {
        app_attest_environments: if development { vec![AppAttestEnvironment::Development] } else { vec![] },
        app_attest_roots: case.synthetic_root().into_iter().collect(),
        ..Danger::default()
    };
    AppraisalPolicy::new("vectors/1").with_app(app).with_danger(danger)
}
