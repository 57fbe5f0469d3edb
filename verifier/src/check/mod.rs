//! The edge's decision: does this request come from an attested instance, with a credential that belongs to it?
//!
//! [`Edge::check`] is a plain function of the request and the time. It performs no I/O: where it lacks something
//! that only a network can give, it answers [`Decision::Needs`], and the runtime calls again.

pub mod anomaly;
mod budget;
mod class;
mod code;
mod credential;
pub mod decision;
pub mod deny_list;
mod edge;
mod enforcement;
pub mod explanation;
mod first_use;
pub mod identity;
mod introspection;
pub mod limits;
pub mod pending;
mod presented;
mod proof;
mod reason;
pub mod refusal;
pub mod replay;
pub mod request;
mod result;
pub mod route;
mod route_table;
#[cfg(test)]
mod route_table_reference;
mod steps;
mod succession;
mod trace;
pub mod trust;
pub mod witness;

pub use crate::credential::client_certificate::ClientCertificate;
pub use class::Class;
pub use decision::{Credential, Decision, Limits, Lookup, Permit};
pub use edge::Edge;
pub use explanation::Explanation;
pub use pending::{Pending, WhenStoreFails};
pub use reason::Reason;
pub use refusal::{Code, ProofKind, Refusal};
pub use request::{Content, Field, Fields, Request};
pub use route::{
    Assurance, CredentialKind, Mode, NoncePolicy, PathCase, PathMatch, ReplayPolicy, Resource, Route, StepUp,
    TokenBinding,
};
pub use trace::Step;
pub use witness::{Decided, Outcome, Witness};
