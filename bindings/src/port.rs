//! The ports that the host implements. Calls may come from any thread; none is made while another of the same
//! enrolment is under way, except that two HTTP calls may overlap.

use std::sync::Arc;

use crate::error::{EvidenceError, KeyStoreError, StorageError, TransportError};
use crate::record::{EvidenceRequest, GatheredEvidence, NewKey, ServiceAnswer, ServiceCall};

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

/// The device's clocks.
#[uniffi::export(with_foreign)]
#[async_trait::async_trait]
pub trait Clock: Send + Sync {
    /// Seconds since 1970-01-01T00:00:00Z by the wall clock.
    fn wall_seconds(&self) -> u64;
    /// Milliseconds since the device started, counted in sleep too.
    fn uptime_millis(&self) -> u64;
    /// Returns after that many milliseconds.
    async fn sleep(&self, millis: u64);
}

/// All ports together.
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
    /// The clocks.
    pub clock: Arc<dyn Clock>,
}
