//! Two edges and a real Redis on loopback: what one edge has seen counts at the other, and what happens while the store
//! is slow, full, lying or gone.
//!
//! Without `redis-server` a test says that it was skipped, unless `COUNTERSIGN_REQUIRE` names `many-edges`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod failing;
mod impostor;
mod limits;
mod nonces;
mod redis;
mod scene;
mod together;
