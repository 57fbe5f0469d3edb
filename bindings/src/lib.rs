//! The attester for Kotlin and Swift: [`Countersign`] over ports that the host implements. No logic of its own: it
//! carries out what the state machine in `countersign-core` asks for, one enrolment or renewal at a time, on
//! whichever thread polls it. HTTP, key store and timers are the host's.
//!
//! Everything that crosses the boundary is defined here, and nothing else is derived for it elsewhere.
#![deny(unsafe_code)]

mod apple;
mod countersign;
mod drive;
mod error;
mod port;
mod record;

pub use countersign::Countersign;
pub use error::{CountersignError, EvidenceError, KeyStoreError, StorageError, TransportError};
pub use port::{Clock, EvidenceSource, InstanceKeys, Ports, Storage, Transport};
pub use record::{
    Advice, ApiAnswer, ApiRequest, ApiResource, ClientProof, Configuration, DevicePlatform, EvidenceRequest,
    GatheredEvidence, HeaderField, KeyProtection, NewKey, PinnedKey, Proof, ServiceAnswer, ServiceCall,
    Standing,
};

uniffi::setup_scaffolding!("countersign");
