//! The Android half of the bindings in a real Java virtual machine, started here: Android's own framework classes
//! (Robolectric's `android-all`), and a JCA provider that plays AndroidKeyStore with keys that a virtual phone attests.
//!
//! Without a JDK or the classes a test says that it was skipped, unless `COUNTERSIGN_REQUIRE` names `jvm`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod attach;
mod enrolment;
mod evidence;
mod facts;
mod key_store;
mod load_path;
mod machine;
mod names;
mod phone;
mod wait;
