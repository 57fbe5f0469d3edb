//! What it costs to verify and appraise evidence, beside what its signatures alone would cost, in one run on one core.
//!
//! The evidence is that of honest cases of the corpus, each of many phones, so that no leaf comes twice. Every case is measured in turn, round after round, in the
//! processor's time, so that a busy machine slows all of them alike. With `--on-demand SECONDS` each line on standard input
//! asks for one measurement of every case, for `cargo xtask peers --bench` (`tests/peers/README.md`).
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, reason = "prints its table")]

use std::cell::Cell;
use std::hint::black_box;
use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    EcdsaKeyPair, KeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use base64ct::{Base64, Encoding};
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PublicKey;
use countersign_tests::corpus;
use countersign_verifier::anchors::TrustAnchors;
use countersign_verifier::evidence::app_attest::receipt::UnverifiedReceipt;
use countersign_verifier::evidence::{Claims, VerifiedEvidence, android_key, app_attest};
use countersign_verifier::policy::{AndroidApp, AppPolicy, AppleApp, AppraisalPolicy, Circumstances};
use countersign_verifier::revocation::RevocationList;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::{Decode, DecodePem, Encode};

const CLIENT: &str = "benchmark";
/// More than any cache here or in the libraries beside us holds.
const PHONES: usize = 800;
const ROUNDS: usize = 60;
const SLICE: Duration = Duration::from_millis(30);

fn main() {
    let crowd: Vec<Family> = corpus::crowd(PHONES).iter().map(Family::read).collect();
    let subjects = [
        app_attest(&crowd[0], "honest-ios-26"),
        assertion(&crowd[1], "honest"),
        android(&crowd[2], "honest-remote-tee"),
        android(&crowd[2], "honest-factory-tee"),
    ];
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| arguments.iter().position(|argument| argument == name);
    if let Some(at) = option("--write") {
        let folder = Path::new(&arguments[at + 1]);
        for file in corpus::crowd(PHONES) {
            std::fs::write(folder.join(file.name), file.json).unwrap();
        }
    } else if let Some(at) = option("--on-demand") {
        measure_on_demand(&subjects, arguments[at + 1].parse().unwrap());
    } else {
        compare_with_signatures(&subjects);
    }
}

/// `NAME CALLS SECONDS` for every subject, and `end`, for every line that is read.
fn measure_on_demand(subjects: &[Subject], seconds: f64) {
    for line in std::iter::once(Ok(String::new())).chain(std::io::stdin().lock().lines()) {
        line.unwrap();
        for subject in subjects {
            let (start, mut calls) = (processor_seconds(), 0);
            let elapsed = loop {
                (0..16).for_each(|_| subject.appraise(&subject.anchors));
                calls += 16;
                let elapsed = processor_seconds() - start;
                if elapsed > seconds {
                    break elapsed;
                }
            };
            println!("{} {calls} {elapsed:.6}", subject.name);
        }
        println!("end");
    }
}

fn compare_with_signatures(subjects: &[Subject]) {
    let mut measured = Vec::new();
    for subject in subjects {
        measured.push(Measured::new(Box::new(|| subject.chain.iter().for_each(Signature::verify))));
        measured.push(Measured::new(Box::new(|| subject.receipt.iter().for_each(Signature::verify))));
        measured.push(Measured::new(Box::new(|| subject.appraise(&subject.anchors))));
        // A clone has seen no intermediate yet.
        measured.push(Measured::new(Box::new(|| subject.appraise(&subject.anchors.clone()))));
    }
    for _ in 0..ROUNDS {
        measured.iter_mut().for_each(Measured::round);
    }
    let medians: Vec<f64> = measured.iter_mut().map(Measured::median).collect();
    println!(
        "Microseconds, and their ratio to the sum of all signatures (to those of the evidence's own chain).\n\n\
         {:<31} {:>8} {:>8} {:>24} {:>24} {:>10}",
        "evidence", "chain", "receipt", "appraise, nothing known", "authorities known", "a second"
    );
    for (subject, medians) in subjects.iter().zip(medians.chunks_exact(4)) {
        let [chain, receipt, known, unknown] = medians.try_into().unwrap();
        let receipt = if subject.receipt.is_empty() { 0.0 } else { receipt };
        let shown = |seconds: f64| {
            let all = seconds / (chain + receipt);
            format!("{:.1} = {all:.2}x ({:.2}x)", seconds * 1e6, seconds / chain)
        };
        println!(
            "{:<31} {:>2} {:>5.1} {:>2} {:>5.1} {:>24} {:>24} {:>10.0}",
            subject.name,
            subject.chain.len(),
            chain * 1e6,
            subject.receipt.len(),
            receipt * 1e6,
            shown(unknown),
            shown(known),
            1.0 / known
        );
    }
}

/// Verifies one phone's evidence under these anchors.
type Verify = Box<dyn Fn(&TrustAnchors) -> VerifiedEvidence>;

/// Evidence of one kind, of many phones.
struct Subject {
    name: String,
    now: Timestamp,
    policy: AppraisalPolicy,
    anchors: TrustAnchors,
    /// The signatures of its chain, or its own.
    chain: Vec<Signature>,
    /// Those of the receipt in it: of its chain, and its own.
    receipt: Vec<Signature>,
    verify: Vec<Verify>,
    next: Cell<usize>,
}

impl Subject {
    fn appraise(&self, anchors: &TrustAnchors) {
        let turn = self.next.replace(self.next.get() + 1) % self.verify.len();
        let evidence = (self.verify[turn])(anchors).into();
        let appraisal = self.policy.appraise(CLIENT, &evidence, &Circumstances::default(), self.now);
        assert!(!black_box(appraisal).is_refused());
    }
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

/// A file of the corpus.
struct Family {
    name: String,
    manifest: Value,
}

impl Family {
    fn read(file: &corpus::File) -> Self {
        let manifest = serde_json::from_str(&file.json).unwrap();
        Self { name: file.name.trim_end_matches(".json").to_owned(), manifest }
    }

    /// The cases of that name, of all phones.
    fn cases(&self, name: &str) -> Vec<&Value> {
        let is_named = |case: &&Value| case["id"].as_str().unwrap().split('~').next() == Some(name);
        self.manifest["cases"].as_array().unwrap().iter().filter(is_named).collect()
    }

    fn root(&self) -> &[u8] {
        self.manifest["roots"][0].as_str().unwrap().as_bytes()
    }

    fn apple_policy(&self) -> AppraisalPolicy {
        let mut app = AppPolicy::new(CLIENT);
        app.apple.push(AppleApp::from_app_id(self.manifest["policy"]["app_id"].as_str().unwrap()));
        AppraisalPolicy::new("benchmark/1").with_app(app)
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    Base64::decode_vec(value.as_str().unwrap()).unwrap()
}

fn verify_at(case: &Value) -> Timestamp {
    Timestamp::from_unix_seconds(case["verify_at"].as_u64().unwrap())
}

fn app_attest(family: &Family, name: &str) -> Subject {
    let cases = family.cases(name);
    let mut anchors = TrustAnchors::embedded();
    anchors.danger_add_app_attest_roots(family.root()).unwrap();
    let (mut chain, receipt) = statement(&bytes(&cases[0]["attestation_object"]));
    chain.push(Certificate::from_pem(family.root()).unwrap());
    let verify = |case: &&Value| -> Box<dyn Fn(&TrustAnchors) -> VerifiedEvidence> {
        let (object, hash) = (bytes(&case["attestation_object"]), bytes(&case["client_data_hash"]));
        let key_id: [u8; 32] = bytes(&case["key_id"]).try_into().unwrap();
        let now = verify_at(case);
        Box::new(move |anchors| {
            app_attest::verify_attestation(black_box(&object), &key_id, &hash, anchors, now).unwrap()
        })
    };
    let subject = Subject {
        name: format!("{}/{name}", family.name),
        now: verify_at(cases[0]),
        policy: family.apple_policy(),
        anchors,
        chain: signatures(&chain),
        receipt: receipt_signatures(&receipt, family.root()),
        verify: cases.iter().map(verify).collect(),
        next: Cell::new(0),
    };
    let evidence = (subject.verify[0])(&subject.anchors);
    let Claims::AppAttest(claims) = evidence.claims() else { panic!("{evidence:?}") };
    assert!(matches!(claims.receipt_verdict, Some(Ok(_))), "the receipt is verified too");
    subject
}

fn assertion(family: &Family, name: &str) -> Subject {
    let case = family.cases(name)[0];
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
    let now = verify_at(case);
    Subject {
        name: format!("{}/{name}", family.name),
        now,
        policy: family.apple_policy(),
        anchors: TrustAnchors::embedded(),
        chain: vec![bare],
        receipt: Vec::new(),
        verify: vec![Box::new(move |_| {
            app_attest::verify_assertion(black_box(&object), &key, &hash, counter, now).unwrap()
        })],
        next: Cell::new(0),
    }
}

fn android(family: &Family, name: &str) -> Subject {
    let cases = family.cases(name);
    let mut anchors = TrustAnchors::embedded();
    anchors.danger_add_android_key_roots(family.root()).unwrap();
    let policy = &family.manifest["policy"];
    let mut app = AppPolicy::new(CLIENT);
    app.android.push(AndroidApp {
        package: policy["package"].as_str().unwrap().to_owned(),
        signing_digests: vec![bytes(&policy["signing_digests"][0]).try_into().unwrap()],
    });
    let chain_of =
        |case: &Value| -> Vec<Vec<u8>> { case["chain"].as_array().unwrap().iter().map(bytes).collect() };
    let verify = |case: &&Value| -> Box<dyn Fn(&TrustAnchors) -> VerifiedEvidence> {
        let (chain, challenge, now) = (chain_of(case), bytes(&case["challenge"]), verify_at(case));
        let list = RevocationList::parse(case["status_list"].to_string().as_bytes(), now).unwrap();
        Box::new(move |anchors| {
            let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
            android_key::verify(black_box(&chain), &challenge, anchors, Some(&list), now).unwrap()
        })
    };
    let parsed: Vec<_> = chain_of(cases[0]).iter().map(|der| Certificate::from_der(der).unwrap()).collect();
    Subject {
        name: format!("{}/{name}", family.name),
        now: verify_at(cases[0]),
        policy: AppraisalPolicy::new("benchmark/1").with_app(app),
        anchors,
        chain: signatures(&parsed),
        receipt: Vec::new(),
        verify: cases.iter().map(verify).collect(),
        next: Cell::new(0),
    }
}

/// The certificates and the receipt of an attestation object in the vendor's order of members.
fn statement(object: &[u8]) -> (Vec<Certificate>, Vec<u8>) {
    let mut decoder = minicbor::Decoder::new(object);
    decoder.map().unwrap();
    for _ in 0..3 {
        decoder.str().unwrap();
    }
    decoder.map().unwrap();
    decoder.str().unwrap();
    let count = decoder.array().unwrap().unwrap();
    let chain = (0..count).map(|_| Certificate::from_der(decoder.bytes().unwrap()).unwrap()).collect();
    assert_eq!(decoder.str().unwrap(), "receipt");
    (chain, decoder.bytes().unwrap().to_vec())
}

/// The signatures of the receipt's chain, and for its own another one of its kind over as many bytes.
fn receipt_signatures(receipt: &[u8], root: &[u8]) -> Vec<Signature> {
    let read = UnverifiedReceipt::read(receipt).unwrap();
    let mut chain: Vec<_> = read.certificates.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
    if chain.last().is_some_and(|last| last.tbs_certificate().issuer() != last.tbs_certificate().subject()) {
        chain.push(Certificate::from_pem(root).unwrap());
    }
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let around: usize = read.certificates.iter().map(Vec::len).sum();
    let message = vec![0; receipt.len() - around];
    let own = Signature {
        algorithm: &ECDSA_P256_SHA256_ASN1,
        key: pair.public_key().as_ref().to_vec(),
        signature: pair.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec(),
        message,
    };
    signatures(&chain).into_iter().chain([own]).collect()
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

/// The time that this thread was on a processor, exactly: files of `/proc` are brought up to date a few hundred times
/// a second only.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
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
