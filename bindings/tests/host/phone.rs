//! A phone that plays every port in memory, before a service in memory.

use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};

use countersign_core::attester::{Fetch, Now};
use countersign_core::time::Timestamp;
use countersign_ffi::{
    ApiRequest, ApiResource, Attester, Clock, Configuration, DevicePlatform, EvidenceError, EvidenceRequest,
    EvidenceSource, GatheredEvidence, InstanceKeys, KeyProtection, KeyStoreError, NewKey, Parts, Ports,
    ServiceAnswer, ServiceCall, Storage, StorageError, Timer, Transport, TransportError,
};

use crate::service::{CLIENT_ID, ISSUER, START, Service};

pub(crate) const API: &str = "https://api.example";

/// A phone that plays every port.
pub(crate) struct Phone {
    pub(crate) service: Mutex<Service>,
    pub(crate) keys: Mutex<HashMap<Vec<u8>, SigningKey>>,
    pub(crate) stored: Mutex<Option<Vec<u8>>>,
    pub(crate) uptime: AtomicU64,
    pub(crate) loads: AtomicUsize,
    pub(crate) disk_full: AtomicBool,
    pub(crate) gathered: Mutex<Vec<EvidenceRequest>>,
    /// Calls to the service wait while this is set.
    pub(crate) held: AtomicBool,
}

impl Phone {
    pub(crate) fn new() -> Arc<Self> {
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

    pub(crate) fn ports(self: &Arc<Self>) -> Ports {
        Ports {
            keys: self.clone(),
            evidence: self.clone(),
            transport: self.clone(),
            storage: self.clone(),
            timer: self.clone(),
        }
    }

    pub(crate) fn parts(self: &Arc<Self>) -> Parts {
        Parts { clock: self.clone(), ..Parts::new(self.ports()) }
    }

    pub(crate) fn attester(self: &Arc<Self>, platform: DevicePlatform) -> Arc<Attester> {
        Attester::from_parts(configuration(platform), self.parts()).unwrap()
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.uptime.fetch_add(seconds * 1_000, Ordering::SeqCst);
        let mut service = self.service.lock().unwrap();
        service.now = service.now.plus(seconds);
    }

    pub(crate) fn calls(&self, ending: &str) -> usize {
        self.service.lock().unwrap().calls.iter().filter(|path| path.ends_with(ending)).count()
    }
}

/// Pending once, so that other futures get their turn between the steps of one.
#[derive(Default)]
pub(crate) struct Turn(bool);

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
        Turn::default().await;
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

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

pub(crate) const IPHONE: DevicePlatform = DevicePlatform::Apple { production: true };
pub(crate) const ANDROID: DevicePlatform = DevicePlatform::Android { play_integrity: true };

pub(crate) fn configuration(platform: DevicePlatform) -> Configuration {
    Configuration {
        issuer: ISSUER.to_owned(),
        client_id: CLIENT_ID.to_owned(),
        resources: vec![ApiResource { origin: API.to_owned(), identifier: API.to_owned() }],
        app_version: "1.2.3".to_owned(),
        platform,
        pinned_keys: None,
        expected_app: None,
        danger_plaintext: false,
    }
}

pub(crate) fn request() -> ApiRequest {
    ApiRequest {
        method: "POST".to_owned(),
        uri: format!("{API}/orders?page=2"),
        credential: Some("token".to_owned()),
        content: Some(b"body".to_vec()),
        environment: None,
    }
}
