//! The names that logs and metrics know errors by, and the sentences for people: each error has its own.

use std::collections::BTreeSet;

use countersign_core::cbor::CborError;
use countersign_core::challenge::ChallengeError;
use countersign_core::token::jose::JwsError;
use countersign_verifier::chain::ChainError;
use countersign_verifier::check::Reason;
use countersign_verifier::check::deny_list::DenyListError;
use countersign_verifier::crypto::CertificateSignatureError;
use countersign_verifier::enrolment::EnrolmentError;
use countersign_verifier::evidence::EvidenceError;
use countersign_verifier::evidence::app_attest::receipt::ReceiptError;
use countersign_verifier::evidence::play_integrity::{ClassicKeyError, PlayIntegrityError};

fn are_names_of_their_own<const N: usize>(reasons: [&str; N]) {
    let is_name = |reason: &&str| {
        reason.contains('_')
            && reason.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    assert!(reasons.iter().all(is_name), "{reasons:?}");
    assert_eq!(reasons.iter().collect::<BTreeSet<_>>().len(), N, "{reasons:?}");
}

fn are_sentences_of_their_own<const N: usize>(sentences: [String; N]) {
    assert!(sentences.iter().all(|one| one.ends_with('.') && one.contains(' ')), "{sentences:?}");
    assert_eq!(sentences.iter().collect::<BTreeSet<_>>().len(), N, "{sentences:?}");
}

#[test]
fn every_reason_is_a_name_of_its_own() {
    are_names_of_their_own([
        EnrolmentError::Issuer.reason(),
        EnrolmentError::Signature.reason(),
        EnrolmentError::NoEvidence.reason(),
        EnrolmentError::Encoding(CborError::Missing).reason(),
        EnrolmentError::Evidence(EvidenceError::NonceMismatch).reason(),
    ]);
    are_names_of_their_own([
        DenyListError::Issuer.reason(),
        DenyListError::DeniedKey.reason(),
        DenyListError::SequenceFell.reason(),
        DenyListError::Encoding(CborError::Missing).reason(),
    ]);
    are_names_of_their_own([
        ClassicKeyError::DecryptionKey.reason(),
        ClassicKeyError::VerificationKey.reason(),
    ]);
    are_names_of_their_own([
        ReceiptError::Missing.reason(),
        ReceiptError::OtherApp.reason(),
        ReceiptError::Chain(ChainError::UnknownRoot).reason(),
    ]);
    are_names_of_their_own([
        Reason::Nonce(ChallengeError::Malformed).reason(),
        Reason::Nonce(ChallengeError::Expired).reason(),
        Reason::Nonce(ChallengeError::FromTheFuture).reason(),
        Reason::Nonce(ChallengeError::Unrecognised).reason(),
        Reason::NonceMissing.reason(),
    ]);
}

#[test]
fn every_explanation_is_a_sentence_of_its_own() {
    are_sentences_of_their_own([
        EvidenceError::NonceMismatch.explanation(),
        EvidenceError::CounterNotGreater { previous: 7, received: 6 }.explanation(),
        EvidenceError::Chain(ChainError::UnknownRoot).explanation(),
        EvidenceError::Chain(ChainError::Expired { index: 1 }).explanation(),
        EvidenceError::Chain(ChainError::Signature { index: 1, error: CertificateSignatureError::Invalid })
            .explanation(),
        EvidenceError::PlayIntegrity(PlayIntegrityError::Unbound).explanation(),
        EvidenceError::PlayIntegrity(PlayIntegrityError::Jws(JwsError::Json)).explanation(),
        ReceiptError::Missing.explanation(),
        ReceiptError::OtherKey.explanation(),
    ]);
    let counter = EvidenceError::CounterNotGreater { previous: 7, received: 6 }.explanation();
    assert!(counter.contains('6') && counter.contains('7'), "{counter}");
}
