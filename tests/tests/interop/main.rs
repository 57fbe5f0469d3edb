//! Other people's software beside ours, all of it real and on free ports of 127.0.0.1: oidc-provider as authorization
//! server, nginx before a plain API, OAuth clients in JavaScript, and libraries that verify our tokens.
//!
//! `cargo xtask setup interop` installs it. Without it each test says that it was skipped, unless
//! `COUNTERSIGN_REQUIRE` names `interop`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod app;
mod authorization_server;
mod flows;
#[path = "../gateways/gateway.rs"]
#[allow(dead_code, reason = "shared with the tests of gateways, which start them all")]
mod gateway;
mod libraries;
mod programs;
mod python_host;
mod resource_clients;
mod thefts;
#[path = "../gateways/upstream.rs"]
mod upstream;
mod world;
