//! The library as a host uses it: ports in memory, a service in memory, no executor but a thread that waits.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "modules of a test binary, in which what cannot go on fails"
)]

#[path = "../../core/tests/attester/service.rs"]
mod service;

use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use futures_util::future::join_all;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};

use countersign_core::attester::{Fetch, Now};
use countersign_core::encoding::from_base64url;
use countersign_core::time::Timestamp;
use countersign_core::token::keys::PureRust;
use countersign_core::token::proof::DecodedProof;
use countersign_core::token::result::DecodedResult;
use countersign_ffi::{
    Advice, ApiAnswer, ApiRequest, ApiResource, Attester, ClientProof, Clock, Configuration,
    CountersignError, DevicePlatform, EvidenceError, EvidenceRequest, EvidenceSource, GatheredEvidence,
    InstanceKeys, KeyProtection, KeyStoreError, NewKey, Parts, PinnedKey, Ports, Proof, ServiceAnswer,
    ServiceCall, Storage, StorageError, Timer, Transport, TransportError,
};

use service::{CLIENT_ID, ISSUER, START, Scripted, Service, problem};

const API: &str = "https://api.example";

/// A phone that plays every port.
struct Phone {
    service: Mutex<Service>,
    keys: Mutex<HashMap<Vec<u8>, SigningKey>>,
    stored: Mutex<Option<Vec<u8>>>,
    uptime: AtomicU64,
    loads: AtomicUsize,
    disk_full: AtomicBool,
    gathered: Mutex<Vec<EvidenceRequest>>,
    /// Calls to the service wait while this is set.
    held: AtomicBool,
}

impl Phone {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            service: Mutex::new(Service::new()),
            keys: Mutex::default(),
            stored: Mutex::default(),
            uptime: AtomicU64::new(1_000_000),
            loads: AtomicUsize::new(0),
            disk_full: AtomicBool::new(false),
            gathered: Mutex::default(),
            held: AtomicBool::new(false),
        })
    }

    fn ports(self: &Arc<Self>) -> Ports {
        Ports {
            keys: self.clone(),
            evidence: self.clone(),
            transport: self.clone(),
            storage: self.clone(),
            timer: self.clone(),
        }
    }

    fn parts(self: &Arc<Self>) -> Parts {
        Parts { clock: self.clone(), ..Parts::new(self.ports()) }
    }

    fn attester(self: &Arc<Self>, platform: DevicePlatform) -> Arc<Attester> {
        Attester::from_parts(configuration(platform), self.parts()).unwrap()
    }

    fn advance(&self, seconds: u64) {
        self.uptime.fetch_add(seconds * 1_000, Ordering::SeqCst);
        let mut service = self.service.lock().unwrap();
        service.now = service.now.plus(seconds);
    }

    fn calls(&self, ending: &str) -> usize {
        self.service.lock().unwrap().calls.iter().filter(|path| path.ends_with(ending)).count()
    }
}

/// Pending once, so that other futures get their turn between the steps of one.
#[derive(Default)]
struct Turn(bool);

impl Future for Turn {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[async_trait::async_trait]
impl InstanceKeys for Phone {
    async fn make(&self, challenge: Option<Vec<u8>>) -> Result<NewKey, KeyStoreError> {
        Turn::default().await;
        let mut keys = self.keys.lock().unwrap();
        let number = keys.len() as u8 + 1;
        let key = SigningKey::from_slice(&[number; 32]).unwrap();
        let public_key = key.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        keys.insert(vec![number], key);
        let chain = challenge.into_iter().collect();
        Ok(NewKey { handle: vec![number], public_key, protection: KeyProtection::SecureEnclave, chain })
    }

    async fn sign(&self, handle: Vec<u8>, message: Vec<u8>) -> Result<Vec<u8>, KeyStoreError> {
        Turn::default().await;
        let keys = self.keys.lock().unwrap();
        let signature: Signature = keys.get(&handle).ok_or(KeyStoreError::Lost)?.sign(&message);
        Ok(signature.to_der().as_bytes().to_vec())
    }

    async fn delete(&self, handle: Vec<u8>) {
        self.keys.lock().unwrap().remove(&handle);
    }
}

#[async_trait::async_trait]
impl EvidenceSource for Phone {
    async fn make_app_attest_key(&self) -> Result<Vec<u8>, EvidenceError> {
        Turn::default().await;
        Ok(vec![1; 32])
    }

    async fn gather(&self, request: EvidenceRequest) -> Result<GatheredEvidence, EvidenceError> {
        Turn::default().await;
        self.gathered.lock().unwrap().push(request.clone());
        Ok(match request {
            EvidenceRequest::AppAttest { client_data_hash, .. } => {
                GatheredEvidence::AppAttest { attestation_object: client_data_hash }
            }
            EvidenceRequest::AppAttestAssertion { client_data_hash, .. } => {
                GatheredEvidence::AppAttestAssertion { assertion: client_data_hash }
            }
            EvidenceRequest::AndroidThrowawayKey { challenge } => {
                GatheredEvidence::AndroidKey { chain: vec![challenge] }
            }
            EvidenceRequest::PlayIntegrity { request_hash } => {
                GatheredEvidence::PlayIntegrity { token: request_hash }
            }
            EvidenceRequest::DevelopmentKey { .. } => return Err(EvidenceError::Unsupported),
        })
    }
}

#[async_trait::async_trait]
impl Transport for Phone {
    async fn call(&self, call: ServiceCall) -> Result<ServiceAnswer, TransportError> {
        Turn::default().await;
        while self.held.load(Ordering::SeqCst) {
            Turn::default().await;
        }
        let content_type = call.content_type.map(|content_type| {
            assert_eq!(content_type, "application/cbor");
            "application/cbor"
        });
        let call = Fetch { post: call.post, url: call.url, content_type, body: call.body };
        let answer = self.service.lock().unwrap().answer(&call).ok_or(TransportError::Unreached)?;
        Ok(ServiceAnswer { status: answer.status, retry_after: answer.retry_after, body: answer.body })
    }
}

#[async_trait::async_trait]
impl Storage for Phone {
    async fn load(&self) -> Result<Option<Vec<u8>>, StorageError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(self.stored.lock().unwrap().clone())
    }

    async fn store(&self, state: Vec<u8>) -> Result<(), StorageError> {
        if self.disk_full.load(Ordering::SeqCst) {
            return Err(StorageError::Failed);
        }
        *self.stored.lock().unwrap() = Some(state);
        Ok(())
    }
}

impl Clock for Phone {
    fn now(&self) -> Now {
        let uptime = Duration::from_millis(self.uptime.load(Ordering::SeqCst));
        Now { wall: Timestamp::from_unix_seconds(START), uptime }
    }
}

#[async_trait::async_trait]
impl Timer for Phone {
    /// Short pauses pass at once, and move the clock; deadlines never come.
    async fn sleep(&self, millis: u64) {
        if millis >= 10_000 {
            std::future::pending::<()>().await;
        }
        self.uptime.fetch_add(millis, Ordering::SeqCst);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

const IPHONE: DevicePlatform = DevicePlatform::Apple { production: true };
const ANDROID: DevicePlatform = DevicePlatform::Android { play_integrity: true };

fn configuration(platform: DevicePlatform) -> Configuration {
    Configuration {
        issuer: ISSUER.to_owned(),
        client_id: CLIENT_ID.to_owned(),
        resources: vec![ApiResource { origin: API.to_owned(), identifier: API.to_owned() }],
        app_version: "1.2.3".to_owned(),
        platform,
        pinned_keys: None,
        danger_plaintext: false,
    }
}

fn request() -> ApiRequest {
    ApiRequest {
        method: "POST".to_owned(),
        uri: format!("{API}/orders?page=2"),
        credential: Some("token".to_owned()),
        content: Some(b"body".to_vec()),
        environment: None,
    }
}

#[test]
fn a_host_enrols_and_proves() {
    for platform in [IPHONE, ANDROID] {
        let phone = Phone::new();
        let attester = phone.attester(platform);
        assert_eq!(attester.prove(request()).unwrap_err(), CountersignError::NoResult);
        assert_eq!(phone.loads.load(Ordering::SeqCst), 0, "nothing is done before it is needed");
        let proof = block_on(attester.prove_when_ready(request())).unwrap();
        assert!(!proof.refresh_due);
        let [result, proof] = &proof.fields[..] else { panic!("two fields") };
        assert_eq!((result.name.as_str(), proof.name.as_str()), ("attestation-result", "attestation-proof"));
        let (result, proof) = (from_base64url(&result.value).unwrap(), from_base64url(&proof.value).unwrap());
        let key = DecodedResult::decode(&result).unwrap().claims.confirmation;
        assert_eq!(DecodedProof::decode(&proof).unwrap().message.verify(&key, &PureRust), Ok(()));
        let standing = attester.standing();
        assert_eq!(standing.protection, Some(KeyProtection::SecureEnclave));
        assert_eq!((standing.affirming, standing.expires_at), (Some(true), Some(START + 600)));
        assert_eq!(attester.client_attestation().as_deref(), Some("as.as.as"));
    }
}

#[test]
fn a_thousand_first_calls_cause_one_enrolment() {
    let phone = Phone::new();
    let attester = phone.attester(IPHONE);
    let calls = (0..1_000).map(|_| attester.prove_when_ready(request()));
    assert!(block_on(join_all(calls)).iter().all(Result::is_ok));
    assert_eq!((phone.calls("/v1/challenge"), phone.calls("/v1/instances")), (1, 1));
    assert_eq!(phone.keys.lock().unwrap().len(), 1);
}

#[test]
fn first_calls_of_many_threads_cause_one_enrolment() {
    let phone = Phone::new();
    let attester = phone.attester(ANDROID);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| block_on(attester.prove_when_ready(request())).unwrap());
        }
    });
    assert_eq!(phone.calls("/v1/instances"), 1);
}

#[test]
fn those_who_go_away_do_not_take_the_enrolment_with_them() {
    let phone = Phone::new();
    let attester = phone.attester(IPHONE);
    phone.held.store(true, Ordering::SeqCst);
    let mut cancelled = Box::pin(attester.refresh());
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..10 {
        assert!(cancelled.as_mut().poll(&mut cx).is_pending());
    }
    drop(cancelled);
    phone.held.store(false, Ordering::SeqCst);
    block_on(attester.refresh()).unwrap();
    assert_eq!((phone.calls("/v1/challenge"), phone.calls("/v1/instances")), (1, 1));
}

#[test]
fn a_refresh_is_due_before_the_result_expires() {
    let phone = Phone::new();
    let attester = phone.attester(IPHONE);
    block_on(attester.refresh()).unwrap();
    phone.advance(301);
    assert!(attester.prove(request()).unwrap().refresh_due);
    block_on(attester.refresh()).unwrap();
    assert!(!attester.prove(request()).unwrap().refresh_due);
    assert_eq!((phone.calls("/v1/challenge"), phone.calls("/results")), (1, 1));
    block_on(attester.refresh()).unwrap();
    assert_eq!(phone.calls("/results"), 1, "what is current is not renewed");
}

#[test]
fn a_new_process_goes_on_with_what_was_stored() {
    let phone = Phone::new();
    block_on(phone.attester(IPHONE).refresh()).unwrap();
    let attester = phone.attester(IPHONE);
    block_on(attester.refresh()).unwrap();
    assert_eq!((phone.calls("/v1/instances"), phone.calls("/results")), (1, 1));
}

#[test]
fn a_process_started_while_the_service_is_away_proves_with_the_instance_key() {
    let phone = Phone::new();
    block_on(phone.attester(IPHONE).refresh()).unwrap();
    let attester = phone.attester(IPHONE);
    phone.service.lock().unwrap().script.push_back(Scripted::Unreached);
    let names = |proof: Proof| proof.fields.into_iter().map(|field| field.name).collect::<Vec<_>>();
    let proof = block_on(attester.prove_when_ready(request())).unwrap();
    assert!(proof.refresh_due);
    assert_eq!(names(proof), ["oauth-client-attestation", "dpop"]);
    let standing = attester.standing();
    assert_eq!((standing.failure.as_deref(), standing.retry_after), (Some("service_unreachable"), Some(1)));
    phone.advance(2);
    let proof = block_on(attester.prove_when_ready(request())).unwrap();
    assert_eq!(names(proof), ["attestation-result", "attestation-proof"]);
    assert_eq!((attester.standing().failure, attester.standing().retry_after), (None, None));
}

#[test]
fn whom_the_service_refuses_is_told_so_although_it_was_vouched_for() {
    let phone = Phone::new();
    block_on(phone.attester(IPHONE).refresh()).unwrap();
    let attester = phone.attester(IPHONE);
    phone.service.lock().unwrap().script.push_back(Scripted::Instead(problem(403, None)));
    let refused = CountersignError::Refused { reference: Some("AB12CD34".to_owned()) };
    assert_eq!(block_on(attester.prove_when_ready(request())).unwrap_err(), refused);
    assert_eq!(block_on(attester.prove_with_instance_key(request())).unwrap_err(), refused);
    assert_eq!(attester.standing().reference.as_deref(), Some("AB12CD34"));
}

#[test]
fn a_full_disk_is_no_reason_to_stop() {
    let phone = Phone::new();
    phone.disk_full.store(true, Ordering::SeqCst);
    let attester = phone.attester(IPHONE);
    assert!(block_on(attester.prove_when_ready(request())).is_ok());
}

#[test]
fn a_lost_answer_costs_a_pause_and_nothing_else() {
    let phone = Phone::new();
    phone.service.lock().unwrap().script.push_back(Scripted::Lost);
    block_on(phone.attester(ANDROID).refresh()).unwrap();
    let service = phone.service.lock().unwrap();
    assert_eq!(service.envelopes[0], service.envelopes[1]);
}

#[test]
fn errors_are_typed_and_carry_the_reference() {
    let phone = Phone::new();
    phone.service.lock().unwrap().script.push_back(Scripted::Instead(problem(403, Some("update-app"))));
    let error = block_on(phone.attester(IPHONE).refresh()).unwrap_err();
    assert_eq!(error, CountersignError::UpdateRequired { reference: Some("AB12CD34".to_owned()) });
    assert_eq!(error.to_string(), "update_required (AB12CD34)");
    let unsupported = phone.attester(DevicePlatform::Development);
    assert_eq!(block_on(unsupported.refresh()), Err(CountersignError::DeviceUnsupported));
    let elsewhere = ApiRequest { uri: "https://evil.example/".to_owned(), ..request() };
    let fresh = phone.attester(IPHONE);
    assert_eq!(
        block_on(fresh.prove_when_ready(elsewhere)).unwrap_err(),
        CountersignError::UnknownOrigin,
        "and nothing is obtained for it"
    );
    assert_eq!(fresh.standing().instance, None);
}

#[test]
fn a_wrong_configuration_is_refused_by_its_rule() {
    let refused = |change: fn(&mut Configuration)| {
        let mut configuration = configuration(IPHONE);
        change(&mut configuration);
        match Attester::new(configuration, Phone::new().ports()) {
            Err(CountersignError::Configuration { reason }) => reason,
            _ => panic!("refused"),
        }
    };
    assert_eq!(refused(|c| c.issuer = "http://attest.example".to_owned()), "config_plaintext");
    assert_eq!(refused(|c| c.resources.clear()), "config_resources");
    assert_eq!(refused(|c| c.resources[0].origin.push_str("/path")), "request_authority");
    let pin = |x: &str| Some(vec![PinnedKey { key_id: "a".to_owned(), x: x.to_owned() }]);
    let mut pinned = configuration(IPHONE);
    pinned.pinned_keys = pin("AA");
    assert!(Attester::new(pinned, Phone::new().ports()).is_err());
}

#[test]
fn pinned_keys_are_used() {
    let phone = Phone::new();
    let x = phone.service.lock().unwrap().public_key().to_jwk().x;
    let pinned_keys = Some(vec![PinnedKey { key_id: "service-1".to_owned(), x }]);
    let configuration = Configuration { pinned_keys, ..configuration(IPHONE) };
    let attester = Attester::from_parts(configuration, phone.parts()).unwrap();
    block_on(attester.refresh()).unwrap();
    assert_eq!(phone.calls("jwks.json"), 0);
}

#[test]
fn an_apis_wish_is_followed() {
    let phone = Phone::new();
    let attester = phone.attester(IPHONE);
    block_on(attester.refresh()).unwrap();
    let answer =
        |www: &str| ApiAnswer { status: 401, challenge: None, www_authenticate: vec![www.to_owned()] };
    let observe = |www: &str| attester.observe(request().uri, answer(www));
    assert_eq!(observe(r#"DPoP error="use_fresh_attestation""#), Advice::RefreshAndProveAgain);
    block_on(attester.refresh()).unwrap();
    assert_eq!(phone.calls("/results"), 1);
    let hint = r#"DPoP error="use_fresh_attestation", assurance="hardware""#;
    assert_eq!(observe(hint), Advice::ProveWithInstanceKey);
    let proof = block_on(attester.prove_with_instance_key(request())).unwrap();
    let names: Vec<_> = proof.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["oauth-client-attestation", "dpop"]);
}

#[test]
fn an_app_authenticates_at_its_authorization_server() {
    let phone = Phone::new();
    let attester = phone.attester(IPHONE);
    let (issuer, endpoint) = ("https://login.example".to_owned(), "https://login.example/token".to_owned());
    for (proof, field) in [
        (ClientProof::Pop { issuer, challenge: None }, "oauth-client-attestation-pop"),
        (ClientProof::Dpop { endpoint, nonce: None }, "dpop"),
    ] {
        let proof = block_on(attester.authenticate_client(proof)).unwrap();
        let names: Vec<_> = proof.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["oauth-client-attestation", field]);
    }
    assert_eq!(phone.calls("/v1/instances"), 1, "the first one enrols");
    let plain = ClientProof::Dpop { endpoint: "http://login.example/token".to_owned(), nonce: None };
    let error = block_on(attester.authenticate_client(plain)).unwrap_err();
    assert!(matches!(error, CountersignError::InvalidRequest { .. }), "{error}");
}

#[test]
fn a_key_store_that_lost_its_key_ends_in_another_enrolment() {
    let phone = Phone::new();
    let attester = phone.attester(IPHONE);
    block_on(attester.refresh()).unwrap();
    phone.keys.lock().unwrap().clear();
    let error = block_on(attester.prove_with_instance_key(request())).unwrap_err();
    assert_eq!(error, CountersignError::PlatformUnavailable);
    phone.advance(301);
    phone.service.lock().unwrap().instances.clear();
    block_on(attester.refresh()).unwrap();
    assert_eq!(phone.calls("/v1/instances"), 2);
}

#[test]
fn nothing_that_could_be_replayed_is_printed() {
    let phone = Phone::new();
    let proof = block_on(phone.attester(IPHONE).prove_when_ready(request())).unwrap();
    let printed = format!("{proof:?} {:?} {:?}", proof.fields, request());
    for secret in [&proof.fields[0].value[..16], &proof.fields[1].value[..16], "token", "body", "page=2"] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
}
