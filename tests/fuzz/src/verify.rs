//! Whole verification of evidence at any time: nothing but what the phone made is verified.

use std::sync::LazyLock;

use countersign_verifier::certificate_file;
use countersign_verifier::evidence::app_attest::{verify_assertion, verify_attestation};
use countersign_verifier::evidence::{Claims, VerifiedEvidence, android_key};
use countersign_virtual_device::{AppAttestation, Provisioning};

use super::world::{self, ANCHORS, CHALLENGE, NOTHING_REVOKED, NOW};
use super::{choose, chosen, corpus};

/// Evidence of honest phones, and what it says.
struct Honest {
    attestation: AppAttestation,
    attested: VerifiedEvidence,
    assertion: Vec<u8>,
    chains: [Vec<Vec<u8>>; 2],
    described: [VerifiedEvidence; 2],
}

static HONEST: LazyLock<Honest> = LazyLock::new(|| {
    let attestation = world::iphone().attest(&CHALLENGE, NOW);
    let attested = verify_attestation(&attestation.object, &attestation.key_id, &CHALLENGE, &ANCHORS, NOW);
    let chains = [Provisioning::Remote, Provisioning::Factory]
        .map(|provisioning| world::android().provisioning(provisioning).attest(&CHALLENGE, NOW));
    let described = [&chains[0], &chains[1]].map(|chain| {
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        android_key::verify(&chain, &CHALLENGE, &ANCHORS, Some(&NOTHING_REVOKED), NOW).expect("honest")
    });
    Honest {
        attestation,
        attested: attested.expect("honest"),
        assertion: world::iphone().assert(&CHALLENGE),
        chains,
        described,
    }
});

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    let Some((now, evidence)) = world::time(data) else { return };
    match choice {
        0 => {
            let key_id = &HONEST.attestation.key_id;
            let verified = verify_attestation(evidence, key_id, &CHALLENGE, &ANCHORS, now);
            let Ok(verified) = verified else { return };
            // The receipt has a signature and a verdict of its own.
            let (Claims::AppAttest(read), Claims::AppAttest(honest)) =
                (verified.claims(), HONEST.attested.claims())
            else {
                panic!("an attestation has claims of App Attest");
            };
            let mut read = read.clone();
            read.receipt.clone_from(&honest.receipt);
            read.receipt_verdict.clone_from(&honest.receipt_verdict);
            assert_eq!(&read, honest, "claims that the phone did not make");
            assert_eq!(verified.attested_key(), HONEST.attested.attested_key());
        }
        1 => {
            let key = world::iphone().app_attest_key();
            if let Ok(verified) = verify_assertion(evidence, &key, &CHALLENGE, 0, now) {
                assert_eq!(verified.counter(), Some(1), "a counter that the phone did not sign");
            }
        }
        _ => {
            let Ok(chain) = certificate_file::certificates(evidence) else { return };
            let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
            let verified = android_key::verify(&chain, &CHALLENGE, &ANCHORS, Some(&NOTHING_REVOKED), now);
            let Ok(verified) = verified else { return };
            let known = HONEST.described.iter().any(|honest| {
                verified.claims() == honest.claims() && verified.attested_key() == honest.attested_key()
            });
            assert!(known, "claims that the phone did not make");
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for time in [[0; 4], (30 * 24 * 3600i32).to_le_bytes(), (-30 * 24 * 3600i32).to_le_bytes()] {
        let with_time = |choice, evidence: &[u8]| chosen(choice, &[&time, evidence].concat());
        seeds.push(with_time(0, &HONEST.attestation.object));
        seeds.push(with_time(1, &HONEST.assertion));
        seeds.extend(HONEST.chains.iter().map(|chain| with_time(2, &chain.concat())));
    }
    let of_corpus = [corpus::attestations(), corpus::assertions(), corpus::chains()];
    for (choice, evidence) in (0..).zip(of_corpus) {
        seeds
            .extend(evidence.iter().map(|evidence| chosen(choice, &[&[0; 4], evidence.as_slice()].concat())));
    }
    seeds
}
