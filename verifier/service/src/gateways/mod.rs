//! Forward authentication: what a gateway tells of the original request, and how it wants to be answered.
//!
//! A gateway names the original method and target in header fields that it overwrites itself; only it reaches this
//! listener. What the client sent under those names never arrives.

mod client_certificate;
mod escaped_pem;
pub(crate) mod ext_authz;
mod original;
mod xfcc;

pub(crate) use client_certificate::client_certificate;
pub(crate) use original::{Misconfigured, Original};
