//! What is remembered of authorities changes no verdict: every lie, told to anchors that have seen honest evidence.

use countersign_core::time::Timestamp;
use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::chain::ChainError;
use countersign_verifier::evidence::{EvidenceError, VerifiedEvidence, android_key, app_attest};
use countersign_verifier::revocation::{CertificateStatus, RevocationList};
use countersign_virtual_device::certificate::{DAY, serial_hex};
use countersign_virtual_device::google_authority::status_list_json;
use countersign_virtual_device::{AndroidAttack, IphoneAttack, VirtualIphone};

use crate::world::{CHALLENGE, NOW, anchors, android, iphone};

type Verdict = Result<VerifiedEvidence, EvidenceError>;

/// Anchors that have seen an honest phone of each kind.
fn experienced() -> TrustAnchors {
    let anchors = anchors();
    attest_iphone(&iphone(), &anchors).unwrap();
    verify_android(&android().attest(&CHALLENGE, NOW), &anchors, &[], NOW).unwrap();
    anchors
}

fn attest_iphone(phone: &VirtualIphone, anchors: &TrustAnchors) -> Verdict {
    let attestation = phone.attest(&CHALLENGE, NOW);
    app_attest::verify_attestation(&attestation.object, &attestation.key_id, &CHALLENGE, anchors, NOW)
}

fn verify_android(
    chain: &[Vec<u8>],
    anchors: &TrustAnchors,
    revoked: &[(&str, &str)],
    now: Timestamp,
) -> Verdict {
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let list = RevocationList::parse(status_list_json(revoked).as_bytes(), now).unwrap();
    android_key::verify(&chain, &CHALLENGE, anchors, Some(&list), now)
}

#[test]
fn every_app_attest_lie_gets_the_verdict_that_it_gets_without() {
    let experienced = experienced();
    for attack in IphoneAttack::ALL {
        let phone = iphone().attack(*attack);
        assert_eq!(
            attest_iphone(&phone, &experienced),
            attest_iphone(&phone, &anchors()),
            "{}",
            attack.name()
        );
    }
}

#[test]
fn every_android_lie_gets_the_verdict_that_it_gets_without() {
    let experienced = experienced();
    for attack in AndroidAttack::ALL {
        let chain = android().attack(*attack).attest(&CHALLENGE, NOW);
        let verdict = verify_android(&chain, &experienced, &[], NOW);
        assert_eq!(verdict, verify_android(&chain, &anchors(), &[], NOW), "{}", attack.name());
    }
}

#[test]
fn a_known_authority_expires() {
    let (anchors, chain) = (experienced(), android().attest(&CHALLENGE, NOW));
    let later = verify_android(&chain, &anchors, &[], NOW.plus(3650 * DAY));
    assert!(matches!(later, Err(EvidenceError::Chain(ChainError::Expired { .. }))), "{later:?}");
}

#[test]
fn a_known_authority_is_revoked() {
    let (anchors, chain) = (experienced(), android().attest(&CHALLENGE, NOW));
    let serial = serial_hex(&chain[2]).unwrap();
    let verdict = verify_android(&chain, &anchors, &[(&serial, "REVOKED")], NOW);
    assert_eq!(verdict, Err(EvidenceError::Revoked { index: 2, status: CertificateStatus::Revoked }));
}

#[test]
fn a_known_authority_under_an_anchor_that_is_gone_is_unknown() {
    let chain = android().attest(&CHALLENGE, NOW);
    assert!(verify_android(&chain, &experienced(), &[], NOW).is_ok());
    let verdict = verify_android(&chain, &TrustAnchors::embedded(), &[], NOW);
    assert_eq!(verdict, Err(EvidenceError::Chain(ChainError::UnknownRoot)));
}
