//! The layer attacked from outside, its sources of keys failing, and the ways to describe it wrongly.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "shared with the decision's own tests, which use all of it")]
#[path = "../../../tests/all/decision/scene.rs"]
mod scene;

mod api;
mod api_keys;
mod body;
mod builder;
mod deny_list;
mod discovery;
mod fake_server;
mod introspection;
mod keys;
mod layer;
mod modes;
mod pages;
