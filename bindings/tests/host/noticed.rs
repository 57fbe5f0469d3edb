//! What a device notices about itself, on its way into envelopes and proofs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use countersign_core::encoding::from_base64url;
use countersign_core::environment::Environment;
use countersign_core::token::proof::DecodedProof;
use countersign_ffi::{ApiRequest, Attester, Configuration, CountersignError, ExpectedApp, Parts, Signals};

use crate::phone::{ANDROID, Phone, block_on, configuration, request};

/// What a phone notices: fixed at renewals, one more with each request.
struct Noticed {
    at_renewal: AtomicU64,
    per_request: AtomicU64,
    looks: AtomicUsize,
}

impl Signals for Noticed {
    fn at_renewal(&self) -> Environment {
        self.looks.fetch_add(1, Ordering::SeqCst);
        Environment(self.at_renewal.load(Ordering::SeqCst))
    }

    fn per_request(&self) -> Environment {
        Environment(self.per_request.load(Ordering::SeqCst))
    }
}

fn noticing(phone: &Arc<Phone>, at_renewal: u64, per_request: u64) -> (Arc<Attester>, Arc<Noticed>) {
    let noticed = Arc::new(Noticed {
        at_renewal: at_renewal.into(),
        per_request: per_request.into(),
        looks: AtomicUsize::new(0),
    });
    let parts = Parts { signals: Some(noticed.clone()), ..phone.parts() };
    (Attester::from_parts(configuration(ANDROID), parts).unwrap(), noticed)
}

/// What the proof of one request says of the environment.
fn proven(attester: &Attester, told: Option<u64>) -> Option<u64> {
    let request = ApiRequest { environment: told, ..request() };
    let proof = block_on(attester.prove_when_ready(request)).unwrap();
    let proof = from_base64url(&proof.fields[1].value).unwrap();
    DecodedProof::decode(&proof).unwrap().claims.environment
}

#[test]
fn what_the_device_notices_stands_in_the_envelope_and_in_every_proof() {
    let phone = Phone::new();
    let (attester, noticed) = noticing(&phone, 0b1, 0b100);
    assert_eq!(proven(&attester, None), Some(0b101));
    assert_eq!(phone.service.lock().unwrap().last_enrolment().environment, 0b1);
    noticed.per_request.store(0, Ordering::SeqCst);
    assert_eq!(proven(&attester, None), Some(0b1));
    assert_eq!(noticed.looks.load(Ordering::SeqCst), 1);
}

#[test]
fn each_renewal_looks_again() {
    let phone = Phone::new();
    let (attester, noticed) = noticing(&phone, 0b1, 0);
    block_on(attester.refresh()).unwrap();
    noticed.at_renewal.store(0b10, Ordering::SeqCst);
    block_on(attester.refresh()).unwrap();
    assert_eq!((proven(&attester, None), noticed.looks.load(Ordering::SeqCst)), (Some(0b1), 1));
    phone.advance(500);
    block_on(attester.refresh()).unwrap();
    assert_eq!(phone.service.lock().unwrap().last_enrolment().environment, 0b10);
    assert_eq!((proven(&attester, None), noticed.looks.load(Ordering::SeqCst)), (Some(0b10), 2));
}

#[test]
fn the_app_adds_to_what_the_device_notices_and_takes_nothing_away() {
    let phone = Phone::new();
    let (attester, _) = noticing(&phone, 0b1, 0b100);
    attester.note_environment(0b1000);
    assert_eq!(proven(&attester, None), Some(0b1101));
    assert_eq!(phone.service.lock().unwrap().last_enrolment().environment, 0b1001);
    assert_eq!(proven(&attester, Some(0)), Some(0b101));
    assert_eq!(proven(&attester, Some(0b10)), Some(0b111));
}

#[test]
fn a_clean_device_says_nothing_in_its_proofs() {
    let (attester, _) = noticing(&Phone::new(), 0, 0);
    assert_eq!(proven(&attester, None), None);
    assert_eq!(proven(&attester, Some(0)), Some(0));
}

struct Broken;

impl Signals for Broken {
    fn at_renewal(&self) -> Environment {
        panic!("a defect of a probe")
    }

    fn per_request(&self) -> Environment {
        panic!("a defect of a probe")
    }
}

#[test]
fn a_defect_of_a_probe_costs_the_signals_and_nothing_else() {
    let phone = Phone::new();
    let parts = Parts { signals: Some(Arc::new(Broken)), ..phone.parts() };
    let attester = Attester::from_parts(configuration(ANDROID), parts).unwrap();
    assert_eq!(proven(&attester, None), None);
}

#[test]
fn a_signing_digest_that_is_none_is_refused_when_the_attester_is_made() {
    let app = ExpectedApp { signing_digests: vec!["0808".to_owned()], ..ExpectedApp::default() };
    let configuration = Configuration { expected_app: Some(app), ..configuration(ANDROID) };
    let Err(CountersignError::Configuration { reason }) =
        Attester::from_parts(configuration, Phone::new().parts())
    else {
        panic!("what is no digest was taken");
    };
    assert_eq!(reason, "config_signing_digest");
}
