//! End to end, genuine vectors, and real peers: see `tests/`. What stands here are the corpus of forged evidence, the
//! world in which tests and benchmarks of the service play, and the README's examples, compiled.

pub mod corpus;
pub mod world;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
