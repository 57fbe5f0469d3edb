//! End to end, genuine vectors, and real peers: see `tests/`. What stands here are the corpus of forged evidence, and
//! the README's examples, compiled.

pub mod corpus;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
