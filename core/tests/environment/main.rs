//! What phones say of themselves: made-up devices, clean ones and one for each known tool, and hostile answers.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "modules of a test binary, in which what cannot go on fails"
)]

mod android;
mod app;
mod apple;
mod device;
mod hostile;
