//! What each fuzz target does with its bytes, and the inputs that it starts from.
//!
//! A target panics when a promise is broken, not only when something crashes: what is decoded and written again is
//! what was read, what we accept other decoders accept too, nothing that was changed is verified, and no lie is
//! admitted at any time. The same functions replay seeds and earlier findings as an ordinary test
//! (`tests/tests/fuzz_regressions.rs`), without instrumentation.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a broken promise is a finding")]

pub mod app_attest;
pub mod appraise;
pub mod authorization_server;
pub mod certificate;
pub mod check;
mod corpus;
pub mod cose;
pub mod documents;
pub mod enrol;
pub mod envelope;
pub mod gateway;
pub mod jose;
pub mod openapi;
pub mod play_integrity;
pub mod receipt;
pub mod text;
pub mod trust_bundle;
pub mod verify;
pub mod world;

/// One target.
pub struct Target {
    /// Its name, which is also that of its folder of findings.
    pub name: &'static str,
    /// Tries one input.
    pub run: fn(&[u8]),
    /// Well-formed inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: [Target; 17] = [
    Target { name: "app_attest", run: app_attest::run, seeds: app_attest::seeds },
    Target { name: "appraise", run: appraise::run, seeds: appraise::seeds },
    Target {
        name: "authorization_server",
        run: authorization_server::run,
        seeds: authorization_server::seeds,
    },
    Target { name: "certificate", run: certificate::run, seeds: certificate::seeds },
    Target { name: "check", run: check::run, seeds: check::seeds },
    Target { name: "cose", run: cose::run, seeds: cose::seeds },
    Target { name: "documents", run: documents::run, seeds: documents::seeds },
    Target { name: "enrol", run: enrol::run, seeds: enrol::seeds },
    Target { name: "envelope", run: envelope::run, seeds: envelope::seeds },
    Target { name: "gateway", run: gateway::run, seeds: gateway::seeds },
    Target { name: "jose", run: jose::run, seeds: jose::seeds },
    Target { name: "openapi", run: openapi::run, seeds: openapi::seeds },
    Target { name: "play_integrity", run: play_integrity::run, seeds: play_integrity::seeds },
    Target { name: "receipt", run: receipt::run, seeds: receipt::seeds },
    Target { name: "text", run: text::run, seeds: text::seeds },
    Target { name: "trust_bundle", run: trust_bundle::run, seeds: trust_bundle::seeds },
    Target { name: "verify", run: verify::run, seeds: verify::seeds },
];

/// The first byte chooses what the rest is tried as.
fn choose(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(choice, rest)| (*choice, rest))
}

/// A seed for a target that chooses.
fn chosen(choice: u8, rest: &[u8]) -> Vec<u8> {
    [&[choice], rest].concat()
}
