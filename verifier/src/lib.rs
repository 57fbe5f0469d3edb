//! Evidence verification, appraisal, issuing and the edge's decision.
//!
//! The way through: [`evidence`] turns bytes into [`evidence::VerifiedEvidence`] (authentic and fresh, or an
//! error), [`policy`] turns that into an appraisal (a verdict, never an error). [`check`] is the edge's decision
//! on one request. Nothing here reads a clock, draws randomness or does I/O: time, trust anchors and revocation
//! lists are handed in.
#![forbid(unsafe_code)]

pub mod anchors;
mod asn1;
pub mod boot_keys;
mod cache;
mod certificate;
pub mod certificate_file;
pub mod certificate_summary;
pub mod chain;
pub mod check;
pub mod credential;
pub mod crypto;
pub mod ear;
pub mod enrolment;
pub mod evidence;
pub mod issue;
pub mod leniency;
pub mod policy;
pub mod revocation;
pub mod trust_bundle;
mod verified_links;
