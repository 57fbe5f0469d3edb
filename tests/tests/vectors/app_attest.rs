//! App Attest cases.

use base64ct::{Base64, Encoding};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::evidence::app_attest::receipt::{Receipt, ReceiptSubject, ReceiptType};
use countersign_verifier::evidence::app_attest::{
    AppAttestEnvironment, ValidationCategory, verify_assertion, verify_attestation,
};
use countersign_verifier::evidence::{Claims, EvidenceError, VerifiedEvidence};
use countersign_verifier::policy::{AppPolicy, AppleApp, AppraisalPolicy, Danger};

use serde_json::{Value, json};

use crate::case::{CLIENT, Case, Verdict, hex, rfc3339};

/// A key, and nobody's.
const GENERATOR_OF_P256: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                                 4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

/// The cases are judged at a time when the attestation is valid, which is not always the time of its receipt; and
/// one was published without its receipt.
const RECEIPTS_NOT_ACCEPTED: [(&str, &str); 4] = [
    ("apple-sample-2024", "receipt_created_in_future"),
    ("macos-27-cdhash", "receipt_missing"),
    ("oliver-binns-ios-18.2", "receipt_not_fresh"),
    ("procivis-ios-17.7.1", "receipt_not_fresh"),
];

pub(crate) fn attestation(case: &Case) -> Verdict {
    let policy = policy(case);
    let verified = attested(case, &case.evidence());
    if !carries_the_expected_receipt(case, &verified) {
        return Verdict::Unverified("the receipt inside did not get its verdict");
    }
    Verdict::of(verified, &policy, case.verify_at())
}

/// What an attestation object says in the circumstances of the case.
pub(crate) fn attested(case: &Case, object: &[u8]) -> Result<VerifiedEvidence, EvidenceError> {
    let anchors = policy(case).danger().trust_anchors().expect("the synthetic root is a root");
    let key_id = Base64::decode_vec(case.text("key_id_b64")).expect("base64");
    let key_id = key_id.as_slice().try_into().expect("key identifiers have 32 bytes");
    let client_data_hash = hex(case.text("client_data_hash_hex"));
    verify_attestation(object, key_id, &client_data_hash, &anchors, case.verify_at())
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

/// Receipts inside genuine attestations verify, but for those in [`RECEIPTS_NOT_ACCEPTED`]. Synthetic attestations
/// hold something else in their place.
fn carries_the_expected_receipt(case: &Case, verified: &Result<VerifiedEvidence, EvidenceError>) -> bool {
    let claims = verified.as_ref().map(VerifiedEvidence::claims);
    let (Ok(Claims::AppAttest(claims)), None, None) = (claims, case.synthetic_root(), &case.change) else {
        return true;
    };
    let reason = claims.receipt_verdict.as_ref().and_then(|verdict| verdict.as_ref().err());
    let expected = RECEIPTS_NOT_ACCEPTED.iter().find(|(id, _)| *id == case.id());
    reason.map(|error| error.reason()) == expected.map(|(_, reason)| *reason)
}

/// Verified, and saying what the manifest says.
pub(crate) fn receipt(case: &Case) -> Verdict {
    let key = PublicKey::from_p256_sec1(&hex(case.text("public_key_sec1_hex"))).expect("a P-256 key");
    let app = AppleApp::from_app_id(case.text("app_id"));
    let environment = match case.text("environment") {
        "production" => AppAttestEnvironment::Production,
        _ => AppAttestEnvironment::Development,
    };
    let receipt_type = match case.text("receipt_type") {
        "ATTEST" => ReceiptType::Attest,
        _ => ReceiptType::Receipt,
    };
    let subject = ReceiptSubject { rp_id_hash: app.rp_id_hash(), public_key: &key, environment };
    let anchors = TrustAnchors::embedded();
    let receipt = match Receipt::verify(&case.evidence(), receipt_type, subject, &anchors, case.verify_at()) {
        Ok(receipt) => receipt,
        Err(error) => return Verdict::Unverified(error.reason()),
    };
    // The manifest was written by another program: what it read, we read.
    let time = |name: &str| case.member(name).as_str().map(rfc3339);
    let read = (
        receipt.app_id(),
        Some(receipt.creation_time()),
        Some(receipt.expiration_time()),
        receipt.risk_metric(),
        receipt.exchangeable_from(),
    );
    let expected: (&str, Option<Timestamp>, Option<Timestamp>, Option<u64>, Timestamp) = (
        case.text("app_id"),
        time("creation_time"),
        time("expiration_time"),
        case.member("risk_metric").as_u64(),
        time("not_before").unwrap_or_else(|| rfc3339(case.text("creation_time"))),
    );
    if read == expected { Verdict::Accepted } else { Verdict::Unverified("differs from the manifest") }
}

/// What a receipt has to be refused for: the manifest has no variants of receipts.
pub(crate) fn receipt_changes(case: &Case) -> [Value; 7] {
    let other_type = if case.text("receipt_type") == "ATTEST" { "RECEIPT" } else { "ATTEST" };
    [
        ("app_id", "6MURL8TA57.com.example.other"),
        ("environment", "production"),
        ("public_key_sec1_hex", GENERATOR_OF_P256),
        ("receipt_type", other_type),
        ("verify_at", "2020-11-21T12:00:00Z"),
        ("verify_at", "2021-06-01T12:00:00Z"),
        ("verify_at", "2026-11-21T12:00:00Z"),
    ]
    .map(|(name, value)| json!({ name: value }))
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
