//! Evidence verification, appraisal, issuing and the edge decision.
#![forbid(unsafe_code)]

mod asn1;
pub mod check;
pub mod credential;
pub mod crypto;
