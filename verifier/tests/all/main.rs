//! Tests of the verifier from outside, in one program: linking takes longer than they do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admission;
mod android_appraisal;
mod apple_appraisal;
mod appraisal;
mod continuity;
mod decision;
mod enrolment;
mod evidence_sets;
mod hostile_evidence;
mod known_authorities;
mod limits;
mod play_integrity;
mod reasons;
mod receipts;
mod world;
