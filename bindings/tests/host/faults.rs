//! Ports that panic or never answer, services that answer what no service should, and waiters that go away.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use countersign_core::attester::{Answer, MAX_ANSWER};
use countersign_ffi::{
    Attester, CountersignError, EvidenceError, EvidenceRequest, EvidenceSource, GatheredEvidence,
    InstanceKeys, KeyStoreError, NewKey, Parts, Ports, ServiceAnswer, ServiceCall, Storage, StorageError,
    Timer, Transport, TransportError,
};

use crate::phone::{IPHONE, Phone, Turn, block_on, configuration, request};
use crate::service::Scripted;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Panics,
    NeverAnswers,
}

/// A phone of which one port has a fault.
struct Flawed {
    phone: Arc<Phone>,
    port: &'static str,
    how: How,
    faulty: AtomicBool,
}

impl Flawed {
    fn new(port: &'static str, how: How) -> Arc<Self> {
        Arc::new(Self { phone: Phone::new(), port, how, faulty: AtomicBool::new(true) })
    }

    fn attester(self: &Arc<Self>) -> Arc<Attester> {
        let ports = Ports {
            keys: self.clone(),
            evidence: self.clone(),
            transport: self.clone(),
            storage: self.clone(),
            timer: self.clone(),
        };
        let parts = Parts { clock: self.phone.clone(), ..Parts::new(ports) };
        Attester::from_parts(configuration(IPHONE), parts).unwrap()
    }

    async fn through(&self, port: &str) {
        if self.port == port && self.faulty.load(Ordering::SeqCst) {
            match self.how {
                How::Panics => panic!("{port}, as a host would"),
                How::NeverAnswers => pending().await,
            }
        }
    }
}

#[async_trait::async_trait]
impl InstanceKeys for Flawed {
    async fn make(&self, challenge: Option<Vec<u8>>) -> Result<NewKey, KeyStoreError> {
        self.through("make").await;
        self.phone.make(challenge).await
    }

    async fn sign(&self, handle: Vec<u8>, message: Vec<u8>) -> Result<Vec<u8>, KeyStoreError> {
        self.through("sign").await;
        self.phone.sign(handle, message).await
    }

    async fn delete(&self, handle: Vec<u8>) {
        self.through("delete").await;
        self.phone.delete(handle).await;
    }
}

#[async_trait::async_trait]
impl EvidenceSource for Flawed {
    async fn make_app_attest_key(&self) -> Result<Vec<u8>, EvidenceError> {
        self.through("make_app_attest_key").await;
        self.phone.make_app_attest_key().await
    }

    async fn gather(&self, request: EvidenceRequest) -> Result<GatheredEvidence, EvidenceError> {
        self.through("gather").await;
        self.phone.gather(request).await
    }
}

#[async_trait::async_trait]
impl Transport for Flawed {
    async fn call(&self, call: ServiceCall) -> Result<ServiceAnswer, TransportError> {
        self.through("call").await;
        self.phone.call(call).await
    }
}

#[async_trait::async_trait]
impl Storage for Flawed {
    async fn load(&self) -> Result<Option<Vec<u8>>, StorageError> {
        self.through("load").await;
        self.phone.load().await
    }

    async fn store(&self, state: Vec<u8>) -> Result<(), StorageError> {
        self.through("store").await;
        self.phone.store(state).await
    }
}

#[async_trait::async_trait]
impl Timer for Flawed {
    /// Time passes when nobody else has anything to do.
    async fn sleep(&self, millis: u64) {
        self.through("sleep").await;
        for _ in 0..50 {
            Turn::default().await;
        }
        self.phone.uptime.fetch_add(millis, Ordering::SeqCst);
    }
}

#[test]
fn a_port_that_fails_is_an_error_of_its_kind_and_passes() {
    for how in [How::Panics, How::NeverAnswers] {
        for (port, error) in [
            ("make", CountersignError::PlatformUnavailable),
            ("sign", CountersignError::PlatformUnavailable),
            ("make_app_attest_key", CountersignError::PlatformUnavailable),
            ("gather", CountersignError::PlatformUnavailable),
            ("call", CountersignError::Unreachable),
        ] {
            let flawed = Flawed::new(port, how);
            let attester = flawed.attester();
            assert_eq!(block_on(attester.prove_when_ready(request())).unwrap_err(), error, "{port} {how:?}");
            flawed.faulty.store(false, Ordering::SeqCst);
            flawed.phone.advance(3_600);
            assert!(block_on(attester.prove_when_ready(request())).is_ok(), "{port} {how:?}");
        }
    }
}

#[test]
fn storage_that_fails_keeps_nobody_from_enrolling() {
    for how in [How::Panics, How::NeverAnswers] {
        for port in ["load", "store", "sleep"] {
            let attester = Flawed::new(port, how).attester();
            assert!(block_on(attester.prove_when_ready(request())).is_ok(), "{port} {how:?}");
        }
    }
}

#[test]
fn a_key_that_cannot_be_deleted_keeps_nobody_from_enrolling_anew() {
    for how in [How::Panics, How::NeverAnswers] {
        let flawed = Flawed::new("delete", how);
        let attester = flawed.attester();
        block_on(attester.refresh()).unwrap();
        flawed.phone.service.lock().unwrap().instances.clear();
        flawed.phone.advance(301);
        block_on(attester.refresh()).unwrap();
        assert_eq!(flawed.phone.calls("/v1/instances"), 2, "{how:?}");
    }
}

#[test]
fn a_signature_that_never_comes_ends_a_proof() {
    let flawed = Flawed::new("sign", How::NeverAnswers);
    flawed.faulty.store(false, Ordering::SeqCst);
    let attester = flawed.attester();
    block_on(attester.refresh()).unwrap();
    flawed.faulty.store(true, Ordering::SeqCst);
    let error = block_on(attester.prove_with_instance_key(request())).unwrap_err();
    assert_eq!(error, CountersignError::PlatformUnavailable);
    assert!(attester.prove(request()).is_ok(), "the session key needs no key store");
}

/// A timer that comes at once, and a service that never answers: nothing is tried for ever.
#[test]
fn a_timer_without_patience_ends_the_run() {
    struct Hasty;

    #[async_trait::async_trait]
    impl Timer for Hasty {
        async fn sleep(&self, _millis: u64) {}
    }

    let flawed = Flawed::new("call", How::NeverAnswers);
    let mut parts = flawed.phone.parts();
    parts.ports.transport = flawed.clone();
    parts.ports.timer = Arc::new(Hasty);
    let attester = Attester::from_parts(configuration(IPHONE), parts).unwrap();
    assert_eq!(block_on(attester.refresh()), Err(CountersignError::PlatformUnavailable));
}

#[test]
fn an_answer_beyond_the_bound_is_no_answer() {
    let too_long = || Answer { status: 200, retry_after: None, body: vec![b' '; MAX_ANSWER + 1] };
    let phone = Phone::new();
    for _ in 0..2 {
        phone.service.lock().unwrap().script.push_back(Scripted::Instead(too_long()));
    }
    let attester = phone.attester(IPHONE);
    assert_eq!(block_on(attester.refresh()), Err(CountersignError::Unreachable));
    let phone = Phone::new();
    phone.service.lock().unwrap().challenge_answer = Some(too_long());
    assert_eq!(block_on(phone.attester(IPHONE).refresh()), Ok(()), "asked for again");
}

#[test]
fn a_result_signed_by_somebody_else_is_not_taken() {
    let phone = Phone::new();
    phone.service.lock().unwrap().script.push_back(Scripted::ForeignKey);
    let attester = phone.attester(IPHONE);
    let error = block_on(attester.prove_when_ready(request())).unwrap_err();
    assert_eq!(
        error,
        CountersignError::UntrustedAnswer { reason: "answer_invalid_signature".to_owned() },
        "and no proof is made"
    );
    assert_eq!(attester.prove(request()).unwrap_err(), CountersignError::NoResult);
}

#[test]
fn an_enrolment_survives_waiters_that_go_away_at_any_moment() {
    for polls in 0..40 {
        let phone = Phone::new();
        let attester = phone.attester(IPHONE);
        let mut cancelled = Box::pin(attester.prove_when_ready(request()));
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            if cancelled.as_mut().poll(&mut cx).is_ready() {
                break;
            }
        }
        drop(cancelled);
        assert!(block_on(attester.prove_when_ready(request())).is_ok(), "after {polls} polls");
        assert_eq!(phone.calls("/v1/instances"), 1, "after {polls} polls");
        assert_eq!(phone.keys.lock().unwrap().len(), 1, "after {polls} polls");
    }
}

/// Another process enrols while this one does: what it stored is not taken over in the middle of a run.
#[test]
fn an_enrolment_under_way_is_not_replaced_by_what_another_process_stored() {
    let phone = Phone::new();
    let slow = phone.attester(IPHONE);
    phone.held.store(true, Ordering::SeqCst);
    let mut refresh = Box::pin(slow.refresh());
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..10 {
        assert!(refresh.as_mut().poll(&mut cx).is_pending());
    }
    phone.held.store(false, Ordering::SeqCst);
    block_on(phone.attester(IPHONE).refresh()).unwrap();
    let proof = block_on(slow.prove_with_instance_key(request())).unwrap();
    assert_eq!(proof.fields[1].name, "dpop");
    assert_eq!(block_on(refresh), Ok(()));
    assert!(slow.prove(request()).is_ok());
}

#[test]
fn an_exception_that_the_host_did_not_declare_is_the_mildest_error() {
    let unexpected = || uniffi::UnexpectedUniFFICallbackError::new("java.lang.IllegalStateException");
    assert_eq!(KeyStoreError::from(unexpected()), KeyStoreError::Unavailable);
    assert_eq!(EvidenceError::from(unexpected()), EvidenceError::Other);
    assert_eq!(TransportError::from(unexpected()), TransportError::Unreached);
    assert_eq!(StorageError::from(unexpected()), StorageError::Failed);
}

#[test]
fn a_restarted_app_proves_with_its_key_store_while_the_service_is_away() {
    let phone = Phone::new();
    block_on(phone.attester(IPHONE).refresh()).unwrap();
    let flawed =
        Arc::new(Flawed { phone, port: "call", how: How::NeverAnswers, faulty: AtomicBool::new(true) });
    let attester = flawed.attester();
    let proof = block_on(attester.prove_when_ready(request())).unwrap();
    let names: Vec<_> = proof.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["oauth-client-attestation", "dpop"]);
    let proof = block_on(flawed.attester().prove_with_instance_key(request())).unwrap();
    assert_eq!(proof.fields[1].name, "dpop", "without asking the service at all");
    let elsewhere = countersign_ffi::ApiRequest { uri: "https://evil.example/".to_owned(), ..request() };
    let refused = block_on(flawed.attester().prove_when_ready(elsewhere)).unwrap_err();
    assert_eq!(refused, CountersignError::UnknownOrigin);
}
