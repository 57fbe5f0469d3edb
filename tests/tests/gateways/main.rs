//! Real gateways, started on free ports of 127.0.0.1 with the configuration of `examples/`, between a client and a
//! plain API: what passes, what is refused and how, and what the API is told.
//!
//! Without a program a test says that it was skipped, unless `COUNTERSIGN_REQUIRE` names `gateways`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client_certificates;
mod emulated;
mod envoy;
mod every_gateway;
mod flood;
mod gateway;
mod haproxy;
mod http;
mod nginx;
mod process;
mod proxy;
mod reload;
mod upstream;
mod world;
