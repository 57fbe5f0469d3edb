//! The ports that the host implements. Calls may come from any thread; none is made while another of the same
//! enrolment is under way, except that two HTTP calls may overlap.

use std::sync::Arc;

use countersign_core::attester::Now;
use countersign_core::environment::Environment;

use crate::development::DevelopmentKeys;
use crate::error::{EvidenceError, KeyStoreError, StorageError, TransportError};
use crate::record::{EvidenceRequest, GatheredEvidence, NewKey, ServiceAnswer, ServiceCall};
use crate::system_clock::SystemClock;

/// The instance key: P-256, in the best hardware there is, never exportable.
#[uniffi::export(with_foreign)]
#[async_trait::async_trait]
pub trait InstanceKeys: Send + Sync {
    /// Makes a key. On Android with `challenge` (32 bytes) as its `attestationChallenge`; without it where the
    /// platform does not attest keys.
    async fn make(&self, challenge: Option<Vec<u8>>) -> Result<NewKey, KeyStoreError>;
    /// Signs: ECDSA over SHA-256 of `message`, in DER or as `r || s`.
    async fn sign(&self, handle: Vec<u8>, message: Vec<u8>) -> Result<Vec<u8>, KeyStoreError>;
    /// Deletes a key; one that is not there is no error.
    async fn delete(&self, handle: Vec<u8>);
}

/// Where platform evidence comes from.
#[uniffi::export(with_foreign)]
#[async_trait::async_trait]
pub trait EvidenceSource: Send + Sync {
    /// `DCAppAttestService.generateKey`: the key id, decoded, 32 bytes.
    async fn make_app_attest_key(&self) -> Result<Vec<u8>, EvidenceError>;
    /// Gathers one piece of evidence.
    async fn gather(&self, request: EvidenceRequest) -> Result<GatheredEvidence, EvidenceError>;
}

/// HTTP to the attestation service: over TLS, no redirect followed, no cookie kept.
#[uniffi::export(with_foreign)]
#[async_trait::async_trait]
pub trait Transport: Send + Sync {
    /// One call. An answer of any status is an answer.
    async fn call(&self, call: ServiceCall) -> Result<ServiceAnswer, TransportError>;
}

/// A place on this device, out of backups, for a few hundred bytes without secrets.
#[uniffi::export(with_foreign)]
#[async_trait::async_trait]
pub trait Storage: Send + Sync {
    /// What was last stored.
    async fn load(&self) -> Result<Option<Vec<u8>>, StorageError>;
    /// Replaces it, whole or not at all.
    async fn store(&self, state: Vec<u8>) -> Result<(), StorageError>;
}

/// The host's way to wait: a library without threads has none of its own.
#[uniffi::export(with_foreign)]
#[async_trait::async_trait]
pub trait Timer: Send + Sync {
    /// Returns after that many milliseconds; later does no harm.
    async fn sleep(&self, millis: u64);
}

/// All ports that cross the boundary. Rust may implement them too.
#[derive(Clone, uniffi::Record)]
pub struct Ports {
    /// The instance key.
    pub keys: Arc<dyn InstanceKeys>,
    /// Platform evidence.
    pub evidence: Arc<dyn EvidenceSource>,
    /// HTTP to the service.
    pub transport: Arc<dyn Transport>,
    /// The stored state.
    pub storage: Arc<dyn Storage>,
    /// Pauses.
    pub timer: Arc<dyn Timer>,
}

/// The device's clocks. Rust alone implements them: a call over the boundary for each proof would cost more than the
/// proof.
pub trait Clock: Send + Sync {
    /// Both clocks, read together.
    fn now(&self) -> Now;
}

/// What keeps the processes of one app from enrolling at the same time. Rust alone implements it.
pub trait EnrolmentLock: Send + Sync {
    /// Tries to enter, without waiting.
    fn try_enter(&self) -> Entry;
}

/// What the device notices about itself. Rust alone implements it, and no method hands the answers to the app: they go
/// into envelopes and proofs, for the service's policy.
pub trait Signals: Send + Sync {
    /// All of them; some milliseconds.
    fn at_renewal(&self) -> Environment;
    /// Those that are asked for with every request; some microseconds.
    fn per_request(&self) -> Environment;
}

/// The end of one try to enter.
pub enum Entry {
    /// Inside, until this is dropped.
    Entered(Box<dyn Send>),
    /// Another process, or another attester of this one, is inside.
    Taken,
    /// It cannot be told: enrol all the same.
    Unknown,
}

/// Everything that an attester is made of.
pub struct Parts {
    /// The ports that a host may implement.
    pub ports: Ports,
    /// The clocks; the system's, except in tests.
    pub clock: Arc<dyn Clock>,
    /// Keeps several processes apart, where the storage is shared by several.
    pub enrolment_lock: Option<Arc<dyn EnrolmentLock>>,
    /// The development key, where one vouches and is to be shown to a developer.
    pub development_keys: Option<Arc<DevelopmentKeys>>,
    /// What the device notices about itself, where it can be asked.
    pub signals: Option<Arc<dyn Signals>>,
}

impl Parts {
    /// These ports with the system's clocks, for a storage of one process.
    pub fn new(ports: Ports) -> Self {
        let clock = Arc::new(SystemClock);
        Self { ports, clock, enrolment_lock: None, development_keys: None, signals: None }
    }
}
