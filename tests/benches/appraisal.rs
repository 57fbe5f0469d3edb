//! What it costs to verify and appraise evidence, beside what its signatures alone would cost, in one run on one core.
//!
//! The evidence is honest cases of `tests/corpus`. Every case is measured in turn, round after round, in the
//! processor's time, so that a busy machine slows all of them alike. With `--rates` only our numbers a second are printed, for `cargo xtask peers --bench`.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, reason = "prints its table")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64ct::{Base64, Encoding};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::evidence::{VerifiedEvidence, android_key, app_attest};
use countersign_verifier::policy::{AndroidApp, AppPolicy, AppleApp, AppraisalPolicy, Circumstances};
use countersign_verifier::revocation::RevocationList;
use serde_json::Value;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::{Decode, DecodePem, Encode};

const CLIENT: &str = "benchmark";
const ROUNDS: usize = 60;
const SLICE: Duration = Duration::from_millis(30);

fn main() {
    let only_rates = std::env::args().any(|argument| argument == "--rates");
    let subjects = [
        app_attest("app-attest/honest-ios-26"),
        assertion("app-attest-assertion/honest"),
        android("android-key/honest-remote-tee"),
        android("android-key/honest-factory-tee"),
    ];
    let mut measured = Vec::new();
    for subject in &subjects {
        let bare = || subject.signatures.iter().for_each(Signature::verify);
        measured.push(Measured::new(Box::new(bare)));
        measured.push(Measured::new(Box::new(|| {
            black_box((subject.verify)());
        })));
        measured.push(Measured::new(Box::new(|| {
            let evidence = (subject.verify)().into();
            let appraisal =
                subject.policy.appraise(CLIENT, &evidence, &Circumstances::default(), subject.now);
            assert!(!black_box(appraisal).is_refused());
        })));
    }
    for _ in 0..ROUNDS {
        measured.iter_mut().for_each(Measured::round);
    }
    let medians: Vec<f64> = measured.iter_mut().map(Measured::median).collect();
    if !only_rates {
        println!(
            "{:<32} {:>11} {:>11} {:>22} {:>22} {:>12}",
            "evidence", "signatures", "their sum", "verify", "verify and appraise", "a second"
        );
    }
    for (subject, medians) in subjects.iter().zip(medians.chunks_exact(3)) {
        let (bare, verify, both) = (medians[0], medians[1], medians[2]);
        let shown = |seconds: f64| format!("{:>7.1} us ({:.2}x)", seconds * 1e6, seconds / bare);
        if only_rates {
            println!("{} {:.1}", subject.name, 1.0 / both);
        } else {
            println!(
                "{:<32} {:>11} {:>8.1} us {:>22} {:>22} {:>12.0}",
                subject.name,
                subject.signatures.len(),
                bare * 1e6,
                shown(verify),
                shown(both),
                1.0 / both
            );
        }
    }
}

/// One piece of evidence.
struct Subject {
    name: &'static str,
    now: Timestamp,
    policy: AppraisalPolicy,
    /// Every signature that has to be verified for it.
    signatures: Vec<Signature>,
    verify: Box<dyn Fn() -> VerifiedEvidence>,
}

/// A signature, and the key as it comes with the evidence: not parsed.
struct Signature {
    algorithm: &'static dyn VerificationAlgorithm,
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Signature {
    fn verify(&self) {
        let key = UnparsedPublicKey::new(self.algorithm, &self.key);
        key.verify(black_box(&self.message), &self.signature).unwrap();
    }
}

/// The case of that name, and its family's file.
fn case(name: &'static str) -> (Value, Value) {
    let (family, id) = name.split_once('/').unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("corpus/{family}.json"));
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = manifest["cases"].take();
    let case = cases.as_array().unwrap().iter().find(|case| case["id"] == id).unwrap().clone();
    (manifest, case)
}

fn bytes(value: &Value) -> Vec<u8> {
    Base64::decode_vec(value.as_str().unwrap()).unwrap()
}

fn verify_at(case: &Value) -> Timestamp {
    Timestamp::from_unix_seconds(case["verify_at"].as_u64().unwrap())
}

fn apple_policy(manifest: &Value) -> AppraisalPolicy {
    let mut app = AppPolicy::new(CLIENT);
    app.apple.push(AppleApp::from_app_id(manifest["policy"]["app_id"].as_str().unwrap()));
    AppraisalPolicy::new("benchmark/1").with_app(app)
}

fn app_attest(name: &'static str) -> Subject {
    let (manifest, case) = case(name);
    let root = manifest["roots"][0].as_str().unwrap().as_bytes().to_vec();
    let mut anchors = TrustAnchors::embedded();
    anchors.danger_add_app_attest_roots(&root).unwrap();
    let (object, hash) = (bytes(&case["attestation_object"]), bytes(&case["client_data_hash"]));
    let key_id: [u8; 32] = bytes(&case["key_id"]).try_into().unwrap();
    let mut chain = certificates(&object);
    chain.push(Certificate::from_pem(&root).unwrap());
    let now = verify_at(&case);
    Subject {
        name,
        now,
        policy: apple_policy(&manifest),
        signatures: signatures(&chain),
        verify: Box::new(move || {
            app_attest::verify_attestation(black_box(&object), &key_id, &hash, &anchors, now).unwrap()
        }),
    }
}

fn assertion(name: &'static str) -> Subject {
    let (manifest, case) = case(name);
    let (object, hash) = (bytes(&case["assertion"]), bytes(&case["client_data_hash"]));
    let key = bytes(&case["public_key"]);
    let mut decoder = minicbor::Decoder::new(&object);
    decoder.map().unwrap();
    decoder.str().unwrap();
    let signature = decoder.bytes().unwrap().to_vec();
    decoder.str().unwrap();
    let message =
        Sha256::new().chain_update(decoder.bytes().unwrap()).chain_update(&hash).finalize().to_vec();
    let bare = Signature { algorithm: &ECDSA_P256_SHA256_ASN1, key: key.clone(), message, signature };
    // The service keeps the key, so that it is not parsed again.
    let key = PublicKey::from_p256_sec1(&key).unwrap();
    let counter = case["previous_counter"].as_u64().unwrap().try_into().unwrap();
    let now = verify_at(&case);
    Subject {
        name,
        now,
        policy: apple_policy(&manifest),
        signatures: vec![bare],
        verify: Box::new(move || {
            app_attest::verify_assertion(black_box(&object), &key, &hash, counter, now).unwrap()
        }),
    }
}

fn android(name: &'static str) -> Subject {
    let (manifest, case) = case(name);
    let mut anchors = TrustAnchors::embedded();
    anchors.danger_add_android_key_roots(manifest["roots"][0].as_str().unwrap().as_bytes()).unwrap();
    let mut app = AppPolicy::new(CLIENT);
    app.android.push(AndroidApp {
        package: manifest["policy"]["package"].as_str().unwrap().to_owned(),
        signing_digests: vec![bytes(&manifest["policy"]["signing_digests"][0]).try_into().unwrap()],
    });
    let chain: Vec<Vec<u8>> = case["chain"].as_array().unwrap().iter().map(bytes).collect();
    let parsed: Vec<_> = chain.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
    let list = RevocationList::parse(case["status_list"].to_string().as_bytes(), verify_at(&case)).unwrap();
    let (challenge, now) = (bytes(&case["challenge"]), verify_at(&case));
    Subject {
        name,
        now,
        policy: AppraisalPolicy::new("benchmark/1").with_app(app),
        signatures: signatures(&parsed),
        verify: Box::new(move || {
            let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
            android_key::verify(black_box(&chain), &challenge, &anchors, Some(&list), now).unwrap()
        }),
    }
}

/// The certificates of an attestation object in the vendor's order of members.
fn certificates(object: &[u8]) -> Vec<Certificate> {
    let mut decoder = minicbor::Decoder::new(object);
    decoder.map().unwrap();
    for _ in 0..3 {
        decoder.str().unwrap();
    }
    decoder.map().unwrap();
    decoder.str().unwrap();
    let count = decoder.array().unwrap().unwrap();
    (0..count).map(|_| Certificate::from_der(decoder.bytes().unwrap()).unwrap()).collect()
}

/// The signature of every certificate but the last, which is the root.
fn signatures(chain: &[Certificate]) -> Vec<Signature> {
    let signature = |pair: &[Certificate]| {
        let key = pair[1].tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes().to_vec();
        let hash = pair[0].signature_algorithm().oid.to_string();
        let algorithm: &'static dyn VerificationAlgorithm = match (key.len(), hash.as_str()) {
            (65, "1.2.840.10045.4.3.2") => &ECDSA_P256_SHA256_ASN1,
            (97, "1.2.840.10045.4.3.2") => &ECDSA_P384_SHA256_ASN1,
            (97, "1.2.840.10045.4.3.3") => &ECDSA_P384_SHA384_ASN1,
            other => panic!("{other:?} signs no chain of the corpus"),
        };
        Signature {
            algorithm,
            key,
            message: pair[0].tbs_certificate().to_der().unwrap(),
            signature: pair[0].signature().raw_bytes().to_vec(),
        }
    };
    chain.windows(2).map(signature).collect()
}

/// The time that this thread was on a processor.
fn processor_seconds() -> f64 {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedule.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// What is measured, and how long it took each time.
struct Measured<'a> {
    body: Box<dyn FnMut() + 'a>,
    times: u32,
    samples: Vec<f64>,
}

impl<'a> Measured<'a> {
    fn new(mut body: Box<dyn FnMut() + 'a>) -> Self {
        let start = Instant::now();
        body();
        let times = (SLICE.as_secs_f64() / start.elapsed().as_secs_f64()) as u32;
        Self { body, times: times.clamp(4, 4096), samples: Vec::new() }
    }

    fn round(&mut self) {
        let start = processor_seconds();
        for _ in 0..self.times {
            (self.body)();
        }
        self.samples.push((processor_seconds() - start) / f64::from(self.times));
    }

    fn median(&mut self) -> f64 {
        self.samples.sort_by(f64::total_cmp);
        self.samples[self.samples.len() / 2]
    }
}
