//! Whole appraisal, with evidence whose content is the input and whose signatures are sound: what only somebody could
//! make who holds the platform's keys, or a phone that lets itself be written to.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use countersign_core::environment::Environment;
use countersign_core::request::sha256;
use countersign_verifier::evidence::EvidenceSet;
use countersign_verifier::evidence::android_key;
use countersign_verifier::evidence::app_attest::{AppAttestEnvironment, verify_attestation};
use countersign_verifier::evidence::{Claims, VerifiedEvidence};
use countersign_verifier::policy::{Appraisal, Circumstances, History};
use countersign_virtual_device::app_attest::{AttestationObject, nonce};
use countersign_virtual_device::apple_authority::LeafContent;
use countersign_virtual_device::certificate::{Link, p256_public_key_info};
use countersign_virtual_device::google_authority::AttestingChip;
use countersign_virtual_device::{Provisioning, SecurityLevel};

use super::world::{self, ANCHORS, CHALLENGE, CLIENT, NOTHING_REVOKED, NOW, POLICY};
use super::{certificate, choose, chosen, corpus};

pub fn run(data: &[u8]) {
    let Some((choice, data)) = choose(data) else { return };
    let Some((now, data)) = world::time(data) else { return };
    let Some((environment, content)) = data.split_first_chunk() else { return };
    let evidence = if choice & 1 == 0 { iphone(content) } else { android(choice, content) };
    let Some(evidence) = evidence else { return };
    let set = EvidenceSet::new(evidence.clone());
    let history = History::default().after(&set);
    let circumstances = Circumstances {
        environment: Environment(u64::from_le_bytes(*environment)),
        app_version: "1.0",
        history: (choice & 8 != 0).then_some(&history),
        instances_of_certificate: Some(choice.into()),
        risk_metric: Some(choice.into()),
        key_attested_before: choice & 16 != 0,
        play_integrity_unreachable: choice & 32 != 0,
        cohort_key: Some([choice; 32]),
        revocation_as_of: Some(NOW),
    };
    let appraise = || -> Appraisal { POLICY.appraise(CLIENT, &set, &circumstances, now) };
    let appraisal = appraise();
    assert_eq!(appraisal, appraise(), "the same evidence, the same appraisal");
    assert_eq!(history.after(&set), history, "what was seen before is nothing new");
    if !appraisal.is_refused() {
        let lie = lie_in(&evidence);
        assert_eq!(lie, None, "admitted, although");
    }
}

/// What is wrong with evidence that the default policy admitted, said without the policy's own code.
fn lie_in(evidence: &VerifiedEvidence) -> Option<&'static str> {
    match evidence.claims() {
        Claims::AppAttest(claims) => {
            let app_id = format!("ABCDE12345.{}", world::PACKAGE);
            if claims.rp_id_hash != sha256(app_id.as_bytes()) {
                return Some("it is another app");
            }
            (claims.environment != Some(AppAttestEnvironment::Production))
                .then_some("it is no production key")
        }
        Claims::AndroidKey(claims) => {
            let hardware = &claims.hardware_enforced;
            let Some(root) = &hardware.root_of_trust else { return Some("nothing is known of its boot") };
            if !root.device_locked || root.verified_boot_state != android_key::BootState::Verified {
                return Some("it is unlocked");
            }
            let Some(application) = &claims.software_enforced.application_id else {
                return Some("no application is named");
            };
            let ours = application.packages.iter().any(|package| package.name == world::PACKAGE)
                && application.signature_digests.iter().all(|digest| digest == &world::SIGNING_DIGEST);
            (!ours).then_some("it is another app")
        }
        _ => Some("no phone made it"),
    }
}

/// Authenticator data under a leaf with its nonce.
fn iphone(authenticator_data: &[u8]) -> Option<VerifiedEvidence> {
    let phone = world::iphone();
    let point = phone.app_attest_key().to_p256_sec1()?;
    let app_id = phone.app_id();
    let leaf = LeafContent {
        subject_public_key_info: p256_public_key_info(&point),
        key_id: phone.key_id(),
        nonce: nonce(authenticator_data, &CHALLENGE),
        app_id,
        os_version: "26.3",
    };
    let object = AttestationObject {
        format: "apple-appattest".to_owned(),
        x5c: signed(&world::apple().chain(&leaf, NOW)),
        receipt: Some(Vec::new()),
        authenticator_data: Some(authenticator_data.to_vec()),
        formats_before: Vec::new(),
    };
    verify_attestation(&object.encode(), &phone.key_id(), &CHALLENGE, &ANCHORS, NOW).ok()
}

/// A KeyDescription in a leaf that the chip signed.
fn android(choice: u8, key_description: &[u8]) -> Option<VerifiedEvidence> {
    let chip = AttestingChip {
        seed: world::seed(),
        provisioning: if choice & 2 == 0 { Provisioning::Remote } else { Provisioning::Factory },
        security_level: if choice & 4 == 0 {
            SecurityLevel::TrustedEnvironment
        } else {
            SecurityLevel::StrongBox
        },
        certificates_issued: choice.into(),
    };
    let point = world::android().instance_key().to_p256_sec1()?;
    let links = world::google().chain(&chip, p256_public_key_info(&point), key_description.to_vec(), NOW);
    let chain = signed(&links);
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    android_key::verify(&chain, &CHALLENGE, &ANCHORS, Some(&NOTHING_REVOKED), NOW).ok()
}

/// The chain, signed; certificates above the leaf are the same for many inputs, and signed once.
fn signed(links: &[Link]) -> Vec<Vec<u8>> {
    type Known = Mutex<HashMap<Vec<u8>, Vec<u8>>>;
    static KNOWN: LazyLock<Known> = LazyLock::new(Known::default);
    let mut known = KNOWN.lock().expect("nothing panics in here");
    let name = |link: &Link| {
        let certificate = &link.certificate;
        let values = certificate.extensions.iter().flat_map(|extension| extension.value.clone());
        [certificate.subject.clone(), certificate.issuer.clone(), values.collect()].concat()
    };
    let (leaf, above) = links.split_first().expect("a chain has a leaf");
    let above = above.iter().map(|link| {
        let sign = || link.certificate.sign(&link.key, link.hash);
        known.entry(name(link)).or_insert_with(sign).clone()
    });
    let above: Vec<_> = above.collect();
    std::iter::once(leaf.certificate.sign(&leaf.key, leaf.hash)).chain(above).collect()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for description in certificate::key_descriptions() {
        for choice in [1, 3, 13] {
            seeds.push(chosen(choice, &[&[0; 12], description.as_slice()].concat()));
        }
    }
    for seed in super::app_attest::seeds() {
        if let [2, data @ ..] = seed.as_slice() {
            seeds.push(chosen(0, &[&[0; 12], data].concat()));
        }
    }
    for data in corpus::authenticator_data() {
        seeds.push(chosen(0, &[&[0; 12], data.as_slice()].concat()));
    }
    for description in certificate::key_descriptions_of_corpus() {
        seeds.push(chosen(1, &[&[0; 12], description.as_slice()].concat()));
    }
    seeds
}
