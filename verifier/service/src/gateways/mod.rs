//! Forward authentication: what a gateway tells of the original request, and how it wants to be answered.
//!
//! A gateway names the original method and target in header fields that it overwrites itself; only it reaches this
//! listener. What the client sent under those names never arrives.

pub(crate) mod ext_authz;
mod original;

pub(crate) use original::{Misconfigured, Original};
