//! Properties that hold for every value and every byte, tried over many of them. Random values come from a seed that
//! stands in the test, so that every run tries the same ones.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod changed_bytes;
mod random;
mod round_trips;
#[allow(dead_code, reason = "a part of it is for other programs")]
#[path = "../../benches/scene.rs"]
mod scene;
