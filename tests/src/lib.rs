//! End to end, genuine vectors, and real peers: see `tests/`. What stands here are the README's examples, compiled.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
