//! The attester for Kotlin and Swift: [`Attester`] over ports that the host implements. No logic of its own: it
//! carries out what the state machine in `countersign-core` asks for, one enrolment or renewal at a time, on
//! whichever thread polls it. HTTP and timers are the host's; clocks are read here.
//!
//! Everything that crosses the boundary is defined here, and nothing else is derived for it elsewhere.
#![deny(unsafe_code)]

#[cfg(any(target_os = "android", feature = "host-jvm"))]
pub mod android;
mod apple;
mod attester;
mod development;
mod drive;
mod error;
mod expected_app;
mod file_storage;
#[cfg(unix)]
mod own_memory;
mod port;
mod private_folder;
#[cfg(unix)]
mod probe;
mod record;
mod system_clock;
mod version;
#[cfg(any(target_os = "android", target_vendor = "apple", feature = "host-jvm", test))]
mod workers;

pub use apple::apple_attester;
pub use attester::Attester;
pub use development::DevelopmentKeys;
pub use error::{CountersignError, EvidenceError, KeyStoreError, StorageError, TransportError};
pub use expected_app::ExpectedApp;
pub use file_storage::FileStorage;
pub use port::{
    Clock, EnrolmentLock, Entry, EvidenceSource, InstanceKeys, Parts, Ports, Signals, Storage, Timer,
    Transport,
};
#[cfg(unix)]
pub use probe::{Process, Surroundings};
pub use record::{
    Advice, ApiAnswer, ApiRequest, ApiResource, ClientProof, Configuration, DevelopmentKey, DevicePlatform,
    EvidenceRequest, GatheredEvidence, HeaderField, KeyProtection, NewKey, PinnedKey, Proof, ServiceAnswer,
    ServiceCall, Standing,
};
pub use system_clock::SystemClock;
pub use version::{library_version, require_library_version};

uniffi::setup_scaffolding!("countersign");
