//! The limits and lifetimes that the documents promise, by their numbers: everywhere else they go by their names.

use countersign_verifier::check::deny_list::MAX_DENY_LIST;
use countersign_verifier::enrolment::{ANDROID_EVIDENCE_LIFETIME, CHALLENGE_LIFETIME};
use countersign_verifier::evidence::{app_attest, play_integrity};
use countersign_verifier::policy::{AppPolicy, PLAY_INTEGRITY_LIFETIME};

#[test]
fn lifetimes_are_those_of_the_documents() {
    assert_eq!(CHALLENGE_LIFETIME, 1_200);
    assert_eq!(ANDROID_EVIDENCE_LIFETIME, 86_400);
    assert_eq!(PLAY_INTEGRITY_LIFETIME, 86_400);
    assert_eq!(play_integrity::MAX_AGE, 600);
    assert_eq!(app_attest::receipt::FIRST_USE_WINDOW, 1_200);
    assert_eq!(AppPolicy::new("app").maximum_revocation_age, 604_800);
}

#[test]
fn sizes_are_those_of_the_documents() {
    assert_eq!(app_attest::MAX_LENGTH, 65_536);
    assert_eq!(app_attest::receipt::MAX_RECEIPT_LENGTH, 16_384);
    assert_eq!(play_integrity::MAX_TOKEN, 16_384);
    assert_eq!(play_integrity::MAX_DECODE_ANSWER, 32_768);
    assert_eq!(MAX_DENY_LIST, 8_388_608);
}
